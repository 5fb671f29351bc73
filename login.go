package sessiontrack

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"
)

// Login creates a session for a user whom the application has just authenticated. Send
// token.Reveal() to the client, or let Options.Cookie do it. The session's ID is the sid claim of a
// JWT. The session that the request proved, of whichever user, ends as [ReasonReplacement] in the
// same step (OWASP ASVS 7.2.4). No value from the client becomes part of the new session. The
// answer gets Cache-Control: no-store.
//
// A login request has no session yet, so the cross-origin check of session cookies does not cover
// it. If Options.Cookie is set, wrap the handler in [http.CrossOriginProtection]. Otherwise another
// site can sign a browser in as another user.
//
// The error is a [LimitError] if Options.MaxSessions or Options.Limit denies another session; then
// nothing has changed. It holds the user's sessions, so that the person can choose what to end.
// After [ErrUnavailable] the outcome is unknown: if only the store's answer was lost, the session
// exists, and the session that it replaces and those over MaxSessions have ended: their users must
// sign in again. Nobody has the new token. This process ends the new session as
// [ReasonUnacknowledged] as soon as the store answers; until then it counts towards MaxSessions.
func (t *Tracker) Login(w http.ResponseWriter, r *http.Request, userID string) (Session, Token, error) {
	return t.login(w, r, "Login", userID, LoginOptions{})
}

// LoginWith is [Tracker.Login] with options. A wrong option is an [ErrInvalidArgument] that names the
// field and its bound.
func (t *Tracker) LoginWith(w http.ResponseWriter, r *http.Request, userID string, o LoginOptions) (Session, Token,
	error) {
	return t.login(w, r, "LoginWith", userID, o)
}

func (t *Tracker) login(w http.ResponseWriter, r *http.Request, verb, userID string, o LoginOptions) (Session, Token,
	error) {
	token := newToken()
	n, err := t.door.newLogin(r, token, userID, o)
	if err != nil {
		return Session{}, Token{}, wrapped(verb, err)
	}
	before := t.clock.Local()
	generation := t.near.cache.generation(token.handle)
	created, err := t.backend.create(detached(r.Context()), n)
	if errors.Is(err, ErrLimit) {
		err = t.door.limitError(r.Context(), &n)
	}
	if err != nil {
		return Session{}, Token{}, wrapped(verb, t.janitor.disown(token.handle, err))
	}
	t.created(r.Context(), &n, created)
	if o.ActedBy != "" {
		t.door.record(r, actionImpersonate, o.ActedBy, &created.Session)
	}
	e, ok := newEntry(&Record{Session: created.Session, SecretHash: n.SecretHash}, before)
	if ok && t.life.Running() {
		t.near.cache.put(e, generation)
	}
	w.Header().Set("Cache-Control", "no-store")
	t.door.cookies.set(w, r, token, &created.Session)
	return created.Session, token, nil
}

// newLogin returns the session to be created.
func (d *door) newLogin(r *http.Request, token Token, userID string, o LoginOptions) (NewSession, error) {
	if !validUserID(userID) {
		return NewSession{}, mistake("the user id has %d bytes: want 1 to %d of valid UTF-8 without control characters",
			len(userID), maxUserID)
	}
	if err := o.check(userID, d.opts.lag()); err != nil {
		return NewSession{}, err
	}
	n, p := d.describer.newSession(r, userID, token.handle), token.proof()
	n.SecretHash, n.Ends, n.ProviderID = p.Hash(), o.Ends, o.ProviderID
	n.Session.Client, n.Session.Tenant, n.Session.ActedBy = o.Client, o.Tenant, o.ActedBy
	n.Session.Methods, n.Session.Remember, n.Session.IdleTimeout = o.Methods, o.Remember, o.IdleTimeout
	if o.Lifetime != 0 {
		n.Lifetime = max(o.Lifetime, 0)
	}
	if o.ActedBy != "" {
		n.Limit = 0
		return n, n.Check()
	}
	if err := n.Check(); err != nil {
		return NewSession{}, err
	}
	n.Replaces = d.proved(r)
	return n, d.host.limit(r.Context(), &n, o)
}

// limitError adds the user's sessions to a refusal, where the store can list them.
func (d *door) limitError(ctx context.Context, n *NewSession) error {
	page, err := d.gate.backend.list(ctx, Query{
		UserID: n.Session.UserID, Live: true, IdleTimeout: d.opts.IdleTimeout, Limit: maxPage,
	})
	if err != nil {
		return &LimitError{}
	}
	own := slices.DeleteFunc(page.Sessions, func(s Session) bool {
		return s.ActedBy != "" || slices.Contains(n.Ends, s.ID)
	})
	return &LimitError{Sessions: own}
}

// proved returns the handle of the live session that the request proved.
func (d *door) proved(r *http.Request) SessionID {
	if known := d.knows(r); known != nil {
		return known.entry.handle.id()
	}
	res, err := d.gate.resolve(r, false)
	if err != nil {
		return ""
	}
	return res.entry.handle.id()
}

// Logout is a handler that ends the caller's session, clears the cookie and answers 204. It also
// does so if there is no session or the session has ended. It works with and without the
// middleware. The middleware refuses an ended session first, unless Options.SessionOptional names
// the path. Safe methods get 405: a link or an image of another site must not sign a user out (RFC
// 9110 §9.2.1, OWASP ASVS 3.5.3). A form's browser stays where it is: see [Tracker.EndCurrent].
func (t *Tracker) Logout(w http.ResponseWriter, r *http.Request) {
	if err := t.endCurrent(w, r); err != nil {
		t.door.refuse(w, r, err)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

// EndCurrent is [Tracker.Logout] without the answer, for forms: it ends the caller's session and
// clears the cookie, and leaves it to the application to answer, such as with a redirect. After an
// error nothing has changed; [Tracker.Refuse] answers with it. It writes headers, so call it before
// anything else is written.
func (t *Tracker) EndCurrent(w http.ResponseWriter, r *http.Request) error {
	return wrapped("EndCurrent", t.endCurrent(w, r))
}

func (t *Tracker) endCurrent(w http.ResponseWriter, r *http.Request) error {
	w.Header().Set("Cache-Control", "no-store")
	switch r.Method {
	case "", http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace:
		w.Header().Set("Allow", http.MethodPost)
		return errMethod
	}
	e, dead, err := t.door.leaving(r)
	if err == nil && dead && t.opts.Cookie != nil && t.gate.crossOrigin.Check(r) != nil {
		err = errCrossOrigin // a form of another site comes without the cookie, but could have it cleared
	}
	if err == nil && e != nil && e.ending.Load() == nil {
		_, err = t.end(r.Context(), IDs(e.handle.id()), Ending{Reason: ReasonLogout, Actor: e.user})
	}
	if err == nil {
		t.door.cookies.clear(w)
	}
	return err
}

// leaving returns the session that a request proved, or nil, and whether it is no longer good. A
// session past a time limit may still have to be ended, because another replica may have seen later
// activity.
func (d *door) leaving(r *http.Request) (e *entry, dead bool, err error) {
	if known := d.knows(r); known != nil {
		return known.entry, false, nil
	}
	res, err := d.gate.resolve(r, false)
	switch {
	case errors.Is(err, ErrNoCredential), errors.Is(err, errForeignHeader):
		return nil, true, nil
	case errors.Is(err, ErrEnded):
		return res.entry, true, nil
	}
	return res.entry, false, err
}

// StepUp records that the user of a request has proved anew who they are, by methods in the words of
// RFC 8176, such as "pwd" or "otp". It stamps AuthenticatedAt and changes the session's secret (OWASP
// ASVS 7.2.4). Handle, age and limits stay, and no hook or event tells of a sign-in. Send
// token.Reveal() to the client, or let Options.Cookie do it.
//
// The old secret is refused here at once, and elsewhere within MaxStaleness. The new one works
// everywhere at once. A JWT that names the session goes on to work: it proves the session by itself.
//
// The errors are those of [Tracker.Authenticate]. A derived session has no secret: it is an
// [ErrInvalidArgument], because its issuer has to issue a token with a later auth_time. After
// [ErrUnavailable] the outcome is unknown: the old secret may be gone, and the user then has to sign
// in again. A store that is no [Renewer] makes it an [ErrStoreFault].
func (t *Tracker) StepUp(w http.ResponseWriter, r *http.Request, methods ...string) (Session, Token, error) {
	session, token, err := t.door.stepUp(r, methods)
	if err != nil {
		return Session{}, Token{}, wrapped("StepUp", err)
	}
	t.door.record(r, actionStepUp, cmp.Or(session.ActedBy, session.UserID), &session)
	w.Header().Set("Cache-Control", "no-store")
	t.door.cookies.set(w, r, token, &session)
	return session, token, nil
}

func (d *door) stepUp(r *http.Request, methods []string) (Session, Token, error) {
	if d.gate.backend.renewer == nil {
		return Session{}, Token{}, fmt.Errorf("%w: the store is no Renewer", ErrStoreFault)
	}
	if err := checkMethods("StepUp", methods); err != nil {
		return Session{}, Token{}, err
	}
	res, err := d.gate.resolve(r, true)
	switch {
	case err != nil:
		return Session{}, Token{}, err
	case res.entry.derived:
		return Session{}, Token{}, mistake("the session is derived from a credential and has no secret")
	}
	old, token := res.entry, newToken()
	token.handle = old.handle
	proof := token.proof()
	renewal := Renewal{ID: old.handle.id(), OldHash: old.hash, NewHash: proof.Hash(), Methods: methods}
	renewed, err := d.gate.backend.renew(detached(r.Context()), renewal)
	if errors.Is(err, ErrNotFound) {
		return Session{}, Token{}, d.lostRenewal(r, old.handle)
	}
	// After an error too, because the secret may have changed. The next request reads the session: a
	// read that began before must not bring the old secret back.
	d.near.cache.dropLive(old.handle)
	if err != nil {
		return Session{}, Token{}, err
	}
	return renewed, token, nil
}

// record appends what somebody has done with a session to the audit trail. That this fails changes
// nothing for the user.
func (d *door) record(r *http.Request, action, actor string, s *Session) {
	address, _ := d.describer.addressOf(r)
	_ = d.gate.backend.record(detached(r.Context()), AuditRecord{
		Action: action, Outcome: AuditDone, Actor: actor, UserID: s.UserID, SessionID: s.ID, Address: address,
	})
}

// lostRenewal says why a session cannot be renewed that was good a moment ago.
func (d *door) lostRenewal(r *http.Request, h handle) error {
	e, err := d.near.readFresh(r.Context(), h, nil)
	if err != nil {
		return err
	}
	if end := e.ending.Load(); end != nil {
		return &EndedError{Reason: end.reason}
	}
	return ErrInvalidCredential // another request has changed the secret first
}

// RequireFresh refuses requests whose user proved longer than maxAge ago who they are, with 401
// stale_authentication and the challenge of RFC 9470 §3. The application then asks for a password or
// another factor and calls [Tracker.StepUp]. Of a derived session the credential's own time counts
// (see [Identity].AuthenticatedAt); one that does not tell is never fresh. Requests without a session
// are refused as by Require. It panics if next is nil or maxAge is less than a second.
func (t *Tracker) RequireFresh(next http.Handler, maxAge time.Duration) http.Handler {
	mustHandler("RequireFresh", next)
	if maxAge < time.Second {
		panic(fmt.Sprintf("sessiontrack: RequireFresh: maxAge is %v: want at least 1s", maxAge))
	}
	stale := &problemError{problemStale.WithChallenge(fmt.Sprintf(
		`Bearer error="insufficient_user_authentication", max_age="%d"`, int(maxAge/time.Second)))}
	return t.Require(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fresh, err := t.door.authenticatedWithin(r, maxAge)
		switch {
		case err != nil:
			t.door.refuse(w, r, err)
		case !fresh:
			t.door.refuse(w, r, stale)
		default:
			next.ServeHTTP(w, r)
		}
	}))
}

// authenticatedWithin reports whether the caller authenticated within maxAge. Before it says no it
// asks the store: another process may have stepped the session up.
func (d *door) authenticatedWithin(r *http.Request, maxAge time.Duration) (bool, error) {
	within := func(at int64) bool { return at != 0 && d.clock.Now()-at <= maxAge.Microseconds() }
	known := d.knows(r).entry
	if within(known.authenticatedAt()) {
		return true, nil
	}
	res, err := d.gate.resolve(r, true)
	if err != nil {
		return false, err
	}
	at := res.entry.authenticatedAt()
	if res.entry.derived {
		at = max(at, micros(res.authenticated))
	}
	return within(at), nil
}
