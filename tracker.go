package sessiontrack

import (
	"context"
	"fmt"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/sessiontrack/sessiontrack/internal/lifecycle"
	"github.com/sessiontrack/sessiontrack/internal/storeclock"
)

// Tracker knows the sessions of one application: it finds the session of each
// request, records activity, and ends sessions. Its methods may be called from any
// number of goroutines. Several Trackers, in as many processes, share one Store.
type Tracker struct {
	opts        Options
	store       Store
	feed        EndedFeed // nil where the store has none; so are the others
	online      OnlineReader
	sampler     Sampler
	leaser      Leaser
	changes     ChangeFeed
	zone        *time.Location
	crossOrigin *http.CrossOriginProtection
	jwt         *JWTIdentifier // Options.Identifier where it is exactly that, not a host's type around it
	touchEvery  int64          // microseconds

	clock    storeclock.Clock
	cache    *cache
	flights  *flights
	unknown  unknowns
	guessing guesses
	touches  *touchBuffer
	life     lifecycle.Runner
	tally    tally
	samples  sampleMemory
	shared   statsMemory
	ends     endPace

	flushing  chan struct{} // holds the one flush under way
	flushedAt atomic.Int64
	flushKick chan struct{}

	feedKick     chan struct{}
	lease        lease // of the goroutine that reads the feed
	trustedUntil atomic.Int64
	down         atomic.Bool
	outageLogged atomic.Int64

	hub     hub
	changed changePlace // of the goroutine that reads the feed

	describing chan *describeJob
	hooks      chan func(context.Context)
}

// New makes a Tracker over a store. opts may be nil; what it gets wrong is named in
// the error, with its bound. Nothing is started and the store is not asked: until
// [Tracker.Start] nothing is cached and activity is written as it comes, which is
// all that a unit test needs.
func New(store Store, opts *Options) (*Tracker, error) {
	if err := checkStore(store); err != nil {
		return nil, err
	}
	o, err := opts.defaulted()
	if err != nil {
		return nil, err
	}
	zone, err := o.zone()
	if err != nil {
		return nil, err
	}
	t := &Tracker{
		opts: o, store: store, zone: zone, crossOrigin: http.NewCrossOriginProtection(),
		touchEvery: o.TouchInterval.Microseconds(),
		cache:      newCache(o.CacheSize), flights: newFlights(),
		touches: newTouchBuffer(max(4*o.CacheSize, 100_000)), ends: newEndPace(o.FeedInterval),
		flushing: make(chan struct{}, 1), flushKick: make(chan struct{}, 1), feedKick: make(chan struct{}, 1),
		describing: make(chan *describeJob, describeQueue), hooks: make(chan func(context.Context), hookQueue),
	}
	t.clock.Init()
	for _, origin := range o.TrustedOrigins {
		if err := t.crossOrigin.AddTrustedOrigin(origin); err != nil {
			return nil, fmt.Errorf("sessiontrack: Options.TrustedOrigins: %w", err)
		}
	}
	t.jwt, _ = o.Identifier.(*JWTIdentifier)
	t.feed, _ = store.(EndedFeed)
	t.online, _ = store.(OnlineReader)
	t.sampler, _ = store.(Sampler)
	t.leaser, _ = store.(Leaser)
	t.changes, _ = store.(ChangeFeed)
	t.hub.init()
	return t, nil
}

// Start begins the work in the background: writing activity, reading the feed of
// ended sessions, samples, cleanup, names of devices. It first asks the store once,
// and starts nothing where that fails, so that a wrong address, a missing table or, with
// a [BunStore], a missing right or a setting that cannot work is seen at once; it may
// then be called again. Where an earlier Shutdown has not seen the end of its work, Start
// waits for that as long as ctx allows; called from a hook it fails instead.
//
// ctx bounds the start only: the work lasts until Shutdown.
func (t *Tracker) Start(ctx context.Context) error {
	if err := t.life.Idle(ctx, inHook(ctx)); err != nil {
		return fmt.Errorf("sessiontrack: Start: %w", err)
	}
	prepare, err := t.greet(ctx)
	if err != nil {
		return fmt.Errorf("sessiontrack: Start: %w", err)
	}
	loops := []func(context.Context){t.runFlusher, t.runDescriber, t.runHooks, t.runEvents}
	if t.feed != nil {
		loops = append(loops, t.runFeed)
	}
	if t.opts.SampleInterval > 0 {
		loops = append(loops, t.every(t.opts.SampleInterval, t.sample))
	}
	if t.opts.CleanupInterval > 0 {
		loops = append(loops, t.every(t.opts.CleanupInterval, t.cleanupLeased))
	}
	if err := t.life.Start(ctx, prepare, t.callHooks, loops...); err != nil {
		return fmt.Errorf("sessiontrack: Start: %w", err)
	}
	return nil
}

// greet asks the store for its time and reads its sessions once, the feed where it has
// one. It returns what is to be done with the answer once nothing else is running.
func (t *Tracker) greet(ctx context.Context) (prepare func(), err error) {
	ctx, cancel := t.writeContext(ctx)
	defer cancel()
	if store, ok := t.store.(Checker); ok {
		if err := store.Check(ctx); err != nil {
			return nil, err
		}
	}
	before := t.clock.Local()
	if t.feed == nil {
		page, err := t.store.List(ctx, Query{Live: true, Limit: 1})
		after := t.clock.Local()
		return func() {
			t.clock.Learn(page.Now, before, after)
			t.hub.setOpen(true)
		}, err
	}
	page, err := t.feed.EndedSince(ctx, time.Time{}, 1)
	after := t.clock.Local()
	if err == nil { // the time alone would not show that a table is missing
		_, err = t.feed.EndedSince(ctx, page.Now, 1)
	}
	return func() {
		t.clock.Learn(page.Now, before, after)
		t.lease = lease{since: page.Now.Add(-feedOverlap), lastGood: before}
		t.trustedUntil.Store(before + t.opts.MaxStaleness.Microseconds())
		t.down.Store(false)
		t.hub.setOpen(true)
	}, err
}

// Shutdown ends the work in the background and writes the activity that is still
// held; it waits for both until ctx is done, and says how many touches were lost.
// Call it after the HTTP server's own Shutdown. It may come twice, before Start, or
// without it. Requests that come later are served without a cache.
func (t *Tracker) Shutdown(ctx context.Context) error {
	waited := t.life.Stop(ctx, inHook(ctx))
	left, err := t.rest(ctx)
	switch {
	case err != nil:
		return fmt.Errorf("sessiontrack: Shutdown: %d touches not written: %w", left, asUnavailable(err))
	case waited != nil:
		return fmt.Errorf("sessiontrack: Shutdown: background work still running: %w", waited)
	}
	return nil
}

// rest brings a Tracker whose work has ended to where it was before Start.
func (t *Tracker) rest(ctx context.Context) (int, error) {
	t.down.Store(false)
	left, err := t.flush(ctx)
	t.cache.clear()
	return left, err
}

// every returns a loop that calls f each interval until its context is done.
func (t *Tracker) every(interval time.Duration, f func(context.Context)) func(context.Context) {
	return func(ctx context.Context) {
		ticker := time.NewTicker(interval)
		defer ticker.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-ticker.C:
				t.contain("Store", func() { f(ctx) })
			}
		}
	}
}

// End ends the live sessions that sel selects, on every replica: here at once,
// elsewhere within MaxStaleness. It returns those that this call ended, as they now
// are; one that had ended before is not among them. e.Reason is required.
//
// An error means that nothing was acknowledged, though the store may have carried it
// out; ending again does no harm.
func (t *Tracker) End(ctx context.Context, sel Selector, e Ending) ([]Session, error) {
	if err := e.Check(); err != nil {
		return nil, err
	}
	if _, err := sel.Criteria(); err != nil {
		return nil, err
	}
	ended, err := t.end(ctx, sel, e)
	if err != nil {
		return nil, fmt.Errorf("sessiontrack: End: %w", err)
	}
	return ended.Sessions, nil
}

func (t *Tracker) end(ctx context.Context, sel Selector, e Ending) (EndResult, error) {
	storeCtx, cancel := t.writeContext(ctx)
	defer cancel()
	before := t.clock.Local()
	ended, err := t.store.End(storeCtx, sel, e)
	if err != nil {
		return EndResult{}, asUnavailable(err)
	}
	t.clock.Learn(ended.At, before, t.clock.Local())
	t.ended(ctx, ended.Sessions)
	t.forget(sel)
	return ended, nil
}

// forget drops what a selector named and this call did not end: another process may
// have, and this one must not accept it after having acknowledged the end. A walk by
// limits of time names nothing that requests do not judge by themselves.
func (t *Tracker) forget(sel Selector) {
	c, err := sel.Criteria()
	if err != nil {
		return
	}
	for _, id := range c.IDs {
		if h, ok := parseHandle(id); ok {
			t.cache.dropLive(h)
		}
	}
	if c.UserID != "" {
		t.cache.dropUser(c.UserID, c.Except)
	}
}

// ended takes sessions out of service here and tells the hook.
func (t *Tracker) ended(ctx context.Context, sessions []Session) {
	t.count(countEnded, len(sessions))
	t.happened(nil, sessions)
	for _, s := range sessions {
		if h, ok := parseHandle(s.ID); ok {
			t.takeOut(h, endedSession(s))
		}
		if hook := t.opts.Hooks.End; hook != nil {
			t.hook(ctx, "Hooks.End", func(ctx context.Context) { hook(ctx, s) })
		}
	}
}

// Get returns a session by its handle, ended or not, from the store itself, or
// [ErrNotFound].
func (t *Tracker) Get(ctx context.Context, id SessionID) (Session, error) {
	if _, err := ParseSessionID(string(id)); err != nil {
		return Session{}, ErrNotFound
	}
	ctx, cancel := t.requestContext(ctx)
	defer cancel()
	record, err := t.store.Get(ctx, id)
	if err != nil {
		return Session{}, fmt.Errorf("sessiontrack: Get: %w", asUnavailable(err))
	}
	return record.Session, nil
}

// List returns a page of sessions from the store itself. q.IdleTimeout is filled
// with the Tracker's; q.Limit of 0 means 50, more than 100 is refused.
func (t *Tracker) List(ctx context.Context, q Query) (Page, error) {
	q.IdleTimeout = t.opts.IdleTimeout
	if q.Limit == 0 {
		q.Limit = 50
	}
	if q.Limit < 1 || q.Limit > 100 {
		return Page{}, fmt.Errorf("sessiontrack: List: Query.Limit is %d: want 1 to 100", q.Limit)
	}
	t.settle(ctx)
	ctx, cancel := t.writeContext(ctx)
	defer cancel()
	page, err := t.store.List(ctx, q)
	if err != nil {
		return Page{}, fmt.Errorf("sessiontrack: List: %w", asUnavailable(err))
	}
	return page, nil
}

// WithinLimits reports whether a session is good now: not ended and inside both limits.
func (t *Tracker) WithinLimits(s Session) bool {
	now := t.clock.Now()
	idle := t.opts.IdleTimeout.Microseconds()
	return !s.Ended() && (s.ExpiresAt.IsZero() || now < micros(s.ExpiresAt)) &&
		(idle == 0 || now-micros(s.LastActivity) < idle)
}
