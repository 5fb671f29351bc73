package sessiontrack

import (
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"
)

// Login makes a session for a user whom the application has just authenticated. Hand
// token.Reveal() to the client, or let Options.Cookie do it; the session's ID goes
// into a JWT as its sid claim. The session that the request itself proved, whoever's
// it was, ends as [ReasonReplacement] in the same step (OWASP ASVS 7.2.4); nothing that
// the client sent becomes part of the new one. The answer is marked no-store.
//
// A sign-in carries no session yet, so the cross-origin check of session cookies does not
// cover it. Where Options.Cookie is set, put the handler behind
// [http.CrossOriginProtection], or another site can sign a browser in as somebody else.
//
// It returns [ErrLimit] where Options.MaxSessions denies another session; then nothing
// has changed. With [ErrUnavailable] nothing is acknowledged, but a store whose answer was
// lost may have done it: a session that nobody has the token of then counts towards
// MaxSessions until one of its limits ends it.
func (t *Tracker) Login(w http.ResponseWriter, r *http.Request, userID string) (Session, Token, error) {
	if !validUserID(userID) {
		return Session{}, Token{}, wrapped("Login", mistake(
			"the user id has %d bytes: want 1 to %d of valid UTF-8 without control characters", len(userID), maxUserID))
	}
	token := newToken()
	n, p := t.describer.newSession(r, userID, token.handle), token.proof()
	n.SecretHash = p.Hash()
	n.Replaces = t.proved(r)
	before := t.clock.Local()
	generation := t.near.cache.generation(token.handle)
	created, err := t.backend.create(detached(r.Context()), n)
	if err != nil {
		return Session{}, Token{}, wrapped("Login", err)
	}
	t.created(r.Context(), &n, created)
	e, ok := newEntry(&Record{Session: created.Session, SecretHash: n.SecretHash}, before)
	if ok && t.life.Running() {
		t.near.cache.put(e, generation)
	}
	w.Header().Set("Cache-Control", "no-store")
	t.setCookie(w, r, token)
	return created.Session, token, nil
}

// proved returns the handle of the live session that a request proved to be its own.
func (t *Tracker) proved(r *http.Request) SessionID {
	if known := t.knows(r); known != nil {
		return known.entry.handle.id()
	}
	res, err := t.gate.resolve(r, false)
	if err != nil {
		return ""
	}
	return res.entry.handle.id()
}

// Logout is a handler that ends the caller's session, clears the cookie and answers
// 204; also where there is no session to end, or one that has ended. It works behind the
// middleware and without it; the middleware refuses a session that has ended first,
// unless Options.SessionOptional names the path. Safe methods get 405 wherever it
// is mounted: a link or a picture of another site must sign nobody out (RFC 9110 §9.2.1,
// OWASP ASVS 3.5.3).
func (t *Tracker) Logout(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	switch r.Method {
	case "", http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace:
		w.Header().Set("Allow", http.MethodPost)
		problemMethod.Write(w)
		return
	}
	e, dead, err := t.leaving(r)
	if err == nil && dead && t.opts.Cookie != nil && t.gate.crossOrigin.Check(r) != nil {
		err = errCrossOrigin // a form of another site comes without the cookie, and could still have it cleared
	}
	if err == nil && e != nil && e.ending.Load() == nil {
		_, err = t.end(r.Context(), IDs(e.handle.id()), Ending{Reason: ReasonLogout, Actor: e.user})
	}
	if err != nil {
		t.refuse(w, r, err)
		return
	}
	t.clearCookie(w)
	w.WriteHeader(http.StatusNoContent)
}

// leaving returns the session that a request proved to be its own, nil for none, and
// whether it is no good any more. One that is past a limit of time may yet have to be
// ended: to another replica it may be good.
func (t *Tracker) leaving(r *http.Request) (e *entry, dead bool, err error) {
	if known := t.knows(r); known != nil {
		return known.entry, false, nil
	}
	res, err := t.gate.resolve(r, false)
	switch {
	case errors.Is(err, ErrNoCredential):
		return nil, true, nil
	case errors.Is(err, ErrEnded):
		return res.entry, true, nil
	}
	return res.entry, false, err
}

func (t *Tracker) setCookie(w http.ResponseWriter, r *http.Request, token Token) {
	if t.opts.Cookie == nil {
		return
	}
	dropCookie(w.Header(), t.opts.Cookie.Name)
	c := t.cookie(token.Reveal())
	if c.Secure {
		t.host.noticePlainCookie(r)
	}
	c.MaxAge = int(t.opts.Cookie.MaxAge / time.Second)
	http.SetCookie(w, c)
}

func (t *Tracker) clearCookie(w http.ResponseWriter) {
	if t.opts.Cookie == nil {
		return
	}
	dropCookie(w.Header(), t.opts.Cookie.Name)
	c := t.cookie("")
	c.MaxAge = -1
	http.SetCookie(w, c)
}

// dropCookie takes back what was said of a cookie before: one answer sets a name once
// (RFC 6265 §4.1.1).
func dropCookie(h http.Header, name string) {
	if lines := h["Set-Cookie"]; len(lines) > 0 {
		h["Set-Cookie"] = slices.DeleteFunc(lines, func(line string) bool { return strings.HasPrefix(line, name+"=") })
	}
}

func (t *Tracker) cookie(value string) *http.Cookie {
	o := t.opts.Cookie
	return &http.Cookie{Name: o.Name, Value: value, Path: "/", Secure: !o.InsecureHTTP, HttpOnly: true, SameSite: o.SameSite}
}
