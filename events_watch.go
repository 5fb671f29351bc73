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
	// eventBudget is how many logins, logouts, onlines and offlines a second are published. The
	// rest of a burst becomes one snapshot.
	eventBudget = 1000
	// offlineGrace is how long a user without a session still counts as online, so that an
	// immediate new login causes no event.
	offlineGrace = 10 * time.Second
	// maxWatched bounds the users whose online state is remembered, at about 100 bytes each. With
	// more users online, online and offline events stop.
	maxWatched = 500_000
	// kickSpacing is the shortest time between two polls of the feed that events ask for.
	kickSpacing = 200 * time.Millisecond
	// idleStats is how often figures are published without a known change: users leave the windows
	// as time passes.
	idleStats = 15 * time.Second
	// gatherEvery is how often online users are listed if the store has no ChangeFeed.
	gatherEvery = time.Minute
)

// eventBuilder turns changes into events. It belongs to the goroutine of run.
type eventBuilder struct {
	events       *events
	since        time.Time            // when the first reader came
	began        time.Time            // earlier changes cause no event
	logins       map[handle]struct{}  // announced; the overlap brings them again
	ends         map[handle]struct{}  // ended and announced; the overlap brings them again
	online       map[string]time.Time // users that are online, with their latest activity; nil means too many
	maybeOnline  map[string]struct{}  // users that may have come online
	maybeOffline map[string]int64     // users that may have gone offline, with the local time of the doubt
	anew         bool                 // the store's clock has been set back
	priming      bool                 // the first arrival adds what load may have missed
	room         float64              // the rest of the budget
	roomAt       int64
	dirtyAt      int64 // the store's time of the latest change that affects figures; 0 means none
	stats        OnlineStats
	statsAt      int64 // local time at which figures were last published
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

// run works until there has been no reader for lingerFor.
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

// take turns an arrival into events.
func (w *eventBuilder) take(ctx context.Context, a feedBatch) {
	c := &a.changes
	gap := w.events.hub.missed.Swap(false)
	w.anew = w.anew || a.anew
	if w.anew && w.restart(ctx, c.Now) {
		w.anew, gap = false, true
	}
	var events []Event
	if w.events.backend.changes == nil || a.began.Equal(w.began) { // otherwise the feed will bring it again
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

// sessions returns the events of sessions in the order in which they happened. It leaves out what
// the overlap brings again. No event follows a session's end.
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

// stillTold keeps the earlier set if the limit cut the answer, because the next answer may bring
// the same sessions again.
func stillTold(now, before map[handle]struct{}, cut bool) map[handle]struct{} {
	if cut && len(before) < 4*feedLimit {
		maps.Copy(now, before)
	}
	return now
}

// asBegun returns the session as it was at its login; its end has its own event.
func asBegun(s Session) Session {
	s.LogoutAt, s.EndReason, s.EndedBy = time.Time{}, "", ""
	return s
}

// moved marks the user of a login or logout as doubtful.
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

// seen records users with new activity. A user whose presence remains after an end has another
// session.
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

// confirm resolves the doubts that the feed was asked about.
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

// ask makes the next poll of the feed check as many doubtful users as fit.
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
