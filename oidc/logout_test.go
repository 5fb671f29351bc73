package oidc

import (
	"context"
	"crypto/rand"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sessiontrack/sessiontrack"
)

// claims are those of a logout token that is good; a nil value takes one away.
func claims(change map[string]any) map[string]any {
	all := map[string]any{
		"iss": issuer, "aud": client, "iat": time.Now().Unix(), "exp": time.Now().Add(2 * time.Minute).Unix(),
		"jti": rand.Text(), "sid": "phone", "events": map[string]any{logoutEvent: map[string]any{}},
	}
	for name, value := range change {
		if all[name] = value; value == nil {
			delete(all, name)
		}
	}
	return all
}

var logoutType = map[string]any{"typ": "logout+jwt"}

func newLogout(t *testing.T, a *app, change func(*LogoutOptions)) http.Handler {
	t.Helper()
	o := LogoutOptions{Issuer: issuer, ClientID: client, Algorithms: []string{"ES256"}}
	if change != nil {
		change(&o)
	}
	logout, err := BackchannelLogout(a.Tracker, a.keys, o)
	require.NoError(t, err)
	return logout
}

func post(handler http.Handler, token string) *httptest.ResponseRecorder {
	return send(handler, http.MethodPost, "/", "application/x-www-form-urlencoded", url.Values{"logout_token": {token}}.Encode())
}

func send(handler http.Handler, method, target, kind, body string) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	r := httptest.NewRequest(method, target, strings.NewReader(body))
	r.Header.Set("Content-Type", kind)
	handler.ServeHTTP(w, r)
	return w
}

// TestBackchannelLogout ends by sid, by sub, and by sid where both are there.
func TestBackchannelLogout(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		claims                 map[string]any
		phone, laptop, someone int
	}{
		"sid":                            {nil, 401, 200, 200},
		"both":                           {map[string]any{"sub": "42"}, 401, 200, 200},
		"sub":                            {map[string]any{"sid": nil, "sub": "42"}, 401, 401, 200},
		"a session that nobody has seen": {map[string]any{"sid": "tablet"}, 200, 200, 200},
		"several audiences":              {map[string]any{"aud": []string{"other", client}}, 401, 200, 200},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				p := newIDP(t, "a")
				a := newApp(t, p)
				phone, laptop := p.access(t, "a", "42", "phone"), p.access(t, "a", "42", "laptop")
				someone := p.access(t, "a", "7", "someone")
				for _, token := range []string{phone, laptop, someone} {
					require.Equal(t, 200, a.status(token))
				}
				w := post(newLogout(t, a, nil), p.sign(t, "a", logoutType, claims(row.claims)))
				require.Equal(t, 200, w.Code, w.Body.String())
				assert.Equal(t, "no-store", w.Header().Get("Cache-Control"))
				assert.Equal(t, row.phone, a.status(phone))
				assert.Equal(t, row.laptop, a.status(laptop))
				assert.Equal(t, row.someone, a.status(someone))
				refreshed := p.access(t, "a", "42", "phone")
				assert.Equal(t, row.phone, a.status(refreshed), "a token that is refreshed later")
				if name == "a session that nobody has seen" {
					assert.Equal(t, 401, a.status(p.access(t, "a", "42", "tablet")), "the end is remembered")
				}
				page, err := a.List(t.Context(), sessiontrack.Query{UserID: "42", Limit: 10})
				require.NoError(t, err)
				for _, s := range page.Sessions {
					if s.Ended() {
						assert.Equal(t, sessiontrack.ReasonProvider, s.EndReason)
					}
				}
			})
		})
	}
}

// TestBackchannelLogoutRefuses what §2.6 of the specification refuses. Nothing ends.
func TestBackchannelLogoutRefuses(t *testing.T) {
	t.Parallel()
	event := func(value any) map[string]any { return map[string]any{"events": value} }
	for name, row := range map[string]struct {
		kid            string
		header, claims map[string]any
	}{
		"nonce present":           {claims: map[string]any{"nonce": "n"}},
		"nonce empty":             {claims: map[string]any{"nonce": []any{}}},
		"no events":               {claims: event(nil)},
		"another event":           {claims: event(map[string]any{"http://schemas.openid.net/event/other": map[string]any{}})},
		"event is no object":      {claims: event(map[string]any{logoutEvent: true})},
		"event is null":           {claims: event(map[string]any{logoutEvent: nil})},
		"wrong audience":          {claims: map[string]any{"aud": "other-app"}},
		"no audience":             {claims: map[string]any{"aud": nil}},
		"wrong issuer":            {claims: map[string]any{"iss": "https://other.example"}},
		"neither sid nor sub":     {claims: map[string]any{"sid": nil}},
		"empty sid":               {claims: map[string]any{"sid": ""}},
		"long sid":                {claims: map[string]any{"sid": strings.Repeat("s", 256)}},
		"no jti":                  {claims: map[string]any{"jti": nil}},
		"no exp":                  {claims: map[string]any{"exp": nil}},
		"expired":                 {claims: map[string]any{"exp": time.Date(1999, 12, 31, 23, 0, 0, 0, time.UTC).Unix()}},
		"no iat":                  {claims: map[string]any{"iat": nil}},
		"issued in the future":    {claims: map[string]any{"iat": time.Now().AddDate(100, 0, 0).Unix()}},
		"valid for a day":         {claims: map[string]any{"exp": time.Date(2001, 1, 1, 0, 0, 0, 0, time.UTC).Unix()}},
		"key of somebody else":    {kid: "forged"},
		"an ID token's typ":       {header: map[string]any{"typ": "at+jwt"}},
		"another algorithm named": {header: map[string]any{"alg": "ES384"}},
		"no algorithm":            {header: map[string]any{"alg": "none"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				p := newIDP(t, "a")
				a := newApp(t, p)
				synctest.Wait()
				time.Sleep(defaultPause)
				phone := p.access(t, "a", "42", "phone")
				require.Equal(t, 200, a.status(phone))
				header, kid := row.header, row.kid
				if header == nil {
					header = logoutType
				}
				if kid == "" {
					kid = "a"
				}
				w := post(newLogout(t, a, nil), p.sign(t, kid, header, claims(row.claims)))
				assert.Equal(t, 400, w.Code)
				assert.Equal(t, "no-store", w.Header().Get("Cache-Control"))
				assert.Contains(t, w.Body.String(), `"error":"invalid_request"`)
				assert.Equal(t, 200, a.status(phone))
			})
		})
	}
}

// TestReplayedLogoutTokenEndsNothing: the user has signed in again since.
func TestReplayedLogoutTokenEndsNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newIDP(t, "a")
		a := newApp(t, p)
		logout := newLogout(t, a, nil)
		token := p.sign(t, "a", logoutType, claims(map[string]any{"sid": nil, "sub": "42"}))
		require.Equal(t, 200, post(logout, token).Code)
		time.Sleep(5 * time.Second)
		again := p.access(t, "a", "42", "next")
		require.Equal(t, 200, a.status(again))
		assert.Equal(t, 400, post(logout, token).Code)
		assert.Equal(t, 200, a.status(again))
	})
}

// TestLogoutTokenMayComeAgainAfterAFailure: what was not carried out is 503, and is no replay then.
func TestLogoutTokenMayComeAgainAfterAFailure(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newIDP(t, "a")
		a := newApp(t, p)
		phone := p.access(t, "a", "42", "phone")
		require.Equal(t, 200, a.status(phone))
		fails := true
		logout := newLogout(t, a, func(o *LogoutOptions) {
			o.User = func(context.Context, string) (string, error) {
				if fails {
					return "", errors.New("the directory is away")
				}
				return "42", nil
			}
		})
		token := p.sign(t, "a", logoutType, claims(map[string]any{"sid": nil, "sub": "subject-of-42"}))
		w := post(logout, token)
		assert.Equal(t, 503, w.Code)
		assert.NotEmpty(t, w.Header().Get("Retry-After"))
		assert.Equal(t, 200, a.status(phone))
		fails = false
		assert.Equal(t, 200, post(logout, token).Code)
		assert.Equal(t, 401, a.status(phone))

		p.add(t, "b")
		p.do(func() { p.away = true })
		time.Sleep(time.Hour)
		assert.Equal(t, 503, post(logout, p.sign(t, "b", logoutType, claims(nil))).Code, "the key cannot be asked for")
	})
}

// TestUnknownSubjectIsNoFailure: the provider need not try again.
func TestUnknownSubjectIsNoFailure(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newIDP(t, "a")
		a := newApp(t, p)
		logout := newLogout(t, a, func(o *LogoutOptions) {
			o.User = func(context.Context, string) (string, error) { return "", nil }
		})
		token := p.sign(t, "a", logoutType, claims(map[string]any{"sid": nil, "sub": "x"}))
		assert.Equal(t, 200, post(logout, token).Code)
	})
}

// TestLogoutTakesOneFormOnly: the token comes once, in the body of a POST.
func TestLogoutTakesOneFormOnly(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newIDP(t, "a")
		logout := newLogout(t, newApp(t, p), nil)
		const form = "application/x-www-form-urlencoded"
		token := p.sign(t, "a", logoutType, claims(nil))
		body := "logout_token=" + token
		w := send(logout, http.MethodGet, "/?"+body, form, "")
		assert.Equal(t, 405, w.Code)
		assert.Equal(t, http.MethodPost, w.Header().Get("Allow"))
		for name, w := range map[string]*httptest.ResponseRecorder{
			"in the URL": send(logout, http.MethodPost, "/?"+body, form, ""),
			"twice":      send(logout, http.MethodPost, "/", form, body+"&"+body),
			"JSON":       send(logout, http.MethodPost, "/", "application/json", `{"logout_token":"`+token+`"}`),
			"none":       send(logout, http.MethodPost, "/", form, "other=1"),
			"empty":      send(logout, http.MethodPost, "/", form, "logout_token="),
			"large":      send(logout, http.MethodPost, "/", form, body+"&x="+strings.Repeat("x", maxForm)),
			"no token":   send(logout, http.MethodPost, "/", form, "logout_token=a.b.c"),
		} {
			assert.Equal(t, 400, w.Code, name)
			assert.Equal(t, "no-store", w.Header().Get("Cache-Control"), name)
		}
		assert.Equal(t, 200, send(logout, http.MethodPost, "/", form+"; charset=utf-8", body).Code)
	})
}

func TestLogoutTokensAreRememberedWithinABound(t *testing.T) {
	t.Parallel()
	var r recent
	now := time.Now()
	for i := range maxRecent {
		require.True(t, r.take(string(rune(i+1))+"/", now.Add(time.Duration(i+1)*time.Hour)))
	}
	require.True(t, r.take("one more", now.Add(time.Minute)))
	require.Len(t, r.ids, maxRecent)
	assert.False(t, r.take("one more", now.Add(time.Minute)))
	assert.True(t, r.take(string(rune(1))+"/", now.Add(time.Hour)), "the one that expires first was forgotten")
}

func TestLogoutOptionsNameWhatIsWrong(t *testing.T) {
	t.Parallel()
	keys, err := NewKeyfunc(issuer, nil)
	require.NoError(t, err)
	tracker, err := sessiontrack.New(sessiontrack.NewMemoryStore(), nil)
	require.NoError(t, err)
	_, err = BackchannelLogout(tracker, keys, LogoutOptions{Issuer: issuer})
	require.ErrorContains(t, err, "ClientID")
	_, err = BackchannelLogout(nil, keys, LogoutOptions{Issuer: issuer, ClientID: client})
	require.ErrorContains(t, err, "nil")
	for _, alg := range []string{"none", "HS256", ""} {
		_, err = BackchannelLogout(tracker, keys, LogoutOptions{Issuer: issuer, ClientID: client, Algorithms: []string{alg}})
		require.ErrorContains(t, err, "Algorithms")
	}
}
