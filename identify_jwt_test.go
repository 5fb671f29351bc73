package sessiontrack

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var jwtSecret = []byte("0123456789abcdef0123456789abcdef")

const jwtSession = "AAAAAAAAAAAAAAAAAAAAAA" // 22 characters, canonical

func newJWT(t testing.TB, change func(*JWTOptions)) *JWTIdentifier {
	t.Helper()
	options := JWTOptions{Secret: jwtSecret}
	if change != nil {
		change(&options)
	}
	j, err := NewJWTIdentifier(options)
	require.NoError(t, err)
	return j
}

// jwtWith signs claims with jwtSecret; exp is an hour ahead unless they say.
func jwtWith(t testing.TB, claims jwt.MapClaims) string {
	t.Helper()
	all := jwt.MapClaims{"exp": time.Now().Add(time.Hour).Unix()}
	for name, value := range claims {
		all[name] = value
	}
	token, err := jwt.NewWithClaims(jwt.SigningMethodHS256, all).SignedString(jwtSecret)
	require.NoError(t, err)
	return token
}

// authorized is a request with lines of Authorization.
func authorized(lines ...string) *http.Request {
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	if lines != nil {
		r.Header["Authorization"] = lines
	}
	return r
}

func TestJWTOptionsRefused(t *testing.T) {
	t.Parallel()
	keyfunc := func(*jwt.Token) (any, error) { return jwtSecret, nil }
	for _, test := range []struct {
		options JWTOptions
		want    string
	}{
		{JWTOptions{}, "Secret and Keyfunc"},
		{JWTOptions{Secret: jwtSecret, Keyfunc: keyfunc}, "Secret and Keyfunc"},
		{JWTOptions{Secret: []byte("8 bytes!")}, "JWTOptions.Secret for HS256 is a secret of 8 bytes: want at least 32"},
		{JWTOptions{Secret: []byte{}}, "JWTOptions.Secret"},
		{JWTOptions{Secret: jwtSecret, Algorithms: []string{"HS512"}}, "at least 64"},
		{JWTOptions{Secret: jwtSecret, Algorithms: []string{"RS256"}}, "JWTOptions.Secret"},
		{JWTOptions{Secret: jwtSecret, Algorithms: []string{"none"}}, "JWTOptions.Algorithms"},
		{JWTOptions{Keyfunc: keyfunc}, "JWTOptions.Algorithms is empty"},
		{JWTOptions{Secret: jwtSecret, Leeway: 2 * time.Minute}, "JWTOptions.Leeway is 2m0s: want at most 1m0s"},
		{JWTOptions{Secret: jwtSecret, UserClaim: "-"}, "JWTOptions.UserClaim"},
		{JWTOptions{Secret: jwtSecret, RolesClaim: "a."}, "JWTOptions.RolesClaim"},
		{JWTOptions{Secret: jwtSecret, CacheFor: -1}, "JWTOptions.CacheFor"},
	} {
		_, err := NewJWTIdentifier(test.options)
		require.Error(t, err, test.want)
		assert.Contains(t, err.Error(), test.want)
		assert.NotContains(t, err.Error(), "8 bytes!")
	}
}

// TestJWTAuthorizationLines is the middleware's table of outcomes for this carrier.
func TestJWTAuthorizationLines(t *testing.T) {
	t.Parallel()
	j := newJWT(t, nil)
	token := jwtWith(t, jwt.MapClaims{"sub": "42"})
	for name, test := range map[string]struct {
		lines []string
		want  error
	}{
		"none":                    {nil, ErrNoCredential},
		"bearer":                  {[]string{"Bearer " + token}, nil},
		"bearer in lower case":    {[]string{"bearer " + token}, nil},
		"bearer in upper case":    {[]string{"BEARER " + token}, nil},
		"basic":                   {[]string{"Basic dXNlcjpwYXNz"}, ErrNoCredential},
		"a scheme that starts so": {[]string{"Bearer2 " + token}, ErrNoCredential},
		"a scheme with a dash":    {[]string{"Bearer-X " + token}, ErrNoCredential},
		"a short scheme":          {[]string{"Bear " + token}, ErrNoCredential},
		"empty":                   {[]string{""}, ErrInvalidCredential},
		"a space":                 {[]string{" "}, ErrInvalidCredential},
		"a space before":          {[]string{" Bearer " + token}, ErrInvalidCredential},
		"no token":                {[]string{"Bearer"}, ErrInvalidCredential},
		"no token but a space":    {[]string{"Bearer "}, ErrInvalidCredential},
		"two spaces":              {[]string{"Bearer  " + token}, ErrInvalidCredential},
		"a tab":                   {[]string{"Bearer\t" + token}, ErrInvalidCredential},
		"a comma":                 {[]string{"Bearer, " + token}, ErrInvalidCredential},
		"a space after":           {[]string{"Bearer " + token + " "}, ErrInvalidCredential},
		"two tokens":              {[]string{"Bearer " + token + ", Bearer " + token}, ErrInvalidCredential},
		"two lines":               {[]string{"Bearer " + token, "Bearer " + token}, ErrInvalidCredential},
		"two lines, one basic":    {[]string{"Basic dXNlcjpwYXNz", "Bearer " + token}, ErrInvalidCredential},
		"not a JWT":               {[]string{"Bearer opaque"}, ErrInvalidCredential},
		"a quoted one":            {[]string{`Bearer "` + token + `"`}, ErrInvalidCredential},
		"padded":                  {[]string{"Bearer " + token + "="}, ErrInvalidCredential},
	} {
		got, err := j.Identify(authorized(test.lines...))
		if test.want == nil {
			require.NoError(t, err, name)
			assert.Equal(t, "42", got.UserID, name)
			continue
		}
		require.ErrorIs(t, err, test.want, name)
		assert.NotErrorIs(t, err, ErrUnavailable, name)
		assert.NotErrorIs(t, err, ErrExpiredCredential, name)
		assert.Equal(t, Identity{}, got, name)
	}
}

func TestJWTIdentity(t *testing.T) {
	t.Parallel()
	end := time.Now().Add(time.Hour).Truncate(time.Second).UTC()
	signed := func(token string) string { return token[:strings.LastIndexByte(token, '.')] }
	for name, test := range map[string]struct {
		change func(*JWTOptions)
		claims jwt.MapClaims
		want   func(token string) Identity
	}{
		"our session": {nil, jwt.MapClaims{"sub": "42", "sid": jwtSession, "jti": "j", "roles": []string{"admin"}},
			func(string) Identity { return Identity{UserID: "42", Roles: []string{"admin"}, SessionID: jwtSession} }},
		"provider's session": {func(o *JWTOptions) { o.IssuerSessions = true },
			jwt.MapClaims{"sub": 42, "sid": "0b9c-uuid", "jti": "j", "iss": "https://i.example"},
			func(string) Identity {
				return Identity{UserID: "42", Issuer: "https://i.example", Key: "0b9c-uuid",
					derived: deriveHandle("https://i.example", "42", "0b9c-uuid")}
			}},
		"jti": {nil, jwt.MapClaims{"sub": "42", "jti": "j", "iss": "i"},
			func(string) Identity {
				return Identity{UserID: "42", Issuer: "i", derived: deriveHandle("i", "42", "j")}
			}},
		"nothing": {nil, jwt.MapClaims{"sub": "42"},
			func(token string) Identity {
				return Identity{UserID: "42", derived: deriveHandle("", "42", signed(token))}
			}},
		"provider's, but none": {func(o *JWTOptions) { o.IssuerSessions = true }, jwt.MapClaims{"sub": "42", "jti": "j"},
			func(string) Identity { return Identity{UserID: "42", derived: deriveHandle("", "42", "j")} }},
		"session claim off": {func(o *JWTOptions) { o.SessionClaim = "-"; o.RolesClaim = "-" },
			jwt.MapClaims{"sub": "42", "sid": 1, "jti": "j", "roles": 1},
			func(string) Identity { return Identity{UserID: "42", derived: deriveHandle("", "42", "j")} }},
		"other names": {func(o *JWTOptions) {
			o.UserClaim, o.RolesClaim, o.SessionClaim = "uid", "realm_access.roles", "session"
		},
			jwt.MapClaims{"sub": "service", "uid": "42", "session": jwtSession,
				"realm_access": map[string]any{"roles": []string{"user"}}},
			func(string) Identity { return Identity{UserID: "42", Roles: []string{"user"}, SessionID: jwtSession} }},
	} {
		j := newJWT(t, test.change)
		test.claims["exp"] = end.Unix()
		token := jwtWith(t, test.claims)
		want := test.want(token)
		want.ExpiresAt, want.IssuedAt = end, time.Unix(0, 0).UTC()
		for range 2 { // verified, and then remembered
			got, err := j.Identify(authorized("Bearer " + token))
			require.NoError(t, err, name)
			assert.Equal(t, want, got, name)
		}
	}
}

// TestJWTForeignSession gives our claim what is no handle of ours.
func TestJWTForeignSession(t *testing.T) {
	t.Parallel()
	j := newJWT(t, nil)
	for _, sid := range []any{"0b9c0a7e-5b1d-4c6e-9d53-3c1c3c4d5e6f", jwtSession[:21], jwtSession[:21] + "B",
		jwtSession + "A", "", 5, nil,
		jwtSession + "." + strings.Repeat("A", 43), strings.Repeat("/", 22)} {
		_, err := j.Identify(authorized("Bearer " + jwtWith(t, jwt.MapClaims{"sub": "42", "sid": sid})))
		assert.ErrorIs(t, err, ErrInvalidCredential, "%v", sid)
	}
}

// TestJWTOtherSignature makes the second signature that every ES256 token has. Both are good, and
// name one derived session.
func TestJWTOtherSignature(t *testing.T) {
	t.Parallel()
	pair, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	j := newJWT(t, func(o *JWTOptions) {
		o.Secret, o.Algorithms = nil, []string{"ES256"}
		o.Keyfunc = func(*jwt.Token) (any, error) { return &pair.PublicKey, nil }
	})
	claims := jwt.MapClaims{"sub": "42", "exp": time.Now().Add(time.Hour).Unix()}
	token, err := jwt.NewWithClaims(jwt.SigningMethodES256, claims).SignedString(pair)
	require.NoError(t, err)
	last := strings.LastIndexByte(token, '.')
	sig, err := base64.RawURLEncoding.DecodeString(token[last+1:])
	require.NoError(t, err)
	s := new(big.Int).SetBytes(sig[32:])
	s.Sub(elliptic.P256().Params().N, s).FillBytes(sig[32:])
	other := token[:last+1] + base64.RawURLEncoding.EncodeToString(sig)
	require.NotEqual(t, token, other)

	one, err := j.Identify(authorized("Bearer " + token))
	require.NoError(t, err)
	two, err := j.Identify(authorized("Bearer " + other))
	require.NoError(t, err)
	assert.Equal(t, one.derived, two.derived)
	assert.NotZero(t, one.derived)
}

// netError is a net.Error.
type netError struct{}

func (netError) Error() string   { return "no route" }
func (netError) Timeout() bool   { return true }
func (netError) Temporary() bool { return true }

var _ net.Error = netError{}

// TestJWTKeyfuncErrors says which of a host's errors are a verdict on the token.
func TestJWTKeyfuncErrors(t *testing.T) {
	t.Parallel()
	token := jwtWith(t, jwt.MapClaims{"sub": "42"})
	for name, test := range map[string]struct{ given, want error }{
		"no such key":              {errors.New("kid unknown"), ErrInvalidCredential},
		"away":                     {fmt.Errorf("jwks: %w", ErrUnavailable), ErrUnavailable},
		"timed out":                {fmt.Errorf("jwks: %w", context.DeadlineExceeded), ErrUnavailable},
		"network":                  {fmt.Errorf("jwks: %w", netError{}), ErrUnavailable},
		"passes for no credential": {ErrNoCredential, ErrInvalidCredential},
		"passes for expired":       {ErrExpiredCredential, ErrInvalidCredential},
		"panics":                   {nil, ErrUnavailable},
	} {
		j := newJWT(t, func(o *JWTOptions) {
			o.Secret, o.Algorithms = nil, []string{"HS256"}
			o.Keyfunc = func(*jwt.Token) (any, error) {
				if test.given == nil {
					panic("boom")
				}
				return nil, test.given
			}
		})
		_, err := j.Identify(authorized("Bearer " + token))
		for _, sentinel := range []error{ErrInvalidCredential, ErrUnavailable, ErrNoCredential, ErrExpiredCredential} {
			assert.Equal(t, sentinel == test.want, errors.Is(err, sentinel), "%s: %v", name, err)
		}
	}
}

// TestJWTExpires follows one token over its end, with what is remembered and without.
func TestJWTExpires(t *testing.T) {
	t.Parallel()
	for _, size := range []int{0, -1} {
		synctest.Test(t, func(t *testing.T) {
			j := newJWT(t, func(o *JWTOptions) { o.CacheSize = size })
			r := authorized("Bearer " + jwtWith(t, jwt.MapClaims{"sub": "42", "exp": time.Now().Add(time.Minute).Unix()}))
			for _, step := range []time.Duration{0, time.Minute - 1, 1, 30*time.Second - 1} {
				time.Sleep(step)
				_, err := j.Identify(r)
				require.NoError(t, err)
			}
			time.Sleep(time.Nanosecond)
			for range 2 {
				_, err := j.Identify(r)
				require.ErrorIs(t, err, ErrExpiredCredential)
				require.ErrorIs(t, err, ErrInvalidCredential)
			}
		})
	}
}

// TestJWTHostile holds docs/checks.md S12: what a hostile Authorization line may cost.
func TestJWTHostile(t *testing.T) {
	j := newJWT(t, nil)
	forged := jwtWith(t, jwt.MapClaims{"sub": "42"})
	forged = forged[:len(forged)-6] + "AAAAAA"
	for name, test := range map[string]struct {
		line   string
		allocs float64
	}{
		"1 MB token":          {"Bearer " + strings.Repeat("a", 1<<20), 0},
		"a million dots":      {"Bearer " + strings.Repeat(".", 1_000_000), 0},
		"a byte too long":     {"Bearer " + strings.Repeat("a", 8193), 0},
		"8 KiB of dots":       {"Bearer " + strings.Repeat(".", 8192), 10},
		"8 KiB of letters":    {"Bearer " + strings.Repeat("a", 8192), 10},
		"8 KiB of segments":   {"Bearer " + strings.Repeat("a", 4000) + "." + strings.Repeat("a", 4000) + ".aa", 10},
		"1 MB of some scheme": {strings.Repeat("Basic", 1<<18), 0},
		"forged":              {"Bearer " + forged, 30},
	} {
		r := authorized(test.line)
		_, err := j.Identify(r)
		require.Error(t, err, name)
		allocs := testing.AllocsPerRun(50, func() { _, _ = j.Identify(r) })
		assert.LessOrEqual(t, allocs, test.allocs, name)
	}
}

// TestRefreshedTokensOfOneKeyAreOneSession: a client that refreshes its token every minute has
// one session where a claim names the sign-in, and its end refuses what is refreshed later.
func TestRefreshedTokensOfOneKeyAreOneSession(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var logs bytes.Buffer
		f := newFixture(t, &Options{
			Identifier: newJWT(t, func(o *JWTOptions) { o.KeyClaim = "family" }), MaxSessions: 2,
			Logger: slog.New(slog.NewTextHandler(&lockedWriter{w: &logs}, nil)),
		}).started(t)
		minute := 0
		token := func(family string) string {
			minute++
			return "Bearer " + jwtWith(t, jwt.MapClaims{"sub": "42", "family": family, "jti": fmt.Sprint(minute),
				"iat": time.Now().Unix()})
		}
		phone := f.do("GET", "/", "Authorization", token("phone")).Body.String()
		laptop := f.do("GET", "/", "Authorization", token("laptop")).Body.String()
		assert.NotEqual(t, phone, laptop)
		for range 90 {
			time.Sleep(time.Minute)
			assert.Equal(t, phone, f.do("GET", "/", "Authorization", token("phone")).Body.String())
		}
		assert.EqualValues(t, 2, f.Counters()["session.logins"])
		assert.Zero(t, f.Counters()["session.ended"], "no device of the limit was taken for another one")
		assert.NotContains(t, logs.String(), "KeyClaim")

		jti := f.do("GET", "/", "Authorization", "Bearer "+jwtWith(t, jwt.MapClaims{"sub": "42", "jti": "key\u2400phone"}))
		assert.NotEqual(t, phone, jti.Body.String())
		_, err := f.End(t.Context(), IDs(SessionID(phone)), Ending{Reason: ReasonAdmin})
		require.NoError(t, err)
		time.Sleep(time.Minute)
		assert.Equal(t, 401, f.do("GET", "/", "Authorization", token("phone")).Code, "refreshed after the end")
	})
}

// TestManySessionsFromTokensWithoutAKeyAreNoticed: once, and not for tokens that name more than
// themselves.
func TestManySessionsFromTokensWithoutAKeyAreNoticed(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*JWTOptions){
		"jti": nil, "sid of the issuer": func(o *JWTOptions) { o.IssuerSessions = true },
		"key": func(o *JWTOptions) { o.KeyClaim = "family" },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var logs bytes.Buffer
				f := newFixture(t, &Options{Identifier: newJWT(t, change), Logger: slog.New(slog.NewTextHandler(
					&lockedWriter{w: &logs}, nil))}).started(t)
				for i := range 5 {
					claims := jwt.MapClaims{"sub": "42", "jti": fmt.Sprint(i)}
					switch name {
					case "key":
						claims["family"] = fmt.Sprint(i)
					case "sid of the issuer":
						claims["sid"] = fmt.Sprint(i)
					}
					require.Equal(t, 200, f.do("GET", "/", "Authorization", "Bearer "+jwtWith(t, claims)).Code)
				}
				want := 0
				if name == "jti" {
					want = 1
				}
				assert.Equal(t, want, strings.Count(logs.String(), "JWTOptions.KeyClaim"), logs.String())
			})
		})
	}
}

func TestKeyClaimIsAnotherClaim(t *testing.T) {
	t.Parallel()
	for _, claim := range []string{"sub", "sid", "SID", "roles.x"} {
		_, err := NewJWTIdentifier(JWTOptions{Secret: jwtSecret, KeyClaim: claim})
		if claim == "roles.x" {
			require.NoError(t, err, "a name with a dot is one name")
			continue
		}
		require.ErrorContains(t, err, "Claim", claim)
	}
	f := newFixture(t, &Options{Identifier: newJWT(t, func(o *JWTOptions) { o.KeyClaim = "family" })})
	for _, bad := range []any{"", 7, strings.Repeat("x", 256), "a\x00b", []string{"a"}} {
		w := f.do("GET", "/", "Authorization", "Bearer "+jwtWith(t, jwt.MapClaims{"sub": "42", "family": bad}))
		assert.Equal(t, 401, w.Code, "%v", bad)
	}
}

// TestProviderEndsItsSession: derived sessions of the provider's tokens end by the provider's own id,
// also one whose token was never used, and also its refreshed tokens. Another session of the same
// user lives.
func TestProviderEndsItsSession(t *testing.T) {
	t.Parallel()
	onEachStore(t, func(t *testing.T, store Store) {
		const issuer = "https://idp.example"
		identifier := newJWT(t, func(o *JWTOptions) { o.IssuerSessions = true })
		tracker, err := New(store, &Options{Identifier: identifier, StoreTimeout: busyMachine})
		require.NoError(t, err)
		start(t, tracker)
		code := func(sid string) (int, string) {
			w := httptest.NewRecorder()
			token := jwtWith(t, jwt.MapClaims{"iss": issuer, "sub": "42", "sid": sid, "iat": time.Now().Unix(), "jti": newToken().ID()})
			tracker.Require(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})).ServeHTTP(w, authorized("Bearer "+token))
			return w.Code, w.Body.String()
		}
		for _, sid := range []string{"phone", "laptop"} {
			got, body := code(sid)
			require.Equal(t, 200, got, body)
		}
		for _, sid := range []string{"phone", "never seen"} {
			_, err := tracker.End(t.Context(), Provider(issuer, sid), Ending{Reason: ReasonProvider})
			require.NoError(t, err)
			for range 2 {
				got, body := code(sid)
				assert.Equal(t, 401, got, sid)
				assert.Contains(t, body, `"reason":"idp"`, sid)
			}
		}
		got, body := code("laptop")
		assert.Equal(t, 200, got, body)
	})
}
