package account_test

import (
	"context"
	"errors"
	"html/template"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sessiontrack/sessiontrack"
	"github.com/sessiontrack/sessiontrack/account"
	"github.com/sessiontrack/sessiontrack/sessiontracktest"
	"github.com/sessiontrack/sessiontrack/storetest"
)

const prefix = "/account/devices/"

// app is an application with the page.
type app struct {
	*sessiontrack.Tracker
	store    *storetest.FaultyStore
	handler  http.Handler
	reported []sessiontrack.SessionID
}

func newApp(t *testing.T, o account.Options) *app {
	t.Helper()
	a := &app{store: storetest.Faulty(sessiontrack.NewMemoryStore())}
	a.Tracker = sessiontracktest.Over(t, a.store, &sessiontrack.Options{
		Cookie: &sessiontrack.CookieOptions{InsecureHTTP: true},
		Hooks: sessiontrack.Hooks{Reported: func(_ context.Context, s sessiontrack.Session) {
			a.reported = append(a.reported, s.ID)
		}},
	})
	o.Tracker = a.Tracker
	mux := http.NewServeMux()
	mux.Handle(prefix, account.Handler(&o))
	a.handler = a.Middleware(mux)
	return a
}

const firefox = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"

// signIn returns the cookie of a new session.
func (a *app) signIn(t *testing.T, user, agent string) (sessiontrack.Session, string) {
	t.Helper()
	r := httptest.NewRequest(http.MethodPost, "/login", nil)
	r.Header.Set("User-Agent", agent)
	w := httptest.NewRecorder()
	s, _, err := a.Login(w, r, user)
	require.NoError(t, err)
	return s, w.Result().Header.Get("Set-Cookie")
}

// send sends a form, or asks for the page, as a browser does.
func (a *app) send(method, path, cookie string, form url.Values, headers ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, path, strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Sec-Fetch-Mode", "navigate")
	r.Header.Set("Accept", "text/html")
	if cookie != "" {
		name, _, _ := strings.Cut(cookie, ";")
		r.Header.Set("Cookie", name)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	a.handler.ServeHTTP(w, r)
	return w
}

var anyCard = regexp.MustCompile(`data-id="([\w-]+)"`)

// cards are the handles of the page's cards, in their order.
func cards(w *httptest.ResponseRecorder) (ids []sessiontrack.SessionID) {
	for _, match := range anyCard.FindAllStringSubmatch(w.Body.String(), -1) {
		ids = append(ids, sessiontrack.SessionID(match[1]))
	}
	return ids
}

func TestPageShowsTheCurrentDeviceFirst(t *testing.T) {
	t.Parallel()
	a := newApp(t, account.Options{})
	mine, cookie := a.signIn(t, "1", firefox)
	other, _ := a.signIn(t, "1", firefox)
	a.signIn(t, "2", firefox)
	over, _ := a.signIn(t, "1", firefox)
	byAdmin := sessiontrack.Ending{Reason: sessiontrack.ReasonAdmin, Actor: "7"}
	_, err := a.End(t.Context(), sessiontrack.IDs(over.ID), byAdmin)
	require.NoError(t, err)

	w := a.send("GET", prefix, cookie, nil)
	require.Equal(t, 200, w.Code)
	assert.Equal(t, []sessiontrack.SessionID{mine.ID, other.ID, over.ID}, cards(w))
	body := w.Body.String()
	assert.Equal(t, 1, strings.Count(body, ">This device<"))
	assert.Contains(t, body, "Ended by an administrator")
	assert.Contains(t, body, "(by an administrator)")
	assert.NotContains(t, body, "&lt;7&gt;")
	assert.Equal(t, "no-store", w.Header().Get("Cache-Control"))
	policy := w.Header().Get("Content-Security-Policy")
	for _, part := range []string{"default-src 'none'", "script-src 'self'", "frame-ancestors 'none'"} {
		assert.Contains(t, policy, part)
	}
	assert.NotRegexp(t, `<script(?:>| [^t])|style="|onclick=|https?://`, body, "nothing inline, nothing from elsewhere")
}

func TestFormsEndOnesOwnDevicesOnly(t *testing.T) {
	t.Parallel()
	a := newApp(t, account.Options{})
	mine, cookie := a.signIn(t, "1", firefox)
	other, _ := a.signIn(t, "1", firefox)
	third, _ := a.signIn(t, "1", firefox)
	foreign, _ := a.signIn(t, "2", firefox)
	id := func(s sessiontrack.Session) url.Values { return url.Values{"id": {string(s.ID)}} }
	reason := func(s sessiontrack.Session) sessiontrack.EndReason {
		got, err := a.Get(t.Context(), s.ID)
		require.NoError(t, err)
		return got.EndReason
	}

	w := a.send("POST", prefix+"end", cookie, id(foreign))
	assert.Equal(t, http.StatusNotFound, w.Code)
	assert.Contains(t, w.Body.String(), "There is no such device.")
	assert.Empty(t, reason(foreign))
	w = a.send("POST", prefix+"end", cookie, id(other), "Sec-Fetch-Site", "cross-site")
	assert.Equal(t, http.StatusForbidden, w.Code)
	assert.Equal(t, http.StatusMethodNotAllowed, a.send("GET", prefix+"end?id="+string(other.ID), cookie, nil).Code)
	assert.Empty(t, reason(other), "a form of another site, and a link")

	w = a.send("POST", prefix+"end", cookie, id(other))
	assert.Equal(t, http.StatusSeeOther, w.Code)
	assert.Equal(t, "./?done=end", w.Header().Get("Location"))
	assert.Equal(t, sessiontrack.ReasonUser, reason(other))
	assert.Equal(t, "./?done=none", a.send("POST", prefix+"end", cookie, id(other)).Header().Get("Location"))
	assert.Contains(t, a.send("GET", prefix+"?done=end", cookie, nil).Body.String(), "The device was signed out.")
	assert.NotContains(t, a.send("GET", prefix+"?done=%3Cb%3E", cookie, nil).Body.String(), "<b>")

	w = a.send("POST", prefix+"report", cookie, id(third))
	assert.Equal(t, "./?done=report", w.Header().Get("Location"))
	assert.Equal(t, sessiontrack.ReasonReported, reason(third))
	assert.Equal(t, []sessiontrack.SessionID{third.ID}, a.reported)

	more, _ := a.signIn(t, "1", firefox)
	w = a.send("POST", prefix+"end-others", cookie, nil)
	assert.Equal(t, "./?done=others", w.Header().Get("Location"))
	assert.Equal(t, sessiontrack.ReasonUser, reason(more))
	assert.Empty(t, reason(foreign))

	w = a.send("POST", prefix+"end", cookie, id(mine))
	assert.Equal(t, http.StatusSeeOther, w.Code)
	assert.Contains(t, w.Header().Get("Set-Cookie"), "Max-Age=0")
	assert.Equal(t, sessiontrack.ReasonLogout, reason(mine))
}

func TestPasswordIsAskedForFirst(t *testing.T) {
	t.Parallel()
	var fails error
	a := newApp(t, account.Options{CheckPassword: func(_ context.Context, user, password string) (bool, error) {
		return user == "1" && password == "secret", fails
	}})
	_, cookie := a.signIn(t, "1", firefox)
	other, _ := a.signIn(t, "1", firefox)
	form := url.Values{"id": {string(other.ID)}}
	w := a.send("POST", prefix+"end", cookie, form)
	assert.Equal(t, 200, w.Code)
	assert.Contains(t, w.Body.String(), `type="password"`)
	assert.Contains(t, w.Body.String(), string(other.ID))
	form.Set("password", "guess")
	w = a.send("POST", prefix+"end", cookie, form)
	assert.Equal(t, http.StatusForbidden, w.Code)
	assert.Contains(t, w.Body.String(), "The password is not right.")
	assert.NotContains(t, w.Body.String(), "guess")
	assert.Equal(t, http.StatusUnauthorized, a.send("POST", prefix+"end", "", form).Code, "nobody else may try passwords")
	assert.Equal(t, http.StatusForbidden, a.send("POST", prefix+"end", cookie, form, "Sec-Fetch-Site", "cross-site").Code)
	form.Set("password", "secret")
	fails = errors.New("directory away")
	w = a.send("POST", prefix+"end", cookie, form)
	assert.Equal(t, http.StatusServiceUnavailable, w.Code)
	assert.NotContains(t, w.Body.String(), "directory")
	got, err := a.Get(t.Context(), other.ID)
	require.NoError(t, err)
	require.False(t, got.Ended())
	fails = nil
	assert.Equal(t, "./?done=end", a.send("POST", prefix+"end", cookie, form).Header().Get("Location"))
}

func TestRefusalsArePages(t *testing.T) {
	t.Parallel()
	a := newApp(t, account.Options{})
	_, cookie := a.signIn(t, "1", firefox)
	w := a.send("GET", prefix, "", nil)
	assert.Equal(t, http.StatusUnauthorized, w.Code)
	assert.Contains(t, w.Header().Get("Content-Type"), "text/html")
	assert.Contains(t, w.Body.String(), "Sign in first.")
	w = a.send("GET", prefix, "", nil, "Sec-Fetch-Mode", "cors")
	assert.Contains(t, w.Header().Get("Content-Type"), "application/problem+json")
	a.store.Fail(sessiontrack.ErrUnavailable, "List")
	w = a.send("GET", prefix, cookie, nil)
	assert.Equal(t, http.StatusServiceUnavailable, w.Code)
	assert.Equal(t, "1", w.Header().Get("Retry-After"))
	assert.Contains(t, w.Body.String(), "Try again.")
}

// TestSignInIsWhereTheTrackerSaysIt: with RedirectPages nobody sees a refusal.
func TestSignInIsWhereTheTrackerSaysIt(t *testing.T) {
	t.Parallel()
	tracker := sessiontracktest.New(t, &sessiontrack.Options{Refuse: sessiontrack.RedirectPages("/login")})
	h := account.Handler(&account.Options{Tracker: tracker})
	r := httptest.NewRequest("GET", prefix+"?older=x", nil)
	r.Header.Set("Sec-Fetch-Mode", "navigate")
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	assert.Equal(t, http.StatusSeeOther, w.Code)
	assert.Equal(t, "/login?next=/account/devices/%3Folder%3Dx", w.Header().Get("Location"))
}

func TestHostileTextIsText(t *testing.T) {
	t.Parallel()
	a := newApp(t, account.Options{})
	s, cookie := a.signIn(t, "1", `<script>alert(1)</script>"'>`)
	device := sessiontrack.Device{
		Type: sessiontrack.DeviceMobile, Source: "test",
		Browser: `<img src=x onerror=alert(1)>`, OS: `"><script>`, Model: "<b>evil",
	}
	require.NoError(t, a.store.Describe(t.Context(), []sessiontrack.SessionUpdate{{ID: s.ID, Device: &device}}))
	body := a.send("GET", prefix, cookie, nil).Body.String()
	assert.NotContains(t, body, "<img")
	assert.NotContains(t, body, "<script>")
	assert.Contains(t, body, "&lt;img src=x")
}

func TestPageInTheHostsFrameLayoutAndLanguage(t *testing.T) {
	t.Parallel()
	a := newApp(t, account.Options{
		FrameAncestors: []string{"'self'", "https://app.example.com"}, Language: "ar",
		Messages: map[string]string{"title": "أجهزتك"}, Home: "/settings",
	})
	_, cookie := a.signIn(t, "1", firefox)
	w := a.send("GET", prefix, cookie, nil)
	assert.Contains(t, w.Header().Get("Content-Security-Policy"), "frame-ancestors 'self' https://app.example.com")
	assert.Contains(t, w.Body.String(), `<html lang="ar" dir="rtl">`)
	assert.Contains(t, w.Body.String(), "أجهزتك")
	assert.Contains(t, w.Body.String(), `href="/settings"`)

	b := newApp(t, account.Options{Layout: func(w http.ResponseWriter, _ *http.Request, body template.HTML) {
		_, _ = io.WriteString(w, "<header>Shop</header>"+string(body))
	}})
	_, cookie = b.signIn(t, "1", firefox)
	w = b.send("GET", prefix, cookie, nil)
	assert.True(t, strings.HasPrefix(w.Body.String(), "<header>Shop</header>"))
	assert.Equal(t, 1, strings.Count(w.Body.String(), "data-id"))
}

// TestBehindAProxyThatCutsAPrefix: every reference of the page is relative.
func TestBehindAProxyThatCutsAPrefix(t *testing.T) {
	t.Parallel()
	tracker := sessiontracktest.New(t, nil)
	h := account.Handler(&account.Options{Tracker: tracker})
	ask := func(path string) *httptest.ResponseRecorder {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, sessiontracktest.As(t, tracker, httptest.NewRequest("GET", path, nil), "1"))
		return w
	}
	w := ask(prefix)
	for _, match := range regexp.MustCompile(`(?:href|src|action)="([^"]*)"`).FindAllStringSubmatch(w.Body.String(), -1) {
		assert.True(t, strings.HasPrefix(match[1], "./"), match[1])
	}
	w = ask("/account/devices")
	assert.Equal(t, http.StatusPermanentRedirect, w.Code)
	assert.Equal(t, "./devices/", w.Header().Get("Location"))
	assert.Equal(t, 200, ask("/").Code, "the prefix is stripped already")
}

func TestAssets(t *testing.T) {
	t.Parallel()
	a := newApp(t, account.Options{})
	for name, kind := range map[string]string{
		"style.css": "text/css", "devices.js": "text/javascript", "session.js": "text/javascript",
	} {
		w := a.send("GET", prefix+name, "", nil)
		require.Equal(t, 200, w.Code, name)
		assert.Contains(t, w.Header().Get("Content-Type"), kind)
		assert.Equal(t, "nosniff", w.Header().Get("X-Content-Type-Options"))
		again := a.send("GET", prefix+name, "", nil, "If-None-Match", w.Header().Get("ETag"))
		assert.Equal(t, http.StatusNotModified, again.Code)
		if name == "session.js" {
			assert.LessOrEqual(t, w.Body.Len(), 4096)
		}
	}
	assert.Equal(t, 404, a.send("GET", prefix+"nothing", "", nil).Code)
	assert.Equal(t, 405, a.send("POST", prefix+"style.css", "", nil).Code)
}

func TestOptionsAreChecked(t *testing.T) {
	t.Parallel()
	tracker := sessiontracktest.New(t, nil)
	for name, o := range map[string]*account.Options{
		"nil": nil, "Tracker": {}, "Prefix": {Tracker: tracker, Prefix: "devices"},
		"FrameAncestors": {Tracker: tracker, FrameAncestors: []string{"https://a.example; script-src *"}},
		"Messages":       {Tracker: tracker, Messages: map[string]string{"titel": "x"}},
	} {
		assert.Panics(t, func() { account.Handler(o) }, name)
	}
}

// TestTextsAreAllThere: each text that the page asks for is in the table, and none is left over.
func TestTextsAreAllThere(t *testing.T) {
	t.Parallel()
	for key, text := range account.Messages() {
		assert.NotEmpty(t, text, key)
	}
	for _, reason := range []sessiontrack.EndReason{
		sessiontrack.ReasonLogout, sessiontrack.ReasonUser, sessiontrack.ReasonAdmin, sessiontrack.ReasonIdle,
		sessiontrack.ReasonLifetime, sessiontrack.ReasonLimit, sessiontrack.ReasonReplacement, sessiontrack.ReasonPassword,
		sessiontrack.ReasonDeletion, sessiontrack.ReasonReported, sessiontrack.ReasonProvider,
		sessiontrack.ReasonUnacknowledged,
	} {
		assert.Contains(t, account.Messages(), "reason."+string(reason))
	}
}
