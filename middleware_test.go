package sessiontrack

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	codec "github.com/sessiontrack/sessiontrack/internal/handle"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestMiddlewareAnswersRowByRow is the table of what the middleware answers, row by row.
func TestMiddlewareAnswersRowByRow(t *testing.T) {
	t.Parallel()
	f := newFixture(t, &Options{
		Identifier: byUser, Cookie: &CookieOptions{},
		Skip: SkipPrefixes("/static/"), SessionOptional: SkipPrefixes("/public"),
	}).started(t)
	alone := replica(t, f.store, &Options{Identifier: byUser, SessionAlone: true, Cookie: &CookieOptions{}}).started(t)
	explicit := replica(t, f.store, &Options{Identifier: byUser, ExplicitOnly: true}).started(t)
	limited := replica(t, f.store, &Options{Identifier: byUser, MaxSessions: 1, LimitPolicy: DenyNew}).started(t)

	live, token := f.login(t, "1")
	_, second := f.login(t, "1")
	gone, goneToken := f.login(t, "1")
	_, err := f.End(t.Context(), IDs(gone.ID), Ending{Reason: ReasonAdmin, Actor: "9"})
	require.NoError(t, err)
	h, c := token.Reveal(), "__Host-session="+token.Reveal()
	const header, cookie = headerName, "Cookie"

	for _, row := range []struct {
		name    string
		on      *fixture
		status  int
		code    string
		headers []string
	}{
		{"no carrier", f, 204, "", nil},
		{"credential with our session", f, 200, "", []string{"X-User", "1", "X-Sid", string(live.ID)}},
		{"credential and header", f, 200, "", []string{"X-User", "1", header, h}},
		{"credential and cookie", f, 200, "", []string{"X-User", "1", cookie, c}},
		{"credential, header and cookie", f, 200, "", []string{"X-User", "1", header, h, cookie, c}},
		{"credential of its own", f, 200, "", []string{"X-User", "1"}},
		{"credential with its own key", f, 200, "", []string{"X-User", "1", "X-Key", "k"}},
		{"header alone", f, 401, "session_invalid", []string{header, h}},
		{"cookie alone", f, 401, "session_invalid", []string{cookie, c}},
		{"header alone, allowed", alone, 200, "", []string{header, h}},
		{"cookie alone, allowed", alone, 200, "", []string{cookie, c}},
		{"credential of its own, explicit only", explicit, 401, "session_invalid", []string{"X-User", "1"}},
		{"ended, by credential", f, 401, "session_ended", []string{"X-User", "1", "X-Sid", string(gone.ID)}},
		{"ended, by secret", f, 401, "session_ended", []string{"X-User", "1", header, goneToken.Reveal()}},
		{"ended, somebody else's credential", f, 401, "session_invalid", []string{"X-User", "2", "X-Sid", string(gone.ID)}},
		{"expired credential", f, 401, "token_expired", []string{"X-User", "expired"}},
		{"expired credential with a live session", f, 401, "token_expired", []string{"X-User", "expired", header, h}},
		{"bad credential", f, 401, "session_invalid", []string{"X-User", "bad"}},
		{"unknown session", f, 401, "session_invalid", []string{"X-User", "1", header, newToken().Reveal()}},
		{"unknown session by credential", f, 401, "session_invalid", []string{"X-User", "1", "X-Sid", string(newHandle().id())}},
		{"another user's session", f, 401, "session_invalid", []string{"X-User", "2", header, h}},
		{"another user's session by credential", f, 401, "session_invalid", []string{"X-User", "2", "X-Sid", string(live.ID)}},
		{"wrong secret", f, 401, "session_invalid", []string{"X-User", "1", header, string(live.ID) + "." + newToken().Reveal()[23:]}},
		{"handle without its secret", f, 401, "session_invalid", []string{"X-User", "1", header, string(live.ID)}},
		{"empty header", f, 401, "session_invalid", []string{"X-User", "1", header, ""}},
		{"empty cookie", f, 401, "session_invalid", []string{"X-User", "1", cookie, "__Host-session="}},
		{"malformed session of the credential", f, 401, "session_invalid", []string{"X-User", "1", "X-Sid", "x"}},
		{"header twice", f, 401, "session_invalid", []string{"X-User", "1", header, h, header, h}},
		{"header twice in one line", f, 401, "session_invalid", []string{"X-User", "1", header, h + ", " + h}},
		{"cookie twice", f, 401, "session_invalid", []string{"X-User", "1", cookie, c + "; " + c}},
		{"cookie on two lines", f, 401, "session_invalid", []string{"X-User", "1", cookie, c, cookie, c}},
		{"header against cookie", f, 401, "session_invalid", []string{"X-User", "1", header, second.Reveal(), cookie, c}},
		{"header against credential", f, 401, "session_invalid", []string{"X-User", "1", "X-Sid", string(live.ID), header, second.Reveal()}},
		{"provider's session and header", f, 401, "session_invalid", []string{"X-User", "1", "X-Key", "k", header, h}},
		{"control character in the user", f, 401, "session_invalid", []string{"X-User", "a\x01b"}},
		{"derived session over the limit", limited, 403, "session_limit", []string{"X-User", "1", "X-Key", "new"}},
		{"identifier cannot say", f, 503, "store_unavailable", []string{"X-User", "broken"}},
		{"identifier panics", f, 503, "store_unavailable", []string{"X-User", "panic"}},
	} {
		w := row.on.do("GET", "/", row.headers...)
		assert.Equal(t, row.status, w.Code, row.name)
		if row.code != "" {
			assert.Contains(t, w.Body.String(), `"code":"`+row.code+`"`, row.name)
			assert.Equal(t, "application/problem+json", w.Header().Get("Content-Type"), row.name)
			assert.Equal(t, "no-store", w.Header().Get("Cache-Control"), row.name)
		}
		assert.Equal(t, row.status == 401, w.Header().Get("WWW-Authenticate") != "", row.name)
		assert.Equal(t, row.status == 503, w.Header().Get("Retry-After") != "", row.name)
		if row.on == f {
			assert.Equal(t, 204, f.do("GET", "/static/x", row.headers...).Code, row.name)
			if row.status != 200 {
				assert.Equal(t, 204, f.do("GET", "/public", row.headers...).Code, row.name)
			}
		}
	}
}

func TestOneAnswerForWhatIsNotGood(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil).started(t)
	live, _ := f.login(t, "1")
	ended, endedToken := f.login(t, "1")
	_, err := f.End(t.Context(), IDs(ended.ID), Ending{Reason: ReasonUser})
	require.NoError(t, err)
	want := f.get(newToken())
	for name, value := range map[string]string{
		"malformed":                   string(live.ID) + ".x",
		"handle":                      string(live.ID),
		"wrong secret":                string(live.ID) + newToken().Reveal()[22:],
		"wrong secret of an ended":    string(ended.ID) + newToken().Reveal()[22:],
		"ended without secret":        string(ended.ID),
		"spelt with a trailing bit":   endedToken.Reveal()[:64] + "_E"[:1],
		"hash in place of the secret": string(live.ID) + "." + codec.Encoding.EncodeToString(make([]byte, 32)),
	} {
		w := f.do("GET", "/", headerName, value)
		assert.Equal(t, want.Code, w.Code, name)
		assert.Equal(t, want.Header(), w.Header(), name)
		assert.Equal(t, want.Body.String(), w.Body.String(), name)
	}
}

func TestCrossOrigin(t *testing.T) {
	t.Parallel()
	f := newFixture(t, &Options{Cookie: &CookieOptions{}, TrustedOrigins: []string{"https://app.example.com"}, SessionOptional: SkipPrefixes("/login")}).started(t)
	_, token := f.login(t, "1")
	cookie := []string{"Cookie", "__Host-session=" + token.Reveal()}
	for _, row := range []struct {
		method  string
		status  int
		headers []string
	}{
		{"POST", 403, []string{"Sec-Fetch-Site", "cross-site"}},
		{"POST", 403, []string{"Sec-Fetch-Site", "same-site"}},
		{"POST", 403, []string{"Origin", "null"}},
		{"DELETE", 403, []string{"Origin", "https://evil.example"}},
		{"POST", 200, []string{"Sec-Fetch-Site", "same-origin"}},
		{"POST", 200, []string{"Origin", "https://app.example.com", "Sec-Fetch-Site", "cross-site"}},
		{"GET", 200, []string{"Sec-Fetch-Site", "cross-site"}},
	} {
		for _, path := range []string{"/", "/login"} {
			w := f.do(row.method, path, append(row.headers, cookie...)...)
			assert.Equal(t, row.status, w.Code, "%s %v", row.method, row.headers)
		}
	}
	w := f.do("POST", "/", "Sec-Fetch-Site", "cross-site", headerName, token.Reveal())
	assert.Equal(t, 200, w.Code, "a header cannot be sent by another site")
}

// TestOptionalPageLeavesTheCookie: a page that works without a session may be stored by a
// shared cache, which must not keep an answer that sets a cookie.
func TestOptionalPageLeavesTheCookie(t *testing.T) {
	t.Parallel()
	f := newFixture(t, &Options{Cookie: &CookieOptions{}, SessionOptional: SkipPrefixes("/")}).started(t)
	s, token := f.login(t, "1")
	_, err := f.End(t.Context(), IDs(s.ID), Ending{Reason: ReasonUser})
	require.NoError(t, err)
	for name, value := range map[string]string{"ended": token.Reveal(), "unknown": newToken().Reveal(), "malformed": "x"} {
		w := f.do("GET", "/", "Cookie", "__Host-session="+value, "Sec-Fetch-Mode", "navigate")
		assert.Equal(t, 204, w.Code, name)
		assert.Empty(t, w.Header().Values("Set-Cookie"), name)
	}
}

// TestRefusalClearsADeadCookie: a browser that keeps it could not even reach the page to
// sign in on. A cookie that may still be good stays.
func TestRefusalClearsADeadCookie(t *testing.T) {
	t.Parallel()
	f := newFixture(t, &Options{Cookie: &CookieOptions{}}).started(t)
	s, token := f.login(t, "1")
	live, unknown := "__Host-session="+token.Reveal(), "__Host-session="+newToken().Reveal()
	w := f.do("POST", "/", "Cookie", live, "Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "navigate")
	assert.Equal(t, 403, w.Code)
	assert.Empty(t, w.Header().Values("Set-Cookie"), "the session is good, the request is not")
	f.store.down.Store(true)
	w = f.do("GET", "/", "Cookie", unknown, "Sec-Fetch-Mode", "navigate")
	assert.Equal(t, 503, w.Code)
	assert.Empty(t, w.Header().Values("Set-Cookie"), "the store cannot say")
	f.store.down.Store(false)
	w = f.do("GET", "/", headerName, newToken().Reveal(), "Sec-Fetch-Mode", "navigate")
	assert.Empty(t, w.Header().Values("Set-Cookie"), "there is no cookie")
	_, err := f.End(t.Context(), IDs(s.ID), Ending{Reason: ReasonUser})
	require.NoError(t, err)
	for name, value := range map[string]string{"ended": live, "unknown": unknown, "malformed": "__Host-session=x"} {
		for _, navigation := range [][]string{{"Sec-Fetch-Mode", "navigate"}, {"Accept", "text/html,*/*;q=0.8"}} {
			w := f.do("GET", "/", append([]string{"Cookie", value}, navigation...)...)
			assert.Equal(t, 401, w.Code, name)
			c, err := http.ParseSetCookie(w.Header().Get("Set-Cookie"))
			require.NoError(t, err, name)
			assert.Equal(t, -1, c.MaxAge, name)
		}
	}
}

// TestLateRefusalLeavesTheNewCookie: the answer to a request with the old cookie may come
// after the answer that has set the new one.
func TestLateRefusalLeavesTheNewCookie(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		reason  EndReason
		headers []string
	}{
		"a sign-in replaced it":    {ReasonReplacement, []string{"Sec-Fetch-Mode", "navigate"}},
		"a sign-out ended it":      {ReasonLogout, []string{"Sec-Fetch-Mode", "navigate"}},
		"a script asks":            {ReasonAdmin, []string{"Sec-Fetch-Mode", "cors", "Accept", "text/html"}},
		"a picture is loaded":      {ReasonAdmin, []string{"Sec-Fetch-Mode", "no-cors"}},
		"an old browser's script":  {ReasonAdmin, []string{"Accept", "application/json"}},
		"a client without headers": {ReasonAdmin, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t, &Options{Cookie: &CookieOptions{}}).started(t)
			s, token := f.login(t, "1")
			_, err := f.End(t.Context(), IDs(s.ID), Ending{Reason: c.reason})
			require.NoError(t, err)
			w := f.do("GET", "/", append([]string{"Cookie", "__Host-session=" + token.Reveal()}, c.headers...)...)
			assert.Equal(t, 401, w.Code)
			assert.Empty(t, w.Header().Values("Set-Cookie"))
		})
	}
}

// TestOneSetCookie: signing in on a public page with a dead cookie sets the name once.
func TestOneSetCookie(t *testing.T) {
	t.Parallel()
	f := newFixture(t, &Options{Cookie: &CookieOptions{}, SessionOptional: SkipPrefixes("/login")})
	h := f.Middleware(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.SetCookie(w, &http.Cookie{Name: "theme", Value: "dark"})
		_, _, err := f.Login(w, r, "1")
		assert.NoError(t, err)
	}))
	w := httptest.NewRecorder()
	h.ServeHTTP(w, request("POST", "/login", "Cookie", "__Host-session="+newToken().Reveal()))
	cookies := w.Result().Cookies()
	require.Len(t, cookies, 2)
	assert.Equal(t, "theme", cookies[0].Name, "the host's own stay")
	assert.Len(t, cookies[1].Value, 66)
}

func TestCookieAttributes(t *testing.T) {
	t.Parallel()
	f := newFixture(t, &Options{Cookie: &CookieOptions{MaxAge: time.Hour}})
	w := httptest.NewRecorder()
	_, token, err := f.Login(w, request("POST", "/login"), "1")
	require.NoError(t, err)
	c, err := http.ParseSetCookie(w.Header().Get("Set-Cookie"))
	require.NoError(t, err)
	assert.Equal(t, &http.Cookie{
		Name: "__Host-session", Value: token.Reveal(), Path: "/", Secure: true, HttpOnly: true, SameSite: http.SameSiteLaxMode, MaxAge: 3600, Raw: c.Raw,
	}, c)
	assert.Equal(t, "no-store", w.Header().Get("Cache-Control"))
}

func TestRequireRefusesWithoutASession(t *testing.T) {
	t.Parallel()
	roles := map[string][]string{"1": {"admin"}, "2": {"Admin", "admin ", ""}}
	f := newFixture(t, &Options{Identifier: byUser})
	asked := replica(t, f.store, &Options{Identifier: byUser, Roles: func(_ context.Context, id string) ([]string, error) {
		if id == "3" {
			return nil, context.DeadlineExceeded
		}
		return roles[id], nil
	}})
	ok := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, here := FromContext(r.Context())
		assert.True(t, here)
	})
	status := func(h http.Handler, headers ...string) int {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, request("GET", "/", headers...))
		return w.Code
	}
	for _, wrap := range []func(*fixture, http.Handler) http.Handler{
		func(_ *fixture, h http.Handler) http.Handler { return h },
		func(f *fixture, h http.Handler) http.Handler { return f.Middleware(h) },
	} {
		assert.Equal(t, 401, status(wrap(f, f.Require(ok))))
		assert.Equal(t, 200, status(wrap(f, f.Require(ok)), "X-User", "1"))
		assert.Equal(t, 403, status(wrap(f, f.RequireRole(ok, "admin")), "X-User", "1"))
		assert.Equal(t, 200, status(wrap(f, f.RequireRole(ok, "admin")), "X-User", "1", "X-Role", "x", "X-Role", "admin"))
		assert.Equal(t, 403, status(wrap(f, f.RequireRole(ok)), "X-User", "1", "X-Role", "admin"), "no role can do what none may")
		assert.Equal(t, 200, status(wrap(asked, asked.RequireRole(ok, "admin")), "X-User", "1"))
		assert.Equal(t, 403, status(wrap(asked, asked.RequireRole(ok, "admin")), "X-User", "2", "X-Role", "admin"), "what is asked counts, not the credential")
		assert.Equal(t, 503, status(wrap(asked, asked.RequireRole(ok, "admin")), "X-User", "3"), "not known is not none")
	}
}

// TestAuthenticate finds the session for hosts that serve without the middleware, and
// behind it what the middleware has found.
func TestAuthenticate(t *testing.T) {
	t.Parallel()
	f := newFixture(t, &Options{Cookie: &CookieOptions{}, TouchInterval: -1})
	want, token := f.login(t, "1")
	got, err := f.Authenticate(request("GET", "/", headerName, token.Reveal()))
	require.NoError(t, err)
	assert.Equal(t, want.ID, got.ID)
	assert.EqualValues(t, 1, f.store.touches.Load(), "it is activity")
	for name, test := range map[string]struct {
		headers []string
		want    error
	}{
		"nothing":           {nil, ErrNoCredential},
		"unknown":           {[]string{headerName, newToken().Reveal()}, ErrInvalidCredential},
		"from another site": {[]string{"Cookie", "__Host-session=" + token.Reveal(), "Sec-Fetch-Site", "cross-site"}, errCrossOrigin},
	} {
		_, err := f.Authenticate(request("POST", "/", test.headers...))
		assert.ErrorIs(t, err, test.want, name)
	}

	behind := f.Middleware(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		s, err := f.Authenticate(r)
		assert.NoError(t, err)
		assert.Equal(t, want.ID, s.ID)
		_, err = f.End(r.Context(), IDs(want.ID), Ending{Reason: ReasonAdmin})
		assert.NoError(t, err)
		_, err = f.Authenticate(r)
		assert.ErrorIs(t, err, ErrEnded, "a handler that holds a connection learns of the end")
	}))
	behind.ServeHTTP(httptest.NewRecorder(), request("GET", "/", headerName, token.Reveal()))

	_, err = f.Authenticate(request("GET", "/", headerName, token.Reveal()))
	var ended *EndedError
	require.ErrorAs(t, err, &ended)
	assert.Equal(t, ReasonAdmin, ended.Reason)
	f.store.down.Store(true)
	_, err = f.Authenticate(request("GET", "/", headerName, token.Reveal()))
	assert.ErrorIs(t, err, ErrUnavailable)
}

func TestRolesFromContext(t *testing.T) {
	t.Parallel()
	f := newFixture(t, &Options{Identifier: byUser})
	var seen []string
	handler := f.Middleware(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { seen = RolesFromContext(r.Context()) }))
	handler.ServeHTTP(httptest.NewRecorder(), request("GET", "/", "X-User", "1", "X-Role", "x", "X-Role", "admin"))
	assert.Equal(t, []string{"x", "admin"}, seen)
	handler.ServeHTTP(httptest.NewRecorder(), request("GET", "/"))
	assert.Nil(t, seen)
}

func TestSkipPrefixes(t *testing.T) {
	t.Parallel()
	skip := SkipPrefixes("/static/", "/docs", "/")
	for path, want := range map[string]bool{
		"/": true, "/docs": true, "/docs/": true, "/docs/x": true, "/static/x/y": true,
		"/docsecret": false, "/static": false, "/x": false, "/static/../api": false, "/static/./x": false,
		"/static//x": false, "/static/..": false, `/static/\..\x`: false, "/Static/x": false,
	} {
		assert.Equal(t, want, skip(&http.Request{URL: mustURL(path)}), path)
	}
	assert.False(t, skip(request("GET", "/static/%2e%2e/api")), "an escaped path is read unescaped")
}

// TestResponseWriterPassesThrough: streaming, hijacking and deadlines are the host's.
func TestResponseWriterPassesThrough(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil).started(t)
	_, token := f.login(t, "1")
	given := httptest.NewRecorder()
	var got http.ResponseWriter
	f.Middleware(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { got = w })).ServeHTTP(given, request("GET", "/", headerName, token.Reveal()))
	assert.Same(t, given, got)
}

func mustURL(path string) *url.URL { return &url.URL{Path: path} }

// TestHeaderOfAnotherProgramIsAbsent: X-Session-Id is a common name. A value of another form
// refuses nobody who needs no session or has another carrier, and lets nobody in.
func TestHeaderOfAnotherProgramIsAbsent(t *testing.T) {
	t.Parallel()
	f := newFixture(t, &Options{Cookie: &CookieOptions{}, Identifier: byUser, SessionAlone: true}).started(t)
	_, token := f.login(t, "1")
	needed := f.Require(f.echo())
	for name, id := range map[string]string{
		"uuid": "7f0c5a1e-3f0b-4c5e-9d57-0b8f4f3c2a11", "number": "4711", "JWT": "eyJhbGciOiJub25lIn0.e30.", "long": strings.Repeat("a", 8192),
	} {
		cookie := []string{headerName, id, "Cookie", "__Host-session=" + token.Reveal()}
		assert.Equal(t, 204, f.do("GET", "/", headerName, id).Code, "%s: needs no session", name)
		assert.Equal(t, 200, f.do("GET", "/", cookie...).Code, "%s: beside a good cookie", name)
		assert.Equal(t, 200, f.do("GET", "/", headerName, id, "X-User", "7").Code, "%s: beside a good credential", name)
		assert.Equal(t, 401, f.do("GET", "/", headerName, id, "X-User", "bad").Code, "%s: beside a bad credential", name)
		assert.Equal(t, 401, f.do("GET", "/", headerName, id, headerName, token.Reveal()).Code, "%s: beside a token", name)
		assert.Equal(t, 401, f.do("GET", "/", headerName, id+", "+token.Reveal()).Code, "%s: joined with a token", name)
		w := httptest.NewRecorder()
		needed.ServeHTTP(w, request("GET", "/", headerName, id))
		assert.Equal(t, 401, w.Code, name)
		assert.Contains(t, w.Body.String(), "session_invalid", name)
		w = httptest.NewRecorder()
		f.Logout(w, request("POST", "/", headerName, id))
		assert.Equal(t, 204, w.Code, "%s: Logout without a session", name)
	}
}

// TestHeaderHasTheNameOfTheOption: another name, or none.
func TestHeaderHasTheNameOfTheOption(t *testing.T) {
	t.Parallel()
	named := newFixture(t, &Options{Header: "x-acme-session"}).started(t)
	_, token := named.login(t, "1")
	assert.Equal(t, 200, named.do("GET", "/", "X-Acme-Session", token.Reveal()).Code)
	assert.Equal(t, 401, named.do("GET", "/", "X-Acme-Session", newToken().Reveal()).Code)
	assert.Equal(t, 204, named.do("GET", "/", headerName, token.Reveal()).Code, "not the name any more")

	none := newFixture(t, &Options{Header: "-", Cookie: &CookieOptions{}}).started(t)
	_, token = none.login(t, "1")
	assert.Equal(t, 204, none.do("GET", "/", headerName, token.Reveal()).Code)
	assert.Equal(t, 200, none.do("GET", "/", headerName, "x", "Cookie", "__Host-session="+token.Reveal()).Code)
}
