package sessiontrack

import (
	"context"
	"sync"
	"sync/atomic"
)

// life is the Tracker's running state: who may work in the background, and who has
// to be waited for.
type life struct {
	mu      sync.Mutex
	up      atomic.Bool
	cancel  context.CancelFunc // not nil between Start and Shutdown
	working sync.WaitGroup
}

// running reports whether the Tracker has been started and not been shut down.
func (l *life) running() bool { return l.up.Load() }

// enter asks for leave to work in the background; leave ends it. Between the two,
// Shutdown waits.
func (l *life) enter() bool {
	if !l.up.Load() {
		return false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.cancel == nil {
		return false
	}
	l.working.Add(1)
	return true
}

func (l *life) leave() { l.working.Done() }

// start runs the loops, each in a goroutine of its own, until stop. It reports false
// when they are running already.
func (l *life) start(ctx context.Context, loops ...func(context.Context)) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.cancel != nil {
		return false
	}
	ctx, l.cancel = context.WithCancel(ctx)
	for _, loop := range loops {
		l.working.Go(func() { loop(ctx) })
	}
	l.up.Store(true)
	return true
}

// stop ends the loops and waits for all work, or until ctx is done. A loop that calls
// it cannot be waited for: detached says so.
func (l *life) stop(ctx context.Context, detached bool) error {
	l.mu.Lock()
	if l.cancel == nil {
		l.mu.Unlock()
		return nil
	}
	l.up.Store(false)
	l.cancel()
	l.cancel = nil
	l.mu.Unlock()
	if detached {
		return nil
	}
	idle := make(chan struct{})
	go func() {
		l.working.Wait()
		close(idle)
	}()
	select {
	case <-idle:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
