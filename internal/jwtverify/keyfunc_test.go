package jwtverify

import (
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"testing"

	"github.com/golang-jwt/jwt/v5"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func withKeyfunc(t *testing.T, f jwt.Keyfunc) *Verifier {
	t.Helper()
	return verifier(t, func(c *Config) { c.Key = nil; c.Keyfunc = f })
}

// TestKeyfuncSelects returns a different key for each kid, and checks the Keyfunc's argument.
func TestKeyfuncSelects(t *testing.T) {
	t.Parallel()
	errUnknown := errors.New("no such key")
	keys := map[string][]byte{"old": []byte("old old old old old old old old!"), "new": secret32}
	v := withKeyfunc(t, func(token *jwt.Token) (any, error) {
		assert.Equal(t, jwt.SigningMethodHS256, token.Method)
		assert.Equal(t, jwt.MapClaims{}, token.Claims, "claims are not known before the signature")
		assert.NotEmpty(t, token.Raw)
		kid, _ := token.Header["kid"].(string)
		if key, ok := keys[kid]; ok {
			return key, nil
		}
		return nil, errUnknown
	})
	h, _, err := v.Signature(hs256(t, `{"alg":"HS256","kid":"new"}`, "{}"))
	require.NoError(t, err)
	assert.Equal(t, Header{Algorithm: "HS256", KeyID: "new"}, h)
	_, _, err = v.Signature(hs256(t, `{"alg":"HS256","kid":"old"}`, "{}"))
	assert.ErrorIs(t, err, errSignature)
	_, _, err = v.Signature(hs256(t, `{"alg":"HS256","kid":"other"}`, "{}"))
	assert.ErrorIs(t, err, ErrInvalid)
	assert.ErrorIs(t, err, errUnknown, "errors.Is finds the host's error")
}

// TestKeyfuncKeys returns keys that do not fit the algorithm, such as a public key for HS256.
func TestKeyfuncKeys(t *testing.T) {
	t.Parallel()
	pair, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	set := func(keys ...jwt.VerificationKey) jwt.VerificationKeySet { return jwt.VerificationKeySet{Keys: keys} }
	crowd := set()
	for range maxKeys {
		crowd.Keys = append(crowd.Keys, []byte("another another another another!"))
	}
	crowd.Keys = append(crowd.Keys, secret32)
	for name, test := range map[string]struct {
		key  any
		good bool
	}{
		"the secret":               {secret32, true},
		"in a set":                 {set(&pair.PublicKey, []byte("short"), secret32), true},
		"nothing":                  {nil, false},
		"text":                     {string(secret32), false},
		"short":                    {secret32[:16], false},
		"public key":               {&pair.PublicKey, false},
		"empty set":                {set(), false},
		"set of others":            {set(&pair.PublicKey), false},
		"past the bound of a set":  {crowd, false},
		"a type that cannot be ==": {map[string]int{}, false},
	} {
		_, _, err := withKeyfunc(t, func(*jwt.Token) (any, error) { return test.key, nil }).Signature(hs256(t, plainHeader,
			"{}"))
		if test.good {
			assert.NoError(t, err, name)
		} else {
			assert.ErrorIs(t, err, ErrInvalid, name)
		}
	}
}

// TestKeyfuncPanics: a panic in the host's Keyfunc does not make the token invalid.
func TestKeyfuncPanics(t *testing.T) {
	t.Parallel()
	_, _, err := withKeyfunc(t, func(*jwt.Token) (any, error) { panic("boom") }).Signature(hs256(t, plainHeader, "{}"))
	require.Error(t, err)
	assert.NotErrorIs(t, err, ErrInvalid)
	assert.NotErrorIs(t, err, ErrExpired)
}

// TestKeyfuncNotAsked: a token that is refused by its header does not reach the Keyfunc.
func TestKeyfuncNotAsked(t *testing.T) {
	t.Parallel()
	v := withKeyfunc(t, func(*jwt.Token) (any, error) {
		t.Error("keyfunc was asked")
		return secret32, nil
	})
	for _, token := range []string{
		hs256(t, `{"alg":"none"}`, "{}"), hs256(t, `{"alg":"HS384"}`, "{}"), hs256(t, `{"alg":"HS256","crit":["x"]}`, "{}"),
		hs256(t, `{"alg":"HS256","kid":"../../x"}`, "{}"), hs256(t, plainHeader, "{}") + "=", "",
	} {
		_, _, err := v.Signature(token)
		assert.ErrorIs(t, err, ErrInvalid, token)
	}
}
