package sessiontrack

import (
	"context"
	"sync"
	"time"

	"github.com/sessiontrack/sessiontrack/internal/calendar"
)

// statsMemory shares one answer among all who ask within a second, and one question of
// the store among all who ask while it is under way.
type statsMemory struct {
	mu     sync.Mutex
	latest *statsReply // the last good one
	asked  *statsReply // the one that is awaited
}

// statsReply is complete once done is closed.
type statsReply struct {
	done  chan struct{}
	at    int64 // local microseconds
	stats OnlineStats
	err   error
}

// OnlineStats returns the figures of this moment; they may be up to a second old, as
// At says. It waits for the store, and no longer than ctx.
func (t *Tracker) OnlineStats(ctx context.Context) (OnlineStats, error) {
	a, mine := t.shared.join(t.clock.Local())
	if mine {
		if run := t.life.Begin(); run != nil {
			go func() {
				defer run.Done()
				t.answerStats(context.WithoutCancel(ctx), a)
			}()
		} else {
			t.answerStats(ctx, a)
		}
	}
	select {
	case <-a.done:
		return a.stats, a.err
	case <-ctx.Done():
		return OnlineStats{}, wrapped("OnlineStats", ctx.Err())
	}
}

// join returns the answer to wait for, and whether the caller has to see to it.
func (m *statsMemory) join(local int64) (*statsReply, bool) {
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

// answerStats asks the store for all who wait.
func (t *Tracker) answerStats(ctx context.Context, a *statsReply) {
	a.err = wrapped("OnlineStats", t.withStore(func() error {
		t.settle(ctx)
		counts, err := t.countStats(ctx)
		a.stats = t.statsOf(counts)
		return err
	}))
	a.at = t.clock.Local()
	t.shared.answered(a)
}

func (m *statsMemory) answered(a *statsReply) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.asked = nil; a.err == nil {
		m.latest = a
	}
	close(a.done)
}

// last returns the latest figures that were told, as of whenever that was.
func (m *statsMemory) last() OnlineStats {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.latest == nil {
		return OnlineStats{}
	}
	return m.latest.stats
}

func (t *Tracker) statsOf(c StatsCounts) OnlineStats {
	s := OnlineStats{
		At: c.Now, VeryActive: c.Online[0], Online: c.Online[1], RecentlyActive: c.Online[2],
		ActiveSessions: max(c.Sessions, 0), PeakHour: -1,
	}
	if !c.Peak.At.IsZero() {
		s.PeakUsers, s.PeakHour = c.Peak.Online, c.Peak.At.In(t.zone).Hour()
	}
	return s
}

func (t *Tracker) statsQuery() StatsQuery {
	return StatsQuery{
		Windows:     [3]time.Duration{t.opts.VeryActive, t.opts.Online, t.opts.RecentlyActive},
		IdleTimeout: t.opts.IdleTimeout, Zone: t.zone,
	}
}

func (t *Tracker) countStats(ctx context.Context) (StatsCounts, error) {
	ctx, cancel := t.writeContext(ctx)
	defer cancel()
	if t.sampler != nil {
		return t.sampler.CountStats(ctx, t.statsQuery())
	}
	counts, err := t.gatherStats(ctx)
	if err == nil {
		counts.Peak = t.samples.peak(counts.Now, t.zone)
	}
	return counts, err
}

// gatherStats answers for stores that cannot: it walks all live sessions.
func (t *Tracker) gatherStats(ctx context.Context) (c StatsCounts, err error) {
	q := t.statsQuery()
	latest := make(map[string]time.Time)
	list := Query{Live: true, IdleTimeout: q.IdleTimeout, Limit: 100}
	for {
		page, err := t.store.List(ctx, list)
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

// sampleMemory keeps a day's samples for stores that keep none.
type sampleMemory struct {
	mu      sync.Mutex
	samples []Sample // by At, at most two days' worth
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

// peak is the first of the highest samples of now's day in zone.
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

// sample takes this minute's sample where no other replica has.
func (t *Tracker) sample(ctx context.Context) {
	if t.down.Load() {
		return
	}
	t.settle(ctx)
	storeCtx, cancel := t.writeContext(ctx)
	defer cancel()
	if t.sampler != nil {
		_, taken, err := t.sampler.Sample(storeCtx, t.statsQuery())
		if err == nil && taken {
			err = t.rollUp(ctx)
		}
		if err != nil && ctx.Err() == nil {
			t.opts.Logger.LogAttrs(ctx, warn, "sessiontrack: no sample taken", errAttr(err))
		}
		return
	}
	c, err := t.gatherStats(storeCtx)
	if err != nil {
		return
	}
	t.samples.add(Sample{
		At: c.Now.Truncate(time.Minute), VeryActive: c.Online[0], Online: c.Online[1], RecentlyActive: c.Online[2], Sessions: c.Sessions,
	})
}

// rollUp adds up what began and ended, on the replica that took the minute's sample.
func (t *Tracker) rollUp(ctx context.Context) error {
	recorder, ok := t.store.(Historian)
	if !ok {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, historyPatience)
	defer cancel()
	return recorder.RollUp(ctx, t.opts.HistoryRetention)
}
