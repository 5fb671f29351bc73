package sessiontrack

import (
	"context"
	"fmt"
	"time"
)

const (
	// A step of the walk looks at leastWalk to mostWalk rows, as many as it gets done in
	// about walkStep, so that no lock lasts, however many of them end and whatever else
	// the store does. A step that fails is tried with fewer.
	leastWalk, firstWalk, mostWalk = 100, 1000, 5000
	walkStep                       = 50 * time.Millisecond
	// purgeBatch is how many rows one step deletes.
	purgeBatch = 1000
)

// Cleanup ends the sessions that are past their limits and purges ended ones that
// are past their retention, in small steps. It returns how many sessions it ended;
// several at once, on one process or many, count each session once. Idle ones are
// ended no earlier than IdleTimeout + TouchInterval + FlushInterval + 1 s after their
// latest activity, because that much of it may not have been written yet; requests
// are refused from IdleTimeout on regardless.
func (t *Tracker) Cleanup(ctx context.Context) (int, error) {
	ended, err := t.endPast(ctx)
	if err != nil {
		return ended, fmt.Errorf("sessiontrack: Cleanup: %w", err)
	}
	if err := t.purge(ctx); err != nil {
		return ended, fmt.Errorf("sessiontrack: Cleanup: %w", err)
	}
	return ended, nil
}

// endPast walks all rows once for each limit.
func (t *Tracker) endPast(ctx context.Context) (ended int, err error) {
	limits := []struct {
		on     bool
		sel    Selector
		reason EndReason
	}{
		{t.opts.Lifetime > 0, Expired(), ByLifetime},
		{t.opts.IdleTimeout > 0, Idle(t.opts.idleFor()), ByIdle},
	}
	for _, limit := range limits {
		if !limit.on {
			continue
		}
		n, err := t.walk(ctx, limit.sel, limit.reason)
		if ended += n; err != nil {
			return ended, err
		}
	}
	return ended, nil
}

// walk ends what sel selects, step by step. A step that a busy store did not finish in
// its time is tried again with fewer rows, or no cleanup would ever get past it.
func (t *Tracker) walk(ctx context.Context, sel Selector, reason EndReason) (ended int, err error) {
	rows := firstWalk
	for after := int64(0); ; {
		began := time.Now()
		step, err := t.end(ctx, sel.Walk(after, rows), Ending{Reason: reason})
		switch {
		case ctx.Err() != nil:
			return ended + len(step.Sessions), ctx.Err()
		case err != nil && rows > leastWalk && !t.down.Load():
			rows /= 4
			continue
		case err != nil:
			return ended, err
		}
		if ended, after = ended+len(step.Sessions), step.Next; after == 0 {
			return ended, nil
		}
		rows = paced(rows, time.Since(began))
	}
}

// paced is how many rows the next step looks at after one that took so long.
func paced(rows int, took time.Duration) int {
	switch {
	case took > walkStep:
		return max(rows/2, leastWalk)
	case took < walkStep/4:
		return min(2*rows, mostWalk)
	}
	return rows
}

func (t *Tracker) purge(ctx context.Context) error {
	if t.opts.Retention < 0 {
		return nil
	}
	for {
		stepCtx, cancel := t.writeContext(ctx)
		n, err := t.store.Purge(stepCtx, Purge{Retention: t.opts.Retention, KeepEnded: t.opts.KeepEnded, Limit: purgeBatch})
		cancel()
		if err != nil {
			return asUnavailable(err)
		}
		t.count(countPurged, n)
		if n < purgeBatch {
			return nil
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
}

// cleanupLeased is the background's Cleanup: by one replica at a time, where the
// store can tell.
func (t *Tracker) cleanupLeased(ctx context.Context) {
	if t.down.Load() {
		return
	}
	if t.leaser != nil {
		storeCtx, cancel := t.requestContext(ctx)
		mine, err := t.leaser.Lease(storeCtx, "cleanup", t.opts.CleanupInterval/10*9)
		cancel()
		if err != nil || !mine {
			return
		}
	}
	ended, err := t.Cleanup(ctx)
	if err != nil && ctx.Err() == nil {
		t.opts.Logger.LogAttrs(ctx, warn, "sessiontrack: cleanup not finished, will be tried again", countAttr(ended), errAttr(err))
	}
}
