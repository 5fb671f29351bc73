package sessiontrack

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"unique"

	"github.com/sessiontrack/sessiontrack/internal/storeclock"
)

// maxReads is how many reads of the store requests may have under way; the others
// wait, so that a flood of unknown ids cannot take all of the host's connections.
const maxReads = 64

// flights lets all requests that miss the cache for one session share one read of
// the store. The read belongs to none of them: a client that goes away does not
// cancel it for the others.
type flights struct {
	mu      sync.Mutex
	pending map[handle]*flight
	slots   chan struct{}
}

type flight struct {
	done       chan struct{}
	generation uint64
	entry      *entry
	err        error
}

func newFlights() *flights {
	return &flights{pending: make(map[handle]*flight), slots: make(chan struct{}, maxReads)}
}

// read gets a session from the store, or makes it where create is not nil and there
// is none. A read that began before the latest invalidation is never joined: it may
// not have seen the end that the caller has been promised.
//
// missed says that the cache had no answer a moment ago; another request's read may have
// brought it since.
func (t *Tracker) read(ctx context.Context, h handle, create *NewSession, missed bool) (*entry, error) {
	run := t.life.Begin()
	if run == nil { // before Start, after Shutdown: nothing is shared or kept
		ctx, cancel := t.requestContext(ctx)
		defer cancel()
		return t.readStore(ctx, h, create)
	}
	f, mine := t.join(h)
	if !mine {
		run.Done()
	} else {
		go func() {
			defer run.Done()
			t.fly(context.WithoutCancel(ctx), f, h, create, missed)
		}()
	}
	select {
	case <-f.done:
		if !mine && f.anothers(create) {
			ctx, cancel := t.requestContext(ctx)
			defer cancel()
			return t.readStore(ctx, h, create)
		}
		return f.entry, f.err
	case <-ctx.Done():
		return nil, fmt.Errorf("%w: %w", ErrUnavailable, ctx.Err())
	}
}

// anothers reports whether what a flight found is about the credential of whoever began
// it: nothing, for one that makes no session, or a fence that another credential for the
// same session need not meet.
func (f *flight) anothers(create *NewSession) bool {
	if f.err != nil {
		return create != nil && errors.Is(f.err, ErrNotFound)
	}
	return f.entry.fenced() && create.shared()
}

// join returns the flight for h and whether the caller has to fly it.
func (t *Tracker) join(h handle) (*flight, bool) {
	generation := t.cache.generation(h)
	t.flights.mu.Lock()
	defer t.flights.mu.Unlock()
	if f := t.flights.pending[h]; f != nil && f.generation == generation {
		return f, false
	}
	f := &flight{done: make(chan struct{}), generation: generation}
	t.flights.pending[h] = f
	return f, true
}

// fly reads on behalf of all who wait, and keeps what it read.
func (t *Tracker) fly(ctx context.Context, f *flight, h handle, create *NewSession, missed bool) {
	defer func() {
		t.flights.mu.Lock()
		if t.flights.pending[h] == f {
			delete(t.flights.pending, h)
		}
		t.flights.mu.Unlock()
		close(f.done)
	}()
	if missed {
		if f.entry = t.cached(h, t.clock.Local()); f.entry != nil {
			return // a read that ended between the look and this flight's beginning brought it
		}
	}
	ctx, cancel := context.WithTimeout(ctx, t.opts.StoreTimeout)
	defer cancel()
	select {
	case t.flights.slots <- struct{}{}:
		defer func() { <-t.flights.slots }()
	case <-ctx.Done():
		f.err = fmt.Errorf("%w: too many reads under way", ErrUnavailable)
		return
	}
	f.entry, f.err = t.readStore(ctx, h, create)
	if f.err == nil && !(f.entry.fenced() && create.shared()) {
		t.cache.put(f.entry, f.generation)
	}
}

// withStore calls the store. A panic of a host's store is an outage.
func (t *Tracker) withStore(call func() error) (err error) {
	if !t.contain("Store", func() { err = call() }) {
		return fmt.Errorf("%w: the store panicked", ErrUnavailable)
	}
	return err
}

// readStore asks the store, within ctx.
func (t *Tracker) readStore(ctx context.Context, h handle, create *NewSession) (e *entry, err error) {
	t.count(countReads, 1)
	err = t.withStore(func() error {
		readAt := t.clock.Local()
		record, err := t.store.Get(ctx, h.id())
		switch {
		case create != nil && errors.Is(err, ErrNotFound):
			e, err = t.createDerived(ctx, h, create)
		case err != nil:
			err = asUnavailable(err)
		default:
			e, err = t.entryOf(&record, h, readAt)
		}
		return err
	})
	return e, err
}

func (t *Tracker) entryOf(r *Record, h handle, readAt int64) (*entry, error) {
	e, ok := newEntry(r, readAt)
	if !ok || e.handle != h {
		return nil, fmt.Errorf("%w: the store answered with another session", ErrUnavailable)
	}
	storeclock.Raise(&e.last, t.touches.latest(h)) // activity that the store has not been told yet
	return e, nil
}

// createDerived makes the session of a credential that names none of ours. Another
// replica, or another request, may have been first: then theirs is the session.
func (t *Tracker) createDerived(ctx context.Context, h handle, n *NewSession) (*entry, error) {
	before := t.clock.Local()
	created, err := t.store.Create(ctx, *n)
	if errors.Is(err, ErrExists) {
		record, err := t.store.Get(ctx, h.id())
		if err != nil {
			return nil, asUnavailable(err)
		}
		return t.entryOf(&record, h, before)
	}
	var fenced *EndedError
	if errors.As(err, &fenced) {
		return fencedEntry(h, n, fenced.Reason, before), nil
	}
	if err != nil {
		return nil, asUnavailable(err)
	}
	t.created(ctx, n, created, before)
	return t.entryOf(&Record{Session: created.Session}, h, before)
}

// fencedEntry stands for the session of a credential that came too late: it has ended
// before it began. It is cached like any other that has where the session has no other
// credential, whose answer may be another one.
func fencedEntry(h handle, n *NewSession, reason EndReason, readAt int64) *entry {
	e := &entry{
		handle: h, user: n.Session.UserID, derived: true, readAt: readAt,
		facts: unique.Make(facts{}), places: unique.Make(places{}),
	}
	e.ending.Store(&ending{reason: reason})
	return e
}

func (e *entry) fenced() bool { return e.loginAt == 0 && e.serial == 0 }

// shared reports whether several credentials may name the session to be made.
func (n *NewSession) shared() bool { return n != nil && !n.oneToken }

// asUnavailable makes every error of a store one that this package knows: what is
// neither an answer nor known means that the store could not say.
func asUnavailable(err error) error {
	for _, known := range [...]error{ErrNotFound, ErrExists, ErrLimit, ErrUnavailable, ErrStoreFault} {
		if errors.Is(err, known) {
			return err
		}
	}
	return fmt.Errorf("%w: %w", ErrUnavailable, err)
}
