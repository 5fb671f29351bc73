package sessiontrack

import (
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/stretchr/testify/require"
)

// TestEndOfAUserRefusesEarlierCredentials: ending all of a user's sessions refuses tokens, too,
// that nobody has seen.
func TestEndOfAUserRefusesEarlierCredentials(t *testing.T) {
	t.Parallel()
	f := newFixture(t, &Options{Identifier: newJWT(t, nil)}).started(t)
	now := time.Now()
	token := func(name string, issued time.Time) string {
		claims := jwt.MapClaims{"sub": "42", "exp": now.Add(time.Hour).Unix(), "jti": name}
		if !issued.IsZero() {
			claims["iat"] = issued.Unix()
		}
		return "Bearer " + jwtWith(t, claims)
	}
	seen, unseen := token("seen", now.Add(-time.Minute)), token("unseen", now.Add(-time.Minute))
	timeless, later := token("timeless", time.Time{}), token("later", now.Add(5*time.Second))
	get := func(bearer string) string {
		w := f.do("GET", "/", "Authorization", bearer)
		if w.Code == 200 {
			return "ok"
		}
		return w.Body.String()
	}
	login, _ := f.login(t, "42")
	ours := "Bearer " + jwtWith(t, jwt.MapClaims{"sub": "42", "exp": now.Add(time.Hour).Unix(), "iat": now.Add(-time.Minute).Unix(), "sid": string(login.ID)})

	require.Equal(t, "ok", get(seen))
	_, err := f.End(t.Context(), User("42").Except(login.ID), Ending{Reason: ReasonPassword})
	require.NoError(t, err)
	for name, bearer := range map[string]string{"seen": seen, "unseen": unseen, "timeless": timeless} {
		for range 3 {
			require.Contains(t, get(bearer), `"reason":"password"`, name)
		}
	}
	require.Equal(t, "ok", get(later))
	require.Equal(t, "ok", get(ours), "a token that carries a session of Login's is judged by its session alone")
	require.LessOrEqual(t, f.store.creates.Load(), int64(5), "what is refused by the fence is cached")
}

// TestFenceLetsLaterTokensOfTheSessionIn: where a provider's session is one for several tokens,
// a token issued after the fence is good also where an earlier one was refused.
func TestFenceLetsLaterTokensOfTheSessionIn(t *testing.T) {
	t.Parallel()
	f := newFixture(t, &Options{Identifier: newJWT(t, func(o *JWTOptions) { o.IssuerSessions = true })}).started(t)
	now := time.Now()
	token := func(issued time.Time) string {
		return "Bearer " + jwtWith(t, jwt.MapClaims{"sub": "42", "exp": now.Add(time.Hour).Unix(), "iat": issued.Unix(), "sid": "the provider's"})
	}
	_, err := f.End(t.Context(), User("42"), Ending{Reason: ReasonPassword})
	require.NoError(t, err)
	for range 2 {
		require.Contains(t, f.do("GET", "/", "Authorization", token(now.Add(-time.Minute))).Body.String(), `"reason":"password"`)
	}
	require.Equal(t, 200, f.do("GET", "/", "Authorization", token(now.Add(5*time.Second))).Code)
}

// TestEndOutlivesLaterCredentials: where credentials name the user only, all of them are
// one derived session, and the end of the first says nothing about the others': they do
// not bring back what was ended.
func TestEndOutlivesLaterCredentials(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var expires time.Time
		identify := IdentifierFunc(func(*http.Request) (Identity, error) {
			return Identity{UserID: "42", ExpiresAt: expires}, nil
		})
		f := newFixture(t, &Options{Identifier: identify, Retention: time.Minute, CleanupInterval: -1}).started(t)
		expires = time.Now().Add(time.Minute)
		require.Equal(t, 200, f.do("GET", "/").Code)
		page, err := f.List(t.Context(), Query{UserID: "42"})
		require.NoError(t, err)
		_, err = f.End(t.Context(), IDs(page.Sessions[0].ID), Ending{Reason: ReasonAdmin})
		require.NoError(t, err)
		expires = time.Now().Add(time.Hour)
		require.Equal(t, 401, f.do("GET", "/").Code)
		time.Sleep(10 * time.Minute)
		_, err = f.Cleanup(t.Context())
		require.NoError(t, err)
		f.near.cache.clear()
		require.Equal(t, 401, f.do("GET", "/").Code)
		require.NoError(t, f.Shutdown(t.Context()))
	})
}
