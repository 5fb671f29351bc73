package sessiontrack

import (
	"context"
	"slices"
	"sort"
	"time"

	"github.com/sessiontrack/sessiontrack/internal/calendar"
)

// memoryKeep bounds the history of a MemoryStore.
const memoryKeep = 31 * 24 * time.Hour

// rolledUp is the rolled-up history of a MemoryStore, in the order of time.
type rolledUp struct {
	until    time.Time // the first minute that was not rolled up; zero if none was
	minutes  []memoryMinute
	quarters []HistoryQuarter
}

// memoryMinute is a minute in which sessions began or ended.
type memoryMinute struct {
	at           int64 // microseconds
	logins, ends int32
}

// RollUp implements [Historian].
func (s *MemoryStore) RollUp(ctx context.Context, keep time.Duration) error {
	if err := canceled(ctx, "roll up"); err != nil {
		return err
	}
	if err := notNegative("roll up", span{"keep", keep}); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	h, now := &s.history, s.now()
	until := now.Add(-rollUpLag).Truncate(time.Minute)
	if h.until.IsZero() {
		h.until = until.Add(-time.Minute)
	}
	if until.After(h.until) {
		s.rollUp(h.until, until)
		h.until = until
	}
	h.forget(now.Add(-min(keep, memoryKeep)))
	s.counts.forget(now.Add(-min(keep, memoryKeep)))
	return nil
}

// rollUp rolls up the minutes of [from, until).
func (s *MemoryStore) rollUp(from, until time.Time) {
	h, minutes := &s.history, make(map[int64]*memoryMinute)
	minute := func(at time.Time) *memoryMinute {
		us := at.Truncate(time.Minute).UnixMicro()
		if minutes[us] == nil {
			minutes[us] = &memoryMinute{at: us}
		}
		return minutes[us]
	}
	begun, _ := s.begunSince(ChangeQuery{Begun: from.Add(-time.Microsecond), Limit: len(s.rows)})
	for i := range begun {
		b := &begun[i]
		if !b.LoginAt.Before(until) {
			continue
		}
		minute(b.LoginAt).logins++
		q := h.quarter(b.LoginAt)
		q.Logins++
		q.Counts.AddSignIns(b.Device.Type, b.Device.Browser, b.Device.OS, b.Location.CountryCode, 1)
	}
	for _, ref := range s.ended.refs[s.ended.after(from.UnixMicro()-1):] {
		row, _ := s.lookup(ref)
		if row == nil || !row.LogoutAt.Before(until) {
			continue
		}
		minute(row.LogoutAt).ends++
		h.quarter(row.LogoutAt).Counts.addDuration(durationBucket(sessionDuration(&row.Session)), 1)
	}
	added := make([]memoryMinute, 0, len(minutes))
	for _, m := range minutes {
		added = append(added, *m)
	}
	slices.SortFunc(added, func(a, b memoryMinute) int { return int(a.at - b.at) })
	h.minutes = append(h.minutes, added...)
}

// quarter returns the quarter of an hour that contains at, and creates it if it is missing.
func (h *rolledUp) quarter(at time.Time) *HistoryQuarter {
	at = at.Truncate(quarter)
	i, found := slices.BinarySearchFunc(h.quarters, at, func(q HistoryQuarter, at time.Time) int {
		return q.At.Compare(at)
	})
	if !found {
		h.quarters = slices.Insert(h.quarters, i, HistoryQuarter{At: at})
	}
	return &h.quarters[i]
}

func (h *rolledUp) forget(before time.Time) {
	minutes := sort.Search(len(h.minutes), func(i int) bool { return h.minutes[i].at >= before.UnixMicro() })
	h.minutes = slices.Delete(h.minutes, 0, minutes)
	quarters := sort.Search(len(h.quarters), func(i int) bool { return !h.quarters[i].At.Before(before) })
	h.quarters = slices.Delete(h.quarters, 0, quarters)
}

func (c *memoryCounts) forget(before time.Time) {
	old := sort.Search(len(c.samples), func(i int) bool { return !c.samples[i].At.Before(before) })
	c.samples = slices.Delete(c.samples, 0, old)
}

// ReadHistory implements [Historian].
func (s *MemoryStore) ReadHistory(ctx context.Context, q HistoryQuery) (HistoryData, error) {
	if err := canceled(ctx, "read history"); err != nil {
		return HistoryData{}, err
	}
	if err := q.Check(); err != nil {
		return HistoryData{}, err
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	out := q.Gather(s.counts.samples)
	out.Now = s.now()
	for _, m := range s.history.minutes {
		if i, ok := spanOf(q.Steps, fromMicros(m.at)); ok {
			out.Steps[i].Logins += int(m.logins)
			out.Steps[i].Ends += int(m.ends)
		}
	}
	from, to := q.span()
	for _, stored := range s.history.quarters {
		if !stored.At.Before(from.Truncate(quarter)) && stored.At.Before(to) {
			own := HistoryQuarter{At: stored.At, Logins: stored.Logins} // the maps belong to the store
			own.Counts.merge(&stored.Counts)
			out.Quarters = append(out.Quarters, own)
		}
	}
	return out, nil
}

// maxSamples bounds the samples of a MemoryStore: a month of minutes, at about 130 bytes each.
const maxSamples = int(memoryKeep / time.Minute)

// memoryCounts holds the samples, and the change of the number of active sessions since the latest
// one.
type memoryCounts struct {
	samples []Sample
	moved   int
}

func (c *memoryCounts) begun() { c.moved++ }

// finished counts an end. A session that a time limit ended was no longer active when the cleanup
// ended it.
func (c *memoryCounts) finished(reason EndReason) {
	if !reason.byLimit() {
		c.moved--
	}
}

func (c *memoryCounts) latest() (Sample, bool) {
	if len(c.samples) == 0 {
		return Sample{}, false
	}
	return c.samples[len(c.samples)-1], true
}

// peak returns the sample with the most online users since a time, the earliest of equals.
func (c *memoryCounts) peak(since time.Time) (peak Sample) {
	for _, sample := range slices.Backward(c.samples) {
		if sample.At.Before(since) {
			break
		}
		if peak.At.IsZero() || sample.Online >= peak.Online {
			peak = sample
		}
	}
	return peak
}

// CountStats implements [Sampler].
func (s *MemoryStore) CountStats(ctx context.Context, q StatsQuery) (StatsCounts, error) {
	if err := canceled(ctx, "count stats"); err != nil {
		return StatsCounts{}, err
	}
	if err := q.Check(); err != nil {
		return StatsCounts{}, err
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	out := StatsCounts{Now: s.now()}
	for i, w := range q.Windows {
		out.Online[i] = s.onlineWithin(out.Now, w)
	}
	if sample, ok := s.counts.latest(); ok {
		out.Sessions = max(0, sample.Sessions+s.counts.moved)
	} else {
		out.Sessions = s.activeSessions(out.Now, q.IdleTimeout)
	}
	out.Peak = s.counts.peak(calendar.Day(out.Now, q.Zone))
	return out, nil
}

// onlineUsers returns the users within a query's windows, counted here or by the caller.
func (s *MemoryStore) onlineUsers(now time.Time, q *StatsQuery) (counts [3]int) {
	if q.Online != nil {
		return *q.Online
	}
	for i, w := range q.Windows {
		counts[i] = s.onlineWithin(now, w)
	}
	return counts
}

// activeSessions counts the sessions within both time limits.
func (s *MemoryStore) activeSessions(now time.Time, idle time.Duration) (n int) {
	for row := range s.live.All() {
		if row.active(now, idle) {
			n++
		}
	}
	return n
}

// activeDevices counts the sessions within both time limits by device type.
func (s *MemoryStore) activeDevices(now time.Time, idle time.Duration) (c DeviceCounts) {
	for row := range s.live.All() {
		if row.active(now, idle) {
			c.Add(row.Device.Type, 1)
		}
	}
	return c
}

// Sample implements [Sampler].
func (s *MemoryStore) Sample(ctx context.Context, q StatsQuery) (Sample, bool, error) {
	if err := canceled(ctx, "sample"); err != nil {
		return Sample{}, false, err
	}
	if err := q.Check(); err != nil {
		return Sample{}, false, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now()
	minute := now.Truncate(time.Minute)
	if latest, ok := s.counts.latest(); ok && !latest.At.Before(minute) {
		return latest, false, nil
	}
	online := s.onlineUsers(now, &q)
	sample := Sample{
		At: minute, VeryActive: online[0], Online: online[1], RecentlyActive: online[2],
		Devices: s.activeDevices(now, q.IdleTimeout),
	}
	for _, n := range sample.Devices {
		sample.Sessions += n
	}
	if len(s.counts.samples) == maxSamples {
		s.counts.samples = append(s.counts.samples[:0], s.counts.samples[1:]...)
	}
	s.counts.samples = append(s.counts.samples, sample)
	s.counts.moved = 0
	return sample, true, nil
}
