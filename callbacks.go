package sessiontrack

import (
	"cmp"
	"context"
	"net/http"
	"net/netip"
	"time"
)

// UserInfo is what the application tells about one of its users, for lists. A field that
// is empty is null in the answers, unless another field stands in for it. Only Email is
// kept from other users: the online family shows everybody who is signed in the names.
type UserInfo struct {
	// ID is the user's id. It is not shown: the answers have the session's.
	ID string
	// Email is user.email in the admin family's lists, and nowhere else.
	Email string
	// FullName is user.fullName in the admin family's lists and in events of sessions;
	// without it DisplayName, without both Username.
	FullName string
	// Username is username in the list of online users and in events of users.
	Username string
	// DisplayName is display_name in the list of online users and in events of users;
	// without it FullName, without both Username.
	DisplayName string
	// AvatarURL is avatar_url in the list of online users and in events of users.
	AvatarURL string
}

func (u UserInfo) fullName() string { return cmp.Or(u.FullName, u.DisplayName, u.Username) }

func (u UserInfo) displayName() string { return cmp.Or(u.DisplayName, u.FullName, u.Username) }

// UserDirectory brings users' names and pictures. An error, or a panic, means a page
// without names.
type UserDirectory interface {
	// Users answers for a whole page, by id; users that it does not know are left out.
	// It is called from many goroutines at once, and the answer waits for it.
	Users(ctx context.Context, ids []string) (map[string]UserInfo, error)
}

// UserSearcher is a [UserDirectory] that can look for people, for the admin list's
// search. Without it the search finds ids and addresses only.
type UserSearcher interface {
	// SearchUsers returns the ids of at most limit users whose name or e-mail fits.
	SearchUsers(ctx context.Context, query string, limit int) ([]string, error)
}

// Locator tells where an address is. A Tracker asks it off the request path, for public
// addresses only, one at a time, and gives it two seconds; a panic or an error means
// that the place is unknown.
type Locator interface {
	Locate(ctx context.Context, addr netip.Addr) (Location, error)
}

// AdminAction is one attempt of an administrator to end sessions or to clean up,
// for audit (OWASP ASVS 16.2.1, 16.3.2).
type AdminAction struct {
	// Action is "force_logout", "force_logout_user" or "cleanup".
	Action string
	// Actor is the caller's user id, empty where nobody was signed in; ActorSession
	// is their session's handle.
	Actor        string
	ActorSession SessionID
	// TargetSession or TargetUser is what it was aimed at, empty for a cleanup or
	// where the name was not one of ours.
	TargetSession SessionID
	TargetUser    string
	// Reason is the end reason that was given, or would have been.
	Reason EndReason
	// Outcome is "done", "already_ended", "not_found", "unauthenticated",
	// "forbidden" or "failed".
	Outcome string
	// Ended is how many sessions it ended.
	Ended int
}

// Hooks are functions of the host. They run one at a time, off the request path,
// on the process where it happened, once Start has run, and in place before.
// A panic is contained and counted. They may call the Tracker, Shutdown with the context
// that they are given: it then does not wait for the hook that calls it.
type Hooks struct {
	// Login is called after a session was made, by Login or from a credential.
	Login func(ctx context.Context, s Session)
	// End is called after a session was ended by this process. At most 1,024 calls wait;
	// what is more is left out and counted as hook.dropped, as after a large cleanup.
	End func(ctx context.Context, s Session)
	// NewDevice is called after a login from a device family that none of the
	// user's latest 100 earlier sessions shows; not for a user's first session.
	NewDevice func(ctx context.Context, s Session)
}

// Observer receives what metrics and audits want. Its functions are called in
// place, from many goroutines, and must be quick. Nil ones are left out.
type Observer struct {
	// Count adds n to the counter of that name. Names come from a fixed list of
	// less than 50; they and the values carry no ids. "request.tracked" is not among
	// the calls, because it moves with every request: see [Tracker.Counters].
	Count func(name string, n int)
	// AdminAction is told of each admin action, refused ones too.
	AdminAction func(ctx context.Context, a AdminAction)
}

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
