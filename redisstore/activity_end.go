package redisstore

import (
	"context"
	"log/slog"
	"slices"
	"time"

	"github.com/sessiontrack/sessiontrack"
)

// Create implements [sessiontrack.Store]: the durable store decides and writes. Whether a
// user's other sessions are idle, which limits depend on, it knows from settle.
func (a *activity) Create(
	ctx context.Context, n sessiontrack.NewSession,
) (sessiontrack.CreateResult, error) {
	if err := n.Check(); err != nil {
		return sessiontrack.CreateResult{}, err
	}
	a.prepare(ctx)
	if n.Limit > 0 {
		n.IdleTimeout = a.settledIdle(ctx, n.IdleTimeout)
	}
	if n.Limit > 0 && n.Policy == sessiontrack.EndLeastActive {
		a.bringUp(ctx, sessiontrack.Criteria{UserID: n.Session.UserID})
	}
	before := a.clock.local()
	created, err := a.durable.Create(ctx, n)
	if err != nil {
		return created, err
	}
	s := &created.Session
	a.clock.learn(s.LoginAt, before)
	a.owners.learn(s, a.short(s.IdleTimeout))
	t := touched{record: sessiontrack.TouchRecord{ID: s.ID}, at: s.LoginAt.UnixMicro()}
	t.owner, _ = a.owners.of(s.ID)
	if err := a.enter(context.WithoutCancel(ctx), []touched{t}, 0); err != nil {
		// The session exists. Its user comes online with the first touch that arrives.
		a.log.LogAttrs(ctx, slog.LevelDebug, "redisstore: a sign-in was not written to redis", slog.Any("error", err))
	}
	if s.ActedBy != "" {
		a.review(ctx, s.UserID)
	}
	a.leave(ctx, created.Ended)
	return created, nil
}

// End implements [sessiontrack.Store]: the durable store decides and writes. Before that it
// is told of the activity that it does not have.
func (a *activity) End(
	ctx context.Context, sel sessiontrack.Selector, e sessiontrack.Ending,
) (sessiontrack.EndResult, error) {
	c, err := sel.Criteria()
	if err == nil {
		err = e.Check()
	}
	if err != nil {
		return sessiontrack.EndResult{}, err
	}
	if err := ctx.Err(); err != nil {
		return sessiontrack.EndResult{}, unavailable("end", err)
	}
	switch f := c.Filter; {
	case c.IdleFor > 0 || c.PastIdle || f != nil && f.IdleFor+f.SeenWithin > 0:
		return a.endIdle(ctx, sel, c, e)
	case f != nil:
		return a.endMatching(ctx, sel, c, e)
	}
	a.bringUp(ctx, c)
	return a.end(ctx, sel, e)
}

// end ends sessions in the durable store and takes them out of Redis.
func (a *activity) end(
	ctx context.Context, sel sessiontrack.Selector, e sessiontrack.Ending,
) (sessiontrack.EndResult, error) {
	before := a.clock.local()
	ended, err := a.durable.End(ctx, sel, e)
	if err != nil {
		return ended, err
	}
	a.clock.learn(ended.At, before)
	a.leave(ctx, ended.Sessions)
	return ended, nil
}

// strictFor is how long touches go to the durable store first around an end of sessions
// that have been idle for less than it takes to be sure otherwise. The end has less time.
const strictFor, strictEnd = 6 * time.Second, 4 * time.Second

// endIdle ends sessions by their activity. The durable store knows all that matters when
// it decides: settle has brought it up, and a touch of a session that is about to be ended
// goes there first, where it comes before the end or after it.
func (a *activity) endIdle(
	ctx context.Context, sel sessiontrack.Selector, c sessiontrack.Criteria, e sessiontrack.Ending,
) (sessiontrack.EndResult, error) {
	bounded, cancel := context.WithTimeout(ctx, strictEnd)
	defer cancel()
	limit, strict := shortestOf(c), time.Duration(0)
	if a.short(limit) {
		strict = strictFor
	}
	if err := a.settle(bounded, limit, strict); err != nil {
		return sessiontrack.EndResult{}, unavailable("end", err)
	}
	return a.end(bounded, a.allowedSelector(sel, c), e)
}

// endMatching ends the active sessions that a filter selects. Where the durable store may lack
// activity, sessions past the idle limit of all others end, too: better than leaving one out
// that is in use.
func (a *activity) endMatching(
	ctx context.Context, sel sessiontrack.Selector, c sessiontrack.Criteria, e sessiontrack.Ending,
) (sessiontrack.EndResult, error) {
	err := a.settle(ctx, c.IdleTimeout, 0)
	if err != nil || a.allowed(c.IdleTimeout) != c.IdleTimeout {
		sel = rebuilt(*c.Filter, c)
	}
	return a.end(ctx, sel, e)
}

// rebuilt is a selector by a filter, without the idle limit that a Tracker gives it.
func rebuilt(f sessiontrack.Filter, c sessiontrack.Criteria) sessiontrack.Selector {
	sel := sessiontrack.Matching(f).AsOf(c.AsOf)
	if len(c.IDs) > 0 {
		sel = sel.Only(c.IDs...)
	}
	return sel.Walk(c.After, c.Walk)
}

// shortestOf returns the shortest time without activity that criteria ask about.
func shortestOf(c sessiontrack.Criteria) time.Duration {
	shortest := c.IdleFor
	if c.Filter == nil {
		return shortest
	}
	for _, d := range [...]time.Duration{c.Filter.IdleFor, c.Filter.SeenWithin, c.IdleTimeout} {
		if d > 0 && (shortest == 0 || d < shortest) {
			shortest = d
		}
	}
	return shortest
}

// allowedSelector is a selector with the limits by which the durable store may decide.
func (a *activity) allowedSelector(sel sessiontrack.Selector, c sessiontrack.Criteria) sessiontrack.Selector {
	switch {
	case c.PastIdle:
		slack := c.Slack
		if a.since.Load() != 0 { // own limits may be of any length
			slack += time.Duration(a.follow) * time.Microsecond
		}
		return sessiontrack.PastIdle(a.allowed(c.IdleFor), slack).Walk(c.After, c.Walk)
	case c.IdleFor > 0:
		return sessiontrack.Idle(a.allowed(c.IdleFor)).Walk(c.After, c.Walk)
	case a.allowed(c.Filter.IdleFor) != c.Filter.IdleFor:
		f := *c.Filter
		f.IdleFor = a.allowed(f.IdleFor)
		return rebuilt(f, c)
	}
	return sel
}

// bringUp tells the durable store of the activity of sessions that are about to end, so
// that their rows say when they were last used. It does what it can: their ends do not
// depend on it.
func (a *activity) bringUp(ctx context.Context, c sessiontrack.Criteria) {
	var named []sessiontrack.Session
	for _, id := range c.IDs {
		if known, ok := a.owners.of(id); ok {
			named = append(named, sessiontrack.Session{ID: id, UserID: known.user, LastActivity: timeOf(known.durable)})
		}
	}
	if c.UserID != "" {
		page, err := a.list(ctx, sessiontrack.Query{UserID: c.UserID, Live: true, Limit: 100})
		if err != nil {
			return
		}
		named = page.Sessions
	}
	scores, err := a.scores(ctx, named)
	if err != nil {
		return
	}
	var later []touched
	for i, s := range named {
		if known := scores[i]; max(known.at, known.seen) > s.LastActivity.UnixMicro() {
			later = append(later, touched{
				record: sessiontrack.TouchRecord{ID: s.ID, Serial: s.Serial}, at: known.at, seen: known.seen,
			})
		}
	}
	if len(later) > 0 {
		_, err = a.writeDurable(ctx, later, time.Duration(a.follow)*time.Microsecond)
	}
	if err != nil {
		a.log.LogAttrs(ctx, slog.LevelDebug, "redisstore: the last activity of ended sessions was not written",
			slog.Any("error", err))
	}
}

// maxOwed bounds the ended sessions that Redis has not been told of. Beyond it they are
// found out when they are touched, or fall out of every window.
const maxOwed = 10_000

// leave takes ended sessions out of Redis, and their users offline who have none left.
// What fails is tried again with the next end, and with the next reading of the feed.
func (a *activity) leave(ctx context.Context, ended []sessiontrack.Session) {
	for i := range ended {
		a.owners.forget(ended[i].ID)
	}
	a.mu.Lock()
	ended = append(a.owed, ended...)
	a.owed = nil
	a.mu.Unlock()
	if len(ended) == 0 {
		return
	}
	if err := a.leaveNow(context.WithoutCancel(ctx), ended); err != nil {
		a.mu.Lock()
		a.owed = append(a.owed, ended...)
		a.owed = a.owed[max(0, len(a.owed)-maxOwed):]
		a.mu.Unlock()
	}
}

func (a *activity) leaveNow(ctx context.Context, ended []sessiontrack.Session) error {
	members, users := make(map[int][]string), make(map[int][]string)
	for i := range ended {
		b := a.ring.of(ended[i].UserID)
		members[b] = append(members[b], member(ended[i].ID, ended[i].UserID))
		users[b] = append(users[b], ended[i].UserID)
	}
	return a.askAbout(ctx, members, users)
}

// review puts right whether a user is online in whose place an administrator has signed in.
func (a *activity) review(ctx context.Context, user string) {
	err := a.askAbout(context.WithoutCancel(ctx), nil, map[int][]string{a.ring.of(user): {user}})
	if err != nil {
		a.log.LogAttrs(ctx, slog.LevelDebug, "redisstore: a sign-in was not written to redis", slog.Any("error", err))
	}
}

// askAbout takes sessions out of Redis, asks the durable store about their users, and takes
// those offline who have none left of their own. Both are by buckets.
func (a *activity) askAbout(ctx context.Context, members, users map[int][]string) error {
	var calls []call
	var in []int
	var all []string
	for b, names := range users {
		args := append([]string{micros(int64(len(members[b])))}, members[b]...)
		calls = append(calls, call{a.ring.keys(b, "act", "seen", "gone", "ask", "state"), append(args, names...)})
		in, all = append(in, b), append(all, names...)
	}
	answers, err := a.ask(ctx, leaveScript, calls)
	if err != nil {
		return err
	}
	here, err := a.withSessions(ctx, all)
	if err != nil {
		return err
	}
	calls = calls[:0]
	for i, b := range in {
		number, err := answers[i].ToString()
		if err != nil {
			return err
		}
		off := []string{number}
		for _, user := range users[b] {
			if own, some := here[user]; !some {
				off = append(off, "g"+user)
			} else if own == 0 {
				off = append(off, "u"+user)
			}
		}
		if len(off) > 1 {
			calls = append(calls, call{a.ring.keys(b, "on", "ask", "off"), off})
		}
	}
	_, err = a.ask(ctx, offlineScript, calls)
	return err
}

// maxAsked bounds the users of one question to a ChangeFeed.
const maxAsked = 1000

// withSessions returns the users who have a session that has not ended, by the durable store,
// with the number of their own: those that no administrator acts in.
func (a *activity) withSessions(ctx context.Context, users []string) (map[string]int, error) {
	slices.Sort(users)
	users = slices.Compact(users)
	here := make(map[string]int, len(users))
	if a.changes == nil {
		for _, user := range users {
			page, err := a.list(ctx, sessiontrack.Query{UserID: user, Live: true, Limit: 100})
			if err != nil {
				return nil, err
			}
			for _, s := range page.Sessions {
				here[user] += own(&s)
			}
		}
		return here, nil
	}
	for part := range slices.Chunk(users, maxAsked) {
		c, err := a.changes.ChangesSince(ctx, sessiontrack.ChangeQuery{Users: part, Limit: 1})
		if err != nil {
			return nil, err
		}
		for _, u := range c.Users {
			here[u.UserID] = u.Sessions
		}
	}
	return here, nil
}

// own is 1 for a session of the user's own, 0 for one that an administrator acts in.
func own(s *sessiontrack.Session) int {
	if s.ActedBy == "" {
		return 1
	}
	return 0
}

// endedElsewhere takes sessions out of Redis that the feed reports and this process has
// not ended: another program may have ended them in the durable store alone. It also tries
// again what has failed before, so that this takes no longer than a reading of the feed.
func (a *activity) endedElsewhere(ctx context.Context, ids []sessiontrack.SessionID) {
	var gone []sessiontrack.Session
	for _, id := range ids {
		if known, ok := a.owners.of(id); ok {
			gone = append(gone, sessiontrack.Session{ID: id, UserID: known.user})
		}
	}
	a.leave(ctx, gone)
}

// Purge implements [sessiontrack.Store]. Ended sessions are the durable store's alone.
func (a *activity) Purge(ctx context.Context, p sessiontrack.PurgeOptions) (int, error) {
	return a.durable.Purge(ctx, p)
}

// Describe implements [sessiontrack.Store].
func (a *activity) Describe(ctx context.Context, batch []sessiontrack.SessionUpdate) error {
	return a.durable.Describe(ctx, batch)
}
