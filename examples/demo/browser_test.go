package main

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sessiontrack/sessiontrack/internal/pgtest"
)

// asBrowser asks for a page.
func asBrowser(cookie string) change {
	return func(r *http.Request) {
		r.Header.Set("Accept", "text/html,*/*;q=0.8")
		if cookie != "" {
			r.Header.Set("Cookie", cookie)
		}
		if r.Method == http.MethodPost {
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		}
	}
}

// cookieOf is the session cookie that an answer sets.
func cookieOf(t *testing.T, r reply) string {
	t.Helper()
	lines := r.header.Values("Set-Cookie")
	require.Len(t, lines, 1)
	pair, rest, _ := strings.Cut(lines[0], ";")
	require.Contains(t, rest, "HttpOnly")
	return pair
}

// signInByForm signs in as a browser does, and returns the cookie and where it led.
func (d *demo) signInByForm(name, next string) (cookie, location string) {
	d.t.Helper()
	form := url.Values{"email": {name + "@example.com"}, "password": {password}, "next": {next}}
	r := d.do("POST", "/login", form.Encode(), asBrowser(""))
	require.Equal(d.t, http.StatusSeeOther, r.status, "%s", r)
	return cookieOf(d.t, r), r.header.Get("Location")
}

func TestPagesByCookie(t *testing.T) {
	t.Parallel()
	onEachStore(t, func(t *testing.T, d *demo) {
		r := d.get("/app", asBrowser(""))
		assert.Equal(t, http.StatusSeeOther, r.status)
		assert.Equal(t, "/login?next=/app", r.header.Get("Location"))
		requireProblem(t, d.get("/app"), 401, "unauthenticated")
		r = d.get("/login?next=//evil.example&reason=idle", asBrowser(""))
		assert.Equal(t, 200, r.status)
		assert.Contains(t, string(r.body), `name="next" value="/app"`)
		assert.Contains(t, string(r.body), "nothing had happened for too long")

		wrong := url.Values{"email": {"user1@example.com"}, "password": {"guess"}}
		r = d.do("POST", "/login", wrong.Encode(), asBrowser(""))
		assert.Equal(t, http.StatusUnauthorized, r.status)
		assert.Contains(t, string(r.body), "The e-mail or the password is wrong.")
		assert.NotContains(t, string(r.body), "guess")
		_, location := d.signInByForm("user1", "https://evil.example")
		assert.Equal(t, "/app", location)

		cookie, location := d.signInByForm("user1", "/account/devices/")
		assert.Equal(t, "/account/devices/", location)
		r = d.get("/app", asBrowser(cookie))
		assert.Equal(t, 200, r.status)
		assert.Contains(t, string(r.body), "Hello, ")
		r = d.get("/account/devices/", asBrowser(cookie))
		assert.Equal(t, 200, r.status)
		assert.Contains(t, string(r.body), "This device")
		_, token, _ := strings.Cut(cookie, "=")
		requireProblem(t, d.get("/api/me", with("X-Session-Id", token)), 401, "session_invalid")

		r = d.do("POST", "/logout", "", asBrowser(cookie))
		assert.Equal(t, http.StatusSeeOther, r.status)
		assert.Equal(t, "/login?next=/app&reason=logout", d.get("/app", asBrowser(cookie)).header.Get("Location"))
	})
}

// TestLoginSetsACookieToo: the same sign-in serves programs and pages.
func TestLoginSetsACookieToo(t *testing.T) {
	t.Parallel()
	d := startDemo(t)
	body := `{"email":"user1@example.com","password":"demo","remember":true,"client":"ios","tenant":"acme"}`
	r := d.do("POST", "/login", body)
	require.Equal(t, 200, r.status)
	assert.Contains(t, r.header.Get("Set-Cookie"), "Max-Age=")
	r = d.get("/api/v1/online/sessions", with("Cookie", cookieOf(t, r)))
	session := r.field("sessions").([]any)[0].(map[string]any)
	assert.Equal(t, []any{"ios", "acme", true, []any{"pwd"}},
		[]any{session["client"], session["tenant"], session["rememberMe"], session["methods"]})
	for body, detail := range map[string]string{
		`{"email":"x","password":"y","remember":"yes"}`:                                 "remember",
		`{"email":"x","password":"y","client":7}`:                                       "client",
		`{"email":"x","password":"y","client":"` + strings.Repeat("x", 65) + `"}`:       "client",
		`{"email":"x","password":"y","tenant":"` + strings.Repeat("x", 256) + `"}`:      "tenant",
		`{"email":"user1@example.com","password":"demo","client":"a` + "\\u0007" + `"}`: "client",
	} {
		r := d.do("POST", "/login", body)
		requireProblem(t, r, 400, "bad_request")
		assert.Contains(t, r.field("detail"), detail)
	}
}

func TestStepUpMakesASecretReadable(t *testing.T) {
	t.Parallel()
	onEachStore(t, func(t *testing.T, d *demo) {
		c := d.signIn("user1")
		require.Equal(t, 200, d.get("/api/secret", as(c)).status, "the sign-in was a moment ago")
		requireProblem(t, d.do("POST", "/step-up", `{"password":"guess"}`, as(c)), 401, "login_failed")
		requireProblem(t, d.do("POST", "/step-up", `{}`, as(c)), 400, "bad_request")
		requireProblem(t, d.do("POST", "/step-up", `{"password":"demo"}`), 401, "unauthenticated")
		r := d.do("POST", "/step-up", `{"password":"demo"}`, as(c))
		require.Equal(t, 200, r.status, "%s", r)
		renewed := c
		renewed.token = r.field("sessionId").(string)
		assert.True(t, strings.HasPrefix(renewed.token, c.handle+"."), "the same handle")
		assert.NotEqual(t, c.token, renewed.token)
		assert.Equal(t, 200, d.get("/api/secret", as(renewed)).status)
		requireProblem(t, d.get("/api/me", as(c)), 401, "session_invalid")
		requireProblem(t, d.get("/api/secret"), 401, "unauthenticated")
	})
}

func TestImpersonationNeedsASuperadmin(t *testing.T) {
	t.Parallel()
	onEachStore(t, func(t *testing.T, d *demo) {
		admin, root := d.signIn("admin"), d.signIn("root")
		requireProblem(t, d.do("POST", "/impersonate/3", ""), 401, "unauthenticated")
		requireProblem(t, d.do("POST", "/impersonate/3", "", as(admin)), 403, "forbidden")
		requireProblem(t, d.do("POST", "/impersonate/99999", "", as(root)), 404, "not_found")
		requireProblem(t, d.do("POST", "/impersonate/2", "", as(root)), 400, "bad_request")
		r := d.do("POST", "/impersonate/3", "", as(root))
		require.Equal(t, 200, r.status, "%s", r)
		assert.EqualValues(t, 3, r.field("user", "id"))
		bearer := r.field("token", "token").(string)
		me := d.get("/api/me", byBearer(bearer))
		assert.EqualValues(t, 3, me.field("session", "userId"))
		assert.Equal(t, 200, d.get("/api/me", as(root)).status, "their own session stays")
		page := d.get("/account/devices/", asBrowser(cookieOf(t, r)))
		assert.Contains(t, string(page.body), "Used by support on your behalf")
	})
}

func TestLimitPolicies(t *testing.T) {
	t.Parallel()
	for policy, want := range map[string][2]int{"oldest": {401, 200}, "least": {200, 401}, "deny": {200, 200}} {
		t.Run(policy, func(t *testing.T) {
			t.Parallel()
			d := startDemo(t, "-fast", "-max-sessions", "2", "-limit-policy", policy)
			first, second := d.signIn("user1"), d.signIn("user1")
			eventually(t, 20*time.Second, "the first is the one that was used last", func() bool {
				d.get("/api/me", as(first))
				list := d.get("/api/v1/online/sessions", as(first)).field("sessions").([]any)
				older, newer := list[1].(map[string]any), list[0].(map[string]any)
				return older["lastActivity"].(string) > newer["lastActivity"].(string)
			})
			r := d.do("POST", "/login", loginBody("user1@example.com", password))
			if policy == "deny" {
				requireProblem(t, r, 403, "session_limit")
			} else {
				require.Equal(t, 200, r.status)
			}
			assert.Equal(t, want[0], d.get("/api/me", as(first)).status, "the oldest")
			assert.Equal(t, want[1], d.get("/api/me", as(second)).status, "the least active")
		})
	}
}

// TestDevicesPageAcrossReplicas: a device that is signed out on one replica's page is out on the
// other, and whoever reports it sees why.
func TestDevicesPageAcrossReplicas(t *testing.T) {
	t.Parallel()
	dsn := pgtest.DSN(t)
	one, two := startDemo(t, "-fast", "-store", dsn), startDemo(t, "-fast", "-store", dsn)
	cookie, _ := one.signInByForm("user1", "/app")
	phone := two.signIn("user1")
	require.Equal(t, 200, two.get("/api/me", as(phone)).status)
	r := one.do("POST", "/account/devices/report", url.Values{"id": {phone.handle}}.Encode(), asBrowser(cookie))
	require.Equal(t, http.StatusSeeOther, r.status, "%s", r)
	eventually(t, 10*time.Second, "the other replica refuses it", func() bool {
		r := two.get("/api/me", as(phone))
		return r.status == 401 && r.field("reason") == "reported"
	})
	page := two.get("/account/devices/", asBrowser(cookie))
	assert.Contains(t, string(page.body), "You reported it")
	one.do("POST", "/account/devices/end", url.Values{"id": {phone.handle}}.Encode(), asBrowser(cookie))
	me := two.get("/api/v1/online/me", with("Cookie", cookie))
	assert.NotNil(t, me.field("idleExpiresAt"))
}
