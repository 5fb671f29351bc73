package main

import (
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"strings"

	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sessiontrack/sessiontrack"
)

// browser keeps cookies, and follows redirects.
type browser struct {
	*http.Client
	base string
}

func (b browser) do(t *testing.T, method, path string, form url.Values, headers ...string) (status int, at, body string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, b.base+path, nil)
	require.NoError(t, err)
	if form != nil {
		r, err = http.NewRequestWithContext(t.Context(), method, b.base+path, strings.NewReader(form.Encode()))
		require.NoError(t, err)
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	r.Header.Set("Accept", "text/html")
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	w, err := b.Do(r)
	require.NoError(t, err)
	defer w.Body.Close()
	text, err := io.ReadAll(w.Body)
	require.NoError(t, err)
	return w.StatusCode, w.Request.URL.RequestURI(), string(text)
}

func TestPages(t *testing.T) {
	t.Parallel()
	s, handler, err := newShop(sessiontrack.NewMemoryStore(), true)
	require.NoError(t, err)
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	newBrowser := func() browser {
		jar, err := cookiejar.New(nil)
		require.NoError(t, err)
		return browser{&http.Client{Jar: jar}, server.URL}
	}
	signIn := func(b browser, password string) (int, string) {
		status, at, _ := b.do(t, "POST", "/login", url.Values{
			"user": {"ayu"}, "password": {password}, "remember": {"yes"}, "next": {"/account/devices/"},
		})
		return status, at
	}
	laptop, phone := newBrowser(), newBrowser()
	status, at, body := laptop.do(t, "GET", "/account/devices/", nil)
	assert.Equal(t, 200, status)
	assert.Equal(t, "/login?next=/account/devices/", at)
	assert.Contains(t, body, `value="/account/devices/"`)
	status, _ = signIn(laptop, "guess")
	assert.Equal(t, http.StatusUnauthorized, status)
	for _, b := range []browser{laptop, phone} {
		_, at = signIn(b, "demo")
		assert.Equal(t, "/account/devices/", at)
	}
	status, _, _ = laptop.do(t, "POST", "/login", url.Values{"user": {"ayu"}}, "Sec-Fetch-Site", "cross-site")
	assert.Equal(t, http.StatusForbidden, status)

	change := url.Values{"old": {"demo"}, "new": {"better"}}
	_, at, body = laptop.do(t, "POST", "/password", change)
	assert.Equal(t, "/account/devices/", at)
	assert.Contains(t, body, "Password changed")
	_, at, _ = phone.do(t, "GET", "/", nil)
	assert.Equal(t, "/login?next=/&reason=password", at)
	status, _, _ = laptop.do(t, "POST", "/password", change)
	assert.Equal(t, http.StatusForbidden, status, "the old password is another one now")

	page, err := s.tracker.List(t.Context(), sessiontrack.Query{UserID: "ayu", Live: true})
	require.NoError(t, err)
	require.Len(t, page.Sessions, 1)
	assert.True(t, page.Sessions[0].Remember)
	_, at, _ = laptop.do(t, "POST", "/logout", url.Values{})
	assert.Equal(t, "/login", at)
	_, at, _ = laptop.do(t, "GET", "/", nil)
	assert.Equal(t, "/login?next=/", at, "signed out")
}
