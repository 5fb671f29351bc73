package jwtverify

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// vectorFile is the schema of Wycheproof's JsonWebSignature vectors.
type vectorFile struct {
	TestGroups []vectorGroup
}

type vectorGroup struct {
	Comment         string
	Public, Private *webKey // a secret is only in Private
	Tests           []vector
}

type vector struct {
	TcID    int
	Comment string
	JWS     string
	Result  string
}

// webKey is a JSON Web Key (RFC 7517).
type webKey struct {
	Kty, Alg, Use, Crv, K, N, E, X, Y string
	KeyOps                            []string `json:"key_ops"`
}

// config returns the configuration for a JWK. It returns false if the key may not verify, or names
// no algorithm.
func (k webKey) config(t *testing.T) (Config, bool) {
	t.Helper()
	if k.Use != "" && k.Use != "sig" || k.KeyOps != nil && !strings.Contains(strings.Join(k.KeyOps, " "), "verify") {
		return Config{}, false
	}
	if _, ok := supported[k.Alg]; !ok {
		return Config{}, false
	}
	number := func(s string) *big.Int { return new(big.Int).SetBytes(unbase64(t, s)) }
	var key any
	switch k.Kty {
	case "oct":
		key = unbase64(t, k.K)
	case "RSA":
		key = &rsa.PublicKey{N: number(k.N), E: int(number(k.E).Int64())}
	case "EC":
		curve := map[string]elliptic.Curve{"P-256": elliptic.P256(), "P-384": elliptic.P384(),
			"P-521": elliptic.P521()}[k.Crv]
		key = &ecdsa.PublicKey{Curve: curve, X: number(k.X), Y: number(k.Y)}
	case "OKP":
		key = ed25519.PublicKey(unbase64(t, k.X))
	}
	return Config{Algorithms: []string{k.Alg}, Key: key, UserClaim: "sub"}, true
}

func unbase64(t *testing.T, s string) []byte {
	t.Helper()
	b, err := base64.RawURLEncoding.DecodeString(s)
	require.NoError(t, err)
	return b
}

// accepts reports whether the signature step accepts jws with the group's key. It is false if the
// key is not usable.
func (g vectorGroup) accepts(t *testing.T, jws string) bool {
	t.Helper()
	key := g.Public
	if key == nil {
		key = g.Private
	}
	require.NotNil(t, key, "group %q has no key", g.Comment)
	config, ok := key.config(t)
	if !ok {
		return false
	}
	v, err := New(config)
	if err != nil {
		return false
	}
	_, _, err = v.Signature(jws)
	return err == nil
}

// odd reports what is wrong with the vector itself, or "". A vector is wrong if it contradicts
// another vector of its group. It is also wrong if it calls a token valid that RFC 7515 forbids, or
// whose algorithm differs from the key's (RFC 7517 §4.4).
func (g vectorGroup) odd(test vector) string {
	for _, other := range g.Tests {
		if other.JWS == test.JWS && other.Result != test.Result {
			return fmt.Sprintf("vector %d says the opposite of the same token", other.TcID)
		}
	}
	if test.Result != "valid" {
		return ""
	}
	var header struct{ Alg string }
	segments := strings.Split(test.JWS, ".")
	for i, segment := range segments {
		b, err := base64.RawURLEncoding.Strict().DecodeString(segment)
		if err != nil {
			return "called valid, is not base64url"
		}
		if i == 0 && json.Unmarshal(b, &header) != nil {
			return "called valid, has no header"
		}
	}
	key := g.Public
	if key == nil {
		key = g.Private
	}
	if header.Alg != key.Alg {
		return fmt.Sprintf("called valid, has alg %s where the key is for %q", header.Alg, key.Alg)
	}
	return ""
}

// runVectors prints how many of a file's vectors match. A mismatch fails the test unless the vector
// is odd.
func runVectors(t *testing.T, path string) (matching, all int) {
	t.Helper()
	data, err := os.ReadFile(path)
	require.NoError(t, err)
	var file vectorFile
	require.NoError(t, json.Unmarshal(data, &file))
	var report strings.Builder
	for _, group := range file.TestGroups {
		for _, test := range group.Tests {
			all++
			accepted := group.accepts(t, test.JWS)
			if accepted == (test.Result == "valid") {
				matching++
				continue
			}
			why := group.odd(test)
			fmt.Fprintf(&report, "  %d %s/%s: %s, accepted %v; %s\n", test.TcID, group.Comment, test.Comment, test.Result,
				accepted, why)
			assert.NotEmpty(t, why, "vector %d (%s) of %s: want %s", test.TcID, test.Comment, path, test.Result)
		}
	}
	require.NotZero(t, all)
	_, err = fmt.Fprintf(os.Stdout, "jws vectors: %d of %d match\n%s", matching, all, report.String())
	require.NoError(t, err)
	return matching, all
}

// TestOwnVectors runs testdata/vectors.json. None of its vectors is odd.
func TestOwnVectors(t *testing.T) {
	t.Parallel()
	matching, all := runVectors(t, "testdata/vectors.json")
	assert.Equal(t, all, matching)
}

// These name Wycheproof at one commit and its checksum. The test downloads it as the standard
// library's tests do: a requirement in go.mod would reach every user.
const (
	published    = "github.com/c2sp/wycheproof@v0.0.0-20260902155932-3fa63dd0344a"
	publishedSum = "h1:pNbL2nztRsWfW/ispAwsvcDFxs9Id38uIsR2/Up5G2c="
)

// TestPublishedVectors runs Wycheproof's vectors. 8 of them contradict each other or an RFC.
// JWS_VECTORS may name another file of that schema.
func TestPublishedVectors(t *testing.T) {
	t.Parallel()
	if path := os.Getenv("JWS_VECTORS"); path != "" {
		runVectors(t, path)
		return
	}
	matching, all := runVectors(t, filepath.Join(fetch(t, published, publishedSum), "testvectors_v1",
		"json_web_signature_test.json"))
	assert.Equal(t, []int{393, 401}, []int{matching, all})
}

// fetch returns the folder of a module in the module cache. It skips the test if no module proxy
// answers.
func fetch(t *testing.T, module, sum string) string {
	t.Helper()
	if testing.Short() {
		t.Skip("-short: nothing is fetched")
	}
	download := exec.CommandContext(t.Context(), "go", "mod", "download", "-json", module)
	download.Dir = t.TempDir() // a folder outside of any module
	download.Env = append(os.Environ(), "GOWORK=off", "GOFLAGS=")
	out, err := download.Output()
	var got struct{ Dir, Sum, Error string }
	if err != nil || json.Unmarshal(out, &got) != nil {
		t.Skipf("cannot be fetched (JWS_VECTORS may name a file of vectors): %v %s", err, out)
	}
	require.Equal(t, sum, got.Sum)
	return got.Dir
}

// TestOddVectors: a vector is called odd only for its own faults.
func TestOddVectors(t *testing.T) {
	t.Parallel()
	secret := webKey{Kty: "oct", Alg: "HS256", K: strings.Repeat("A", 43)}
	group := vectorGroup{Private: &secret, Tests: []vector{
		{1, "", "eyJhbGciOiJIUzI1NiJ9.AA.AA", "valid"},
		{2, "", "eyJhbGciOiJIUzI1NiJ9.AA.AA", "invalid"},
		{3, "", "eyJhbGciOiJIUzI1NiJ9.A?.AA", "valid"},
		{4, "", "eyJhbGciOiJub25lIn0.AA.AA", "valid"},
		{5, "", "eyJhbGciOiJIUzI1NiJ9.AA.AQ", "valid"},
		{6, "", "eyJhbGciOiJub25lIn0.AA.AA==", "invalid"},
	}}
	for i, odd := range []bool{true, true, true, true, false, false} {
		assert.Equal(t, odd, group.odd(group.Tests[i]) != "", "vector %d", i+1)
	}
}
