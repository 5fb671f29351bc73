package sessiontrack

import (
	"context"
	"time"

	"github.com/sessiontrack/sessiontrack/internal/storeclock"
)

// newBuilder begins to watch: it learns who is online and has the feed ask for more.
func (v *events) newBuilder(ctx context.Context, since int64) *eventBuilder {
	w := &eventBuilder{
		events: v, since: fromMicros(since), began: fromMicros(since), priming: true, room: eventBudget, roomAt: v.clock.Local(),
		maybeOnline: make(map[string]struct{}), maybeOffline: make(map[string]int64), statsAt: v.clock.Local(),
	}
	for len(v.hub.arrivals) > 0 { // of the time before
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

// load learns who is online, latest first. It reports false where the store could not
// say.
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
			if v.backend.changes == nil || !u.LastActivity.After(w.since) { // the others come with the first arrival
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

// prime takes as told what is there and stamped until then. What is not there and
// stamped before the first reader came was committed after it, and is told when the
// feed brings it.
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

// restart begins anew at a time that lies before w.began, after the store's clock was
// set back. All that is there counts as told: a snapshot follows. It reports false where
// the store could not say.
func (w *eventBuilder) restart(ctx context.Context, now time.Time) bool {
	lately := now.Add(-feedOverlap)
	c, err := w.events.changesFor(ctx, ChangeQuery{Begun: lately, Ended: lately, Limit: feedLimit})
	if err == nil {
		w.since = now
		w.prime(&c, fromMicros(maxMicros))
	}
	return err == nil
}

// overflow gives up on who is online.
func (w *eventBuilder) overflow(ctx context.Context) {
	w.events.host.log.LogAttrs(ctx, warn, "sessiontrack: too many users are online to tell who comes and goes", countAttr(maxWatched))
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
