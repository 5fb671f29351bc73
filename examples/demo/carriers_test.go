package main

import (
	"fmt"
	"maps"
	"net/http"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/golang-jwt/jwt/v5"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// mint makes a JWT as the demo would, with claims changed; nil takes one away.
func mint(t *testing.T, secret string, changes jwt.MapClaims) string {
	t.Helper()
	now := time.Now()
	claims := jwt.MapClaims{"iss": issuer, "sub": "3", "roles": []string{"user"}, "iat": now.Unix(), "exp": now.Add(time.Hour).Unix()}
	maps.Copy(claims, changes)
	maps.DeleteFunc(claims, func(_ string, value any) bool { return value == nil })
	signed, err := jwt.NewWithClaims(jwt.SigningMethodHS256, claims).SignedString([]byte(secret))
	require.NoError(t, err)
	return signed
}

func TestCarriersAsTheContractSays(t *testing.T) {
	t.Parallel()
	onEachStore(t, func(t *testing.T, d *demo) {
		mine, other, stranger := d.signIn("user1"), d.signIn("user1"), d.signIn("user2")
		header := func(values ...string) change { return with("X-Session-Id", values...) }
		unknown := strings.Repeat("B", 21) + "A." + strings.Repeat("B", 42) + "A"
		swapped := mine.handle + "." + other.token[23:]

		for name, test := range map[string]struct {
			changes []change
			status  int
			code    string
		}{
			"nothing":                       {nil, 401, "unauthenticated"},
			"another scheme":                {[]change{with("Authorization", "Basic dXNlcjpwYXNz")}, 401, "unauthenticated"},
			"JWT with our sid":              {[]change{byBearer(mine.bearer)}, 200, ""},
			"JWT and header":                {[]change{as(mine)}, 200, ""},
			"JWT of its own":                {[]change{byBearer(mint(t, testSecret, nil))}, 200, ""},
			"JWT of its own and header":     {[]change{byBearer(mint(t, testSecret, nil)), header(mine.token)}, 200, ""},
			"header alone":                  {[]change{header(mine.token)}, 401, "session_invalid"},
			"handle alone":                  {[]change{header(mine.handle)}, 401, "session_invalid"},
			"handle as bearer":              {[]change{byBearer(mine.handle)}, 401, "session_invalid"},
			"token as bearer":               {[]change{byBearer(mine.token)}, 401, "session_invalid"},
			"JWT and handle":                {[]change{byBearer(mine.bearer), header(mine.handle)}, 401, "session_invalid"},
			"JWT and another's session":     {[]change{byBearer(mine.bearer), header(stranger.token)}, 401, "session_invalid"},
			"JWT and one's other session":   {[]change{byBearer(mine.bearer), header(other.token)}, 401, "session_invalid"},
			"JWT and another secret":        {[]change{byBearer(mine.bearer), header(swapped)}, 401, "session_invalid"},
			"JWT and unknown session":       {[]change{byBearer(mine.bearer), header(unknown)}, 401, "session_invalid"},
			"JWT and empty header":          {[]change{byBearer(mine.bearer), header("")}, 401, "session_invalid"},
			"header twice":                  {[]change{byBearer(mine.bearer), header(mine.token, mine.token)}, 401, "session_invalid"},
			"Authorization twice":           {[]change{with("Authorization", "Bearer "+mine.bearer, "Bearer "+mine.bearer)}, 401, "session_invalid"},
			"two in one line":               {[]change{with("Authorization", "Bearer "+mine.bearer+", Bearer "+mine.bearer)}, 401, "session_invalid"},
			"JWT naming another's session":  {[]change{byBearer(mint(t, testSecret, jwt.MapClaims{"sid": stranger.handle}))}, 401, "session_invalid"},
			"JWT naming an unknown session": {[]change{byBearer(mint(t, testSecret, jwt.MapClaims{"sid": unknown[:22]}))}, 401, "session_invalid"},
			"JWT naming a whole token":      {[]change{byBearer(mint(t, testSecret, jwt.MapClaims{"sid": mine.token}))}, 401, "session_invalid"},
			"JWT of another key":            {[]change{byBearer(mint(t, strings.Repeat("x", 32), jwt.MapClaims{"sid": mine.handle}))}, 401, "session_invalid"},
			"JWT of another issuer":         {[]change{byBearer(mint(t, testSecret, jwt.MapClaims{"iss": "else"}))}, 401, "session_invalid"},
			"JWT without exp":               {[]change{byBearer(mint(t, testSecret, jwt.MapClaims{"exp": nil}))}, 401, "session_invalid"},
			"JWT without sub":               {[]change{byBearer(mint(t, testSecret, jwt.MapClaims{"sub": nil}))}, 401, "session_invalid"},
			"expired JWT": {
				[]change{byBearer(mint(t, testSecret, jwt.MapClaims{"sid": mine.handle, "exp": time.Now().Add(-time.Hour).Unix()}))},
				401, "token_expired",
			},
			"JWT for a user of 10 KB":   {[]change{byBearer(mint(t, testSecret, jwt.MapClaims{"sub": strings.Repeat("9", 10_000)}))}, 401, "session_invalid"},
			"a JWT of 1 MB":             {[]change{byBearer(strings.Repeat("a", 1_000_000))}, 401, "session_invalid"},
			"a session of 100 KB":       {[]change{header(strings.Repeat("a", 100_000))}, 401, "session_invalid"},
			"another program's header":  {[]change{header("7f0c5a1e-3f0b-4c5e-9d57-0b8f4f3c2a11")}, 401, "session_invalid"},
			"JWT and another program's": {[]change{byBearer(mine.bearer), header("7f0c5a1e-3f0b-4c5e-9d57-0b8f4f3c2a11")}, 200, ""},
		} {
			t.Run(name, func(t *testing.T) {
				r := d.get("/api/me", test.changes...)
				if test.status == http.StatusOK {
					require.Equal(t, http.StatusOK, r.status, "%s", r)
				} else {
					requireProblem(t, r, test.status, test.code)
				}
				assert.Equal(t, http.StatusOK, d.get("/api/me", as(mine)).status, "the next request works")
				for _, path := range []string{"/", "/healthz", "/docs", "/static/style.css"} {
					assert.Equal(t, http.StatusOK, d.get(path, test.changes...).status, path)
				}
			})
		}
	})
}

// What is refused for another reason than an end looks the same, whatever the reason.
func TestRefusalsTellNothing(t *testing.T) {
	t.Parallel()
	onEachStore(t, func(t *testing.T, d *demo) {
		c := d.signIn("user1")
		var first reply
		for i, carrier := range []change{
			with("X-Session-Id", c.token),
			with("X-Session-Id", c.handle),
			with("X-Session-Id", "short"),
			byBearer("x.y.z"),
			byBearer(mint(t, testSecret, jwt.MapClaims{"sid": strings.Repeat("C", 21) + "A"})),
			byBearer(mint(t, strings.Repeat("x", 32), nil)),
		} {
			r := d.get("/api/me", carrier)
			r.header.Del("Date")
			if i == 0 {
				first = r
			}
			assert.Equal(t, first, r, "carrier %d", i)
		}
	})
}

// An ended session of a JWT's own stays ended for every other spelling of the token.
func TestDerivedSessionEndsForEverySpelling(t *testing.T) {
	t.Parallel()
	onEachStore(t, func(t *testing.T, d *demo) {
		token := mint(t, testSecret, nil)
		first := d.get("/api/me", byBearer(token))
		require.Equal(t, http.StatusOK, first.status, "%s", first)
		assert.Equal(t, first.field("session", "id"), d.get("/api/me", byBearer(token)).field("session", "id"), "one session")
		assert.Equal(t, http.StatusNoContent, d.do(http.MethodPost, "/logout", "", byBearer(token)).status)
		requireEnded(t, d.get("/api/me", byBearer(token)), "logout")
		for _, spelling := range []string{token + "=", token + "A", strings.ReplaceAll(token, ".", ".\t")} {
			r := d.get("/api/me", byBearer(spelling))
			assert.Equal(t, http.StatusUnauthorized, r.status, "%q", spelling)
		}
		assert.Equal(t, http.StatusUnauthorized, d.get("/api/me", with("Authorization", "bearer "+token)).status)
	})
}

func TestHostileRequestsAreRefusedOrCut(t *testing.T) {
	t.Parallel()
	onEachStore(t, func(t *testing.T, d *demo) {
		c := d.signIn("user1")
		for name, changes := range map[string][]change{
			"invalid UTF-8 in the agent": {with("User-Agent", "\xff\xfe agent")},
			"an agent of 900 KB":         {with("User-Agent", strings.Repeat("x", 900_000))},
			"no agent":                   {with("User-Agent", "")},
			"20,000 forwarded lines":     {with("X-Forwarded-For", lines(20_000)...)},
		} {
			t.Run(name, func(t *testing.T) {
				r := d.do(http.MethodPost, "/login", loginBody("user1@example.com", password), changes...)
				require.Less(t, r.status, 500, "%s", r)
				require.Equal(t, http.StatusOK, r.status, "%s", r)
				me := d.get("/api/me", byBearer(r.field("token", "token").(string)))
				agent := me.field("session", "userAgent").(string)
				assert.LessOrEqual(t, len(agent), 512)
				assert.True(t, utf8.ValidString(agent))
				assert.Equal(t, http.StatusOK, d.get("/api/me", as(c)).status, "the next request works")
			})
		}
		for _, path := range []string{"/api/%00me", "/%ff%fe", "/api//me", "/static/%5c..%5cx", "/" + strings.Repeat("x", 10_000)} {
			r := d.get(path, as(c))
			assert.Less(t, r.status, 500, path)
		}
	})
}

func lines(n int) []string {
	list := make([]string, n)
	for i := range list {
		list[i] = fmt.Sprintf("192.0.2.%d", i%256)
	}
	return list
}
