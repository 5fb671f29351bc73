package sessiontrack

import (
	"net/http"
	"time"
)

// Identity is who a credential says the caller is. It is not modified after an
// Identifier has returned it; neither may whoever receives it.
type Identity struct {
	// UserID is the user: 1 to 255 bytes of valid UTF-8 without control
	// characters. Anything else is refused as an invalid credential.
	UserID string
	// Roles are what the credential grants, for RequireRole and, where
	// Options.Roles is not set, for the admin handlers.
	Roles []string
	// ExpiresAt is the credential's own end; zero where it is not known.
	ExpiresAt time.Time
	// IssuedAt is when the credential was issued; zero where it is not known.
	// Ending all of a user's sessions also refuses credentials issued until that
	// second that are seen for the first time afterwards; those whose IssuedAt is
	// zero, where they name no session made by Login, are not reached by that.
	IssuedAt time.Time

	// SessionID names a session made by Login: it must exist.
	SessionID SessionID
	// Key names the session in the host's or the identity provider's own words,
	// 1 to 255 bytes; sessions with the same Issuer, UserID and Key are one.
	//
	// With neither SessionID nor Key the identity names only the user: the session
	// is the one of the header or cookie, or, without those, one derived session
	// of this user and Issuer. Ending that one shuts the user out of this
	// way of signing in for Options.KeepEnded, so give a Key where there is one.
	Key string
	// Issuer keeps keys of several issuers apart; it may be empty.
	Issuer string

	// derived is the derived session's handle where the identifier has computed
	// it from the credential itself (a JWT's jti or its signed part). A Key that a
	// host has given to its copy counts in its place.
	derived handle
	// ours is SessionID's handle, which a JWTIdentifier decodes once for each token.
	// It counts only in what that identifier holds itself: a host may have copied the
	// identity and changed it.
	ours handle
}

// valid reports whether the names of an identity can be used.
func (id *Identity) valid() bool { return validUserID(id.UserID) && len(id.Key) <= maxUserID }

// Identifier finds the caller's credential in a request and verifies it. It runs
// on every request, before anything else, from many goroutines at once: it must
// cap lengths before it parses, and touch no database.
//
// It returns [ErrNoCredential] for a request that carries nothing it knows,
// [ErrInvalidCredential] for a credential that is not good, and
// [ErrExpiredCredential] for a genuine one past its end. Any other error means
// that it cannot say, and the request gets 503.
type Identifier interface {
	Identify(r *http.Request) (Identity, error)
}

// IdentifierFunc is a function as an [Identifier].
type IdentifierFunc func(r *http.Request) (Identity, error)

// Identify calls f.
func (f IdentifierFunc) Identify(r *http.Request) (Identity, error) { return f(r) }
