package main

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestLoginAnswersAsTheOriginal(t *testing.T) {
	t.Parallel()
	onEachStore(t, func(t *testing.T, d *demo) {
		r := d.do(http.MethodPost, "/login", loginBody("admin@example.com", password))
		require.Equal(t, http.StatusOK, r.status, "%s", r)
		assert.Equal(t, "application/json; charset=utf-8", r.header.Get("Content-Type"))
		assert.Equal(t, "no-store", r.header.Get("Cache-Control"))
		assert.Equal(t, "session="+r.field("sessionId").(string), cookieOf(t, r))
		assert.ElementsMatch(t, []string{"message", "token", "user", "sessionId"}, keys(r.field()))
		assert.ElementsMatch(t, []string{"type", "token", "expires_at"}, keys(r.field("token")))
		assert.Equal(t, map[string]any{
			"id": 1.0, "email": "admin@example.com", "fullName": "Dewi Anggraini", "isActive": true, "roles": []any{"admin"},
		}, r.field("user"))
		assert.Equal(t, "bearer", r.field("token", "type"))
		assert.Regexp(t, `^[A-Za-z0-9_-]{22}\.[A-Za-z0-9_-]{43}$`, r.field("sessionId"))

		claims := claimsOf(t, r.field("token", "token").(string))
		handle, _, _ := strings.Cut(r.field("sessionId").(string), ".")
		assert.Equal(t, "1", claims["sub"])
		assert.Equal(t, handle, claims["sid"])
		assert.Equal(t, []any{"admin"}, claims["roles"])
		assert.EqualValues(t, 12*60*60, claims["exp"].(float64)-claims["iat"].(float64))
		expires, err := time.Parse(time.RFC3339, r.field("token", "expires_at").(string))
		require.NoError(t, err)
		assert.EqualValues(t, claims["exp"], expires.Unix())
	})
}

func keys(object any) []string {
	var names []string
	for name := range object.(map[string]any) {
		names = append(names, name)
	}
	return names
}

func claimsOf(t *testing.T, bearer string) map[string]any {
	t.Helper()
	parts := strings.Split(bearer, ".")
	require.Len(t, parts, 3)
	text, err := base64.RawURLEncoding.DecodeString(parts[1])
	require.NoError(t, err)
	claims := make(map[string]any)
	require.NoError(t, json.Unmarshal(text, &claims))
	return claims
}

func TestEveryAccountSignsIn(t *testing.T) {
	t.Parallel()
	d := startDemo(t)
	for name, role := range map[string]string{
		"admin": "admin", "root": "superadmin", "user1": "user", "user50": "user", "sim1": "user", "USER2": "user",
	} {
		c := d.signIn(name)
		r := d.get("/api/me", as(c))
		assert.Equal(t, []any{role}, r.field("user", "roles"), name)
		assert.Equal(t, strings.ToLower(name)+"@example.com", r.field("user", "email"))
		assert.EqualValues(t, c.userID, r.field("session", "userId"))
		assert.Equal(t, c.handle, r.field("session", "sessionId"))
	}
}

func TestLoginRefuses(t *testing.T) {
	t.Parallel()
	d := startDemo(t)
	right := loginBody("user1@example.com", password)
	for name, test := range map[string]struct {
		body   string
		status int
		code   string
		detail string
	}{
		"wrong password":    {loginBody("user1@example.com", "Demo"), 401, "login_failed", "e-mail or the password"},
		"unknown user":      {loginBody("user51@example.com", password), 401, "login_failed", "e-mail or the password"},
		"NUL in the e-mail": {loginBody("user1@example.com\x00", password), 401, "login_failed", ""},
		"no body":           {"", 400, "bad_request", "email"},
		"no e-mail":         {`{"password":"demo"}`, 400, "bad_request", "email"},
		"no password":       {`{"email":"user1@example.com"}`, 400, "bad_request", "password"},
		"empty password":    {loginBody("user1@example.com", ""), 400, "bad_request", "password"},
		"e-mail a number":   {`{"email":7,"password":"demo"}`, 400, "bad_request", "email"},
		"password a list":   {`{"email":"x","password":[]}`, 400, "bad_request", "password"},
		"e-mail of 300":     {loginBody(strings.Repeat("x", 300), password), 400, "bad_request", "email"},
		"password of 300":   {loginBody("x", strings.Repeat("x", 300)), 400, "bad_request", "password"},
		"an array":          {"[" + right + "]", 400, "bad_request", "object"},
		"two objects":       {right + right, 400, "bad_request", "object"},
		"cut off":           {right[:len(right)-1], 400, "bad_request", "object"},
		"not JSON":          {"email=user1@example.com&password=demo", 400, "bad_request", "object"},
		"too large":         {right + strings.Repeat(" ", 5000), 413, "too_large", "4096"},
	} {
		t.Run(name, func(t *testing.T) {
			r := d.do(http.MethodPost, "/login", test.body)
			requireProblem(t, r, test.status, test.code)
			assert.Contains(t, r.field("detail"), test.detail)
		})
	}
	wrong := d.do(http.MethodPost, "/login", loginBody("user1@example.com", "no"))
	unknown := d.do(http.MethodPost, "/login", loginBody("nobody@example.com", "no"))
	assert.Equal(t, wrong.body, unknown.body, "must not tell who has an account")
}

func TestLoginReplacesTheSessionThatItCarries(t *testing.T) {
	t.Parallel()
	onEachStore(t, func(t *testing.T, d *demo) {
		first := d.signIn("user1")
		second := d.signIn("user2", as(first))
		assert.NotEqual(t, first.handle, second.handle)
		requireEnded(t, d.get("/api/me", as(first)), "replaced")
		assert.Equal(t, http.StatusOK, d.get("/api/me", as(second)).status)

		d.signIn("user3", with("X-Session-Id", second.handle)) // proves nothing
		assert.Equal(t, http.StatusOK, d.get("/api/me", as(second)).status)
		d.signIn("user3", as(first)) // an ended one does not hinder
	})
}

func requireEnded(t *testing.T, r reply, reason string) {
	t.Helper()
	requireProblem(t, r, http.StatusUnauthorized, "session_ended")
	require.Equal(t, reason, r.field("reason"))
}

func TestLogout(t *testing.T) {
	t.Parallel()
	onEachStore(t, func(t *testing.T, d *demo) {
		c, other := d.signIn("user1"), d.signIn("user1")
		assert.Equal(t, http.StatusNoContent, d.do(http.MethodPost, "/logout", "", as(c)).status)
		requireEnded(t, d.get("/api/me", as(c)), "logout")
		assert.Equal(t, http.StatusOK, d.get("/api/me", as(other)).status)
		assert.Equal(t, http.StatusNoContent, d.do(http.MethodPost, "/logout", "").status, "also without a session")
	})
}

func TestPagesAndStaticFiles(t *testing.T) {
	t.Parallel()
	d := startDemo(t)
	for path, contentType := range map[string]string{
		"/": "text/html", "/docs": "text/html", "/static/style.css": "text/css", "/static/avatars/1.svg": "image/svg+xml",
		"/healthz": "text/plain", "/metrics": "text/plain", "/docs/openapi.yaml": "application/yaml",
	} {
		for name, carrier := range map[string]change{
			"anonymous": func(*http.Request) {}, "garbage": byBearer("garbage"), "handle": with("X-Session-Id", "x"),
		} {
			r := d.get(path, carrier)
			assert.Equal(t, http.StatusOK, r.status, "%s %s", path, name)
			assert.Contains(t, r.header.Get("Content-Type"), contentType, path)
		}
	}
	assert.Contains(t, string(d.get("/").body), "admin@example.com")
	assert.Contains(t, string(d.get("/").body), d.base+"/login")
	assert.Equal(t, "ok\n", string(d.get("/healthz").body))
	assert.Contains(t, string(d.get("/metrics").body), "sessiontrack_health{state=\"ok\"} 1\n")
	for _, path := range []string{"/nothing", "/static/", "/static/none", "/static/%2e%2e/index.html", "/static/avatars/0.svg", "/docs/x"} {
		requireProblem(t, d.get(path), http.StatusNotFound, "not_found")
	}
	for path, allow := range map[string]string{"/login": "GET, HEAD, POST", "/app": "GET, HEAD", "/step-up": "POST", "/logout": "POST", "/api/me": "GET, HEAD", "/": "GET, HEAD", "/healthz": "GET, HEAD", "/metrics": "GET, HEAD"} {
		r := d.do(http.MethodPut, path, "")
		requireProblem(t, r, http.StatusMethodNotAllowed, "method_not_allowed")
		assert.Equal(t, allow, r.header.Get("Allow"))
	}
}

// A redirect to /dashboard/ would lose what a proxy has cut.
func TestDashboardAddsItsSlashRelatively(t *testing.T) {
	t.Parallel()
	d := startDemo(t)
	answer, err := http.DefaultTransport.RoundTrip(httptest.NewRequest(http.MethodGet, d.base+"/dashboard", nil))
	require.NoError(t, err)
	defer answer.Body.Close()
	assert.Equal(t, "./dashboard/", answer.Header.Get("Location"))
}

func TestOtherSitesSignNobodyInOrOut(t *testing.T) {
	t.Parallel()
	d := startDemo(t)
	c := d.signIn("user1")
	for _, site := range []string{"cross-site", "same-site"} {
		for _, path := range []string{"/login", "/logout"} {
			r := d.do(http.MethodPost, path, loginBody("user1@example.com", password), as(c), with("Sec-Fetch-Site", site))
			requireProblem(t, r, http.StatusForbidden, "cross_origin")
		}
	}
	assert.Equal(t, http.StatusOK, d.get("/api/me", as(c)).status)
}

// TestLoginAsPrinted: the command that the demo prints sends JSON as curl does, with the type of a form.
func TestLoginAsPrinted(t *testing.T) {
	t.Parallel()
	d := startDemo(t)
	r := d.do(http.MethodPost, "/login", loginBody("admin@example.com", password),
		with("Content-Type", "application/x-www-form-urlencoded"))
	require.Equal(t, http.StatusOK, r.status, "%s", r)
	assert.NotEmpty(t, r.field("sessionId"))
}

func TestTrustedProxies(t *testing.T) {
	t.Parallel()
	forwarded := with("X-Forwarded-For", "198.51.100.7, 203.0.113.9")
	for name, test := range map[string]struct {
		args []string
		want string
	}{
		"nobody":         {nil, "127.0.0.1"},
		"the peer":       {[]string{"-trusted-proxies", "127.0.0.0/8"}, "203.0.113.9"},
		"peer and proxy": {[]string{"-trusted-proxies", "127.0.0.1, 203.0.113.0/24"}, "198.51.100.7"},
		"somebody else":  {[]string{"-trusted-proxies", "10.0.0.0/8"}, "127.0.0.1"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := startDemo(t, test.args...)
			c := d.signIn("user1", forwarded)
			assert.Equal(t, test.want, d.get("/api/me", as(c), forwarded).field("session", "ipAddress"))
		})
	}
}

// TestBodiesThatDoNotCome holds no connection: nobody needs a body of /logout, but the
// server reads to its end before it answers.
func TestBodiesThatDoNotCome(t *testing.T) {
	t.Parallel()
	d := startDemo(t)
	for _, path := range []string{"/login", "/logout", "/api/user-sessions/cleanup-expired", "/nothing"} {
		t.Run(path, func(t *testing.T) {
			t.Parallel()
			conn, err := net.Dial("tcp", strings.TrimPrefix(d.base, "http://"))
			require.NoError(t, err)
			defer func() { _ = conn.Close() }()
			_, err = fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: demo\r\nContent-Length: 100\r\n\r\n{", path)
			require.NoError(t, err)
			require.NoError(t, conn.SetReadDeadline(time.Now().Add(4*bodyTime)))
			_, err = io.ReadAll(conn)
			assert.NoError(t, err, "the server ends the connection")
		})
	}
}
