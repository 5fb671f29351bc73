package redisstore

import (
	"cmp"
	"context"
	"slices"

	"github.com/redis/rueidis"

	"github.com/sessiontrack/sessiontrack"
)

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
