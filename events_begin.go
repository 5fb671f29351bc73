package sessiontrack

import (
	"context"
	"time"

	"github.com/sessiontrack/sessiontrack/internal/storeclock"
)

// newWatcher begins to watch: it learns who is online and has the feed ask for more.
func (t *Tracker) newWatcher(ctx context.Context, since int64) *watcher {
	w := &watcher{
		t: t, since: fromMicros(since), began: fromMicros(since), priming: true, room: eventBudget, roomAt: t.clock.Local(),
		coming: make(map[string]struct{}), leaving: make(map[string]int64), statsAt: t.clock.Local(),
	}
	for len(t.hub.arrivals) > 0 { // of the time before
		<-t.hub.arrivals
	}
	for !w.load(ctx) {
		if !storeclock.Sleep(ctx, t.opts.FeedInterval) {
			return nil
		}
	}
	t.hub.watching.Store(&watching{since: w.began})
	t.PollNow()
	return w
}

// load learns who is online, latest first. It reports false where the store could not
// say.
func (w *watcher) load(ctx context.Context) bool {
	t := w.t
	w.online = make(map[string]time.Time)
	lately := w.since.Add(-feedOverlap)
	q := ChangeQuery{Seen: w.since.Add(-t.opts.Online), Begun: lately, Ended: lately, Limit: feedLimit}
	for {
		c, err := t.changesFor(ctx, q)
		if err != nil {
			return false
		}
		if !q.Begun.IsZero() {
			w.prime(&c, w.since)
		}
		for _, u := range c.Seen {
			if t.changes == nil || !u.LastActivity.After(w.since) { // the others come with the first arrival
				w.online[u.UserID] = u.LastActivity
			}
		}
		switch {
		case len(w.online) > maxWatched:
			w.overflow(ctx)
			return true
		case len(c.Seen) < q.Limit || t.changes == nil:
			return true
		}
		last := c.Seen[len(c.Seen)-1]
		q = ChangeQuery{Seen: q.Seen, Before: Cursor{At: last.LastActivity, UserID: last.UserID}, Limit: feedLimit}
	}
}

// prime takes as told what is there and stamped until then. What is not there and
// stamped before the first reader came was committed after it, and is told when the
// feed brings it.
func (w *watcher) prime(c *Changes, until time.Time) {
	w.began, w.logins, w.ends = w.since, nil, nil
	if w.t.changes == nil || c.MoreBegun || c.MoreEnded {
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
func (w *watcher) restart(ctx context.Context, now time.Time) bool {
	lately := now.Add(-feedOverlap)
	c, err := w.t.changesFor(ctx, ChangeQuery{Begun: lately, Ended: lately, Limit: feedLimit})
	if err == nil {
		w.since = now
		w.prime(&c, fromMicros(maxMicros))
	}
	return err == nil
}

// overflow gives up on who is online.
func (w *watcher) overflow(ctx context.Context) {
	w.t.opts.Logger.LogAttrs(ctx, warn, "sessiontrack: too many users are online to tell who comes and goes", countAttr(maxWatched))
	w.online = nil
	clear(w.coming)
	clear(w.leaving)
}

// changesFor asks for changes on behalf of the watcher; where the store has no
// ChangeFeed it gathers who is online by listing.
func (t *Tracker) changesFor(ctx context.Context, q ChangeQuery) (c Changes, err error) {
	ctx, cancel := t.writeContext(ctx)
	defer cancel()
	err = t.withStore(func() error {
		if t.changes == nil {
			c.Seen, _, err = t.gatherOnline(ctx, t.opts.Online)
		} else {
			c, err = t.changes.ChangesSince(ctx, q)
		}
		return err
	})
	return c, err
}
