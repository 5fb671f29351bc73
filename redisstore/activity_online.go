package redisstore

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/sessiontrack/sessiontrack"
)

// CountOnline implements [sessiontrack.OnlineReader].
func (a *activity) CountOnline(ctx context.Context, windows []time.Duration) ([]int, time.Time, error) {
	for _, w := range windows {
		if w <= 0 {
			return nil, time.Time{}, fmt.Errorf("redisstore: count online: %w: window is %v: want more than 0",
				sessiontrack.ErrInvalidArgument, w)
		}
	}
	if err := ctx.Err(); err != nil {
		return nil, time.Time{}, unavailable("count online", err)
	}
	counts, now, err := a.countOnline(ctx, windows)
	if err != nil {
		return nil, time.Time{}, unavailable("count online", err)
	}
	return counts, timeOf(now), nil
}

func (a *activity) countOnline(ctx context.Context, windows []time.Duration) ([]int, int64, error) {
	if err := a.learnTime(ctx); err != nil {
		return nil, 0, err
	}
	now, args, counts := a.clock.now(), make([]string, len(windows)), make([]int, len(windows))
	if len(windows) == 0 {
		return counts, now, nil
	}
	for i, w := range windows {
		args[i] = micros(now - w.Microseconds())
	}
	answers, err := a.askPresence(ctx, countScript, a.everywhere(args, "on", "state"))
	if err != nil {
		return nil, 0, err
	}
	for _, answer := range answers {
		in, err := answer.AsIntSlice()
		if err != nil {
			return nil, 0, err
		}
		for i, n := range in {
			counts[i] += int(n)
		}
	}
	return counts, now, nil
}

// ListOnline implements [sessiontrack.OnlineReader].
func (a *activity) ListOnline(
	ctx context.Context, q sessiontrack.OnlineQuery,
) (sessiontrack.OnlinePage, error) {
	if err := q.Check(); err != nil {
		return sessiontrack.OnlinePage{}, err
	}
	if err := ctx.Err(); err != nil {
		return sessiontrack.OnlinePage{}, unavailable("list online", err)
	}
	if err := a.learnTime(ctx); err != nil {
		return sessiontrack.OnlinePage{}, err
	}
	now := a.clock.now()
	page := sessiontrack.OnlinePage{Now: timeOf(now), Users: make([]sessiontrack.OnlineUser, 0, q.Limit)}
	w := userWalk{of: a, least: now - q.Window.Microseconds(), place: q.After}
	users, err := w.next(ctx, q.Limit+1)
	if err != nil {
		return sessiontrack.OnlinePage{}, unavailable("list online", err)
	}
	if len(users) > q.Limit {
		users = users[:q.Limit]
		last := users[q.Limit-1]
		page.Next = sessiontrack.Cursor{At: last.LastActivity, UserID: last.UserID}
	}
	if page.Users, err = a.detailed(ctx, users); err != nil {
		return sessiontrack.OnlinePage{}, err
	}
	return page, nil
}

// detailed adds the number of sessions and the latest activity to users, and leaves out
// those without a session.
func (a *activity) detailed(
	ctx context.Context, users []sessiontrack.OnlineUser,
) ([]sessiontrack.OnlineUser, error) {
	out := make([]sessiontrack.OnlineUser, 0, len(users))
	if len(users) == 0 {
		return out, nil
	}
	names := make([]string, len(users))
	for i, u := range users {
		names[i] = u.UserID
	}
	rows, err := a.liveOf(ctx, &sessiontrack.Query{}, users)
	if err != nil {
		return nil, err
	}
	counts, err := a.sessionCounts(ctx, names, rows)
	if err != nil {
		return nil, err
	}
	var all []*sessiontrack.Session
	for _, of := range rows {
		for i := range of {
			all = append(all, &of[i])
		}
	}
	a.overlay(ctx, all)
	for _, u := range users {
		if u.Sessions = counts[u.UserID]; u.Sessions == 0 {
			continue
		}
		for _, s := range rows[u.UserID] {
			if s.ActedBy == "" && s.LastActivity.After(u.LastActivity) {
				u.LastActivity = s.LastActivity
			}
		}
		out = append(out, u)
	}
	return out, nil
}

// sessionCounts returns how many sessions of users have not ended. Without a ChangeFeed
// sessions past their ExpiresAt do not count.
func (a *activity) sessionCounts(
	ctx context.Context, names []string, rows map[string][]sessiontrack.Session,
) (map[string]int, error) {
	counts := make(map[string]int, len(names))
	if a.changes == nil {
		for user, of := range rows {
			for i := range of {
				counts[user] += own(&of[i])
			}
		}
		return counts, nil
	}
	c, err := a.changes.ChangesSince(ctx, sessiontrack.ChangeQuery{Users: names, Limit: 1})
	for _, u := range c.Users {
		counts[u.UserID] = u.Sessions
	}
	return counts, err
}

// changePart reports changes: sessions from the durable store, presence from Redis.
type changePart struct {
	endedPart
	changes sessiontrack.ChangeFeed
}

// ChangesSince implements [sessiontrack.ChangeFeed]. While Redis is away presence is the
// durable store's, which lags behind: what ends must not wait for Redis.
func (p changePart) ChangesSince(
	ctx context.Context, q sessiontrack.ChangeQuery,
) (sessiontrack.Changes, error) {
	if err := q.Check(); err != nil {
		return sessiontrack.Changes{}, err
	}
	a, asked := p.of, q
	asked.Seen, asked.Before = time.Time{}, sessiontrack.Cursor{}
	before := a.clock.local()
	c, err := p.changes.ChangesSince(ctx, asked)
	if err != nil {
		return c, err
	}
	a.clock.learn(c.Now, before)
	ids := make([]sessiontrack.SessionID, len(c.Ended))
	for i := range c.Ended {
		ids[i] = c.Ended[i].ID
	}
	a.endedElsewhere(ctx, ids)
	begun := make([]*sessiontrack.Session, len(c.Begun))
	for i := range begun {
		begun[i] = &c.Begun[i]
	}
	a.overlay(ctx, begun)
	err = a.addPresence(ctx, &q, &c)
	if err == nil || q.Seen.IsZero() {
		return c, nil
	}
	a.log.LogAttrs(ctx, slog.LevelDebug, "redisstore: changes of presence are the durable store's", slog.Any("error", err))
	coarse, err := p.changes.ChangesSince(ctx, sessiontrack.ChangeQuery{Seen: q.Seen, Before: q.Before, Limit: q.Limit})
	c.Seen = coarse.Seen
	return c, err
}

// addPresence fills in what Redis knows of presence.
func (a *activity) addPresence(ctx context.Context, q *sessiontrack.ChangeQuery, c *sessiontrack.Changes) error {
	if !q.Seen.IsZero() {
		w := userWalk{of: a, least: q.Seen.UnixMicro(), place: q.Before}
		users, err := w.next(ctx, q.Limit)
		if err != nil {
			return err
		}
		c.Seen = users
	}
	if len(c.Users) == 0 {
		return nil
	}
	names := make([]string, len(c.Users))
	for i, u := range c.Users {
		names[i] = u.UserID
	}
	users, err := a.presentNamed(ctx, names, -1)
	if err != nil {
		return err
	}
	at := make(map[string]time.Time, len(users))
	for _, u := range users {
		at[u.UserID] = u.LastActivity
	}
	for i := range c.Users {
		if known, ok := at[c.Users[i].UserID]; ok {
			c.Users[i].LastActivity = known
		}
	}
	return nil
}

// samplePart counts: users in Redis, sessions in the durable store, which keeps the samples.
type samplePart struct {
	of      *activity
	sampler sessiontrack.Sampler
}

// CountStats implements [sessiontrack.Sampler].
func (p samplePart) CountStats(
	ctx context.Context, q sessiontrack.StatsQuery,
) (sessiontrack.StatsCounts, error) {
	q.Online = nil
	if err := p.prepare(ctx, &q); err != nil {
		return sessiontrack.StatsCounts{}, err
	}
	out, err := p.sampler.CountStats(ctx, q)
	if err == nil {
		out.Online = *q.Online
	}
	return out, err
}

// Sample implements [sessiontrack.Sampler].
func (p samplePart) Sample(
	ctx context.Context, q sessiontrack.StatsQuery,
) (sessiontrack.Sample, bool, error) {
	if err := p.prepare(ctx, &q); err != nil {
		return sessiontrack.Sample{}, false, err
	}
	return p.sampler.Sample(ctx, q)
}

// prepare counts the users for the durable store and brings it up for the limit.
func (p samplePart) prepare(ctx context.Context, q *sessiontrack.StatsQuery) error {
	if err := q.Check(); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return unavailable("stats", err)
	}
	if q.Online == nil {
		counts, _, err := p.of.countOnline(ctx, q.Windows[:])
		if err != nil {
			return unavailable("stats", err)
		}
		q.Online = &[3]int{counts[0], counts[1], counts[2]}
	}
	q.IdleTimeout = p.of.settledIdle(ctx, q.IdleTimeout)
	return nil
}
