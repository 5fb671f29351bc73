package sessiontrack

import (
	"context"
	"errors"
	"net/http"

	"github.com/sessiontrack/sessiontrack/internal/problem"
)

// The problems that this package answers with, by their code. The package documentation and
// docs/http.md explain each.
var (
	problemInvalid      = problem.New(http.StatusUnauthorized, "session_invalid", "The credential is not good.")
	problemEnded        = problem.New(http.StatusUnauthorized, "session_ended", "The session has ended. Sign in again.")
	problemTokenExpired = problem.New(http.StatusUnauthorized, "token_expired", "The token has expired.")
	problemAnonymous    = problem.New(http.StatusUnauthorized, "unauthenticated",
		"Sign in first.").WithChallenge(problem.NoToken)
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

// writeJSON answers with session data, which no cache may keep (OWASP ASVS 14.2.2).
func writeJSON(w http.ResponseWriter, body any) {
	if problem.WriteJSON(w, body) != nil {
		problemInternalError.Write(w)
	}
}

// problemOf is what a client is told of an error.
func problemOf(err error) problem.Problem {
	var ended *EndedError
	switch {
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
	p.Write(w)
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
