package sessiontrack

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
)

// problem is an error answer (RFC 9457). Its sentences are fixed: nothing of a
// request, a database or another user gets into them.
type problem struct {
	Type   string    `json:"type"`
	Title  string    `json:"title"`
	Status int       `json:"status"`
	Detail string    `json:"detail"`
	Code   string    `json:"code"`
	Reason EndReason `json:"reason,omitempty"`
}

func newProblem(status int, code, detail string) problem {
	return problem{Type: "about:blank", Title: http.StatusText(status), Status: status, Code: code, Detail: detail}
}

// The problems that this package answers with, by their code. The package
// documentation and the README list the same.
var (
	problemInvalid       = newProblem(http.StatusUnauthorized, "session_invalid", "The credential is not good.")
	problemEnded         = newProblem(http.StatusUnauthorized, "session_ended", "The session has ended. Sign in again.")
	problemTokenExpired  = newProblem(http.StatusUnauthorized, "token_expired", "The token has expired.")
	problemAnonymous     = newProblem(http.StatusUnauthorized, "unauthenticated", "Sign in first.")
	problemForbidden     = newProblem(http.StatusForbidden, "forbidden", "You may not do this.")
	problemLimit         = newProblem(http.StatusForbidden, "session_limit", "The user has as many sessions as are allowed.")
	problemCrossOrigin   = newProblem(http.StatusForbidden, "cross_origin", "The request comes from another site.")
	problemUnavailable   = newProblem(http.StatusServiceUnavailable, "store_unavailable", "Sessions cannot be checked at the moment. Try again.")
	problemTooMany       = newProblem(http.StatusServiceUnavailable, "too_many_streams", "Too many are watching already. Try again.")
	problemNotFound      = newProblem(http.StatusNotFound, "not_found", "There is no such thing here.")
	problemMethod        = newProblem(http.StatusMethodNotAllowed, "method_not_allowed", "This path does not know the method.")
	retryAfter           = strconv.Itoa(1) // seconds: as often as the feed is read
	challengeInvalid     = `Bearer error="invalid_token"`
	challengeNoCarrier   = `Bearer`
	contentTypeProblem   = "application/problem+json"
	contentTypeJSON      = "application/json; charset=utf-8"
	problemInternalError = newProblem(http.StatusInternalServerError, "internal", "Something went wrong.")
)

// badRequest is a 400 whose detail names the parameter and its bound; detail is one
// of this package's own sentences.
func badRequest(detail string) problem {
	return newProblem(http.StatusBadRequest, "bad_request", detail)
}

// writeProblem answers with p and the headers that its status asks for: 401
// WWW-Authenticate (RFC 9110 §11.6.1), 503 Retry-After (§10.2.3).
func writeProblem(w http.ResponseWriter, p problem) {
	h := w.Header()
	switch p.Status {
	case http.StatusUnauthorized:
		challenge := challengeInvalid
		if p.Code == problemAnonymous.Code {
			challenge = challengeNoCarrier
		}
		h.Set("WWW-Authenticate", challenge)
	case http.StatusServiceUnavailable:
		h.Set("Retry-After", retryAfter)
	}
	h.Set("Content-Type", contentTypeProblem)
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	body, err := json.Marshal(p)
	if err != nil { // cannot happen: strings and a number
		body = nil
	}
	w.WriteHeader(p.Status)
	_, _ = w.Write(append(body, '\n'))
}

// writeJSON answers with session data, which no cache may keep (OWASP ASVS 14.2.2).
func writeJSON(w http.ResponseWriter, body any) {
	text, err := json.Marshal(body)
	if err != nil {
		writeProblem(w, problemInternalError)
		return
	}
	h := w.Header()
	h.Set("Content-Type", contentTypeJSON)
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	_, _ = w.Write(append(text, '\n'))
}

// problemOf is what a client is told of an error.
func problemOf(err error) problem {
	var ended *EndedError
	switch {
	case errors.As(err, &ended):
		p := problemEnded
		p.Reason = ended.Reason
		return p
	case errors.Is(err, ErrNoCredential):
		return problemAnonymous
	case errors.Is(err, ErrExpiredCredential):
		return problemTokenExpired
	case errors.Is(err, ErrInvalidCredential):
		return problemInvalid
	case errors.Is(err, ErrLimit):
		return problemLimit
	case errors.Is(err, errCrossOrigin):
		return problemCrossOrigin
	case errors.Is(err, ErrNotFound):
		return problemNotFound
	}
	return problemUnavailable
}

// refuse answers with what err means and counts it; the log gets what the client
// does not.
func (t *Tracker) refuse(w http.ResponseWriter, r *http.Request, err error) {
	p := problemOf(err)
	if p.Status == http.StatusServiceUnavailable {
		t.count(countUnavailable, 1)
		t.logOutage(r.Context(), err)
	} else {
		t.count(countRefused, 1)
	}
	writeProblem(w, p)
}

// logOutage logs why requests get 503, once a second: an outage must not fill the log
// at the rate of the requests.
func (t *Tracker) logOutage(ctx context.Context, err error) {
	local, last := t.clock.Local(), t.outageLogged.Load()
	if last != 0 && local-last < 1_000_000 || !t.outageLogged.CompareAndSwap(last, max(local, 1)) {
		return
	}
	t.opts.Logger.LogAttrs(ctx, warn, "sessiontrack: requests cannot be answered", errAttr(err))
}
