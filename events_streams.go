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

// streams are the readers of events by HTTP.
type streams struct {
	count  atomic.Int64
	used   atomic.Bool // whether there was a stream since watching began
	mu     sync.Mutex
	open   map[*Subscription]struct{}
	byUser map[string]int // streams per user, without those of administrators
}

func (a *streams) init() {
	a.open, a.byUser = make(map[*Subscription]struct{}), make(map[string]int)
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

func (a *streams) add(s *Subscription) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.open[s] = struct{}{}
	a.count.Add(1)
	a.used.Store(true)
}

func (a *streams) remove(s *Subscription) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.open, s)
	a.count.Add(-1)
}

// list returns a copy of the list of streams.
func (a *streams) list() []*Subscription {
	a.mu.Lock()
	defer a.mu.Unlock()
	list := make([]*Subscription, 0, len(a.open))
	for s := range a.open {
		list = append(list, s)
	}
	return list
}
