package sessiontrack

import (
	"context"
	"iter"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sessiontrack/sessiontrack/internal/storeclock"
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

// maxAuditInMemory bounds the trail of a MemoryStore. The oldest records go first.
const maxAuditInMemory = 100_000

// memoryClock is the time of a MemoryStore.
type memoryClock struct {
	// latest is the latest time that was handed out. fed is the latest Now of the feed of ended
	// sessions. Both are in microseconds.
	latest, fed atomic.Int64
}

func (c *memoryClock) now() time.Time {
	return fromMicros(storeclock.Raise(&c.latest, time.Now().UnixMicro()))
}

// tick returns a time that is later than every Now of the feed, so that a reader of the feed that
// asks for later ends gets one with this time.
func (c *memoryClock) tick() time.Time {
	return fromMicros(storeclock.Raise(&c.latest, max(time.Now().UnixMicro(), c.fed.Load()+1)))
}

// memoryAudit is the trail of a MemoryStore. It is safe for concurrent use.
type memoryAudit struct {
	times *memoryClock

	mu sync.Mutex
	// records are in the order of their serials, of which the first one's is first.
	records []AuditRecord
	first   int64
}

// append adds a record.
func (a *memoryAudit) append(r AuditRecord, now time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	r.At = now
	if n := len(a.records); n > 0 && r.At.Before(a.records[n-1].At) {
		r.At = a.records[n-1].At // the order of the serials is that of the times
	}
	if len(a.records) >= maxAuditInMemory {
		a.drop(1)
	}
	a.records = append(a.records, r)
}

// drop forgets the n oldest records.
func (a *memoryAudit) drop(n int) {
	clear(a.records[:n])
	a.records, a.first = a.records[n:], a.first+int64(n)
}

// Record implements [Auditor].
func (a *memoryAudit) Record(ctx context.Context, r AuditRecord) error {
	if err := canceled(ctx, "record"); err != nil {
		return err
	}
	if err := r.Check(); err != nil {
		return err
	}
	a.append(r, a.times.now())
	return nil
}

// Audit implements [Auditor].
func (a *memoryAudit) Audit(ctx context.Context, q AuditQuery) (page AuditPage, err error) {
	if err := canceled(ctx, "audit"); err != nil {
		return page, err
	}
	if err := q.Check(); err != nil {
		return page, err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	for i, r := range slices.Backward(a.records) {
		serial := a.first + int64(i)
		if !q.matches(&r, serial) {
			continue
		}
		if len(page.Records) == q.Limit {
			page.Next = Cursor{At: page.Records[q.Limit-1].At, Serial: page.Next.Serial}
			return page, nil
		}
		page.Records, page.Next.Serial = append(page.Records, r), serial
	}
	page.Next = Cursor{}
	return page, nil
}

// PurgeAudit implements [Auditor].
func (a *memoryAudit) PurgeAudit(ctx context.Context, keep time.Duration, limit int) (int, error) {
	if err := canceled(ctx, "purge audit"); err != nil {
		return 0, err
	}
	if err := CheckPurgeAudit(keep, limit); err != nil {
		return 0, err
	}
	before := a.times.now().Add(-keep)
	a.mu.Lock()
	defer a.mu.Unlock()
	n := 0
	for n < min(limit, len(a.records)) && a.records[n].At.Before(before) {
		n++
	}
	a.drop(n)
	return n, nil
}
