package sessiontrack

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
)

// tracked is the context of a request whose session is known: one allocation beside
// the request's own copy.
type tracked struct {
	context.Context
	entry *entry
	by    *Tracker
	roles []string
}

type contextKey struct{}

// Value gives itself to FromContext and asks its parent for everything else.
func (c *tracked) Value(key any) any {
	if _, ok := key.(contextKey); ok {
		return c
	}
	return c.Context.Value(key)
}

// FromContext returns the session of a request that passed the middleware, and
// whether there is one. The Session is a value: safe to keep. Where several Trackers'
// middlewares lie around each other it is that of the innermost one that found any:
// wrap a handler in the [Tracker.Require] of the Tracker whose session it needs.
func FromContext(ctx context.Context) (Session, bool) {
	c, ok := ctx.Value(contextKey{}).(*tracked)
	if !ok {
		return Session{}, false
	}
	return c.entry.session(), true
}

// RolesFromContext returns the roles that the request's credential grants, as its
// Identifier told them. The slice must not be modified.
func RolesFromContext(ctx context.Context) []string {
	if c, ok := ctx.Value(contextKey{}).(*tracked); ok {
		return c.roles
	}
	return nil
}

// Middleware finds the session of each request before next sees it. A request
// without a credential passes untracked; one whose credential is not good is
// answered with 401, 403 or 503 (see the table in the package documentation) and
// never reaches next. The ResponseWriter is handed on as it came, so that streaming,
// hijacking and [http.ResponseController] keep working. Put around a handler twice, it
// does its work once. It panics where next is nil.
func (t *Tracker) Middleware(next http.Handler) http.Handler {
	mustHandler("Middleware", next)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if t.host.asks(t.opts.Skip, r) || t.knows(r) != nil {
			next.ServeHTTP(w, r)
			return
		}
		res, err := t.gate.resolve(r, false)
		if err != nil {
			t.pass(w, r, next, res, err)
			return
		}
		t.use(r, &res)
		next.ServeHTTP(w, r.WithContext(&tracked{r.Context(), res.entry, t, res.roles}))
	})
}

// pass decides about a request without a good session: it passes untracked, or it is
// refused.
func (t *Tracker) pass(w http.ResponseWriter, r *http.Request, next http.Handler, res resolution, err error) {
	unavailable := false
	switch {
	case errors.Is(err, ErrNoCredential):
		next.ServeHTTP(w, r)
		return
	case errors.Is(err, errCrossOrigin), errors.Is(err, ErrLimit):
	case t.host.asks(t.opts.SessionOptional, r):
		// The cookie stays: the page may be public, and a shared cache must not keep an
		// answer that sets a cookie (RFC 9111 §7.3).
		next.ServeHTTP(w, r)
		return
	default:
		unavailable = !refusal(err)
	}
	if unavailable && t.opts.InsecureFailOpen {
		t.host.count(countFailedOpen, 1)
		next.ServeHTTP(w, r)
		return
	}
	if res.deadCookie && navigates(r) {
		t.clearCookie(w)
	}
	t.refuse(w, r, err)
}

// navigates reports whether a browser asks for a page. Only then may a refusal clear the
// cookie: the answer of a request that a page sends in the background may come after the
// user has signed in again, and would take the new cookie away.
func navigates(r *http.Request) bool {
	if mode := r.Header.Get("Sec-Fetch-Mode"); mode != "" {
		return mode == "navigate"
	}
	return r.Method == http.MethodGet && strings.Contains(r.Header.Get("Accept"), "text/html")
}

// refusal reports whether an error says something about the credential, in place of
// saying that nothing can be said.
func refusal(err error) bool {
	return errors.Is(err, ErrInvalidCredential) || errors.Is(err, ErrEnded)
}

// knows returns what this Tracker's middleware has put into the context.
func (t *Tracker) knows(r *http.Request) *tracked {
	if c, ok := r.Context().Value(contextKey{}).(*tracked); ok && c.by == t {
		return c
	}
	return nil
}

// use records that a request used its session, and looks, once in TouchInterval, at
// what else may have changed.
func (t *Tracker) use(r *http.Request, res *resolution) {
	t.near.cache.shard(res.entry.handle).requests.Add(1)
	if opensStream(r) || t.host.asks(t.opts.Passive, r) {
		return
	}
	if t.touches.touch(r.Context(), res.entry, t.clock.At(res.local)) {
		t.describer.enqueueUpdate(r, res.entry, res.until)
	}
}

// Authenticate finds the session of a request and decides again whether it is good, behind
// the middleware too: for protocols that take over the connection, or hosts with a
// middleware of their own. It records the activity. Its errors are [ErrNoCredential], [ErrInvalidCredential],
// [ErrExpiredCredential], [EndedError], [ErrLimit] and [ErrUnavailable]; an unsafe
// cross-origin request whose session came by cookie is refused, too.
func (t *Tracker) Authenticate(r *http.Request) (Session, error) {
	res, err := t.gate.resolve(r, false)
	if err != nil {
		return Session{}, err
	}
	t.use(r, &res)
	return res.entry.session(), nil
}

// caller is the request's session as the middleware found it, or found now where the
// middleware has not run. fresh asks the store regardless, for decisions that must
// not be stale (OWASP ASVS 8.3.2).
func (t *Tracker) caller(r *http.Request, fresh bool) (*tracked, error) {
	known := t.knows(r)
	if known != nil && !fresh {
		return known, nil
	}
	res, err := t.gate.resolve(r, fresh)
	if err != nil {
		return nil, err
	}
	if known == nil {
		t.use(r, &res)
	}
	return &tracked{r.Context(), res.entry, t, res.roles}, nil
}

// Require refuses requests without a session: 401. It works behind the middleware
// and without it.
func (t *Tracker) Require(next http.Handler) http.Handler {
	mustHandler("Require", next)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if t.knows(r) != nil {
			next.ServeHTTP(w, r)
			return
		}
		caller, err := t.caller(r, false)
		if err != nil {
			t.refuse(w, r, err)
			return
		}
		next.ServeHTTP(w, r.WithContext(caller))
	})
}

// RequireRole refuses requests without a session, 401, and those whose user has none
// of the roles, 403. Roles are asked anew of Options.Roles; without it those of the
// verified credential hold. Names of roles are compared exactly.
func (t *Tracker) RequireRole(next http.Handler, roles ...string) http.Handler {
	mustHandler("RequireRole", next)
	return t.Require(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		has, err := t.roles(r.Context(), t.knows(r))
		switch {
		case err != nil:
			t.refuse(w, r, err)
		case !anyOf(has, roles):
			problemForbidden.Write(w)
		default:
			next.ServeHTTP(w, r)
		}
	}))
}

// roles asks for a caller's roles anew, or takes those of the credential where there is
// nobody to ask.
func (t *Tracker) roles(ctx context.Context, caller *tracked) ([]string, error) {
	if t.opts.Roles == nil {
		return caller.roles, nil
	}
	return t.host.rolesOf(ctx, caller.entry.user)
}

// mustHandler panics where there is no handler to wrap, as [http.ServeMux.Handle] does:
// at the start, and not at the first request.
func mustHandler(name string, next http.Handler) {
	if next == nil || isNil(next) {
		panic("sessiontrack: " + name + ": the handler is nil")
	}
}

func anyOf(has, wanted []string) bool {
	return slices.ContainsFunc(wanted, func(role string) bool { return role != "" && slices.Contains(has, role) })
}

// opensStream reports whether a request is for a stream of events.
func opensStream(r *http.Request) bool {
	return strings.HasSuffix(r.URL.Path, "/events") && r.Method == http.MethodGet &&
		(isWebSocket(r) || strings.Contains(r.Header.Get("Accept"), "text/event-stream"))
}

func isWebSocket(r *http.Request) bool {
	return strings.EqualFold(r.Header.Get("Upgrade"), "websocket")
}

// refuse answers with what err means and counts it; the log gets what the client
// does not.
func (t *Tracker) refuse(w http.ResponseWriter, r *http.Request, err error) {
	p := problemOf(err)
	if p.Status >= http.StatusInternalServerError {
		t.host.count(countUnavailable, 1)
		t.host.logOutage(r.Context(), err)
	} else {
		t.host.count(countRefused, 1)
	}
	p.Write(w)
}
