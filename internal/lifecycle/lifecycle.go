// Package lifecycle starts and stops background work. It knows nothing of sessions.
package lifecycle

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
)

// Runner runs loops and background work between Start and Stop. Runs do not overlap. The
// zero Runner is ready for use.
type Runner struct {
	up      atomic.Bool
	mu      sync.Mutex
	current *Run // nil before Start and after Stop
	last    *Run // the latest that was stopped; its work may not have ended yet
}

// Run is the work between one Start and its Stop.
type Run struct {
	cancel  context.CancelFunc
	working sync.WaitGroup
	finally func()        // called when all work is done
	over    chan struct{} // closed after that
}

// The errors of Start and Idle.
var (
	ErrStarted  = errors.New("started already")
	ErrStopping = errors.New("the background work from before Shutdown has not ended yet")
)

// Running reports whether Start has been called and Stop has not.
func (r *Runner) Running() bool { return r.up.Load() }

// Begin registers background work. It returns nil where nothing is running; then no work
// may be begun. Stop waits until Done.
func (r *Runner) Begin() *Run {
	if !r.up.Load() {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.current != nil {
		r.current.working.Add(1)
	}
	return r.current
}

// Done ends the work that Begin registered.
func (run *Run) Done() { run.working.Done() }

// ended reports whether the run is over; nil stands for no run.
func (run *Run) ended() bool {
	if run == nil {
		return true
	}
	select {
	case <-run.over:
		return true
	default:
		return false
	}
}

// wait waits until the run is over; nil stands for no run. detached says that the caller
// is part of the run, which cannot wait for itself.
func (run *Run) wait(ctx context.Context, detached bool) error {
	switch {
	case run.ended():
		return nil
	case detached:
		return ErrStopping
	}
	select {
	case <-run.over:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Idle waits until Start may be called. detached says that the caller is part of the
// latest run.
func (r *Runner) Idle(ctx context.Context, detached bool) error {
	r.mu.Lock()
	current, last := r.current, r.last
	r.mu.Unlock()
	if current != nil {
		return ErrStarted
	}
	return last.wait(ctx, detached)
}

// Start calls prepare and then runs each loop in a goroutine of its own until Stop. It
// does neither where a run is under way. The context of the loops has the values of ctx
// and is done at Stop. finally is called when all work of the run is done.
func (r *Runner) Start(ctx context.Context, prepare func(), finally func(context.Context),
	loops ...func(context.Context)) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case r.current != nil:
		return ErrStarted
	case !r.last.ended():
		return ErrStopping
	}
	prepare()
	inner, cancel := context.WithCancel(context.WithoutCancel(ctx))
	run := &Run{cancel: cancel, finally: func() { finally(inner) }, over: make(chan struct{})}
	for _, loop := range loops {
		run.working.Go(func() { loop(inner) })
	}
	r.current = run
	r.up.Store(true)
	return nil
}

// retire ends the current run. New work is refused before the loops are told, so that
// nothing is queued for a loop that has returned. The caller holds the lock.
func (r *Runner) retire() {
	run := r.current
	r.current, r.last = nil, run
	r.up.Store(false)
	run.cancel()
	go func() {
		run.working.Wait()
		run.finally()
		close(run.over)
	}()
}

// Stop ends the loops and waits, until ctx is done, for all work, also that of a run
// which an earlier Stop did not wait for. detached says that the caller is part of the
// run: then Stop does not wait.
func (r *Runner) Stop(ctx context.Context, detached bool) error {
	r.mu.Lock()
	if r.current != nil {
		r.retire()
	}
	last := r.last
	r.mu.Unlock()
	if detached {
		return nil
	}
	return last.wait(ctx, false)
}
