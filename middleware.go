package sessiontrack

import (
	"context"
	"net/http"
	"slices"
)

// tracked is the context of a request with a session: one allocation besides the copy of the
// request.
type tracked struct {
	context.Context
	entry *entry
	by    *door
	roles []string
	held  *heldTouch // nil but for requests that may count as no activity
}

type contextKey struct{}

// Value returns c itself for FromContext, the user for calls of the store that the request
// causes, and asks its parent for every other key.
func (c *tracked) Value(key any) any {
	switch key.(type) {
	case contextKey:
		return c
	case askerKey:
		return c.entry.user
	}
	return c.Context.Value(key)
}

// FromContext returns the session of a request that passed the middleware, and whether there is
// one. The Session is a value and may be kept. With the middlewares of several Trackers it is the
// session of the innermost one that found one. So wrap a handler in the [Tracker.Require] of the
// Tracker whose session it needs.
func FromContext(ctx context.Context) (Session, bool) {
	switch c := ctx.Value(contextKey{}).(type) {
	case *tracked:
		return c.entry.session(), true
	case *given:
		return c.session, true
	}
	return Session{}, false
}

// given is the context that NewContext makes.
type given struct {
	context.Context
	session Session
}

// Value returns c itself for FromContext and asks its parent for every other key.
func (c *given) Value(key any) any {
	if _, ok := key.(contextKey); ok {
		return c
	}
	return c.Context.Value(key)
}

// NewContext returns a context that [FromContext] finds s in: for routers whose requests are not
// those of net/http, for gRPC interceptors, and for tests. It authenticates nobody:
// [Tracker.Middleware], [Tracker.Require] and the handlers look at the request and not at it.
func NewContext(ctx context.Context, s Session) context.Context { return &given{ctx, s} }

// RolesFromContext returns the roles in the request's credential, as its Identifier returned them.
// The slice must not be modified.
func RolesFromContext(ctx context.Context) []string {
	if c, ok := ctx.Value(contextKey{}).(*tracked); ok {
		return c.roles
	}
	return nil
}

// refusedContext is the context of a request that was let pass without a good session.
type refusedContext struct {
	context.Context
	refusal Refusal
}

type refusalKey struct{}

// Value returns c itself for RefusalFromContext and asks its parent for every other key.
func (c *refusedContext) Value(key any) any {
	if _, ok := key.(refusalKey); ok {
		return c
	}
	return c.Context.Value(key)
}

// RefusalFromContext returns why a request has no session although it carried a credential, and
// whether it was refused at all. A request that [Options.SessionOptional] or
// [Options.InsecureFailOpen] lets pass has one: so a page can tell "signed out" from "cannot be
// checked at the moment" (Status 503).
func RefusalFromContext(ctx context.Context) (Refusal, bool) {
	c, ok := ctx.Value(refusalKey{}).(*refusedContext)
	if !ok {
		return Refusal{}, false
	}
	return c.refusal, true
}

// Middleware finds the session of each request before next runs. A request without a credential
// passes untracked. A request with an invalid credential gets 401, 403 or 503 (see the table in the
// package documentation) and does not reach next. The ResponseWriter is passed on unchanged, so
// streaming, hijacking and [http.ResponseController] work. A second layer of it around a handler
// does nothing. It panics if next is nil.
func (t *Tracker) Middleware(next http.Handler) http.Handler {
	mustHandler("Middleware", next)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if t.host.asks(t.opts.Skip, r) || t.door.knows(r) != nil {
			next.ServeHTTP(w, r)
			return
		}
		res, err := t.gate.resolve(r, false)
		if err != nil {
			t.door.pass(w, r, next, res, err)
			return
		}
		t.door.serve(w, r, next, &res)
	})
}

// Authenticate finds the session of a request and decides again whether it is good, behind the
// middleware too: for protocols that take over the connection, or hosts with a middleware of their
// own. It records the activity. Its errors are [ErrNoCredential], [ErrInvalidCredential],
// [ErrExpiredCredential], [EndedError], [ErrLimit] and [ErrUnavailable]; an unsafe cross-origin
// request whose session came by cookie is refused, too.
func (t *Tracker) Authenticate(r *http.Request) (Session, error) {
	res, err := t.gate.resolve(r, false)
	if err != nil {
		return Session{}, err
	}
	t.door.use(r, &res)
	return res.entry.session(), nil
}

// Refuse answers a request that one of the Tracker's methods has returned an error for, such as
// [Tracker.Authenticate] or [Tracker.EndCurrent]: through [Options.Refuse], as the middleware does.
// An error that says nothing of the request is 503.
func (t *Tracker) Refuse(w http.ResponseWriter, r *http.Request, err error) { t.door.refuse(w, r, err) }

// Require refuses requests without a session with 401. It works with and without the middleware.
func (t *Tracker) Require(next http.Handler) http.Handler {
	mustHandler("Require", next)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if t.door.knows(r) != nil {
			next.ServeHTTP(w, r)
			return
		}
		res, err := t.gate.resolve(r, false)
		if err != nil {
			t.door.refuse(w, r, err)
			return
		}
		t.door.serve(w, r, next, &res)
	})
}

// RequireRole refuses requests without a session with 401, and requests whose user has none of the
// roles with 403. It asks Options.Roles in each request; without it, it uses the roles of the
// verified credential. Names of roles are compared exactly.
func (t *Tracker) RequireRole(next http.Handler, roles ...string) http.Handler {
	mustHandler("RequireRole", next)
	return t.Require(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		has, err := t.door.roles(r.Context(), t.door.knows(r))
		switch {
		case err != nil:
			t.door.refuse(w, r, err)
		case !anyOf(has, roles):
			t.door.attempts.tell(r, problemForbidden)
			t.door.write(w, r, errForbidden)
		default:
			next.ServeHTTP(w, r)
		}
	}))
}

// mustHandler panics if there is no handler to wrap, as [http.ServeMux.Handle] does. So the mistake
// shows at the start and not in the first request.
func mustHandler(name string, next http.Handler) {
	if next == nil || isNil(next) {
		panic("sessiontrack: " + name + ": the handler is nil")
	}
}

func anyOf(has, wanted []string) bool {
	return slices.ContainsFunc(wanted, func(role string) bool { return role != "" && slices.Contains(has, role) })
}
