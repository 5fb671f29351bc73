package sessiontrack

import "time"

// HealthState says whether a Tracker keeps its promises now. See [Tracker.Health].
type HealthState string

// These are the states of a Tracker.
const (
	// HealthOK says that ends of other replicas reach this one within MaxStaleness.
	HealthOK HealthState = "ok"
	// HealthStale says that the feed was not read for MaxStaleness, though no reading has failed
	// for an outage: the pool has no free connection, or the process gets no time. No session
	// is served from the cache, but for StaleGrace while the pool is the cause.
	HealthStale HealthState = "stale"
	// HealthAway says that the store cannot be reached: the latest reading of the feed has failed,
	// or the Tracker does not run.
	HealthAway HealthState = "away"
)

// Health is how a Tracker stands, from its memory.
type Health struct {
	State HealthState
	// Since is when the state began, by the store's clock. It is zero where the Tracker does not
	// run.
	Since time.Time
	// FeedAge is the time since the start of the latest good reading of the feed. It is zero where
	// the Tracker does not run, and over a store that is no [EndedFeed].
	FeedAge time.Duration
	// TouchesHeld is how many sessions have activity that is not written.
	TouchesHeld int
	// CachedSessions is how many sessions the near cache holds.
	CachedSessions int
}

// Gauges are a Tracker's figures of this moment, from its memory. What it has counted is in
// [Tracker.Counters].
type Gauges struct {
	Health
	// MaxStaleness is the promise that FeedAge is held to: Options.MaxStaleness.
	MaxStaleness time.Duration
	// CacheSize is how many sessions the near cache can hold.
	CacheSize int
	// FlushTime is how long the latest flush took that had something to write.
	FlushTime time.Duration
	// Subscribers are those who read events, Streams the HTTP streams among them.
	Subscribers, Streams int
	// Sample is the latest sample that this process knows of, taken by whichever replica. Its At
	// is zero before the first one.
	Sample Sample
}

// Health reports whether the Tracker keeps its promises now. It reads memory only and makes no
// statement, so a health check may call it at any rate. Over a store that is no [EndedFeed] nothing
// watches the store between requests, and a Tracker that runs is always "ok".
func (t *Tracker) Health() Health {
	h := Health{State: HealthAway, TouchesHeld: t.touches.buffer.len(), CachedSessions: t.near.cache.len()}
	if !t.life.Running() {
		return h
	}
	stands, local := &t.near.standing, t.clock.Local()
	until, since := stands.until.Load(), stands.goodSince.Load()
	h.State = HealthOK
	if t.backend.feed != nil {
		h.FeedAge = time.Duration(local-until+t.near.trust.staleness) * time.Microsecond
		switch {
		case t.backend.away():
			h.State, since = HealthAway, stands.awaySince.Load()
		case local >= until:
			h.State, since = HealthStale, until
		}
	}
	h.Since = fromMicros(t.clock.At(since))
	return h
}

// Gauges returns the figures of this moment. It reads memory only and makes no statement, so
// metrics may be collected from it at any rate.
func (t *Tracker) Gauges() Gauges {
	g := Gauges{
		Health: t.Health(), MaxStaleness: t.opts.MaxStaleness, CacheSize: t.near.cache.size(),
		FlushTime: time.Duration(t.touches.flushTime.Load()) * time.Microsecond,
		Streams:   int(t.events.hub.streams.count.Load()), Subscribers: t.events.hub.subscribers(),
	}
	if s := t.figures.latest.Load(); s != nil {
		g.Sample = *s
	}
	return g
}
