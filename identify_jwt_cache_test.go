package sessiontrack

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// counted is an identifier that counts the verifications it makes.
func counted(t testing.TB, change func(*JWTOptions)) (*JWTIdentifier, *atomic.Int64) {
	t.Helper()
	var n atomic.Int64
	return newJWT(t, func(o *JWTOptions) {
		o.Secret, o.Algorithms = nil, []string{"HS256"}
		o.Keyfunc = func(*jwt.Token) (any, error) {
			n.Add(1)
			return jwtSecret, nil
		}
		if change != nil {
			change(o)
		}
	}), &n
}

// TestTokenCacheHit costs nothing, and remembers neither what is refused nor what is nearly the same.
func TestTokenCacheHit(t *testing.T) {
	j, verified := counted(t, nil)
	token := jwtWith(t, jwt.MapClaims{"sub": "42", "roles": []string{"admin"}})
	r := authorized("Bearer " + token)
	allocs := testing.AllocsPerRun(100, func() {
		if _, err := j.Identify(r); err != nil {
			t.Fatal(err)
		}
	})
	assert.Zero(t, allocs)
	assert.EqualValues(t, 1, verified.Load())
	for i := range len(token) {
		for _, c := range []byte{'A', 'B', '.', '='} {
			if token[i] == c {
				continue
			}
			_, err := j.Identify(authorized("Bearer " + token[:i] + string(c) + token[i+1:]))
			require.ErrorIs(t, err, ErrInvalidCredential, "byte %d as %c", i, c)
		}
	}
	before := verified.Load()
	_, err := j.Identify(authorized("bearer " + strings.Clone(token)))
	require.NoError(t, err)
	assert.Equal(t, before, verified.Load(), "garbage has evicted the token")
}

func TestTokenCacheOff(t *testing.T) {
	t.Parallel()
	j, verified := counted(t, func(o *JWTOptions) { o.CacheSize = -1 })
	r := authorized("Bearer " + jwtWith(t, jwt.MapClaims{"sub": "42"}))
	for range 3 {
		_, err := j.Identify(r)
		require.NoError(t, err)
	}
	assert.EqualValues(t, 3, verified.Load())
	j.Reset()
}

// TestTokenCacheTime keeps a token for CacheFor, and never past its exp.
func TestTokenCacheTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		j, verified := counted(t, func(o *JWTOptions) { o.CacheFor = time.Minute })
		r := authorized("Bearer " + jwtWith(t, jwt.MapClaims{"sub": "42", "exp": time.Now().Add(90 * time.Second).Unix()}))
		for _, step := range []struct {
			wait time.Duration
			want int64
		}{
			{0, 1}, {time.Minute - 1, 1}, {1, 2}, {30*time.Second - 1, 2}, // the second time until exp
			{1, 3}, {1, 4}, // within the leeway it is looked at each time
		} {
			time.Sleep(step.wait)
			_, err := j.Identify(r)
			require.NoError(t, err)
			assert.Equal(t, step.want, verified.Load())
		}
	})
}

// TestTokenCacheReset rotates keys: at rest, and while a token of the old key is being verified.
func TestTokenCacheReset(t *testing.T) {
	t.Parallel()
	var withdrawn atomic.Bool
	var during func()
	j := newJWT(t, func(o *JWTOptions) {
		o.Secret, o.Algorithms = nil, []string{"HS256"}
		o.Keyfunc = func(*jwt.Token) (any, error) {
			if withdrawn.Load() {
				return nil, ErrNotFound
			}
			if during != nil {
				during()
			}
			return jwtSecret, nil
		}
	})
	rotate := func() { withdrawn.Store(true); j.Reset() }
	r := authorized("Bearer " + jwtWith(t, jwt.MapClaims{"sub": "42"}))
	for _, while := range []bool{false, true} {
		withdrawn.Store(false)
		if while {
			during = rotate
		}
		_, err := j.Identify(r)
		require.NoError(t, err, "the key was good when it was asked for")
		if !while {
			rotate()
		}
		_, err = j.Identify(r)
		require.ErrorIs(t, err, ErrInvalidCredential)
	}
}

// TestTokenCacheRace runs everything at once, for the race detector; each answer belongs to its token.
func TestTokenCacheRace(t *testing.T) {
	t.Parallel()
	j := newJWT(t, func(o *JWTOptions) { o.CacheSize = 20 })
	requests := make([]*http.Request, 40)
	for i := range requests {
		requests[i] = authorized("Bearer " + jwtWith(t, jwt.MapClaims{"sub": fmt.Sprint(i)}))
	}
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for i := range 400 {
				n := (i*7 + g) % len(requests)
				got, err := j.Identify(requests[n])
				if assert.NoError(t, err) {
					assert.Equal(t, fmt.Sprint(n), got.UserID)
				}
				if i%100 == 99 {
					j.Reset()
				}
			}
		})
	}
	wg.Wait()
}

// BenchmarkJWT compares a remembered token with one that is verified each time.
func BenchmarkJWT(b *testing.B) {
	rsaPair, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(b, err)
	ecPair, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(b, err)
	claims := jwt.MapClaims{
		"iss": "https://issuer.example", "aud": "api", "sub": "248289761001", "sid": jwtSession, "jti": "8b1f0e2c-4f1a",
		"roles": []string{"admin", "user"}, "iat": time.Now().Unix(), "exp": time.Now().Add(time.Hour).Unix(),
	}
	for _, test := range []struct {
		method          jwt.SigningMethod
		private, public any
	}{
		{jwt.SigningMethodHS256, jwtSecret, jwtSecret}, {jwt.SigningMethodRS256, rsaPair, &rsaPair.PublicKey},
		{jwt.SigningMethodES256, ecPair, &ecPair.PublicKey},
	} {
		token, err := jwt.NewWithClaims(test.method, claims).SignedString(test.private)
		require.NoError(b, err)
		r := authorized("Bearer " + token)
		for name, size := range map[string]int{"remembered": 0, "verified": -1} {
			j := newJWT(b, func(o *JWTOptions) {
				o.Secret, o.Algorithms, o.CacheSize = nil, []string{test.method.Alg()}, size
				o.Keyfunc = func(*jwt.Token) (any, error) { return test.public, nil }
			})
			b.Run(test.method.Alg()+"/"+name, func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					if _, err := j.Identify(r); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
