package redisstore

import (
	"context"
	"log/slog"
	"slices"
	"time"

	"github.com/redis/rueidis"

	"github.com/sessiontrack/sessiontrack"
)

// Where the durable store decides by idleness, it must know of all activity that makes a
// difference. settle writes what it lacks: of sessions whose use has paused for Follow,
// which it needs once for each pause, and for short limits of everybody.
//
// Why that is enough for a limit L of at least 2 × Follow + slack: a session whose use has
// paused has been written. The durable store has a touch of any other from the latest
// Follow before its latest activity, which is itself less than Follow old. And a touch
// after a pause of Follow or more falls into another cell, and is written there first.

const (
	// settleEvery is how old the latest settle may be.
	settleEvery = 5 * time.Second
	// slack covers that, and the time that a call may take after it.
	slack = 10 * time.Second
	// settleRows is how many sessions of a bucket one step writes.
	settleRows = 500
)

// short reports whether a limit of idleness needs the activity of everybody.
func (a *activity) short(idle time.Duration) bool {
	return idle > 0 && idle < 2*time.Duration(a.follow)*time.Microsecond+slack
}

// allowed returns the limit of idleness by which the durable store may decide. After a loss
// of Redis it lacks activity of up to Follow, until no session that was used before the
// loss can be within the limit.
func (a *activity) allowed(idle time.Duration) time.Duration {
	since, longer := a.since.Load(), idle+time.Duration(a.follow)*time.Microsecond
	if idle > 0 && since != 0 && a.clock.now()-since < longer.Microseconds() {
		return longer
	}
	return idle
}

// settleFilter brings the durable store up for a filter and a limit of idleness, and makes
// them longer where it may lack activity.
func (a *activity) settleFilter(ctx context.Context, f *sessiontrack.Filter, idle *time.Duration) {
	shortest := time.Duration(0)
	for _, d := range [...]time.Duration{*idle, f.IdleFor, f.SeenWithin} {
		if d > 0 && (shortest == 0 || d < shortest) {
			shortest = d
		}
	}
	err := a.settle(ctx, shortest, 0)
	for _, d := range [...]*time.Duration{idle, &f.IdleFor, &f.SeenWithin} {
		switch {
		case *d == 0:
		case err != nil:
			*d += time.Duration(a.follow) * time.Microsecond
		default:
			*d = a.allowed(*d)
		}
	}
}

// settledIdle brings the durable store up and returns the limit by which it may decide.
// Without Redis it is longer, so that no session in use is taken for idle.
func (a *activity) settledIdle(ctx context.Context, idle time.Duration) time.Duration {
	if err := a.settle(ctx, idle, 0); err != nil && idle > 0 {
		return idle + time.Duration(a.follow)*time.Microsecond
	}
	return a.allowed(idle)
}

// settle brings the durable store up for a limit of idleness, 0 for sessions' own. With
// strict every touch goes there first for that long.
func (a *activity) settle(ctx context.Context, idle, strict time.Duration) error {
	began, last := a.clock.local(), a.settled.Load()
	if !a.short(idle) && last != 0 && began-last < settleEvery.Microseconds() {
		return nil
	}
	if err := a.ready(ctx); err != nil {
		return err
	}
	upto := a.clock.now()
	if !a.short(idle) {
		upto -= a.follow
	}
	args := []string{micros(upto), micros(settleRows), micros(strict.Microseconds())}
	calls, in := a.everywhere(args, "act", "state"), make([]int, a.ring.buckets)
	for b := range in {
		in[b] = b
	}
	for len(calls) > 0 {
		answers, err := a.ask(ctx, unwrittenScript, calls)
		if err != nil {
			return err
		}
		full, err := a.write(ctx, in, answers, upto)
		if err != nil {
			return err
		}
		calls, in = calls[:0], full
		for _, b := range full {
			calls = append(calls, call{a.ring.keys(b, "act", "state"), args})
		}
	}
	if !a.short(idle) {
		a.settled.Store(began)
	}
	return nil
}

// write writes what the buckets have told to the durable store, and notes it in Redis. It
// returns the buckets that have more.
func (a *activity) write(
	ctx context.Context, in []int, answers []rueidis.RedisMessage, upto int64,
) (full []int, err error) {
	var all []touched
	var done []call
	for i, answer := range answers {
		rows, err := answer.AsStrSlice()
		if err != nil {
			return nil, err
		}
		if rows[0] == "" {
			a.whole.Store(false)
			return nil, errLost
		}
		a.learnSince(rows[0])
		until := upto
		for k := 1; k+1 < len(rows); k += 2 {
			id, at := handleOf(rows[k]), number(rows[k+1])
			all = append(all, touched{
				record: sessiontrack.TouchRecord{ID: id}, at: at, known: true,
				owner: owner{user: rows[k][len(id):]},
			})
			until = at
		}
		if len(rows) < 1+2*settleRows {
			until = upto
		} else {
			full = append(full, in[i])
		}
		done = append(done, call{a.ring.keys(in[i], "state"), []string{micros(until)}})
	}
	for part := range slices.Chunk(all, 10*settleRows) {
		if err := a.writeUnwritten(ctx, part); err != nil {
			return nil, err
		}
	}
	_, err = a.ask(ctx, writtenScript, done)
	return full, err
}

// writeUnwritten writes activity to the durable store. Redis forgets the sessions that it
// does not know as alive: that is how what a crash has left behind goes.
func (a *activity) writeUnwritten(ctx context.Context, part []touched) error {
	alive, err := a.writeDurable(ctx, part, time.Duration(a.follow)*time.Microsecond)
	if err != nil {
		return err
	}
	a.leaveTouched(ctx, slices.DeleteFunc(slices.Clone(part), func(t touched) bool {
		_, ok := alive[t.record.ID]
		return ok
	}))
	return nil
}

// ready waits until every bucket has its data, and brings back what it lost.
func (a *activity) ready(ctx context.Context) error {
	if a.whole.Load() {
		return nil
	}
	if err := a.learnTime(ctx); err != nil {
		return err
	}
	select {
	case a.seeding <- struct{}{}:
		defer func() { <-a.seeding }()
	case <-ctx.Done():
		return ctx.Err()
	}
	if a.whole.Load() {
		return nil
	}
	if err := a.seed(ctx); err != nil {
		return err
	}
	a.whole.Store(true)
	return nil
}

// prepare has presence brought back where this process has not seen it yet. It waits a
// little, so that the first session of all is written behind it, and does what it can.
func (a *activity) prepare(ctx context.Context) {
	if a.whole.Load() || a.bringing.Load() {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, a.timeout)
	defer cancel()
	if err := a.ready(ctx); err != nil {
		a.log.LogAttrs(ctx, slog.LevelDebug, "redisstore: presence is not whole yet", slog.Any("error", err))
	}
}

// learnSince notes when a bucket began without its data.
func (a *activity) learnSince(text string) {
	since := number(text)
	for known := a.since.Load(); since > known; known = a.since.Load() {
		if a.since.CompareAndSwap(known, since) {
			a.log.LogAttrs(context.Background(), slog.LevelInfo,
				"redisstore: redis had no data; activity before this time is known to within Follow",
				slog.Time("time", timeOf(since)))
		}
	}
}
