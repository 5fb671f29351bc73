package sessiontrack

import (
	"context"
	"sync"
	"sync/atomic"
)

// life is the Tracker's running state: whether work may be done in the background, and
// by which run of it.
type life struct {
	up      atomic.Bool
	mu      sync.Mutex
	current *run // nil before Start and after Shutdown
}

// run is what lies between one Start and the Shutdown that ends it.
type run struct {
	cancel  context.CancelFunc
	working sync.WaitGroup
}

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

// start runs the loops, each in a goroutine of its own, until stop or until ctx is
// done. It reports false when others are running.
func (l *life) start(ctx context.Context, loops ...func(context.Context)) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.current != nil {
		return false
	}
	ctx, cancel := context.WithCancel(ctx)
	r := &run{cancel: cancel}
	for _, loop := range loops {
		r.working.Go(func() { loop(ctx) })
	}
	l.current = r
	l.up.Store(true)
	return true
}

// stop ends the loops and waits for all work, or until ctx is done. A loop that calls
// it cannot be waited for: detached says so.
func (l *life) stop(ctx context.Context, detached bool) error {
	l.mu.Lock()
	r := l.current
	l.current = nil
	l.up.Store(false)
	l.mu.Unlock()
	if r == nil {
		return nil
	}
	r.cancel()
	if detached {
		return nil
	}
	idle := make(chan struct{})
	go func() {
		r.working.Wait()
		close(idle)
	}()
	select {
	case <-idle:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
