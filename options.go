package sessiontrack

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"time"
)

// Options configures a Tracker. With the zero value or nil, Login creates the sessions and the
// x-session-id header carries them.
//
// A zero duration means its default. A negative one switches its function off, where the field says
// so. All others are at least 1 ms, because a smaller value is a number without its unit. New
// copies the struct, so later changes have no effect. The host's functions are called concurrently.
type Options struct {
	// Identifier verifies the application's own credential, such as a JWT (see [NewJWTIdentifier]).
	// Default: none; only the session token authenticates.
	Identifier Identifier
	// SessionAlone lets the header or cookie authenticate without the Identifier's credential.
	// Default false; always so without an Identifier.
	SessionAlone bool
	// ExplicitOnly refuses credentials that name no session made by Login. Default false: they get
	// derived sessions.
	ExplicitOnly bool
	// Header is the name of the header that carries a session token. Default "x-session-id"; "-"
	// means none. A value that does not begin with a handle is another program's: where another
	// carrier is good, or a request needs none, it counts as absent.
	Header string
	// Cookie, if not nil, makes Login set a session cookie and the middleware read it.
	Cookie *CookieOptions
	// TrustedOrigins may send unsafe cross-origin requests: to the handlers by any carrier,
	// to the application where the session comes by cookie. They may open events by
	// WebSocket too. Each is as browsers send it,
	// such as "https://app.example.com": lower case, without a path, a wildcard or the
	// scheme's own port. Default: none.
	TrustedOrigins []string

	// IdleTimeout ends a session that has been without activity for this long. Default 24 h; a
	// negative value means never (OWASP ASVS 7.3.1).
	IdleTimeout time.Duration
	// Lifetime ends a session this long after its login. Default 30 days; a negative value means
	// never (OWASP ASVS 7.3.2).
	Lifetime time.Duration
	// MaxSessions is how many sessions a user may have at once. Default 0: any number (OWASP ASVS
	// 7.1.2). An idle session counts for TouchInterval + FlushInterval + 1 s longer, because its
	// latest activity may not be written yet.
	MaxSessions int
	// LimitPolicy says what a login above MaxSessions does. Default [EndOldest].
	LimitPolicy LimitPolicy
	// Limit, if not nil, decides for each sign-in how many sessions the user may have at once: by
	// plan, by role, by kind of client. It counts all of the user's sessions but those in which an
	// administrator acts. 0 means any number. For a derived session o is zero. It is called
	// concurrently, for each new session and for no other request. An error, a panic or an answer
	// below 0 refuses the sign-in with 503. It excludes MaxSessions.
	Limit func(ctx context.Context, userID string, o LoginOptions) (int, LimitPolicy, error)

	// TouchInterval is the shortest time between two touches of a session. Default 15 s, less than
	// half of VeryActive. A negative value means every request.
	TouchInterval time.Duration
	// FlushInterval is how often buffered touches are written. Default 2 s, less than half of
	// VeryActive.
	FlushInterval time.Duration
	// PresenceStep is the step in which a user's presence moves in the store. Default 30 s, less
	// than half of VeryActive. A negative value means every touch.
	PresenceStep time.Duration
	// FeedInterval is how often the feed of ended sessions is polled. Default 1 s, at most half of
	// MaxStaleness.
	FeedInterval time.Duration
	// MaxStaleness is how long this process may accept a session after another process acknowledged
	// its end, while the store is reachable. Default 5 s, at most 1 min.
	MaxStaleness time.Duration
	// StaleGrace is added to MaxStaleness while the store is unreachable, before requests get 503.
	// Default 30 s, at most 1 h. A negative value means none.
	StaleGrace time.Duration
	// SampleInterval is how often this process tries to take a sample for peaks and history; one
	// per minute is kept. Default and maximum 1 min. A negative value means never.
	SampleInterval time.Duration
	// CleanupInterval is how often sessions past their limits are ended and old ones are purged.
	// Default 10 min. A negative value means never (call Cleanup).
	CleanupInterval time.Duration
	// Retention is how long an ended session is kept. Default 180 days, at least 1 min. A negative
	// value means for ever (OWASP ASVS 14.2.7).
	Retention time.Duration
	// KeepEnded is how long the end of a derived session is remembered if the expiry of its
	// credential is unknown. Default 400 days, at least Retention.
	KeepEnded time.Duration
	// HistoryRetention is how long samples and counts for the history are kept. They contain no
	// names. Default 400 days, at least 2 days. A MemoryStore keeps at most 31 days.
	HistoryRetention time.Duration
	// AuditRetention is how long the records of the audit trail are kept, if the store is an [Auditor].
	// Default 400 days, at least 1 min. A negative value means for ever.
	AuditRetention time.Duration
	// StoreTimeout bounds each call of the store that a request waits for. Default 500 ms, at most
	// MaxStaleness. Calls that write more than one row get four times as long.
	StoreTimeout time.Duration

	// VeryActive, Online and RecentlyActive are the three online windows. Each is longer than the
	// one before, and at most 24 h. Defaults 5, 15 and 60 min.
	VeryActive, Online, RecentlyActive time.Duration
	// TimeZone is the IANA name of the zone whose midnight begins "today" in peaks. Default "UTC".
	// "Local" is refused, because it differs between machines.
	TimeZone string

	// CacheSize is how many sessions are cached. Default 100,000, at about 256 bytes each, at most
	// 100,000,000. A negative value means none: every request reads the store.
	CacheSize int

	// MaxSubscribers is how many readers of events there may be, by Subscribe and by HTTP together.
	// A user who may not watch everything gets at most a quarter of the places by HTTP, and at
	// least
	// 16. Default 10,000. A negative value means none.
	MaxSubscribers int

	// Skip selects requests that pass untracked and are not protected either. Default: none. See
	// [SkipPrefixes].
	Skip func(*http.Request) bool
	// SessionOptional selects requests that must work for everyone, such as the login page: an
	// invalid credential counts as none there. Default: none.
	SessionOptional func(*http.Request) bool
	// Refuse answers the requests that the middleware, Require, RequireRole and the handlers refuse
	// for who the caller is: 401, 403, and the 500 or 503 of a session that cannot be checked. It
	// must write an answer. Default [WriteRefusal]; [RedirectPages] leads browsers to the sign-in.
	// After a panic the request gets the default's answer.
	Refuse func(w http.ResponseWriter, r *http.Request, refusal Refusal)
	// Passive names requests that must not count as activity, such as polling by a
	// page that nobody looks at. They move LastSeen and nothing else. A stream of events of
	// [Tracker.UserHandler] never counts.
	// A request that asks for a stream of the application counts when it ends, or after a
	// second. Default: none.
	Passive func(*http.Request) bool

	// Directory returns users' names and pictures. Default: none; lists have only ids.
	Directory UserDirectory
	// NumericUserIDs writes user ids as JSON numbers if they are whole numbers below 2⁵³. Larger
	// ones stay strings: most JSON parsers, including browsers, would round them to another user's
	// id (RFC 7493 §2.2). Default false: strings.
	NumericUserIDs bool
	// Roles returns a user's roles for each admin decision. Default: the roles of the verified
	// credential; then a demotion takes effect only when the user's sessions end. ErrNotFound means
	// that there is no such user, who then has no roles. After any other error, or a panic, the
	// request gets 503.
	Roles func(ctx context.Context, userID string) ([]string, error)
	// ClientIP determines the client's address. Default [RemoteAddr].
	ClientIP ClientIP
	// Locator finds the location of an address. Default: none.
	Locator Locator
	// Classifier names browsers and systems. Default: one with the embedded definitions.
	Classifier *Classifier
	// AddressMode is how much of an address is kept. Default [AddressFull].
	AddressMode AddressMode
	// AddressKey is the secret of [AddressHashed]: 32 bytes or more, the same on every replica.
	// With it, anyone can find the addresses by trying all of them. With another key the same
	// address gets another pseudonym. Default: none.
	AddressKey []byte
	// UserAgentMode is how much of the user agent is kept. Default [UserAgentFull].
	UserAgentMode UserAgentMode

	// Hooks are called after logins, ends and logins from new devices.
	Hooks Hooks
	// Observer receives counts and admin actions, for metrics and audit.
	Observer Observer
	// Logger receives what an operator should know. Default [slog.Default].
	Logger *slog.Logger

	// InsecureFailOpen lets requests pass without a session while the store cannot answer, for
	// hosts that only track. Require still refuses them. Each is counted as "request.failed_open".
	// Default false: 503.
	InsecureFailOpen bool
}

// CookieOptions configures the session cookie: Secure, HttpOnly, Path=/, without a Domain, with the
// __Host- prefix (RFC 6265bis §4.1.3.2, OWASP ASVS 3.3).
type CookieOptions struct {
	// Name begins with "__Host-". Default "__Host-session".
	Name string
	// SameSite is Lax or Strict. Default Lax.
	SameSite http.SameSite
	// MaxAge keeps the cookie for this long, also over restarts of the browser. Default 0: until
	// the browser closes; otherwise at least 1 s. The session's own limits hold in any case.
	MaxAge time.Duration
	// Alone lets the cookie authenticate without the Identifier's credential, for pages beside an
	// interface with tokens. A header alone stays refused. Other carriers that are present must
	// name the same session. Default false; always so without an Identifier.
	Alone bool
	// InsecureHTTP omits Secure and the __Host- prefix, for development over plain HTTP.
	InsecureHTTP bool
}

// defaulted returns a copy of o with its defaults. Its error names the field and the bound.
func (o *Options) defaulted() (Options, error) {
	var c Options
	if o != nil {
		c = *o
		c.AddressKey = bytes.Clone(o.AddressKey) // the host may erase its own copy
	}
	c.defaultDurations()
	if c.TimeZone == "" {
		c.TimeZone = "UTC"
	}
	if c.CacheSize == 0 {
		c.CacheSize = 100_000
	}
	if c.MaxSubscribers == 0 {
		c.MaxSubscribers = 10_000
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	if c.ClientIP == nil {
		c.ClientIP = RemoteAddr()
	}
	if c.Classifier == nil {
		c.Classifier = defaultClassifier()
	}
	if err := errors.Join(c.defaultCookie(), c.defaultHeader()); err != nil {
		return c, err
	}
	return c, errors.Join(c.checkNil(), c.checkDurations(), c.checkRelations(), c.checkOther())
}

func (o *Options) defaultDurations() {
	const day = 24 * time.Hour
	for _, d := range []struct {
		field *time.Duration
		value time.Duration
	}{
		{&o.IdleTimeout, day}, {&o.Lifetime, 30 * day},
		{&o.TouchInterval, 15 * time.Second}, {&o.FlushInterval, 2 * time.Second},
		{&o.PresenceStep, 30 * time.Second}, {&o.FeedInterval, time.Second},
		{&o.MaxStaleness, 5 * time.Second}, {&o.StaleGrace, 30 * time.Second},
		{&o.SampleInterval, time.Minute}, {&o.CleanupInterval, 10 * time.Minute},
		{&o.Retention, 180 * day}, {&o.KeepEnded, 400 * day}, {&o.HistoryRetention, 400 * day},
		{&o.AuditRetention, 400 * day},
		{&o.StoreTimeout, 500 * time.Millisecond},
		{&o.VeryActive, 5 * time.Minute}, {&o.Online, 15 * time.Minute}, {&o.RecentlyActive, time.Hour},
	} {
		if *d.field == 0 {
			*d.field = d.value
		}
	}
	for _, d := range []*time.Duration{&o.IdleTimeout, &o.Lifetime, &o.TouchInterval, &o.PresenceStep, &o.StaleGrace} {
		*d = max(*d, 0) // a negative value means off, which is zero from here on
	}
	if o.Retention > o.KeepEnded && o.KeepEnded == 400*day {
		o.KeepEnded = o.Retention
	}
}

// SkipPrefixes matches requests by their path, for Skip, SessionOptional and Passive. A prefix
// matches only at the borders of segments: "/docs" matches /docs and /docs/x, and not /docsecret;
// "/static/" matches everything below; "/" matches only the root page. A path that a router might
// read as another one (with "//", "/./", "/../" or a backslash, escaped or not) never matches, so
// that a protected path cannot be reached as a skipped one.
//
// A prefix that could match nothing, or too much, is a mistake in the program: SkipPrefixes panics
// if one does not begin with a slash, is empty, or contains such parts.
func SkipPrefixes(prefixes ...string) func(*http.Request) bool {
	prefixes = slices.Clone(prefixes)
	for _, prefix := range prefixes {
		if !plainPath(prefix) {
			panic(fmt.Sprintf("sessiontrack: SkipPrefixes: %q: want a path that begins with a slash, without //, /./, /../ "+
				"and backslash", prefix))
		}
	}
	return func(r *http.Request) bool {
		path := r.URL.Path
		if !plainPath(path) {
			return false
		}
		for _, prefix := range prefixes {
			if underPrefix(path, prefix) {
				return true
			}
		}
		return false
	}
}

func underPrefix(path, prefix string) bool {
	if prefix == "/" || !strings.HasPrefix(path, prefix) {
		return path == prefix
	}
	return len(path) == len(prefix) || strings.HasSuffix(prefix, "/") || path[len(prefix)] == '/'
}

func plainPath(path string) bool {
	return strings.HasPrefix(path, "/") && !strings.Contains(path, "//") && !strings.ContainsRune(path, '\\') &&
		!strings.Contains(path+"/", "/./") && !strings.Contains(path+"/", "/../")
}

// AAL2 returns o with the limits of NIST SP 800-63B for authenticator assurance level 2: 30 minutes
// of inactivity and 12 hours in total. The defaults of 24 hours and 30 days suit level
// 1. Shorter limits of o stay. It also switches off StaleGrace: a session that cannot be checked
// within MaxStaleness gets 503.
//
// (Revision 3 says 30 minutes and 12 hours, §4.2.3; revision 4 allows 1 hour and 24 hours.)
func (o Options) AAL2() Options {
	o.IdleTimeout = shorter(o.IdleTimeout, 30*time.Minute)
	o.Lifetime = shorter(o.Lifetime, 12*time.Hour)
	o.StaleGrace = -1
	o.InsecureFailOpen = false
	return o
}

// shorter returns limit if it is set and at most bound, and bound otherwise.
func shorter(limit, bound time.Duration) time.Duration {
	if limit > 0 && limit < bound {
		return limit
	}
	return bound
}
