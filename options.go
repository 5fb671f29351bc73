package sessiontrack

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// Options configure a Tracker. The zero value, or nil, gives sessions made by
// Login and carried by the x-session-id header. Every duration of zero means its
// default and a negative one switches off what it governs, where that is
// possible. New copies the struct; later changes to it have no effect. The host's
// functions are called from many goroutines at once.
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
	// TrustedOrigins may send unsafe cross-origin requests whose session comes by
	// cookie: "https://app.example.com". Default: none.
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
	// most. Default 15 s, negative: at every request.
	TouchInterval time.Duration
	// FlushInterval is how often queued activity is written. Default 2 s.
	FlushInterval time.Duration
	// PresenceStep is how coarsely a user's presence moves in the store. Default
	// 30 s, negative: with every touch.
	PresenceStep time.Duration
	// FeedInterval is how often the feed of ended sessions is read. Default 1 s.
	FeedInterval time.Duration
	// MaxStaleness is how long this process may accept a session after its end was
	// acknowledged by another, while the store is reachable. Default 5 s.
	MaxStaleness time.Duration
	// StaleGrace is added to MaxStaleness while the store cannot be reached, before
	// requests get 503. Default 30 s, negative: none.
	StaleGrace time.Duration
	// SampleInterval is how often a sample for peaks and history is tried; one a
	// minute is kept. Default 1 min, negative: never.
	SampleInterval time.Duration
	// CleanupInterval is how often sessions past their limits are ended and old
	// ones purged. Default 10 min, negative: never (call Cleanup).
	CleanupInterval time.Duration
	// Retention is how long an ended session is kept. Default 180 days, negative:
	// for ever (OWASP ASVS 14.2.7).
	Retention time.Duration
	// KeepEnded is how long the end of a derived session is remembered where its
	// credential's own end cannot be known. Default 400 days, at least Retention.
	KeepEnded time.Duration
	// HistoryRetention is how long samples and counts for history are kept; they name
	// nobody. Default 400 days, at least 2; a MemoryStore keeps 31 days at the most.
	HistoryRetention time.Duration
	// StoreTimeout bounds each call of the store that a request waits for. Default
	// 500 ms. Calls that write more than one row get four times as long.
	StoreTimeout time.Duration

	// VeryActive, Online and RecentlyActive are the three online windows, each
	// longer than the one before, at most 24 h. Defaults 5, 15 and 60 min.
	VeryActive, Online, RecentlyActive time.Duration
	// TimeZone is the IANA name of the zone whose midnight begins "today" in peaks.
	// Default "UTC".
	TimeZone string

	// CacheSize is how many sessions are cached. Default 100,000, at about 256
	// bytes each; negative: none, every request reads the store.
	CacheSize int

	// MaxSubscribers is how many may watch the events at once, by Subscribe and by
	// HTTP together; a user who may not watch everything holds a quarter of the places
	// by HTTP at the most, though never fewer than 16. Default 10,000, negative: nobody.
	MaxSubscribers int

	// Skip names requests that pass untracked; what it names is not protected
	// either. Default: none. See [SkipPrefixes].
	Skip func(*http.Request) bool
	// Public names requests that must work for everybody, such as the sign-in page:
	// a credential that is not good counts as none there. Default: none.
	Public func(*http.Request) bool
	// Passive names requests that must not count as activity, such as polling by a
	// page that nobody looks at. Default: none.
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
	// until the browser closes. The session's own limits hold regardless.
	MaxAge time.Duration
	// InsecureHTTP drops Secure and the __Host- prefix, for plain-HTTP development.
	InsecureHTTP bool
}

// Hooks are functions of the host. They run one at a time, off the request path,
// on the process where it happened, once Start has run, and in place before.
// A panic is contained and counted. They may call the Tracker.
type Hooks struct {
	// Login is called after a session was made, by Login or from a credential.
	Login func(ctx context.Context, s Session)
	// End is called after a session was ended by this process.
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

// defaulted returns a copy of o with its defaults, or an error that names the
// field and its bound.
func (o *Options) defaulted() (Options, error) {
	var c Options
	if o != nil {
		c = *o
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
	return c, errors.Join(c.checkDurations(), c.checkOther())
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

// need is one rule about a field: it holds, or the message says what the field
// must be.
type need struct {
	holds bool
	field string
	value any
	bound string
}

func check(needs []need) error {
	for _, n := range needs {
		if !n.holds {
			return fmt.Errorf("sessiontrack: Options.%s is %v: want %s", n.field, n.value, n.bound)
		}
	}
	return nil
}

// lag is how long activity may be on its way to the store, and what clocks may differ.
func (o *Options) lag() time.Duration { return o.TouchInterval + o.FlushInterval + time.Second }

// idleFor is when the store may take a session for idle: activity on its way would bring
// it back before. Zero means never.
func (o *Options) idleFor() time.Duration {
	if o.IdleTimeout == 0 {
		return 0
	}
	return o.IdleTimeout + min(o.lag(), math.MaxInt64-o.IdleTimeout)
}

// checkDurations holds the durations against each other.
func (o *Options) checkDurations() error {
	lag := o.lag()
	return check([]need{
		{o.FlushInterval > 0, "FlushInterval", o.FlushInterval, "more than 0"},
		{o.FeedInterval > 0, "FeedInterval", o.FeedInterval, "more than 0"},
		{o.MaxStaleness >= 2*o.FeedInterval, "MaxStaleness", o.MaxStaleness, fmt.Sprintf("at least twice FeedInterval (%v)", o.FeedInterval)},
		{o.MaxStaleness <= time.Minute, "MaxStaleness", o.MaxStaleness, "at most 1m0s"},
		{o.StaleGrace <= time.Hour, "StaleGrace", o.StaleGrace, "at most 1h0m0s"},
		{o.StoreTimeout > 0 && o.StoreTimeout <= o.MaxStaleness, "StoreTimeout", o.StoreTimeout, fmt.Sprintf("more than 0 and at most MaxStaleness (%v)", o.MaxStaleness)},
		{o.VeryActive > 0, "VeryActive", o.VeryActive, "more than 0"},
		{o.Online > o.VeryActive, "Online", o.Online, fmt.Sprintf("more than VeryActive (%v)", o.VeryActive)},
		{o.RecentlyActive > o.Online, "RecentlyActive", o.RecentlyActive, fmt.Sprintf("more than Online (%v)", o.Online)},
		{o.RecentlyActive <= 24*time.Hour, "RecentlyActive", o.RecentlyActive, "at most 24h0m0s"},
		{o.FlushInterval < o.VeryActive/2, "FlushInterval", o.FlushInterval, fmt.Sprintf("less than half of VeryActive (%v), the smallest online window", o.VeryActive)},
		{o.TouchInterval < o.VeryActive/2, "TouchInterval", o.TouchInterval, fmt.Sprintf("less than half of VeryActive (%v), the smallest online window", o.VeryActive)},
		{o.PresenceStep < o.VeryActive/2, "PresenceStep", o.PresenceStep, fmt.Sprintf("less than half of VeryActive (%v), the smallest online window", o.VeryActive)},
		{o.IdleTimeout == 0 || o.IdleTimeout > lag, "IdleTimeout", o.IdleTimeout, fmt.Sprintf("more than TouchInterval + FlushInterval + 1s (%v), or negative for none", lag)},
		{o.Lifetime == 0 || o.Lifetime > lag, "Lifetime", o.Lifetime, fmt.Sprintf("more than TouchInterval + FlushInterval + 1s (%v), or negative for none", lag)},
		{o.Retention < 0 || o.Retention >= time.Minute, "Retention", o.Retention, "at least 1m0s, or negative to keep for ever"},
		{o.KeepEnded >= o.Retention, "KeepEnded", o.KeepEnded, fmt.Sprintf("at least Retention (%v)", o.Retention)},
		{o.HistoryRetention >= 48*time.Hour, "HistoryRetention", o.HistoryRetention, "at least 48h0m0s"},
		{o.SampleInterval < 0 || o.SampleInterval <= time.Minute, "SampleInterval", o.SampleInterval, "at most 1m0s, or negative for none"},
	})
}

func (o *Options) checkOther() error {
	for _, origin := range o.TrustedOrigins {
		if u, err := url.Parse(origin); err != nil || u.Host == "" || origin != u.Scheme+"://"+u.Host {
			return fmt.Errorf("sessiontrack: Options.TrustedOrigins has %q: want scheme://host[:port]", origin)
		}
	}
	return errors.Join(check([]need{
		{o.MaxSessions >= 0, "MaxSessions", o.MaxSessions, "0 (any number) or more"},
		{o.LimitPolicy == EndOldest || o.LimitPolicy == DenyNew, "LimitPolicy", int(o.LimitPolicy), "EndOldest or DenyNew"},
	}), o.AddressMode.validate(), o.UserAgentMode.validate(), validateClientIP(o.ClientIP))
}

func (o *Options) defaultCookie() error {
	if o.Cookie == nil {
		return nil
	}
	c := *o.Cookie
	if c.Name == "" {
		c.Name = "__Host-session"
		if c.InsecureHTTP {
			c.Name = "session"
		}
	}
	if c.SameSite == 0 {
		c.SameSite = http.SameSiteLaxMode
	}
	o.Cookie = &c
	probe := http.Cookie{Name: c.Name, Value: "x"}
	return check([]need{
		{probe.Valid() == nil && len(c.Name) <= 64, "Cookie.Name", c.Name, "a cookie name of at most 64 characters"},
		{c.InsecureHTTP || strings.HasPrefix(c.Name, "__Host-"), "Cookie.Name", c.Name, "a name that begins with __Host-, or Cookie.InsecureHTTP"},
		{!c.InsecureHTTP || !strings.HasPrefix(c.Name, "__"), "Cookie.Name", c.Name, "a name without __Host- or __Secure- where Cookie.InsecureHTTP is set"},
		{c.SameSite == http.SameSiteLaxMode || c.SameSite == http.SameSiteStrictMode, "Cookie.SameSite", int(c.SameSite), "http.SameSiteLaxMode or http.SameSiteStrictMode"},
		{c.MaxAge >= 0, "Cookie.MaxAge", c.MaxAge, "0 or more"},
	})
}

// SkipPrefixes matches requests by their path, for Skip, Public and Passive. A
// prefix matches at segment borders only: "/docs" is /docs and /docs/x, not
// /docsecret; "/static/" is everything below; "/" is the root page alone. A path
// that a router might read as another one (with "//", "/./", "/../" or a
// backslash, escaped or not) never matches, so that nothing protected can be
// reached in the name of a skipped path.
func SkipPrefixes(prefixes ...string) func(*http.Request) bool {
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
