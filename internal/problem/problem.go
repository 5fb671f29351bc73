// Package problem writes answers in JSON: errors as RFC 9457 describes them, and data that
// no cache may keep.
package problem

import (
	"encoding/json"
	"net/http"
	"strconv"
)

const (
	contentType     = "application/problem+json"
	contentTypeJSON = "application/json; charset=utf-8"

	// retryAfter is in seconds.
	retryAfter = 1

	// InvalidToken is the challenge of a 401 where the request had a credential (RFC 6750 §3.1).
	InvalidToken = `Bearer error="invalid_token"`
	// NoToken is the challenge of a 401 where the request had none.
	NoToken = `Bearer`
)

// Problem is an error answer (RFC 9457). Its sentences are fixed: nothing of a request, a
// database or another user gets into them. It is immutable.
type Problem struct {
	Type   string `json:"type"`
	Title  string `json:"title"`
	Status int    `json:"status"`
	Detail string `json:"detail"`
	Code   string `json:"code"`
	Reason string `json:"reason,omitempty"`

	// Challenge is the WWW-Authenticate header of a 401 (RFC 9110 §11.6.1).
	Challenge string `json:"-"`
}

// New returns a problem. The challenge of a 401 is InvalidToken.
func New(status int, code, detail string) Problem {
	p := Problem{Type: "about:blank", Title: http.StatusText(status), Status: status, Code: code, Detail: detail}
	if status == http.StatusUnauthorized {
		p.Challenge = InvalidToken
	}
	return p
}

// BadRequest returns a 400. Detail names the parameter and its bound, in a sentence of the
// caller's own.
func BadRequest(detail string) Problem { return New(http.StatusBadRequest, "bad_request", detail) }

// WithReason returns p with a reason.
func (p Problem) WithReason(reason string) Problem {
	p.Reason = reason
	return p
}

// WithChallenge returns p with a challenge.
func (p Problem) WithChallenge(challenge string) Problem {
	p.Challenge = challenge
	return p
}

// Write answers with p and the headers that its status asks for: 401 WWW-Authenticate
// (RFC 9110 §11.6.1), 503 Retry-After (§10.2.3).
func (p Problem) Write(w http.ResponseWriter) {
	h := w.Header()
	p.setHeaders(h)
	body, err := json.Marshal(p)
	if err != nil { // cannot happen: strings and a number
		body = nil
	}
	private(h, contentType)
	w.WriteHeader(p.Status)
	_, _ = w.Write(append(body, '\n'))
}

// setHeaders sets the headers that the status asks for.
func (p Problem) setHeaders(h http.Header) {
	switch p.Status {
	case http.StatusUnauthorized:
		h.Set("WWW-Authenticate", p.Challenge)
	case http.StatusServiceUnavailable:
		h.Set("Retry-After", strconv.Itoa(retryAfter))
	}
}

// WriteJSON answers with body. It returns an error, and has written nothing, where body is
// not JSON.
func WriteJSON(w http.ResponseWriter, body any) error {
	text, err := json.Marshal(body)
	if err != nil {
		return err
	}
	private(w.Header(), contentTypeJSON)
	_, _ = w.Write(append(text, '\n'))
	return nil
}

// private sets what every answer has: no cache may keep it (OWASP ASVS 14.2.2), and no
// browser guesses another type.
func private(h http.Header, contentType string) {
	h.Set("Content-Type", contentType)
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
}
