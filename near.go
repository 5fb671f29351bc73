package sessiontrack

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/sessiontrack/sessiontrack/internal/lifecycle"
	"github.com/sessiontrack/sessiontrack/internal/storeclock"
)

// near keeps sessions near: the cache, the reads of the store that requests share, and
// the feed of ended sessions that says how far the cache may be trusted.
type near struct {
	trust    trustLimits
	interval time.Duration // FeedInterval
	// created tells the parts above that a session has begun.
	created func(context.Context, *NewSession, CreateResult)
	// listener hears what the feed brings.
	listener feedListener
	// holder hears of ends.
	holder holder

	backend *backend
	touches *touches
	host    *host
	life    *lifecycle.Runner
	clock   *storeclock.Clock

	cache     *cache
	flights   flights
	freshness freshness // used only by the goroutine that polls the feed
	standing  standing
	kick      chan struct{}
	doubts    doubts
}

// trustLimits are MaxStaleness and StaleGrace in microseconds.
type trustLimits struct{ staleness, grace int64 }

func (n *near) init(o *Options, created func(context.Context, *NewSession, CreateResult), listener feedListener,
	holder holder, u *touches) {
	n.trust = trustLimits{o.MaxStaleness.Microseconds(), o.StaleGrace.Microseconds()}
	n.interval, n.created, n.listener, n.holder = o.FeedInterval, created, listener, holder
	n.backend, n.touches, n.host, n.life, n.clock = u.backend, u, u.host, u.life, u.clock
	n.cache, n.kick = newCache(o.CacheSize), make(chan struct{}, 1)
	n.flights.init()
	n.doubts.init(o.FlushInterval)
}

// cached returns the session from the cache where the entry may be trusted, or where it
// is tolerated because the store is known to be away.
func (n *near) cached(h handle, local int64) *entry {
	e := n.cache.get(h)
	if e == nil {
		return nil
	}
	if n.trusted(e, local) && (!e.unconfirmed(local) || n.stands(e, local)) {
		return e
	}
	if n.backend.strained() && n.tolerated(e, local) {
		return e
	}
	return nil
}

// newest returns the cache's entry of a session with all that e knows of it, or e where there is
// none.
func (n *near) newest(e *entry) *entry {
	k := n.cache.get(e.handle)
	if k == nil {
		return e
	}
	storeclock.Raise(&k.last, e.last.Load())
	storeclock.Raise(&k.confirmed, e.confirmed.Load())
	return k
}

// trusted reports whether a cached entry may be served without a read of the store.
func (n *near) trusted(e *entry, local int64) bool {
	if n.backend.feed == nil {
		return local < e.confirmed.Load()+n.trust.staleness
	}
	return local < n.standing.until.Load()
}

// tolerated reports whether an entry may still be served while the store cannot say.
func (n *near) tolerated(e *entry, local int64) bool { return n.trusted(e, local-n.trust.grace) }

// takeOut takes an ended session out of service in this process. It reports whether
// requests were served from the cache until now.
func (n *near) takeOut(h handle, s EndedSession) (served bool) {
	end := &ending{micros(s.LogoutAt), s.EndReason, s.EndedBy}
	served = n.cache.end(h, end)
	n.holder.sessionEnded(h, end)
	return served
}

// forget drops the sessions that a selector named and that its End did not return:
// another process may have ended them, and this one must not accept them after it has
// acknowledged the end. A walk by limits of time needs nothing: requests judge those
// limits by themselves.
func (n *near) forget(sel Selector) {
	c, err := sel.Criteria()
	if err != nil {
		return
	}
	for _, id := range c.IDs {
		if h, ok := parseHandle(id); ok {
			n.cache.dropLive(h)
		}
	}
	if c.Provider != "" {
		n.pollNow() // entries do not know it; what another process has ended comes by the feed
	}
	if c.UserID != "" {
		n.cache.dropUser(c.UserID, c.Except)
	}
}

// flights are the reads of the store under way: all requests that miss the cache for one
// session share one read (single flight). The read belongs to none of them: a client that
// goes away does not cancel it for the others.
type flights struct {
	mu      sync.Mutex
	pending map[handle]*flight
}

type flight struct {
	done       chan struct{}
	generation uint64
	entry      *entry
	err        error
}

func (f *flights) init() {
	f.pending = make(map[handle]*flight)
}

// read gets a session from the store, or makes it where create is not nil and there is
// none. It never joins a read that began before the latest invalidation, which may not
// have seen the end that the caller has been promised.
//
// missed says that the cache had no answer a moment ago. Another request's read may have
// brought it since.
func (n *near) read(ctx context.Context, h handle, create *NewSession, missed bool) (*entry, error) {
	run := n.life.Begin()
	if run == nil { // before Start and after Shutdown nothing is shared or kept
		return n.readAlone(ctx, h, create)
	}
	f, mine := n.join(h)
	if !mine {
		run.Done()
	} else {
		go func() {
			defer run.Done()
			n.fly(detached(ctx), f, h, create, missed)
		}()
	}
	select {
	case <-f.done:
		if !mine && f.isOtherCredential(create) {
			return n.readAlone(ctx, h, create)
		}
		return f.entry, f.err
	case <-ctx.Done():
		return nil, fmt.Errorf("%w: %w", ErrUnavailable, ctx.Err())
	}
}

// readAlone reads on behalf of one request.
func (n *near) readAlone(ctx context.Context, h handle, create *NewSession) (*entry, error) {
	ctx, cancel := n.backend.short(detached(ctx))
	defer cancel()
	return n.readStore(ctx, h, create)
}

// isOtherCredential reports whether what a flight found holds only for the credential of
// the request that began it. "Not found" does where that request would not have made the
// session and this one would. A fence does where another credential for the same session
// may have been issued later.
func (f *flight) isOtherCredential(create *NewSession) bool {
	if f.err != nil {
		return create != nil && errors.Is(f.err, ErrNotFound)
	}
	return f.entry.fenced() && create.shared()
}

// join returns the flight for h, and whether the caller must run it.
func (n *near) join(h handle) (*flight, bool) {
	generation := n.cache.generation(h)
	n.flights.mu.Lock()
	defer n.flights.mu.Unlock()
	if f := n.flights.pending[h]; f != nil && f.generation == generation {
		return f, false
	}
	f := &flight{done: make(chan struct{}), generation: generation}
	n.flights.pending[h] = f
	return f, true
}

// fly reads for all requests that wait, and caches the result.
func (n *near) fly(ctx context.Context, f *flight, h handle, create *NewSession, missed bool) {
	defer func() {
		n.flights.mu.Lock()
		if n.flights.pending[h] == f {
			delete(n.flights.pending, h)
		}
		n.flights.mu.Unlock()
		close(f.done)
	}()
	if missed {
		if f.entry = n.cached(h, n.clock.Local()); f.entry != nil {
			return // a read that ended before this flight began has brought it
		}
	}
	ctx, cancel := n.backend.short(ctx)
	defer cancel()
	f.entry, f.err = n.readStore(ctx, h, create)
	if f.err == nil && !(f.entry.fenced() && create.shared()) {
		n.cache.put(f.entry, f.generation)
	}
}

// readFresh reads the store by itself: the answer is not older than the question.
func (n *near) readFresh(ctx context.Context, h handle, create *NewSession) (*entry, error) {
	e, err := n.readAlone(ctx, h, create)
	if err == nil {
		if end := e.ending.Load(); end != nil {
			n.cache.end(h, end) // this process never contradicts its own earlier answer
		}
	}
	return e, err
}

// readStore reads from the store, within ctx.
func (n *near) readStore(ctx context.Context, h handle, create *NewSession) (*entry, error) {
	n.host.count(countReads, 1)
	readAt := n.clock.Local()
	record, err := n.backend.get(ctx, h.id())
	switch {
	case create != nil && errors.Is(err, ErrNotFound):
		return n.create(ctx, h, create)
	case err != nil:
		return nil, err
	}
	return n.entryOf(&record, h, readAt)
}

func (n *near) entryOf(r *Record, h handle, readAt int64) (*entry, error) {
	e, ok := newEntry(r, readAt)
	if !ok || e.handle != h {
		return nil, fmt.Errorf("%w: the store returned another session", ErrUnavailable)
	}
	storeclock.Raise(&e.last, n.touches.buffer.latest(h)) // activity that is not written yet
	return e, nil
}

// create makes the session of a credential that names none of ours. Another replica, or
// another request, may have been first: then theirs is the session.
func (n *near) create(ctx context.Context, h handle, s *NewSession) (*entry, error) {
	if err := n.host.limit(ctx, s, LoginOptions{}); err != nil {
		return nil, err
	}
	before := n.clock.Local()
	created, err := n.backend.create(ctx, *s)
	if errors.Is(err, ErrExists) {
		record, err := n.backend.get(ctx, h.id())
		if err != nil {
			return nil, err
		}
		return n.entryOf(&record, h, before)
	}
	var fenced *EndedError
	if errors.As(err, &fenced) {
		return fencedEntry(h, s, fenced.Reason, before), nil
	}
	if err != nil {
		return nil, err
	}
	n.created(ctx, s, created)
	return n.entryOf(&Record{Session: created.Session}, h, before)
}
