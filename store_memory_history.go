package sessiontrack

import (
	"context"
	"slices"
	"sort"
	"time"
)

// memoryKeep bounds the history of a MemoryStore.
const memoryKeep = 31 * 24 * time.Hour

// rolledUp is what a MemoryStore has added up, in the order of time.
type rolledUp struct {
	until    time.Time // the first minute that has not been added up; zero: none has
	minutes  []memoryMinute
	quarters []HistoryQuarter
}

// memoryMinute is a minute in which something began or ended.
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

// rollUp adds up the minutes of [from, until).
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

// quarter returns the quarter of an hour around at, made where it is missing.
func (h *rolledUp) quarter(at time.Time) *HistoryQuarter {
	at = at.Truncate(quarter)
	i, found := slices.BinarySearchFunc(h.quarters, at, func(q HistoryQuarter, at time.Time) int { return q.At.Compare(at) })
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
			own := HistoryQuarter{At: stored.At, Logins: stored.Logins} // the maps are the store's
			own.Counts.merge(&stored.Counts)
			out.Quarters = append(out.Quarters, own)
		}
	}
	return out, nil
}
