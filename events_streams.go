package sessiontrack

import (
	"sync"
	"sync/atomic"
)

// streamOver is the reason why a stream closes. word is sent to the client.
type streamOver struct{ word string }

func (e *streamOver) Error() string { return "sessiontrack: the stream is over: " + e.word }

// Unwrap makes it match ErrSubscriptionClosed.
func (e *streamOver) Unwrap() error { return ErrSubscriptionClosed }

// These are the reasons why a stream closes.
var (
	overEnded       = &streamOver{"session_ended"}
	overExpired     = &streamOver{"token_expired"}
	overForbidden   = &streamOver{"forbidden"}
	overUnavailable = &streamOver{"store_unavailable"}
	overShutDown    = &streamOver{"shutdown"}
	overStalled     = &streamOver{"stalled"}
)

// streams holds the HTTP readers of events by their sessions. When a session ends, its streams
// close.
type streams struct {
	count    atomic.Int64
	used     atomic.Bool // whether there was a stream since watching began
	mu       sync.Mutex
	byHandle map[handle]map[*stream]struct{}
	byUser   map[string]int // streams per user, without those of administrators
}

// stream is one reader by HTTP. It counts as connected and not as activity.
type stream struct {
	*Subscription
	doubt atomic.Bool // the session must be read from the store
}

func (a *streams) init() {
	a.byHandle, a.byUser = make(map[handle]map[*stream]struct{}), make(map[string]int)
}

// fairStreams is how many streams one user may always have, whatever Options.MaxSubscribers is.
const fairStreams = 16

// admit reserves one of a user's places. A user gets at most a quarter of all places, so that one
// account cannot lock the others out, administrators above all.
func (a *streams) admit(user string, all int) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.byUser[user] >= max(all/4, fairStreams) {
		return false
	}
	a.byUser[user]++
	return true
}

// release gives a place of the user back.
func (a *streams) release(user string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.byUser[user]--; a.byUser[user] == 0 {
		delete(a.byUser, user)
	}
}

// any reports whether anybody reads by HTTP.
func (a *streams) any() bool { return a.count.Load() > 0 }

func (a *streams) add(h handle, s *stream) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.byHandle[h] == nil {
		a.byHandle[h] = make(map[*stream]struct{})
	}
	a.byHandle[h][s] = struct{}{}
	a.count.Add(1)
	a.used.Store(true)
}

func (a *streams) remove(h handle, s *stream) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.byHandle[h], s)
	if len(a.byHandle[h]) == 0 {
		delete(a.byHandle, h)
	}
	a.count.Add(-1)
}

// of returns a copy of a session's list of streams, or of all streams if h is nil.
func (a *streams) of(h *handle) (list []*stream) {
	if !a.any() {
		return nil
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if h != nil {
		for s := range a.byHandle[*h] {
			list = append(list, s)
		}
		return list
	}
	for _, held := range a.byHandle {
		for s := range held {
			list = append(list, s)
		}
	}
	return list
}

// end closes the streams of a session that has ended.
func (a *streams) end(h handle) {
	for _, s := range a.of(&h) {
		s.Subscription.end(overEnded)
	}
}

// doubtAll makes every stream read its session from the store, because ends may have been missed.
func (a *streams) doubtAll() {
	for _, s := range a.of(nil) {
		s.doubt.Store(true)
	}
}
