package sessiontrack

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"time"
)

const (
	// leastDuration is the shortest interval. A smaller value is a number without its unit, such as
	// FlushInterval: 2 for two nanoseconds.
	leastDuration = time.Millisecond
	// mostDuration means "no upper bound".
	mostDuration = time.Duration(math.MaxInt64)
	// maxCache bounds the caches. An entry has some hundred bytes to 1 KiB.
	maxCache = 100_000_000
)

// need is one rule about a field: whether it holds, and the message if it does not.
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

// lag is how long activity may be unwritten, plus one second for differences between clocks.
func (o *Options) lag() time.Duration { return o.TouchInterval + o.FlushInterval + time.Second }

// idleFor returns when the store may end a session as idle: IdleTimeout plus lag, because unwritten
// activity would keep the session alive. Zero means never.
func (o *Options) idleFor() time.Duration {
	if o.IdleTimeout == 0 {
		return 0
	}
	return o.IdleTimeout + min(o.lag(), mostDuration-o.IdleTimeout)
}

// checkDurations checks each duration against its own bounds. A duration that was switched off by a
// negative value is zero here.
func (o *Options) checkDurations() error {
	var needs []need
	for _, d := range []struct {
		field string
		value time.Duration
		off   string // what a negative value means; empty if it is not allowed
		least time.Duration
		most  time.Duration
	}{
		{"TouchInterval", o.TouchInterval, "at every request", leastDuration, 24 * time.Hour},
		{"FlushInterval", o.FlushInterval, "", leastDuration, 24 * time.Hour},
		{"PresenceStep", o.PresenceStep, "with every touch", leastDuration, 24 * time.Hour},
		{"FeedInterval", o.FeedInterval, "", leastDuration, 30 * time.Second},
		{"MaxStaleness", o.MaxStaleness, "", leastDuration, time.Minute},
		{"StaleGrace", o.StaleGrace, "none", leastDuration, time.Hour},
		{"SampleInterval", o.SampleInterval, "none", leastDuration, time.Minute},
		{"CleanupInterval", o.CleanupInterval, "none", leastDuration, mostDuration},
		{"StoreTimeout", o.StoreTimeout, "", leastDuration, time.Minute},
		{"IdleTimeout", o.IdleTimeout, "none", leastDuration, mostDuration},
		{"Lifetime", o.Lifetime, "none", leastDuration, mostDuration},
		{"Retention", o.Retention, "for ever", time.Minute, mostDuration},
		{"KeepEnded", o.KeepEnded, "", time.Minute, mostDuration},
		{"HistoryRetention", o.HistoryRetention, "", 48 * time.Hour, mostDuration},
		{"AuditRetention", o.AuditRetention, "for ever", time.Minute, mostDuration},
		{"VeryActive", o.VeryActive, "", leastDuration, 24 * time.Hour},
		{"Online", o.Online, "", leastDuration, 24 * time.Hour},
		{"RecentlyActive", o.RecentlyActive, "", leastDuration, 24 * time.Hour},
	} {
		n := need{d.value >= d.least && d.value <= d.most, d.field, d.value, fmt.Sprintf("%v to %v", d.least, d.most)}
		if d.most == mostDuration {
			n.bound = fmt.Sprintf("at least %v", d.least)
		}
		if d.off != "" {
			n.holds = n.holds || d.value <= 0
			n.bound += ", or negative: " + d.off
		}
		needs = append(needs, n)
	}
	return check(needs)
}

// checkRelations checks the durations against each other.
func (o *Options) checkRelations() error {
	lag, half := o.lag(), o.VeryActive/2
	smallest := fmt.Sprintf("less than half of VeryActive (%v), the smallest online window", o.VeryActive)
	beyond := fmt.Sprintf("more than TouchInterval + FlushInterval + 1s (%v), or negative: none", lag)
	return check([]need{
		{o.FeedInterval <= o.MaxStaleness/2, "MaxStaleness", o.MaxStaleness, fmt.Sprintf("at least twice FeedInterval (%v)",
			o.FeedInterval)},
		{o.StoreTimeout <= o.MaxStaleness, "StoreTimeout", o.StoreTimeout, fmt.Sprintf("at most MaxStaleness (%v)",
			o.MaxStaleness)},
		{o.Online > o.VeryActive, "Online", o.Online, fmt.Sprintf("more than VeryActive (%v)", o.VeryActive)},
		{o.RecentlyActive > o.Online, "RecentlyActive", o.RecentlyActive, fmt.Sprintf("more than Online (%v)", o.Online)},
		{o.FlushInterval < half, "FlushInterval", o.FlushInterval, smallest},
		{o.TouchInterval < half, "TouchInterval", o.TouchInterval, smallest},
		{o.PresenceStep < half, "PresenceStep", o.PresenceStep, smallest},
		{o.IdleTimeout == 0 || o.IdleTimeout > lag, "IdleTimeout", o.IdleTimeout, beyond},
		{o.Lifetime == 0 || o.Lifetime > lag, "Lifetime", o.Lifetime, beyond},
		{o.KeepEnded >= o.Retention, "KeepEnded", o.KeepEnded, fmt.Sprintf("at least Retention (%v)", o.Retention)},
	})
}

func (o *Options) checkOther() error {
	return errors.Join(check([]need{
		{o.MaxSessions >= 0, "MaxSessions", o.MaxSessions, "0 (any number) or more"},
		{o.Limit == nil || o.MaxSessions == 0, "MaxSessions", o.MaxSessions, "0 where Limit is set"},
		{o.LimitPolicy.valid(), "LimitPolicy", int(o.LimitPolicy), "EndOldest, DenyNew or EndLeastActive"},
		{o.CacheSize <= maxCache, "CacheSize", o.CacheSize, fmt.Sprintf("at most %d, or negative: none", maxCache)},
	}), checkOrigins("Options.TrustedOrigins", o.TrustedOrigins),
		o.AddressMode.validate(o.AddressKey), o.UserAgentMode.validate(), validateClientIP(o.ClientIP))
}

// zone loads Options.TimeZone. It refuses "Local", which differs between machines and is unknown to
// the programs that read the answers.
func (o *Options) zone() (*time.Location, error) {
	zone, err := time.LoadLocation(o.TimeZone)
	if err == nil && o.TimeZone == "Local" {
		err = errors.New("it differs between machines")
	}
	if err != nil {
		return nil, fmt.Errorf("sessiontrack: Options.TimeZone is %q: want an IANA time zone such as \"Asia/Jakarta\" "+
			"(import _ \"time/tzdata\" where the system has no zones): %w", o.TimeZone, err)
	}
	return zone, nil
}

// checkOrigins refuses an origin that is not in the form of RFC 6454 §6.2, in which browsers send
// it. With a path, a wildcard, capitals or the scheme's default port it would never match.
func checkOrigins(field string, origins []string) error {
	for _, origin := range origins {
		u, err := url.Parse(origin)
		if err != nil || u.Host == "" || origin != strings.ToLower(u.Scheme+"://"+u.Host) || strings.Contains(origin, "*") ||
			u.Scheme == "https" && u.Port() == "443" || u.Scheme == "http" && u.Port() == "80" {
			return fmt.Errorf("sessiontrack: %s has %q: want scheme://host[:port] as browsers send it: lower case, no path, "+
				"no wildcard, no default port", field, origin)
		}
	}
	return nil
}

// checkNil refuses nil pointers in interfaces. Such an interface is not nil; usually the host
// ignored an error.
func (o *Options) checkNil() error {
	for _, v := range []struct {
		field string
		value any
	}{
		{"Identifier", o.Identifier}, {"ClientIP", o.ClientIP}, {"Locator", o.Locator}, {"Directory", o.Directory},
	} {
		if isNil(v.value) {
			return fmt.Errorf("sessiontrack: Options.%s is a nil %T: want one that its constructor made, or none", v.field,
				v.value)
		}
	}
	if j, ok := o.Identifier.(*JWTIdentifier); ok && j.verifier == nil {
		return errors.New("sessiontrack: Options.Identifier is a zero JWTIdentifier: want one that NewJWTIdentifier made")
	}
	return nil
}

// isNil reports whether an interface holds a nil pointer or function.
func isNil(v any) bool {
	r := reflect.ValueOf(v)
	return (r.Kind() == reflect.Pointer || r.Kind() == reflect.Func) && r.IsNil()
}

// checkStore refuses a nil store, also as a nil pointer in the interface.
func checkStore(store Store) error {
	zero := false
	switch s := store.(type) {
	case nil:
		return errors.New("sessiontrack: New: the store is nil: want one that its constructor made")
	case *MemoryStore:
		zero = s != nil && s.rows == nil
	case *BunStore:
		zero = s != nil && s.db.DB == nil
	}
	if zero || isNil(store) {
		return fmt.Errorf("sessiontrack: New: the store is a nil or zero %T: want one that its constructor made", store)
	}
	return nil
}

const (
	// headerName is the default of Options.Header in net/http's canonical form.
	headerName = "X-Session-Id"
	// noHeader as Options.Header means that no header carries a token.
	noHeader = "-"
)

// passiveHeader marks a GET that a page sends by a timer and no person caused. Only this
// package's own handlers honour it: a stolen session that could say so anywhere would use
// the application without a trace of activity. A script of another site cannot send it.
const passiveHeader = "X-Session-Passive"

// defaultHeader brings the name into net/http's canonical form. It refuses names that mean
// something else to net/http, to browsers or to this package.
func (o *Options) defaultHeader() error {
	name := http.CanonicalHeaderKey(cmp.Or(o.Header, headerName))
	taken := []string{"Authorization", "Cookie", "Host", "Origin", "Content-Length", "Connection", passiveHeader}
	err := check([]need{
		{name == noHeader || len(name) <= 64 && isToken(name) && !slices.Contains(taken, name), "Header", o.Header,
			"the name of a header of your own, of at most 64 characters (RFC 9110 §5.6.2), or \"-\": none"},
		{name != noHeader || o.Cookie != nil || o.Identifier != nil, "Header", o.Header,
			"a name, where neither Cookie nor Identifier is set: nobody could be signed in"},
	})
	o.Header = name
	return err
}

func isToken(s string) bool {
	for i := range len(s) {
		if !isTokenByte(s[i]) {
			return false
		}
	}
	return s != ""
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
		{c.InsecureHTTP || strings.HasPrefix(c.Name, "__Host-"), "Cookie.Name", c.Name,
			"a name that begins with __Host-, or Cookie.InsecureHTTP"},
		{!c.InsecureHTTP || !strings.HasPrefix(c.Name, "__"), "Cookie.Name", c.Name,
			"a name without __Host- or __Secure- where Cookie.InsecureHTTP is set"},
		{c.SameSite == http.SameSiteLaxMode || c.SameSite == http.SameSiteStrictMode, "Cookie.SameSite", int(c.SameSite),
			"http.SameSiteLaxMode or http.SameSiteStrictMode"},
		{c.MaxAge == 0 || c.MaxAge >= time.Second, "Cookie.MaxAge", c.MaxAge, "0, or at least 1s"},
		{o.Lifetime <= 0 || c.MaxAge <= o.Lifetime, "Cookie.MaxAge", c.MaxAge,
			fmt.Sprintf("at most Lifetime (%v): the cookie would outlive the session", o.Lifetime)},
		{o.IdleTimeout <= 0 || c.MaxAge <= o.IdleTimeout, "Cookie.MaxAge", c.MaxAge,
			fmt.Sprintf("at most IdleTimeout (%v), or a longer one: the session would end before the cookie", o.IdleTimeout)},
	})
}
