package sessiontrack

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode"

	codec "github.com/sessiontrack/sessiontrack/internal/handle"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// capture keeps a log in both of slog's formats, and counts its records.
type capture struct {
	mu         sync.Mutex
	records    int
	text, json bytes.Buffer
	handlers   []slog.Handler
}

func newCapture() *capture {
	c := &capture{}
	all := &slog.HandlerOptions{Level: slog.LevelDebug}
	c.handlers = []slog.Handler{slog.NewTextHandler(&c.text, all), slog.NewJSONHandler(&c.json, all)}
	return c
}

func (c *capture) Enabled(context.Context, slog.Level) bool { return true }
func (c *capture) WithAttrs([]slog.Attr) slog.Handler       { return c }
func (c *capture) WithGroup(string) slog.Handler            { return c }
func (c *capture) Handle(ctx context.Context, r slog.Record) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.records++
	return errors.Join(c.handlers[0].Handle(ctx, r), c.handlers[1].Handle(ctx, r))
}

// checked returns the whole log. It asserts that the log has one line per record, and no character
// that a terminal interprets.
func (c *capture) checked(t *testing.T) string {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, log := range []string{c.text.String(), c.json.String()} {
		assert.Equal(t, c.records, strings.Count(log, "\n"), "lines and records")
		for _, r := range log {
			if r != '\n' && unicode.In(r, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp) {
				require.Fail(t, "a control character in the log", "%U", r)
			}
		}
	}
	return c.text.String() + c.json.String()
}

const unprintable = "evil\r\n{\"level\":\"INFO\"}\x1b[2J\u202e\u2028\u0085\x00"

// secretForms are the forms in which a secret could appear in a log.
func secretForms(token Token) []string {
	hash := sha256.Sum256((*token.hidden)[:])
	return []string{
		token.Reveal()[idChars+1:], hex.EncodeToString((*token.hidden)[:]),
		hex.EncodeToString(hash[:]), codec.Encoding.EncodeToString(hash[:]),
	}
}

// everyRequest sends every request as every user, and as an administrator it names hostile users.
func (s *site) everyRequest(bearer string) {
	for _, route := range routesUnderTest(s.tokens[bob].ID()) {
		for _, headers := range [][]string{nil, {headerName, s.issued[0]}, {"Authorization", bearer},
			{headerName, s.issued[0], "Authorization", bearer}, {"Authorization", "Bearer " + unprintable}} {
			s.as("", route.method, route.path, headers...)
		}
		s.as(adam, route.method, route.path)
	}
	for _, id := range []string{"user%E2%80%AE%E2%81%A6", "%0D%0Aevil", "%1b%5b2J", s.issued[0], "%C2%85", "%E2%80%A8"} {
		s.as(adam, "POST", adminPath+"force-logout-user/"+id)
		s.as(adam, "POST", adminPath+"force-logout/"+id)
		s.as(adam, "GET", adminPath+"user/"+id+"/sessions?q="+id)
	}
}

// saidNothing asserts that no secret was logged, and that the run covered what it should.
func (s *site) saidNothing(t *testing.T, text, bearer string) {
	t.Helper()
	for _, said := range []string{"admin action", "panicked", "guessing", "cannot be answered", "no names",
		string(s.tokens[bob].ID())} {
		assert.True(t, strings.Contains(text, said), "the run logs %q", said)
	}
	for _, issued := range s.issued {
		token, ok := parseToken(issued)
		require.True(t, ok)
		for _, secret := range secretForms(token) {
			assert.False(t, strings.Contains(text, secret), "a secret is logged")
		}
	}
	assert.NotContains(t, text, strings.TrimPrefix(bearer, "Bearer "))
	assert.NotContains(t, text, bearer[strings.LastIndexByte(bearer, '.'):], "the signature")
}

// TestLogsHoldNoSecretAndNoInjectedLine makes a site do everything that it logs: logins with
// hostile agents, admin actions on hostile names, refusals, guessing, panics in every function of
// the host, outages of store and directory (docs/checks.md S26, CVE-2023-20866; OWASP ASVS 16.2.5,
// 16.4.1).
func TestLogsHoldNoSecretAndNoInjectedLine(t *testing.T) {
	t.Parallel()
	log := newCapture()
	broken := &brokenStore{Store: NewMemoryStore()}
	jwts, err := NewJWTIdentifier(JWTOptions{Secret: outcomesKey})
	require.NoError(t, err)
	s := newSite(t, broken, siteOptions{tracker: func(o *Options) {
		quick(o)
		o.Logger, o.Identifier, o.SessionAlone, o.NumericUserIDs = slog.New(log), jwts, true, false
		o.StoreTimeout = time.Second
		fail := func(context.Context, Session) { panic(unprintable) }
		o.Hooks = Hooks{Login: fail, End: fail, NewDevice: fail}
		o.Observer.Count = func(string, int) { panic(errors.New(unprintable)) }
	}})
	s.roles[adam] = []string{"superadmin"}
	start(t, s)
	s.signInAll(t, alice, bob, adam)
	evil := "user\u202e\u2066"
	for _, agent := range []string{unprintable, strings.Repeat("\x1b]0;title\a", 100), "\xff\xfe"} {
		r := httptest.NewRequest("POST", "/login", nil)
		r.Header["User-Agent"] = []string{agent}
		r.Header["X-Forwarded-For"] = []string{agent}
		_, token, err := s.Login(httptest.NewRecorder(), r, evil)
		require.NoError(t, err)
		s.issued = append(s.issued, token.Reveal())
	}
	_, _, err = s.Login(httptest.NewRecorder(), request("POST", "/login"), unprintable)
	require.Error(t, err)
	assert.NotContains(t, err.Error(), "evil", "errors reach logs")
	bearer := bearerOf(t, "77", time.Hour)
	s.everyRequest(bearer)
	s.directory.fail.Store(true)
	s.as(adam, "GET", adminPath+"active-users")
	s.directory.fail.Store(false)
	s.directory.panics.Store(true)
	s.as(adam, "GET", adminPath+"active-users")
	for range guessesAlert + 1 {
		token := newToken()
		s.as("", "GET", onlinePath+"count", headerName, token.Reveal())
	}
	broken.away.Store(true)
	s.everyRequest(bearer)
	require.Equal(t, http.StatusServiceUnavailable, s.as(adam, "GET", adminPath+"active-users").Code)
	broken.away.Store(false)
	require.NoError(t, s.Shutdown(t.Context()))

	s.saidNothing(t, log.checked(t), bearer)
	t.Logf("figure S26: 0 secrets in %d records, each of them one line", log.records)
}

// TestMetricsAndErrorsCarryNoNames floods a Tracker with ids, agents and addresses and reads its
// counters (docs/checks.md P06). Their names come from one fixed list, their values are numbers,
// and no error repeats what a client sent.
func TestMetricsAndErrorsCarryNoNames(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	series := map[string]int{}
	f := newFixture(t, &Options{Identifier: byUser, SessionAlone: true,
		Observer: Observer{Count: func(name string, n int) {
			mu.Lock()
			defer mu.Unlock()
			series[name] += n
		}}}).started(t)
	before := len(f.Counters())
	for range 5000 {
		token := newToken()
		f.do("GET", "/"+token.String(), headerName, token.Reveal(), "User-Agent", "agent/"+token.String())
	}
	_, token := f.login(t, "somebody")
	for _, user := range []string{"bad", "expired", "broken", "panic", "somebody"} {
		f.do("GET", "/", "X-User", user, headerName, token.Reveal())
	}
	require.NoError(t, f.Shutdown(t.Context()))
	mu.Lock()
	defer mu.Unlock()
	known := map[string]bool{}
	for _, name := range counterNames {
		known[name] = true
	}
	for name := range series {
		assert.True(t, known[name], name)
	}
	assert.Len(t, f.Counters(), before, "a flood adds no series")
	assert.LessOrEqual(t, before, 50)
	t.Logf("figure P06: %d series after a flood", before)

	told := func(err error) {
		t.Helper()
		require.Error(t, err)
		for _, sent := range []string{"\u202e", "evil", token.Reveal()[idChars+1:], "192.0.2.1"} {
			assert.NotContains(t, err.Error(), sent)
		}
	}
	_, _, err := f.Login(httptest.NewRecorder(), request("POST", "/login"), unprintable)
	told(err)
	_, err = f.Get(t.Context(), SessionID(unprintable))
	told(err)
	_, err = ParseSessionID(token.Reveal())
	told(err)
	_, err = ParseCursor(unprintable)
	told(err)
	_, err = f.End(t.Context(), IDs(SessionID(token.Reveal())), Ending{Reason: ""})
	told(err)
}
