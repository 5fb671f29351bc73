package sessiontrack

import (
	"cmp"
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
	s.mu.RLock()
	defer s.mu.RUnlock()
	p := memoryPage{query: q, now: s.now()}
	if q.UserID != "" {
		p.fillFromUser(s.users[q.UserID])
	} else {
		p.fillFromUsers(s.usersFrom(q))
	}
	return p.page(), nil
}

// memoryPage collects a page, plus one row to know whether another page follows.
type memoryPage struct {
	query Query
	now   time.Time
	rows  []*memoryRow
}

// page copies the rows out. The caller still holds the lock.
func (p *memoryPage) page() Page {
	out := Page{Now: p.now}
	if len(p.rows) > p.query.Limit {
		p.rows = p.rows[:p.query.Limit]
		last := p.rows[p.query.Limit-1]
		if p.query.UserID != "" {
			out.Next = Cursor{At: last.LoginAt, Serial: last.Serial}
		} else {
			out.Next = Cursor{At: fromMicros(last.user.seen), UserID: last.UserID, Serial: last.Serial}
		}
	}
	out.Sessions = make([]Session, len(p.rows))
	for i, row := range p.rows {
		out.Sessions[i] = row.Session
	}
	return out
}

// add adds a row if the query selects it, and reports whether to continue.
func (p *memoryPage) add(row *memoryRow) bool {
	q := &p.query
	if (q.Live || q.UserID == "") && (row.Ended() || !row.active(p.now, q.IdleTimeout)) ||
		q.Device != "" && row.Device.Type != q.Device ||
		q.Address.IsValid() && row.Address != q.Address {
		return true
	}
	p.rows = append(p.rows, row)
	return len(p.rows) <= q.Limit
}

// within reports whether the user's presence is inside the query's bound.
func (p *memoryPage) within(u *memoryUser) bool {
	return p.query.Within == 0 || u.seen > p.now.Add(-p.query.Within).UnixMicro()
}

// fillFromUser adds one user's sessions, latest login first. It merges two lists by Serial from
// their ends. u may be nil.
func (p *memoryPage) fillFromUser(u *memoryUser) {
	if u == nil || !p.within(u) {
		return
	}
	live, ended := u.live, u.ended
	if p.query.Live {
		ended = nil
	}
	if !p.query.After.IsZero() {
		live, ended = before(live, p.query.After), before(ended, p.query.After)
	}
	for more := true; more && len(live)+len(ended) > 0; {
		list := &live
		if len(live) == 0 || len(ended) > 0 && ended[len(ended)-1].Serial > live[len(live)-1].Serial {
			list = &ended
		}
		last := len(*list) - 1
		more = p.add((*list)[last])
		*list = (*list)[:last]
	}
}

// before returns the rows of a list by Serial that come before a user page's cursor.
func before(list []*memoryRow, c Cursor) []*memoryRow {
	at, _ := slices.BinarySearchFunc(list, c, func(row *memoryRow, c Cursor) int {
		return cmp.Or(row.LoginAt.Compare(c.At), cmp.Compare(row.Serial, c.Serial))
	})
	return list[:at]
}

// fillFromUsers adds the live sessions of users, who come in the order of activity.
func (p *memoryPage) fillFromUsers(users iter.Seq[*memoryUser]) {
	after := p.query.After
	for u := range users {
		if !p.within(u) {
			return
		}
		resumed := !after.IsZero() && u.seen == after.At.UnixMicro() && u.id == after.UserID
		for _, row := range slices.Backward(u.live) {
			if resumed && row.Serial >= after.Serial {
				continue
			}
			if !p.add(row) {
				return
			}
		}
	}
}

// usersFrom yields the online users that q selects, from its cursor on and including the cursor's
// user.
func (s *MemoryStore) usersFrom(q Query) iter.Seq[*memoryUser] {
	first := firstUser(q.After)
	if len(q.UserIDs) == 0 {
		return s.online.From(first)
	}
	var users []*memoryUser
	for _, id := range q.UserIDs {
		if u := s.users[id]; u != nil && u.seen != 0 && byActivity(u, first) >= 0 {
			users = append(users, u)
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
	out := OnlineUser{UserID: u.id, Sessions: len(u.live)}
	for _, row := range u.live {
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
