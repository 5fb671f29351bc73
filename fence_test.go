package sessiontrack

import (
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/stretchr/testify/require"
)

// TestFence: ending all of a user's sessions refuses tokens, too, that nobody has seen.
func TestFence(t *testing.T) {
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
	_, err := f.End(t.Context(), User("42").Except(login.ID), Ending{Reason: ByPassword})
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
