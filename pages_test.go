package sessiontrack

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// pagesApp is an application with pages: everything but the sign-in needs a session.
func pagesApp(t *testing.T) (*fixture, http.Handler) {
	t.Helper()
	f := newFixture(t, &Options{
		Cookie: &CookieOptions{}, SessionOptional: SkipPrefixes("/login"), Refuse: RedirectPages("/login"),
		Roles: fixedRoles,
	})
	mux := http.NewServeMux()
	mux.Handle("/login", f.echo())
	mux.Handle("/admin", f.RequireRole(f.echo(), "admin"))
	mux.Handle("/api/v1/online/", f.UserHandler(nil))
	mux.Handle("/", f.Require(f.echo()))
	return f, f.Middleware(mux)
}

var (
	asPage  = []string{"Sec-Fetch-Mode", "navigate", "Accept", "text/html,*/*;q=0.8"}
	asFetch = []string{"Sec-Fetch-Mode", "cors", "Accept", "*/*"}
	asOld   = []string{"Accept", "text/html,application/xhtml+xml,*/*;q=0.8"} // over plain HTTP
)

func TestRedirectPagesLeadsToTheSignIn(t *testing.T) {
	t.Parallel()
	f, app := pagesApp(t)
	_, token := f.login(t, "1")
	_, err := f.End(t.Context(), User("1"), Ending{Reason: ReasonAdmin, Actor: "7"})
	require.NoError(t, err)
	cookie := []string{"Cookie", cookieOf(token)}
	for _, tt := range []struct {
		name, method, target string
		headers              []string
		location             string
	}{
		{"nobody", "GET", "/app", asPage, "/login?next=/app"},
		{"an old browser", "GET", "/app", asOld, "/login?next=/app"},
		{"the root page", "GET", "/", asPage, "/login?next=/"},
		{"with a query", "GET", "/app?a=1&b=%2F", asPage, "/login?next=/app%3Fa%3D1%26b%3D%252F"},
		{"ended", "GET", "/app", append(cookie, asPage...), "/login?next=/app&reason=admin"},
		{"a form", "POST", "/app", asPage, "/login"},
		{"a form of an ended session", "POST", "/app", append(cookie, asOld...), "/login?reason=admin"},
		{"an endpoint opened as a page", "GET", "/api/v1/online/count", asPage, "/login?next=/api/v1/online/count"},
	} {
		w := ask(app, tt.method, tt.target, tt.headers...)
		assert.Equal(t, http.StatusSeeOther, w.Code, tt.name)
		assert.Equal(t, tt.location, w.Header().Get("Location"), tt.name)
		assert.Equal(t, "no-store", w.Header().Get("Cache-Control"), tt.name)
		assert.Empty(t, w.Body.String(), tt.name)
	}
	for _, headers := range [][]string{asFetch, {"Accept", "application/json"}, nil} {
		w := ask(app, "GET", "/app", headers...)
		assert.Equal(t, http.StatusUnauthorized, w.Code)
		assert.Equal(t, "unauthenticated", codeOf(t, w))
	}
}

// TestRedirectPagesNeverRedirectsAnOutage: whoever is signed in and meets an outage is not told to
// sign in, and sees no JSON.
func TestRedirectPagesNeverRedirectsAnOutage(t *testing.T) {
	t.Parallel()
	broken := &brokenStore{Store: NewMemoryStore()}
	tracker, err := New(broken, &Options{Cookie: &CookieOptions{}, Refuse: RedirectPages("/login")})
	require.NoError(t, err)
	_, token, err := tracker.Login(httptest.NewRecorder(), request("POST", "/login"), "1")
	require.NoError(t, err)
	broken.away.Store(true)
	app := tracker.Middleware(http.HandlerFunc(sayUser))
	w := ask(app, "GET", "/app", append(asPage, "Cookie", cookieOf(token))...)
	assertPage(t, w, http.StatusServiceUnavailable)
	assert.Equal(t, "1", w.Header().Get("Retry-After"))
	assert.Empty(t, w.Header().Get("Set-Cookie"), "the cookie may still be good")
	w = ask(app, "GET", "/app", append(asFetch, "Cookie", cookieOf(token))...)
	assert.Equal(t, "store_unavailable", codeOf(t, w))
}

func assertPage(t *testing.T, w *httptest.ResponseRecorder, status int) {
	t.Helper()
	assert.Equal(t, status, w.Code)
	assert.Equal(t, "text/html; charset=utf-8", w.Header().Get("Content-Type"))
	assert.Contains(t, w.Header().Get("Content-Security-Policy"), "default-src 'none'")
	assert.Equal(t, "no-store", w.Header().Get("Cache-Control"))
	assert.Contains(t, w.Body.String(), "<h1>"+http.StatusText(status)+"</h1>")
	assert.Empty(t, w.Header().Get("Location"))
}

func TestRedirectPagesShowsWhatIsForbidden(t *testing.T) {
	t.Parallel()
	f, app := pagesApp(t)
	_, token := f.login(t, "2")
	headers := append(asPage, "Cookie", cookieOf(token))
	assertPage(t, ask(app, "GET", "/admin", headers...), http.StatusForbidden)
	assertPage(t, ask(app, "POST", "/app", append(headers, "Sec-Fetch-Site", "cross-site")...), http.StatusForbidden)
	assert.Equal(t, "forbidden", codeOf(t, ask(app, "GET", "/admin", append(asFetch, "Cookie", cookieOf(token))...)))
	assert.Equal(t, http.StatusNotFound, ask(app, "GET", "/api/v1/online/nothing", headers...).Code)
}

// TestRedirectPagesDoesNotRedirectTheSignIn: a browser would give up after twenty redirects.
func TestRedirectPagesDoesNotRedirectTheSignIn(t *testing.T) {
	t.Parallel()
	f := newFixture(t, &Options{Cookie: &CookieOptions{}, Refuse: RedirectPages("/login?theme=dark")})
	_, token := f.login(t, "1")
	_, err := f.End(t.Context(), User("1"), Ending{Reason: ReasonLogout})
	require.NoError(t, err)
	assertPage(t, f.do("GET", "/login?next=/app", append(asPage, "Cookie", cookieOf(token))...), http.StatusUnauthorized)
	w := f.do("GET", "/app", append(asPage, "Cookie", cookieOf(token))...)
	assert.Equal(t, "/login?theme=dark&next=/app&reason=logout", w.Header().Get("Location"))
}

func TestRedirectPagesTellsWhyATokenIsRefused(t *testing.T) {
	t.Parallel()
	redirect := RedirectPages("https://id.example.com/sign-in")
	for _, tt := range []struct {
		refusal Refusal
		query   string
	}{
		{Refusal{Status: 401, Code: "token_expired"}, "?next=/app&reason=token_expired"},
		{Refusal{Status: 401, Code: "session_invalid"}, "?next=/app"},
		{Refusal{Status: 401, Code: "session_ended", Reason: "a&b=c\r\nX: y"}, "?next=/app&reason=a%26b%3Dc%0D%0AX%3A+y"},
	} {
		w := httptest.NewRecorder()
		redirect(w, request("GET", "/app", asPage...), tt.refusal)
		assert.Equal(t, "https://id.example.com/sign-in"+tt.query, w.Header().Get("Location"))
	}
}

// TestRedirectPagesAfterStripPrefix: the browser is to come back to the path that it has asked for.
func TestRedirectPagesAfterStripPrefix(t *testing.T) {
	t.Parallel()
	f := newFixture(t, &Options{Refuse: RedirectPages("/login")})
	app := http.StripPrefix("/shop", f.Require(f.echo()))
	assert.Equal(t, "/login?next=/shop/cart", ask(app, "GET", "/shop/cart", asPage...).Header().Get("Location"))
	assert.Equal(t, "/login", ask(f.Require(f.echo()), "GET", "//evil.example/x", asPage...).Header().Get("Location"))
	r := request("GET", "/", asPage...)
	r.RequestURI, r.URL = "", &url.URL{Path: "/cart"} // as a test or a gateway makes one
	w := httptest.NewRecorder()
	f.Require(f.echo()).ServeHTTP(w, r)
	assert.Equal(t, "/login?next=/cart", w.Header().Get("Location"))
}

func TestRedirectPagesRefusesATarget(t *testing.T) {
	t.Parallel()
	for _, login := range []string{
		"", "login", "//evil.example/login", "/\\evil.example", "javascript:alert(1)", "ftp://example.com/", "/login#form",
		"https://example.com", "https://user@example.com/login", "/login\r\nX-Evil: 1", "/a/../login", "mailto:a@example.com",
	} {
		assert.Panics(t, func() { RedirectPages(login) }, login)
	}
}

// notLocal are texts that some browser or server reads as a place outside of this site, or as
// something else than a path.
var notLocal = []string{
	"", "app", "//evil.example", "///evil.example", "/\\evil.example", "\\\\evil.example", "/\t/evil.example",
	"/\n/evil.example", "\t//evil.example", " //evil.example", "https://evil.example", "https:evil.example",
	"javascript:alert(1)", "/%2Fevil.example", "/%5Cevil.example", "/%2f%2fevil.example", "/.//evil.example",
	"/..//evil.example", "/%2e%2e//evil.example", "/a/../..//evil.example", "/app#//evil.example", "/%09/evil.example",
	"/%0d%0aSet-Cookie:a=b", "/app\x00", "/\u202e", "/%zz", "/" + strings.Repeat("a", maxNext),
	"http:///evil.example", "/@evil.example/..//x",
}

func TestNextPathStaysOnThisSite(t *testing.T) {
	t.Parallel()
	read := func(next string) string {
		return NextPath(request("GET", "/login?next="+url.QueryEscape(next)), "/home")
	}
	for _, next := range notLocal {
		assert.Equal(t, "/home", read(next), "%q", next)
	}
	for _, next := range []string{"/", "/app", "/app?a=1&b=//x", "/a%20b", "/büro", "/@evil.example", "/a:b"} {
		assert.Equal(t, next, read(next))
	}
	form := httptest.NewRequest("POST", "/login", strings.NewReader("next=%2Fapp"))
	form.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	assert.Equal(t, "/app", NextPath(form, "/home"))
	assert.Equal(t, "/home", NextPath(request("GET", "/login"), "/home"))
}

// FuzzNextPath: what NextPath returns is, resolved by a client, on the same site.
func FuzzNextPath(f *testing.F) {
	for _, next := range notLocal {
		f.Add(next)
	}
	f.Add("/app?a=1")
	base := &url.URL{Scheme: "https", Host: "example.com", Path: "/login"}
	f.Fuzz(func(t *testing.T, next string) {
		if !localPath(next) {
			return
		}
		// A browser drops tabs and line ends and takes a backslash for a slash.
		seen := strings.NewReplacer("\t", "", "\n", "", "\r", "", `\`, "/").Replace(strings.TrimSpace(next))
		to, err := base.Parse(seen)
		require.NoError(t, err)
		assert.Equal(t, "example.com", to.Host)
		assert.Equal(t, "https", to.Scheme)
		assert.False(t, strings.HasPrefix(to.Path, "//"), to.Path)
	})
}

// TestSignInComesBack walks the whole way: refused page, redirect, sign-in, page.
func TestSignInComesBack(t *testing.T) {
	t.Parallel()
	f := newFixture(t, &Options{
		Cookie: &CookieOptions{}, SessionOptional: SkipPrefixes("/login"), Refuse: RedirectPages("/login"),
	})
	mux := http.NewServeMux()
	mux.HandleFunc("/login", func(w http.ResponseWriter, r *http.Request) {
		_, _, err := f.Login(w, r, "1")
		assert.NoError(t, err)
		http.Redirect(w, r, NextPath(r, "/"), http.StatusSeeOther)
	})
	mux.Handle("/app", f.Require(f.echo()))
	app := f.Middleware(mux)
	there := ask(app, "GET", "/app?tab=2", asPage...).Header().Get("Location")
	signedIn := ask(app, "POST", there, asPage...)
	assert.Equal(t, "/app?tab=2", signedIn.Header().Get("Location"))
	cookie := signedIn.Result().Cookies()[0]
	assert.Equal(t, 200, ask(app, "GET", "/app?tab=2", append(asPage, "Cookie", cookie.Name+"="+cookie.Value)...).Code)
}

func TestCookieAloneAuthenticatesBesideAnIdentifier(t *testing.T) {
	t.Parallel()
	identifier, err := NewJWTIdentifier(JWTOptions{Secret: outcomesKey})
	require.NoError(t, err)
	f := newFixture(t, &Options{Identifier: identifier, Cookie: &CookieOptions{Alone: true}})
	_, token := f.login(t, "1")
	_, other := f.login(t, "2")
	cookie := cookieOf(token)
	for _, tt := range []struct {
		name    string
		headers []string
		status  int
	}{
		{"cookie alone", []string{"Cookie", cookie}, 200},
		{"header alone", []string{headerName, token.Reveal()}, 401},
		{"both", []string{headerName, token.Reveal(), "Cookie", cookie}, 200},
		{"another session's header", []string{headerName, other.Reveal(), "Cookie", cookie}, 401},
		{"a JWT of the same user", []string{"Authorization", bearerOf(t, "1", time.Hour), "Cookie", cookie}, 200},
		{"a JWT of another user", []string{"Authorization", bearerOf(t, "2", time.Hour), "Cookie", cookie}, 401},
		{"an expired JWT", []string{"Authorization", bearerOf(t, "1", -time.Hour), "Cookie", cookie}, 401},
		{"a wrong secret", []string{"Cookie", cookieOf(Token{handle: token.handle, hidden: other.hidden})}, 401},
	} {
		assert.Equal(t, tt.status, f.do("GET", "/", tt.headers...).Code, tt.name)
	}
	w := f.do("POST", "/", "Cookie", cookie, "Sec-Fetch-Site", "cross-site")
	assert.Equal(t, "cross_origin", codeOf(t, w))
}
