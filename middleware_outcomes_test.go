package sessiontrack

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// outcomes is an application whose middleware knows all three carriers, over any store.
type outcomes struct {
	*Tracker
	handler http.Handler
	broken  *brokenStore
}

// sayUser answers with the session's user, or 204 without a session.
func sayUser(w http.ResponseWriter, r *http.Request) {
	if s, ok := FromContext(r.Context()); ok {
		_, _ = w.Write([]byte(s.UserID))
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

var outcomesKey = []byte(strings.Repeat("k", 32))

func newOutcomes(t *testing.T, store Store, alone bool) *outcomes {
	t.Helper()
	identifier, err := NewJWTIdentifier(JWTOptions{Secret: outcomesKey})
	require.NoError(t, err)
	o := &outcomes{broken: &brokenStore{Store: store}}
	o.Tracker, err = New(o.broken, &Options{
		Identifier: identifier, SessionAlone: alone, Cookie: &CookieOptions{},
		Skip: SkipPrefixes("/static/"), SessionOptional: SkipPrefixes("/public"), MaxSessions: 3, LimitPolicy: DenyNew, StoreTimeout: busyMachine,
	})
	require.NoError(t, err)
	o.handler = o.Middleware(http.HandlerFunc(sayUser))
	return o
}

func (o *outcomes) signIn(t *testing.T, user string) Token {
	t.Helper()
	_, token, err := o.Login(httptest.NewRecorder(), httptest.NewRequest("POST", "/login", nil), user)
	require.NoError(t, err)
	return token
}

// bearerOf makes an Authorization value: a JWT of a user, with claims by name and value.
func bearerOf(t *testing.T, user string, expires time.Duration, claims ...string) string {
	t.Helper()
	all := jwt.MapClaims{"sub": user, "exp": time.Now().Add(expires).Unix()}
	for i := 0; i+1 < len(claims); i += 2 {
		all[claims[i]] = claims[i+1]
	}
	text, err := jwt.NewWithClaims(jwt.SigningMethodHS256, all).SignedString(outcomesKey)
	require.NoError(t, err)
	return "Bearer " + text
}

func cookieOf(token Token) string { return "__Host-session=" + token.Reveal() }

// TestMiddlewareAnswersOnBothStores checks every row of the table of outcomes on both stores.
func TestMiddlewareAnswersOnBothStores(t *testing.T) {
	t.Parallel()
	onEachStore(t, func(t *testing.T, store Store) {
		o, alone := newOutcomes(t, store, false), newOutcomes(t, store, true)
		live, other, ended := o.signIn(t, "1"), o.signIn(t, "2"), o.signIn(t, "1")
		_, err := o.End(t.Context(), IDs(ended.ID()), Ending{Reason: ReasonAdmin, Actor: "7"})
		require.NoError(t, err)
		expired := newToken() // past its lifetime as soon as it is there
		_, err = store.Create(t.Context(), NewSession{
			Session: Session{ID: expired.ID(), UserID: "1"}, SecretHash: expired.hash(), Lifetime: time.Microsecond,
		})
		require.NoError(t, err)
		derivedEnded := bearerOf(t, "3", time.Hour, "jti", "ended")
		require.Equal(t, 200, ask(o.handler, "GET", "/", "Authorization", derivedEnded).Code)
		_, err = o.End(t.Context(), User("3"), Ending{Reason: ReasonPassword})
		require.NoError(t, err)
		for range 3 {
			o.signIn(t, "4") // as many as are allowed
		}

		const auth, cookie = "Authorization", "Cookie"
		sid := func(token Token) string { return bearerOf(t, "1", time.Hour, "sid", string(token.ID())) }
		plain := bearerOf(t, "1", time.Hour)
		wrong := Token{handle: ended.handle, hidden: live.hidden}
		signature := strings.LastIndexByte(plain, '.') + 1
		forged := plain[:signature] + strings.Repeat("A", len(plain)-signature)
		for _, row := range []struct {
			name    string
			app     *outcomes
			headers []string
			want    string // the problem's code with its reason, "user 1", or "passes"
		}{
			{"no carrier", o, nil, "passes"},
			{"another scheme", o, []string{auth, "Basic dTpw"}, "passes"},
			{"another cookie", o, []string{cookie, "theme=dark"}, "passes"},

			{"JWT with our sid", o, []string{auth, sid(live)}, "user 1"},
			{"JWT with our sid and header", o, []string{auth, sid(live), headerName, live.Reveal()}, "user 1"},
			{"JWT with our sid and cookie", o, []string{auth, sid(live), cookie, cookieOf(live)}, "user 1"},
			{"all three", o, []string{auth, sid(live), headerName, live.Reveal(), cookie, cookieOf(live)}, "user 1"},
			{"JWT naming the user, header the session", o, []string{auth, plain, headerName, live.Reveal()}, "user 1"},
			{"JWT of its own", o, []string{auth, bearerOf(t, "5", time.Hour)}, "user 5"},
			{"header alone, allowed", alone, []string{headerName, live.Reveal()}, "user 1"},
			{"cookie alone, allowed", alone, []string{cookie, cookieOf(live)}, "user 1"},
			{"header and cookie, allowed", alone, []string{headerName, live.Reveal(), cookie, cookieOf(live)}, "user 1"},

			{"ended, by sid", o, []string{auth, sid(ended)}, "session_ended admin"},
			{"ended, by its secret", alone, []string{headerName, ended.Reveal()}, "session_ended admin"},
			{"ended, by cookie", alone, []string{cookie, cookieOf(ended)}, "session_ended admin"},
			{"ended, both", o, []string{auth, plain, headerName, ended.Reveal()}, "session_ended admin"},
			{"ended, derived", o, []string{auth, derivedEnded}, "session_ended password"},
			{"past its lifetime", alone, []string{headerName, expired.Reveal()}, "session_ended lifetime"},
			{"past its lifetime, by sid", o, []string{auth, sid(expired)}, "session_ended lifetime"},

			{"JWT past its exp", o, []string{auth, bearerOf(t, "1", -time.Hour, "sid", string(live.ID()))}, "token_expired"},
			{"JWT past its exp, ended session", o, []string{auth, bearerOf(t, "1", -time.Hour, "sid", string(ended.ID()))}, "token_expired"},
			{"JWT past its exp, no session", o, []string{auth, bearerOf(t, "1", -time.Hour)}, "token_expired"},

			{"unknown token", alone, []string{headerName, newToken().Reveal()}, "session_invalid"},
			{"unknown sid", o, []string{auth, sid(newToken())}, "session_invalid"},
			{"malformed token", alone, []string{headerName, live.Reveal() + "A"}, "session_invalid"},
			{"empty header", alone, []string{headerName, ""}, "session_invalid"},
			{"empty header beside a good JWT", o, []string{auth, sid(live), headerName, ""}, "session_invalid"},
			{"handle without its secret", alone, []string{headerName, string(live.ID())}, "session_invalid"},
			{"wrong secret", alone, []string{headerName, Token{handle: live.handle, hidden: other.hidden}.Reveal()}, "session_invalid"},
			{"wrong secret of an ended one", alone, []string{headerName, wrong.Reveal()}, "session_invalid"},
			{"header twice", alone, []string{headerName, live.Reveal(), headerName, live.Reveal()}, "session_invalid"},
			{"cookie twice", alone, []string{cookie, cookieOf(live) + "; " + cookieOf(live)}, "session_invalid"},
			{"Authorization twice", o, []string{auth, sid(live), auth, sid(live)}, "session_invalid"},
			{"two schemes", o, []string{auth, sid(live), auth, "Basic dTpw"}, "session_invalid"},
			{"header against cookie", alone, []string{headerName, live.Reveal(), cookie, cookieOf(other)}, "session_invalid"},
			{"sid against header", o, []string{auth, sid(live), headerName, other.Reveal()}, "session_invalid"},
			{"somebody else's session", o, []string{auth, plain, headerName, other.Reveal()}, "session_invalid"},
			{"somebody else's sid", o, []string{auth, bearerOf(t, "2", time.Hour, "sid", string(live.ID()))}, "session_invalid"},
			{"somebody else's ended sid", o, []string{auth, bearerOf(t, "2", time.Hour, "sid", string(ended.ID()))}, "session_invalid"},
			{"forged", o, []string{auth, forged}, "session_invalid"},
			{"no JWT at all", o, []string{auth, "Bearer x"}, "session_invalid"},
			{"1 MB", o, []string{auth, "Bearer " + strings.Repeat("a.", 1<<19)}, "session_invalid"},
			{"header alone, not allowed", o, []string{headerName, live.Reveal()}, "session_invalid"},
			{"cookie alone, not allowed", o, []string{cookie, cookieOf(live)}, "session_invalid"},

			{"derived, over the limit", o, []string{auth, bearerOf(t, "4", time.Hour)}, "session_limit"},
		} {
			t.Run(row.name, func(t *testing.T) {
				w := ask(row.app.handler, "GET", "/", row.headers...)
				assert.Equal(t, row.want, outcome(t, w))
				if row.want == "session_invalid" {
					assert.Equal(t, invalidBody, w.Body.String(), "one body for all of these")
				}
				if w = ask(row.app.handler, "GET", "/static/x", row.headers...); row.want != "passes" {
					assert.Equal(t, "passes", outcome(t, w), "skipped")
				}
				public := "passes"
				if strings.HasPrefix(row.want, "user") || row.want == "session_limit" {
					public = row.want
				}
				w = ask(row.app.handler, "GET", "/public", row.headers...)
				assert.Equal(t, public, outcome(t, w), "public")
			})
		}
		for _, headers := range [][]string{{cookie, cookieOf(ended)}, {cookie, cookieOf(newToken())}, {cookie, "__Host-session=x"}, {cookie, cookieOf(wrong)}} {
			headers = append(headers, "Sec-Fetch-Mode", "navigate")
			w := ask(alone.handler, "GET", "/public", headers...)
			assert.Empty(t, w.Header().Values("Set-Cookie"), "the answer may be stored by a shared cache")
			w = ask(alone.handler, "GET", "/", headers...)
			assert.Contains(t, w.Header().Get("Set-Cookie"), "__Host-session=; Path=/; Max-Age=0", "a dead cookie is cleared")
		}
		testCrossOriginOutcomes(t, alone, live)
		testOutageOutcomes(t, o, alone, live, sid(live))
	})
}

var invalidBody = `{"type":"about:blank","title":"Unauthorized","status":401,"detail":"The credential is not good.","code":"session_invalid"}` + "\n"

func testCrossOriginOutcomes(t *testing.T, alone *outcomes, live Token) {
	for _, path := range []string{"/", "/public"} {
		w := ask(alone.handler, "POST", path, "Cookie", cookieOf(live), "Sec-Fetch-Site", "cross-site")
		assert.Equal(t, "cross_origin", outcome(t, w))
		w = ask(alone.handler, "GET", path, "Cookie", cookieOf(live), "Sec-Fetch-Site", "cross-site")
		assert.Equal(t, "user 1", outcome(t, w), "a safe method")
		w = ask(alone.handler, "POST", path, headerName, live.Reveal(), "Sec-Fetch-Site", "cross-site")
		assert.Equal(t, "user 1", outcome(t, w), "no cookie")
	}
}

func testOutageOutcomes(t *testing.T, o, alone *outcomes, live Token, sid string) {
	o.broken.away.Store(true)
	alone.broken.away.Store(true)
	for _, headers := range [][]string{{"Authorization", sid}, {"Authorization", bearerOf(t, "6", time.Hour)}} {
		assert.Equal(t, "store_unavailable", outcome(t, ask(o.handler, "GET", "/", headers...)))
		assert.Equal(t, "passes", outcome(t, ask(o.handler, "GET", "/public", headers...)))
		assert.Equal(t, "passes", outcome(t, ask(o.handler, "GET", "/static/", headers...)))
	}
	assert.Equal(t, "store_unavailable", outcome(t, ask(alone.handler, "GET", "/", headerName, live.Reveal())))
	assert.Equal(t, "passes", outcome(t, ask(alone.handler, "GET", "/")))
	assert.Equal(t, "session_invalid", outcome(t, ask(alone.handler, "GET", "/", headerName, string(live.ID()))),
		"no store is needed to say so")
}

func ask(h http.Handler, method, path string, headers ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, path, nil)
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Add(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r.WithContext(context.WithoutCancel(r.Context())))
	return w
}

// outcome puts an answer into words, and checks a problem whole.
func outcome(t *testing.T, w *httptest.ResponseRecorder) string {
	t.Helper()
	switch w.Code {
	case http.StatusNoContent:
		return "passes"
	case http.StatusOK:
		return "user " + w.Body.String()
	}
	code, _ := decoded(t, w)["code"].(string)
	status := map[string]int{
		"session_ended": 401, "session_invalid": 401, "token_expired": 401, "session_limit": 403, "cross_origin": 403, "store_unavailable": 503,
	}[code]
	reason, _ := requireProblem(t, w, status, code)["reason"].(string)
	return strings.TrimSpace(code + " " + reason)
}
