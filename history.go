package sessiontrack

import (
	"cmp"
	"context"
	"math"
	"slices"
	"time"

	"github.com/sessiontrack/sessiontrack/internal/calendar"
)

// StepSize is the length of a history's steps.
type StepSize string

// These are the sizes of steps. Hours and days are those of the query's time zone: a day has 23, 24
// or 25 hours.
const (
	StepMinute StepSize = "1m"
	StepHour   StepSize = "1h"
	StepDay    StepSize = "1d"
)

// HistoryRange selects a history.
type HistoryRange struct {
	// From and To are the range, which is widened to whole steps. Default: the 24 hours before the
	// store's time.
	From, To time.Time
	// Step is the size of the steps. Default [StepHour]. A range has at most 2,000 steps.
	Step StepSize
	// Zone is where hours and days begin. Default: Options.TimeZone.
	Zone *time.Location
}

// History is the history of a range.
type History struct {
	From, To time.Time // as requested
	Step     StepSize
	Zone     *time.Location
	At       time.Time // the store's time of the answer
	// Points are the steps that have samples.
	Points []HistoryPoint
	// Peaks are the days that have samples, each with its highest one.
	Peaks []DayPeak
	// Durations are those of the sessions that ended in the range.
	Durations Durations
	// SignIns are the sessions that began in the range, by day of week (Monday first) and hour of
	// day.
	SignIns [7][24]int
	// Devices, Browsers, Systems and Countries are the sessions that began in the range, most
	// frequent first: at most 20 names, and the rest as "other". An unknown value is "unknown".
	// Like Durations and SignIns they are stored per quarter of an hour, so the range is widened to
	// whole quarters for them.
	Devices, Browsers, Systems, Countries []NameCount
}

// HistoryPoint is one step.
type HistoryPoint struct {
	At time.Time // its beginning
	// OnlineUsers, ActiveSessions and Devices are the rounded means of the step's samples, one a
	// minute. PeakOnlineUsers is the highest sample.
	OnlineUsers, PeakOnlineUsers, ActiveSessions int
	Devices                                      DeviceCounts
	// Logins and Ends are the sessions that began and ended in the step. The last two minutes are
	// not counted yet.
	Logins, Ends int
}

// DayPeak is the time of a day at which most users were online.
type DayPeak struct {
	Day   time.Time // its beginning in the zone
	Users int
	At    time.Time
}

// Durations summarizes how long sessions lasted: from the login to the end, or to the latest
// activity if they ended as idle. Quantiles are exact to a fifth (see [DurationBuckets]), and 0 if
// Count is 0.
type Durations struct {
	Count       int
	Median, P90 time.Duration
}

// NameCount is the number of sessions with a name.
type NameCount struct {
	Name  string
	Count int
}

// history returns what happened over a range.
func (f *figures) history(ctx context.Context, r HistoryRange) (History, error) {
	f.defaultRange(&r)
	q, err := r.query()
	if err != nil {
		return History{}, err
	}
	if f.backend.historian == nil {
		data := f.samples.history(q, fromMicros(f.clock.Now()))
		return r.historyOf(&q, &data), nil
	}
	data, err := f.backend.readHistory(ctx, q)
	if err != nil {
		return History{}, err
	}
	return r.historyOf(&q, &data), nil
}

// history answers from this process's own samples.
func (m *sampleMemory) history(q HistoryQuery, now time.Time) HistoryData {
	m.mu.Lock()
	defer m.mu.Unlock()
	h := q.Gather(m.samples)
	h.Now = now
	return h
}

func (f *figures) defaultRange(r *HistoryRange) {
	if r.To.IsZero() {
		r.To = fromMicros(f.clock.Now())
	}
	if r.From.IsZero() {
		r.From = r.To.Add(-24 * time.Hour)
	}
	if r.Step == "" {
		r.Step = StepHour
	}
	if r.Zone == nil {
		r.Zone = f.zone
	}
}

// query divides the range into steps and days.
func (r *HistoryRange) query() (q HistoryQuery, err error) {
	if !r.From.Before(r.To) {
		return q, errHistoryRange
	}
	if !slices.Contains([]StepSize{StepMinute, StepHour, StepDay}, r.Step) {
		return q, errHistoryStep
	}
	if q.Steps, err = bounds(r.From, r.To, r.firstOf, r.nextOf); err != nil {
		return q, err
	}
	from, to := q.span()
	day := func(at time.Time) time.Time { return calendar.Day(at, r.Zone) }
	next := func(at time.Time) time.Time { return calendar.NextDay(at, r.Zone) }
	q.Days, err = bounds(from, to, day, next)
	return q, err
}

var (
	errHistoryRange  = mistake("from: want a time before to")
	errHistoryStep   = mistake("step: want 1m, 1h or 1d")
	errHistoryPoints = mistake("step: the range has more than %d of them", maxHistorySteps)
)

// bounds returns the starts of all steps from the one that contains from to the first one that is
// not before to.
func bounds(from, to time.Time, first, next func(time.Time) time.Time) ([]time.Time, error) {
	out := []time.Time{first(from)}
	for last := out[0]; last.Before(to); {
		if len(out) > maxHistorySteps {
			return nil, errHistoryPoints
		}
		last = next(last)
		out = append(out, last)
	}
	return out, nil
}

// firstOf returns the start of the step that contains at.
func (r *HistoryRange) firstOf(at time.Time) time.Time {
	switch r.Step {
	case StepMinute:
		return at.Truncate(time.Minute)
	case StepDay:
		return calendar.Day(at, r.Zone)
	}
	return calendar.Hour(at.In(r.Zone))
}

// nextOf returns the start of the step after the one that starts at at.
func (r *HistoryRange) nextOf(at time.Time) time.Time {
	switch r.Step {
	case StepMinute:
		return at.Add(time.Minute)
	case StepDay:
		return calendar.NextDay(at, r.Zone)
	}
	next := calendar.Hour(at.Add(time.Hour).In(r.Zone))
	if !next.After(at) { // the clocks went back by less than an hour
		next = at.Add(time.Hour)
	}
	return next
}

// historyOf builds the answer from the store's data.
func (r *HistoryRange) historyOf(q *HistoryQuery, data *HistoryData) History {
	h := History{From: r.From, To: r.To, Step: r.Step, Zone: r.Zone, At: data.Now}
	for i := range data.Steps {
		if s := &data.Steps[i]; s.Samples > 0 {
			h.Points = append(h.Points, s.point(q.Steps[i]))
		}
	}
	for i, peak := range data.Peaks {
		if !peak.At.IsZero() {
			h.Peaks = append(h.Peaks, DayPeak{Day: q.Days[i], Users: peak.Online, At: peak.At})
		}
	}
	var all HistoryCounts
	for i := range data.Quarters {
		quarter := &data.Quarters[i]
		all.sum(&quarter.Counts)
		local := quarter.At.In(r.Zone)
		h.SignIns[(local.Weekday()+6)%7][local.Hour()] += quarter.Logins
	}
	h.Durations = durationsOf(all.Durations)
	h.Devices, h.Browsers = sharesOf(all.Device), sharesOf(all.Browser)
	h.Systems, h.Countries = sharesOf(all.OS), sharesOf(all.Country)
	return h
}

func (s *HistoryStep) point(at time.Time) HistoryPoint {
	p := HistoryPoint{
		At: at, OnlineUsers: mean(s.Online, s.Samples), PeakOnlineUsers: s.PeakOnline,
		ActiveSessions: mean(s.Sessions, s.Samples), Logins: s.Logins, Ends: s.Ends,
	}
	for i, sum := range s.Devices {
		p.Devices[i] = mean(sum, s.DeviceSamples)
	}
	return p
}

// mean divides and rounds half up.
func mean(sum, n int) int {
	if n == 0 {
		return 0
	}
	return (2*sum + n) / (2 * n)
}

// sum adds other's counts. It does not bound the number of names; sharesOf does.
func (c *HistoryCounts) sum(other *HistoryCounts) {
	for _, kind := range []struct {
		into *map[string]int
		from map[string]int
	}{{&c.Device, other.Device}, {&c.Browser, other.Browser}, {&c.OS, other.OS}, {&c.Country, other.Country}} {
		for name, n := range kind.from {
			if *kind.into == nil {
				*kind.into = make(map[string]int)
			}
			(*kind.into)[name] += n
		}
	}
	for bucket, n := range other.Durations {
		c.addDuration(bucket, n)
	}
}

// maxShares bounds the names of one kind in an answer.
const maxShares = 20

// sharesOf sorts names by count, and equal counts by name. The names above maxShares are added up
// as "other", which then comes last.
func sharesOf(counts map[string]int) []NameCount {
	all := make([]NameCount, 0, len(counts))
	for name, n := range counts {
		if name == "" {
			name = string(DeviceUnknown)
		}
		all = append(all, NameCount{name, n})
	}
	slices.SortFunc(all, func(a, b NameCount) int { return cmp.Or(b.Count-a.Count, cmp.Compare(a.Name, b.Name)) })
	if len(all) <= maxShares {
		return all
	}
	rest := NameCount{Name: otherName}
	kept := make([]NameCount, 0, maxShares+1)
	for _, share := range all {
		if len(kept) < maxShares && share.Name != otherName {
			kept = append(kept, share)
		} else {
			rest.Count += share.Count
		}
	}
	return append(kept, rest)
}

// durationsOf computes quantiles from buckets.
func durationsOf(buckets map[int]int) (d Durations) {
	for _, n := range buckets {
		d.Count += n
	}
	d.Median, d.P90 = quantile(buckets, d.Count, 0.5), quantile(buckets, d.Count, 0.9)
	return d
}

// quantile returns the geometric middle of the bucket that contains the duration with that rank.
func quantile(buckets map[int]int, count int, q float64) time.Duration {
	rank := int(math.Ceil(q * float64(count)))
	for i := 0; i <= len(durationBounds) && count > 0; i++ {
		if rank -= buckets[i]; rank > 0 {
			continue
		}
		lower, upper := durationBounds[max(i-1, 0)], durationBounds[min(i, len(durationBounds)-1)]
		if i == 0 {
			lower = upper / 4
		}
		return time.Duration(math.Sqrt(float64(lower)*float64(upper))) * time.Microsecond
	}
	return 0
}
