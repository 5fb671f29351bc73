package sessiontrack

import (
	"context"
	"slices"
	"time"

	"github.com/sessiontrack/sessiontrack/internal/calendar"
)

// maxSamples bounds the samples that a MemoryStore keeps: a month of minutes, at
// about 130 bytes each.
const maxSamples = int(memoryKeep / time.Minute)

// memoryCounts keeps the samples, and how the number of active sessions has moved
// since the latest.
type memoryCounts struct {
	samples []Sample
	moved   int
}

func (c *memoryCounts) begun() { c.moved++ }

// finished counts an end. Those that a limit of time ended were not active any
// more when the cleanup found them.
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

// peak returns the sample since a moment with the most online users, the earliest of
// equals.
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

// activeSessions counts the sessions inside both limits of time.
func (s *MemoryStore) activeSessions(now time.Time, idle time.Duration) (n int) {
	for row := range s.live.All() {
		if row.active(now, idle) {
			n++
		}
	}
	return n
}

// activeDevices counts them by device type.
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
	sample := Sample{
		At:             minute,
		VeryActive:     s.onlineWithin(now, q.Windows[0]),
		Online:         s.onlineWithin(now, q.Windows[1]),
		RecentlyActive: s.onlineWithin(now, q.Windows[2]),
		Devices:        s.activeDevices(now, q.IdleTimeout),
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
