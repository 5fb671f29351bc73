package sessiontrack

import (
	"context"
	"slices"

	"github.com/sessiontrack/sessiontrack/internal/storeclock"
)

// publish tells events as far as the budget goes, with their users' names where
// somebody reads by HTTP.
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

// people asks the directory, a page at a time.
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

// tick is what passes by the mere passing of time.
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

// sweep puts users in doubt of whom nothing was heard for the online window.
func (w *eventBuilder) sweep(local int64) {
	oldest := fromMicros(w.events.clock.Now()).Add(-w.events.online)
	for id, last := range w.online {
		if _, doubted := w.maybeOffline[id]; !doubted && !last.After(oldest) {
			w.maybeOffline[id] = local
		}
	}
}

// tellStats tells the figures when they have changed, at most once a second, and at
// least every idleStats.
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

// wanted reports whether any reader wants events of that type.
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

// gather finds out who is online by listing, for stores without a ChangeFeed.
func (w *eventBuilder) gather(ctx context.Context) {
	if w.events.backend.changes != nil || w.online == nil {
		return
	}
	c, err := w.events.changesFor(ctx, ChangeQuery{})
	if err == nil {
		w.seen(c.Seen)
	}
}

// listedDoubts is how many doubts are settled by listing, each a call of the store.
const listedDoubts = 50

// askStore settles doubts by listing users' sessions.
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
