package sessiontrack

import (
	"bytes"
	"context"
	"log/slog"
	"math"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestOptionsNameWhatIsWrong: the message has the field and the bound; a number that
// lacks its unit is as wrong as the others.
func TestOptionsNameWhatIsWrong(t *testing.T) {
	t.Parallel()
	const most = time.Duration(math.MaxInt64)
	for name, c := range map[string]struct {
		o    Options
		want string
	}{
		"touch, 5 ns": {Options{TouchInterval: 5},
			"Options.TouchInterval is 5ns: want 1ms to 24h0m0s, or negative: at every request"},
		"flush, 2 ns":     {Options{FlushInterval: 2}, "Options.FlushInterval is 2ns: want 1ms to 24h0m0s"},
		"flush, negative": {Options{FlushInterval: -1}, "Options.FlushInterval is -1ns: want 1ms to"},
		"presence, 30 ns": {Options{PresenceStep: 30}, "Options.PresenceStep is 30ns: want 1ms"},
		"feed, 1 ns":      {Options{FeedInterval: 1}, "Options.FeedInterval is 1ns: want 1ms to 30s"},
		"feed, most":      {Options{FeedInterval: most}, "Options.FeedInterval"},
		"feed, above staleness": {Options{FeedInterval: 3 * time.Second},
			"Options.MaxStaleness is 5s: want at least twice FeedInterval (3s)"},
		"staleness, 1 h": {Options{MaxStaleness: time.Hour}, "Options.MaxStaleness is 1h0m0s: want 1ms to 1m0s"},
		"grace, 30 ns": {Options{StaleGrace: 30},
			"Options.StaleGrace is 30ns: want 1ms to 1h0m0s, or negative: none"},
		"sample, 1 ns": {Options{SampleInterval: 1},
			"Options.SampleInterval is 1ns: want 1ms to 1m0s, or negative: none"},
		"cleanup, 10 ns": {Options{CleanupInterval: 10},
			"Options.CleanupInterval is 10ns: want at least 1ms, or negative: none"},
		"timeout, 500 ns": {Options{StoreTimeout: 500}, "Options.StoreTimeout is 500ns: want 1ms"},
		"idle, below the lag": {Options{IdleTimeout: time.Second},
			"Options.IdleTimeout is 1s: want more than TouchInterval + FlushInterval + 1s (18s), or negative: none"},
		"retention, 180 ns": {Options{Retention: 180},
			"Options.Retention is 180ns: want at least 1m0s, or negative: for ever"},
		"kept, negative": {Options{Retention: -1, KeepEnded: -1}, "Options.KeepEnded is -1ns: want at least 1m0s"},
		"kept, below retention": {Options{KeepEnded: time.Hour},
			"Options.KeepEnded is 1h0m0s: want at least Retention (4320h0m0s)"},
		"history, an hour": {Options{HistoryRetention: time.Hour},
			"Options.HistoryRetention is 1h0m0s: want at least 48h0m0s"},
		"very active, 5 ns":   {Options{VeryActive: 5}, "Options.VeryActive is 5ns: want 1ms to 24h0m0s"},
		"zone of the machine": {Options{TimeZone: "Local"}, `Options.TimeZone is "Local": want an IANA time zone`},
		"cache": {Options{CacheSize: math.MaxInt},
			"Options.CacheSize is 9223372036854775807: want at most 100000000"},
		"cookie, 3600 ns": {Options{Cookie: &CookieOptions{MaxAge: 3600}},
			"Options.Cookie.MaxAge is 3.6µs: want 0, or at least 1s"},
		"origin, a path": {Options{TrustedOrigins: []string{"https://a.example/"}},
			`Options.TrustedOrigins has "https://a.example/": want scheme://host[:port]`},
		"origin, a wildcard":   {Options{TrustedOrigins: []string{"https://*.example"}}, "no wildcard"},
		"origin, capitals":     {Options{TrustedOrigins: []string{"https://App.example"}}, "lower case"},
		"origin, default port": {Options{TrustedOrigins: []string{"https://app.example:443"}}, "no default port"},
		"nil identifier": {Options{Identifier: (*JWTIdentifier)(nil)},
			"Options.Identifier is a nil *sessiontrack.JWTIdentifier"},
		"zero identifier": {Options{Identifier: &JWTIdentifier{}}, "Options.Identifier is a zero JWTIdentifier"},
		"nil function": {Options{Identifier: IdentifierFunc(nil)},
			"Options.Identifier is a nil sessiontrack.IdentifierFunc"},
		"nil client address": {Options{ClientIP: ClientIPFunc(nil)},
			"Options.ClientIP is a nil sessiontrack.ClientIPFunc"},
		"nil locator": {Options{Locator: (*placer)(nil)}, "Options.Locator is a nil *sessiontrack.placer"},
		"everybody a proxy": {Options{ClientIP: TrustedProxies(netip.MustParsePrefix("::/0"))},
			"Options.ClientIP: trusted prefix ::/0"},
	} {
		_, err := New(NewMemoryStore(), &c.o)
		require.Error(t, err, name)
		assert.ErrorContains(t, err, c.want, name)
	}
	for name, store := range map[string]Store{"nil": (*MemoryStore)(nil), "zero": &MemoryStore{},
		"nil Bun": (*BunStore)(nil), "zero Bun": &BunStore{}} {
		_, err := New(store, nil)
		assert.ErrorContains(t, err, "New: the store is a nil or zero", name)
	}
}

// TestOptionsAtTheirBounds: what the messages name as good is taken.
func TestOptionsAtTheirBounds(t *testing.T) {
	t.Parallel()
	for name, o := range map[string]Options{
		"least": {
			TouchInterval: time.Millisecond, FlushInterval: time.Millisecond, PresenceStep: time.Millisecond,
			FeedInterval: time.Millisecond,
			MaxStaleness: 2 * time.Millisecond, StaleGrace: time.Millisecond, StoreTimeout: time.Millisecond,
			SampleInterval:  time.Millisecond,
			CleanupInterval: time.Millisecond, IdleTimeout: 1003 * time.Millisecond, Retention: time.Minute,
			KeepEnded:  time.Minute,
			VeryActive: 3 * time.Millisecond, Online: 4 * time.Millisecond, RecentlyActive: 5 * time.Millisecond,
			HistoryRetention: 48 * time.Hour,
		},
		"most": {
			MaxStaleness: time.Minute, FeedInterval: 30 * time.Second, StaleGrace: time.Hour, StoreTimeout: time.Minute,
			RecentlyActive: 24 * time.Hour,
			IdleTimeout:    mostDuration, Lifetime: mostDuration, CleanupInterval: mostDuration, Retention: mostDuration,
			KeepEnded: mostDuration, HistoryRetention: mostDuration,
		},
		"off": {
			IdleTimeout: -1, Lifetime: -1, TouchInterval: -1, PresenceStep: -1, StaleGrace: -1, SampleInterval: -1,
			CleanupInterval: -1,
			Retention:       -1, CacheSize: -1, MaxSubscribers: -1,
		},
		"origins": {TrustedOrigins: []string{"https://app.example:8443", "http://localhost:3000", "capacitor://localhost"}},
	} {
		f := newFixture(t, &o)
		_, token := f.login(t, "1")
		assert.Equal(t, http.StatusOK, f.get(token).Code, name)
	}
}

func TestSkipPrefixesRefusesWhatMatchesNothingOrAll(t *testing.T) {
	t.Parallel()
	for _, prefix := range []string{"", "docs", "https://a.example/docs", "//", "/a/../b", "/a//b", `/a\b`} {
		assert.Panics(t, func() { SkipPrefixes("/static/", prefix) }, prefix)
	}
}

func TestJWTOptionsBounds(t *testing.T) {
	t.Parallel()
	secret := make([]byte, 32)
	_, err := NewJWTIdentifier(JWTOptions{Secret: secret, CacheSize: math.MaxInt})
	require.ErrorContains(t, err, "JWTOptions.CacheSize is 9223372036854775807: want at most 100000000")
	_, err = NewJWTIdentifier(JWTOptions{Secret: secret, IssuerSessions: true, SessionClaim: "-"})
	require.ErrorContains(t, err, "JWTOptions.IssuerSessions is set and SessionClaim is")
}

func TestNilHandlersAreRefusedAtOnce(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	assert.PanicsWithValue(t, "sessiontrack: Middleware: the handler is nil", func() { f.Middleware(nil) })
	assert.PanicsWithValue(t, "sessiontrack: Require: the handler is nil", func() { f.Require(http.HandlerFunc(nil)) })
	assert.PanicsWithValue(t, "sessiontrack: RequireRole: the handler is nil", func() { f.RequireRole(nil, "admin") })
}

// TestAdminHandlerThatLetsNobodyInSaysSo: 403 for everybody has a reason that no
// request can tell.
func TestAdminHandlerThatLetsNobodyInSaysSo(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		o    Options
		want int
	}{
		"neither":    {Options{}, 1},
		"roles":      {Options{Roles: func(context.Context, string) ([]string, error) { return nil, nil }}, 0},
		"identifier": {Options{Identifier: byUser}, 0},
	} {
		var log bytes.Buffer
		c.o.Logger = slog.New(slog.NewTextHandler(&log, nil))
		newFixture(t, &c.o).AdminHandler(nil)
		assert.Equal(t, c.want, strings.Count(log.String(), "nobody has a role"), name)
	}
}

// TestOriginsOfStreamsAreOrigins: one that could never match is a mistake.
func TestOriginsOfStreamsAreOrigins(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	for _, origin := range []string{"*", "app.example.com", "https://*.example.com", "https://App.example.com",
		"https://a.example.com/"} {
		assert.Panics(t, func() { f.UserHandler(&UserOptions{Origins: []string{origin}}) }, origin)
	}
	f.UserHandler(&UserOptions{Origins: []string{"https://app.example.com", "http://localhost:3000"}})
}
