package sessiontrack

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"time"

	wire "github.com/sessiontrack/sessiontrack/internal/stream"
)

const (
	// heartbeat is how often a stream sends a sign of life if there are no events.
	heartbeat = 15 * time.Second
	// guardEvery is how often a stream checks the limits of its session.
	guardEvery = time.Second
	// visibleEvery is how often UserOptions.Visible is asked again for a stream.
	visibleEvery = 30 * time.Second
	// maxNamed bounds the users that a request may name.
	maxNamed = 100
	// streamBatch is how many events are written before they are flushed.
	streamBatch = 64
)

// routeAllEvents is UserAccess.Route for a caller who wants to watch everything. If it is refused,
// "events" is asked.
const routeAllEvents = "events-all"

// eventStream is one client's stream.
type eventStream struct {
	*Subscription
	hold  *held // of the caller's session
	h     *userHandler
	c     *call
	all   bool     // everything, for administrators
	named []string // the users in the request; nil means that it names none

	checkedAt, allowedAt, visibleAt, wroteAt int64 // local times

	// warning and warned are the limit that is to be announced, and the one that has been, by the
	// store's clock.
	warning, warned int64
}

// events answers with Server-Sent Events (WHATWG HTML §9.2), or with a WebSocket (RFC 6455) if the
// request asks for one.
func (h *userHandler) events(c *call) (any, error) {
	s := &eventStream{h: h, c: c}
	after, err := s.read()
	if err != nil {
		return nil, err
	}
	if c.r.Method == http.MethodHead {
		return served{}, nil
	}
	if err := h.canStream(c); err != nil {
		return nil, err
	}
	run := h.t.life.Begin()
	if run == nil {
		return nil, errNotRunning
	}
	defer run.Done() // Shutdown waits for streams
	if !s.all {
		user := c.caller.entry.user
		if !h.t.events.hub.streams.admit(user, h.t.opts.MaxSubscribers) {
			return nil, &problemError{problemTooMany}
		}
		defer h.t.events.hub.streams.release(user)
	}
	sub, err := h.t.Subscribe(context.WithoutCancel(c.r.Context()), s.watch(after))
	if errors.Is(err, errTooMany) {
		return nil, &problemError{problemTooMany}
	}
	if err != nil {
		return nil, err
	}
	s.Subscription = sub
	h.t.events.hub.streams.add(sub)
	defer func() {
		sub.Close()
		h.t.events.hub.streams.remove(sub)
	}()
	return served{}, s.serve()
}

// read parses the request and decides what the caller may watch.
func (s *eventStream) read() (after string, err error) {
	p := parametersOf(s.c)
	after, _ = p.Raw("last_event_id") // for WebSocket: browsers cannot set its headers
	if values := s.c.r.Header.Values("Last-Event-ID"); len(values) == 1 {
		after = values[0]
	}
	s.named = p.List("users", maxNamed, validUserID,
		"want at most "+strconv.Itoa(maxNamed)+" user ids with commas between them")
	if err := p.Err(); err != nil {
		return "", err
	}
	if s.all, err = s.h.watchesAll(s.c); err != nil || s.all {
		return after, err
	}
	return after, s.h.authorize(s.c)
}

// watchesAll reports whether the caller may watch everything.
func (h *userHandler) watchesAll(c *call) (bool, error) {
	ask := *c
	ask.endpoint = &endpoint{name: routeAllEvents, admin: true}
	err := h.mayUse(&ask)
	c.roles = ask.roles
	if errors.Is(err, errForbidden) {
		return false, nil
	}
	return err == nil, err
}

// watch returns the subscription that the caller may have.
func (s *eventStream) watch(after string) SubscribeOptions {
	w := SubscribeOptions{After: after, Users: s.named}
	if s.all {
		return w
	}
	w.Types = []EventType{EventOnline, EventOffline}
	w.Users = []string{s.c.caller.entry.user}
	if s.named != nil {
		w.Users = []string{} // until Visible has answered
		s.visibleAt = 0
	}
	return w
}

// serve runs the stream in the protocol that the request asks for.
func (s *eventStream) serve() error {
	if err := s.see(); err != nil {
		return err
	}
	ctx := s.c.r.Context()
	if !isWebSocket(s.c.r) {
		if w, err := wire.NewSSE(s.c.w); err == nil {
			s.pump(ctx, w)
		}
		return nil
	}
	w, ctx, err := wire.NewWebSocket(s.c.w, s.c.r) // fromAnotherSite has looked at the origin
	if err != nil {
		return nil // NewWebSocket has answered
	}
	defer w.CloseNow()
	s.pump(ctx, w)
	return nil
}

// see asks the host which of the named users the caller may see.
func (s *eventStream) see() error {
	s.visibleAt = s.h.t.clock.Local()
	if s.all || s.named == nil {
		return nil
	}
	ids := s.named
	if s.h.opts.Visible != nil {
		users := make([]OnlineUser, len(s.named))
		for i, id := range s.named {
			users[i].UserID = id
		}
		visible, err := s.h.visibleTo(s.c.caller, s.c.caller.entry.user, users)
		if err != nil {
			return err
		}
		ids = slices.DeleteFunc(slices.Clone(s.named), func(id string) bool {
			_, ok := visible[id]
			return !ok
		})
	}
	s.watchUsers(ids)
	return nil
}

// pump writes events until the stream closes. It then tells the client the reason, unless the
// client has gone or does not read. Like a connection of the host's own it holds its session:
// the context that it works with ends with the session.
func (s *eventStream) pump(ctx context.Context, w wire.Writer) {
	ctx, s.hold = s.h.t.holds.hold(ctx, s.c.caller.entry.handle, false)
	defer s.h.t.holds.release(s.hold)
	why := s.run(ctx, w)
	if ctx.Err() != nil {
		why = context.Cause(ctx)
	}
	if ended, reason := endOf(why); ended {
		w.Ended(string(reason))
		return
	}
	switch over := overBy(why); over {
	case nil:
	case overShutDown:
		w.Close(wire.GoingAway, over.word)
	case overStalled, overUnavailable:
		w.Close(wire.TryLater, over.word)
	default:
		w.Close(wire.Refused, over.word)
	}
}

// overBy returns why a stream closes, or nil where its client has gone.
func overBy(why error) *streamOver {
	var over *streamOver
	switch {
	case errors.As(why, &over):
		return over
	case errors.Is(why, errStalled):
		return overStalled
	case errors.Is(why, ErrSubscriptionClosed), errors.Is(why, errNotRunning):
		return overShutDown
	case errors.Is(why, ErrUnavailable):
		return overUnavailable
	}
	return nil
}

// run writes events and returns why it stopped.
func (s *eventStream) run(ctx context.Context, w wire.Writer) error {
	for {
		if err := s.guard(w); err != nil {
			return err
		}
		turn, cancel := context.WithTimeout(ctx, guardEvery)
		r, err := s.entry(turn)
		cancel()
		local := s.h.t.clock.Local()
		switch {
		case err == nil:
			err = s.write(w, r)
		case ctx.Err() != nil || errors.Is(err, ErrSubscriptionClosed):
		case local-s.wroteAt >= heartbeat.Microseconds():
			s.wroteAt, err = local, w.Beat()
		default:
			err = nil
		}
		if err != nil {
			return err
		}
	}
}

// write sends an event and the events that wait behind it, and flushes once.
func (s *eventStream) write(w wire.Writer, r *logEntry) error {
	for n := 0; r != nil; n++ {
		data, err := s.h.frame(r)
		if err == nil {
			err = w.Event(r.event.ID, string(r.event.Type), data)
		}
		if err != nil {
			return err
		}
		if r = nil; n < streamBatch && s.snapshot == "" {
			r = s.step()
		}
	}
	s.wroteAt = s.h.t.clock.Local()
	return w.Flush()
}

// served is the result of an endpoint that has already written its answer.
type served struct{}

type eventView struct {
	Type      EventType         `json:"type"`
	ID        string            `json:"id"`
	Timestamp time.Time         `json:"timestamp"`
	Reason    SnapshotReason    `json:"reason,omitempty"`
	Stats     *statsAnswer      `json:"stats,omitempty"`
	Session   *adminSessionView `json:"session,omitempty"`
	User      *onlineUserView   `json:"user,omitempty"`
}

// frame returns an event's JSON. It is encoded once for all readers. Only administrators get logins
// and logouts; the other events contain no device and no location.
func (h *userHandler) frame(r *logEntry) ([]byte, error) {
	var err error
	r.once.Do(func() { r.json, err = json.Marshal(h.eventView(r)) })
	return r.json, err
}

func (f *family) eventView(r *logEntry) eventView {
	e := &r.event
	v := eventView{Type: e.Type, ID: e.ID, Timestamp: e.Time, Reason: e.Reason}
	switch e.Type {
	case EventStats, EventSnapshot:
		stats := f.statsOf(e.Stats, f.windows())
		v.Stats = &stats
	case EventLogin, EventLogout:
		v.Session = f.sessionEvent(e, r.people[e.Session.UserID])
	case EventOnline, EventOffline:
		v.User = f.userEvent(e, r.people[e.User.UserID])
	}
	return v
}

// sessionEvent returns the session as administrators see it in lists, at the event's time.
func (f *family) sessionEvent(e *Event, user UserInfo) *adminSessionView {
	s, began := e.Session, e.Type == EventLogin
	v := &adminSessionView{
		sessionView: sessionView{sessionJSON: s.toJSON(f.t.host.jsonUserID, began, f.t.opts.IdleTimeout), Online: began},
		// events contain no e-mail
		User: f.userView(s.UserID, UserInfo{FullName: user.fullName(), AvatarURL: user.AvatarURL}),
	}
	if s.EndedBy != "" {
		v.EndedBy = f.t.host.jsonUserID(s.EndedBy)
	}
	return v
}

func (f *family) userEvent(e *Event, user UserInfo) *onlineUserView {
	status := "offline"
	if e.Type == EventOnline {
		status = statusOf(e.Time.Sub(e.User.LastActivity), f.t.opts.VeryActive, f.t.opts.Online, f.t.opts.RecentlyActive)
	}
	return &onlineUserView{
		UserID:   f.t.host.jsonUserID(e.User.UserID),
		Username: textOrNil(user.Username), DisplayName: textOrNil(user.displayName()), AvatarURL: textOrNil(user.AvatarURL),
		LastSeen: e.User.LastActivity, SessionCount: e.User.Sessions, Status: status,
	}
}
