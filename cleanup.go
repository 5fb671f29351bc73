package sessiontrack

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/sessiontrack/sessiontrack/internal/storeclock"
)

// A step of a cleanup takes leastStep to mostStep rows, as many as it gets done in about
// stepTime, so that no lock lasts, however many of them end and whatever else the store
// does.
const (
	leastStep, firstStep, mostStep = 100, 500, 1000
	stepTime                       = 20 * time.Millisecond
)

// Cleanup ends the sessions that are past their limits and purges ended ones that
// are past their retention, in small steps with rests between them: after the first
// thousand it ends some 800 a second with the defaults. It returns how many sessions it
// ended; several at once, on one process or many, count each session once. Idle ones are
// ended no earlier than IdleTimeout + TouchInterval + FlushInterval + 1 s after their
// latest activity, because that much of it may not have been written yet; requests are
// refused from IdleTimeout on regardless.
func (t *Tracker) Cleanup(ctx context.Context) (int, error) {
	return t.cleanup(ctx, func() {})
}

// cleanup calls between after each step.
func (t *Tracker) cleanup(ctx context.Context, between func()) (int, error) {
	ended, err := t.endPast(ctx, between)
	if err == nil {
		err = t.purge(ctx, between)
	}
	if err != nil {
		return ended, fmt.Errorf("sessiontrack: Cleanup: %w", err)
	}
	return ended, nil
}

// endPast walks all rows once for each limit.
func (t *Tracker) endPast(ctx context.Context, between func()) (ended int, err error) {
	limits := []struct {
		on     bool
		sel    Selector
		reason EndReason
	}{
		{t.opts.Lifetime > 0, Expired(), ReasonLifetime},
		{t.opts.IdleTimeout > 0, Idle(t.opts.idleFor()), ReasonIdle},
	}
	for _, limit := range limits {
		if !limit.on {
			continue
		}
		after := int64(0)
		err := t.inSteps(ctx, between, func(rows int) (wait time.Duration, more bool, err error) {
			step, err := t.end(ctx, limit.sel.Walk(after, rows), Ending{Reason: limit.reason})
			if err != nil {
				return 0, false, err
			}
			n := len(step.Sessions)
			ended, after = ended+n, step.Next
			return t.ends.wait(t.clock.Local(), n), after != 0, nil
		})
		if err != nil {
			return ended, err
		}
	}
	return ended, nil
}

// endPace is what all cleanups of a process keep to. A replica empties its cache when a
// reading of the feed brings more than feedLimit: what they end fits in twice, so that
// those of another process, such as the command's, find room.
type endPace struct {
	mu   sync.Mutex
	pace storeclock.Pace
}

func newEndPace(feedInterval time.Duration) endPace {
	return endPace{pace: storeclock.Pace{Each: (feedOverlap + feedInterval) / (feedLimit / 3), Ahead: feedLimit / 10}}
}

func (p *endPace) wait(local int64, n int) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.pace.Take(local, n)
}

func (t *Tracker) purge(ctx context.Context, between func()) error {
	if t.opts.Retention < 0 {
		return nil
	}
	return t.inSteps(ctx, between, func(rows int) (wait time.Duration, more bool, err error) {
		stepCtx, cancel := t.writeContext(ctx)
		defer cancel()
		n, err := t.store.Purge(stepCtx, PurgeOptions{Retention: t.opts.Retention, KeepEnded: t.opts.KeepEnded, Limit: rows})
		if err != nil {
			return 0, false, asUnavailable(err)
		}
		t.count(countPurged, n)
		return 0, n == rows, nil
	})
}

// inSteps calls step with how many rows to take until there are no more. Between two it
// rests for what step asks for and for as long as the step took, so that requests find
// at least half of the store's time. A step that a busy store did not finish in its time
// is tried again with fewer rows, or no cleanup would ever get past it.
func (t *Tracker) inSteps(ctx context.Context, between func(), step func(rows int) (wait time.Duration, more bool, err error)) error {
	for rows := firstStep; ; {
		began := time.Now()
		wait, more, err := step(rows)
		took := time.Since(began)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil && rows > leastStep && !t.down.Load():
			rows = max(rows/4, leastStep)
		case err != nil || !more:
			return err
		default:
			rows = paced(rows, took)
		}
		between()
		if !storeclock.Sleep(ctx, max(wait, took)) {
			return ctx.Err()
		}
	}
}

// paced is how many rows the next step takes after one that took so long: what would
// have taken stepTime, but at most twice as many, and no fewer than a quarter.
func paced(rows int, took time.Duration) int {
	fit := 2 * rows
	if took > stepTime/2 {
		fit = int(int64(rows) * int64(stepTime) / int64(took))
	}
	return min(max(fit, rows/4, leastStep), mostStep)
}

// cleanupLeased is the background's Cleanup: by one replica at a time, where the store
// can tell, however long it lasts.
func (t *Tracker) cleanupLeased(ctx context.Context) {
	if t.down.Load() || !t.leaseCleanup(ctx, t.opts.CleanupInterval/10*9) {
		return
	}
	leased := time.Now()
	ended, err := t.cleanup(ctx, func() {
		if time.Since(leased) > t.opts.CleanupInterval/4 {
			t.leaseCleanup(ctx, 0) // anew, whenever it was given
			leased = time.Now()
		}
	})
	if err != nil && ctx.Err() == nil {
		t.opts.Logger.LogAttrs(ctx, warn, "sessiontrack: cleanup not finished, will be tried again", countAttr(ended), errAttr(err))
	}
}

// leaseCleanup reports whether nobody was given the cleanup within the last d, and has it
// given to this replica then.
func (t *Tracker) leaseCleanup(ctx context.Context, d time.Duration) bool {
	if t.leaser == nil {
		return true
	}
	ctx, cancel := t.requestContext(ctx)
	defer cancel()
	mine, err := t.leaser.Lease(ctx, "cleanup", d)
	return err == nil && mine
}
