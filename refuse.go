package sessiontrack

import (
	"errors"
	"net/http"

	"github.com/sessiontrack/sessiontrack/internal/problem"
)

// These are the problems that this package answers with, by their code. The package documentation
// and docs/http.md explain each.
var (
	problemInvalid      = problem.New(http.StatusUnauthorized, "session_invalid", "The credential is not good.")
	problemEnded        = problem.New(http.StatusUnauthorized, "session_ended", "The session has ended. Sign in again.")
	problemTokenExpired = problem.New(http.StatusUnauthorized, "token_expired", "The token has expired.")
	problemAnonymous    = problem.New(http.StatusUnauthorized, "unauthenticated",
		"Sign in first.").WithChallenge(problem.NoToken)
	problemStale     = problem.New(http.StatusUnauthorized, "stale_authentication", "Prove once more who you are.")
	problemForbidden = problem.New(http.StatusForbidden, "forbidden", "You may not do this.")
	problemLimit     = problem.New(http.StatusForbidden, "session_limit",
		"The user has as many sessions as are allowed.")
	problemCrossOrigin = problem.New(http.StatusForbidden, "cross_origin", "The request comes from another site.")
	problemUnavailable = problem.New(http.StatusServiceUnavailable, "store_unavailable",
		"Sessions cannot be checked at the moment. Try again.")
	problemTooMany = problem.New(http.StatusServiceUnavailable, "too_many_streams",
		"Too many are watching already. Try again.")
	problemNotFound = problem.New(http.StatusNotFound, "not_found", "There is no such thing here.")
	problemMethod   = problem.New(http.StatusMethodNotAllowed, "method_not_allowed",
		"This path does not know the method.")
	problemInternalError = problem.New(http.StatusInternalServerError, "internal", "Something went wrong.")
)

// problemError carries a problem as an error.
type problemError struct{ problem.Problem }

func (e *problemError) Error() string { return "sessiontrack: " + e.Code }

var (
	errForbidden error = &problemError{problemForbidden}
	errMethod    error = &problemError{problemMethod}
)

// Refusal says why a request is refused, for [Options.Refuse].
type Refusal struct {
	// Status is the HTTP status: 401, 403, 500 or 503, and 405 for [Tracker.EndCurrent].
	Status int
	// Code is the problem's code, such as "session_ended". The package documentation lists them.
	Code string
	// Reason is why the session has ended. It is empty for every code but "session_ended".
	Reason EndReason
	// Err is what the request failed with. It may contain text of the store: it is for the log, and
	// no client may see it.
	Err error
}

// refusalOf makes the refusal of an error that p is the problem of.
func refusalOf(p problem.Problem, err error) Refusal {
	return Refusal{Status: p.Status, Code: p.Code, Reason: EndReason(p.Reason), Err: err}
}

// problem returns the answer that a refusal asks for.
func (f Refusal) problem() problem.Problem {
	if f.Err != nil {
		if p := problemOf(f.Err); p.Code == f.Code {
			return p
		}
	}
	status := f.Status
	if http.StatusText(status) == "" || status < http.StatusBadRequest {
		status = http.StatusInternalServerError
	}
	return problem.New(status, f.Code, http.StatusText(status)+".").WithReason(string(f.Reason))
}

// WriteRefusal answers with the refusal's status and application/problem+json (RFC 9457). It is
// what a Tracker without [Options.Refuse] does. A status that is no error becomes 500.
func WriteRefusal(w http.ResponseWriter, _ *http.Request, refusal Refusal) {
	refusal.problem().Write(w)
}

// writeJSON writes session data, which no cache may keep (OWASP ASVS 14.2.2).
func writeJSON(w http.ResponseWriter, body any) {
	if problem.WriteJSON(w, body) != nil {
		problemInternalError.Write(w)
	}
}

// problemOf returns the problem that a client gets for an error.
func problemOf(err error) problem.Problem {
	var ended *EndedError
	var carried *problemError
	switch {
	case errors.As(err, &carried):
		return carried.Problem
	case errors.As(err, &ended):
		return problemEnded.WithReason(string(ended.Reason))
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
	case errors.Is(err, ErrStoreFault), errors.Is(err, ErrInvalidArgument):
		return problemInternalError
	}
	return problemUnavailable
}
