package sessiontrack

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"
)

// OnlineStats is who is here, and how many.
type OnlineStats struct {
	// At is the moment that the figures hold for.
	At time.Time
	// VeryActive, Online and RecentlyActive are users with a session that has not
	// ended and activity within Options.VeryActive, .Online and .RecentlyActive. Each
	// contains the one before; a user counts once.
	VeryActive, Online, RecentlyActive int
	// ActiveSessions are sessions that have not ended, inside both limits: the
	// latest sample's exact count, plus what has begun and minus what has been ended
	// since.
	ActiveSessions int
	// PeakUsers is the highest sample of Online since midnight in Options.TimeZone,
	// and PeakHour its hour there, 0 to 23; 0 and -1 before the day's first sample.
	PeakUsers int
	PeakHour  int
}

// statsFor is how long one answer of OnlineStats serves all who ask.
const statsFor = time.Second

// CountOnline returns how many users were active within the window, 1 minute to 24
// hours, and the moment that the figure holds for. Activity that this process holds is
// written first, at most once a second.
func (t *Tracker) CountOnline(ctx context.Context, window time.Duration) (int, time.Time, error) {
	if err := checkWindow(window); err != nil {
		return 0, time.Time{}, err
	}
	counts, now, err := t.countOnline(ctx, []time.Duration{window})
	if err != nil {
		return 0, time.Time{}, err
	}
	return counts[0], now, nil
}

// countOnline counts for several windows at one moment.
func (t *Tracker) countOnline(ctx context.Context, windows []time.Duration) ([]int, time.Time, error) {
	t.settle(ctx)
	ctx, cancel := t.writeContext(ctx)
	defer cancel()
	var counts []int
	var now time.Time
	var err error
	if t.online != nil {
		counts, now, err = t.online.CountOnline(ctx, windows)
	} else {
		counts, now, err = t.gatherCounts(ctx, windows)
	}
	if err == nil && len(counts) != len(windows) {
		err = ErrUnavailable
	}
	return counts, now, wrapped("CountOnline", err)
}

// gatherCounts answers for stores that cannot.
func (t *Tracker) gatherCounts(ctx context.Context, windows []time.Duration) ([]int, time.Time, error) {
	users, now, err := t.gatherOnline(ctx, slices.Max(windows))
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

// OnlineUsers returns a page of the users active within q.Window, latest first. Limit
// of 0 means 50, more than 100 is refused.
func (t *Tracker) OnlineUsers(ctx context.Context, q OnlineQuery) (OnlinePage, error) {
	if err := checkWindow(q.Window); err != nil {
		return OnlinePage{}, err
	}
	if q.Limit == 0 {
		q.Limit = 50
	}
	if q.Limit < 1 || q.Limit > 100 {
		return OnlinePage{}, fmt.Errorf("sessiontrack: OnlineUsers: OnlineQuery.Limit is %d: want 1 to 100", q.Limit)
	}
	return t.onlineUsers(ctx, q)
}

func (t *Tracker) onlineUsers(ctx context.Context, q OnlineQuery) (OnlinePage, error) {
	t.settle(ctx)
	ctx, cancel := t.writeContext(ctx)
	defer cancel()
	if t.online != nil {
		page, err := t.online.ListOnline(ctx, q)
		return page, wrapped("OnlineUsers", err)
	}
	users, now, err := t.gatherOnline(ctx, q.Window)
	if err != nil {
		return OnlinePage{}, wrapped("OnlineUsers", err)
	}
	return pageOf(users, q, now), nil
}

func checkWindow(window time.Duration) error {
	if window < time.Minute || window > 24*time.Hour {
		return fmt.Errorf("sessiontrack: the online window is %v: want 1m0s to 24h0m0s", window)
	}
	return nil
}

func wrapped(verb string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("sessiontrack: %s: %w", verb, asUnavailable(err))
}

// gatherOnline answers for stores that cannot: it walks all live sessions.
func (t *Tracker) gatherOnline(ctx context.Context, window time.Duration) ([]OnlineUser, time.Time, error) {
	users := make(map[string]*OnlineUser)
	q := Query{Live: true, Within: window, Limit: 100}
	for {
		page, err := t.store.List(ctx, q)
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

// pageOf cuts a page out of all users.
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
