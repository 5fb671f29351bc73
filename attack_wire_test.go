package sessiontrack

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/sessiontrack/sessiontrack/internal/text"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestNoAnswerIsKept sends every method to every route, as every user, with and without an outage
// of the store (docs/checks.md S22, ASVS 14.3.2). No cache may keep an answer. No answer contains a
// credential or redirects the client to a URL with one.
func TestNoAnswerIsKept(t *testing.T) {
	t.Parallel()
	broken := &brokenStore{Store: NewMemoryStore()}
	s := newSite(t, broken, siteOptions{})
	mux := http.NewServeMux()
	mux.Handle("/api/", s.handler)
	mux.HandleFunc("POST /logout", s.Logout)
	mux.Handle("/required", s.Require(http.NotFoundHandler()))
	s.handler = mux
	walked := 0
	for _, away := range []bool{false, true} {
		broken.away.Store(false)
		s.signInAll(t, alice, bob, adam, ruth)
		broken.away.Store(away)
		routes := append(routesUnderTest(s.tokens[bob].ID()),
			routeUnderTest{"GET", onlinePath + "nothing", ""}, routeUnderTest{"GET", adminPath + "nothing", ""},
			routeUnderTest{"GET", adminPath, ""},
			routeUnderTest{"POST", "/logout", ""}, routeUnderTest{"GET", onlinePath + "count?minutes=x", ""},
			routeUnderTest{"HEAD", onlinePath + "events", ""})
		for _, route := range routes {
			for _, method := range allMethods {
				if strings.HasSuffix(route.path, "/events") && method == http.MethodGet || route.path == "/logout" &&
					method != http.MethodPost {
					continue // streams have their own tests; the mux answers 405 for /logout
				}
				for _, user := range []string{"", alice, adam, ruth} {
					w := s.as(user, method, route.path)
					walked++
					assert.Equal(t, "no-store", w.Header().Get("Cache-Control"), "%s %s", method, route.path)
					text := fmt.Sprint(w.Header()) + w.Body.String()
					for _, issued := range s.issued {
						require.NotContains(t, text, issued[idChars+1:], "%s %s", method, route.path)
					}
				}
			}
		}
		assert.Equal(t, "no-store", s.as("", "GET", "/required").Header().Get("Cache-Control"))
	}
	assert.Greater(t, walked, 1000)
	t.Logf("figure S22: no-store in each of %d answers", walked)
}

// TestNoURLHoldsAToken: a credential in a query or a path does not authenticate (docs/checks.md
// S22, ASVS 14.2.1), so no log of URLs contains one.
func TestNoURLHoldsAToken(t *testing.T) {
	t.Parallel()
	s := newSite(t, NewMemoryStore(), siteOptions{})
	s.signInAll(t, bob, ruth)
	token := s.tokens[ruth].Reveal()
	jwt := strings.TrimPrefix(bearerOf(t, ruth, time.Hour), "Bearer ")
	for _, route := range routesUnderTest(s.tokens[bob].ID()) {
		for _, name := range []string{"x-session-id", "X-Session-Id", "session", "__Host-session", "sessionId", "token",
			"ticket", "sid", "Authorization"} {
			requireProblem(t, s.as("", route.method, route.path+"?"+name+"="+token), 401, "unauthenticated")
		}
		requireProblem(t, s.as("", route.method, route.path+"?access_token="+jwt), 401, "unauthenticated")
	}
	for _, path := range []string{"events?token=" + token, "events?users=1&x-session-id=" + token} {
		requireProblem(t, s.as("", "GET", onlinePath+path), 401, "unauthenticated")
	}
	w := s.as(ruth, "POST", adminPath+"force-logout/"+token)
	requireProblem(t, w, 404, "not_found")
}

// sendBytes writes a request byte by byte and returns the answer. It fails for 500 and above.
func sendBytes(t *testing.T, address, name, start string, headers ...string) (status int, body []byte) {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	require.NoError(t, err)
	defer func() { _ = conn.Close() }()
	require.NoError(t, conn.SetDeadline(time.Now().Add(patience)))
	_, err = conn.Write([]byte(start + " HTTP/1.1\r\nHost: example.com\r\nConnection: close\r\n" + strings.Join(headers,
		"") + "\r\n"))
	require.NoError(t, err, name)
	answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
	require.NoError(t, err, name)
	defer func() { _ = answer.Body.Close() }()
	require.Less(t, answer.StatusCode, 500, name)
	body, err = io.ReadAll(answer.Body)
	require.NoError(t, err, name)
	return answer.StatusCode, body
}

// TestHostileBytesOnTheWire writes requests that no client library would write (docs/checks.md
// S29). No answer is 500 or above, and the next request works.
func TestHostileBytesOnTheWire(t *testing.T) {
	t.Parallel()
	onEachStore(t, func(t *testing.T, store Store) {
		s := newSite(t, store, siteOptions{tracker: func(o *Options) {
			o.ClientIP = TrustedProxies(netip.MustParsePrefix("127.0.0.0/8"))
		}})
		s.signInAll(t, adam)
		mux := http.NewServeMux()
		mux.HandleFunc("POST /login", func(w http.ResponseWriter, r *http.Request) {
			session, _, err := s.Login(w, r, alice)
			if err != nil {
				w.WriteHeader(http.StatusServiceUnavailable)
				return
			}
			_, _ = w.Write([]byte(session.ID))
		})
		mux.Handle("/", s.handler)
		server := httptest.NewUnstartedServer(mux)
		server.Config.MaxHeaderBytes = 8 << 20
		server.Start()
		defer server.Close()
		send := func(name, start string, headers ...string) int {
			status, body := sendBytes(t, server.Listener.Addr().String(), name, start, headers...)
			if start == "POST /login" && status == 200 {
				got, err := s.Get(t.Context(), SessionID(body))
				require.NoError(t, err, name)
				assert.LessOrEqual(t, len(got.UserAgent), maxUserAgent, name)
				assert.True(t, text.Valid(got.UserAgent), name)
				assert.False(t, strings.ContainsAny(got.UserAgent, "\u202e\u2066"), name)
			}
			return status
		}
		many := strings.Repeat("X-Forwarded-For: 192.0.2.7\r\n", 45_000)
		for name, header := range map[string]string{
			"0xFF": "User-Agent: \xff\xfe\r\n", "tabs": "User-Agent: a\tb\tc\r\n", "C1": "User-Agent: \u0085\u009b2J\r\n",
			"bidi":   "User-Agent: \u202eevil\u2066\r\n",
			"900 KB": "User-Agent: " + strings.Repeat("(é; ", 180_000) + "\r\n", "45,000 lines": many,
			"NUL": "User-Agent: a\x00b\r\n", "ESC": "User-Agent: \x1b[2J\r\n",
			"folded": "User-Agent: a\r\n b\r\n", "hints": "Sec-Ch-Ua: " + strings.Repeat(`"x";v="1",`, 50_000) + "\r\n",
		} {
			status := send(name, "POST /login", header)
			if name != "NUL" && name != "ESC" { // net/http refuses these
				assert.Equal(t, 200, status, name)
			}
		}
		own := headerName + ": " + s.tokens[adam].Reveal() + "\r\n"
		for _, id := range []string{"%00", "%ff", "%2f", "a%00b", "a%ffb", "a%2f..%2fb", "%e2%80%ae", "%c0%af", "%0d%0a",
			strings.Repeat("%2e%2e%2f", 500), "%zz", "\xff", "\x7f"} {
			for _, path := range []string{"GET " + adminPath + "user/" + id + "/sessions", "POST " + adminPath +
				"force-logout/" + id, "DELETE " + onlinePath + "sessions/" + id, "GET " + adminPath + "active-users?q=" + id} {
				send(path, path, own)
			}
		}
		assert.Equal(t, 200, send("next", "GET "+adminPath+"active-users", own))
	})
}
