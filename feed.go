package sessiontrack

import (
	"context"
	"time"

	"github.com/sessiontrack/sessiontrack/internal/storeclock"
)

const (
	// feedOverlap is read again each time, because a transaction that ended a
	// session may commit after a later one was seen. The store's own transactions
	// last 2 s at the most.
	feedOverlap = 3 * time.Second
	// feedBurst is how many kicks are followed at once, and how many in a
	// FeedInterval on the average: an end is known within milliseconds, and a flood
	// of notifications costs the database no flood of readings.
	feedBurst = 20
	// clockStep is how far the store's clock may fall behind between two readings: ends
	// are stamped up to 2 s before they can be seen, which leaves 1 s of the overlap,
	// and half of it to answers that were slow.
	clockStep = 500 * time.Millisecond
)

// lease is how far this process may trust its cache: the start of the latest good
// reading of the feed, plus MaxStaleness. Without a feed each entry has its own.
type lease struct {
	since    time.Time           // the store's time from which the next reading begins
	lastGood int64               // local start of the latest good reading
	seen     map[handle]struct{} // ends that the overlap will bring again
}

// setBack reports whether a reading's answer shows that the store's clock has been set
// back since the latest good one, as after a fail-over to a server whose clock is
// behind: what has ended there lately is stamped before the time that was asked about.
// A clock that stands, as a MemoryStore's may, stamps nothing earlier than before.
func (l *lease) setBack(now time.Time, local int64) bool {
	before := l.since.Add(feedOverlap)
	moved, due := now.Sub(before), time.Duration(local-l.lastGood)*time.Microsecond
	stands := moved >= 0 && moved < time.Millisecond
	return !stands && due-moved > clockStep
}

// PollNow makes the feed of ended sessions be read at once: what a listener such as
// package pglisten calls when it is told of an end, has reconnected or has any
// doubt. It never blocks and may be called at any rate. The feed is read every
// FeedInterval regardless.
func (t *Tracker) PollNow() {
	select {
	case t.feedKick <- struct{}{}:
	default:
	}
}

// runFeed reads the feed until ctx is done; while the store is away it tries four
// times as often.
func (t *Tracker) runFeed(ctx context.Context) {
	timer := time.NewTimer(t.opts.FeedInterval)
	defer timer.Stop()
	kicks := storeclock.Pace{Each: t.opts.FeedInterval / feedBurst, Ahead: feedBurst}
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		case <-t.feedKick:
			if !storeclock.Sleep(ctx, kicks.Take(t.clock.Local(), 1)) {
				return
			}
		}
		next := t.opts.FeedInterval
		if err := t.poll(ctx); err != nil {
			next /= 4
		}
		timer.Reset(next)
	}
}

// poll reads the feed once and renews the lease.
func (t *Tracker) poll(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, t.opts.StoreTimeout)
	defer cancel()
	before := t.clock.Local()
	var page EndedPage
	err := t.withStore(func() (err error) {
		page, err = t.readFeed(ctx)
		return err
	})
	if err != nil {
		t.storeAway(ctx, err)
		return err
	}
	t.clock.Learn(page.Now, before, t.clock.Local())
	gap := before-t.lease.lastGood > (t.opts.MaxStaleness + t.opts.StaleGrace).Microseconds()
	if page.More || gap || t.lease.setBack(page.Now, before) {
		t.cache.clear()
		t.lease.seen = nil
		t.hub.streams.doubtAll()
	}
	t.learnEnds(page.Ended)
	t.lease.since, t.lease.lastGood = page.Now.Add(-feedOverlap), before
	t.trustedUntil.Store(before + t.opts.MaxStaleness.Microseconds())
	t.storeBack(ctx)
	return nil
}

// learnEnds takes ended sessions out of service here, each once: an end that the
// overlap repeats would void fills of the cache for nothing.
func (t *Tracker) learnEnds(ended []EndedSession) {
	seen := make(map[handle]struct{}, len(ended))
	for _, s := range ended {
		h, ok := parseHandle(s.ID)
		if !ok {
			continue
		}
		if _, again := t.lease.seen[h]; !again {
			t.takeOut(h, s)
		}
		seen[h] = struct{}{}
	}
	t.lease.seen = seen
}

// takeOut takes an ended session out of service in this process.
func (t *Tracker) takeOut(h handle, s EndedSession) {
	t.cache.end(h, &ending{micros(s.LogoutAt), s.EndReason, s.EndedBy})
	t.hub.streams.end(h)
}

// storeAway and storeBack keep the breaker: while the store is known to be away no
// request waits for it. Each change is logged once.
func (t *Tracker) storeAway(ctx context.Context, err error) {
	if ctx.Err() == context.Canceled {
		return // Shutdown, not the store
	}
	t.count(countFeedFailed, 1)
	if !t.down.Swap(true) {
		t.opts.Logger.LogAttrs(ctx, warn, "sessiontrack: store unreachable; cached sessions are served for a while", errAttr(err))
	}
}

func (t *Tracker) storeBack(ctx context.Context) {
	if t.down.Swap(false) {
		t.opts.Logger.LogAttrs(ctx, info, "sessiontrack: store reachable again")
		select {
		case t.flushKick <- struct{}{}:
		default:
		}
	}
}

// trusted reports whether a cached entry may be served without asking the store.
func (t *Tracker) trusted(e *entry, local int64) bool {
	if t.feed == nil {
		return local < e.readAt+t.opts.MaxStaleness.Microseconds()
	}
	return local < t.trustedUntil.Load()
}

// tolerated reports whether it may still be served while the store cannot say.
func (t *Tracker) tolerated(e *entry, local int64) bool {
	return t.trusted(e, local-t.opts.StaleGrace.Microseconds())
}

// readFeed asks the feed, with all that events need where somebody is watching.
func (t *Tracker) readFeed(ctx context.Context) (EndedPage, error) {
	w := t.hub.watching.Load()
	if w == nil || t.changes == nil {
		return t.feed.EndedSince(ctx, t.lease.since, feedLimit)
	}
	f := &t.changed
	if f.began != w.since { // other readers than at the last reading
		*f = changePlace{began: w.since, begun: w.since, seen: w.since.Add(-feedOverlap - t.opts.FlushInterval)}
	}
	local := t.clock.Local()
	c, err := t.changes.ChangesSince(ctx, ChangeQuery{Ended: t.lease.since, Begun: f.begun, Seen: f.seen, Users: w.ask, Limit: feedLimit})
	if err != nil {
		return EndedPage{}, err
	}
	if next := c.Now.Add(-feedOverlap); next.After(f.begun) {
		f.begun = next
	}
	f.seen = c.Now.Add(-feedOverlap - t.opts.FlushInterval)
	t.hub.hand(arrival{changes: c, asked: w.ask, at: local, began: f.began, anew: t.lease.setBack(c.Now, local)})
	page := EndedPage{Ended: make([]EndedSession, len(c.Ended)), More: c.MoreEnded, Now: c.Now}
	for i := range c.Ended {
		page.Ended[i] = endedSession(c.Ended[i])
	}
	return page, nil
}

// changePlace is where the feed's next reading for events begins.
type changePlace struct {
	began, begun, seen time.Time
}
