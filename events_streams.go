package sessiontrack

import (
	"sync"
	"sync/atomic"
)

// streamOver is why a stream ends: a word that the client is told.
type streamOver struct{ word string }

func (e *streamOver) Error() string { return "sessiontrack: the stream is over: " + e.word }

// Unwrap makes it what ends a subscription.
func (e *streamOver) Unwrap() error { return ErrSubscriptionClosed }

// The ends of streams.
var (
	overEnded       = &streamOver{"session_ended"}
	overExpired     = &streamOver{"token_expired"}
	overForbidden   = &streamOver{"forbidden"}
	overUnavailable = &streamOver{"store_unavailable"}
	overShutDown    = &streamOver{"shutdown"}
	overStalled     = &streamOver{"stalled"}
)

// streams are the events' readers by HTTP, by the session that each is held open
// with: who ends the session ends its streams.
type streams struct {
	count    atomic.Int64
	used     atomic.Bool // there has been one since somebody began to watch
	mu       sync.Mutex
	byHandle map[handle]map[*stream]struct{}
	byUser   map[string]int // those of users who watch what everybody may
}

// stream is one reader by HTTP. It counts as connected and not as activity.
type stream struct {
	*Subscription
	doubt atomic.Bool // the store must be asked about the session
}

func (a *streams) init() {
	a.byHandle, a.byUser = make(map[handle]map[*stream]struct{}), make(map[string]int)
}

// fairStreams is how many streams one user may hold whatever Options.MaxSubscribers is.
const fairStreams = 16

// admit takes one of a user's places, a quarter of all: with one account nobody can keep
// everybody else, the administrators foremost, from watching.
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

// of copies the streams of a session; of all of them where h is nil.
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

// end ends the streams of a session that has ended.
func (a *streams) end(h handle) {
	for _, s := range a.of(&h) {
		s.Subscription.end(overEnded)
	}
}

// doubtAll has every stream ask the store about its session: ends may have been
// missed.
func (a *streams) doubtAll() {
	for _, s := range a.of(nil) {
		s.doubt.Store(true)
	}
}
