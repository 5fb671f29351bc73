package sessiontrack

import (
	"errors"
	"fmt"
	"net/http"
	"time"
)

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
