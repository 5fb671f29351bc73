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

// EventType is the type of an [Event].
type EventType string

// These are the types of events.
const (
	// EventLogin: a session began. Session is the session.
	EventLogin EventType = "login"
	// EventLogout: a session ended, for any reason. Session has LogoutAt, EndReason and EndedBy. It
	// is the session's last event.
	EventLogout EventType = "logout"
	// EventOnline: a user came online. User is the user.
	EventOnline EventType = "online"
	// EventOffline: a user went offline. Either the user's last session ended and none began for
	// ten seconds, or the user was not active for Options.Online. User is the user, and
	// User.LastActivity is the user's latest activity.
	EventOffline EventType = "offline"
	// EventStats: the figures have changed. Stats has the new ones.
	EventStats EventType = "stats"
	// EventSnapshot: discard the present state and start from here. Stats has the figures, Reason
	// the reason.
	EventSnapshot EventType = "snapshot"

	// eventGap marks events in the log that were not kept. Each reader gets a snapshot there.
	eventGap EventType = ""
)

var eventTypes = [...]EventType{EventLogin, EventLogout, EventOnline, EventOffline, EventStats, EventSnapshot}

// SnapshotReason is the reason of a snapshot.
type SnapshotReason string

// These are the reasons of snapshots.
const (
	// SnapshotStart: the subscription begins.
	SnapshotStart SnapshotReason = "start"
	// SnapshotGap: events are missing and this process cannot bring them back.
	// SubscribeOptions.After is too old or comes from another process, there were too many events,
	// or the store was unreachable for too long.
	SnapshotGap SnapshotReason = "gap"
	// SnapshotLagged: this reader was too slow, and events were overwritten.
	SnapshotLagged SnapshotReason = "lagged"
)

// Event is something that happened at any process over the same store. It contains no credential.
type Event struct {
	// ID is the position of the event in this process, for SubscribeOptions.After.
	ID   string
	Type EventType
	// Time is when it happened, by the store's clock.
	Time    time.Time
	Session Session        // for login and logout
	User    OnlineUser     // for online and offline
	Stats   OnlineStats    // for stats and snapshot
	Reason  SnapshotReason // for snapshot
}

// user returns the user that the event concerns, or "" for figures.
func (e *Event) user() string {
	switch e.Type {
	case EventLogin, EventLogout:
		return e.Session.UserID
	case EventOnline, EventOffline:
		return e.User.UserID
	}
	return ""
}

// SubscribeOptions selects the events of a subscription.
type SubscribeOptions struct {
	// Types are the types to receive; nil means all. Snapshots always come.
	Types []EventType
	// Users restricts logins, logouts, online and offline to these users. nil means all users, an
	// empty slice none.
	Users []string
	// After is the ID of the last event of an earlier subscription. The events after it follow; if
	// they are no longer known, a snapshot comes first. If After is empty, a snapshot comes first.
	After string
}

// ErrSubscriptionClosed says that a subscription has closed. The error that wraps it says why: its
// owner closed it, the Tracker shut down, or the reader stalled.
var ErrSubscriptionClosed = errors.New("sessiontrack: subscription closed")

var (
	errClosed   = fmt.Errorf("%w by its owner", ErrSubscriptionClosed)
	errStalled  = fmt.Errorf("%w: its reader has stalled", ErrSubscriptionClosed)
	errShutDown = fmt.Errorf("%w: the tracker has shut down", ErrSubscriptionClosed)
	// errTooMany wraps ErrUnavailable because it is temporary.
	errTooMany = fmt.Errorf("%w: there are already Options.MaxSubscribers subscriptions", ErrUnavailable)
)

// Subscription reads events. Only Close may be called concurrently; the other methods belong to one
// goroutine at a time.
type Subscription struct {
	events *events
	types  []EventType         // nil means all
	users  map[string]struct{} // nil means all users

	next      uint64 // the position of the next event to read
	snapshot  SnapshotReason
	snapAfter int64 // local time before which the reader gets no further snapshot

	// away is the local time at which the reader left Next, or 0 while it is inside. read is a copy
	// of next that the hub may load.
	away atomic.Int64
	read atomic.Uint64

	once   sync.Once
	over   chan struct{} // end closes it, once
	why    error         // set before over is closed
	unbind func() bool   // detaches from Subscribe's ctx; guarded by the hub
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

// watchUsers restricts the subscription to users; nil means all users.
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

// begin sets the position to read from.
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

// Next waits for the next event. Its error wraps [ErrSubscriptionClosed] after the subscription has
// closed, and is ctx's error when ctx is done. There are no other errors.
func (s *Subscription) Next(ctx context.Context) (Event, error) {
	r, err := s.entry(ctx)
	if err != nil {
		return Event{}, err
	}
	return r.event, nil
}

// Close closes the subscription. It is safe for concurrent use and may be called several times.
func (s *Subscription) Close() { s.end(errClosed) }

// end closes over. Only this method closes it, and nothing sends on it.
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

// step advances to the next event that the reader wants. It returns nil if there is none yet, or if
// a snapshot is due.
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

// newSnapshot makes a snapshot for this reader and moves it to the end of the log. It asks for the
// figures after it has taken the position.
func (s *Subscription) newSnapshot(ctx context.Context) *logEntry {
	h := &s.events.hub
	e := Event{Type: EventSnapshot, Reason: s.snapshot}
	s.next, s.snapshot = h.next.Load(), ""
	s.snapAfter = s.events.clock.Local() + time.Second.Microseconds()
	e.ID, e.Time = h.id(s.next-1), fromMicros(s.events.clock.Now())
	stats, err := s.events.figures.onlineStats(ctx)
	if err != nil {
		stats = s.events.figures.shared.last() // older figures; At says from when
	}
	e.Stats = stats
	return &logEntry{event: e}
}

// wait blocks until there may be something to read, and at most d if d is above zero.
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
