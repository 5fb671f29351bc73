package sessiontrack

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"time"

	"github.com/sessiontrack/sessiontrack/internal/storeclock"
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

// eventBuilder turns changes into events. It belongs to the goroutine of run.
type eventBuilder struct {
	events       *events
	since        time.Time            // when the first reader came
	began        time.Time            // what happened before is nobody's event
	logins       map[handle]struct{}  // told, and brought again by the overlap
	ends         map[handle]struct{}  // likewise
	online       map[string]time.Time // told or known to be online, with the latest activity; nil: too many
	maybeOnline  map[string]struct{}  // seen, to be confirmed
	maybeOffline map[string]int64     // in doubt from this local time on
	anew         bool                 // the store's clock has been set back
	priming      bool                 // the first arrival completes what loading may have missed
	room         float64              // what is left of the budget
	roomAt       int64
	dirtyAt      int64 // the store's time of the latest change that figures may show; 0: none
	stats        OnlineStats
	statsAt      int64 // local time at which figures were last told
	sweptAt      int64 // in spans of 5 s
}

// run collects and publishes while there are readers, until ctx is done.
func (v *events) run(ctx context.Context) {
	h := &v.hub
	defer h.setOpen(false)
	for {
		select {
		case <-ctx.Done():
			return
		case <-h.started:
		}
		if since := h.watchedSince(); since != 0 {
			if w := v.newBuilder(ctx, since); w != nil {
				w.run(ctx)
			}
		}
	}
}

// run works until nobody has been reading for a while.
func (w *eventBuilder) run(ctx context.Context) {
	v := w.events
	ticker := time.NewTicker(min(time.Second, v.interval))
	kick := time.NewTimer(kickSpacing)
	gather := time.NewTicker(gatherEvery)
	defer func() {
		ticker.Stop()
		kick.Stop()
		gather.Stop()
		v.hub.request.Store(nil)
		v.hub.forget()
		v.hub.streams.used.Store(v.hub.streams.any())
	}()
	nudged := false
	for {
		select {
		case <-ctx.Done():
			return
		case a := <-v.hub.arrivals:
			w.take(ctx, a)
			if len(w.maybeOnline) > 0 {
				v.hub.nudge()
			}
		case <-v.hub.nudges:
			if !nudged {
				nudged = true
				kick.Reset(kickSpacing)
			}
		case <-kick.C:
			nudged = false
			v.near.pollNow()
		case <-gather.C:
			w.gather(ctx)
		case <-ticker.C:
			local := v.clock.Local()
			v.host.count(countStalled, v.hub.endStalled(local))
			w.tick(ctx, local)
			if v.hub.deserted(local) {
				return
			}
		}
	}
}

// take makes events of what the feed has brought.
func (w *eventBuilder) take(ctx context.Context, a feedBatch) {
	c := &a.changes
	gap := w.events.hub.missed.Swap(false)
	w.anew = w.anew || a.anew
	if w.anew && w.restart(ctx, c.Now) {
		w.anew, gap = false, true
	}
	var events []Event
	if w.events.backend.changes == nil || a.began.Equal(w.began) { // else the feed will bring it again
		gap = gap || c.MoreEnded || c.MoreBegun
		events = w.sessions(c)
	}
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
func (w *eventBuilder) sessions(c *Changes) []Event {
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
			events = append(events, Event{Type: EventLogout, Time: storeclock.Later(s.LogoutAt, s.LoginAt), Session: s})
		}
	}
	w.logins, w.ends = stillTold(logins, w.logins, c.MoreBegun), stillTold(ends, w.ends, c.MoreEnded)
	slices.SortStableFunc(events, func(a, b Event) int {
		return cmp.Or(a.Time.Compare(b.Time), cmp.Compare(a.Session.Serial, b.Session.Serial))
	})
	for i := range events {
		w.moved(&events[i])
	}
	return events
}

// stillTold keeps what was told before where the limit has cut an answer: the next one
// may bring it again.
func stillTold(now, before map[handle]struct{}, cut bool) map[handle]struct{} {
	if cut && len(before) < 4*feedLimit {
		maps.Copy(now, before)
	}
	return now
}

// asBegun is the session as it was at its beginning: its end has an event of its own.
func asBegun(s Session) Session {
	s.LogoutAt, s.EndReason, s.EndedBy = time.Time{}, "", ""
	return s
}

// moved puts the user of a login or logout in doubt.
func (w *eventBuilder) moved(e *Event) {
	user := e.Session.UserID
	_, online := w.online[user]
	switch {
	case w.online == nil:
	case e.Type == EventLogin && !online:
		w.maybeOnline[user] = struct{}{}
	case e.Type == EventLogin:
		delete(w.maybeOffline, user)
	case online:
		w.maybeOffline[user] = w.events.clock.Local() + offlineGrace.Microseconds()
	}
}

// seen takes in who has moved. Presence that is there after an end was brought means
// that it was not the user's last session.
func (w *eventBuilder) seen(users []OnlineUser) {
	for _, u := range users {
		known, online := w.online[u.UserID]
		switch {
		case online:
			delete(w.maybeOffline, u.UserID)
			if u.LastActivity.After(known) {
				w.online[u.UserID] = u.LastActivity
			}
		case w.priming && !w.isComing(u.UserID):
			w.online[u.UserID] = u.LastActivity
		default:
			w.maybeOnline[u.UserID] = struct{}{}
		}
	}
}

func (w *eventBuilder) isComing(user string) bool {
	_, coming := w.maybeOnline[user]
	return coming
}

// confirm settles the doubts that were asked about.
func (w *eventBuilder) confirm(a feedBatch) (events []Event) {
	here := make(map[string]OnlineUser, len(a.changes.Users))
	oldest := a.changes.Now.Add(-w.events.online)
	for _, u := range a.changes.Users {
		here[u.UserID] = u
	}
	for _, id := range a.asked {
		u, known := here[id]
		last, online := w.online[id]
		from, doubted := w.maybeOffline[id]
		is := known && u.Sessions > 0 && u.LastActivity.After(oldest)
		switch {
		case is:
			delete(w.maybeOffline, id)
			w.online[id] = u.LastActivity
			if !online {
				events = append(events, Event{Type: EventOnline, Time: a.changes.Now, User: u})
			}
		case online && doubted && a.at >= from:
			delete(w.maybeOffline, id)
			delete(w.online, id)
			gone := OnlineUser{UserID: id, LastActivity: storeclock.Later(last, u.LastActivity), Sessions: u.Sessions}
			events = append(events, Event{Type: EventOffline, Time: a.changes.Now, User: gone})
		}
		delete(w.maybeOnline, id)
	}
	slices.SortFunc(events, func(a, b Event) int { return cmp.Compare(a.User.UserID, b.User.UserID) })
	return events
}

// ask has the feed's next reading settle as many doubts as fit.
func (w *eventBuilder) ask() {
	if w.online != nil && len(w.online)+len(w.maybeOnline) > maxWatched {
		w.overflow(context.Background())
	}
	local := w.events.clock.Local()
	ask := make([]string, 0, min(maxChangeUsers, len(w.maybeOnline)+len(w.maybeOffline)))
	for id := range w.maybeOnline {
		if len(ask) < maxChangeUsers {
			ask = append(ask, id)
		}
	}
	for id, from := range w.maybeOffline {
		if !w.isComing(id) && local >= from && len(ask) < maxChangeUsers {
			ask = append(ask, id)
		}
	}
	w.events.hub.request.Store(&feedRequest{since: w.began, ask: ask})
}
