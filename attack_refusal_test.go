package sessiontrack

import (
	"context"
	"crypto/sha256"
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"

	"github.com/golang-jwt/jwt/v5"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestRefusalsCannotBeAimedAtSomebody: an attacker cannot make the cache of refused credentials
// refuse another user's credential. The attacker knows the victim's handle and user id, which are
// not secret, chooses a secret, and computes a handle that falls into the same slot.
func TestRefusalsCannotBeAimedAtSomebody(t *testing.T) {
	t.Parallel()
	forged := func(victim SessionID, users ...string) string {
		token := newToken()
		aimed, _ := parseHandle(victim)
		mix := func(sum [sha256.Size]byte) {
			for i := range aimed {
				aimed[i] ^= sum[i]
			}
		}
		mix(token.hash())
		for _, user := range users {
			mix(sha256.Sum256([]byte(user)))
		}
		return Token{handle: aimed, hidden: token.hidden}.Reveal()
	}
	for _, attack := range []struct {
		name    string
		alone   bool
		headers func(victim SessionID) []string
	}{
		{"with only a header", true, func(victim SessionID) []string {
			return []string{headerName, forged(victim, "42")}
		}},
		{"with the attacker's own credential", false, func(victim SessionID) []string {
			return []string{headerName, forged(victim, "42", "666"), "X-User", "666"}
		}},
	} {
		t.Run(attack.name, func(t *testing.T) {
			t.Parallel()
			store := newFaultStore()
			f := replica(t, store, &Options{Identifier: byUser, SessionAlone: attack.alone}).started(t)
			s, _ := replica(t, store, nil).login(t, "42") // on another replica, so not cached here
			require.Equal(t, 401, f.do("GET", "/", attack.headers(s.ID)...).Code)

			victim := []string{"X-User", "42", "X-Sid", string(s.ID)}
			_, err := f.door.caller(request("POST", "/", victim...), true, false)
			require.NoError(t, err, "a decision that reads the store")
			require.Equal(t, 200, f.do("GET", "/", victim...).Code)
		})
	}
}

// TestForgedTokenRefusesNoGenuineOne: a forged token begins a read that finds no session. A genuine
// credential would have created one. A request with the genuine credential that waits for the same
// read must not get the forger's refusal.
func TestForgedTokenRefusesNoGenuineOne(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, &Options{Identifier: byUser, SessionAlone: true}).started(t)
		hold := make(chan struct{})
		f.store.hook(func() { <-hold })
		codes := make(chan [2]int, 2)
		send := func(who int, headers ...string) {
			go func() { codes <- [2]int{who, f.do("GET", "/", headers...).Code} }()
			synctest.Wait()
		}
		forged := newToken()
		forged.handle = deriveHandle("", "42", "k")
		send(0, headerName, forged.Reveal())
		send(1, "X-User", "42", "X-Key", "k")
		f.store.hook(nil)
		close(hold)
		got := map[int]int{}
		for range 2 {
			code := <-codes
			got[code[0]] = code[1]
		}
		assert.Equal(t, map[int]int{0: 401, 1: 200}, got)
		require.NoError(t, f.Shutdown(t.Context()))
	})
}

// TestLogoutIsUnsafe: a link, an image or a prefetch of another site cannot sign a user out, even
// if the handler is mounted without a method (OWASP ASVS 3.5.3).
func TestLogoutIsUnsafe(t *testing.T) {
	t.Parallel()
	f := newFixture(t, &Options{Cookie: &CookieOptions{}}).started(t)
	_, token := f.login(t, "42")
	handler := f.Middleware(http.HandlerFunc(f.Logout))
	for method, site := range map[string]string{"GET": "cross-site", "HEAD": "cross-site", "OPTIONS": "cross-site",
		"TRACE": "none"} {
		r := request(method, "/logout", "Cookie", "__Host-session="+token.Reveal(), "Sec-Fetch-Site", site)
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		requireProblem(t, w, 405, "method_not_allowed")
		assert.Equal(t, "POST", w.Header().Get("Allow"))
		assert.Empty(t, w.Header().Values("Set-Cookie"))
	}
	assert.Equal(t, 200, f.get(token).Code)
	w := httptest.NewRecorder()
	handler.ServeHTTP(w, request("POST", "/logout", headerName, token.Reveal()))
	assert.Equal(t, 204, w.Code)
	assert.Equal(t, 401, f.get(token).Code)
}

// TestIdentityKeyNamesOneSession: the host's Identifier may wrap the library's and set Key
// itself. Then one Key is one session, whatever tokens it had.
func TestIdentityKeyNamesOneSession(t *testing.T) {
	t.Parallel()
	ours := newJWT(t, nil)
	f := newFixture(t, &Options{Identifier: IdentifierFunc(func(r *http.Request) (Identity, error) {
		id, err := ours.Identify(r)
		id.Key = r.Header.Get("X-Key")
		return id, err
	})}).started(t)
	get := func(token, key string) string {
		w := f.do("GET", "/", "Authorization", "Bearer "+jwtWith(t, jwt.MapClaims{"sub": "42", "jti": token}), "X-Key", key)
		require.Equal(t, 200, w.Code)
		return w.Body.String()
	}
	assert.Equal(t, get("one", "phone"), get("two", "phone"))
	assert.NotEqual(t, get("one", "phone"), get("one", "desk"))
	assert.NotEqual(t, get("one", ""), get("two", ""), "without a Key it is the token that names the session")
}

// TestForceLogoutReachesUnseenTokens: after an administrator has signed a user out, a token of that
// user that was never used is refused. This also holds for a user without any session.
func TestForceLogoutReachesUnseenTokens(t *testing.T) {
	t.Parallel()
	onEachStore(t, func(t *testing.T, store Store) {
		var failed string
		s := newSite(t, store, siteOptions{tracker: func(o *Options) {
			o.Identifier, o.SessionAlone = newJWT(t, nil), true
			roles := o.Roles
			o.Roles = func(ctx context.Context, user string) ([]string, error) {
				if user == failed {
					return nil, assert.AnError
				}
				return roles(ctx, user)
			}
		}})
		s.signIn(t, adam)
		present := func(user string) int {
			token := jwtWith(t, jwt.MapClaims{"sub": user, "jti": "stolen from " + user})
			return s.as("", "GET", onlinePath+"count", "Authorization", "Bearer "+token).Code
		}
		force := adminPath + "force-logout-user/"
		body := s.json(t, adam, "POST", force+bob)
		assert.Equal(t, map[string]any{"ended": 0.0}, body["data"])
		assert.Equal(t, 401, present(bob))

		requireProblem(t, s.as(adam, "POST", force+ruth), 403, "forbidden") // also before a superadmin's first visit
		assert.Equal(t, 200, present(ruth))

		failed = "404" // the host's Roles fails for unknown users
		body = s.json(t, adam, "POST", force+failed)
		assert.Equal(t, map[string]any{"ended": 0.0}, body["data"])
	})
}
