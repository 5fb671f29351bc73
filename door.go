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
	"github.com/sessiontrack/sessiontrack/internal/storeclock"
)

// door is where a request comes in: it asks the gate for the request's session, records what
// the request did, and answers for those that may not pass.
type door struct {
	opts      *Options
	gate      *gate
	near      *near
	touches   *touches
	describer *describer
	host      *host
	clock     *storeclock.Clock
	cookies   cookies
	attempts  attempts
	passive   passivePaths
}

func (d *door) init(o *Options, g *gate) {
	d.opts, d.gate, d.near, d.describer, d.host, d.clock = o, g, g.near, g.describer, g.host, g.clock
	d.touches, d.cookies = g.near.touches, cookies{opts: o.Cookie, host: g.host}
}

// serve hands a request with a good session to next.
func (d *door) serve(w http.ResponseWriter, r *http.Request, next http.Handler, res *resolution) {
	caller := &tracked{Context: r.Context(), entry: res.entry, by: d, roles: res.roles}
	if mayStream(r) || saysPassive(r) || d.passive.has(r) {
		if caller.held = d.hold(r, res); caller.held != nil {
			defer caller.held.count()
		}
	} else {
		d.use(r, res)
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
func (d *door) pass(w http.ResponseWriter, r *http.Request, next http.Handler, res resolution, err error) {
	unavailable := false
	switch {
	case errors.Is(err, ErrNoCredential), errors.Is(err, errForeignHeader):
		next.ServeHTTP(w, r)
		return
	case errors.Is(err, errCrossOrigin), errors.Is(err, ErrLimit):
	case d.host.asks(d.opts.SessionOptional, r):
		// The cookie stays: the page may be public, and a shared cache must not keep an
		// answer that sets a cookie (RFC 9111 §7.3).
		passRefused(w, r, next, err)
		return
	default:
		unavailable = !refusal(err)
	}
	if unavailable && d.opts.InsecureFailOpen {
		d.host.count(countFailedOpen, 1)
		passRefused(w, r, next, err)
		return
	}
	if res.deadCookie && navigates(r) {
		d.cookies.clear(w)
	}
	d.refuse(w, r, err)
}

// passRefused hands next a request that has no good session, with the reason in the context.
func passRefused(w http.ResponseWriter, r *http.Request, next http.Handler, err error) {
	inner := r.WithContext(&refusedContext{r.Context(), refusalOf(problemOf(err), err)})
	defer handBack(r, inner)
	next.ServeHTTP(w, inner)
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
func (d *door) knows(r *http.Request) *tracked {
	for value := r.Context().Value(contextKey{}); value != nil; {
		switch c := value.(type) {
		case *tracked:
			if c.by == d {
				return c
			}
			value = c.Context.Value(contextKey{})
		case *given: // says who the user is, and authenticates nobody
			value = c.Context.Value(contextKey{})
		}
	}
	return nil
}

// use counts a request and records that it used its session.
func (d *door) use(r *http.Request, res *resolution) {
	d.near.cache.shard(res.entry.handle).requests.Add(1)
	if d.host.asks(d.opts.Passive, r) {
		d.see(r, res)
	} else {
		d.touch(r, res)
	}
}

// see records that a request which is no activity has shown that its session is there.
func (d *door) see(r *http.Request, res *resolution) {
	d.touches.see(r.Context(), res.entry, d.clock.At(res.local), false)
}

// touch records activity, and looks, once in TouchInterval, at what else may have changed.
func (d *door) touch(r *http.Request, res *resolution) {
	if d.touches.touch(r.Context(), res.entry, d.clock.At(res.local)) {
		d.describer.enqueueUpdate(r, res.entry, res.until)
	}
}

// caller is the request's session as the middleware found it, or found now where the
// middleware has not run. fresh asks the store regardless, for decisions that must
// not be stale (OWASP ASVS 8.3.2). A passive request is no activity.
func (d *door) caller(r *http.Request, fresh, passive bool) (*tracked, error) {
	known := d.knows(r)
	if known != nil && !fresh {
		return known, nil
	}
	res, err := d.gate.resolve(r, fresh)
	if err != nil {
		return nil, err
	}
	switch {
	case known != nil:
	case passive:
		d.see(r, &res)
	default:
		d.use(r, &res)
	}
	return &tracked{Context: r.Context(), entry: res.entry, by: d, roles: res.roles}, nil
}

// roles asks for a caller's roles anew, or takes those of the credential where there is
// nobody to ask.
func (d *door) roles(ctx context.Context, caller *tracked) ([]string, error) {
	if d.opts.Roles == nil {
		return caller.roles, nil
	}
	return d.host.rolesOf(ctx, caller.entry.user)
}

// refuse answers a request that has not reached a handler of this package. An attempt at an
// admin action is audited here (OWASP ASVS 16.3.2).
func (d *door) refuse(w http.ResponseWriter, r *http.Request, err error) {
	d.attempts.tell(r, problemOf(err))
	d.answerRefusal(w, r, err)
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
func (d *door) answerRefusal(w http.ResponseWriter, r *http.Request, err error) {
	if errors.Is(err, errCrossOrigin) {
		d.host.noticeCrossOrigin(r)
	}
	p := problemOf(err)
	if p.Status >= http.StatusInternalServerError {
		d.host.count(countUnavailable, 1)
		d.host.logOutage(r.Context(), err)
	} else {
		d.host.count(countRefused, 1)
	}
	d.write(w, r, err)
}

// write answers with what err means, through Options.Refuse where there is one. If that panics,
// the request gets the answer that it would have had without.
func (d *door) write(w http.ResponseWriter, r *http.Request, err error) {
	p := problemOf(err)
	if d.opts.Refuse == nil || !d.refusedByHost(w, r, refusalOf(p, err)) {
		p.Write(w)
	}
}

// refusedByHost calls Options.Refuse, and reports whether it returned.
func (d *door) refusedByHost(w http.ResponseWriter, r *http.Request, refusal Refusal) bool {
	aborted := false
	done := d.host.contain("Options.Refuse", func() {
		defer func() {
			p := recover()
			if aborted = p == http.ErrAbortHandler; p != nil && !aborted {
				panic(p)
			}
		}()
		d.opts.Refuse(w, r, refusal)
	})
	if aborted {
		panic(http.ErrAbortHandler)
	}
	return done
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
	see     func() // in its place, where the request is no activity
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
func (d *door) hold(r *http.Request, res *resolution) *heldTouch {
	d.near.cache.shard(res.entry.handle).requests.Add(1)
	if d.host.asks(d.opts.Passive, r) {
		d.see(r, res)
		return nil
	}
	seen, kept := r.Clone(r.Context()), *res // the handler may change what it is given
	h := &heldTouch{touch: func() { d.touch(seen, &kept) }, see: func() { d.see(seen, &kept) }}
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
	if h.decided.CompareAndSwap(false, true) {
		h.see()
	}
}

// saysPassive reports whether a request asks not to count as activity.
func saysPassive(r *http.Request) bool {
	values := r.Header[passiveHeader]
	return len(values) == 1 && values[0] == "true" && (r.Method == http.MethodGet || r.Method == http.MethodHead)
}

// passivePaths are the paths of our own handlers whose requests are no activity.
type passivePaths struct {
	paths atomic.Pointer[[]string]
}

func (p *passivePaths) add(path string) {
	for {
		old := p.paths.Load()
		all := []string{path}
		if old != nil {
			all = append(all, *old...)
		}
		if p.paths.CompareAndSwap(old, &all) {
			return
		}
	}
}

// has reports whether a request is for one of them. Its handler then drops the activity.
func (p *passivePaths) has(r *http.Request) bool {
	all := p.paths.Load()
	return all != nil && (r.Method == http.MethodGet || r.Method == http.MethodHead) && slices.Contains(*all, r.URL.Path)
}

// cookies sets and clears the session cookie.
type cookies struct {
	opts *CookieOptions // nil for none
	host *host
}

// maxCookieAge is how long browsers keep a cookie at most (draft-ietf-httpbis-rfc6265bis §5.5).
const maxCookieAge = 400 * 24 * time.Hour

// set sets the cookie of a session: a remembered one lasts as long as the session can.
func (c *cookies) set(w http.ResponseWriter, r *http.Request, token Token, s *Session) {
	if c.opts == nil {
		return
	}
	dropCookie(w.Header(), c.opts.Name)
	line := c.cookie(token.Reveal())
	if line.Secure {
		c.host.noticePlainCookie(r)
	}
	age := c.opts.MaxAge
	if s.Remember {
		age = maxCookieAge
	}
	if age > 0 && !s.ExpiresAt.IsZero() {
		age = min(age, s.ExpiresAt.Sub(latestOf(s.LoginAt, s.AuthenticatedAt)))
	}
	line.MaxAge = int(age / time.Second)
	http.SetCookie(w, line)
}

func (c *cookies) clear(w http.ResponseWriter) {
	if c.opts == nil {
		return
	}
	dropCookie(w.Header(), c.opts.Name)
	line := c.cookie("")
	line.MaxAge = -1
	http.SetCookie(w, line)
}

// dropCookie removes earlier Set-Cookie lines for a cookie: an answer sets each name at most once
// (RFC 6265 §4.1.1).
func dropCookie(h http.Header, name string) {
	if lines := h["Set-Cookie"]; len(lines) > 0 {
		h["Set-Cookie"] = slices.DeleteFunc(lines, func(line string) bool { return strings.HasPrefix(line, name+"=") })
	}
}

func (c *cookies) cookie(value string) *http.Cookie {
	o := c.opts
	return &http.Cookie{Name: o.Name, Value: value, Path: "/", Secure: !o.InsecureHTTP, HttpOnly: true,
		SameSite: o.SameSite}
}
