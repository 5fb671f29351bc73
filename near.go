package sessiontrack

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/sessiontrack/sessiontrack/internal/lifecycle"
	"github.com/sessiontrack/sessiontrack/internal/storeclock"
)

// near keeps sessions near: the cache, the reads of the store that requests share, and
// the feed of ended sessions that says how far the cache may be trusted.
type near struct {
	trust    trustLimits
	interval time.Duration // FeedInterval
	// created tells the parts above that a session has begun.
	created func(context.Context, *NewSession, CreateResult)
	// listener hears what the feed brings.
	listener feedListener

	backend *backend
	touches *touches
	host    *host
	life    *lifecycle.Runner
	clock   *storeclock.Clock

	cache        *cache
	flights      flights
	freshness    freshness    // used only by the goroutine that polls the feed
	changed      changePlace  // likewise
	trustedUntil atomic.Int64 // local time
	kick         chan struct{}
}

// trustLimits are MaxStaleness and StaleGrace in microseconds.
type trustLimits struct{ staleness, grace int64 }

func (n *near) init(o *Options, created func(context.Context, *NewSession, CreateResult), listener feedListener,
	u *touches) {
	n.trust = trustLimits{o.MaxStaleness.Microseconds(), o.StaleGrace.Microseconds()}
	n.interval, n.created, n.listener = o.FeedInterval, created, listener
	n.backend, n.touches, n.host, n.life, n.clock = u.backend, u, u.host, u.life, u.clock
	n.cache, n.kick = newCache(o.CacheSize), make(chan struct{}, 1)
	n.flights.init()
}

// cached returns the session from the cache where the entry may be trusted, or where it
// is tolerated because the store is known to be away.
func (n *near) cached(h handle, local int64) *entry {
	e := n.cache.get(h)
	if e == nil || n.trusted(e, local) || n.backend.strained() && n.tolerated(e, local) {
		return e
	}
	return nil
}

// known returns the entry that the cache has of a session, else e.
func (n *near) known(e *entry) *entry {
	if k := n.cache.get(e.handle); k != nil {
		return k
	}
	return e
}

// trusted reports whether a cached entry may be served without a read of the store.
func (n *near) trusted(e *entry, local int64) bool {
	if n.backend.feed == nil {
		return local < e.readAt+n.trust.staleness
	}
	return local < n.trustedUntil.Load()
}

// tolerated reports whether an entry may still be served while the store cannot say.
func (n *near) tolerated(e *entry, local int64) bool { return n.trusted(e, local-n.trust.grace) }

// takeOut takes an ended session out of service in this process.
func (n *near) takeOut(h handle, s EndedSession) {
	n.cache.end(h, &ending{micros(s.LogoutAt), s.EndReason, s.EndedBy})
	n.listener.sessionEnded(h)
}

// forget drops the sessions that a selector named and that its End did not return:
// another process may have ended them, and this one must not accept them after it has
// acknowledged the end. A walk by limits of time needs nothing: requests judge those
// limits by themselves.
func (n *near) forget(sel Selector) {
	c, err := sel.Criteria()
	if err != nil {
		return
	}
	for _, id := range c.IDs {
		if h, ok := parseHandle(id); ok {
			n.cache.dropLive(h)
		}
	}
	if c.UserID != "" {
		n.cache.dropUser(c.UserID, c.Except)
	}
}
