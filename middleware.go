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
	c, ok := ctx.Value(contextKey{}).(*tracked)
	if !ok {
		return Session{}, false
	}
	return c.entry.session(), true
}

// RolesFromContext returns the roles in the request's credential, as its Identifier returned them.
// The slice must not be modified.
func RolesFromContext(ctx context.Context) []string {
	if c, ok := ctx.Value(contextKey{}).(*tracked); ok {
		return c.roles
	}
	return nil
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
			problemForbidden.Write(w)
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
