package sessiontrack

import (
	"errors"
	"fmt"
	"strings"
)

// The sentinel errors of this package. Compare with [errors.Is]; what is
// returned usually wraps one of them.
//
// What failed is one of three kinds. [ErrInvalidArgument] is a mistake of the caller:
// change the call. [ErrUnavailable] passes: try again. [ErrStoreFault] stays until an
// operator has mended the store.
var (
	// ErrNotFound says that no session has the handle asked for. It is an
	// answer of the store, never the consequence of a failure.
	ErrNotFound = errors.New("sessiontrack: session not found")

	// ErrExists says that a session with this handle is there already.
	ErrExists = errors.New("sessiontrack: session exists")

	// ErrEnded says that the session has ended or has passed one of its limits
	// of time. Use [errors.As] with *[EndedError] for the reason.
	ErrEnded = errors.New("sessiontrack: session ended")

	// ErrLimit says that the user holds [Options.MaxSessions] sessions already
	// and that the policy is to deny another.
	ErrLimit = errors.New("sessiontrack: too many sessions")

	// ErrUnavailable says that the store (or a key service, for an Identifier)
	// could not answer. It means nothing about the session: a request gets 503,
	// never 401, because clients throw their credentials away on 401.
	ErrUnavailable = errors.New("sessiontrack: store unavailable")

	// ErrStoreFault says that the store works and cannot do what it is asked for: a
	// constraint of the host's, a missing table or right, a schema of another version.
	// Trying again does not help. A request gets 500 with the code internal, never 401,
	// and the log says what the store said.
	ErrStoreFault = errors.New("sessiontrack: store fault")

	// ErrInvalidArgument says that an argument of the call is outside of its bounds. The
	// message names the argument, its value and the bound. The store was not asked.
	ErrInvalidArgument = errors.New("sessiontrack: invalid argument")

	// ErrNoCredential is returned by an [Identifier] for a request that carries
	// nothing it knows. The request passes, untracked.
	ErrNoCredential = errors.New("sessiontrack: no credential")

	// ErrInvalidCredential is returned by an [Identifier] for a credential that
	// is not good: forged, malformed, repeated. The request is refused with 401.
	ErrInvalidCredential = errors.New("sessiontrack: invalid credential")

	// ErrExpiredCredential is returned by an [Identifier] for a credential that
	// is genuine and past its own end. The request is refused with 401 and the
	// code token_expired. It wraps [ErrInvalidCredential].
	ErrExpiredCredential error = expiredCredential{}

	// errCrossOrigin refuses an unsafe cross-origin request whose session came
	// by cookie.
	errCrossOrigin = errors.New("sessiontrack: cross-origin request")
)

type expiredCredential struct{}

func (expiredCredential) Error() string { return "sessiontrack: expired credential" }
func (expiredCredential) Unwrap() error { return ErrInvalidCredential }

// EndedError tells why a session is no longer good. It is told only to whoever
// proved that the session was theirs (OWASP ASVS 16.5.1). It matches [ErrEnded].
type EndedError struct {
	// Reason is the reason of the end; [ReasonIdle] or [ReasonLifetime] where a limit of
	// time has passed and the row has not been ended yet.
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
