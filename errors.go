package sessiontrack

import (
	"errors"
	"fmt"
	"strings"
)

// These are the sentinel errors of this package. Compare with [errors.Is]: a returned error usually
// wraps one of them.
//
// There are three kinds of failure. [ErrInvalidArgument] is a mistake of the caller: change the
// call. [ErrUnavailable] is temporary: try again. [ErrStoreFault] stays until an operator has
// repaired the store.
var (
	// ErrNotFound says that no session has this handle. It is an answer of the store, never the
	// consequence of a failure.
	ErrNotFound = errors.New("sessiontrack: session not found")

	// ErrExists says that a session with this handle already exists.
	ErrExists = errors.New("sessiontrack: session exists")

	// ErrEnded says that the session has ended or is past one of its time limits. Use [errors.As]
	// with *[EndedError] for the reason.
	ErrEnded = errors.New("sessiontrack: session ended")

	// ErrLimit says that the user already has as many sessions as [Options.MaxSessions] or
	// [Options.Limit] allows, and that the policy denies another one. The error of a Login is a
	// [LimitError].
	ErrLimit = errors.New("sessiontrack: too many sessions")

	// ErrUnavailable says that the store, or an Identifier's key service, could not answer. It says
	// nothing about the session. A request gets 503 and never 401, because clients discard their
	// credentials on 401.
	ErrUnavailable = errors.New("sessiontrack: store unavailable")

	// ErrStoreFault says that the store answers but cannot do the operation: a constraint of the
	// host, a missing table or right, a schema of another version. Repeating it does not help. A
	// request gets 500 with the code internal, never 401, and the log has the store's error.
	ErrStoreFault = errors.New("sessiontrack: store fault")

	// ErrInvalidArgument says that an argument is out of its bounds. The message names the
	// argument, its value and the bound. The store was not called.
	ErrInvalidArgument = errors.New("sessiontrack: invalid argument")

	// ErrNoCredential is returned by an [Identifier] for a request without a credential that it
	// knows. The request passes untracked.
	ErrNoCredential = errors.New("sessiontrack: no credential")

	// ErrInvalidCredential is returned by an [Identifier] for a forged, malformed or repeated
	// credential. The request is refused with 401.
	ErrInvalidCredential = errors.New("sessiontrack: invalid credential")

	// ErrExpiredCredential is returned by an [Identifier] for a genuine credential past its expiry.
	// The request is refused with 401 and the code token_expired. It wraps [ErrInvalidCredential].
	ErrExpiredCredential error = expiredCredential{}

	// errBusy says that the store could not be asked, because the host's own work holds
	// every connection. It is no outage of the store: others still wait for a connection.
	errBusy = fmt.Errorf("%w: the store was not asked", ErrUnavailable)

	// errForeignHeader says that the only carrier is a header of another program. It is none where
	// no credential is needed, and an invalid one where one is.
	errForeignHeader = fmt.Errorf("%w: the header's value is no session token", ErrInvalidCredential)

	// errNotRunning refuses what would outlive its call, before Start and after Shutdown.
	errNotRunning = fmt.Errorf("%w: the tracker is not running", ErrUnavailable)

	// errCrossOrigin refuses an unsafe cross-origin request whose session came by cookie.
	errCrossOrigin = errors.New("sessiontrack: cross-origin request")
)

type expiredCredential struct{}

func (expiredCredential) Error() string { return "sessiontrack: expired credential" }
func (expiredCredential) Unwrap() error { return ErrInvalidCredential }

// StoreOutcome names the outcome of a call of the store in one of nine words, for the labels of
// metrics: "ok", "not_found", "exists", "limit" and "ended" are answers; "fault" is an
// [ErrStoreFault], "invalid" an [ErrInvalidArgument], "unavailable" an [ErrUnavailable], and
// "other" any other error.
func StoreOutcome(err error) string {
	if err == nil {
		return "ok"
	}
	for _, kind := range [...]struct {
		err  error
		word string
	}{
		{ErrStoreFault, "fault"}, {ErrUnavailable, "unavailable"}, {ErrInvalidArgument, "invalid"},
		{ErrNotFound, "not_found"}, {ErrExists, "exists"}, {ErrLimit, "limit"}, {ErrEnded, "ended"},
	} {
		if errors.Is(err, kind.err) {
			return kind.word
		}
	}
	return "other"
}

// EndedError says why a session is no longer good. Only a caller that proved the session gets it
// (OWASP ASVS 16.5.1). It matches [ErrEnded].
type EndedError struct {
	// Reason is the reason of the end. It is [ReasonIdle] or [ReasonLifetime] if the session is
	// past a time limit and its row has not been ended yet.
	Reason EndReason
}

// Error returns the reason in words.
func (e *EndedError) Error() string { return "sessiontrack: session ended: " + string(e.Reason) }

// Unwrap makes errors.Is(err, ErrEnded) true.
func (e *EndedError) Unwrap() error { return ErrEnded }

// opError is an error at the border of the package: it names the method that failed. Its
// text has the prefix of the package once, whatever it wraps.
type opError struct {
	op  string
	err error
}

func (e *opError) Error() string {
	text := strings.ReplaceAll(e.err.Error(), errorPrefix, "")
	return errorPrefix + e.op + ": " + strings.TrimPrefix(text, strings.ToLower(e.op)+": ")
}

func (e *opError) Unwrap() error { return e.err }

const errorPrefix = "sessiontrack: "

// wrapped wraps what an exported method returns; nil stays nil.
func wrapped(op string, err error) error {
	if err == nil {
		return nil
	}
	return &opError{op, err}
}

// argumentError is a mistake of the caller. It matches [ErrInvalidArgument].
type argumentError struct{ text string }

func (e *argumentError) Error() string { return errorPrefix + e.text }
func (e *argumentError) Unwrap() error { return ErrInvalidArgument }

// mistake makes an argumentError. The format names the argument, its value and the bound.
func mistake(format string, args ...any) error {
	return &argumentError{fmt.Sprintf(format, args...)}
}

// LimitError is the [ErrLimit] of a Login. errors.Is(err, ErrLimit) matches it.
type LimitError struct {
	// Sessions are the user's active sessions, the latest sign-in first, at most 100: what the person
	// may choose from. LoginOptions.Ends ends the chosen ones together with the next attempt. It is
	// empty if the store could not list them.
	Sessions []Session
}

// Error implements error. It names no session.
func (e *LimitError) Error() string { return ErrLimit.Error() }

// Unwrap makes it match ErrLimit.
func (e *LimitError) Unwrap() error { return ErrLimit }
