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

// UserDirectory returns users' names and pictures. After an error or a panic the page has no names.
type UserDirectory interface {
	// Users returns the users of a whole page, by id. It leaves unknown users out. It is called
	// concurrently, and the answer waits for it.
	Users(ctx context.Context, ids []string) (map[string]UserInfo, error)
}

// UserSearcher is a [UserDirectory] that can search users, for the admin list. Without it the
// search finds only ids and addresses.
type UserSearcher interface {
	// SearchUsers returns the ids of at most limit users whose name or e-mail matches.
	SearchUsers(ctx context.Context, query string, limit int) ([]string, error)
}

// Locator finds the location of an address. A Tracker calls it outside of the request path, for
// public addresses only, one at a time, with a timeout of two seconds. After an error or a panic
// the location is unknown.
type Locator interface {
	Locate(ctx context.Context, addr netip.Addr) (Location, error)
}

// AdminAction is one attempt of an administrator to end sessions or to clean up, for an audit log
// (OWASP ASVS 16.2.1, 16.3.2).
type AdminAction struct {
	// Action is "force_logout", "force_logout_user", "end_sessions", "export_sessions" or "cleanup".
	Action string
	// Actor is the caller's user id, empty without a session. ActorSession is the handle of the
	// caller's session.
	Actor        string
	ActorSession SessionID
	// TargetSession or TargetUser is the target. Both are empty for a cleanup, and if the id in the
	// path was not valid.
	TargetSession SessionID
	TargetUser    string
	// Reason is the end reason that was or would have been stored.
	Reason EndReason
	// Outcome is "done", "already_ended", "not_found", "unauthenticated",
	// "forbidden" or "failed".
	Outcome string
	// Ended is how many sessions it ended. Skipped is how many of those that were named or shown it
	// did not end: they had ended, or no longer matched.
	Ended, Skipped int
	// Filter is the filter of what was previewed or exported, as [Filter.String] writes it.
	Filter string
}

// Hooks are functions of the host. After Start they run one at a time, outside of the request path,
// in the process that caused the call. Before Start they run at once. A panic is recovered and
// counted. They may call the Tracker. If a hook calls Shutdown with its own context, Shutdown does
// not wait for that hook.
type Hooks struct {
	// Login is called after a session was created, by Login or from a credential.
	Login func(ctx context.Context, s Session)
	// End is called after this process has ended a session. At most 1,024 calls wait; further calls
	// are dropped and counted as hook.dropped, for example after a large cleanup.
	End func(ctx context.Context, s Session)
	// Reported is called after a user has reported one of their sessions as not theirs. The session
	// has ended: now, with [ReasonReported], or earlier with another reason. Somebody else may know
	// the user's password: have it changed. A session that had ended before may be reported again.
	Reported func(ctx context.Context, s Session)
	// NewDevice is called after a login from a device family that none of the user's latest 100
	// earlier sessions has. It is not called for a user's first session.
	NewDevice func(ctx context.Context, s Session)
}

// Observer receives data for metrics and audits. Its functions are called synchronously and
// concurrently, and must be quick. Nil functions are not called.
type Observer struct {
	// Count adds n to the counter with that name. Names come from a fixed list of fewer than 50;
	// names and values contain no ids. It is not called for "request.tracked", which changes with
	// every request: see [Tracker.Counters].
	Count func(name string, n int)
	// AdminAction is called for each admin action, also for refused ones.
	AdminAction func(ctx context.Context, a AdminAction)
	// Store is called before each call of the store, and the function that it returns after it,
	// with the call's error. The call gets the returned context, which must derive from ctx: so a
	// span of a trace reaches the database driver. Either may be nil. The error's text may be the
	// database's: label figures by [StoreOutcome].
	Store func(ctx context.Context, c StoreCall) (context.Context, func(error))
	// EndLearnt is called when the feed of ended sessions ends a session that this process has
	// served from its cache until now, with the time since the end: about FeedInterval at the most
	// while the store is well, and MaxStaleness bounds it. It is not called for ends that this
	// process makes, which it knows at once, nor for those that it has found by itself before.
	EndLearnt func(late time.Duration)
}

// And returns an observer that tells o first and next then. The context that o.Store returns is the
// one that next.Store gets, and the function that next.Store returns is called first.
func (o Observer) And(next Observer) Observer {
	return Observer{
		Count: func(name string, n int) {
			o.toldCount(name, n)
			next.toldCount(name, n)
		},
		AdminAction: func(ctx context.Context, a AdminAction) {
			o.toldAction(ctx, a)
			next.toldAction(ctx, a)
		},
		Store: func(ctx context.Context, c StoreCall) (context.Context, func(error)) {
			ctx, outer := o.toldStore(ctx, c)
			ctx, inner := next.toldStore(ctx, c)
			return ctx, func(err error) {
				inner(err)
				outer(err)
			}
		},
		EndLearnt: func(late time.Duration) {
			o.toldEnd(late)
			next.toldEnd(late)
		},
	}
}

func (o Observer) toldCount(name string, n int) {
	if o.Count != nil {
		o.Count(name, n)
	}
}

func (o Observer) toldAction(ctx context.Context, a AdminAction) {
	if o.AdminAction != nil {
		o.AdminAction(ctx, a)
	}
}

func (o Observer) toldEnd(late time.Duration) {
	if o.EndLearnt != nil {
		o.EndLearnt(late)
	}
}

// toldStore never returns nil.
func (o Observer) toldStore(ctx context.Context, c StoreCall) (context.Context, func(error)) {
	var within context.Context
	var done func(error)
	if o.Store != nil {
		within, done = o.Store(ctx, c)
	}
	if within == nil {
		within = ctx
	}
	if done == nil {
		done = func(error) {}
	}
	return within, done
}

// StoreCall is one call of the store, for [Observer.Store].
type StoreCall struct {
	// Method is the called method of the store or of one of its capabilities, such as "Get" or
	// "EndedSince".
	Method string
	// Items is how many records the batch of a Touch or a Describe has; else 0.
	Items int
}

// Identity is what a credential says about the caller. Neither the Identifier nor the receiver
// modifies it after it was returned.
type Identity struct {
	// UserID is the user: 1 to 255 bytes of valid UTF-8 without control characters. Another value
	// is refused as an invalid credential.
	UserID string
	// Roles are the roles in the credential. RequireRole and the admin handlers use them if
	// Options.Roles is not set.
	Roles []string
	// ExpiresAt is the credential's expiry; zero if unknown.
	ExpiresAt time.Time
	// IssuedAt is when the credential was issued; zero if unknown. After all of a user's sessions
	// have ended, a credential issued up to that second that was never used is refused too. This
	// does not reach a credential with a zero IssuedAt, unless it names a session made by Login.
	IssuedAt time.Time
	// AuthenticatedAt is when the user proved who they are, in the issuer's words (auth_time of OpenID
	// Connect Core §2); zero if unknown. RequireFresh goes by it where the session is derived. A
	// [JWTIdentifier] takes auth_time, else iat.
	AuthenticatedAt time.Time

	// SessionID names a session made by Login. It must exist.
	SessionID SessionID
	// Key names the session in the words of the host or the identity provider, in 1 to 255 bytes.
	// Credentials with the same Issuer, UserID and Key share one session.
	//
	// Without SessionID and Key the identity names only the user. The session is then that of the
	// header or cookie. Without those it is one derived session per user and Issuer, and ending it
	// locks the user out of this way of signing in for Options.KeepEnded. So set Key if there is
	// one.
	Key string
	// Issuer separates the keys of several issuers. It may be empty.
	Issuer string

	// derived is the handle of the derived session, if the identifier has computed it from the
	// credential itself (a JWT's jti or its signed part). If a host sets Key in its copy, Key
	// counts instead.
	derived handle
	// family says that derived stands for all tokens of one KeyClaim and not for this one only.
	family bool
	// ours is the decoded SessionID, which a JWTIdentifier decodes once per token. It counts only
	// in the identifier's own cache, because a host may have copied and changed the identity.
	ours handle
}

// valid reports whether UserID and Key have an allowed length and content.
func (id *Identity) valid() bool { return validUserID(id.UserID) && len(id.Key) <= maxUserID }

// Identifier reads the caller's credential from a request and verifies it. It runs on every
// request, before anything else, and concurrently. It must bound lengths before it parses, and must
// not query a database.
//
// It returns [ErrNoCredential] for a request without a credential that it knows,
// [ErrInvalidCredential] for an invalid credential, and [ErrExpiredCredential] for a genuine
// credential past its expiry. After any other error the request gets 503.
type Identifier interface {
	Identify(r *http.Request) (Identity, error)
}

// IdentifierFunc is a function as an [Identifier].
type IdentifierFunc func(r *http.Request) (Identity, error)

// Identify calls f.
func (f IdentifierFunc) Identify(r *http.Request) (Identity, error) { return f(r) }

// LoginOptions says what is special about a session. The zero value is what [Tracker.Login] does.
type LoginOptions struct {
	// Lifetime and IdleTimeout are the session's own limits, in place of those of the same name in
	// Options. Zero means the Tracker's, and a negative value none. Each is more than TouchInterval
	// + FlushInterval + 1 s. They are kept in the row, and every replica goes by them.
	Lifetime    time.Duration
	IdleTimeout time.Duration
	// Remember keeps the cookie for as long as the session can last, also over restarts of the
	// browser: until ExpiresAt, and at most 400 days. A session that shall outlast days without use
	// needs an IdleTimeout of its own, too. Without Remember the cookie lasts for
	// [CookieOptions].MaxAge.
	Remember bool
	// Client is the kind of client, such as "web", "ios" or "cli": at most 64 bytes. Tenant is an
	// organisation: at most 255 bytes. Both are labels to list, count, limit and end by.
	Client string
	Tenant string
	// Methods are how the user authenticated, in the words of RFC 8176, such as "pwd", "otp" or
	// "hwk": at most 10, each of at most 32 visible ASCII characters.
	Methods []string
	// ActedBy is the user id of an administrator who impersonates the user. The administrator's own
	// session stays. The new one does not count towards the user's limit, and does not make the user
	// online.
	ActedBy string
	// Ends names sessions of this user that end in the same step as [ReasonUser], before the limit is
	// applied: what the person chose from [LimitError].Sessions. Sessions of other users are skipped.
	Ends []SessionID
	// ProviderID is the identity provider's session by which the user signed in, as the function
	// [ProviderID] writes the iss and sid of the ID token. A sign-out there then ends this session,
	// by [Provider]. A sign-in after such an end is an [EndedError]: the user has to go to the
	// provider again. Default: none.
	ProviderID string
}

// check returns an error that names a wrong field.
func (o *LoginOptions) check(userID string, lag time.Duration) error {
	for _, d := range [...]struct {
		field string
		value time.Duration
	}{{"Lifetime", o.Lifetime}, {"IdleTimeout", o.IdleTimeout}} {
		if d.value > 0 && d.value <= lag {
			return mistake("LoginOptions.%s is %v: want more than TouchInterval + FlushInterval + 1s (%v), 0 for the "+
				"Tracker's, or negative for none", d.field, d.value, lag)
		}
	}
	switch {
	case o.ActedBy == userID:
		return mistake("LoginOptions.ActedBy is the user: want the administrator, or none")
	case len(o.Ends) > maxEnds:
		return mistake("LoginOptions.Ends has %d: want at most %d", len(o.Ends), maxEnds)
	}
	return nil
}
