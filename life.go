package sessiontrack

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
)

// life is the Tracker's running state: whether work may be done in the background, and
// by which run of it. Runs do not overlap.
type life struct {
	up      atomic.Bool
	mu      sync.Mutex
	current *run // nil before Start, after Shutdown, and when Start's context is done
	last    *run // the latest that was stopped; it may still be at work
}

// run is what lies between one Start and what ends it: Shutdown, or Start's context.
type run struct {
	cancel  context.CancelFunc
	unwatch func() bool // of Start's context
	working sync.WaitGroup
	finally func(lapsed bool) // called when all work is done
	over    chan struct{}     // closed after that
}

var (
	errStarted  = errors.New("started already")
	errStopping = errors.New("the background work from before Shutdown has not ended yet")
)

// running reports whether the Tracker has been started and not been shut down.
func (l *life) running() bool { return l.up.Load() }

// enter asks for leave to work in the background: nil where that is not to be had.
// Shutdown waits until leave.
func (l *life) enter() *run {
	if !l.up.Load() {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.current != nil {
		l.current.working.Add(1)
	}
	return l.current
}

func (r *run) leave() { r.working.Done() }

// ended reports whether the run, nil for none, is over.
func (r *run) ended() bool {
	if r == nil {
		return true
	}
	select {
	case <-r.over:
		return true
	default:
		return false
	}
}

// wait waits until the run, nil for none, is over. A loop that calls it cannot be
// waited for: detached says so.
func (r *run) wait(ctx context.Context, detached bool) error {
	switch {
	case r.ended():
		return nil
	case detached:
		return errStopping
	}
	select {
	case <-r.over:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// idle waits until start may be called.
func (l *life) idle(ctx context.Context, detached bool) error {
	l.mu.Lock()
	current, last := l.current, l.last
	l.mu.Unlock()
	if current != nil {
		return errStarted
	}
	return last.wait(ctx, detached)
}

// start calls prepare and runs the loops, each in a goroutine of its own, until stop or
// until ctx is done; neither where others are running. finally is called after the last
// of what the run has done, and told whether it was ctx that ended it.
//
// However a run is ended, leave to work is withdrawn before the loops are told, so that
// nothing is left to a loop that has returned.
func (l *life) start(ctx context.Context, prepare func(), finally func(context.Context, bool), loops ...func(context.Context)) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.current != nil:
		return errStarted
	case !l.last.ended():
		return errStopping
	}
	prepare()
	inner, cancel := context.WithCancel(context.WithoutCancel(ctx))
	r := &run{cancel: cancel, finally: func(lapsed bool) { finally(inner, lapsed) }, over: make(chan struct{})}
	for _, loop := range loops {
		r.working.Go(func() { loop(inner) })
	}
	l.current = r
	l.up.Store(true)
	r.unwatch = context.AfterFunc(ctx, func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.current == r {
			l.retire(true)
		}
	})
	return nil
}

// retire ends the current run. The caller holds the lock.
func (l *life) retire(lapsed bool) {
	r := l.current
	l.current, l.last = nil, r
	l.up.Store(false)
	r.unwatch()
	r.cancel()
	go func() {
		r.working.Wait()
		r.finally(lapsed)
		close(r.over)
	}()
}

// stop ends the loops and waits for all work, that of a run which an earlier stop has
// not seen the end of included, or until ctx is done.
func (l *life) stop(ctx context.Context, detached bool) error {
	l.mu.Lock()
	if l.current != nil {
		l.retire(false)
	}
	last := l.last
	l.mu.Unlock()
	if detached {
		return nil
	}
	return last.wait(ctx, false)
}
