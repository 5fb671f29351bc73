package sessiontrack

import (
	"context"
	"fmt"
	"time"

	"github.com/sessiontrack/sessiontrack/internal/lifecycle"
	"github.com/sessiontrack/sessiontrack/internal/storeclock"
)

// Tracker tracks the sessions of one application: it finds the session of each request, records
// activity, and ends sessions. It is safe for concurrent use. Several Trackers, in one process
// each, share one Store.
type Tracker struct {
	opts  Options
	clock storeclock.Clock
	life  lifecycle.Runner

	// The parts, in their order: each one uses those above it and none below.
	host      host
	backend   backend
	touches   touches
	near      near
	describer describer
	gate      gate
	holds     holds
	figures   figures
	events    events
	janitor   janitor
	door      door
}

// New returns a Tracker over a store. opts may be nil. The error names the wrong option and its
// bound. New starts nothing and does not call the store. Until [Tracker.Start] nothing is cached
// and each activity is written at once, which is enough for a unit test.
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
	t := &Tracker{opts: o}
	t.clock.Init()
	t.host.init(&o, &t.life, &t.clock)
	t.backend.init(store, o.StoreTimeout, &t.host, &t.clock)
	t.touches.init(&o, t.near.told, &t.backend, &t.host, &t.life)
	t.near.init(&o, t.created, &t.events, &t.holds, &t.touches)
	t.describer.init(&o, &t.near)
	if err := t.gate.init(&o, &t.describer); err != nil {
		return nil, err
	}
	t.holds.init(&o, &t.gate)
	t.figures.init(&o, zone, &t.touches)
	t.events.init(&o, &t.near, &t.figures)
	t.janitor.init(&o, t.end, &t.backend)
	t.door.init(&t.opts, &t.gate)
	return t, nil
}

// Start starts the background work: it writes activity, polls the feed of ended sessions, takes
// samples, cleans up and names devices. It first checks the store and starts nothing if that fails.
// So it shows at once a wrong address, a missing table and, with a [BunStore], a missing right or a
// wrong setting. It may then be called again. If the work of an earlier run has not ended yet,
// Start waits for that until ctx is done; called from a hook it fails instead.
//
// ctx bounds the start only: the work lasts until Shutdown.
func (t *Tracker) Start(ctx context.Context) error {
	if err := t.life.Idle(ctx, inHook(ctx)); err != nil {
		return wrapped("Start", err)
	}
	prepare, err := t.probeStore(ctx)
	if err != nil {
		return wrapped("Start", err)
	}
	loops := []func(context.Context){
		t.touches.run, t.describer.run, t.host.runHooks, t.events.run, t.holds.run, t.near.runDoubts,
	}
	loops = append(loops, every(orphanInterval, t.janitor.settle))
	if t.backend.feed != nil {
		loops = append(loops, t.near.runFeed)
	}
	if t.opts.SampleInterval > 0 {
		loops = append(loops, every(t.opts.SampleInterval, t.figures.sample))
	}
	if t.opts.CleanupInterval > 0 {
		loops = append(loops, every(t.opts.CleanupInterval, t.janitor.run))
	}
	return wrapped("Start", t.life.Start(ctx, prepare, t.host.drainHooks, loops...))
}

// probeStore asks the store whether it can work, for its time, and reads its sessions
// once, the feed where it has one. It returns what is to be done with the answer once no
// other Start is under way.
func (t *Tracker) probeStore(ctx context.Context) (prepare func(), err error) {
	ctx, cancel := t.backend.long(ctx)
	defer cancel()
	t.backend.resize()
	if err := t.backend.check(ctx); err != nil {
		return nil, err
	}
	before := t.clock.Local()
	if t.backend.feed == nil {
		page, err := t.backend.list(ctx, Query{Live: true, Limit: 1})
		after := t.clock.Local()
		return func() {
			t.clock.Learn(page.Now, before, after)
			t.near.standing.goodSince.Store(before)
			t.events.hub.setOpen(true)
		}, err
	}
	page, err := t.backend.endedSince(ctx, time.Time{}, 1)
	if err == nil { // the time alone would not show a missing table
		_, err = t.backend.endedSince(ctx, page.Now, 1)
	}
	return func() {
		t.near.trustFrom(before, page.Now)
		t.near.standing.goodSince.Store(before)
		t.backend.forgive()
		t.events.hub.setOpen(true)
	}, err
}

// every returns a loop that calls f once per interval until its context is done.
func every(interval time.Duration, f func(context.Context)) func(context.Context) {
	return func(ctx context.Context) {
		ticker := time.NewTicker(interval)
		defer ticker.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-ticker.C:
				f(ctx)
			}
		}
	}
}

// Shutdown stops the background work and writes the buffered activity. It waits for both until ctx
// is done, and its error says how many touches were lost. Call it after the HTTP server's own
// Shutdown. It may be called twice, before Start, or without Start. Later requests are served
// without a cache.
func (t *Tracker) Shutdown(ctx context.Context) error {
	waited := t.life.Stop(ctx, inHook(ctx))
	left, err := t.drain(ctx)
	switch {
	case err != nil:
		return wrapped("Shutdown", fmt.Errorf("%d touches not written: %w", left, classified(err, nil)))
	case waited != nil:
		return wrapped("Shutdown", fmt.Errorf("background work still running: %w", waited))
	}
	return nil
}

// drain brings a Tracker whose work has ended to where it was before Start.
func (t *Tracker) drain(ctx context.Context) (int, error) {
	t.backend.forgive()
	left, err := t.touches.flush(ctx)
	t.janitor.settle(ctx)
	t.near.cache.clear()
	return left, err
}

// End ends the live sessions that sel selects, on every replica: here at once, elsewhere within
// MaxStaleness. It returns the sessions that this call ended, as they are now; a session that had
// ended before is not among them. e.Reason is required.
//
// With Matching it ends the sessions in steps, with rests between them, about 800 a second with the
// defaults; after an error it also returns what it has ended.
//
// e.Audit is written in the same transaction, and after the last step with Matching. It is an
// [ErrInvalidArgument] if the store is no [Auditor].
//
// After an error nothing is acknowledged, but the store may have ended the sessions. A repeated
// call does no harm.
func (t *Tracker) End(ctx context.Context, sel Selector, e Ending) ([]Session, error) {
	if err := e.Check(); err != nil {
		return nil, wrapped("End", err)
	}
	if err := sel.check(); err != nil {
		return nil, wrapped("End", err)
	}
	if e.Audit != nil && t.backend.auditor == nil {
		return nil, wrapped("End", mistake("Ending.Audit: the store is no Auditor"))
	}
	c, err := sel.Criteria()
	if err == nil && c.Filter != nil && len(c.IDs) == 0 {
		b := &bulkEnd{t: t, filter: *c.Filter, asOf: c.AsOf, ending: e, most: bulkLimit}
		b.ending.Audit = nil
		sessions, err := b.all(ctx)
		if err == nil && e.Audit != nil {
			err = t.backend.record(detached(ctx), e.Audit.counted(len(sessions)))
		}
		return sessions, wrapped("End", err)
	}
	ended, err := t.end(ctx, sel.idle(t.opts.IdleTimeout), e)
	if err != nil {
		return nil, wrapped("End", err)
	}
	return ended.Sessions, nil
}

// end ends sessions and takes them out of service in this process.
func (t *Tracker) end(ctx context.Context, sel Selector, e Ending) (EndResult, error) {
	ended, err := t.backend.end(detached(ctx), sel, e)
	if err != nil {
		return EndResult{}, err
	}
	t.ended(ctx, ended.Sessions)
	t.near.forget(sel)
	return ended, nil
}

// ended takes sessions out of service here and calls the hook.
func (t *Tracker) ended(ctx context.Context, sessions []Session) {
	t.host.count(countEnded, len(sessions))
	t.events.publishLocal(nil, sessions)
	for _, s := range sessions {
		if h, ok := parseHandle(s.ID); ok {
			t.near.takeOut(h, endedSession(s))
		}
		if hook := t.opts.Hooks.End; hook != nil {
			t.host.hook(ctx, "Hooks.End", func(ctx context.Context) { hook(ctx, s) })
		}
	}
}

// created does what follows each Create, by Login or from a credential.
func (t *Tracker) created(ctx context.Context, n *NewSession, c CreateResult) {
	t.host.count(countLogins, 1)
	if n.oneToken {
		t.host.noticeUnkeyed(ctx, n.Session.UserID)
	}
	t.ended(ctx, c.Ended)
	t.events.publishLocal([]Session{c.Session}, nil)
	t.describer.describeLogin(c.Session, n.agent, n.hints)
	if hook := t.opts.Hooks.Login; hook != nil {
		t.host.hook(ctx, "Hooks.Login", func(ctx context.Context) { hook(ctx, c.Session) })
	}
}

// Cleanup ends the sessions that are past their limits, and purges ended sessions that are past
// their retention. It works in small steps with pauses between them: after the first thousand it
// ends about 800 sessions a second with the defaults. It returns how many sessions it ended.
// Several cleanups at once, in one process or many, count each session once.
//
// Idle sessions end no earlier than IdleTimeout + TouchInterval + FlushInterval + 1 s after their
// latest activity, because activity may be unwritten for that long. Requests are refused from
// IdleTimeout on.
func (t *Tracker) Cleanup(ctx context.Context) (int, error) {
	ended, err := t.janitor.cleanup(ctx, func() {})
	return ended, wrapped("Cleanup", err)
}

// PollNow polls the feed of ended sessions at once. A listener such as package pglisten calls it
// when it hears of an end, after it has reconnected, and in any doubt. It never blocks and may be
// called at any rate. The feed is also polled every FeedInterval.
func (t *Tracker) PollNow() { t.near.pollNow() }

// bulkLimit is how many sessions one call of a bulk end looks at.
const bulkLimit = 1_000

// bulkEnd is a bulk end of what a filter selected at a time.
type bulkEnd struct {
	t      *Tracker
	filter Filter
	asOf   time.Time
	ending Ending
	most   int // sessions to look at
	// allowed refuses to end any of the sessions. Nil allows all.
	allowed func([]Session) error
	// audit is the record of the call, which the end of its last portion writes, so that there is one
	// record with the whole count. Nil is none.
	audit *AuditRecord
}

// bulkEnded is what a bulk end has done.
type bulkEnded struct {
	sessions []Session
	skipped  int  // no longer matched when they were to end
	more     bool // there are more than it looked at
	recorded bool // the record has been written
}

// step ends sessions in small portions, with rests between them as in a cleanup, so that the replicas'
// feeds keep up. It first finds what there is, and asks whether that may be ended.
func (b *bulkEnd) step(ctx context.Context) (out bulkEnded, err error) {
	t := b.t
	found, more, err := b.found(ctx)
	if err == nil && b.allowed != nil {
		err = b.allowed(found)
	}
	if err != nil {
		return out, err
	}
	out.more = more
	for len(found) > 0 {
		portion := found[:min(len(found), leastStep)]
		found = found[len(portion):]
		ids := make([]SessionID, len(portion))
		for i := range portion {
			ids[i] = portion[i].ID
		}
		began := time.Now()
		sel := Matching(b.filter).AsOf(b.asOf).Only(ids...).idle(t.opts.IdleTimeout)
		e := b.ending
		if b.audit != nil && len(found) == 0 {
			r := b.audit.counted(len(out.sessions))
			e.Audit = &r
		}
		ended, err := t.end(ctx, sel, e)
		if err != nil {
			return out, err
		}
		out.recorded = e.Audit != nil
		out.sessions = append(out.sessions, ended.Sessions...)
		out.skipped += len(portion) - len(ended.Sessions)
		wait := t.janitor.pace.wait(t.clock.Local(), len(ended.Sessions))
		if len(found) > 0 && !storeclock.Sleep(ctx, max(wait, time.Since(began))) {
			return out, ctx.Err()
		}
	}
	return out, nil
}

// found returns the sessions that a bulk end looks at, and whether there are more.
func (b *bulkEnd) found(ctx context.Context) (found []Session, more bool, err error) {
	q := Query{Filter: b.filter, Sort: SortLogin, AsOf: b.asOf}
	for {
		q.Limit = min(maxPage, b.most-len(found))
		page, err := b.t.list(ctx, q)
		if err != nil {
			return nil, false, err
		}
		found = append(found, page.Sessions...)
		if page.Next.IsZero() || len(found) >= b.most {
			return found, !page.Next.IsZero(), nil
		}
		q.After = page.Next
	}
}

// all ends all that the filter selects, step by step.
func (b *bulkEnd) all(ctx context.Context) (ended []Session, err error) {
	if b.asOf.IsZero() {
		page, err := b.t.list(ctx, Query{Filter: b.filter, Sort: SortLogin, Limit: 1})
		if err != nil {
			return nil, err
		}
		b.asOf = page.Now
	}
	for {
		step, err := b.step(ctx)
		ended = append(ended, step.sessions...)
		if err != nil || !step.more {
			return ended, err
		}
	}
}
