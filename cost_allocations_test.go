package sessiontrack

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var hotSecret = []byte(strings.Repeat("k", 32))

// hotPaths are one warm request for each way of carrying a session.
func hotPaths(t testing.TB) map[string]hotPath {
	t.Helper()
	identifier, err := NewJWTIdentifier(JWTOptions{Secret: hotSecret})
	require.NoError(t, err)
	paths := make(map[string]hotPath)
	for _, name := range []string{"header", "cookie", "jwt", "jwt and header"} {
		o := &Options{Cookie: &CookieOptions{}}
		if strings.HasPrefix(name, "jwt") {
			o.Identifier = identifier
		}
		tracker, err := New(NewMemoryStore(), o)
		require.NoError(t, err)
		start(t, tracker)
		t.Cleanup(func() { _ = tracker.Shutdown(t.Context()) })
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		session, token, err := tracker.Login(httptest.NewRecorder(), r, "42")
		require.NoError(t, err)
		if strings.Contains(name, "header") {
			r.Header.Set(headerName, token.Reveal())
		}
		if name == "cookie" {
			r.Header.Set("Cookie", "theme=dark; __Host-session="+token.Reveal())
		}
		if o.Identifier != nil {
			signed, err := jwt.NewWithClaims(jwt.SigningMethodHS256, jwt.MapClaims{
				"sub": "42", "sid": string(session.ID), "roles": []string{"admin"}, "exp": time.Now().Add(time.Hour).Unix(),
			}).SignedString(hotSecret)
			require.NoError(t, err)
			r.Header.Set("Authorization", "Bearer "+signed)
		}
		paths[name] = hotPath{tracker.Middleware(inner), r}
	}
	return paths
}

type hotPath struct {
	handler http.Handler
	request *http.Request
}

func (p hotPath) run(n int) {
	w := httptest.NewRecorder()
	for range n {
		p.handler.ServeHTTP(w, p.request)
	}
}

// TestHotPathAllocations holds each carrier of a cached session to what a context
// costs anyhow: the context and the copy of the request.
func TestHotPathAllocations(t *testing.T) {
	defaultClassifier().warm(t.Context()) // or its making in the background would count
	for name, path := range hotPaths(t) {
		allocs, bytes := spent(20, func(int) { path.run(1000) })
		assert.Less(t, allocs, 2050.0, "%s: a thousand requests, and a little of the background", name)
		assert.Less(t, bytes, 384*1050.0, name)
	}
}
