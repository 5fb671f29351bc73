package sessiontrack

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/sessiontrack/sessiontrack/internal/issuers"
	"github.com/sessiontrack/sessiontrack/internal/storeclock"
)

// gate decides which session a request has, and whether it is good now.
type gate struct {
	identifier   Identifier
	jwt          *JWTIdentifier // identifier where it is exactly that, not a host's type around it
	alone        bool           // Options.SessionAlone
	cookieAlone  bool           // Options.Cookie.Alone
	explicitOnly bool
	names        carrierNames
	crossOrigin  *http.CrossOriginProtection
	idle         int64 // IdleTimeout in microseconds

	backend   *backend
	near      *near
	describer *describer
	host      *host
	clock     *storeclock.Clock

	refused refusedCache
	alarm   guessAlarm
	issuers issuers.Clocks
}

// leeway is how long after its ExpiresAt a credential is still accepted. Of an Identifier of
// the application's own that is not known, and taken to be the longest.
func (g *gate) leeway() time.Duration {
	if g.jwt != nil {
		return g.jwt.verifier.Leeway()
	}
	return credentialLeeway
}

func (g *gate) init(o *Options, d *describer) error {
	g.identifier, g.alone, g.explicitOnly, g.idle = o.Identifier, o.SessionAlone, o.ExplicitOnly,
		o.IdleTimeout.Microseconds()
	g.jwt, _ = o.Identifier.(*JWTIdentifier)
	if o.Header != noHeader {
		g.names.header = o.Header
	}
	if o.Cookie != nil {
		g.names.cookie, g.cookieAlone = o.Cookie.Name, o.Cookie.Alone
	}
	g.backend, g.near, g.describer, g.host, g.clock = d.backend, d.near, d, d.host, d.backend.clock
	g.crossOrigin = http.NewCrossOriginProtection()
	for _, origin := range o.TrustedOrigins {
		if err := g.crossOrigin.AddTrustedOrigin(origin); err != nil {
			return fmt.Errorf("sessiontrack: Options.TrustedOrigins: %w", err)
		}
	}
	return nil
}

// resolution is the result of resolving a request.
type resolution struct {
	entry *entry
	roles []string
	// until is the credential's expiry; zero if there is none.
	until time.Time
	// authenticated is when the credential says that the user proved who they are; zero if it does not.
	authenticated time.Time
	// deadCookie says that the session cookie can never work again, and that it was not a
	// sign-in or a sign-out that ended it: those set or cleared the cookie themselves.
	deadCookie bool
	byCookie   bool
	// local is the time of the request by the process's clock. Reading the clock is a large part of
	// a request's cost, so it is read once.
	local int64
}

// resolve finds the live session of a request. fresh reads the store even if the cache could
// answer, for decisions that must not use a stale session. The errors are ErrNoCredential,
// ErrInvalidCredential, ErrExpiredCredential, *EndedError, ErrLimit and errCrossOrigin. Every other
// error means that the credential could not be checked.
func (g *gate) resolve(r *http.Request, fresh bool) (res resolution, err error) {
	now, local := g.moment()
	res.local = local
	var c carriers
	if err := g.carriersOf(r, &c, now); err != nil {
		res.deadCookie = c.badForm
		return res, err
	}
	h, derived, err := g.target(&c)
	if err != nil {
		return res, err
	}
	if c.waited {
		res.local = g.clock.Local()
	}
	if !fresh {
		res.entry = g.near.cached(h, res.local)
	}
	if res.entry == nil {
		if res.entry, err = g.miss(r, h, derived, &c, fresh); err != nil {
			return g.refusedBy(res, err, &c)
		}
	}
	if !genuine(res.entry, &c, derived) {
		known, err := g.notGenuine(r.Context(), h, &c, res.entry, res.local)
		if err != nil || !genuine(known, &c, derived) {
			res.deadCookie = c.cookie && !c.verified
			return res, cmp.Or(err, ErrInvalidCredential)
		}
		res.entry = known // its secret has changed since the entry was read
	}
	res.byCookie, res.roles, res.until = c.cookie, c.identity().Roles, c.identity().ExpiresAt
	res.authenticated = c.identity().AuthenticatedAt
	if res.entry, err = g.judge(r.Context(), res.entry, g.clock.At(res.local)); err != nil {
		res.deadCookie = c.cookie && clearable(err)
		return res, err
	}
	if c.cookie && g.crossOrigin.Check(r) != nil {
		return res, errCrossOrigin
	}
	return res, nil
}

// moment reads the clock for a request: the process's own, and the system's where an
// Identifier judges credentials by it. To read the system's too takes twice as long.
func (g *gate) moment() (now time.Time, local int64) {
	if g.identifier == nil {
		return time.Time{}, g.clock.Local()
	}
	now = time.Now()
	return now, g.clock.LocalAt(now)
}

// clearable reports whether a session has ended for good and by something else than a
// sign-in or a sign-out of the same browser, whose answer has set the cookie already.
func clearable(err error) bool {
	var ended *EndedError
	return errors.As(err, &ended) && ended.Reason != ReasonReplacement && ended.Reason != ReasonLogout
}

// refusedBy turns the store's "not found" into the one refusal that all invalid credentials share
// (OWASP ASVS 16.5.1).
func (g *gate) refusedBy(res resolution, err error, c *carriers) (resolution, error) {
	if !errors.Is(err, ErrNotFound) {
		return res, err
	}
	res.deadCookie = c.cookie
	return res, ErrInvalidCredential
}

// genuine reports whether the carriers prove the session. The secret must be right, the user must
// be the credential's, and a derived session needs a credential that names none of ours.
func genuine(e *entry, c *carriers, derived bool) bool {
	if e.derived != derived {
		return false
	}
	if (c.header || c.cookie) && !c.token.Proves(&e.hash) {
		return false
	}
	if derived && e.user == "" {
		return true // blanked after its retention; the handle itself was derived from the user
	}
	return !c.verified || e.user == c.identity().UserID
}

// miss reads the store. While the store is known to be unreachable it fails at once.
func (g *gate) miss(r *http.Request, h handle, derived bool, c *carriers, fresh bool) (*entry, error) {
	id, key := c.identity(), handle{}
	if g.backend.away() {
		return nil, errAway
	}
	var create *NewSession
	if derived {
		n := g.describer.newSession(r, id.UserID, h)
		n.Session.AuthenticatedAt = id.AuthenticatedAt
		n.Session.Derived, n.IssuedAt, n.oneToken = true, g.issuedAt(id), id.Key == "" && id.derived != handle{} && !id.family
		if n.oneToken && !id.ExpiresAt.IsZero() {
			n.Session.CredentialUntil = id.ExpiresAt.Add(credentialLeeway).UTC().Truncate(time.Microsecond)
		}
		if id.Key != "" {
			n.ProviderID = ProviderID(id.Issuer, id.Key)
		}
		create = &n
	} else if key = c.refusalKey(h); g.refused.has(key, g.clock.Local()) {
		return nil, ErrNotFound
	}
	e, err := g.fetch(r.Context(), h, create, fresh)
	if errors.Is(err, ErrNotFound) {
		g.remember(key)
	}
	if err == nil || fresh || errors.Is(err, ErrNotFound) || errors.Is(err, ErrLimit) {
		return e, err
	}
	return g.tolerated(h, err)
}

// issuedAt is when a credential was issued, at the latest, by the store's time: what its
// user's fence is held against. A verifier accepts an iat as far in the future as its leeway.
// The issuer's clock may then be so far ahead that a credential from before the fence names a
// time after it: the leeway is taken off where the issuer is known to be ahead.
func (g *gate) issuedAt(id *Identity) time.Time {
	if id.IssuedAt.IsZero() || !g.issuers.Ahead(id.Issuer, id.IssuedAt, fromMicros(g.clock.Now())) {
		return id.IssuedAt
	}
	g.host.count(countIssuerAhead, 1)
	return id.IssuedAt.Add(-g.leeway())
}

// fetch reads the store. A fresh read runs alone, because its answer must not be older than the
// request. Other reads share a single flight per session.
func (g *gate) fetch(ctx context.Context, h handle, create *NewSession, fresh bool) (*entry, error) {
	if fresh {
		return g.near.readFresh(ctx, h, create)
	}
	return g.near.read(ctx, h, create, true)
}

// checkID is check for an id that comes from outside.
func (g *gate) checkID(ctx context.Context, id SessionID) (*entry, error) {
	h, ok := parseHandle(id)
	if !ok {
		return nil, ErrNotFound
	}
	return g.check(ctx, h)
}

// check decides about a session by its handle, as about the session of a request that proves it.
func (g *gate) check(ctx context.Context, h handle) (*entry, error) {
	local := g.clock.Local()
	e := g.near.cached(h, local)
	if e == nil {
		var err error
		if e, err = g.known(ctx, h); err != nil {
			return nil, err
		}
	}
	return g.judge(ctx, e, g.clock.At(local))
}

// known reads the session of a handle that is not cached.
func (g *gate) known(ctx context.Context, h handle) (*entry, error) {
	if g.backend.away() {
		return nil, errAway
	}
	e, err := g.near.read(ctx, h, nil, true)
	if err == nil || errors.Is(err, ErrNotFound) {
		return e, err
	}
	return g.tolerated(h, err)
}

// tolerated returns what the cache has of a session where the store could not say: err.
func (g *gate) tolerated(h handle, err error) (*entry, error) {
	if known := g.near.cache.get(h); known != nil && g.near.tolerated(known, g.clock.Local()) {
		return known, nil
	}
	return nil, err
}

// judge decides whether a session is good at a time of the store's clock. It reads the store before
// it calls the session idle, because another replica may have seen later activity.
func (g *gate) judge(ctx context.Context, e *entry, now int64) (*entry, error) {
	reason := g.endedBy(e, now)
	if reason == ReasonIdle {
		fresh, err := g.reread(ctx, e)
		if err != nil {
			return e, err
		}
		e, reason = fresh, g.endedBy(fresh, now)
	}
	if reason != "" {
		return e, &EndedError{Reason: reason}
	}
	return e, nil
}

// endedBy returns why a session is not good at that time, or "". The limits hold even if the
// cleanup has not run (OWASP ASVS 7.3).
func (g *gate) endedBy(e *entry, now int64) EndReason {
	if end := e.ending.Load(); end != nil {
		return end.reason
	}
	if expires := e.expiresAt(); expires != 0 && now >= expires {
		return ReasonLifetime
	}
	if idle := e.idleLimit(g.idle); idle > 0 && now-e.last.Load() >= idle {
		return ReasonIdle
	}
	return ""
}

// nextLimit returns when a session passes its next limit, by the store's clock, and which one
// that is; zero for none. soon is how long before that its user is warned: a tenth of the
// limit, at least a minute and at most ten.
func (g *gate) nextLimit(e *entry) (at int64, why EndReason, soon int64) {
	if idle := e.idleLimit(g.idle); idle > 0 {
		at, why, soon = e.last.Load()+idle, ReasonIdle, idle
	}
	if expires := e.expiresAt(); expires != 0 && (at == 0 || expires < at) {
		at, why, soon = expires, ReasonLifetime, expires-e.loginAt
	}
	return at, why, min(max(soon/10, time.Minute.Microseconds()), 10*time.Minute.Microseconds())
}

// reread reads a cached session again if it was read before this request.
func (g *gate) reread(ctx context.Context, e *entry) (*entry, error) {
	if g.backend.away() {
		return nil, errAway
	}
	fresh, err := g.near.read(ctx, e.handle, nil, false)
	if errors.Is(err, ErrNotFound) {
		return e, nil // purged meanwhile, so it stays idle
	}
	return fresh, err
}

// idleTimeout is Options.IdleTimeout.
func (g *gate) idleTimeout() time.Duration { return time.Duration(g.idle) * time.Microsecond }

// withinLimits reports whether a session is good at a moment of the store's time: not
// ended and inside both limits.
func (g *gate) withinLimits(s Session, now int64) bool {
	return !s.Ended() && (s.ExpiresAt.IsZero() || now < micros(s.ExpiresAt)) &&
		!s.idleAt(fromMicros(now), g.idleTimeout(), 0)
}

// stored reads a session from the store itself, ended or not.
func (g *gate) stored(ctx context.Context, id SessionID) (Session, error) {
	if _, ok := parseHandle(id); !ok {
		return Session{}, ErrNotFound
	}
	record, err := g.backend.get(detached(ctx), id)
	return record.Session, err
}
