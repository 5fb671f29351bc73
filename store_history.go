package sessiontrack

import (
	"context"
	"maps"
	"math"
	"slices"
	"sort"
	"strings"
	"time"

	"github.com/sessiontrack/sessiontrack/internal/useragent"
)

// Historian is a [Sampler] that also rolls up logins and ends, minute by minute, so that the
// history never reads sessions. Without it the history is the samples in a Tracker's own memory.
type Historian interface {
	Sampler

	// RollUp rolls up the minutes that ended at least ten seconds ago and have not been rolled up,
	// each exactly once, whoever calls. It deletes what is older than keep.
	RollUp(ctx context.Context, keep time.Duration) error

	// ReadHistory returns the data of q's steps and days; see [HistoryData].
	ReadHistory(ctx context.Context, q HistoryQuery) (HistoryData, error)
}

// HistoryQuery selects a history. Its bounds ascend. n+1 bounds make n spans; each span includes
// its start and excludes its end.
type HistoryQuery struct {
	Steps []time.Time // 2 to 2,001, at full minutes
	Days  []time.Time // 2 to 2,002, around the steps
}

// HistoryData is the answer to a [HistoryQuery].
type HistoryData struct {
	// Steps has one element for each step of the query.
	Steps []HistoryStep
	// Peaks has, for each day, the sample with the most online users, the earliest of equals. Its
	// At is zero if there is none. Only samples within Steps count.
	Peaks []Sample
	// Quarters are the quarters of an hour that overlap Steps and in which sessions began or ended,
	// in order.
	Quarters []HistoryQuarter
	Now      time.Time
}

// HistoryStep is the data of one step.
type HistoryStep struct {
	// Samples is the number of samples. Online, Sessions and Devices are their sums, and PeakOnline
	// is the highest Online. DeviceSamples is the number of samples that have Devices.
	Samples, DeviceSamples int
	Online, Sessions       int
	PeakOnline             int
	Devices                DeviceCounts
	// Logins and Ends are sessions that began and that ended.
	Logins, Ends int
}

// HistoryQuarter is a quarter of an hour: in every time zone days and hours begin at a quarter.
type HistoryQuarter struct {
	At     time.Time
	Logins int
	Counts HistoryCounts
}

// HistoryCounts are the numbers of begun sessions by device type, browser, system and country; an
// unknown name is empty. Each has at most 101 names; further names count as "other". Durations are
// the ended sessions by the number of their bucket (see [DurationBuckets]).
type HistoryCounts struct {
	Device    map[string]int `json:"device,omitempty"`
	Browser   map[string]int `json:"browser,omitempty"`
	OS        map[string]int `json:"os,omitempty"`
	Country   map[string]int `json:"country,omitempty"`
	Durations map[int]int    `json:"durations,omitempty"`
}

const (
	quarter = 15 * time.Minute
	// rollUpLag is how long after its end a minute is rolled up: its logins are committed within
	// two seconds, and their browsers named within a few.
	rollUpLag = 10 * time.Second
	// rollUpSpan is how many minutes one transaction rolls up after a pause.
	rollUpSpan = time.Hour
	// maxHistorySteps bounds the steps of a query.
	maxHistorySteps = 2000
	// maxQuarterNames bounds the names of a kind in one quarter.
	maxQuarterNames = 100
	// otherName replaces the names that are left out.
	otherName = "other"
)

// durationBounds are the bounds of durations in microseconds, from a second to 48 days. There are
// four per doubling, so that a duration is known to a fifth.
var durationBounds = func() (bounds [4*22 + 1]int64) {
	for i := range bounds {
		bounds[i] = int64(math.Round(1e6 * math.Pow(2, float64(i)/4)))
	}
	return bounds
}()

// DurationBuckets returns the bounds of the buckets in which durations are counted. Bucket i
// contains durations of at least bound i-1 and less than bound i. The first bucket has no lower
// bound, the last no upper bound.
func DurationBuckets() []time.Duration {
	out := make([]time.Duration, len(durationBounds))
	for i, us := range durationBounds {
		out[i] = time.Duration(us) * time.Microsecond
	}
	return out
}

// durationBucket returns the number of a duration's bucket.
func durationBucket(d time.Duration) int {
	us := d.Microseconds()
	return sort.Search(len(durationBounds), func(i int) bool { return durationBounds[i] > us })
}

// sessionDuration returns how long an ended session lasted: until its latest activity if it ended
// as idle, else until its end.
func sessionDuration(s *Session) time.Duration {
	if s.EndReason == ReasonIdle {
		return s.LastActivity.Sub(s.LoginAt)
	}
	return s.LogoutAt.Sub(s.LoginAt)
}

// AddSignIns counts n begun sessions of one kind. An unknown name is empty. Names after the first
// 100 of their kind count as "other". Stores use it for RollUp.
func (c *HistoryCounts) AddSignIns(device DeviceType, browser, os, country string, n int) {
	countName(&c.Device, string(deviceTypes[deviceIndex(device)]), n)
	countName(&c.Browser, useragent.ReadableBrowser(browser), n)
	countName(&c.OS, useragent.Readable(os), n)
	countName(&c.Country, country, n)
}

// countName adds n to a name, or to "other" if there are too many names.
func countName(names *map[string]int, name string, n int) {
	if *names == nil {
		*names = make(map[string]int)
	}
	if _, known := (*names)[name]; !known && len(*names) >= maxQuarterNames {
		name = otherName
	}
	(*names)[name] += n
}

// AddDuration counts one ended session in the bucket of its duration (see [DurationBuckets]).
// Stores use it for RollUp.
func (c *HistoryCounts) AddDuration(d time.Duration) { c.addDuration(durationBucket(d), 1) }

func (c *HistoryCounts) addDuration(bucket, n int) {
	if c.Durations == nil {
		c.Durations = make(map[int]int)
	}
	c.Durations[bucket] += n
}

// merge adds other's counts.
func (c *HistoryCounts) merge(other *HistoryCounts) {
	for _, kind := range []struct {
		into *map[string]int
		from map[string]int
	}{{&c.Device, other.Device}, {&c.Browser, other.Browser}, {&c.OS, other.OS}, {&c.Country, other.Country}} {
		for _, name := range slices.Sorted(maps.Keys(kind.from)) {
			countName(kind.into, name, kind.from[name])
		}
	}
	for bucket, n := range other.Durations {
		c.addDuration(bucket, n)
	}
}

// Check returns an error for bounds that do not ascend, and for too few or too many of them.
func (q *HistoryQuery) Check() error {
	for _, bounds := range []struct {
		name  string
		times []time.Time
		most  int
	}{{"Steps", q.Steps, maxHistorySteps + 1}, {"Days", q.Days, maxHistorySteps + 2}} {
		if n := len(bounds.times); n < 2 || n > bounds.most {
			return mistake("read history: %s has %d bounds: want 2 to %d", bounds.name, n, bounds.most)
		}
		for i := 1; i < len(bounds.times); i++ {
			if !bounds.times[i-1].Before(bounds.times[i]) {
				return mistake("read history: %s: want bounds that ascend", strings.ToLower(bounds.name))
			}
		}
	}
	return nil
}

// span returns the start of a query's first step and the end of its last.
func (q *HistoryQuery) span() (from, to time.Time) { return q.Steps[0], q.Steps[len(q.Steps)-1] }

// spanOf returns the index of the span that contains at; false if there is none.
func spanOf(bounds []time.Time, at time.Time) (int, bool) {
	i := sort.Search(len(bounds), func(i int) bool { return bounds[i].After(at) })
	return i - 1, i > 0 && i < len(bounds)
}

// Gather computes the steps and the peaks of q from samples in the order of time. The store adds
// minutes and quarters. Stores that keep samples use it for ReadHistory.
func (q *HistoryQuery) Gather(samples []Sample) HistoryData {
	h := HistoryData{Steps: make([]HistoryStep, len(q.Steps)-1), Peaks: make([]Sample, len(q.Days)-1)}
	for _, sample := range samples {
		i, ok := spanOf(q.Steps, sample.At)
		if !ok {
			continue
		}
		h.Steps[i].add(&sample)
		if day, ok := spanOf(q.Days, sample.At); ok {
			if peak := &h.Peaks[day]; peak.At.IsZero() || sample.Online > peak.Online {
				*peak = sample
			}
		}
	}
	return h
}

func (s *HistoryStep) add(sample *Sample) {
	s.Samples++
	s.Online += sample.Online
	s.PeakOnline = max(s.PeakOnline, sample.Online)
	s.Sessions += sample.Sessions
	if sample.Devices == (DeviceCounts{}) && sample.Sessions > 0 {
		return // a sample without device types
	}
	s.DeviceSamples++
	for i, n := range sample.Devices {
		s.Devices[i] += n
	}
}
