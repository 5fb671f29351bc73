package sessiontrack

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/sessiontrack/sessiontrack/internal/storeclock"
)

// A step of a cleanup takes leastStep to mostStep rows: as many as take about stepTime. So no lock
// is held for long, however many sessions end and however busy the store is.
const (
	leastStep, firstStep, mostStep = 100, 500, 1000
	stepTime                       = 20 * time.Millisecond
)

// janitor ends sessions past their limits and purges old ones.
type janitor struct {
	idle      time.Duration // after which the store may take a session for idle; 0: never
	slack     time.Duration // added to a session's own idle limit, for the same reason
	retention time.Duration // negative: for ever
	keepEnded time.Duration
	keepAudit time.Duration // negative: for ever
	interval  time.Duration // CleanupInterval
	// end ends sessions as [Tracker.End] does.
	end func(context.Context, Selector, Ending) (EndResult, error)

	backend *backend
	host    *host
	clock   *storeclock.Clock

	pace    endPace
	orphans orphans
}

func (j *janitor) init(o *Options, end func(context.Context, Selector, Ending) (EndResult, error), b *backend) {
	j.idle, j.slack, j.retention, j.keepEnded = o.idleFor(), o.lag(), o.Retention, o.KeepEnded
	j.interval, j.keepAudit, j.end = o.CleanupInterval, o.AuditRetention, end
	j.backend, j.host, j.clock = b, b.host, b.clock
	j.pace.init(o.FeedInterval)
}

// maxAhead is how far the store's clock may be ahead of this machine's for a cleanup.
const maxAhead = time.Hour

// inTime returns an error while the store's clock cannot be believed: a clock that is ahead would
// have sessions in use taken for idle, and their ends are for good.
func (j *janitor) inTime(ctx context.Context) error {
	if !j.clock.Learnt() {
		before := j.clock.Local()
		page, err := j.backend.list(detached(ctx), Query{Live: true, Limit: 1})
		if err != nil {
			return err
		}
		j.clock.Learn(page.Now, before, j.clock.Local())
	}
	if ahead := j.clock.Ahead(); ahead > 0 {
		return fmt.Errorf("%w: the store's clock has stepped forward by %v: no cleanup until that is confirmed, "+
			"which takes 10 minutes", ErrUnavailable, ahead.Round(time.Second))
	}
	if ahead := j.clock.AheadOfSystem(); ahead > maxAhead {
		return fmt.Errorf("%w: the store's clock is %v ahead of this machine's: no cleanup until one of them is set right",
			ErrUnavailable, ahead.Round(time.Second))
	}
	return nil
}

// cleanup returns how many sessions it ended. It calls between after each step.
func (j *janitor) cleanup(ctx context.Context, between func()) (int, error) {
	if err := j.inTime(ctx); err != nil {
		return 0, err
	}
	ended, err := j.endPast(ctx, between)
	if err == nil {
		err = j.purge(ctx, between)
	}
	if err == nil {
		err = j.purgeAudit(ctx, between)
	}
	return ended, err
}

// endPast walks all rows once for each limit: a session may have one of its own.
func (j *janitor) endPast(ctx context.Context, between func()) (ended int, err error) {
	limits := []struct {
		sel    Selector
		reason EndReason
	}{
		{Expired(), ReasonLifetime},
		{PastIdle(j.idle, j.slack), ReasonIdle},
	}
	for _, limit := range limits {
		after := int64(0)
		err := j.inSteps(ctx, between, func(rows int) (wait time.Duration, more bool, err error) {
			if err := j.inTime(ctx); err != nil {
				return 0, false, err
			}
			step, err := j.end(ctx, limit.sel.Walk(after, rows), Ending{Reason: limit.reason})
			if err != nil {
				return 0, false, err
			}
			n := len(step.Sessions)
			ended, after = ended+n, step.Next
			return j.pace.wait(j.clock.Local(), n), after != 0, nil
		})
		if err != nil {
			return ended, err
		}
	}
	return ended, nil
}

// endPace limits all cleanups of a process together. A replica empties its cache when one poll of
// the feed brings more than feedLimit ends. This pace uses at most half of that limit, so that a
// cleanup of another process, such as the command, fits in too.
type endPace struct {
	mu   sync.Mutex
	pace storeclock.Pace
}

func (p *endPace) init(feedInterval time.Duration) {
	p.pace = storeclock.Pace{Each: (feedOverlap + feedInterval) / (feedLimit / 3), Ahead: feedLimit / 10}
}

func (p *endPace) wait(local int64, n int) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.pace.Take(local, n)
}

func (j *janitor) purge(ctx context.Context, between func()) error {
	if j.retention < 0 {
		return nil
	}
	return j.inSteps(ctx, between, func(rows int) (wait time.Duration, more bool, err error) {
		if err := j.inTime(ctx); err != nil {
			return 0, false, err
		}
		n, err := j.backend.purge(detached(ctx), PurgeOptions{Retention: j.retention, KeepEnded: j.keepEnded, Limit: rows})
		if err != nil {
			return 0, false, err
		}
		j.host.count(countPurged, n)
		return 0, n == rows, nil
	})
}

// purgeAudit deletes records of the trail that are past their retention.
func (j *janitor) purgeAudit(ctx context.Context, between func()) error {
	if j.keepAudit < 0 || j.backend.auditor == nil {
		return nil
	}
	return j.inSteps(ctx, between, func(rows int) (wait time.Duration, more bool, err error) {
		if err := j.inTime(ctx); err != nil {
			return 0, false, err
		}
		n, err := j.backend.purgeAudit(detached(ctx), j.keepAudit, rows)
		return 0, n == rows, err
	})
}

// inSteps calls step with a number of rows until step reports that there are no more. After a step
// it pauses for the time that step asks for, plus the duration of the step, so that requests get at
// least half of the store's time. A step that timed out is repeated with fewer rows; otherwise a
// cleanup could never get past it.
func (j *janitor) inSteps(ctx context.Context, between func(), step func(rows int) (wait time.Duration, more bool,
	err error)) error {
	for rows := firstStep; ; {
		began := time.Now()
		wait, more, err := step(rows)
		took := time.Since(began)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil && rows > leastStep && !j.backend.away():
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

// paced returns the rows of the next step, given the rows and duration of the last one. It aims at
// stepTime, with at most twice and at least a quarter of the rows.
func paced(rows int, took time.Duration) int {
	fit := 2 * rows
	if took > stepTime/2 {
		fit = int(int64(rows) * int64(stepTime) / int64(took))
	}
	return min(max(fit, rows/4, leastStep), mostStep)
}

// run is one cleanup in the background: by one replica at a time where the store is a
// Leaser, however long it lasts.
func (j *janitor) run(ctx context.Context) {
	if j.backend.away() || !j.lease(ctx, j.interval/10*9) {
		return
	}
	leased := time.Now()
	ended, err := j.cleanup(ctx, func() {
		if time.Since(leased) > j.interval/4 {
			j.lease(ctx, 0) // renews the lease, also if it has expired
			leased = time.Now()
		}
	})
	if err != nil && ctx.Err() == nil {
		j.host.log.LogAttrs(ctx, warn, "sessiontrack: cleanup was not finished and will be retried", countAttr(ended),
			errAttr(err))
	}
}

// lease reports whether nobody was given the cleanup within the last d, and has it
// given to this replica then.
func (j *janitor) lease(ctx context.Context, d time.Duration) bool {
	mine, err := j.backend.lease(detached(ctx), "cleanup", d)
	return err == nil && mine
}

const (
	// orphanInterval is how often orphans are looked for, and orphanPause how long one that was not
	// found rests at the most: it may be that its sign-in has not committed yet.
	orphanInterval = time.Second
	orphanPause    = time.Minute
	// orphanAge is how long a sign-in whose outcome is unknown may take to show itself.
	orphanAge = time.Hour
	// maxOrphans bounds the memory, orphanBatch one statement.
	maxOrphans  = 10_000
	orphanBatch = 1000
)

// orphans are sessions that may exist and that nobody can use: the store's answer to their sign-in
// was lost, and the client has got an error.
type orphans struct {
	mu   sync.Mutex
	wait map[handle]orphan
}

// orphan has local times.
type orphan struct {
	since, due int64
	pause      time.Duration
}

// disown keeps a sign-in that failed, where its outcome is unknown, to be ended, and says so in
// the error.
func (j *janitor) disown(h handle, err error) error {
	if !errors.Is(err, ErrUnavailable) || errors.Is(err, errBusy) {
		return err
	}
	local := j.clock.Local()
	j.orphans.mu.Lock()
	full := len(j.orphans.wait) >= maxOrphans
	if !full {
		if j.orphans.wait == nil {
			j.orphans.wait = make(map[handle]orphan)
		}
		j.orphans.wait[h] = orphan{local, local, orphanInterval}
	}
	j.orphans.mu.Unlock()
	if full {
		j.host.count(countUnsettled, 1)
	}
	return fmt.Errorf("the outcome is unknown: if the session was made, it is ended once the store answers, "+
		"and what it replaced or evicted has ended: %w", err)
}

// settle ends the orphans that are due. What is not found, because it was never made or because
// its sign-in has not committed yet, is looked for again until it is orphanAge old.
func (j *janitor) settle(ctx context.Context) {
	for !j.backend.away() {
		batch := j.orphans.due(j.clock.Local())
		if len(batch) == 0 {
			return
		}
		ended, err := j.end(ctx, IDs(batch...), Ending{Reason: ReasonUnacknowledged})
		j.host.count(countUnsettled, j.orphans.settled(ended.Sessions, j.clock.Local()))
		if err != nil {
			return
		}
	}
}

// due returns a batch of the orphans that are due, and puts off the next attempt.
func (o *orphans) due(local int64) (batch []SessionID) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for h, orphan := range o.wait {
		if len(batch) == orphanBatch {
			break
		}
		if orphan.due > local {
			continue
		}
		orphan.due = local + orphan.pause.Microseconds()
		orphan.pause = min(2*orphan.pause, orphanPause)
		o.wait[h] = orphan
		batch = append(batch, h.id())
	}
	return batch
}

// settled forgets the sessions that were ended, and those that are too old to come. It returns how
// many of the latter there are.
func (o *orphans) settled(ended []Session, local int64) (lost int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, s := range ended {
		if h, ok := parseHandle(s.ID); ok {
			delete(o.wait, h)
		}
	}
	for h, orphan := range o.wait {
		if local-orphan.since > orphanAge.Microseconds() {
			delete(o.wait, h)
			lost++
		}
	}
	return lost
}
