package sessiontrack

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	codec "github.com/sessiontrack/sessiontrack/internal/handle"
	"github.com/sessiontrack/sessiontrack/internal/problem"
	"github.com/sessiontrack/sessiontrack/internal/query"
)

// family is a set of endpoints below one prefix. AdminHandler and UserHandler share it.
type family struct {
	t         *Tracker
	prefix    string // in escaped form; begins and ends with a slash
	endpoints []endpoint
	origins   []string // other sites whose pages may open a WebSocket
	authorize func(*call) error
}

// endpoint is one path of a family with its one method. If two match a path, the first wins.
type endpoint struct {
	name   string // for UserOptions.Authorize
	method string // GET also covers HEAD
	path   []string
	query  []string // the parameters that it knows
	// fresh reads the caller's session from the store. A decision about a role, and every change,
	// must not rest on a cached session (OWASP ASVS 8.3.2).
	fresh  bool
	admin  bool
	action string // AdminAction.Action if attempts are audited, else empty
	reason EndReason
	// passive says that a GET is no activity, whatever it says of itself.
	passive bool
	stream  bool // a stream of events: the endpoint authorizes and answers itself
	serve   func(*call) (any, error)
}

// anyID matches one segment of a path with any content except none.
const anyID = "{id}"

// maxSegments is more than the number of segments of any endpoint's path.
const maxSegments = 4

// call is one request to an endpoint.
type call struct {
	w        http.ResponseWriter
	r        *http.Request
	endpoint *endpoint
	id       string        // unescaped once; any bytes until checkID has looked
	query    *query.Values // of parameters that the endpoint knows, each once
	caller   *tracked
	until    time.Time // for a stream: the credential's expiry
	roles    *[]string // the caller's roles, after they have been asked for
	action   AdminAction
	target   string // the user whose session the path names, once it is known
	recorded bool   // the audit trail has the record of the call
}

// ServeHTTP answers a request. First come the refusals that need no caller: 404, 405, and 403 for
// another site. Then it identifies the caller, authorizes the call, and runs the endpoint.
func (f *family) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	e, id := f.find(r.URL)
	if e == nil {
		problemNotFound.Write(w)
		return
	}
	if allow, ok := e.allows(r.Method); !ok {
		w.Header().Set("Allow", allow)
		problemMethod.Write(w)
		return
	}
	c := &call{w: w, r: r, endpoint: e, id: id}
	body, err := f.answer(c)
	if c.endpoint.action != "" {
		err = f.audit(c, err)
	}
	if err != nil {
		f.fail(c, err)
		return
	}
	if _, written := body.(served); !written {
		writeJSON(w, body)
	}
}

// find returns the first endpoint that matches a path, and the id in the path. It splits the
// escaped path, so that an id cannot contain a slash.
func (f *family) find(u *url.URL) (*endpoint, string) {
	path, below := strings.CutPrefix(u.EscapedPath(), f.prefix)
	if !below {
		path = strings.TrimPrefix(path, "/")
	}
	segments := strings.SplitN(path, "/", maxSegments+1)
	for i, segment := range segments {
		var err error
		if segments[i], err = url.PathUnescape(segment); err != nil {
			return nil, ""
		}
	}
	for i := range f.endpoints {
		if id, ok := f.endpoints[i].matches(segments); ok {
			return &f.endpoints[i], id
		}
	}
	return nil, ""
}

func (e *endpoint) matches(segments []string) (id string, ok bool) {
	if len(segments) != len(e.path) {
		return "", false
	}
	for i, want := range e.path {
		switch {
		case want == anyID && segments[i] != "":
			id = segments[i]
		case want != segments[i]:
			return "", false
		}
	}
	return id, true
}

// allows reports whether the endpoint accepts a method, and which methods it accepts.
func (e *endpoint) allows(method string) (allow string, ok bool) {
	if e.method == http.MethodGet {
		return "GET, HEAD", method == http.MethodGet || method == http.MethodHead
	}
	return e.method, method == e.method
}

// answer authorizes a call and runs it.
func (f *family) answer(c *call) (any, error) {
	if f.fromAnotherSite(c) {
		return nil, errCrossOrigin
	}
	var err error
	if c.endpoint.stream {
		return f.open(c)
	}
	if c.caller, err = f.t.door.caller(c.r, c.endpoint.fresh, f.takesPassive(c)); err != nil {
		return nil, err
	}
	c.r = c.r.WithContext(c.caller)
	if err := f.authorize(c); err != nil {
		return nil, err
	}
	if err := c.checkID(); err != nil {
		return nil, err
	}
	if err := c.checkQuery(); err != nil {
		return nil, err
	}
	return c.endpoint.serve(c)
}

// fromAnotherSite reports a request that a page of another site sends. One decision holds
// for what changes something and for a WebSocket, which browsers hold to no same-origin
// policy and send cookies with, so that the server must (RFC 6455 §10.2, OWASP ASVS 4.4.2).
// Clients that are no browsers send neither Origin nor Sec-Fetch-Site.
func (f *family) fromAnotherSite(c *call) bool {
	r := c.r
	if c.endpoint.stream && isWebSocket(r) {
		given := r.Header.Values("Origin")
		if len(given) > 1 {
			return true
		}
		if len(given) == 1 && slices.Contains(f.origins, given[0]) {
			return false
		}
		r = r.WithContext(r.Context())
		r.Method = http.MethodPost // a GET would pass as one that changes nothing
	}
	return f.t.gate.crossOrigin.Check(r) != nil
}

// takesPassive reports whether a request is to count as no activity, and says so to the
// middleware.
func (f *family) takesPassive(c *call) bool {
	if !c.endpoint.passive && (c.endpoint.method != http.MethodGet || !saysPassive(c.r)) {
		return false
	}
	f.drop(c)
	return true
}

// drop takes back the activity that the middleware holds for the request.
func (f *family) drop(c *call) {
	if known := f.t.door.knows(c.r); known != nil && known.held != nil {
		known.held.drop()
	}
}

// open begins a stream, which is no activity.
func (f *family) open(c *call) (_ any, err error) {
	f.drop(c)
	if c.caller, c.until, err = f.streamCaller(c.r); err != nil {
		return nil, err
	}
	c.r = c.r.WithContext(c.caller)
	if err := c.checkQuery(); err != nil {
		return nil, err
	}
	return c.endpoint.serve(c)
}

// register has the Tracker audit the attempts at admin actions of f that are refused in
// front of it, and hold the activity of its passive endpoints.
func (f *family) register() {
	for _, e := range f.endpoints {
		if e.passive {
			f.t.door.passive.add(f.prefix + strings.Join(e.path, "/"))
		}
	}
	for {
		old := f.t.door.attempts.audits.Load()
		var all []func(*http.Request, problem.Problem) bool
		if old != nil {
			all = slices.Clone(*old)
		}
		all = append(all, f.refusedBefore)
		if f.t.door.attempts.audits.CompareAndSwap(old, &all) {
			return
		}
	}
}

// refusedBefore audits a request that a middleware of the Tracker refuses, and reports
// whether it was an attempt at an admin action of this family. Only paths below the prefix
// are known to be the family's.
func (f *family) refusedBefore(r *http.Request, p problem.Problem) bool {
	if !strings.HasPrefix(r.URL.EscapedPath(), f.prefix) {
		return false
	}
	e, id := f.find(r.URL)
	if e == nil || e.action == "" || e.method != r.Method {
		return false
	}
	_ = f.audit(&call{r: r, endpoint: e, id: id}, &problemError{p})
	return true
}

// fail writes the answer for an error.
func (f *family) fail(c *call, err error) {
	var refused *problemError
	var wrong *query.Mistake
	switch {
	case errors.Is(err, errForbidden):
		f.t.door.write(c.w, c.r, err)
	case errors.As(err, &refused):
		refused.Problem.Write(c.w)
	case errors.As(err, &wrong):
		problem.BadRequest(wrong.Detail).Write(c.w)
	case errors.Is(err, ErrNotFound):
		problemNotFound.Write(c.w)
	default:
		f.t.door.answerRefusal(c.w, c.r, err)
	}
}

// audit records an attempt at an admin action and its outcome (OWASP ASVS 16.3.2): in the trail, the
// log and for the observer. It returns the error to answer with: what cannot be recorded is not
// acknowledged.
func (f *family) audit(c *call, err error) error {
	if failed := f.keep(c, err); err == nil {
		err = failed
	}
	a := f.attempt(c)
	if err != nil || a.Outcome == "" {
		a.Outcome = outcomeOf(err)
	}
	f.t.host.audit(c.r.Context(), a)
	return err
}

// attempt describes an attempt at an admin action. From the path it takes only ids that could be
// valid.
func (f *family) attempt(c *call) AdminAction {
	a := c.action
	a.Action = c.endpoint.action
	if a.Reason == "" {
		a.Reason = c.endpoint.reason
	}
	if c.caller != nil {
		a.Actor, a.ActorSession = c.caller.entry.user, c.caller.entry.handle.id()
	}
	switch c.endpoint.action {
	case actionForceLogout:
		if _, ok := parseHandle(c.id); ok {
			a.TargetSession = SessionID(c.id)
		}
	case actionForceLogoutUser:
		// A token that was pasted as a user id is a secret, so it is not recorded.
		if _, secret := codec.ParseProof(c.id); !secret && validUserID(c.id) {
			a.TargetUser = c.id
		}
	}
	return a
}

func outcomeOf(err error) string {
	if err == nil {
		return outcomeDone
	}
	switch problemOf(err).Status {
	case http.StatusUnauthorized:
		return outcomeUnauthenticated
	case http.StatusForbidden:
		return outcomeForbidden
	case http.StatusNotFound:
		return outcomeNotFound
	}
	return outcomeFailed
}

// rolesOf returns the caller's roles. It asks for them once per call.
func (f *family) rolesOf(c *call) ([]string, error) {
	if c.roles == nil {
		roles, err := f.t.door.roles(c.r.Context(), c.caller)
		if err != nil {
			return nil, err
		}
		c.roles = &roles
	}
	return *c.roles, nil
}

// needRole refuses a caller without any of the roles.
func (f *family) needRole(c *call, roles []string) error {
	has, err := f.rolesOf(c)
	if err != nil {
		return err
	}
	if !anyOf(has, roles) {
		return errForbidden
	}
	return nil
}

// mustHold panics with the first rule that does not hold: invalid options of a handler are a
// mistake in the program.
func mustHold(options string, needs []need) {
	for _, n := range needs {
		if !n.holds {
			panic(fmt.Sprintf("sessiontrack: %s.%s is %v: want %s", options, n.field, n.value, n.bound))
		}
	}
}

// mustPrefix returns a Prefix option in the escaped form that requests are compared with, or
// panics.
func mustPrefix(field, prefix, byDefault string) string {
	if prefix == "" {
		prefix = byDefault
	}
	if !plainPath(prefix) || !strings.HasSuffix(prefix, "/") {
		panic(fmt.Sprintf("sessiontrack: %s is %q: want a path that begins and ends with a slash", field, prefix))
	}
	return (&url.URL{Path: prefix}).EscapedPath()
}

// mustRoles returns a copy of a list of roles, or the default where it is nil.
func mustRoles(field string, roles []string, byDefault ...string) []string {
	if roles == nil {
		return byDefault
	}
	if slices.Contains(roles, "") {
		panic(fmt.Sprintf("sessiontrack: %s has an empty role: want names of roles", field))
	}
	return slices.Clone(roles)
}
