package sessiontrack

import (
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestEndOfAUserRefusesEarlierCredentials: ending all of a user's sessions refuses tokens, too,
// that nobody has seen.
func TestEndOfAUserRefusesEarlierCredentials(t *testing.T) {
	t.Parallel()
	synctest.Test(t, testFence)
}

func testFence(t *testing.T) {
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
	timeless := token("timeless", time.Time{})
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
	time.Sleep(2 * time.Second)
	require.Equal(t, "ok", get(token("later", time.Now())))
	require.Equal(t, "ok", get(ours), "a token that carries a session of Login's is judged by its session alone")
	require.LessOrEqual(t, f.store.creates.Load(), int64(5), "what is refused by the fence is cached")
}

// TestFenceLetsLaterTokensOfTheSessionIn: where a provider's session is one for several tokens,
// a token issued after the fence is good also where an earlier one was refused.
func TestFenceLetsLaterTokensOfTheSessionIn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
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
		time.Sleep(2 * time.Second)
		require.Equal(t, 200, f.do("GET", "/", "Authorization", token(time.Now())).Code)
	})
}

// TestFenceHoldsForAnIssuerThatIsAhead: a token that was issued before the end of all of its
// user's sessions, by a clock that is ahead, names a time after it.
func TestFenceHoldsForAnIssuerThatIsAhead(t *testing.T) {
	t.Parallel()
	const leeway = 30 * time.Second
	for _, skew := range []time.Duration{2 * time.Second, 5 * time.Second, 29 * time.Second} {
		synctest.Test(t, func(t *testing.T) {
			f := newFixture(t, &Options{Identifier: newJWT(t, nil)})
			token := func(issuer string, skew time.Duration) string {
				issued := time.Now().Add(skew)
				return "Bearer " + jwtWith(t, jwt.MapClaims{"iss": issuer, "sub": "42", "iat": issued.Unix(), "exp": issued.Add(time.Hour).Unix()})
			}
			before, late := token("ahead", skew), token("ahead", skew)
			require.Equal(t, 200, f.do("GET", "/", "Authorization", token("ahead", skew)).Code)
			time.Sleep(time.Second)
			_, err := f.End(t.Context(), User("42"), Ending{Reason: ReasonPassword})
			require.NoError(t, err)
			assert.Equal(t, 401, f.do("GET", "/", "Authorization", before).Code, "from before the end")
			time.Sleep(2 * time.Second)
			assert.Equal(t, 200, f.do("GET", "/", "Authorization", token("on time", 0)).Code, "an issuer on time is not harmed")
			assert.Equal(t, 200, f.do("GET", "/", "Authorization", token("behind", -time.Second)).Code)
			time.Sleep(skew)
			assert.Equal(t, 401, f.do("GET", "/", "Authorization", late).Code, "seen late it names a time that is past")
			time.Sleep(leeway)
			assert.Equal(t, 200, f.do("GET", "/", "Authorization", token("ahead", skew)).Code, "issued after the leeway")
			assert.EqualValues(t, 4, f.Counters()["request.issuer_ahead"])
		})
	}
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
