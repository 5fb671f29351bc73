package redisstore

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/sessiontrack/sessiontrack"
)

// touched is a session of a batch. Its times are clamped to the store's, 0 for none.
type touched struct {
	record   sessiontrack.TouchRecord
	at, seen int64
	owner    owner
	known    bool // owner is known
}

// moves says what of a touch moves its user's presence, in the words of the scripts.
func (t *touched) moves() string {
	switch {
	case t.owner.acted:
		return "-"
	case t.record.Online:
		return "s"
	}
	return "a"
}

// merge adds another record of the same session.
func (t *touched) merge(r sessiontrack.TouchRecord, at, seen int64) {
	t.record.Online = t.record.Online || r.Online
	t.at, t.seen = max(t.at, at), max(t.seen, seen)
}

// Touch implements [sessiontrack.Store]. What Redis knows to be alive, and the durable
// store needs not be told of, is one exchange with Redis. The rest goes to the durable
// store first, and only then to Redis: so the durable store never lags behind by more than
// Follow, and decides alone who is alive where Redis does not know.
func (a *activity) Touch(
	ctx context.Context, batch []sessiontrack.TouchRecord, presenceStep time.Duration,
) ([]sessiontrack.SessionID, error) {
	if presenceStep < 0 {
		return nil, fmt.Errorf("redisstore: touch: %w: presenceStep is %v: want 0 or more",
			sessiontrack.ErrInvalidArgument, presenceStep)
	}
	if err := ctx.Err(); err != nil {
		return nil, unavailable("touch", err)
	}
	if err := a.learnTime(ctx); err != nil {
		return nil, err
	}
	all := a.latest(batch)
	alive, first, err := a.touchRedis(ctx, all, presenceStep)
	if err != nil {
		return nil, a.touchWithout(ctx, all, presenceStep, err)
	}
	if len(first) == 0 {
		return alive, nil
	}
	told, err := a.touchDurable(ctx, first, presenceStep)
	if err != nil {
		return nil, err
	}
	return append(alive, told...), nil
}

// latest returns each session of a batch once.
func (a *activity) latest(batch []sessiontrack.TouchRecord) []touched {
	now, places := a.clock.now(), make(map[sessiontrack.SessionID]int, len(batch))
	clamped := func(at time.Time) int64 {
		if at.IsZero() {
			return 0
		}
		return max(0, min(at.UnixMicro(), now))
	}
	all := make([]touched, 0, len(batch))
	for _, r := range batch {
		at, seen := clamped(r.At), clamped(r.Seen)
		if k, again := places[r.ID]; again {
			all[k].merge(r, at, seen)
			continue
		}
		places[r.ID] = len(all)
		t := touched{record: r, at: at, seen: seen}
		t.owner, t.known = a.owners.of(r.ID)
		all = append(all, t)
	}
	return all
}

// touchRedis records activity in Redis. It returns who is alive, and what must go to the
// durable store first.
func (a *activity) touchRedis(
	ctx context.Context, all []touched, step time.Duration,
) (alive []sessiontrack.SessionID, first []touched, err error) {
	alive = make([]sessiontrack.SessionID, 0, len(all))
	buckets := make(map[int][]touched)
	for _, t := range all {
		if !t.known || t.owner.first {
			first = append(first, t)
			continue
		}
		b := a.ring.of(t.owner.user)
		buckets[b] = append(buckets[b], t)
	}
	var calls []call
	var parts [][]touched
	for b, in := range buckets {
		for part := range slices.Chunk(in, maxArgs) {
			args := append(make([]string, 0, 1+6*len(part)), micros(step.Microseconds()))
			for _, t := range part {
				args = append(args, member(t.record.ID, t.owner.user), micros(t.at), micros(t.seen),
					micros(a.cell(t.record.ID, t.at)), micros(a.cell(t.record.ID, t.seen)), t.moves())
			}
			calls, parts = append(calls, call{a.ring.keys(b, "act", "seen", "on", "state"), args}), append(parts, part)
		}
	}
	answers, err := a.ask(ctx, touchScript, calls)
	if err != nil {
		return nil, nil, err
	}
	for i, answer := range answers {
		verdicts, err := answer.ToString()
		if err != nil || len(verdicts) != len(parts[i]) {
			return nil, nil, errors.Join(errors.New("redis answered a touch with "+strconv.Quote(verdicts)), err)
		}
		for k, t := range parts[i] {
			if verdicts[k] == '2' {
				alive = append(alive, t.record.ID)
			} else {
				first = append(first, t)
			}
		}
	}
	return alive, first, nil
}

// touchDurable writes activity to the durable store, and then to Redis for those that are
// alive. Redis forgets the others.
func (a *activity) touchDurable(
	ctx context.Context, first []touched, step time.Duration,
) ([]sessiontrack.SessionID, error) {
	alive, err := a.writeDurable(ctx, first, step)
	if err != nil {
		return nil, err
	}
	var here, gone []touched
	for _, t := range first {
		switch _, ok := alive[t.record.ID]; {
		case ok && (t.known || a.resolve(ctx, &t)):
			here = append(here, t)
		case !ok && t.known:
			gone = append(gone, t)
		}
	}
	if err := a.enter(ctx, here, step); err != nil {
		return nil, unavailable("touch", err)
	}
	a.leaveTouched(ctx, gone)
	out := make([]sessiontrack.SessionID, 0, len(alive))
	for id := range alive {
		out = append(out, id)
	}
	return out, nil
}

// writeDurable touches sessions in the durable store, and returns which are alive.
func (a *activity) writeDurable(
	ctx context.Context, batch []touched, step time.Duration,
) (map[sessiontrack.SessionID]struct{}, error) {
	records := make([]sessiontrack.TouchRecord, len(batch))
	for i, t := range batch {
		records[i] = t.record
		records[i].At, records[i].Seen = timeOrZero(t.at), timeOrZero(t.seen)
	}
	slices.SortFunc(records, func(x, y sessiontrack.TouchRecord) int { return cmp.Compare(x.Serial, y.Serial) })
	told, err := a.durable.Touch(ctx, records, step)
	if err != nil {
		return nil, err
	}
	alive := make(map[sessiontrack.SessionID]struct{}, len(told))
	for _, id := range told {
		alive[id] = struct{}{}
	}
	for _, t := range batch {
		if _, ok := alive[t.record.ID]; ok {
			a.owners.wrote(t.record.ID, max(t.at, t.seen))
		}
	}
	return alive, nil
}

// touchWithout keeps the durable store within Follow while Redis is away. The answer is
// that the touches were not recorded, so that the Tracker repeats them.
func (a *activity) touchWithout(ctx context.Context, all []touched, step time.Duration, cause error) error {
	var due []touched
	for _, t := range all {
		if !t.known || t.owner.first || t.owner.durable < a.cell(t.record.ID, max(t.at, t.seen)) {
			due = append(due, t)
		}
	}
	if len(due) > 0 {
		alive, err := a.writeDurable(ctx, due, step)
		if err != nil {
			return err
		}
		for _, t := range due {
			if _, ok := alive[t.record.ID]; ok && !t.known {
				a.resolve(ctx, &t)
			}
		}
	}
	return unavailable("touch", cause)
}

// resolve asks the durable store for a session's user, and reports whether it is alive.
func (a *activity) resolve(ctx context.Context, t *touched) bool {
	record, err := a.durable.Get(ctx, t.record.ID)
	if err != nil || record.Ended() {
		return false
	}
	a.owners.learn(&record.Session, a.short(record.IdleTimeout))
	t.owner, t.known = a.owners.of(t.record.ID)
	return t.known
}

// enter takes sessions into Redis that the durable store has just called alive.
func (a *activity) enter(ctx context.Context, here []touched, step time.Duration) error {
	buckets := make(map[int][]string)
	for _, t := range here {
		b := a.ring.of(t.owner.user)
		buckets[b] = append(buckets[b], member(t.record.ID, t.owner.user), micros(t.at), micros(t.seen), t.moves())
	}
	var calls []call
	for b, words := range buckets {
		for part := range slices.Chunk(words, 4*maxArgs) {
			args := append([]string{micros(step.Microseconds())}, part...)
			calls = append(calls, call{a.ring.keys(b, "act", "seen", "on", "gone", "ask", "off"), args})
		}
	}
	_, err := a.ask(ctx, enterScript, calls)
	return err
}

// leaveTouched takes sessions out of Redis that the durable store does not know as alive.
func (a *activity) leaveTouched(ctx context.Context, gone []touched) {
	sessions := make([]sessiontrack.Session, len(gone))
	for i, t := range gone {
		sessions[i] = sessiontrack.Session{ID: t.record.ID, UserID: t.owner.user}
	}
	a.leave(ctx, sessions)
}
