package histories

import (
	"math/bits"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
	"github.com/stretchr/testify/assert"
)

// verb is the kind of an operation.
type verb int

const (
	login  verb = iota
	end         // ends the sessions of the mask; the reply has those that this call ended
	endAll      // ends all sessions of the user
	read        // reads whether the session is alive
	touch       // touches the session, and reports whether it is alive
)

// question is one operation on one user's sessions. Each session is one bit of the mask.
type question struct {
	verb verb
	user int
	mask uint64
}

// reply is the answer to a question. unknown means that the reply was lost, so the operation may or
// may not have happened.
type reply struct {
	mask    uint64
	unknown bool
}

// table is the state of one user's sessions.
type table struct{ alive, ended uint64 }

// step returns the states that may follow an operation with that reply; none if the reply is wrong.
// An ended session never comes back: a login creates a new one.
func (s table) step(q question, r reply) []any {
	switch q.verb {
	case login:
		if (s.alive|s.ended)&q.mask != 0 {
			return nil
		}
		return []any{table{s.alive | q.mask, s.ended}}
	case end, endAll:
		hit := s.alive & q.mask
		done := table{s.alive &^ hit, s.ended | hit}
		switch {
		case r.unknown:
			return []any{s, done}
		case r.mask != hit:
			return nil
		}
		return []any{done}
	}
	if s.alive&q.mask != r.mask {
		return nil
	}
	return []any{s}
}

// model splits a history by key, and checks each part alone.
func model(key func(question) uint64) porcupine.Model {
	m := porcupine.NondeterministicModel{
		Partition: func(history []porcupine.Operation) (parts [][]porcupine.Operation) {
			at := make(map[uint64]int)
			for _, o := range history {
				k := key(o.Input.(question))
				i, ok := at[k]
				if !ok {
					i = len(parts)
					at[k], parts = i, append(parts, nil)
				}
				parts[i] = append(parts[i], o)
			}
			return parts
		},
		Init: func() []any { return []any{table{}} },
		Step: func(state, input, output any) []any {
			return state.(table).step(input.(question), output.(reply))
		},
		Equal: func(a, b any) bool { return a == b },
	}
	return m.ToModel()
}

// strict checks reads past the cache. It splits by user, so that ending all of a user's sessions is
// one step.
func strict() porcupine.Model { return model(func(q question) uint64 { return uint64(q.user) }) }

// bounded checks answers from the cache. It splits by session.
func bounded() porcupine.Model {
	return model(func(q question) uint64 { return uint64(q.user)<<8 | uint64(bits.TrailingZeros64(q.mask)) })
}

// perSession splits an operation on many sessions into one operation per session.
func perSession(history []porcupine.Operation) (split []porcupine.Operation) {
	made := make(map[int]uint64)
	for _, o := range history {
		if q := o.Input.(question); q.verb == login {
			made[q.user] |= q.mask
		}
	}
	for _, o := range history {
		split = append(split, each(o, made[o.Input.(question).user])...)
	}
	return split
}

// each returns one operation for each session that o concerns and that mask contains.
func each(o porcupine.Operation, mask uint64) (split []porcupine.Operation) {
	q, r := o.Input.(question), o.Output.(reply)
	for rest := q.mask & mask; rest != 0; rest &= rest - 1 {
		one := rest & -rest
		o.Input, o.Output = question{q.verb, q.user, one}, reply{r.mask & one, r.unknown}
		split = append(split, o)
	}
	return split
}

// stale lets an answer "live" be older than its request by up to bound.
func stale(history []porcupine.Operation, bound time.Duration) []porcupine.Operation {
	for i, o := range history {
		if o.Input.(question).verb == read && o.Output.(reply).mask != 0 {
			history[i].Call -= int64(bound)
		}
	}
	return history
}

// TestModels checks a hand-written history, and variants with one changed answer each.
func TestModels(t *testing.T) {
	t.Parallel()
	const s, other = 1, 2
	op := func(call, ret int64, v verb, mask, answer uint64) porcupine.Operation {
		return porcupine.Operation{Call: call, Return: ret, Input: question{v, 0, mask}, Output: reply{mask: answer}}
	}
	for name, c := range map[string]struct {
		history         []porcupine.Operation
		strict, bounded bool
	}{
		"in order": {[]porcupine.Operation{op(0, 1, login, s, s), op(2, 3, read, s, s), op(4, 5, end, s, s),
			op(6, 7, read, s, 0)}, true, true},
		"concurrent": {[]porcupine.Operation{op(0, 1, login, s, s), op(2, 6, end, s, s), op(3, 4, read, s, 0),
			op(3, 5, touch, s, s)}, true, true},
		"late within bound": {[]porcupine.Operation{op(0, 1, login, s, s), op(2, 3, end, s, s), op(6, 7, read, s, s)},
			false, true},
		"late past the bound": {[]porcupine.Operation{op(0, 1, login, s, s), op(2, 3, end, s, s), op(20, 21, read, s, s)},
			false, false},
		"ended too early": {[]porcupine.Operation{op(0, 1, login, s, s), op(2, 3, read, s, 0), op(4, 5, end, s, s)},
			false, false},
		"revived by a touch": {[]porcupine.Operation{op(0, 1, login, s, s), op(2, 3, end, s, s), op(4, 5, touch, s, s)},
			false, false},
		"ended twice": {[]porcupine.Operation{op(0, 1, login, s, s), op(2, 3, end, s, s), op(2, 3, end, s, s)}, false,
			false},
		"half of all": {[]porcupine.Operation{
			op(0, 1, login, s, s), op(0, 1, login, other, other), op(2, 9, endAll, s|other, s|other), op(3, 4, read, s, 0),
			op(5, 6, read, other, other),
		}, false, true},
	} {
		assert.Equal(t, c.strict, porcupine.CheckOperations(strict(), c.history), name)
		assert.Equal(t, c.bounded, porcupine.CheckOperations(bounded(), stale(perSession(c.history), 5)), name)
	}
}
