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

// Historian is a [Sampler] that also adds up what began and ended, minute by minute, so
// that history never looks at sessions. Without it history consists of the samples in a
// Tracker's own memory.
type Historian interface {
	Sampler

	// RollUp adds up the minutes that are over, at least ten seconds ago, and have not
	// been, each exactly once whoever calls, and forgets what is older than keep.
	RollUp(ctx context.Context, keep time.Duration) error

	// ReadHistory returns what lies in q's steps and days, as [HistoryData] says.
	ReadHistory(ctx context.Context, q HistoryQuery) (HistoryData, error)
}

// HistoryQuery asks for history. Bounds ascend; n+1 of them make n spans, each with
// its beginning and without its end.
type HistoryQuery struct {
	Steps []time.Time // 2 to 2,001, at full minutes
	Days  []time.Time // 2 to 2,002, around the steps
}

// HistoryData is the answer to a [HistoryQuery].
type HistoryData struct {
	// Steps has an element for each of the query's.
	Steps []HistoryStep
	// Peaks has the sample with the most online users of each day, the earliest of
	// equals; its At is zero where there is none. Only samples within Steps count.
	Peaks []Sample
	// Quarters are the quarters of an hour that overlap Steps and in which anything
	// began or ended, in order.
	Quarters []HistoryQuarter
	Now      time.Time
}

// HistoryStep is what lies in one step.
type HistoryStep struct {
	// Samples is how many there are; Online, Sessions and Devices are their sums,
	// PeakOnline the highest of Online. DeviceSamples of them tell Devices.
	Samples, DeviceSamples int
	Online, Sessions       int
	PeakOnline             int
	Devices                DeviceCounts
	// Logins and Ends are sessions that began and that ended.
	Logins, Ends int
}

// HistoryQuarter is a quarter of an hour, in which every time zone's days and hours
// begin.
type HistoryQuarter struct {
	At     time.Time
	Logins int
	Counts HistoryCounts
}

// HistoryCounts are how many sessions began, by what; unknown is the empty name. Each
// has at most 101 names, what is more is under "other". Durations are the sessions
// that ended, by the number of their bucket (see [DurationBuckets]).
type HistoryCounts struct {
	Device    map[string]int `json:"device,omitempty"`
	Browser   map[string]int `json:"browser,omitempty"`
	OS        map[string]int `json:"os,omitempty"`
	Country   map[string]int `json:"country,omitempty"`
	Durations map[int]int    `json:"durations,omitempty"`
}

const (
	quarter = 15 * time.Minute
	// rollUpLag is how long after its end a minute is added up: what began in it is
	// committed within two seconds, and its browser named within a few.
	rollUpLag = 10 * time.Second
	// rollUpSpan is how many minutes one transaction adds up after a pause.
	rollUpSpan = time.Hour
	// maxHistorySteps bounds a question.
	maxHistorySteps = 2000
	// maxQuarterNames bounds the names of a kind in one quarter.
	maxQuarterNames = 100
	// otherName stands for the names that are left out.
	otherName = "other"
)

// durationBounds are the bounds of durations in microseconds: from a second to 48
// days, four to each doubling, so that a duration is known to within a fifth.
var durationBounds = func() (bounds [4*22 + 1]int64) {
	for i := range bounds {
		bounds[i] = int64(math.Round(1e6 * math.Pow(2, float64(i)/4)))
	}
	return bounds
}()

// DurationBuckets returns the bounds of the buckets that durations are counted in:
// bucket i holds what is at least the bound i-1 and less than the bound i; the first
// has no lower bound, the last no upper one.
func DurationBuckets() []time.Duration {
	out := make([]time.Duration, len(durationBounds))
	for i, us := range durationBounds {
		out[i] = time.Duration(us) * time.Microsecond
	}
	return out
}

// durationBucket is the number of a duration's bucket.
func durationBucket(d time.Duration) int {
	us := d.Microseconds()
	return sort.Search(len(durationBounds), func(i int) bool { return durationBounds[i] > us })
}

// SessionDuration is how long an ended session lasted: to its latest activity where it
// ended as idle, else to its end.
func sessionDuration(s *Session) time.Duration {
	if s.EndReason == ReasonIdle {
		return s.LastActivity.Sub(s.LoginAt)
	}
	return s.LogoutAt.Sub(s.LoginAt)
}

// AddSignIns counts n sessions that began alike. An unknown name is the empty text. A
// name beyond the first 100 of its kind is counted as "other". Stores use it for RollUp.
func (c *HistoryCounts) AddSignIns(device DeviceType, browser, os, country string, n int) {
	countName(&c.Device, string(deviceTypes[deviceIndex(device)]), n)
	countName(&c.Browser, useragent.Readable(browser), n)
	countName(&c.OS, useragent.Readable(os), n)
	countName(&c.Country, country, n)
}

// countName adds to a name, or to "other" where there are too many.
func countName(names *map[string]int, name string, n int) {
	if *names == nil {
		*names = make(map[string]int)
	}
	if _, known := (*names)[name]; !known && len(*names) >= maxQuarterNames {
		name = otherName
	}
	(*names)[name] += n
}

// AddDuration counts one ended session by how long it lasted, in the bucket that
// [DurationBuckets] gives. Stores use it for RollUp.
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

// Check reports bounds that do not ascend, too few of them or too many.
func (q *HistoryQuery) Check() error {
	for _, bounds := range []struct {
		name  string
		times []time.Time
		most  int
	}{{"Steps", q.Steps, maxHistorySteps + 1}, {"Days", q.Days, maxHistorySteps + 2}} {
		if n := len(bounds.times); n < 2 || n > bounds.most {
			return mistake("read history: %d bounds of %s, want 2 to %d", n, bounds.name, bounds.most)
		}
		for i := 1; i < len(bounds.times); i++ {
			if !bounds.times[i-1].Before(bounds.times[i]) {
				return mistake("read history: %s: want bounds that ascend", strings.ToLower(bounds.name))
			}
		}
	}
	return nil
}

// span is the whole of a query's steps.
func (q *HistoryQuery) span() (from, to time.Time) { return q.Steps[0], q.Steps[len(q.Steps)-1] }

// spanOf returns the index of the span that holds at; false outside of all.
func spanOf(bounds []time.Time, at time.Time) (int, bool) {
	i := sort.Search(len(bounds), func(i int) bool { return bounds[i].After(at) })
	return i - 1, i > 0 && i < len(bounds)
}

// Gather answers the steps and the peaks of q from samples in the order of time; minutes and
// quarters are left to the store. Stores that keep samples use it for ReadHistory.
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
		return // one that does not tell
	}
	s.DeviceSamples++
	for i, n := range sample.Devices {
		s.Devices[i] += n
	}
}
