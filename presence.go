package sessiontrack

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	"github.com/sessiontrack/sessiontrack/internal/lifecycle"
	"github.com/sessiontrack/sessiontrack/internal/storeclock"
)

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
