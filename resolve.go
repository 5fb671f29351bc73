package sessiontrack

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	codec "github.com/sessiontrack/sessiontrack/internal/handle"
)

// headerName is x-session-id in the canonical form that net/http keys by.
const headerName = "X-Session-Id"

// carriers is what a request carries, each part genuine by its form, or refused.
type carriers struct {
	token    codec.Proof // of the header, or the cookie
	shared   *Identity   // of a JWT, as its cache holds it
	own      Identity    // of any other Identifier
	header   bool        // token came by header
	cookie   bool        // token came by cookie; both may be true
	verified bool        // the Identifier has verified identity()
	waited   bool        // a function of the host may have taken its time
	badForm  bool        // the cookie is there and is no token: it can be cleared
}

// identity is what the Identifier found, without a copy.
func (c *carriers) identity() *Identity {
	if c.shared != nil {
		return c.shared
	}
	return &c.own
}

// resolution is what a request was found to be.
type resolution struct {
	entry *entry
	roles []string
	// until is the credential's own end, zero where there is none.
	until time.Time
	// deadCookie says that the session cookie can never work again.
	deadCookie bool
	byCookie   bool
	// local is the moment of the request by the process's clock: reading the clock
	// is a good part of what a request costs, so it is read once.
	local int64
}

// ours is the handle of the session made by Login that the identity names.
func (c *carriers) ours() (handle, bool) {
	if c.shared != nil {
		return c.shared.ours, true
	}
	return parseHandle(c.own.SessionID)
}

// carriersOf collects the credentials of a request. A carrier that is malformed or
// comes twice is refused whatever the others say: choosing one of two is how
// requests get read differently by two programs (OWASP ASVS 15.3.7).
func (t *Tracker) carriersOf(r *http.Request, c *carriers, now time.Time) error {
	bad := false
	if values, present := r.Header[headerName]; present && len(values) > 0 {
		c.header = true
		if len(values) != 1 {
			bad = true
		} else if c.token, c.header = codec.ParseProof(values[0]); !c.header {
			bad = true
		}
	}
	if t.opts.Cookie != nil {
		bad = !t.readCookie(r, c) || bad
	}
	if bad {
		return ErrInvalidCredential
	}
	if t.opts.Identifier == nil {
		return nil
	}
	err := t.identify(r, c, now)
	switch {
	case err == nil:
		c.verified = true
		return nil
	case errors.Is(err, ErrNoCredential):
		return nil
	}
	return err
}

// readCookie adds the cookie's token, and reports false where it is not good.
func (t *Tracker) readCookie(r *http.Request, c *carriers) bool {
	value, n := cookieValue(r.Header["Cookie"], t.opts.Cookie.Name)
	if n == 0 {
		return true
	}
	token, ok := codec.ParseProof(value)
	if n > 1 || !ok {
		c.badForm = n == 1
		return false
	}
	if c.header && (token.Handle != c.token.Handle || subtle.ConstantTimeCompare(token.Secret[:], c.token.Secret[:]) != 1) {
		return false
	}
	c.token, c.cookie = token, true
	return true
}

// cookieValue finds a cookie by its exact name (RFC 6265 §5.4) without allocating,
// and counts how often it comes.
func cookieValue(lines []string, name string) (value string, n int) {
	for _, line := range lines {
		for line != "" {
			var pair string
			pair, line, _ = strings.Cut(line, ";")
			for pair != "" && blank(pair[0]) {
				pair = pair[1:]
			}
			if len(pair) <= len(name) || pair[len(name)] != '=' || pair[:len(name)] != name {
				continue
			}
			for value, n = pair[len(name)+1:], n+1; value != "" && blank(value[len(value)-1]); {
				value = value[:len(value)-1]
			}
		}
	}
	return value, n
}

func blank(c byte) bool { return c == ' ' || c == '\t' }

// identify asks the host's Identifier. Its panic means that it cannot say. Our own
// has looked at the identity before it kept it.
func (t *Tracker) identify(r *http.Request, c *carriers, now time.Time) (err error) {
	defer func() {
		if p := recover(); p != nil {
			if p == http.ErrAbortHandler {
				panic(p)
			}
			t.count(countPanics, 1)
			err = fmt.Errorf("%w: the identifier panicked", ErrUnavailable)
		}
	}()
	if t.jwt != nil {
		if c.shared = t.jwt.remembered(r, now); c.shared != nil {
			return nil
		}
	}
	c.waited = true
	if t.jwt != nil {
		c.shared, err = t.jwt.identifyAt(r, now)
		return err
	}
	c.own, err = t.opts.Identifier.Identify(r)
	if err == nil && !c.own.valid() {
		return ErrInvalidCredential
	}
	return err
}

// target is the session that the carriers name, all of them the same one.
func (t *Tracker) target(c *carriers) (h handle, derived bool, err error) {
	token, id := c.header || c.cookie, c.identity()
	switch {
	case !token && !c.verified:
		return h, false, ErrNoCredential
	case !c.verified:
		if t.opts.Identifier != nil && !t.opts.SessionAlone {
			return h, false, ErrInvalidCredential
		}
		return handle(c.token.Handle), false, nil
	case id.SessionID != "":
		h, ok := c.ours()
		if !ok || token && h != handle(c.token.Handle) {
			return h, false, ErrInvalidCredential
		}
		return h, false, nil
	case token && id.Key != "":
		return h, false, ErrInvalidCredential // two sessions named: the provider's and ours
	case token:
		return handle(c.token.Handle), false, nil
	case t.opts.ExplicitOnly:
		return h, false, ErrInvalidCredential
	case id.derived != handle{} && (c.shared != nil || id.Key == ""):
		return id.derived, true, nil
	}
	return deriveHandle(id.Issuer, id.UserID, id.Key), true, nil
}

// resolve finds the live session of a request. fresh reads the store even where the
// cache could answer, for decisions that must not be stale. The errors are
// ErrNoCredential, ErrInvalidCredential, ErrExpiredCredential, *EndedError, ErrLimit,
// errCrossOrigin, and anything else for "cannot say".
func (t *Tracker) resolve(r *http.Request, fresh bool) (res resolution, err error) {
	now := time.Now()
	res.local = t.clock.LocalAt(now)
	var c carriers
	if err := t.carriersOf(r, &c, now); err != nil {
		res.deadCookie = c.badForm
		return res, err
	}
	h, derived, err := t.target(&c)
	if err != nil {
		return res, err
	}
	if c.waited {
		res.local = t.clock.Local()
	}
	if !fresh {
		res.entry = t.cached(h, res.local)
	}
	hit := res.entry != nil
	if !hit {
		if res.entry, err = t.miss(r, h, derived, &c, fresh); err != nil {
			return t.refusedBy(res, err, &c)
		}
	}
	if !genuine(res.entry, &c, derived) {
		res.deadCookie = c.cookie && !c.verified
		return res, t.notGenuine(r.Context(), h, &c, hit)
	}
	res.byCookie, res.roles, res.until = c.cookie, c.identity().Roles, c.identity().ExpiresAt
	if res.entry, err = t.judge(r.Context(), res.entry, t.clock.At(res.local)); err != nil {
		res.deadCookie = c.cookie && errors.Is(err, ErrEnded)
		return res, err
	}
	if c.cookie && t.crossOrigin.Check(r) != nil {
		return res, errCrossOrigin
	}
	return res, nil
}

// refusedBy turns the store's answer for an unknown handle into the one refusal that
// all credentials share which are not good (OWASP ASVS 16.5.1).
func (t *Tracker) refusedBy(res resolution, err error, c *carriers) (resolution, error) {
	if !errors.Is(err, ErrNotFound) {
		return res, err
	}
	res.deadCookie = c.cookie
	return res, ErrInvalidCredential
}

// genuine reports whether the session is what the carriers prove: the secret is
// right, the user is the credential's, and neither kind of session stands in for the
// other.
func genuine(e *entry, c *carriers, derived bool) bool {
	if e.derived != derived {
		return false
	}
	if (c.header || c.cookie) && !c.token.Proves(&e.hash) {
		return false
	}
	if derived && e.user == "" {
		return true // blanked after its retention: the handle itself was made of the user
	}
	return !c.verified || e.user == c.identity().UserID
}

// cached returns the session from the near cache where that may be trusted, or where
// it is tolerated because the store is known to be away.
func (t *Tracker) cached(h handle, local int64) *entry {
	e := t.cache.get(h)
	if e == nil || t.trusted(e, local) || t.down.Load() && t.tolerated(e, local) {
		return e
	}
	return nil
}

// miss reads the store. While the store is known to be away nobody waits for it.
func (t *Tracker) miss(r *http.Request, h handle, derived bool, c *carriers, fresh bool) (*entry, error) {
	id, key := c.identity(), handle{}
	if t.down.Load() {
		return nil, fmt.Errorf("%w: known to be away", ErrUnavailable)
	}
	var create *NewSession
	if derived {
		n := t.newSession(r, id.UserID, h)
		n.Session.Derived, n.IssuedAt, n.oneToken = true, id.IssuedAt, id.Key == "" && id.derived != handle{}
		if n.oneToken && !id.ExpiresAt.IsZero() {
			n.Session.CredentialUntil = id.ExpiresAt.Add(credentialLeeway).UTC().Truncate(time.Microsecond)
		}
		create = &n
	} else if key = c.refusalKey(h); t.unknown.has(key, t.clock.Local()) {
		return nil, ErrNotFound
	}
	e, err := t.fetch(r.Context(), h, create, fresh)
	if errors.Is(err, ErrNotFound) {
		t.refused(key)
	}
	if err == nil || fresh || errors.Is(err, ErrNotFound) || errors.Is(err, ErrLimit) {
		return e, err
	}
	if known := t.cache.get(h); known != nil && t.tolerated(known, t.clock.Local()) {
		return known, nil
	}
	return nil, err
}

// fetch reads the store: by itself where the answer must not be older than the
// question, else together with the other requests that miss this session.
func (t *Tracker) fetch(ctx context.Context, h handle, create *NewSession, fresh bool) (*entry, error) {
	if !fresh {
		return t.read(ctx, h, create, true)
	}
	ctx, cancel := t.requestContext(ctx)
	defer cancel()
	e, err := t.readStore(ctx, h, create)
	if err == nil {
		if end := e.ending.Load(); end != nil {
			t.cache.end(h, end) // what this process has answered once stays its answer
		}
	}
	return e, err
}

// credentialLeeway is added to a credential's end, because verifiers accept it that
// much longer at the most.
const credentialLeeway = time.Minute

// judge decides whether a session is good at a moment of the store's time. Before it
// is called idle the store is asked: another replica may have seen it since.
func (t *Tracker) judge(ctx context.Context, e *entry, now int64) (*entry, error) {
	reason := t.endedBy(e, now)
	if reason == ReasonIdle {
		fresh, err := t.reread(ctx, e)
		if err != nil {
			return e, err
		}
		e, reason = fresh, t.endedBy(fresh, now)
	}
	if reason != "" {
		return e, &EndedError{Reason: reason}
	}
	return e, nil
}

// endedBy returns why a session is not good at that moment, empty where it is. The
// limits hold whether or not the cleanup has run (OWASP ASVS 7.3).
func (t *Tracker) endedBy(e *entry, now int64) EndReason {
	if end := e.ending.Load(); end != nil {
		return end.reason
	}
	if e.expiresAt != 0 && now >= e.expiresAt {
		return ReasonLifetime
	}
	if idle := t.opts.IdleTimeout.Microseconds(); idle > 0 && now-e.last.Load() >= idle {
		return ReasonIdle
	}
	return ""
}

// reread gets a cached session anew, where it was read before this request.
func (t *Tracker) reread(ctx context.Context, e *entry) (*entry, error) {
	if t.down.Load() {
		return nil, fmt.Errorf("%w: known to be away", ErrUnavailable)
	}
	fresh, err := t.read(ctx, e.handle, nil, false)
	if errors.Is(err, ErrNotFound) {
		return e, nil // purged meanwhile: as idle as it was
	}
	return fresh, err
}

// requestContext is for calls of the store that a request waits for: they have their
// own timeout, and a client that goes away does not turn them into failures.
func (t *Tracker) requestContext(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), t.opts.StoreTimeout)
}

// writeContext is the same for calls that write several rows.
func (t *Tracker) writeContext(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), writePatience*t.opts.StoreTimeout)
}

// writePatience is how many StoreTimeouts such a call gets: 2 s by default, which is
// what the feed's overlap allows a transaction.
const writePatience = 4
