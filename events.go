package sessiontrack

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// EventType says what an [Event] tells.
type EventType string

// The types of events.
const (
	// EventLogin: a session began. Session is which.
	EventLogin EventType = "login"
	// EventLogout: a session ended, for whatever reason. Session is which, with
	// LogoutAt, EndReason and EndedBy. It is the session's last event.
	EventLogout EventType = "logout"
	// EventOnline: a user was away and is online. User is who.
	EventOnline EventType = "online"
	// EventOffline: a user was online and is not: the last session ended and none
	// has begun for ten seconds, or nothing was heard for Options.Online. User is
	// who, LastActivity when they were last seen.
	EventOffline EventType = "offline"
	// EventStats: figures have changed. Stats has them.
	EventStats EventType = "stats"
	// EventSnapshot: begin anew from here. Stats are the figures, Reason says why.
	EventSnapshot EventType = "snapshot"

	// eventGap stands in the log for events that were not kept; each reader makes a
	// snapshot of it.
	eventGap EventType = ""
)

var eventTypes = [...]EventType{EventLogin, EventLogout, EventOnline, EventOffline, EventStats, EventSnapshot}

// SnapshotReason says why a subscription got a snapshot.
type SnapshotReason string

// The reasons of snapshots.
const (
	// SnapshotStart: the subscription has begun.
	SnapshotStart SnapshotReason = "start"
	// SnapshotGap: events are missing that nobody here can bring back: SubscribeOptions.After
	// is too old or another process's, more happened than can be told, or the store
	// was away for too long.
	SnapshotGap SnapshotReason = "gap"
	// SnapshotLagged: this reader was too slow, and events have been overwritten.
	SnapshotLagged SnapshotReason = "lagged"
)

// Event is something that has just happened, at any process over the same store. It
// holds nothing that authenticates.
type Event struct {
	// ID names the event's place among those of this process, for SubscribeOptions.After.
	ID   string
	Type EventType
	// Time is when it happened, by the store's clock.
	Time    time.Time
	Session Session        // of login and logout
	User    OnlineUser     // of online and offline
	Stats   OnlineStats    // of stats and snapshot
	Reason  SnapshotReason // of snapshot
}

// user is whom the event is about, empty for figures.
func (e *Event) user() string {
	switch e.Type {
	case EventLogin, EventLogout:
		return e.Session.UserID
	case EventOnline, EventOffline:
		return e.User.UserID
	}
	return ""
}

// SubscribeOptions says what a subscription wants to be told.
type SubscribeOptions struct {
	// Types are the types wanted; nil means all. Snapshots come regardless.
	Types []EventType
	// Users narrows logins, logouts, online and offline to these; nil means
	// everybody, an empty slice nobody.
	Users []string
	// After is the ID of the last event that an earlier subscription got: what has
	// happened since follows, or a snapshot says that it is not known any more.
	// Empty: a snapshot comes first.
	After string
}

// ErrSubscriptionClosed says that a subscription is over. The error that wraps it
// says why: closed by its owner, shut down, or stalled.
var ErrSubscriptionClosed = errors.New("sessiontrack: subscription closed")

var (
	errClosed   = fmt.Errorf("%w by its owner", ErrSubscriptionClosed)
	errStalled  = fmt.Errorf("%w: its reader has stalled", ErrSubscriptionClosed)
	errShutDown = fmt.Errorf("%w: the tracker has shut down", ErrSubscriptionClosed)
	// errNotRunning is Subscribe's answer before Start and after Shutdown.
	errNotRunning = fmt.Errorf("%w: the tracker is not running", ErrUnavailable)
	// errTooMany wraps ErrUnavailable because it is temporary.
	errTooMany = fmt.Errorf("%w: Options.MaxSubscribers are watching", ErrUnavailable)
)

// Subscription is one reader of the events. Its methods but Close belong to one
// goroutine at a time.
type Subscription struct {
	events *events
	types  []EventType         // nil: all
	users  map[string]struct{} // nil: everybody

	next      uint64 // the place of the next event to read
	snapshot  SnapshotReason
	snapAfter int64 // local time before which no further snapshot is made

	// away is the local time since which the reader has been out of Next, 0 while it
	// is inside; read is next, for the hub to see.
	away atomic.Int64
	read atomic.Uint64

	once   sync.Once
	over   chan struct{} // closed once, by end
	why    error         // set before over is closed
	unbind func() bool   // from Subscribe's ctx; guarded by the hub
}

// subscribe begins a subscription.
func (v *events) subscribe(ctx context.Context, o SubscribeOptions) (*Subscription, error) {
	for _, wanted := range o.Types {
		if !slices.Contains(eventTypes[:], wanted) {
			return nil, mistake("SubscribeOptions.Types has %q: want of %q", wanted, eventTypes)
		}
	}
	s := &Subscription{events: v, types: slices.Clone(o.Types), over: make(chan struct{})}
	s.watchUsers(o.Users)
	if err := v.hub.add(s, v.most); err != nil {
		return nil, err
	}
	s.begin(o.After)
	v.hub.bind(s, context.AfterFunc(ctx, s.Close))
	return s, nil
}

// watchUsers narrows the subscription; nil means everybody.
func (s *Subscription) watchUsers(ids []string) {
	s.users = nil
	if ids == nil {
		return
	}
	s.users = make(map[string]struct{}, len(ids))
	for _, id := range ids {
		s.users[id] = struct{}{}
	}
}

// begin finds the place to read from.
func (s *Subscription) begin(after string) {
	h := &s.events.hub
	s.next, s.snapshot = h.next.Load(), SnapshotStart
	if after != "" {
		s.snapshot = SnapshotGap
		if seq, ok := h.resume(after); ok {
			s.next, s.snapshot = seq, ""
		}
	}
	s.read.Store(s.next)
	s.away.Store(max(s.events.clock.Local(), 1))
}

// Next waits for the next event. It returns an error that wraps
// [ErrSubscriptionClosed] once the subscription is over, ctx's own error when ctx is
// done, and nothing else.
func (s *Subscription) Next(ctx context.Context) (Event, error) {
	r, err := s.entry(ctx)
	if err != nil {
		return Event{}, err
	}
	return r.event, nil
}

// Close ends the subscription. It may come at any time, more than once, from any
// goroutine.
func (s *Subscription) Close() { s.end(errClosed) }

// end closes over, which nothing but this closes, and nothing ever sends on.
func (s *Subscription) end(why error) {
	s.once.Do(func() {
		s.why = why
		close(s.over)
		s.events.hub.remove(s)
	})
}

// entry is Next for readers inside the package.
func (s *Subscription) entry(ctx context.Context) (*logEntry, error) {
	s.away.Store(0)
	defer func() {
		s.read.Store(s.next)
		s.away.Store(max(s.events.clock.Local(), 1))
	}()
	for {
		select {
		case <-s.over:
			return nil, s.why
		case <-ctx.Done():
			return nil, ctx.Err()
		default:
		}
		wake := *s.events.hub.wake.Load()
		if s.snapshot == "" {
			if r := s.step(); r != nil {
				return r, nil
			}
		}
		wait := time.Duration(0)
		if s.snapshot != "" {
			if wait = time.Duration(s.snapAfter-s.events.clock.Local()) * time.Microsecond; wait <= 0 {
				return s.newSnapshot(ctx), nil
			}
			wake = nil
		}
		if err := s.wait(ctx, wake, wait); err != nil {
			return nil, err
		}
	}
}

// step reads on to the next event that is wanted; nil where there is none yet, or
// where a snapshot is due.
func (s *Subscription) step() *logEntry {
	for {
		r, state := s.events.hub.at(s.next)
		switch state {
		case placeEmpty:
			return nil
		case placeLost:
			s.snapshot = SnapshotLagged
			return nil
		}
		s.next++
		if r.event.Type == eventGap {
			s.snapshot = SnapshotGap
			return nil
		}
		if s.wants(&r.event) {
			return r
		}
	}
}

func (s *Subscription) wants(e *Event) bool {
	if s.types != nil && !slices.Contains(s.types, e.Type) {
		return false
	}
	user := e.user()
	if s.users == nil || user == "" {
		return true
	}
	_, ok := s.users[user]
	return ok
}

// newSnapshot makes the reader's event of a new beginning: it stands at the end of
// the log, and the figures are asked for after that place was taken.
func (s *Subscription) newSnapshot(ctx context.Context) *logEntry {
	h := &s.events.hub
	e := Event{Type: EventSnapshot, Reason: s.snapshot}
	s.next, s.snapshot = h.next.Load(), ""
	s.snapAfter = s.events.clock.Local() + time.Second.Microseconds()
	e.ID, e.Time = h.id(s.next-1), fromMicros(s.events.clock.Now())
	stats, err := s.events.figures.onlineStats(ctx)
	if err != nil {
		stats = s.events.figures.shared.last() // as of when they hold, as At says
	}
	e.Stats = stats
	return &logEntry{event: e}
}

// wait blocks until there may be something to read; a d above zero bounds it.
func (s *Subscription) wait(ctx context.Context, wake chan struct{}, d time.Duration) error {
	var late <-chan time.Time
	if d > 0 {
		timer := time.NewTimer(d)
		defer timer.Stop()
		late = timer.C
	}
	select {
	case <-s.over:
		return s.why
	case <-ctx.Done():
		return ctx.Err()
	case <-late:
	case <-wake:
	}
	return nil
}
