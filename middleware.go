package sessiontrack

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/sessiontrack/sessiontrack/internal/problem"
)

// tracked is the context of a request with a session: one allocation besides the copy of the
// request.
type tracked struct {
	context.Context
	entry *entry
	by    *Tracker
	roles []string
	held  *heldTouch // nil but for requests that may count as no activity
}

type contextKey struct{}

// Value returns c itself for FromContext and asks its parent for every other key.
func (c *tracked) Value(key any) any {
	if _, ok := key.(contextKey); ok {
		return c
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
		if t.host.asks(t.opts.Skip, r) || t.knows(r) != nil {
			next.ServeHTTP(w, r)
			return
		}
		res, err := t.gate.resolve(r, false)
		if err != nil {
			t.pass(w, r, next, res, err)
			return
		}
		t.serve(w, r, next, &res)
	})
}

// serve hands a request with a good session to next.
func (t *Tracker) serve(w http.ResponseWriter, r *http.Request, next http.Handler, res *resolution) {
	caller := &tracked{Context: r.Context(), entry: res.entry, by: t, roles: res.roles}
	if mayStream(r) || saysPassive(r) {
		if caller.held = t.hold(r, res); caller.held != nil {
			defer caller.held.count()
		}
	} else {
		t.use(r, res)
	}
	inner := r.WithContext(caller)
	defer handBack(r, inner)
	next.ServeHTTP(w, inner)
}

// handBack gives the outer request what handlers have written into its copy: net/http
// removes the temporary files of the MultipartForm of the request that it made, and
// middlewares further out read the Pattern that a mux has set. It writes nothing where they
// have written nothing: a host may hand one request to several goroutines.
func handBack(outer, inner *http.Request) {
	if inner.Form != nil || outer.Form != nil {
		outer.Form, outer.PostForm = inner.Form, inner.PostForm
	}
	if outer.MultipartForm != inner.MultipartForm {
		outer.MultipartForm = inner.MultipartForm
	}
	if outer.Pattern != inner.Pattern {
		outer.Pattern = inner.Pattern
	}
}

// pass handles a request without a good session: it passes untracked or is refused.
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

// refusal reports whether an error says something about the credential. Other errors mean that the
// credential could not be checked.
func refusal(err error) bool {
	return errors.Is(err, ErrInvalidCredential) || errors.Is(err, ErrEnded)
}

// knows returns what this Tracker's middleware has put into the context. The middlewares
// of other Trackers may lie between.
func (t *Tracker) knows(r *http.Request) *tracked {
	c, _ := r.Context().Value(contextKey{}).(*tracked)
	for c != nil && c.by != t {
		c, _ = c.Context.Value(contextKey{}).(*tracked)
	}
	return c
}

// use counts a request and records that it used its session.
func (t *Tracker) use(r *http.Request, res *resolution) {
	t.near.cache.shard(res.entry.handle).requests.Add(1)
	if !t.host.asks(t.opts.Passive, r) {
		t.touch(r, res)
	}
}

// touch records activity, and looks, once in TouchInterval, at what else may have changed.
func (t *Tracker) touch(r *http.Request, res *resolution) {
	if t.touches.touch(r.Context(), res.entry, t.clock.At(res.local)) {
		t.describer.enqueueUpdate(r, res.entry, res.until)
	}
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
	t.use(r, &res)
	return res.entry.session(), nil
}

// caller is the request's session as the middleware found it, or found now where the
// middleware has not run. fresh asks the store regardless, for decisions that must
// not be stale (OWASP ASVS 8.3.2). A passive request is no activity.
func (t *Tracker) caller(r *http.Request, fresh, passive bool) (*tracked, error) {
	known := t.knows(r)
	if known != nil && !fresh {
		return known, nil
	}
	res, err := t.gate.resolve(r, fresh)
	if err != nil {
		return nil, err
	}
	if known == nil && !passive {
		t.use(r, &res)
	}
	return &tracked{Context: r.Context(), entry: res.entry, by: t, roles: res.roles}, nil
}

// Require refuses requests without a session with 401. It works with and without the middleware.
func (t *Tracker) Require(next http.Handler) http.Handler {
	mustHandler("Require", next)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if t.knows(r) != nil {
			next.ServeHTTP(w, r)
			return
		}
		res, err := t.gate.resolve(r, false)
		if err != nil {
			t.refuse(w, r, err)
			return
		}
		t.serve(w, r, next, &res)
	})
}

// RequireRole refuses requests without a session with 401, and requests whose user has none of the
// roles with 403. It asks Options.Roles in each request; without it, it uses the roles of the
// verified credential. Names of roles are compared exactly.
func (t *Tracker) RequireRole(next http.Handler, roles ...string) http.Handler {
	mustHandler("RequireRole", next)
	return t.Require(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		has, err := t.roles(r.Context(), t.knows(r))
		switch {
		case err != nil:
			t.refuse(w, r, err)
		case !anyOf(has, roles):
			t.attempts.tell(r, problemForbidden)
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

// refuse answers a request that has not reached a handler of this package. An attempt at an
// admin action is audited here (OWASP ASVS 16.3.2).
func (t *Tracker) refuse(w http.ResponseWriter, r *http.Request, err error) {
	t.attempts.tell(r, problemOf(err))
	t.answerRefusal(w, r, err)
}

// attempts are the functions that audit attempts at admin actions which are refused in front
// of the handlers; see family.refusedBefore.
type attempts struct {
	audits atomic.Pointer[[]func(*http.Request, problem.Problem) bool]
}

// tell has an attempt audited once.
func (a *attempts) tell(r *http.Request, p problem.Problem) {
	all := a.audits.Load()
	if all == nil {
		return
	}
	for _, audits := range *all {
		if audits(r, p) {
			return
		}
	}
}

// answerRefusal answers with what err means and counts it; the log gets what the client does
// not.
func (t *Tracker) answerRefusal(w http.ResponseWriter, r *http.Request, err error) {
	if errors.Is(err, errCrossOrigin) {
		t.host.noticeCrossOrigin(r)
	}
	p := problemOf(err)
	if p.Status >= http.StatusInternalServerError {
		t.host.count(countUnavailable, 1)
		t.host.logOutage(r.Context(), err)
	} else {
		t.host.count(countRefused, 1)
	}
	p.Write(w)
}

// holdFor is how long the activity of a request that may open one of our streams is held.
const holdFor = time.Second

// heldTouch is the activity of a request that may open one of our streams. Opening a
// stream is no activity, or a client that connects again and again would keep a session
// alive that nobody uses. Only the handler knows whose stream it is, so the activity is
// counted once holdFor has passed or the handler has returned, unless the handler has
// dropped it before.
type heldTouch struct {
	decided atomic.Bool
	timer   *time.Timer
	touch   func()
}

// mayStream reports whether a request asks for a stream, of ours or of the application.
func mayStream(r *http.Request) bool {
	if r.Method != http.MethodGet {
		return false
	}
	if accept := r.Header["Accept"]; len(accept) > 0 && strings.Contains(accept[0], "text/event-stream") {
		return true
	}
	return isWebSocket(r)
}

// hold counts a request, and holds its activity. It returns nil where there is none.
func (t *Tracker) hold(r *http.Request, res *resolution) *heldTouch {
	t.near.cache.shard(res.entry.handle).requests.Add(1)
	if t.host.asks(t.opts.Passive, r) {
		return nil
	}
	seen, kept := r.Clone(r.Context()), *res // the handler may change what it is given
	h := &heldTouch{touch: func() { t.touch(seen, &kept) }}
	h.timer = time.AfterFunc(holdFor, h.decide)
	return h
}

// count counts the activity now.
func (h *heldTouch) count() {
	h.timer.Stop()
	h.decide()
}

func (h *heldTouch) decide() {
	if h.decided.CompareAndSwap(false, true) {
		h.touch()
	}
}

// drop says that the request is no activity. It comes too late after holdFor.
func (h *heldTouch) drop() {
	h.timer.Stop()
	h.decided.Store(true)
}

// passiveHeader marks a GET that a page sends by a timer and no person caused. Only this
// package's own handlers honour it: a stolen session that could say so anywhere would use
// the application without a trace of activity. A script of another site cannot send it.
const passiveHeader = "X-Session-Passive"

// saysPassive reports whether a request asks not to count as activity.
func saysPassive(r *http.Request) bool {
	values := r.Header[passiveHeader]
	return len(values) == 1 && values[0] == "true" && (r.Method == http.MethodGet || r.Method == http.MethodHead)
}
