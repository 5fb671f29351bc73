package oidc

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/MicahParks/jwkset"
	"github.com/golang-jwt/jwt/v5"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sessiontrack/sessiontrack"
)

const (
	issuer = "https://idp.example"
	client = "my-app"
)

// idp is an identity provider: an [http.RoundTripper] that answers with its keys.
type idp struct {
	mu    sync.Mutex
	keys  map[string]*ecdsa.PrivateKey
	away  bool
	body  []byte // in place of the keys
	asked int
}

func newIDP(t *testing.T, names ...string) *idp {
	t.Helper()
	p := &idp{keys: map[string]*ecdsa.PrivateKey{}}
	for _, name := range names {
		p.add(t, name)
	}
	return p
}

func (p *idp) add(t *testing.T, name string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	p.do(func() { p.keys[name] = key })
}

func (p *idp) do(f func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	f()
}

func (p *idp) requests() (n int) {
	p.do(func() { n = p.asked })
	return n
}

// RoundTrip implements [http.RoundTripper].
func (p *idp) RoundTrip(r *http.Request) (*http.Response, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.asked++
	if p.away {
		return nil, errors.New("connection refused")
	}
	body := p.body
	if body == nil {
		var set jwkset.JWKSMarshal
		for name, key := range p.keys {
			jwk, err := jwkset.NewJWKFromKey(&key.PublicKey, jwkset.JWKOptions{
				Metadata: jwkset.JWKMetadataOptions{KID: name, ALG: jwkset.AlgES256, USE: jwkset.UseSig},
			})
			if err != nil {
				return nil, err
			}
			set.Keys = append(set.Keys, jwk.Marshal())
		}
		var err error
		if body, err = json.Marshal(set); err != nil {
			return nil, err
		}
	}
	return &http.Response{StatusCode: http.StatusOK, Body: io.NopCloser(bytes.NewReader(body)), Request: r}, nil
}

// sign signs claims with a key of the provider's, or one that it does not have.
func (p *idp) sign(t *testing.T, kid string, header, claims map[string]any) string {
	t.Helper()
	var key *ecdsa.PrivateKey
	p.do(func() { key = p.keys[kid] })
	if key == nil {
		var err error
		key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		require.NoError(t, err)
	}
	token := jwt.NewWithClaims(jwt.SigningMethodES256, jwt.MapClaims(claims))
	token.Header["kid"] = kid
	for name, value := range header {
		if token.Header[name] = value; value == nil {
			delete(token.Header, name)
		}
	}
	text, err := token.SignedString(key)
	require.NoError(t, err)
	return text
}

// access is an access token of the provider's.
func (p *idp) access(t *testing.T, kid, sub, sid string) string {
	t.Helper()
	return p.sign(t, kid, nil, map[string]any{
		"iss": issuer, "sub": sub, "sid": sid, "jti": rand.Text(), "iat": time.Now().Unix(),
		"exp": time.Now().Add(time.Hour).Unix(),
	})
}

// app is an application behind the provider.
type app struct {
	*sessiontrack.Tracker
	keys *Keyfunc
}

func newApp(t *testing.T, p *idp) *app {
	t.Helper()
	keys, err := NewKeyfunc(issuer+"/jwks", &KeyOptions{Client: &http.Client{Transport: p}})
	require.NoError(t, err)
	identifier, err := sessiontrack.NewJWTIdentifier(sessiontrack.JWTOptions{
		Keyfunc: keys.Key, Algorithms: []string{"ES256"}, IssuerSessions: true, Issuer: issuer,
	})
	require.NoError(t, err)
	keys.OnChange(identifier.Reset)
	tracker, err := sessiontrack.New(sessiontrack.NewMemoryStore(), &sessiontrack.Options{Identifier: identifier})
	require.NoError(t, err)
	require.NoError(t, tracker.Start(t.Context()))
	ctx, cancel := context.WithCancel(context.Background())
	go keys.Run(ctx)
	t.Cleanup(func() {
		cancel()
		_ = tracker.Shutdown(context.Background())
	})
	return &app{tracker, keys}
}

// status is the answer to a request with a token.
func (a *app) status(token string) int {
	w := httptest.NewRecorder()
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.Header.Set("Authorization", "Bearer "+token)
	a.Require(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})).ServeHTTP(w, r)
	return w.Code
}

// TestKnownKeysStayGoodWhileTheProviderIsAway: and a token of a key that nobody could ask for is
// 503, because clients throw tokens away on 401.
func TestKnownKeysStayGoodWhileTheProviderIsAway(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newIDP(t, "a")
		a := newApp(t, p)
		require.Equal(t, 200, a.status(p.access(t, "a", "42", "s")))
		p.add(t, "b")
		p.do(func() { p.away = true })
		time.Sleep(time.Hour)
		assert.Equal(t, 200, a.status(p.access(t, "a", "42", "s")))
		for range 3 {
			assert.Equal(t, 503, a.status(p.access(t, "b", "42", "s")), "a new key of the provider's")
			assert.Equal(t, 503, a.status(p.access(t, "forged", "42", "s")), "nobody can say")
			time.Sleep(time.Minute)
		}
		p.do(func() { p.away = false })
		time.Sleep(time.Minute)
		assert.Equal(t, 200, a.status(p.access(t, "b", "42", "s")), "the first token of a new key asks for it")
		time.Sleep(time.Minute)
		assert.Equal(t, 401, a.status(p.access(t, "forged", "42", "s")))
	})
}

// TestNoKeysBeforeTheProviderAnswers: an application that starts while the provider is away.
func TestNoKeysBeforeTheProviderAnswers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newIDP(t, "a")
		p.do(func() { p.away = true })
		a := newApp(t, p)
		nameless := p.sign(t, "a", map[string]any{"kid": nil}, map[string]any{
			"iss": issuer, "sub": "42", "jti": "j", "exp": time.Now().Add(time.Hour).Unix(),
		})
		assert.Equal(t, 503, a.status(p.access(t, "a", "42", "s")))
		assert.Equal(t, 503, a.status(nameless))
		require.Error(t, a.keys.Fetch(t.Context()))
		p.do(func() { p.away = false })
		require.NoError(t, a.keys.Fetch(t.Context()))
		assert.Equal(t, 200, a.status(p.access(t, "a", "42", "s")))
	})
}

// TestWithdrawnKeyIsRefusedAfterTheNextRefresh: not after the identifier's CacheFor.
func TestWithdrawnKeyIsRefusedAfterTheNextRefresh(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newIDP(t, "a", "b")
		a := newApp(t, p)
		old, kept := p.access(t, "a", "42", "s"), p.access(t, "b", "42", "s")
		time.Sleep(defaultRefresh - time.Second)
		require.Equal(t, 200, a.status(old), "verified, and remembered by the identifier")
		require.Equal(t, 200, a.status(kept))
		p.do(func() { delete(p.keys, "a") })
		time.Sleep(2 * time.Second)
		assert.Equal(t, 200, a.status(kept))
		time.Sleep(defaultPause)
		assert.Equal(t, 401, a.status(old))
	})
}

// TestFloodOfUnknownKeysIsNoFloodAtTheProvider: one request in Pause, whatever comes, and no forged
// token is let in.
func TestFloodOfUnknownKeysIsNoFloodAtTheProvider(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newIDP(t, "a")
		a := newApp(t, p)
		synctest.Wait()
		before := p.requests()
		for i := range 300 {
			token := p.access(t, fmt.Sprint("forged", i), "42", "s")
			code := a.status(token)
			require.Contains(t, []int{401, 503}, code)
			time.Sleep(100 * time.Millisecond)
		}
		assert.LessOrEqual(t, p.requests()-before, 4, "30 s of it")
		require.Equal(t, 200, a.status(p.access(t, "a", "42", "s")))
		time.Sleep(defaultPause)
		forged := p.access(t, "one", "42", "s")
		for range 20 {
			assert.Equal(t, 401, a.status(forged), "the provider has said so")
		}
	})
}

// TestAnswerWithoutKeysChangesNothing: nor one that is no key set, or too large.
func TestAnswerWithoutKeysChangesNothing(t *testing.T) {
	t.Parallel()
	for name, body := range map[string]string{
		"none": `{"keys":[]}`, "empty": `{}`, "page": `<html>`, "unknown type": `{"keys":[{"kty":"new","kid":"x"}]}`,
		"large": `{"keys":[` + string(bytes.Repeat([]byte(" "), maxSet)) + `]}`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				p := newIDP(t, "a")
				a := newApp(t, p)
				require.Equal(t, 200, a.status(p.access(t, "a", "42", "s")))
				p.do(func() { p.body = []byte(body) })
				require.Error(t, a.keys.Fetch(t.Context()))
				assert.Equal(t, 200, a.status(p.access(t, "a", "42", "s")))
			})
		})
	}
}

func TestKeyOptionsNameWhatIsWrong(t *testing.T) {
	t.Parallel()
	for field, o := range map[string]KeyOptions{
		"Refresh": {Refresh: time.Millisecond}, "Pause": {Pause: -1}, "Timeout": {Timeout: 1},
	} {
		_, err := NewKeyfunc(issuer, &o)
		require.ErrorContains(t, err, "KeyOptions."+field)
	}
	for _, url := range []string{"", "jwks", "ftp://idp.example/jwks", "https://"} {
		_, err := NewKeyfunc(url, nil)
		require.ErrorContains(t, err, "absolute URL")
	}
}
