package sessiontrack

import "context"

// hookQueue bounds the calls of hooks that wait; what does not fit is dropped and
// counted.
const hookQueue = 1024

// hookKey marks the context that a hook is called with.
type hookKey struct{}

// inHook reports whether ctx comes from a hook: Shutdown must not wait for the
// goroutine that is calling it.
func inHook(ctx context.Context) bool { return ctx.Value(hookKey{}) != nil }

// hook has one of the host's hooks called: in turn, in the background, so that a slow
// one delays no request; in place before Start, where there is no background.
func (t *Tracker) hook(ctx context.Context, name string, call func(context.Context)) {
	run := t.life.Begin()
	if run == nil {
		t.contain(name, func() { call(context.WithoutCancel(ctx)) })
		return
	}
	defer run.Done()
	select {
	case t.hooks <- func(ctx context.Context) { t.contain(name, func() { call(ctx) }) }:
	default:
		t.count(countHookDropped, 1)
	}
}

// runHooks calls hooks one after the other; when ctx is done, those that still wait.
func (t *Tracker) runHooks(ctx context.Context) {
	called := context.WithValue(context.WithoutCancel(ctx), hookKey{}, true)
	for {
		select {
		case call := <-t.hooks:
			call(called)
		case <-ctx.Done():
			t.callHooks(ctx)
			return
		}
	}
}

// callHooks calls those that wait. It is also the last that a run does: a request that
// Shutdown waits for may have added one after the loop's last look.
func (t *Tracker) callHooks(ctx context.Context) {
	called := context.WithValue(context.WithoutCancel(ctx), hookKey{}, true)
	for {
		select {
		case call := <-t.hooks:
			call(called)
		default:
			return
		}
	}
}
