package sessiontrack

import (
	"cmp"
	"context"
	"slices"
	"time"
)

const (
	// eventBudget is how many logins, logouts, onlines and offlines a second are
	// told; the rest of a burst becomes one snapshot.
	eventBudget = 1000
	// offlineGrace is how long a user without a session is still taken for online, so
	// that signing in again at once is no event.
	offlineGrace = 10 * time.Second
	// maxWatched bounds the users that are remembered as online, at about 100 bytes
	// each. With more of them online and offline are not told.
	maxWatched = 500_000
	// kickSpacing is the least time between two readings of the feed that events ask
	// for out of turn.
	kickSpacing = 200 * time.Millisecond
	// idleStats is how often figures are told where nothing seems to have changed:
	// users leave the windows by the mere passing of time.
	idleStats = 15 * time.Second
	// gatherEvery is how often online users are listed where the store has no
	// ChangeFeed.
	gatherEvery = time.Minute
)

// watching is what the feed's goroutine asks for on behalf of the hub.
type watching struct {
	since time.Time // sessions and users that are new after this
	ask   []string  // users whose presence is in doubt
}

// arrival is what the feed has brought.
type arrival struct {
	changes Changes
	asked   []string
	at      int64 // local time
}

// watcher turns changes into events. It belongs to the goroutine of runEvents.
type watcher struct {
	t       *Tracker
	began   time.Time            // what happened before is nobody's event
	logins  map[handle]struct{}  // told, and brought again by the overlap
	ends    map[handle]struct{}  // likewise
	online  map[string]time.Time // told or known to be online, with the latest activity; nil: too many
	coming  map[string]struct{}  // seen, to be confirmed
	leaving map[string]int64     // in doubt from this local time on
	priming bool                 // the first arrival completes what loading may have missed
	room    float64              // what is left of the budget
	roomAt  int64
	dirtyAt int64 // the store's time of the latest change that figures may show; 0: none
	stats   OnlineStats
	statsAt int64 // local time at which figures were last told
	sweptAt int64 // in spans of 5 s
}

// runEvents collects and publishes while there are readers, until ctx is done.
func (t *Tracker) runEvents(ctx context.Context) {
	h := &t.hub
	defer h.setOpen(false)
	for {
		select {
		case <-ctx.Done():
			return
		case <-h.started:
		}
		if since := h.watchedSince(); since != 0 {
			if w := t.newWatcher(ctx, since); w != nil {
				w.run(ctx)
			}
		}
	}
}

// newWatcher begins to watch: it learns who is online and has the feed ask for more.
func (t *Tracker) newWatcher(ctx context.Context, since int64) *watcher {
	w := &watcher{
		t: t, began: fromMicros(since), priming: true, room: eventBudget, roomAt: t.clock.local(),
		coming: make(map[string]struct{}), leaving: make(map[string]int64), statsAt: t.clock.local(),
	}
	for len(t.hub.arrivals) > 0 { // of the time before
		<-t.hub.arrivals
	}
	for !w.load(ctx) {
		if !sleep(ctx, t.opts.FeedInterval) {
			return nil
		}
	}
	t.hub.watching.Store(&watching{since: w.began})
	t.Kick()
	return w
}

// run works until nobody has been reading for a while.
func (w *watcher) run(ctx context.Context) {
	t := w.t
	ticker := time.NewTicker(min(time.Second, t.opts.FeedInterval))
	kick := time.NewTimer(kickSpacing)
	gather := time.NewTicker(gatherEvery)
	defer func() {
		ticker.Stop()
		kick.Stop()
		gather.Stop()
		t.hub.watching.Store(nil)
		t.hub.forget()
		t.hub.streams.used.Store(t.hub.streams.any())
	}()
	nudged := false
	for {
		select {
		case <-ctx.Done():
			return
		case a := <-t.hub.arrivals:
			w.take(ctx, a)
			if len(w.coming) > 0 {
				t.hub.nudge()
			}
		case <-t.hub.nudges:
			if !nudged {
				nudged = true
				kick.Reset(kickSpacing)
			}
		case <-kick.C:
			nudged = false
			t.Kick()
		case <-gather.C:
			w.gather(ctx)
		case <-ticker.C:
			local := t.clock.local()
			t.count(countStalled, t.hub.endStalled(local))
			w.tick(ctx, local)
			if t.hub.deserted(local) {
				return
			}
		}
	}
}

// load learns who is online, latest first. It reports false where the store could not
// say.
func (w *watcher) load(ctx context.Context) bool {
	t := w.t
	w.online = make(map[string]time.Time)
	q := ChangeQuery{Seen: w.began.Add(-t.opts.Online), Limit: feedLimit}
	for {
		users, err := t.presence(ctx, q)
		if err != nil {
			return false
		}
		for _, u := range users {
			if t.changes == nil || !u.LastActivity.After(w.began) { // the others come with the first arrival
				w.online[u.UserID] = u.LastActivity
			}
		}
		switch {
		case len(w.online) > maxWatched:
			w.overflow(ctx)
			return true
		case len(users) < q.Limit || t.changes == nil:
			return true
		}
		last := users[len(users)-1]
		q.Before = Cursor{At: last.LastActivity, UserID: last.UserID}
	}
}

// overflow gives up on who is online.
func (w *watcher) overflow(ctx context.Context) {
	w.t.opts.Logger.LogAttrs(ctx, warn, "sessiontrack: too many users are online to tell who comes and goes", countAttr(maxWatched))
	w.online = nil
	clear(w.coming)
	clear(w.leaving)
}

// presence asks for users by their presence, or gathers them by listing.
func (t *Tracker) presence(ctx context.Context, q ChangeQuery) ([]OnlineUser, error) {
	ctx, cancel := t.writeContext(ctx)
	defer cancel()
	if t.changes == nil {
		users, _, err := t.gatherOnline(ctx, t.opts.Online)
		return users, err
	}
	c, err := t.changes.ChangesSince(ctx, q)
	return c.Seen, err
}

// take makes events of what the feed has brought.
func (w *watcher) take(ctx context.Context, a arrival) {
	c := &a.changes
	gap := c.MoreEnded || c.MoreBegun || w.t.hub.missed.Swap(false)
	events := w.sessions(c)
	if w.online != nil {
		w.seen(c.Seen)
		events = append(events, w.confirm(a)...)
	}
	w.priming = false
	if len(events) > 0 || len(c.Seen) > 0 {
		w.dirtyAt = micros(c.Now)
	}
	w.publish(ctx, events, gap)
	w.ask()
}

// sessions makes the events of sessions, in the order in which things happened. What
// the overlap brings again is left out, and nothing follows a session's end.
func (w *watcher) sessions(c *Changes) []Event {
	events := make([]Event, 0, len(c.Begun)+len(c.Ended))
	logins, ends := make(map[handle]struct{}, len(c.Begun)), make(map[handle]struct{}, len(c.Ended))
	for _, s := range c.Begun {
		h, ok := parseHandle(s.ID)
		if !ok || s.UserID == "" || !s.LoginAt.After(w.began) {
			continue
		}
		logins[h] = struct{}{}
		_, again := w.logins[h]
		_, over := w.ends[h]
		if !again && !over {
			events = append(events, Event{Type: EventLogin, Time: s.LoginAt, Session: asBegun(s)})
		}
	}
	for _, s := range c.Ended {
		h, ok := parseHandle(s.ID)
		if !ok || s.UserID == "" || !s.LogoutAt.After(w.began) {
			continue
		}
		ends[h] = struct{}{}
		if _, again := w.ends[h]; !again {
			events = append(events, Event{Type: EventLogout, Time: s.LogoutAt, Session: s})
		}
	}
	w.logins, w.ends = logins, ends
	slices.SortStableFunc(events, func(a, b Event) int {
		return cmp.Or(a.Time.Compare(b.Time), cmp.Compare(a.Session.Serial, b.Session.Serial))
	})
	for i := range events {
		w.moved(&events[i])
	}
	return events
}

// asBegun is the session as it was at its beginning: its end has an event of its own.
func asBegun(s Session) Session {
	s.LogoutAt, s.EndReason, s.EndedBy = time.Time{}, "", ""
	return s
}

// moved puts the user of a login or logout in doubt.
func (w *watcher) moved(e *Event) {
	user := e.Session.UserID
	_, online := w.online[user]
	switch {
	case w.online == nil:
	case e.Type == EventLogin && !online:
		w.coming[user] = struct{}{}
	case e.Type == EventLogin:
		delete(w.leaving, user)
	case online:
		w.leaving[user] = w.t.clock.local() + offlineGrace.Microseconds()
	}
}

// seen takes in who has moved. Presence that is there after an end was brought means
// that it was not the user's last session.
func (w *watcher) seen(users []OnlineUser) {
	for _, u := range users {
		known, online := w.online[u.UserID]
		switch {
		case online:
			delete(w.leaving, u.UserID)
			if u.LastActivity.After(known) {
				w.online[u.UserID] = u.LastActivity
			}
		case w.priming && !w.isComing(u.UserID):
			w.online[u.UserID] = u.LastActivity
		default:
			w.coming[u.UserID] = struct{}{}
		}
	}
}

func (w *watcher) isComing(user string) bool {
	_, coming := w.coming[user]
	return coming
}

// confirm settles the doubts that were asked about.
func (w *watcher) confirm(a arrival) (events []Event) {
	here := make(map[string]OnlineUser, len(a.changes.Users))
	oldest := a.changes.Now.Add(-w.t.opts.Online)
	for _, u := range a.changes.Users {
		here[u.UserID] = u
	}
	for _, id := range a.asked {
		u, known := here[id]
		last, online := w.online[id]
		from, doubted := w.leaving[id]
		is := known && u.Sessions > 0 && u.LastActivity.After(oldest)
		switch {
		case is:
			delete(w.leaving, id)
			w.online[id] = u.LastActivity
			if !online {
				events = append(events, Event{Type: EventOnline, Time: a.changes.Now, User: u})
			}
		case online && doubted && a.at >= from:
			delete(w.leaving, id)
			delete(w.online, id)
			gone := OnlineUser{UserID: id, LastActivity: later(last, u.LastActivity), Sessions: u.Sessions}
			events = append(events, Event{Type: EventOffline, Time: a.changes.Now, User: gone})
		}
		delete(w.coming, id)
	}
	slices.SortFunc(events, func(a, b Event) int { return cmp.Compare(a.User.UserID, b.User.UserID) })
	return events
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// ask has the feed's next reading settle as many doubts as fit.
func (w *watcher) ask() {
	if w.online != nil && len(w.online)+len(w.coming) > maxWatched {
		w.overflow(context.Background())
	}
	local := w.t.clock.local()
	ask := make([]string, 0, min(maxChangeUsers, len(w.coming)+len(w.leaving)))
	for id := range w.coming {
		if len(ask) < maxChangeUsers {
			ask = append(ask, id)
		}
	}
	for id, from := range w.leaving {
		if !w.isComing(id) && local >= from && len(ask) < maxChangeUsers {
			ask = append(ask, id)
		}
	}
	w.t.hub.watching.Store(&watching{since: w.began, ask: ask})
}
