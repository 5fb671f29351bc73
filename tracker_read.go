package sessiontrack

import (
	"context"
	"fmt"
	"time"
)

// Get returns a session by its handle, ended or not, or [ErrNotFound]. It reads the store itself.
func (t *Tracker) Get(ctx context.Context, id SessionID) (Session, error) {
	s, err := t.gate.stored(ctx, id)
	return s, wrapped("Get", err)
}

// Check decides whether a session is good, as for a request that has proved it: by the cache, the
// feed of ended sessions and the limits, and by the store where the session is not cached. It
// records no activity. Use it where a credential names the session and no request carries it, such
// as at the refresh of a token.
//
// The handle itself proves nothing: see to it that the caller may speak for the session. The
// errors are [ErrNotFound], [EndedError] with the reason, [ErrUnavailable] and [ErrStoreFault].
func (t *Tracker) Check(ctx context.Context, id SessionID) (Session, error) {
	e, err := t.gate.checkID(ctx, id)
	if err != nil {
		return Session{}, wrapped("Check", err)
	}
	return e.session(), nil
}

// Touch records activity that is no request: a message on a socket, a call of a stream. It moves
// the idle limit and the windows of who is online, as a request does, and is written with the next
// flush. It first decides as [Tracker.Check] does, and returns its errors: it revives nothing.
func (t *Tracker) Touch(ctx context.Context, id SessionID) error {
	e, err := t.gate.checkID(ctx, id)
	if err != nil {
		return wrapped("Touch", err)
	}
	t.touches.touch(ctx, e, t.clock.Now())
	return nil
}

// Hold keeps a session in use for as long as something outside of a request needs it: a WebSocket,
// a stream, a long download. The context that it returns ends with ctx, and when the session ends,
// on whichever replica, or passes one of its limits: within MaxStaleness. Meanwhile the session's
// user is online, and LastSeen moves. A held session is no activity: it becomes idle as without a
// hold. Call [Tracker.Touch] for what a person does.
//
// [context.Cause] says why the context has ended: an [*EndedError] with the reason; [ErrNotFound]
// where the row is no more; an error that wraps [ErrUnavailable] where nothing was known of the
// session for MaxStaleness + StaleGrace, and where the Tracker does not run. Hold never returns an
// error: of a session that is not good the context has ended already.
//
// Call the CancelFunc when the session is no longer needed. A hold costs no goroutine and no
// statement of its own, and about 400 bytes. A handle proves nothing: take it from the request
// that opened the connection.
func (t *Tracker) Hold(ctx context.Context, id SessionID) (context.Context, context.CancelFunc) {
	h, ok := parseHandle(id)
	if !ok {
		ctx, cancel := context.WithCancelCause(ctx)
		cancel(ErrNotFound)
		return ctx, func() {}
	}
	ctx, k := t.holds.hold(ctx, h, true)
	return ctx, func() { t.holds.release(k) }
}

// List returns a page of sessions from the store itself. q.IdleTimeout is filled
// with the Tracker's; q.Limit of 0 means 50, more than 100 is refused with
// [ErrInvalidArgument], as are UserID and UserIDs together.
func (t *Tracker) List(ctx context.Context, q Query) (Page, error) {
	page, err := t.list(ctx, q)
	return page, wrapped("List", err)
}

func (t *Tracker) list(ctx context.Context, q Query) (Page, error) {
	q.IdleTimeout = t.opts.IdleTimeout
	if q.Limit == 0 {
		q.Limit = 50
	}
	if err := q.Check(); err != nil {
		return Page{}, err
	}
	t.touches.flushBeforeRead(ctx)
	return t.backend.list(detached(ctx), q)
}

// Audit returns a page of the audit trail, newest first. q.Limit of 0 means 50; more than 100 is
// refused with [ErrInvalidArgument]. A store that is no [Auditor] has no trail: it is an
// [ErrStoreFault].
func (t *Tracker) Audit(ctx context.Context, q AuditQuery) (AuditPage, error) {
	page, err := auditOf(ctx, &t.backend, q)
	return page, wrapped("Audit", err)
}

func auditOf(ctx context.Context, b *backend, q AuditQuery) (AuditPage, error) {
	if b.auditor == nil {
		return AuditPage{}, fmt.Errorf("%w: the store is no Auditor", ErrStoreFault)
	}
	if q.Limit == 0 {
		q.Limit = 50
	}
	if err := q.Check(); err != nil {
		return AuditPage{}, err
	}
	return b.audit(detached(ctx), q)
}

// WithinLimits reports whether a session is good now: not ended and within both limits.
func (t *Tracker) WithinLimits(s Session) bool { return t.gate.withinLimits(s, t.clock.Now()) }

// CountOnline returns how many users were active within the window, 1 minute to 24 hours, and the
// time of the figure. Activity in this process's buffer is written first, at most once a second.
func (t *Tracker) CountOnline(ctx context.Context, window time.Duration) (int, time.Time, error) {
	if err := checkWindow(window); err != nil {
		return 0, time.Time{}, wrapped("CountOnline", err)
	}
	counts, now, err := t.figures.countOnline(ctx, []time.Duration{window})
	if err != nil {
		return 0, time.Time{}, wrapped("CountOnline", err)
	}
	return counts[0], now, nil
}

// OnlineUsers returns a page of the users active within q.Window, latest first. A Limit of 0 means
// 50; more than 100 is refused.
func (t *Tracker) OnlineUsers(ctx context.Context, q OnlineQuery) (OnlinePage, error) {
	if err := checkWindow(q.Window); err != nil {
		return OnlinePage{}, wrapped("OnlineUsers", err)
	}
	if q.Limit == 0 {
		q.Limit = 50
	}
	if err := q.Check(); err != nil {
		return OnlinePage{}, wrapped("OnlineUsers", err)
	}
	page, err := t.figures.onlineUsers(ctx, q)
	return page, wrapped("OnlineUsers", err)
}

// OnlineStats returns the present figures. They may be up to a second old; At is their time. It
// waits for the store until ctx is done.
func (t *Tracker) OnlineStats(ctx context.Context) (OnlineStats, error) {
	stats, err := t.figures.onlineStats(ctx)
	return stats, wrapped("OnlineStats", err)
}

// History returns the history of a range: online users and active sessions from the samples of each
// minute, and the counts of logins and ends, which are rolled up each minute. It goes back at most
// Options.HistoryRetention. It does not read sessions.
//
// If the store is not a [Historian], it returns only this process's own samples of the last two
// days.
func (t *Tracker) History(ctx context.Context, r HistoryRange) (History, error) {
	history, err := t.figures.history(ctx, r)
	return history, wrapped("History", err)
}

// Subscribe begins to tell of logins, logouts, users who come online and go offline,
// and figures, wherever they happen; the first event is a snapshot. It needs Start,
// and lasts until Close, until ctx is done, or until Shutdown.
//
// Events come within about FeedInterval of their commit (a second), a return from
// idleness within PresenceStep; a session's login comes before its logout, and
// nothing after that. No reader delays another or the Tracker: one that falls behind
// by more than 4,096 events gets a snapshot that says so, one that does not come back
// to Next within eight seconds while there is something to read is closed. At most
// 1,000 logins, logouts, onlines and offlines a second are told; what is more becomes
// one snapshot. Where the store is no [ChangeFeed], only this process's sessions are
// told of.
//
// It returns an error that wraps [ErrUnavailable] when Options.MaxSubscribers are there
// already, or when the Tracker is not started, and [ErrInvalidArgument] for a type in
// o.Types that does not exist.
func (t *Tracker) Subscribe(ctx context.Context, o SubscribeOptions) (*Subscription, error) {
	s, err := t.events.subscribe(ctx, o)
	return s, wrapped("Subscribe", err)
}

// EndStreams closes the HTTP streams of events. http.Server.Shutdown waits for them, so register it
// with (*http.Server).RegisterOnShutdown. Clients reconnect automatically.
func (t *Tracker) EndStreams() {
	for _, s := range t.events.hub.streams.list() {
		s.end(overShutDown)
	}
}

// Counters returns what the Tracker has counted since it was made, by name:
//
//	request.tracked          requests that had a good session
//	request.refused          requests answered with 401 or 403 for what they carried
//	request.unavailable      requests answered with 503 or 500: the store could not say
//	request.failed_open      requests that passed in its place (Options.InsecureFailOpen)
//	request.unknown_session  credentials that name no session, or prove none
//	request.guessing         minutes with 1,000 of those
//	store.reads              reads of the store that requests caused
//	touch.written            sessions whose activity was written
//	touch.dropped            activity that found no room, or no store
//	touch.flush_failed       writes of activity that failed and are tried again
//	feed.failed              reads of the feed of ended sessions that failed
//	describe.dropped         devices and places to be looked up again later
//	hook.dropped             calls of Hooks that found no room
//	callback.panics          panics of the host's functions
//	session.logins           sessions made here, by Login or from a credential
//	session.ended            sessions ended here
//	session.purged           ended sessions deleted or blanked after their retention
//	audit.failed             records of the audit trail that could not be written
//	event.dropped            events above the rate that subscriptions are told
//	event.readers_stalled    subscriptions closed because nobody read them
func (t *Tracker) Counters() map[string]int64 {
	out := t.host.counted()
	out[counterNames[countRequests]] = t.near.cache.tracked()
	return out
}

// exactCount is how far a count is exact.
const exactCount = 10_000

// Count returns how many sessions f selects, and of how many users. It is exact up to 10,000
// sessions; above, N and Users may be estimates, and Exact is false then. Matching(f).AsOf(c.AsOf)
// ends what was counted and nothing that began later.
func (t *Tracker) Count(ctx context.Context, f Filter) (Count, error) {
	c, err := countOf(ctx, t, f)
	return c, wrapped("Count", err)
}

func countOf(ctx context.Context, t *Tracker, f Filter) (Count, error) {
	if err := f.Check(); err != nil {
		return Count{}, err
	}
	t.touches.flushBeforeRead(ctx)
	if t.backend.counter != nil {
		q := CountQuery{Filter: f, IdleTimeout: t.opts.IdleTimeout, Limit: exactCount}
		return t.backend.count(detached(ctx), q)
	}
	return countPages(ctx, t, f)
}

// countPages counts over a store that is no Counter, page by page.
func countPages(ctx context.Context, t *Tracker, f Filter) (Count, error) {
	c, users := Count{}, map[string]struct{}{}
	q := Query{Filter: f, Sort: SortLogin, Limit: maxPage}
	for {
		page, err := t.list(ctx, q)
		if err != nil {
			return Count{}, err
		}
		c.N, c.AsOf = c.N+len(page.Sessions), page.Now
		for i := range page.Sessions {
			users[page.Sessions[i].UserID] = struct{}{}
		}
		if c.Users, c.Exact = len(users), page.Next.IsZero(); c.Exact || c.N >= exactCount {
			return c, nil
		}
		if q.After = page.Next; q.AsOf.IsZero() {
			q.AsOf = page.Now
		}
	}
}

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
