package jwtverify

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var (
	secret32 = []byte("0123456789abcdef0123456789abcdef")
	// now has a fraction of a second, so that no test depends on whole seconds.
	now = time.Date(2026, 11, 22, 10, 0, 0, 250_000_000, time.UTC)
)

// verifier returns a Verifier for HS256 with secret32. change may alter its configuration.
func verifier(t testing.TB, change func(*Config)) *Verifier {
	t.Helper()
	config := Config{Algorithms: []string{"HS256"}, Key: secret32, UserClaim: "sub", RolesClaim: "roles",
		SessionClaim: "sid"}
	if change != nil {
		change(&config)
	}
	v, err := New(config)
	require.NoError(t, err)
	return v
}

// sign returns a token with any header and payload, and a valid signature.
func sign(t testing.TB, method jwt.SigningMethod, key any, header, payload string) string {
	t.Helper()
	signed := base64.RawURLEncoding.EncodeToString([]byte(header)) + "." +
		base64.RawURLEncoding.EncodeToString([]byte(payload))
	sig, err := method.Sign(signed, key)
	require.NoError(t, err)
	return signed + "." + base64.RawURLEncoding.EncodeToString(sig)
}

func hs256(t testing.TB, header, payload string) string {
	t.Helper()
	return sign(t, jwt.SigningMethodHS256, secret32, header, payload)
}

const plainHeader = `{"alg":"HS256","typ":"JWT"}`

func TestNewRefuses(t *testing.T) {
	t.Parallel()
	small, err := rsa.GenerateKey(rand.Reader, 1024) //nolint:gosec // the point of the case
	require.NoError(t, err)
	large, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	p256, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	ed, _, err := ed25519.GenerateKey(rand.Reader)
	require.NoError(t, err)
	cases := []struct {
		name   string
		change func(*Config)
		want   string
	}{
		{"no algorithm", func(c *Config) { c.Algorithms = nil }, "Algorithms"},
		{"none", func(c *Config) { c.Algorithms = []string{"none"} }, "Algorithms"},
		{"wrong case", func(c *Config) { c.Algorithms = []string{"hs256"} }, "Algorithms"},
		{"symmetric and not", func(c *Config) { c.Algorithms = []string{"HS256", "RS256"} }, "mixes"},
		{"no key", func(c *Config) { c.Key = nil }, "Keyfunc"},
		{"both keys", func(c *Config) { c.Keyfunc = func(*jwt.Token) (any, error) { return nil, nil } }, "Keyfunc"},
		{"31 bytes", func(c *Config) { c.Key = secret32[:31] }, "at least 32"},
		{"the word secret", func(c *Config) { c.Key = []byte("secret") }, "at least 32"},
		{"empty secret", func(c *Config) { c.Key = []byte{} }, "at least 32"},
		{"47 bytes for HS384", func(c *Config) { c.Algorithms = []string{"HS384"}; c.Key = make([]byte, 47) }, "at least 48"},
		{"63 bytes for HS512", func(c *Config) { c.Algorithms = []string{"HS512"}; c.Key = make([]byte, 63) }, "at least 64"},
		{"long enough for one of two", func(c *Config) { c.Algorithms = []string{"HS256", "HS512"} }, "at least 64"},
		{"secret as string", func(c *Config) { c.Key = string(secret32) }, "[]byte"},
		{"RSA key for HS256", func(c *Config) { c.Key = &large.PublicKey }, "[]byte"},
		{"secret for RS256", func(c *Config) { c.Algorithms = []string{"RS256"} }, "*rsa.PublicKey"},
		{"RSA 1024", func(c *Config) { c.Algorithms = []string{"RS256"}; c.Key = &small.PublicKey }, "2048"},
		{"private RSA key", func(c *Config) { c.Algorithms = []string{"RS256"}; c.Key = large }, "*rsa.PublicKey"},
		{"nil RSA key", func(c *Config) { c.Algorithms = []string{"PS256"}; c.Key = (*rsa.PublicKey)(nil) }, "2048"},
		{"P-256 for ES384", func(c *Config) { c.Algorithms = []string{"ES384"}; c.Key = &p256.PublicKey }, "P-384"},
		{"EC key without a point", func(c *Config) {
			c.Algorithms = []string{"ES256"}
			c.Key = &ecdsa.PublicKey{Curve: elliptic.P256()}
		}, "point"},
		{"EC key without curve", func(c *Config) { c.Algorithms = []string{"ES256"}; c.Key = &ecdsa.PublicKey{} }, "P-256"},
		{"EC key for EdDSA", func(c *Config) { c.Algorithms = []string{"EdDSA"}; c.Key = &p256.PublicKey }, "ed25519"},
		{"half an Ed25519 key", func(c *Config) { c.Algorithms = []string{"EdDSA"}; c.Key = ed[:16] }, "32 bytes"},
		{"Ed25519 key for ES256", func(c *Config) { c.Algorithms = []string{"ES256"}; c.Key = ed }, "*ecdsa.PublicKey"},
		{"leeway", func(c *Config) { c.Leeway = 61 * time.Second }, "Leeway"},
		{"size", func(c *Config) { c.MaxBytes = -1 }, "MaxBytes"},
		{"no user claim", func(c *Config) { c.UserClaim = "" }, "UserClaim"},
		{"claims differ in case", func(c *Config) { c.UserClaim = "EXP" }, "another case"},
		{"empty step", func(c *Config) { c.RolesClaim = "realm_access..roles" }, "RolesClaim"},
	}
	for _, test := range cases {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			config := Config{Algorithms: []string{"HS256"}, Key: secret32, UserClaim: "sub"}
			test.change(&config)
			_, err := New(config)
			var problem *ConfigError
			require.ErrorAs(t, err, &problem)
			assert.Contains(t, err.Error(), test.want)
		})
	}
}

// TestSecretIsCopied changes the caller's slice after New.
func TestSecretIsCopied(t *testing.T) {
	t.Parallel()
	own := append([]byte(nil), secret32...)
	v := verifier(t, func(c *Config) { c.Key = own })
	own[0]++
	_, _, err := v.Signature(hs256(t, plainHeader, "{}"))
	assert.NoError(t, err)
}

// TestAlgorithms signs with every algorithm by golang-jwt and verifies each token with each
// configuration. Only the matching pair is accepted.
func TestAlgorithms(t *testing.T) {
	t.Parallel()
	rsaPair, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	curves := map[string]elliptic.Curve{"ES256": elliptic.P256(), "ES384": elliptic.P384(), "ES512": elliptic.P521()}
	edPublic, edPrivate, err := ed25519.GenerateKey(rand.Reader)
	require.NoError(t, err)
	long := []byte(strings.Repeat("k", 64))
	tokens, verifiers := map[string]string{}, map[string]*Verifier{}
	for name := range supported {
		var private, public any
		switch name[:2] {
		case "HS":
			private, public = long, long
		case "RS", "PS":
			private, public = rsaPair, &rsaPair.PublicKey
		case "ES":
			pair, err := ecdsa.GenerateKey(curves[name], rand.Reader)
			require.NoError(t, err)
			private, public = pair, &pair.PublicKey
		case "Ed":
			private, public = edPrivate, edPublic
		}
		tokens[name] = sign(t, jwt.GetSigningMethod(name), private, `{"alg":"`+name+`"}`, "payload of "+name)
		verifiers[name] = verifier(t, func(c *Config) { c.Algorithms = []string{name}; c.Key = public })
	}
	for signer, token := range tokens {
		for name, v := range verifiers {
			h, payload, err := v.Signature(token)
			if name != signer {
				require.ErrorIs(t, err, ErrInvalid, "%s by %s", signer, name)
				continue
			}
			require.NoError(t, err, name)
			assert.Equal(t, name, h.Algorithm)
			assert.Equal(t, "payload of "+name, string(payload))
		}
	}
}

// TestSaltLength makes a PSS signature with the longest possible salt. golang-jwt accepts it.
func TestSaltLength(t *testing.T) {
	t.Parallel()
	pair, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	method := &jwt.SigningMethodRSAPSS{
		SigningMethodRSA: jwt.SigningMethodPS256.SigningMethodRSA,
		Options:          &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthAuto},
	}
	token := sign(t, method, pair, `{"alg":"PS256"}`, "{}")
	signed, sig := token[:strings.LastIndexByte(token, '.')], token[strings.LastIndexByte(token, '.')+1:]
	raw, err := base64.RawURLEncoding.DecodeString(sig)
	require.NoError(t, err)
	require.NoError(t, jwt.SigningMethodPS256.Verify(signed, raw, &pair.PublicKey))
	v := verifier(t, func(c *Config) { c.Algorithms = []string{"PS256"}; c.Key = &pair.PublicKey })
	_, _, err = v.Signature(token)
	assert.ErrorIs(t, err, ErrInvalid)
}

// dialTripwire fails the test when the default transport is used.
type dialTripwire struct{ t *testing.T }

func (d dialTripwire) RoundTrip(r *http.Request) (*http.Response, error) {
	d.t.Errorf("a token made the verifier ask %s", r.URL)
	return nil, http.ErrUseLastResponse
}

// TestKeyHeaders puts an attacker's key and URL into genuine and forged tokens. The verifier
// fetches neither. The test is not parallel, because it changes a global.
func TestKeyHeaders(t *testing.T) {
	before := http.DefaultTransport
	http.DefaultTransport = dialTripwire{t}
	defer func() { http.DefaultTransport = before }()
	var seen []map[string]any
	keyfunc := func(token *jwt.Token) (any, error) {
		seen = append(seen, token.Header)
		return secret32, nil
	}
	strict := verifier(t, func(c *Config) { c.Key = nil; c.Keyfunc = keyfunc })
	lenient := verifier(t, func(c *Config) { c.Key = nil; c.Keyfunc = keyfunc; c.IgnoreKeyHeaders = true })
	for _, parameter := range []string{
		`"jku":"https://attacker.example/keys"`, `"x5u":"https://attacker.example/cert"`,
		`"jwk":{"kty":"oct","k":"YXR0YWNrZXI"}`, `"x5c":["MIIB"]`,
	} {
		token := hs256(t, `{"alg":"HS256","kid":"1",`+parameter+`}`, "{}")
		_, _, err := strict.Signature(token)
		require.ErrorIs(t, err, ErrInvalid, parameter)
		require.Empty(t, seen, "the keyfunc was asked about %s", parameter)

		_, _, err = lenient.Signature(token)
		require.NoError(t, err, parameter)
		require.Equal(t, []map[string]any{{"alg": "HS256", "kid": "1"}}, seen, parameter)
		seen = nil

		_, _, err = lenient.Signature(sign(t, jwt.SigningMethodHS256, []byte("attacker"), `{"alg":"HS256",`+parameter+`}`,
			"{}"))
		require.ErrorIs(t, err, ErrInvalid, parameter)
		seen = nil
	}
}

func TestKeyID(t *testing.T) {
	t.Parallel()
	for kid, want := range map[string]bool{
		"1": true, "2026-11-22": true, "bilbo.baggins@hobbiton.example": true, "https://issuer.example/keys#1": true,
		"a+b/c=": true, "did:key:z6Mk": true, strings.Repeat("k", 256): true,
		"": false, "../../x": false, "' OR 1=1": false, "a\x00b": false, "a\nb": false, "a b": false, "é": false,
		`a\b`: false, "$(id)": false, strings.Repeat("k", 257): false,
	} {
		assert.Equal(t, want, acceptableKeyID(kid), "%q", kid)
	}
}

// TestSizes counts the allocations for hostile tokens: none if the token is too long, few
// otherwise.
func TestSizes(t *testing.T) {
	v := verifier(t, nil)
	good := hs256(t, plainHeader, `{"sub":"1","exp":`+"1795000000"+`}`)
	cases := []struct {
		name   string
		token  string
		allocs float64
	}{
		{"1 MB of letters", strings.Repeat("a", 1<<20), 0},
		{"a million dots", strings.Repeat(".", 1_000_000), 0},
		{"8 KiB of dots", strings.Repeat(".", DefaultMaxBytes), 0},
		{"a byte too long", good[:strings.IndexByte(good, '.')] + "." + strings.Repeat("a", DefaultMaxBytes), 0},
		{"1 MB kid", hs256(t, `{"alg":"HS256","kid":"`+strings.Repeat("k", 1<<20)+`"}`, "{}"), 0},
		{"1 KiB header", hs256(t, `{"alg":"HS256","x":"`+strings.Repeat("k", 1<<10)+`"}`, "{}"), 0},
		{"33 parameters", hs256(t, `{"alg":"HS256"`+manyMembers(32)+`}`, "{}"), 60},
		{"forged", good[:len(good)-4] + "AAAA", 24},
	}
	for _, test := range cases {
		_, _, err := v.Signature(test.token)
		require.ErrorIs(t, err, ErrInvalid, test.name)
		allocs := testing.AllocsPerRun(20, func() { _, _, _ = v.Signature(test.token) })
		assert.LessOrEqual(t, allocs, test.allocs, test.name)
	}
	_, _, err := v.Signature(good)
	require.NoError(t, err)
}

func manyMembers(n int) string {
	var b strings.Builder
	for i := range n {
		b.WriteString(`,"x` + string(rune('a'+i/26)) + string(rune('a'+i%26)) + `":1`)
	}
	return b.String()
}

// TestCertificateChain: where a chain of certificates is allowed, the header may be longer, up to a
// bound.
func TestCertificateChain(t *testing.T) {
	t.Parallel()
	v := verifier(t, func(c *Config) { c.IgnoreKeyHeaders = true })
	for n, good := range map[int]bool{4 << 10: true, 5 << 10: false} {
		_, _, err := v.Signature(hs256(t, `{"alg":"HS256","x5c":["`+strings.Repeat("M", n)+`"]}`, "{}"))
		assert.Equal(t, good, err == nil, "%d: %v", n, err)
	}
}

// TestErrorsTellNothing looks for parts of an untrusted token in the error text.
func TestErrorsTellNothing(t *testing.T) {
	t.Parallel()
	_, _, err := verifier(t, nil).Signature(hs256(t, `{"alg":"PLEASE-LOG-ME"}`, `{}`))
	require.ErrorIs(t, err, ErrInvalid)
	assert.NotContains(t, err.Error(), "PLEASE")
}

// BenchmarkRefused times tokens that anyone can send (docs/checks.md S12: at most 20 µs a request).
func BenchmarkRefused(b *testing.B) {
	v := verifier(b, nil)
	for name, token := range map[string]string{
		"1MB":             strings.Repeat("a", 1<<20),
		"dots":            strings.Repeat(".", 1_000_000),
		"header of 1 KiB": hs256(b, `{"alg":"HS256","x":"`+strings.Repeat("k", 740)+`"}`, "{}") + "=",
		"32 parameters":   hs256(b, `{"alg":"none"`+manyMembers(31)+`}`, "{}"),
		"deep header":     hs256(b, `{"alg":"none","x":`+strings.Repeat("[", 350)+strings.Repeat("]", 350)+`}`, "{}"),
		"forged 8 KiB":    hs256(b, plainHeader, strings.Repeat(" ", 6000))[:8070] + "AAAAAAAAAAA",
	} {
		if _, _, err := v.Signature(token); err == nil {
			b.Fatalf("%s is accepted", name)
		}
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				_, _, _ = v.Signature(token)
			}
		})
	}
}
