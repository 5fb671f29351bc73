package sessiontrack

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sessiontrack/sessiontrack/internal/lifecycle"
	"github.com/sessiontrack/sessiontrack/internal/storeclock"
)

// holds keeps an eye on the sessions that are in use outside of requests: what the host holds,
// and the library's own streams. It has one goroutine for all of them. A held session costs a
// context and one small struct.
type holds struct {
	every int32 // how often a held session gives a sign of life, in seconds

	gate    *gate
	near    *near
	touches *touches
	backend *backend
	life    *lifecycle.Runner
	clock   *storeclock.Clock

	count  atomic.Int64
	shards [shardCount]holdShard
}

// holdShard has the holds of some sessions: for each session the first of a list.
type holdShard struct {
	mu    sync.Mutex
	first map[handle]*held
}

// held is one hold. Its shard's lock guards it, but for what init sets and the entry.
type held struct {
	cancel context.CancelCauseFunc
	entry  atomic.Pointer[entry] // the session as it was known at the latest look
	next   *held                 // another hold of the same session
	due    int32                 // local second of the next look
	sign   int32                 // local second of the next sign of life
	begun  int32                 // local second of its beginning
	asked  bool                  // a reading is under way whose answer decides
	online bool                  // the session's user is online meanwhile
}

// maxSign bounds the time between two signs of life of a held session, so that a flush confirms
// it, too, before confirmAfter.
const maxSign = 30 * time.Second

func (o *holds) init(opts *Options, g *gate) {
	every := max(opts.TouchInterval, opts.PresenceStep, time.Second)
	o.every = int32(min(every, maxSign) / time.Second)
	o.gate, o.near, o.touches, o.backend, o.life, o.clock = g, g.near, g.near.touches, g.backend, g.near.life, g.clock
}

// hold holds a session until release is called. The context that it returns ends with ctx, with
// the session or one of its limits, and where nothing is known of the session for too long.
func (o *holds) hold(ctx context.Context, h handle, online bool) (context.Context, *held) {
	inner, cancel := context.WithCancelCause(ctx)
	k := &held{cancel: cancel, online: online}
	o.add(h, k)
	// The session is looked for after it has been entered: what ends before this moment is seen
	// now, what ends later is told.
	e, err := o.gate.check(ctx, h)
	if e == nil {
		e = &entry{handle: h} // for release
	}
	if err == nil && !o.life.Running() {
		err = errNotRunning
	}
	o.begin(k, e)
	if err != nil {
		o.remove(h, k)
		cancel(err)
	}
	return inner, k
}

// release ends a hold that its owner no longer needs.
func (o *holds) release(k *held) {
	o.remove(k.entry.Load().handle, k)
	k.cancel(nil)
}

func (o *holds) shard(h handle) *holdShard { return &o.shards[h[0]] }

func (o *holds) add(h handle, k *held) {
	s := o.shard(h)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.first == nil {
		s.first = make(map[handle]*held)
	}
	k.next, s.first[h] = s.first[h], k
	o.count.Add(1)
}

// begin has a hold looked at from now on. Signs of life of many sessions that begin together
// are spread by their handles, which are random.
func (o *holds) begin(k *held, e *entry) {
	s := o.shard(e.handle)
	s.mu.Lock()
	defer s.mu.Unlock()
	now := seconds(o.clock.Local())
	k.entry.Store(e)
	k.begun, k.due, k.sign = now, now, now+int32(e.handle[1])*o.every/256
}

// remove takes a hold out of its list. It may have been taken out before.
func (o *holds) remove(h handle, k *held) {
	s := o.shard(h)
	s.mu.Lock()
	defer s.mu.Unlock()
	var before *held
	for at := s.first[h]; at != nil; before, at = at, at.next {
		if at != k {
			continue
		}
		switch {
		case before != nil:
			before.next = k.next
		case k.next != nil:
			s.first[h] = k.next
		default:
			delete(s.first, h)
		}
		o.count.Add(-1)
		return
	}
}

// takeAll takes all holds of a session out.
func (o *holds) takeAll(h handle) *held {
	s := o.shard(h)
	s.mu.Lock()
	defer s.mu.Unlock()
	first := s.first[h]
	for k := first; k != nil; k = k.next {
		o.count.Add(-1)
	}
	delete(s.first, h)
	return first
}

// end ends all holds of a session.
func (o *holds) end(h handle, why error) {
	for k := o.takeAll(h); k != nil; k = k.next {
		k.cancel(why)
	}
}

// endAll ends all holds.
func (o *holds) endAll(why error) {
	for i := range o.shards {
		s := &o.shards[i]
		s.mu.Lock()
		all := make([]handle, 0, len(s.first))
		for h := range s.first {
			all = append(all, h)
		}
		s.mu.Unlock()
		for _, h := range all {
			o.end(h, why)
		}
	}
}

// The methods of a holder.

func (o *holds) sessionEnded(h handle, end *ending) { o.end(h, &EndedError{Reason: end.reason}) }

func (o *holds) sessionGone(h handle) { o.end(h, ErrNotFound) }

func (o *holds) sessionInDoubt(h handle) {
	s := o.shard(h)
	s.mu.Lock()
	_, held := s.first[h]
	s.mu.Unlock()
	if held {
		o.near.doubts.demand(h, o.clock.Local())
	}
}

// endsMissed has every held session read.
func (o *holds) endsMissed() {
	local := o.clock.Local()
	for i := range o.shards {
		s := &o.shards[i]
		s.mu.Lock()
		for h := range s.first {
			o.near.doubts.demand(h, local)
		}
		s.mu.Unlock()
	}
}

// sessionRead decides about a held session by what has just been read.
func (o *holds) sessionRead(e *entry) {
	if reason := o.gate.endedBy(e, o.clock.Now()); reason != "" {
		o.end(e.handle, &EndedError{Reason: reason})
		return
	}
	s := o.shard(e.handle)
	s.mu.Lock()
	defer s.mu.Unlock()
	for k := s.first[e.handle]; k != nil; k = k.next {
		if k.entry.Load() != nil {
			k.entry.Store(o.near.newest(e))
			k.asked, k.due = false, 0
		}
	}
}

// ask has a session read, for a hold that must know its latest activity on any replica.
func (o *holds) ask(k *held) {
	s := o.shard(k.entry.Load().handle)
	s.mu.Lock()
	defer s.mu.Unlock()
	o.demand(k)
}

// answered reports whether no reading is under way that ask has begun.
func (o *holds) answered(k *held) bool {
	s := o.shard(k.entry.Load().handle)
	s.mu.Lock()
	defer s.mu.Unlock()
	return !k.asked
}

// demand is ask for a caller that holds the lock.
func (o *holds) demand(k *held) {
	if !k.asked {
		k.asked = true
		o.near.doubts.demand(k.entry.Load().handle, o.clock.Local())
	}
}

// run looks at what is held, once a second, until ctx is done.
func (o *holds) run(ctx context.Context) {
	defer o.endAll(errNotRunning)
	ticker := time.NewTicker(min(time.Second, o.near.interval))
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			local := o.clock.Local()
			switch {
			case o.count.Load() == 0:
			case o.backend.feed != nil && !o.near.tolerated(nil, local):
				o.endAll(errUnconfirmed)
			default:
				o.walk(local)
			}
		}
	}
}

// errUnconfirmed ends the holds of sessions of which nothing has been known for too long.
var errUnconfirmed = fmt.Errorf("%w: nothing is known of the session for too long", ErrUnavailable)

// walk looks at each hold that is due.
func (o *holds) walk(local int64) {
	var over []verdict
	for i := range o.shards {
		s := &o.shards[i]
		s.mu.Lock()
		for h, k := range s.first {
			for ; k != nil; k = k.next {
				if k.due > seconds(local) || k.entry.Load() == nil {
					continue
				}
				if why := o.look(k, local); why != nil {
					over = append(over, verdict{h, why})
				}
			}
		}
		s.mu.Unlock()
	}
	for _, v := range over {
		o.end(v.handle, v.why)
	}
}

// verdict is why the holds of a session end.
type verdict struct {
	handle handle
	why    error
}

// look decides about one hold by what this process knows, and says when to look again. It
// returns why the hold ends, or nil. The caller holds the lock of the shard.
func (o *holds) look(k *held, local int64) error {
	e := o.near.newest(k.entry.Load())
	k.entry.Store(e)
	k.due = seconds(local) + 1
	if o.backend.feed == nil && !o.near.tolerated(e, local) || o.lost(k, e, local) {
		return errUnconfirmed
	}
	now := o.clock.At(local)
	switch reason := o.gate.endedBy(e, now); {
	case reason == ReasonIdle: // another replica may have seen later activity
		o.demand(k)
		return nil
	case reason != "":
		return &EndedError{Reason: reason}
	}
	if o.backend.feed == nil && local-e.confirmed.Load() > o.near.trust.staleness*3/5 {
		o.demand(k)
	} else if e.unconfirmed(local) {
		o.near.doubts.add(e.handle, local)
	}
	if k.sign <= seconds(local) {
		k.sign = seconds(local) + o.every
		o.touches.see(context.Background(), e, now, k.online)
	}
	k.due = min(k.sign, o.ends(e, local))
	return nil
}

// lost reports whether a session that is read again and again is not confirmed all the same,
// though the store can be reached.
func (o *holds) lost(k *held, e *entry, local int64) bool {
	most := confirmAfter + confirmLate + maxSign
	return !o.backend.strained() && local-e.confirmed.Load() > most.Microseconds() &&
		seconds(local)-k.begun > int32(most/time.Second)
}

// ends returns the local second at which a session passes its next limit, or has to be looked at
// for another reason.
func (o *holds) ends(e *entry, local int64) int32 {
	left := maxSign.Microseconds()
	if at, _, _ := o.gate.nextLimit(e); at != 0 {
		left = min(left, at-o.clock.At(local))
	}
	if o.backend.feed == nil {
		left = min(left, time.Second.Microseconds())
	}
	return seconds(local + left + time.Second.Microseconds() - 1)
}

// endOf reports whether a context ended with its session, and the reason where it is known: of a
// session whose row is no more it is not.
func endOf(cause error) (ended bool, reason EndReason) {
	var end *EndedError
	if errors.As(cause, &end) {
		return true, end.Reason
	}
	return errors.Is(cause, ErrNotFound), ""
}
