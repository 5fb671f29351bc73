package sessiontrack

import (
	"context"
	"slices"
	"time"

	"github.com/sessiontrack/sessiontrack/internal/storeclock"
)

// publish publishes events within the budget. It adds users' names if there are HTTP readers.
func (w *eventBuilder) publish(ctx context.Context, events []Event, gap bool) {
	v, local := w.events, w.events.clock.Local()
	w.room = min(eventBudget, w.room+float64(local-w.roomAt)*eventBudget/1e6)
	w.roomAt = local
	if n := int(w.room); len(events) > n {
		v.host.count(countEventDropped, len(events)-n)
		events, gap = events[:n], true
	}
	w.room -= float64(len(events))
	var people map[string]UserInfo
	if len(events) > 0 && v.hub.streams.used.Load() {
		people = w.people(ctx, events)
	}
	v.hub.publish(events, people)
	if gap {
		v.hub.publish([]Event{{Type: eventGap, Time: fromMicros(v.clock.Now())}}, nil)
	}
}

// people asks the directory for the events' users, a page at a time.
func (w *eventBuilder) people(ctx context.Context, events []Event) map[string]UserInfo {
	ctx, cancel := w.events.backend.long(detached(ctx))
	defer cancel()
	ids := make([]string, 0, len(events))
	for i := range events {
		ids = append(ids, events[i].user())
	}
	known := make(map[string]UserInfo, len(ids))
	for page := range slices.Chunk(sortedCopy(ids), maxPage) {
		for id, user := range w.events.host.users(ctx, page) {
			known[id] = user
		}
	}
	return known
}

// tick does the periodic work: it closes stalled readers, sweeps, asks the store and publishes
// figures.
func (w *eventBuilder) tick(ctx context.Context, local int64) {
	if w.online != nil && local/5_000_000 != w.sweptAt {
		w.sweptAt = local / 5_000_000
		w.sweep(local)
	}
	if w.events.backend.changes == nil {
		w.askStore(ctx)
	} else {
		w.ask()
	}
	w.tellStats(ctx, local)
}

// sweep marks users as doubtful who have not been active for the online window.
func (w *eventBuilder) sweep(local int64) {
	oldest := fromMicros(w.events.clock.Now()).Add(-w.events.online)
	for id, last := range w.online {
		if _, doubted := w.maybeOffline[id]; !doubted && !last.After(oldest) {
			w.maybeOffline[id] = local
		}
	}
}

// tellStats publishes the figures if they have changed, at most once a second, and otherwise every
// idleStats.
func (w *eventBuilder) tellStats(ctx context.Context, local int64) {
	v := w.events
	due := local-w.statsAt >= idleStats.Microseconds()
	if w.dirtyAt == 0 && !due || local-w.statsAt < statsFor.Microseconds() || !v.hub.wanted(EventStats) {
		return
	}
	stats, err := v.figures.onlineStats(ctx)
	if err != nil {
		return
	}
	if micros(stats.At) >= w.dirtyAt {
		w.dirtyAt = 0
	}
	was := w.stats
	was.At = stats.At
	if stats == was && !due {
		return
	}
	w.stats, w.statsAt = stats, local
	v.hub.publish([]Event{{Type: EventStats, Time: stats.At, Stats: stats}}, nil)
}

// wanted reports whether any reader wants events of a type.
func (h *hub) wanted(kind EventType) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	for s := range h.readers {
		if s.types == nil || slices.Contains(s.types, kind) {
			return true
		}
	}
	return false
}

// gather lists who is online, for stores without a ChangeFeed.
func (w *eventBuilder) gather(ctx context.Context) {
	if w.events.backend.changes != nil || w.online == nil {
		return
	}
	c, err := w.events.changesFor(ctx, ChangeQuery{})
	if err == nil {
		w.seen(c.Seen)
	}
}

// listedDoubts is how many doubtful users are checked by listing, with one call of the store each.
const listedDoubts = 50

// askStore checks doubtful users by listing their sessions.
func (w *eventBuilder) askStore(ctx context.Context) {
	w.ask()
	asked := w.events.hub.request.Load().ask
	if len(asked) == 0 {
		return
	}
	a := feedBatch{asked: asked[:min(len(asked), listedDoubts)], at: w.events.clock.Local()}
	q := Query{Live: true, IdleTimeout: w.events.idle, Within: w.events.online, Limit: maxPage}
	for _, id := range a.asked {
		q.UserID = id
		page, err := w.events.backend.list(detached(ctx), q)
		if err != nil {
			return
		}
		u := OnlineUser{UserID: id, Sessions: len(page.Sessions)}
		for _, s := range page.Sessions {
			u.LastActivity = storeclock.Later(u.LastActivity, s.LastActivity)
		}
		a.changes.Users, a.changes.Now = append(a.changes.Users, u), page.Now
	}
	w.take(ctx, a)
}

// publishLocal tells of what this process has just done. Over a ChangeFeed it only has the
// feed read soon, so that events have one order and none comes before its commit.
func (v *events) publishLocal(begun, ended []Session) {
	switch {
	case v.hub.request.Load() == nil || len(begun)+len(ended) == 0:
	case v.backend.changes != nil:
		v.hub.nudge()
	default:
		c := Changes{Begun: begun, Ended: ended, Now: fromMicros(v.clock.Now())}
		v.hub.hand(feedBatch{changes: c, at: v.clock.Local()})
	}
}

// newBuilder begins to watch: it learns who is online and has the feed ask for more.
func (v *events) newBuilder(ctx context.Context, since int64) *eventBuilder {
	w := &eventBuilder{
		events: v, since: fromMicros(since), began: fromMicros(since), priming: true, room: eventBudget,
		roomAt:      v.clock.Local(),
		maybeOnline: make(map[string]struct{}), maybeOffline: make(map[string]int64), statsAt: v.clock.Local(),
	}
	for len(v.hub.arrivals) > 0 { // left over from the last watching
		<-v.hub.arrivals
	}
	for !w.load(ctx) {
		if !storeclock.Sleep(ctx, v.interval) {
			return nil
		}
	}
	v.hub.request.Store(&feedRequest{since: w.began})
	v.near.pollNow()
	return w
}

// load loads who is online, latest first. It returns false if the store failed.
func (w *eventBuilder) load(ctx context.Context) bool {
	v := w.events
	w.online = make(map[string]time.Time)
	lately := w.since.Add(-feedOverlap)
	q := ChangeQuery{Seen: w.since.Add(-v.online), Begun: lately, Ended: lately, Limit: feedLimit}
	for {
		c, err := v.changesFor(ctx, q)
		if err != nil {
			return false
		}
		if !q.Begun.IsZero() {
			w.prime(&c, w.since)
		}
		for _, u := range c.Seen {
			if v.backend.changes == nil || !u.LastActivity.After(w.since) { // the first arrival brings the others
				w.online[u.UserID] = u.LastActivity
			}
		}
		switch {
		case len(w.online) > maxWatched:
			w.overflow(ctx)
			return true
		case len(c.Seen) < q.Limit || v.backend.changes == nil:
			return true
		}
		last := c.Seen[len(c.Seen)-1]
		q = ChangeQuery{Seen: q.Seen, Before: Cursor{At: last.LastActivity, UserID: last.UserID}, Limit: feedLimit}
	}
}

// prime marks sessions as already announced that existed and were stamped until then. A session
// that did not exist then and has an earlier stamp was committed later; the feed brings it, and it
// is announced.
func (w *eventBuilder) prime(c *Changes, until time.Time) {
	w.began, w.logins, w.ends = w.since, nil, nil
	if w.events.backend.changes == nil || c.MoreBegun || c.MoreEnded {
		return
	}
	w.began = w.since.Add(-feedOverlap)
	w.logins, w.ends = make(map[handle]struct{}), make(map[handle]struct{})
	for _, s := range c.Begun {
		if h, ok := parseHandle(s.ID); ok && !s.LoginAt.After(until) {
			w.logins[h] = struct{}{}
		}
	}
	for _, s := range c.Ended {
		if h, ok := parseHandle(s.ID); ok && !s.LogoutAt.After(until) {
			w.ends[h] = struct{}{}
		}
	}
}

// restart begins watching at a time before w.began, after the store's clock was set back. It marks
// all existing sessions as announced, and a snapshot follows. It returns false if the store failed.
func (w *eventBuilder) restart(ctx context.Context, now time.Time) bool {
	lately := now.Add(-feedOverlap)
	c, err := w.events.changesFor(ctx, ChangeQuery{Begun: lately, Ended: lately, Limit: feedLimit})
	if err == nil {
		w.since = now
		w.prime(&c, fromMicros(maxMicros))
	}
	return err == nil
}

// overflow stops tracking who is online.
func (w *eventBuilder) overflow(ctx context.Context) {
	w.events.host.log.LogAttrs(ctx, warn, "sessiontrack: too many users are online; online and offline events stop",
		countAttr(maxWatched))
	w.online = nil
	clear(w.maybeOnline)
	clear(w.maybeOffline)
}

// changesFor asks for changes on behalf of the builder. Where the store is no ChangeFeed it
// gathers who is online by listing.
func (v *events) changesFor(ctx context.Context, q ChangeQuery) (c Changes, err error) {
	if v.backend.changes != nil {
		return v.backend.changesSince(detached(ctx), q)
	}
	ctx, cancel := v.backend.long(detached(ctx))
	defer cancel()
	c.Seen, _, err = v.figures.gatherOnline(ctx, v.online)
	return c, err
}
