package sessiontrack

import (
	"context"
	"slices"

	"github.com/sessiontrack/sessiontrack/internal/storeclock"
)

// publish tells events as far as the budget goes, with their users' names where
// somebody reads by HTTP.
func (w *watcher) publish(ctx context.Context, events []Event, gap bool) {
	t, local := w.t, w.t.clock.Local()
	w.room = min(eventBudget, w.room+float64(local-w.roomAt)*eventBudget/1e6)
	w.roomAt = local
	if n := int(w.room); len(events) > n {
		t.count(countEventDropped, len(events)-n)
		events, gap = events[:n], true
	}
	w.room -= float64(len(events))
	var people map[string]UserInfo
	if len(events) > 0 && t.hub.streams.used.Load() {
		people = w.people(ctx, events)
	}
	t.hub.publish(events, people)
	if gap {
		t.hub.publish([]Event{{Type: eventGap, Time: fromMicros(t.clock.Now())}}, nil)
	}
}

// people asks the directory, a page at a time.
func (w *watcher) people(ctx context.Context, events []Event) map[string]UserInfo {
	ctx, cancel := w.t.writeContext(ctx)
	defer cancel()
	ids := make([]string, 0, len(events))
	for i := range events {
		ids = append(ids, events[i].user())
	}
	known := make(map[string]UserInfo, len(ids))
	for page := range slices.Chunk(sortedCopy(ids), maxPage) {
		for id, user := range w.t.users(ctx, page) {
			known[id] = user
		}
	}
	return known
}

// tick is what passes by the mere passing of time.
func (w *watcher) tick(ctx context.Context, local int64) {
	if w.online != nil && local/5_000_000 != w.sweptAt {
		w.sweptAt = local / 5_000_000
		w.sweep(local)
	}
	if w.t.changes == nil {
		w.askStore(ctx)
	} else {
		w.ask()
	}
	w.tellStats(ctx, local)
}

// sweep puts users in doubt of whom nothing was heard for the online window.
func (w *watcher) sweep(local int64) {
	oldest := fromMicros(w.t.clock.Now()).Add(-w.t.opts.Online)
	for id, last := range w.online {
		if _, doubted := w.leaving[id]; !doubted && !last.After(oldest) {
			w.leaving[id] = local
		}
	}
}

// tellStats tells the figures when they have changed, at most once a second, and at
// least every idleStats.
func (w *watcher) tellStats(ctx context.Context, local int64) {
	t := w.t
	due := local-w.statsAt >= idleStats.Microseconds()
	if w.dirtyAt == 0 && !due || local-w.statsAt < statsFor.Microseconds() || !t.hub.wanted(EventStats) {
		return
	}
	stats, err := t.OnlineStats(ctx)
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
	t.hub.publish([]Event{{Type: EventStats, Time: stats.At, Stats: stats}}, nil)
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
func (w *watcher) gather(ctx context.Context) {
	if w.t.changes != nil || w.online == nil {
		return
	}
	c, err := w.t.changesFor(ctx, ChangeQuery{})
	if err == nil {
		w.seen(c.Seen)
	}
}

// listedDoubts is how many doubts are settled by listing, each a call of the store.
const listedDoubts = 50

// askStore settles doubts by listing users' sessions.
func (w *watcher) askStore(ctx context.Context) {
	w.ask()
	asked := w.t.hub.watching.Load().ask
	if len(asked) == 0 {
		return
	}
	a := arrival{asked: asked[:min(len(asked), listedDoubts)], at: w.t.clock.Local()}
	q := Query{Live: true, IdleTimeout: w.t.opts.IdleTimeout, Within: w.t.opts.Online, Limit: maxPage}
	for _, id := range a.asked {
		q.UserID = id
		page, err := w.listed(ctx, q)
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

func (w *watcher) listed(ctx context.Context, q Query) (page Page, err error) {
	ctx, cancel := w.t.requestContext(ctx)
	defer cancel()
	err = w.t.withStore(func() error {
		page, err = w.t.store.List(ctx, q)
		return err
	})
	return page, err
}

// happened tells the hub what this process has just done: with a ChangeFeed the feed
// is only hurried, so that there is one order of events, and none before its commit.
func (t *Tracker) happened(begun, ended []Session) {
	switch {
	case t.hub.watching.Load() == nil || len(begun)+len(ended) == 0:
	case t.changes != nil:
		t.hub.nudge()
	default:
		c := Changes{Begun: begun, Ended: ended, Now: fromMicros(t.clock.Now())}
		t.hub.hand(arrival{changes: c, at: t.clock.Local()})
	}
}
