package redisstore

import (
	"cmp"
	"context"
	"slices"

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
			a.owners.learn(s)
			live, at = append(live, *s), append(at, s)
		}
	}
	scores, err := a.scores(ctx, live)
	for i, s := range at {
		durable := s.LastActivity.UnixMicro()
		latest := a.assumed(s.ID, durable)
		if err == nil && scores[i] > 0 {
			latest = max(durable, scores[i])
		}
		s.LastActivity = timeOf(latest)
	}
}

// scores returns the activity that Redis has of sessions, 0 for none.
func (a *activity) scores(ctx context.Context, sessions []sessiontrack.Session) ([]int64, error) {
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
		commands = append(commands, a.client.B().Zmscore().Key(a.ring.key(b, "act")).Member(names...).Build())
		parts = append(parts, places)
	}
	answers, err := a.do(ctx, commands)
	if err != nil {
		return nil, err
	}
	out := make([]int64, len(sessions))
	for i, answer := range answers {
		scores, err := answer.ToArray()
		if err != nil {
			return nil, err
		}
		for k, place := range parts[i] {
			if score, err := scores[k].AsFloat64(); err == nil {
				out[place] = int64(score)
			}
		}
	}
	return out, nil
}

// List implements [sessiontrack.Store]. A user's sessions come from the durable store;
// everybody's come in the order of presence in Redis.
func (a *activity) List(ctx context.Context, q sessiontrack.Query) (sessiontrack.Page, error) {
	if err := q.Check(); err != nil {
		return sessiontrack.Page{}, err
	}
	if err := ctx.Err(); err != nil {
		return sessiontrack.Page{}, unavailable("list", err)
	}
	if q.UserID != "" {
		return a.listUser(ctx, q)
	}
	return a.listAll(ctx, q)
}

func (a *activity) listUser(ctx context.Context, q sessiontrack.Query) (sessiontrack.Page, error) {
	if q.Live {
		q.IdleTimeout = a.settledIdle(ctx, q.IdleTimeout)
	}
	if q.Within > 0 {
		users, err := a.presentNamed(ctx, []string{q.UserID}, a.clock.now()-q.Within.Microseconds())
		if err != nil {
			return sessiontrack.Page{}, unavailable("list", err)
		}
		if len(users) == 0 {
			page, err := a.list(ctx, sessiontrack.Query{UserID: q.UserID, Limit: 1})
			return sessiontrack.Page{Now: page.Now}, err
		}
		q.Within = 0
	}
	page, err := a.list(ctx, q)
	if err != nil {
		return page, err
	}
	a.overlayPage(ctx, &page)
	return page, nil
}

func (a *activity) overlayPage(ctx context.Context, page *sessiontrack.Page) {
	sessions := make([]*sessiontrack.Session, len(page.Sessions))
	for i := range sessions {
		sessions[i] = &page.Sessions[i]
	}
	a.overlay(ctx, sessions)
}

// usersAtOnce is how many users' sessions one question to the durable store is about.
const usersAtOnce = 50

// listAll reads users in the order of presence, and their sessions from the durable store,
// until the page is full.
func (a *activity) listAll(ctx context.Context, q sessiontrack.Query) (sessiontrack.Page, error) {
	if err := a.settle(ctx, q.IdleTimeout, 0); err != nil {
		return sessiontrack.Page{}, unavailable("list", err)
	}
	first, err := a.list(ctx, sessiontrack.Query{Limit: 1})
	if err != nil {
		return first, err
	}
	page := sessiontrack.Page{Now: first.Now}
	least := int64(-1)
	if q.Within > 0 {
		least = page.Now.Add(-q.Within).UnixMicro()
	}
	w := userWalk{of: a, least: least, place: q.After, included: true, names: q.UserIDs}
	for {
		users, err := w.next(ctx, usersAtOnce)
		if err != nil {
			return sessiontrack.Page{}, unavailable("list", err)
		}
		if len(users) == 0 {
			page.Next = sessiontrack.Cursor{}
			break
		}
		more, err := a.fill(ctx, &page, &q, users)
		if err != nil {
			return sessiontrack.Page{}, err
		}
		if more {
			break
		}
	}
	a.overlayPage(ctx, &page)
	return page, nil
}

// fill adds the sessions of users to a page, and reports whether it is full and another row
// is known.
func (a *activity) fill(
	ctx context.Context, page *sessiontrack.Page, q *sessiontrack.Query, users []sessiontrack.OnlineUser,
) (more bool, err error) {
	names := make([]string, len(users))
	for i, u := range users {
		names[i] = u.UserID
	}
	rows, err := a.liveOf(ctx, sessiontrack.Query{
		UserIDs: names, IdleTimeout: a.allowed(q.IdleTimeout), Device: q.Device, Address: q.Address,
	})
	if err != nil {
		return false, err
	}
	for _, u := range users {
		for _, s := range rows[u.UserID] {
			if c := q.After; c.UserID == u.UserID && c.At.Equal(u.LastActivity) && s.Serial >= c.Serial {
				continue
			}
			if len(page.Sessions) == q.Limit {
				return true, nil
			}
			page.Sessions = append(page.Sessions, s)
			page.Next = sessiontrack.Cursor{At: u.LastActivity, UserID: u.UserID, Serial: s.Serial}
		}
	}
	return false, nil
}

// liveOf returns the live sessions of users, each user's latest first.
func (a *activity) liveOf(
	ctx context.Context, q sessiontrack.Query,
) (map[string][]sessiontrack.Session, error) {
	rows := make(map[string][]sessiontrack.Session, len(q.UserIDs))
	q.Live, q.Limit = true, 100
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

// userWalk reads users by presence, latest first and then by id.
type userWalk struct {
	of       *activity
	least    int64
	place    sessiontrack.Cursor
	included bool     // the user at the place belongs to the walk
	names    []string // only these users; empty: all
	done     bool
}

// next returns the next users, none at the end.
func (w *userWalk) next(ctx context.Context, limit int) ([]sessiontrack.OnlineUser, error) {
	if w.done {
		return nil, nil
	}
	var users []sessiontrack.OnlineUser
	var err error
	if len(w.names) > 0 {
		w.done = true
		users, err = w.of.presentNamed(ctx, w.names, w.least)
		limit = len(users)
	} else {
		users, err = w.of.present(ctx, w.least, w.place, limit)
	}
	if err != nil {
		return nil, err
	}
	users = slices.DeleteFunc(users, func(u sessiontrack.OnlineUser) bool { return w.before(&u) })
	slices.SortFunc(users, func(x, y sessiontrack.OnlineUser) int {
		return cmp.Or(y.LastActivity.Compare(x.LastActivity), cmp.Compare(x.UserID, y.UserID))
	})
	users = users[:min(limit, len(users))]
	if len(users) > 0 {
		last := users[len(users)-1]
		w.place, w.included = sessiontrack.Cursor{At: last.LastActivity, UserID: last.UserID}, false
	}
	return users, nil
}

// before reports whether a user comes before the place of the walk.
func (w *userWalk) before(u *sessiontrack.OnlineUser) bool {
	if w.place.IsZero() {
		return false
	}
	order := cmp.Or(w.place.At.Compare(u.LastActivity), cmp.Compare(u.UserID, w.place.UserID))
	return order < 0 || order == 0 && !w.included
}

// present returns users from a place on, at least so many where there are.
func (a *activity) present(
	ctx context.Context, least int64, place sessiontrack.Cursor, limit int,
) ([]sessiontrack.OnlineUser, error) {
	from := ""
	if !place.IsZero() {
		from = micros(place.At.UnixMicro())
	}
	args := []string{micros(least), from, micros(int64(limit))}
	answers, err := a.askPresence(ctx, usersScript, a.everywhere(args, "on", "state"))
	if err != nil {
		return nil, err
	}
	var users []sessiontrack.OnlineUser
	for _, answer := range answers {
		rows, err := answer.AsStrSlice()
		if err != nil {
			return nil, err
		}
		for k := 0; k+1 < len(rows); k += 2 {
			users = append(users, sessiontrack.OnlineUser{UserID: rows[k], LastActivity: timeOf(number(rows[k+1]))})
		}
	}
	return users, nil
}

// presentNamed returns those of some users that have presence later than a time.
func (a *activity) presentNamed(ctx context.Context, names []string, least int64) ([]sessiontrack.OnlineUser, error) {
	names = slices.Compact(slices.Sorted(slices.Values(names)))
	buckets := make(map[int][]string)
	for _, name := range names {
		b := a.ring.of(name)
		buckets[b] = append(buckets[b], name)
	}
	var calls []call
	for b, in := range buckets {
		for part := range slices.Chunk(in, maxArgs) {
			calls = append(calls, call{a.ring.keys(b, "on", "state"), part})
		}
	}
	answers, err := a.askPresence(ctx, presenceScript, calls)
	if err != nil {
		return nil, err
	}
	var users []sessiontrack.OnlineUser
	for i, answer := range answers {
		scores, err := answer.AsStrSlice()
		if err != nil {
			return nil, err
		}
		for k, score := range scores {
			if at := number(score); score != "" && at > least {
				users = append(users, sessiontrack.OnlineUser{UserID: calls[i].args[k], LastActivity: timeOf(at)})
			}
		}
	}
	return users, nil
}

// askPresence runs a script that needs whole presence, and has it brought back first where
// Redis has lost it.
func (a *activity) askPresence(ctx context.Context, s script, calls []call) ([]rueidis.RedisMessage, error) {
	for try := 0; ; try++ {
		if err := a.ready(ctx); err != nil {
			return nil, err
		}
		answers, err := a.ask(ctx, s, calls)
		if err != errLost || try == 1 {
			return answers, err
		}
		a.whole.Store(false)
	}
}
