package redisstore

import (
	"cmp"
	"context"
	"slices"
	"time"

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
		if users, err = w.of.presentNamed(ctx, w.names, w.least); err == nil {
			users = w.ordered(users)
		}
		limit = len(users)
	} else {
		users, err = w.merged(ctx, limit)
	}
	if err != nil {
		return nil, err
	}
	users = users[:min(limit, len(users))]
	if len(users) > 0 {
		last := users[len(users)-1]
		w.place, w.included = sessiontrack.Cursor{At: last.LastActivity, UserID: last.UserID}, false
	}
	return users, nil
}

// ordered returns users in the order of the walk, without those before its place.
func (w *userWalk) ordered(users []sessiontrack.OnlineUser) []sessiontrack.OnlineUser {
	users = slices.DeleteFunc(users, func(u sessiontrack.OnlineUser) bool { return w.before(&u) })
	slices.SortFunc(users, func(x, y sessiontrack.OnlineUser) int {
		return cmp.Or(y.LastActivity.Compare(x.LastActivity), cmp.Compare(x.UserID, y.UserID))
	})
	return users
}

// merged returns at least so many users from all buckets, where there are. It asks each for
// its share first, and again those that may have more of the first users.
func (w *userWalk) merged(ctx context.Context, limit int) ([]sessiontrack.OnlineUser, error) {
	buckets := w.of.ring.buckets
	told, pending := make([]bucketUsers, buckets), make([]int, buckets)
	for b := range pending {
		pending[b] = b
	}
	for share := min(limit, 2*limit/buckets+4); ; share = min(limit, 4*share) {
		if err := w.askBuckets(ctx, told, pending, share); err != nil {
			return nil, err
		}
		var all []sessiontrack.OnlineUser
		for _, t := range told {
			all = append(all, t.users...)
		}
		all = w.ordered(all)
		var least time.Time // of the users that are wanted
		if len(all) >= limit {
			least = all[limit-1].LastActivity
		}
		pending = pending[:0]
		for b, t := range told {
			if t.more && t.oldest.After(least) {
				pending = append(pending, b)
			}
		}
		if len(pending) == 0 || share == limit {
			return all, nil
		}
	}
}

// bucketUsers is what a bucket has told: users, the oldest presence among them, and whether
// there are more, all of them older.
type bucketUsers struct {
	users  []sessiontrack.OnlineUser
	oldest time.Time
	more   bool
}

func (w *userWalk) askBuckets(ctx context.Context, told []bucketUsers, pending []int, share int) error {
	from := ""
	if !w.place.IsZero() {
		from = micros(w.place.At.UnixMicro())
	}
	args := []string{micros(w.least), from, micros(int64(share))}
	calls := make([]call, len(pending))
	for i, b := range pending {
		calls[i] = call{w.of.ring.keys(b, "on", "state"), args}
	}
	answers, err := w.of.askPresence(ctx, usersScript, calls)
	if err != nil {
		return err
	}
	for i, answer := range answers {
		rows, err := answer.AsStrSlice()
		if err != nil {
			return err
		}
		t := bucketUsers{more: rows[0] == "1"}
		for k := 1; k+1 < len(rows); k += 2 {
			u := sessiontrack.OnlineUser{UserID: rows[k], LastActivity: timeOf(number(rows[k+1]))}
			t.users, t.oldest = append(t.users, u), u.LastActivity
		}
		told[pending[i]] = t
	}
	return nil
}

// before reports whether a user comes before the place of the walk.
func (w *userWalk) before(u *sessiontrack.OnlineUser) bool {
	if w.place.IsZero() {
		return false
	}
	order := cmp.Or(w.place.At.Compare(u.LastActivity), cmp.Compare(u.UserID, w.place.UserID))
	return order < 0 || order == 0 && !w.included
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
