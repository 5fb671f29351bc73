package sessiontrack

import (
	"context"
	"iter"
	"slices"
	"time"
)

// List implements [Store].
func (s *MemoryStore) List(ctx context.Context, q Query) (Page, error) {
	if err := canceled(ctx, "list"); err != nil {
		return Page{}, err
	}
	if err := q.Check(); err != nil {
		return Page{}, err
	}
	f, order := q.Selection()
	s.mu.RLock()
	defer s.mu.RUnlock()
	page := Page{Now: s.now()}
	l := &memoryList{s, &f, q.IdleTimeout, page.Now, q.AsOf}
	rows := l.byLogin
	if order == SortActivity {
		rows = l.byActivity
	}
	page.fill(rows(&q), q.Limit, order)
	return page, nil
}

// fill copies the rows of a page out. One more than limit says that another page follows.
func (page *Page) fill(rows []*memoryRow, limit int, order Sort) {
	if len(rows) > limit {
		rows = rows[:limit]
		last := rows[limit-1]
		page.Next = Cursor{At: last.LoginAt, Serial: last.Serial}
		if order == SortActivity {
			page.Next = Cursor{At: fromMicros(last.user.seen), UserID: last.UserID, Serial: last.Serial}
		}
	}
	page.Sessions = make([]Session, len(rows))
	for i, row := range rows {
		page.Sessions[i] = row.Session
	}
}

// within reports whether a user's presence is inside a bound; zero means no bound.
func (u *memoryUser) within(bound time.Duration, now time.Time) bool {
	return bound == 0 || u.seen > now.Add(-bound).UnixMicro()
}

// fewRows is up to how many rows are found by their facts and then sorted, where a walk through all
// users by activity would take longer.
const fewRows = 1000

// byActivity returns the rows that a query selects, in the order of their users' activity, at most
// one more than it asks for.
func (l *memoryList) byActivity(q *Query) (rows []*memoryRow) {
	for u := range l.usersFrom(q.After) {
		if !u.within(q.Within, l.now) {
			break
		}
		resumed := !q.After.IsZero() && u.seen == q.After.At.UnixMicro() && u.id == q.After.UserID
		for _, row := range slices.Backward(u.live) {
			if resumed && row.Serial >= q.After.Serial || !l.selects(row) {
				continue
			}
			if rows = append(rows, row); len(rows) > q.Limit {
				return rows
			}
		}
	}
	return rows
}

// usersFrom yields the online users who may have what the filter selects, in the order of their activity, from
// a cursor on and including the cursor's user.
func (l *memoryList) usersFrom(after Cursor) iter.Seq[*memoryUser] {
	f := l.filter
	first := firstUser(after)
	var users []*memoryUser
	add := func(u *memoryUser) {
		if u != nil && u.seen != 0 && byActivity(u, first) >= 0 {
			users = append(users, u)
		}
	}
	list := l.index.shortest(f, false)
	switch {
	case len(f.Users) > 0:
		for _, id := range f.Users {
			add(l.users[id])
		}
	case list == nil:
	case list.Len() > fewRows || !f.byFacts():
		return l.online.From(first)
	default:
		for row := range list.All() {
			add(row.user)
		}
	}
	slices.SortFunc(users, byActivity)
	return slices.Values(slices.Compact(users))
}

// firstUser returns where the users of a page begin in the order of activity.
func firstUser(c Cursor) *memoryUser {
	if c.IsZero() {
		return &memoryUser{seen: maxMicros}
	}
	return &memoryUser{seen: c.At.UnixMicro(), id: c.UserID}
}

// ListOnline implements [OnlineReader].
func (s *MemoryStore) ListOnline(ctx context.Context, q OnlineQuery) (OnlinePage, error) {
	if err := canceled(ctx, "list online"); err != nil {
		return OnlinePage{}, err
	}
	if err := q.Check(); err != nil {
		return OnlinePage{}, err
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	page := OnlinePage{Now: s.now(), Users: make([]OnlineUser, 0, q.Limit)}
	first, oldest := firstUser(q.After), page.Now.Add(-q.Window).UnixMicro()
	var last *memoryUser
	for u := range s.online.From(first) {
		if u.seen <= oldest {
			break
		}
		if !q.After.IsZero() && byActivity(u, first) == 0 {
			continue
		}
		if len(page.Users) == q.Limit {
			page.Next = Cursor{At: fromMicros(last.seen), UserID: last.id}
			break
		}
		last = u
		page.Users = append(page.Users, u.entry())
	}
	return page, nil
}

// entry describes an online user. Presence moves in steps, so the latest activity comes from the
// sessions.
func (u *memoryUser) entry() OnlineUser {
	out := OnlineUser{UserID: u.id, LastActivity: fromMicros(u.seen)}
	for _, row := range u.live {
		if row.ActedBy != "" {
			continue
		}
		out.Sessions++
		if row.LastActivity.After(out.LastActivity) {
			out.LastActivity = row.LastActivity
		}
	}
	return out
}

// CountOnline implements [OnlineReader].
func (s *MemoryStore) CountOnline(ctx context.Context, windows []time.Duration) ([]int, time.Time, error) {
	if err := canceled(ctx, "count online"); err != nil {
		return nil, time.Time{}, err
	}
	if err := checkWindows("count online", windows); err != nil {
		return nil, time.Time{}, err
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	now, counts := s.now(), make([]int, len(windows))
	for i, w := range windows {
		counts[i] = s.onlineWithin(now, w)
	}
	return counts, now, nil
}

// onlineWithin counts the users whose presence lies in (now-w, now].
func (s *MemoryStore) onlineWithin(now time.Time, w time.Duration) int {
	return s.online.CountBefore(&memoryUser{seen: now.Add(-w).UnixMicro()})
}
