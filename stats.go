package sessiontrack

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/sessiontrack/sessiontrack/internal/calendar"
)

// sharedStats shares one answer among all who ask within a second, and one question to the
// store among all who ask while it is under way.
type sharedStats struct {
	mu     sync.Mutex
	latest *statsReply // the latest successful answer
	asked  *statsReply // the answer that callers wait for
}

// statsReply is complete after done is closed.
type statsReply struct {
	done  chan struct{}
	at    int64 // local microseconds
	stats OnlineStats
	err   error
}

// onlineStats returns the figures of this moment or of up to a second ago.
func (f *figures) onlineStats(ctx context.Context) (OnlineStats, error) {
	a, mine := f.shared.join(f.clock.Local())
	if mine {
		if run := f.life.Begin(); run != nil {
			go func() {
				defer run.Done()
				f.answerStats(detached(ctx), a)
			}()
		} else {
			f.answerStats(ctx, a)
		}
	}
	select {
	case <-a.done:
		return a.stats, a.err
	case <-ctx.Done():
		return OnlineStats{}, fmt.Errorf("%w: %w", ErrUnavailable, ctx.Err())
	}
}

// join returns the answer to wait for, and whether the caller must fetch it.
func (m *sharedStats) join(local int64) (*statsReply, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.latest != nil && local-m.latest.at < statsFor.Microseconds() {
		return m.latest, false
	}
	if m.asked != nil {
		return m.asked, false
	}
	m.asked = &statsReply{done: make(chan struct{})}
	return m.asked, true
}

// answerStats asks the store on behalf of all callers that wait.
func (f *figures) answerStats(ctx context.Context, a *statsReply) {
	f.touches.flushBeforeRead(ctx)
	counts, err := f.countStats(detached(ctx))
	a.stats, a.err, a.at = f.statsOf(counts), err, f.clock.Local()
	f.shared.answered(a)
}

func (m *sharedStats) answered(a *statsReply) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.asked = nil; a.err == nil {
		m.latest = a
	}
	close(a.done)
}

// last returns the latest figures, however old.
func (m *sharedStats) last() OnlineStats {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.latest == nil {
		return OnlineStats{}
	}
	return m.latest.stats
}

func (f *figures) statsOf(c StatsCounts) OnlineStats {
	s := OnlineStats{
		At: c.Now, VeryActive: c.Online[0], Online: c.Online[1], RecentlyActive: c.Online[2],
		ActiveSessions: max(c.Sessions, 0), PeakHour: -1,
	}
	if !c.Peak.At.IsZero() {
		s.PeakUsers, s.PeakHour = c.Peak.Online, c.Peak.At.In(f.zone).Hour()
	}
	return s
}

func (f *figures) statsQuery() StatsQuery {
	return StatsQuery{Windows: f.windows, IdleTimeout: f.idle, Zone: f.zone}
}

func (f *figures) countStats(ctx context.Context) (StatsCounts, error) {
	if f.backend.sampler != nil {
		return f.backend.countStats(ctx, f.statsQuery())
	}
	ctx, cancel := f.backend.long(ctx)
	defer cancel()
	counts, err := f.gatherStats(ctx)
	if err == nil {
		counts.Peak = f.samples.peak(counts.Now, f.zone)
	}
	return counts, err
}

// gatherStats walks all live sessions, for stores that are no Sampler.
func (f *figures) gatherStats(ctx context.Context) (c StatsCounts, err error) {
	q := f.statsQuery()
	latest := make(map[string]time.Time)
	list := Query{Live: true, IdleTimeout: q.IdleTimeout, Limit: 100}
	for {
		page, err := f.backend.list(ctx, list)
		if err != nil {
			return c, err
		}
		c.Sessions, c.Now = c.Sessions+len(page.Sessions), page.Now
		for _, s := range page.Sessions {
			if s.LastActivity.After(latest[s.UserID]) {
				latest[s.UserID] = s.LastActivity
			}
		}
		if list.After = page.Next; list.After.IsZero() {
			break
		}
	}
	for _, at := range latest {
		for i, window := range q.Windows {
			if c.Now.Sub(at) < window {
				c.Online[i]++
			}
		}
	}
	return c, nil
}

// sampleMemory keeps samples in memory, for stores without Sampler.
type sampleMemory struct {
	mu      sync.Mutex
	samples []Sample // by At, at most two days
}

const samplesKept = 2 * 24 * 60

func (m *sampleMemory) add(s Sample) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if n := len(m.samples); n > 0 && !m.samples[n-1].At.Before(s.At) {
		return
	}
	if len(m.samples) == samplesKept {
		m.samples = append(m.samples[:0], m.samples[1:]...)
	}
	m.samples = append(m.samples, s)
}

// peak returns the first of the highest samples of now's day in zone.
func (m *sampleMemory) peak(now time.Time, zone *time.Location) (peak Sample) {
	m.mu.Lock()
	defer m.mu.Unlock()
	today := calendar.Day(now, zone)
	for _, s := range m.samples {
		if !s.At.Before(today) && (peak.At.IsZero() || s.Online > peak.Online) {
			peak = s
		}
	}
	return peak
}

// sample takes this minute's sample unless another replica has taken it.
func (f *figures) sample(ctx context.Context) {
	if f.backend.away() {
		return
	}
	f.touches.flushBeforeRead(ctx)
	if f.backend.sampler == nil {
		f.sampleHere(ctx)
		return
	}
	taken, err := f.backend.sample(detached(ctx), f.statsQuery())
	if err == nil && taken {
		err = f.backend.rollUp(ctx, f.retention) // on the replica that took the sample
	}
	if err != nil && ctx.Err() == nil {
		f.host.log.LogAttrs(ctx, warn, "sessiontrack: the sample was not taken", errAttr(err))
	}
}

// sampleHere keeps a sample in memory, for stores that are no Sampler.
func (f *figures) sampleHere(ctx context.Context) {
	ctx, cancel := f.backend.long(detached(ctx))
	defer cancel()
	c, err := f.gatherStats(ctx)
	if err != nil {
		return
	}
	f.samples.add(Sample{
		At: c.Now.Truncate(time.Minute), VeryActive: c.Online[0], Online: c.Online[1], RecentlyActive: c.Online[2],
		Sessions: c.Sessions,
	})
}
