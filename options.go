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

// Options configure a Tracker. The zero value, or nil, gives sessions made by
// Login and carried by the x-session-id header. Every duration of zero means its
// default and a negative one switches off what it governs, where that is
// possible. The others are at least 1 ms, because less is a number that lacks its
// unit. New copies the struct; later changes to it have no effect. The host's functions are called from many goroutines at once.
type Options struct {
	// Identifier verifies the application's own credential, such as a JWT (see
	// [NewJWTIdentifier]). Default: none, the session token alone authenticates.
	Identifier Identifier
	// SessionAlone lets the header or cookie authenticate without the Identifier's
	// credential. Default false; without an Identifier it is always so.
	SessionAlone bool
	// ExplicitOnly refuses credentials that name no session made by Login, in
	// place of tracking them as derived sessions. Default false.
	ExplicitOnly bool
	// Cookie, where not nil, makes Login set a session cookie and the middleware
	// read it.
	Cookie *CookieOptions
	// TrustedOrigins may send unsafe cross-origin requests: to the handlers by any carrier,
	// to the application where the session comes by cookie. They may open events by
	// WebSocket too. Each is as browsers send it,
	// such as "https://app.example.com": lower case, without a path, a wildcard or the
	// scheme's own port. Default: none.
	TrustedOrigins []string

	// IdleTimeout ends a session that has been without activity for so long.
	// Default 24 h, negative: never (OWASP ASVS 7.3.1).
	IdleTimeout time.Duration
	// Lifetime ends a session so long after its sign-in. Default 30 days,
	// negative: never (OWASP ASVS 7.3.2).
	Lifetime time.Duration
	// MaxSessions is how many sessions a user may hold at once. Default 0: any
	// number (OWASP ASVS 7.1.2). One that has become idle counts for TouchInterval +
	// FlushInterval + 1 s longer, because its latest activity may be on its way.
	MaxSessions int
	// LimitPolicy says what a sign-in at MaxSessions does. Default [EndOldest].
	LimitPolicy LimitPolicy

	// TouchInterval is how often a session's activity is queued for the store at
	// most. Default 15 s, less than half of VeryActive; negative: at every request.
	TouchInterval time.Duration
	// FlushInterval is how often queued activity is written. Default 2 s, less than half
	// of VeryActive.
	FlushInterval time.Duration
	// PresenceStep is how coarsely a user's presence moves in the store. Default
	// 30 s, less than half of VeryActive; negative: with every touch.
	PresenceStep time.Duration
	// FeedInterval is how often the feed of ended sessions is read. Default 1 s, at most
	// half of MaxStaleness.
	FeedInterval time.Duration
	// MaxStaleness is how long this process may accept a session after its end was
	// acknowledged by another, while the store is reachable. Default 5 s, at most 1 min.
	MaxStaleness time.Duration
	// StaleGrace is added to MaxStaleness while the store cannot be reached, before
	// requests get 503. Default 30 s, at most 1 h, negative: none.
	StaleGrace time.Duration
	// SampleInterval is how often a sample for peaks and history is tried; one a
	// minute is kept. Default 1 min, which is also the most; negative: never.
	SampleInterval time.Duration
	// CleanupInterval is how often sessions past their limits are ended and old
	// ones purged. Default 10 min, negative: never (call Cleanup).
	CleanupInterval time.Duration
	// Retention is how long an ended session is kept. Default 180 days, at least 1 min,
	// negative: for ever (OWASP ASVS 14.2.7).
	Retention time.Duration
	// KeepEnded is how long the end of a derived session is remembered where its
	// credential's own end cannot be known. Default 400 days, at least Retention.
	KeepEnded time.Duration
	// HistoryRetention is how long samples and counts for history are kept; they name
	// nobody. Default 400 days, at least 2; a MemoryStore keeps 31 days at the most.
	HistoryRetention time.Duration
	// StoreTimeout bounds each call of the store that a request waits for. Default
	// 500 ms, at most MaxStaleness. Calls that write more than one row get four times as
	// long.
	StoreTimeout time.Duration

	// VeryActive, Online and RecentlyActive are the three online windows, each
	// longer than the one before, at most 24 h. Defaults 5, 15 and 60 min.
	VeryActive, Online, RecentlyActive time.Duration
	// TimeZone is the IANA name of the zone whose midnight begins "today" in peaks.
	// Default "UTC". "Local" is refused: every machine has another one.
	TimeZone string

	// CacheSize is how many sessions are cached. Default 100,000, at about 256
	// bytes each, at most 100,000,000; negative: none, every request reads the store.
	CacheSize int

	// MaxSubscribers is how many may watch the events at once, by Subscribe and by
	// HTTP together; a user who may not watch everything holds a quarter of the places
	// by HTTP at the most, though never fewer than 16. Default 10,000, negative: nobody.
	MaxSubscribers int

	// Skip names requests that pass untracked; what it names is not protected
	// either. Default: none. See [SkipPrefixes].
	Skip func(*http.Request) bool
	// SessionOptional names requests that must work for everybody, such as the sign-in page:
	// a credential that is not good counts as none there. Default: none.
	SessionOptional func(*http.Request) bool
	// Passive names requests that must not count as activity, such as polling by a
	// page that nobody looks at. A stream of events of [Tracker.UserHandler] never does.
	// A request that asks for a stream of the application counts when it ends, or after a
	// second. Default: none.
	Passive func(*http.Request) bool

	// Directory brings users' names and pictures. Default: none, ids only.
	Directory UserDirectory
	// NumericUserIDs writes user ids as JSON numbers where they are whole numbers
	// below 2⁵³. Larger ones stay strings: most readers, browsers among them, would
	// round them to another user's (RFC 7493 §2.2). Default false: strings.
	NumericUserIDs bool
	// Roles tells a user's roles anew for each admin decision. Default: the roles
	// of the verified credential, so that a demotion needs the sessions ended too.
	// ErrNotFound says that there is no such user, who then has no roles; any other
	// error, or a panic, is an outage: 503.
	Roles func(ctx context.Context, userID string) ([]string, error)
	// ClientIP tells the client's address. Default [RemoteAddr].
	ClientIP ClientIP
	// Locator tells the place of an address. Default: none.
	Locator Locator
	// Classifier names browsers and systems. Default: one with the definitions
	// that are built in.
	Classifier *Classifier
	// AddressMode is how much of an address is kept. Default [AddressFull].
	AddressMode AddressMode
	// AddressKey is the secret of [AddressHashed], 32 bytes or more, the same on every
	// replica: whoever has it can find addresses by trying them all. With another key
	// the same address has another pseudonym. Default: none.
	AddressKey []byte
	// UserAgentMode is how much of the user agent is kept. Default [UserAgentFull].
	UserAgentMode UserAgentMode

	// Hooks are told of logins, ends and new devices.
	Hooks Hooks
	// Observer is told of counts and admin actions, for metrics and audit.
	Observer Observer
	// Logger receives what an operator should know. Default [slog.Default].
	Logger *slog.Logger

	// InsecureFailOpen lets requests pass without a session while the store cannot
	// say, for hosts that want tracking only; Require still refuses them. Each is
	// counted as "request.failed_open". Default false: 503.
	InsecureFailOpen bool
}

// CookieOptions configure the session cookie: Secure, HttpOnly, Path=/, without a
// Domain, with the __Host- prefix (RFC 6265bis §4.1.3.2, OWASP ASVS 3.3).
type CookieOptions struct {
	// Name begins with "__Host-". Default "__Host-session".
	Name string
	// SameSite is Lax or Strict. Default Lax.
	SameSite http.SameSite
	// MaxAge keeps the cookie over restarts of the browser, for so long. Default 0:
	// until the browser closes; at least 1 s. The session's own limits hold regardless.
	MaxAge time.Duration
	// InsecureHTTP drops Secure and the __Host- prefix, for plain-HTTP development.
	InsecureHTTP bool
}

// defaulted returns a copy of o with its defaults, or an error that names the
// field and its bound.
func (o *Options) defaulted() (Options, error) {
	var c Options
	if o != nil {
		c = *o
		c.AddressKey = bytes.Clone(o.AddressKey) // the host may wipe its own
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
	if err := c.defaultCookie(); err != nil {
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
		{&o.StoreTimeout, 500 * time.Millisecond},
		{&o.VeryActive, 5 * time.Minute}, {&o.Online, 15 * time.Minute}, {&o.RecentlyActive, time.Hour},
	} {
		if *d.field == 0 {
			*d.field = d.value
		}
	}
	for _, d := range []*time.Duration{&o.IdleTimeout, &o.Lifetime, &o.TouchInterval, &o.PresenceStep, &o.StaleGrace} {
		*d = max(*d, 0) // negative: off, which is zero from here on
	}
	if o.Retention > o.KeepEnded && o.KeepEnded == 400*day {
		o.KeepEnded = o.Retention
	}
}

// SkipPrefixes matches requests by their path, for Skip, SessionOptional and Passive. A
// prefix matches at segment borders only: "/docs" is /docs and /docs/x, not
// /docsecret; "/static/" is everything below; "/" is the root page alone. A path
// that a router might read as another one (with "//", "/./", "/../" or a
// backslash, escaped or not) never matches, so that nothing protected can be
// reached in the name of a skipped path.
//
// A prefix that could match nothing, or too much, is a mistake in the program:
// SkipPrefixes panics where one does not begin with a slash, is empty, or has such
// parts itself.
func SkipPrefixes(prefixes ...string) func(*http.Request) bool {
	prefixes = slices.Clone(prefixes)
	for _, prefix := range prefixes {
		if !plainPath(prefix) {
			panic(fmt.Sprintf("sessiontrack: SkipPrefixes: %q: want a path that begins with a slash, without //, /./, /../ and backslash", prefix))
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

// AAL2 returns o with the limits that NIST SP 800-63B asks of authenticator assurance
// level 2: 30 minutes of inactivity and 12 hours in all, where the defaults of 24 hours
// and 30 days suit level 1. Shorter ones that o has stay. It also takes back the grace
// during which cached sessions are served while the store is away: what cannot be
// checked within MaxStaleness is then refused with 503.
//
// (Revision 3 says 30 minutes and 12 hours, §4.2.3; revision 4 allows 1 hour and 24.)
func (o Options) AAL2() Options {
	o.IdleTimeout = shorter(o.IdleTimeout, 30*time.Minute)
	o.Lifetime = shorter(o.Lifetime, 12*time.Hour)
	o.StaleGrace = -1
	o.InsecureFailOpen = false
	return o
}

// shorter keeps a limit that is set and at most bound.
func shorter(limit, bound time.Duration) time.Duration {
	if limit > 0 && limit < bound {
		return limit
	}
	return bound
}
