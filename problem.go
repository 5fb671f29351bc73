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

// writeJSON writes session data, which no cache may keep (OWASP ASVS 14.2.2).
func writeJSON(w http.ResponseWriter, body any) {
	if problem.WriteJSON(w, body) != nil {
		problemInternalError.Write(w)
	}
}

// problemOf returns the problem that a client gets for an error.
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
	case errors.Is(err, ErrStoreFault), errors.Is(err, ErrInvalidArgument):
		return problemInternalError
	}
	return problemUnavailable
}
