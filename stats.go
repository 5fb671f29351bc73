package sessiontrack

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sessiontrack/sessiontrack/internal/calendar"
	"github.com/sessiontrack/sessiontrack/internal/lifecycle"
	"github.com/sessiontrack/sessiontrack/internal/storeclock"
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
	s, taken, err := f.backend.sample(detached(ctx), f.statsQuery())
	if err == nil && !s.At.IsZero() {
		f.latest.Store(&s)
	}
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
	s := Sample{
		At: c.Now.Truncate(time.Minute), VeryActive: c.Online[0], Online: c.Online[1], RecentlyActive: c.Online[2],
		Sessions: c.Sessions,
	}
	f.samples.add(s)
	f.latest.Store(&s)
}

// OnlineStats are the figures of online users and active sessions.
type OnlineStats struct {
	// At is the time of the figures.
	At time.Time
	// VeryActive, Online and RecentlyActive are the users with a session that has not ended and
	// activity within Options.VeryActive, .Online and .RecentlyActive. Each contains the one
	// before. A user counts once.
	VeryActive, Online, RecentlyActive int
	// ActiveSessions are the sessions that have not ended and are within both time limits: the
	// exact count of the latest sample, plus begun and minus ended sessions since then.
	ActiveSessions int
	// PeakUsers is the highest sample of Online since midnight in Options.TimeZone, and PeakHour
	// its hour there, 0 to 23. They are 0 and -1 before the day's first sample.
	PeakUsers int
	PeakHour  int
}

// statsFor is how long one answer of OnlineStats is reused.
const statsFor = time.Second

// figures answers who is online, how many, and how it was. It walks all sessions where the
// store has no capability for a question.
type figures struct {
	windows   [3]time.Duration // VeryActive, Online, RecentlyActive
	idle      time.Duration
	retention time.Duration // HistoryRetention
	zone      *time.Location

	backend *backend
	touches *touches
	host    *host
	life    *lifecycle.Runner
	clock   *storeclock.Clock

	samples sampleMemory
	shared  sharedStats
	latest  atomic.Pointer[Sample] // that this process knows of
}

func (f *figures) init(o *Options, zone *time.Location, u *touches) {
	f.windows = [3]time.Duration{o.VeryActive, o.Online, o.RecentlyActive}
	f.idle, f.retention, f.zone = o.IdleTimeout, o.HistoryRetention, zone
	f.backend, f.touches, f.host, f.life, f.clock = u.backend, u, u.host, u.life, u.clock
}

// countOnline counts for several windows at one time.
func (f *figures) countOnline(ctx context.Context, windows []time.Duration) ([]int, time.Time, error) {
	f.touches.flushBeforeRead(ctx)
	if f.backend.online != nil {
		return f.backend.countOnline(detached(ctx), windows)
	}
	ctx, cancel := f.backend.long(detached(ctx))
	defer cancel()
	return f.gatherCounts(ctx, windows)
}

// gatherCounts counts for stores that are no OnlineReader.
func (f *figures) gatherCounts(ctx context.Context, windows []time.Duration) ([]int, time.Time, error) {
	users, now, err := f.gatherOnline(ctx, slices.Max(windows))
	counts := make([]int, len(windows))
	for _, u := range users {
		for i, window := range windows {
			if now.Sub(u.LastActivity) < window {
				counts[i]++
			}
		}
	}
	return counts, now, err
}

// onlineUsers returns a page of online users.
func (f *figures) onlineUsers(ctx context.Context, q OnlineQuery) (OnlinePage, error) {
	f.touches.flushBeforeRead(ctx)
	if f.backend.online != nil {
		return f.backend.listOnline(detached(ctx), q)
	}
	ctx, cancel := f.backend.long(detached(ctx))
	defer cancel()
	users, now, err := f.gatherOnline(ctx, q.Window)
	if err != nil {
		return OnlinePage{}, err
	}
	return pageOf(users, q, now), nil
}

func checkWindow(window time.Duration) error {
	if window < time.Minute || window > 24*time.Hour {
		return mistake("the online window is %v: want 1m0s to 24h0m0s", window)
	}
	return nil
}

// gatherOnline walks all live sessions, for stores that are no OnlineReader.
func (f *figures) gatherOnline(ctx context.Context, window time.Duration) ([]OnlineUser, time.Time, error) {
	users := make(map[string]*OnlineUser)
	q := Query{Live: true, Within: window, Limit: 100}
	for {
		page, err := f.backend.list(ctx, q)
		if err != nil {
			return nil, time.Time{}, err
		}
		for _, s := range page.Sessions {
			user := users[s.UserID]
			if user == nil {
				user = &OnlineUser{UserID: s.UserID}
				users[s.UserID] = user
			}
			user.Sessions++
			if s.LastActivity.After(user.LastActivity) {
				user.LastActivity = s.LastActivity
			}
		}
		if q.After = page.Next; q.After.IsZero() {
			return sortedUsers(users), page.Now, nil
		}
	}
}

func sortedUsers(users map[string]*OnlineUser) []OnlineUser {
	list := make([]OnlineUser, 0, len(users))
	for _, user := range users {
		list = append(list, *user)
	}
	slices.SortFunc(list, func(a, b OnlineUser) int {
		return cmp.Or(b.LastActivity.Compare(a.LastActivity), strings.Compare(a.UserID, b.UserID))
	})
	return list
}

// pageOf returns one page of all users.
func pageOf(users []OnlineUser, q OnlineQuery, now time.Time) OnlinePage {
	if !q.After.IsZero() {
		users = slices.DeleteFunc(users, func(u OnlineUser) bool {
			return cmp.Or(q.After.At.Compare(u.LastActivity), strings.Compare(u.UserID, q.After.UserID)) <= 0
		})
	}
	page := OnlinePage{Users: users, Now: now}
	if len(users) > q.Limit {
		page.Users = users[:q.Limit]
		last := page.Users[q.Limit-1]
		page.Next = Cursor{At: last.LastActivity, UserID: last.UserID}
	}
	return page
}
