package redisstore

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"time"

	"github.com/redis/rueidis"

	"github.com/sessiontrack/sessiontrack"
)

// Get implements [sessiontrack.Store]: the durable store's row, with the latest activity.
func (a *activity) Get(ctx context.Context, id sessiontrack.SessionID) (sessiontrack.Record, error) {
	record, err := a.durable.Get(ctx, id)
	if err != nil {
		return record, err
	}
	if record.Ended() {
		a.owners.forget(id)
		return record, nil
	}
	if err := a.learnTime(ctx); err != nil {
		return sessiontrack.Record{}, err
	}
	a.overlay(ctx, []*sessiontrack.Session{&record.Session})
	return record, nil
}

// overlay sets the latest activity of live sessions that come from the durable store. Of a
// session that Redis does not know, or while Redis is away, it is the latest that it can
// have been: nobody is taken for idle who is not.
func (a *activity) overlay(ctx context.Context, sessions []*sessiontrack.Session) {
	live := make([]sessiontrack.Session, 0, len(sessions))
	var at []*sessiontrack.Session
	for _, s := range sessions {
		if !s.Ended() {
			a.owners.learn(s, a.short(s.IdleTimeout))
			live, at = append(live, *s), append(at, s)
		}
	}
	known, err := a.scores(ctx, live)
	for i, s := range at {
		durable := s.LastActivity.UnixMicro()
		latest := durable
		switch {
		case err == nil && known[i].at > 0:
			latest = max(durable, known[i].at)
		case !a.short(s.IdleTimeout):
			latest = a.assumed(s.ID, durable)
		}
		s.LastActivity = timeOf(latest)
		if err == nil && known[i].seen > s.LastSeen.UnixMicro() {
			s.LastSeen = timeOf(known[i].seen)
		}
		if s.LastActivity.After(s.LastSeen) {
			s.LastSeen = s.LastActivity
		}
	}
}

// score is what Redis knows of a session, 0 for nothing.
type score struct{ at, seen int64 }

// scores returns what Redis knows of sessions.
func (a *activity) scores(ctx context.Context, sessions []sessiontrack.Session) ([]score, error) {
	if len(sessions) == 0 {
		return nil, nil
	}
	buckets := make(map[int][]int)
	for i := range sessions {
		b := a.ring.of(sessions[i].UserID)
		buckets[b] = append(buckets[b], i)
	}
	var commands rueidis.Commands
	var parts [][]int
	for b, places := range buckets {
		names := make([]string, len(places))
		for k, i := range places {
			names[k] = member(sessions[i].ID, sessions[i].UserID)
		}
		commands = append(commands,
			a.client.B().Zmscore().Key(a.ring.key(b, "act")).Member(names...).Build(),
			a.client.B().Zmscore().Key(a.ring.key(b, "seen")).Member(names...).Build())
		parts = append(parts, places)
	}
	answers, err := a.do(ctx, commands)
	if err != nil {
		return nil, err
	}
	out := make([]score, len(sessions))
	for i, places := range parts {
		used, err := answers[2*i].ToArray()
		if err != nil {
			return nil, err
		}
		sighted, err := answers[2*i+1].ToArray()
		if err != nil {
			return nil, err
		}
		for k, place := range places {
			out[place] = score{timeIn(&used[k]), timeIn(&sighted[k])}
		}
	}
	return out, nil
}

// timeIn is a time that is a score, 0 for none.
func timeIn(m *rueidis.RedisMessage) int64 {
	at, err := m.AsFloat64()
	if err != nil {
		return 0
	}
	return int64(at)
}

// List implements [sessiontrack.Store]. Lists by login come from the durable store; lists by
// activity come in the order of presence in Redis.
func (a *activity) List(ctx context.Context, q sessiontrack.Query) (sessiontrack.Page, error) {
	if err := q.Check(); err != nil {
		return sessiontrack.Page{}, err
	}
	if err := ctx.Err(); err != nil {
		return sessiontrack.Page{}, unavailable("list", err)
	}
	if _, order := q.Selection(); order == sessiontrack.SortLogin {
		return a.listByLogin(ctx, q)
	}
	return a.listByActivity(ctx, q)
}

func (a *activity) listByLogin(ctx context.Context, q sessiontrack.Query) (sessiontrack.Page, error) {
	a.settleFilter(ctx, &q.Filter, &q.IdleTimeout)
	page, err := a.listWithin(ctx, q)
	if err != nil {
		return sessiontrack.Page{}, err
	}
	a.overlayPage(ctx, &page)
	return page, nil
}

// listWithin is the durable store's list by login, without the users whose presence in Redis
// is longer ago than the query allows.
func (a *activity) listWithin(ctx context.Context, q sessiontrack.Query) (sessiontrack.Page, error) {
	if q.Within == 0 {
		return a.list(ctx, q)
	}
	within, limit := q.Within, q.Limit
	q.Within += 2 * time.Duration(a.follow) * time.Microsecond // the durable store's presence lags behind
	q.Limit = 100
	var out sessiontrack.Page
	for {
		page, err := a.list(ctx, q)
		if err != nil {
			return page, err
		}
		out.Now = page.Now
		names := make([]string, len(page.Sessions))
		for i, s := range page.Sessions {
			names[i] = s.UserID
		}
		users, err := a.presentNamed(ctx, names, page.Now.Add(-within).UnixMicro())
		if err != nil {
			return sessiontrack.Page{}, unavailable("list", err)
		}
		for _, s := range page.Sessions {
			if !slices.ContainsFunc(users, func(u sessiontrack.OnlineUser) bool { return u.UserID == s.UserID }) {
				continue
			}
			if len(out.Sessions) == limit {
				last := out.Sessions[limit-1]
				out.Next = sessiontrack.Cursor{At: last.LoginAt, Serial: last.Serial}
				return out, nil
			}
			out.Sessions = append(out.Sessions, s)
		}
		if q.After = page.Next; q.After.IsZero() {
			return out, nil
		}
	}
}

func (a *activity) overlayPage(ctx context.Context, page *sessiontrack.Page) {
	sessions := make([]*sessiontrack.Session, len(page.Sessions))
	for i := range sessions {
		sessions[i] = &page.Sessions[i]
	}
	a.overlay(ctx, sessions)
}

const (
	// usersAtOnce is how many users' sessions one question to the durable store is about.
	usersAtOnce = 50
	// fewSessions is up to how many sessions that a filter selects are read at once, by the
	// durable store's own indexes, in place of a walk over all users.
	fewSessions = 2000
)

// listByActivity reads users in the order of presence, and their sessions from the durable
// store, until the page is full.
func (a *activity) listByActivity(ctx context.Context, q sessiontrack.Query) (sessiontrack.Page, error) {
	a.settleFilter(ctx, &q.Filter, &q.IdleTimeout)
	first, err := a.list(ctx, sessiontrack.Query{Limit: 1})
	if err != nil {
		return first, err
	}
	page, least := sessiontrack.Page{Now: first.Now}, int64(-1)
	if q.AsOf.IsZero() {
		q.AsOf = page.Now // several questions about one moment
	}
	if q.Within > 0 {
		least = page.Now.Add(-q.Within).UnixMicro()
	}
	w := userWalk{of: a, least: least, place: q.After, included: true, names: q.Filter.Users}
	few, err := a.fewOf(ctx, &q)
	if err != nil {
		return sessiontrack.Page{}, err
	}
	if few != nil {
		w.names = slices.Collect(maps.Keys(few))
		w.done = len(few) == 0
	}
	for {
		users, err := w.next(ctx, usersAtOnce)
		if err != nil {
			return sessiontrack.Page{}, unavailable("list", err)
		}
		if len(users) == 0 {
			page.Next = sessiontrack.Cursor{}
			break
		}
		rows := few
		if few == nil {
			if rows, err = a.liveOf(ctx, &q, users); err != nil {
				return sessiontrack.Page{}, err
			}
		}
		if fill(&page, &q, users, rows) {
			break
		}
	}
	a.overlayPage(ctx, &page)
	return page, nil
}

// fewOf returns the sessions that a filter selects where they are few, by their users. It
// returns nil where they are many, or nothing but users narrows the list.
func (a *activity) fewOf(
	ctx context.Context, q *sessiontrack.Query,
) (map[string][]sessiontrack.Session, error) {
	narrow := q.Filter
	narrow.Users, narrow.State = nil, ""
	if narrow.IsZero() {
		return nil, nil
	}
	count, err := a.count(ctx, sessiontrack.CountQuery{
		Filter: q.Filter, IdleTimeout: q.IdleTimeout, Limit: fewSessions + 1,
	})
	if err != nil || !count.Exact || count.N > fewSessions {
		return nil, err
	}
	return a.rowsOf(ctx, sessiontrack.Query{Filter: q.Filter, IdleTimeout: q.IdleTimeout, AsOf: q.AsOf})
}

// fill adds the sessions of users to a page, and reports whether it is full and another row
// is known.
func fill(
	page *sessiontrack.Page, q *sessiontrack.Query, users []sessiontrack.OnlineUser,
	rows map[string][]sessiontrack.Session,
) (more bool) {
	for _, u := range users {
		for _, s := range rows[u.UserID] {
			if c := q.After; c.UserID == u.UserID && c.At.Equal(u.LastActivity) && s.Serial >= c.Serial {
				continue
			}
			if len(page.Sessions) == q.Limit {
				return true
			}
			page.Sessions = append(page.Sessions, s)
			page.Next = sessiontrack.Cursor{At: u.LastActivity, UserID: u.UserID, Serial: s.Serial}
		}
	}
	return false
}

// liveOf returns those sessions of users that a query selects.
func (a *activity) liveOf(
	ctx context.Context, q *sessiontrack.Query, users []sessiontrack.OnlineUser,
) (map[string][]sessiontrack.Session, error) {
	f := q.Filter
	f.Users = make([]string, len(users))
	for i, u := range users {
		f.Users[i] = u.UserID
	}
	return a.rowsOf(ctx, sessiontrack.Query{Filter: f, IdleTimeout: q.IdleTimeout, AsOf: q.AsOf})
}

// rowsOf reads a list of the durable store to its end, by users, each user's latest first.
func (a *activity) rowsOf(
	ctx context.Context, q sessiontrack.Query,
) (map[string][]sessiontrack.Session, error) {
	rows := make(map[string][]sessiontrack.Session)
	q.Sort, q.Limit = sessiontrack.SortLogin, 100
	for {
		page, err := a.list(ctx, q)
		if err != nil {
			return nil, err
		}
		for _, s := range page.Sessions {
			rows[s.UserID] = append(rows[s.UserID], s)
		}
		if q.After = page.Next; q.After.IsZero() {
			break
		}
	}
	for _, of := range rows {
		slices.SortFunc(of, func(x, y sessiontrack.Session) int { return cmp.Compare(y.Serial, x.Serial) })
	}
	return rows, nil
}

// Count implements [sessiontrack.Counter]: the durable store's, where it has one.
func (a *activity) Count(ctx context.Context, q sessiontrack.CountQuery) (sessiontrack.Count, error) {
	if err := q.Check(); err != nil {
		return sessiontrack.Count{}, err
	}
	if err := ctx.Err(); err != nil {
		return sessiontrack.Count{}, unavailable("count", err)
	}
	a.settleFilter(ctx, &q.Filter, &q.IdleTimeout)
	return a.count(ctx, q)
}

// count counts in the durable store, or by its lists up to the limit.
func (a *activity) count(ctx context.Context, q sessiontrack.CountQuery) (sessiontrack.Count, error) {
	if a.counter != nil {
		return a.counter.Count(ctx, q)
	}
	var out sessiontrack.Count
	users := make(map[string]struct{})
	list := sessiontrack.Query{
		Filter: q.Filter, IdleTimeout: q.IdleTimeout, Sort: sessiontrack.SortLogin, Limit: 100,
	}
	for {
		page, err := a.list(ctx, list)
		if err != nil {
			return sessiontrack.Count{}, err
		}
		if out.AsOf.IsZero() {
			out.AsOf = page.Now
		}
		for _, s := range page.Sessions {
			if out.N == q.Limit {
				return out, nil
			}
			out.N++
			users[s.UserID] = struct{}{}
			out.Users = len(users)
		}
		if list.After = page.Next; list.After.IsZero() {
			out.Exact = true
			return out, nil
		}
	}
}
