package sessiontrack

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/sessiontrack/sessiontrack/internal/storeclock"
)

const (
	// feedOverlap is how far back each poll reads again: a transaction that ended a session may
	// commit after a later end was read. The store's own transactions last at most 2 s.
	feedOverlap = 3 * time.Second
	// feedBurst is how many calls of PollNow are followed at once, and how many in a
	// FeedInterval on the average: an end is known within milliseconds, and a flood of
	// notifications costs the database no flood of readings.
	feedBurst = 20
	// clockStep is how far the store's clock may fall behind between two polls. An end is stamped
	// up to 2 s before it becomes visible, which leaves 1 s of the overlap. Half of that is
	// reserved for slow answers.
	clockStep = 500 * time.Millisecond
)

// feedListener hears what the feed brings. The events implement it.
type feedListener interface {
	// feedRequest returns what the next reading is to bring beside ends, nil for nothing.
	feedRequest() *feedRequest
	// feedBrought takes what a reading has brought. It must not wait.
	feedBrought(feedBatch)
}

// feedRequest is what events want of the next reading.
type feedRequest struct {
	since time.Time // sessions and users that are newer than this
	ask   []string  // users whose presence is doubtful
}

// feedBatch is what the feed has brought for events.
type feedBatch struct {
	changes Changes
	asked   []string
	at      int64     // local time
	began   time.Time // since of the request
	anew    bool      // the store's clock has been set back
}

// freshness is how current this process is: the store's time from which the next reading
// begins, and the local start of the latest good reading. The cache may be trusted for
// MaxStaleness after that. Without a feed each entry has a time of its own.
type freshness struct {
	since    time.Time
	lastGood int64
	seen     map[handle]struct{}         // ends that the overlap will bring again
	renewed  map[RenewedSession]struct{} // likewise, changes of secrets
	changed  changePlace
}

// standing is how the feed stands, in local times: until when the cache may be trusted, and
// since when readings come in time, or fail.
type standing struct{ until, goodSince, awaySince atomic.Int64 }

// setBack reports whether a poll shows that the store's clock was set back since the latest
// successful poll, for example by a fail-over to a server whose clock is behind. Ends there may
// have stamps before the time that the poll asked for. A clock that stands still, as a
// MemoryStore's may, stamps no end too early.
func (f *freshness) setBack(now time.Time, local int64) bool {
	before := f.since.Add(feedOverlap)
	moved, due := now.Sub(before), time.Duration(local-f.lastGood)*time.Microsecond
	stands := moved >= 0 && moved < time.Millisecond
	return !stands && due-moved > clockStep
}

// changePlace is where the next reading for events begins.
type changePlace struct {
	began, begun, seen time.Time
}

// pollNow has the feed read at once. It never blocks.
func (n *near) pollNow() {
	select {
	case n.kick <- struct{}{}:
	default:
	}
}

// trustFrom begins the trust in the cache with a reading that began at a local time and
// brought a store's time.
func (n *near) trustFrom(local int64, now time.Time) {
	n.freshness.since, n.freshness.lastGood = now.Add(-feedOverlap), local
	if local >= n.standing.until.Swap(local+n.trust.staleness) {
		n.standing.goodSince.Store(local)
	}
}

// runFeed reads the feed until ctx is done. While the store is away it tries four times
// as often.
func (n *near) runFeed(ctx context.Context) {
	timer := time.NewTimer(n.interval)
	defer timer.Stop()
	kicks := storeclock.Pace{Each: n.interval / feedBurst, Ahead: feedBurst}
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		case <-n.kick:
			if !storeclock.Sleep(ctx, kicks.Take(n.clock.Local(), 1)) {
				return
			}
		}
		next := n.interval
		if err := n.poll(ctx); err != nil {
			next /= 4
		}
		timer.Reset(next)
	}
}

// poll reads the feed once and renews the trust in the cache.
func (n *near) poll(ctx context.Context) error {
	ctx, cancel := n.backend.short(ctx)
	defer cancel()
	before := n.clock.Local()
	page, err := n.readFeed(ctx)
	if err != nil {
		n.storeAway(ctx, err)
		return err
	}
	n.host.noticeClock(ctx, n.clock.Ahead())
	gap := before-n.freshness.lastGood > n.trust.staleness+n.trust.grace
	if page.overflows() || gap || n.freshness.setBack(page.Now, before) {
		n.cache.clear()
		n.freshness.seen, n.freshness.renewed = nil, nil
		n.holder.endsMissed()
	}
	n.learnEnds(page.Ended)
	n.learnRenewals(page.Renewed)
	n.trustFrom(before, page.Now)
	n.storeBack(ctx)
	return nil
}

// overflows reports whether the limit may have cut an end of now. Ends come by their stamps: those
// that were cut are later than the last one. Where that lies in the future, the store's clock was
// ahead when it was stamped, and readings would bring it until that time has come: they must not
// empty the cache each time.
func (p *EndedPage) overflows() bool {
	n := len(p.Ended)
	return p.More && (n < feedLimit || !p.Ended[n-1].LogoutAt.After(p.Now.Add(feedOverlap)))
}

// readFeed asks the feed for what has ended, and for all that events need where somebody
// is watching.
func (n *near) readFeed(ctx context.Context) (EndedPage, error) {
	w := n.listener.feedRequest()
	if w == nil || n.backend.changes == nil {
		return n.backend.endedSince(ctx, n.freshness.since, feedLimit)
	}
	f := &n.freshness.changed
	if f.began != w.since { // the readers have changed since the last poll
		*f = changePlace{began: w.since, begun: w.since, seen: w.since.Add(-feedOverlap - n.touches.interval)}
	}
	local := n.clock.Local()
	c, err := n.backend.changesSince(ctx, ChangeQuery{
		Ended: n.freshness.since, Begun: f.begun, Seen: f.seen, Users: w.ask, Limit: feedLimit,
	})
	if err != nil {
		return EndedPage{}, err
	}
	if next := c.Now.Add(-feedOverlap); next.After(f.begun) {
		f.begun = next
	}
	f.seen = c.Now.Add(-feedOverlap - n.touches.interval)
	page := EndedPage{Ended: make([]EndedSession, len(c.Ended)), Renewed: c.Renewed, More: c.MoreEnded, Now: c.Now}
	for i := range c.Ended {
		page.Ended[i] = endedSession(c.Ended[i])
	}
	c.MoreEnded = page.overflows()
	n.listener.feedBrought(feedBatch{
		changes: c, asked: w.ask, at: local, began: f.began, anew: n.freshness.setBack(c.Now, local),
	})
	return page, nil
}

// learnEnds takes each ended session out of service in this process, once. Repeated ends of the
// overlap would invalidate reads of the cache needlessly.
func (n *near) learnEnds(ended []EndedSession) {
	seen := make(map[handle]struct{}, len(ended))
	for _, s := range ended {
		h, ok := parseHandle(s.ID)
		if !ok {
			continue
		}
		if _, again := n.freshness.seen[h]; !again && n.takeOut(h, s) {
			n.host.endLearnt(time.Duration(n.clock.Now()-micros(s.LogoutAt)) * time.Microsecond)
		}
		seen[h] = struct{}{}
	}
	n.freshness.seen = seen
}

// learnRenewals drops the sessions whose secret has changed from the cache, each change once: the
// next request reads the session.
func (n *near) learnRenewals(renewed []RenewedSession) {
	seen := make(map[RenewedSession]struct{}, len(renewed))
	for _, r := range renewed {
		if _, again := n.freshness.renewed[r]; !again {
			if h, ok := parseHandle(r.ID); ok {
				n.cache.dropLive(h)
			}
		}
		seen[r] = struct{}{}
	}
	n.freshness.renewed = seen
}

// storeAway notes that the store cannot be reached: until storeBack no request waits for
// it. Each change is logged once.
func (n *near) storeAway(ctx context.Context, err error) {
	if ctx.Err() == context.Canceled {
		return // Shutdown cancelled the poll; the store is not at fault
	}
	n.host.count(countFeedFailed, 1)
	if errors.Is(err, errBusy) {
		n.host.count(countPoolBusy, 1)
		if !n.backend.busy.Swap(true) {
			n.host.log.LogAttrs(ctx, warn, "sessiontrack: no free connection to read the ends of sessions; "+
				"cached sessions are served for a while; give the pool more connections or hold them for less time", errAttr(err))
		}
		return
	}
	if !n.backend.down.Swap(true) {
		n.standing.awaySince.Store(n.clock.Local())
		n.host.log.LogAttrs(ctx, warn, "sessiontrack: store is unreachable; cached sessions are served for StaleGrace",
			errAttr(err))
	}
}

// storeBack notes that the store can be reached, and has the activity written that was
// held meanwhile.
func (n *near) storeBack(ctx context.Context) {
	n.backend.busy.Store(false)
	if n.backend.down.Swap(false) {
		n.standing.goodSince.Store(n.clock.Local())
		n.host.log.LogAttrs(ctx, info, "sessiontrack: store is reachable again")
		n.touches.flushSoon()
	}
}
