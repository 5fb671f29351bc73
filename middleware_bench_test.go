package sessiontrack

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"
)

// inner is a global interface variable, so that the compiler cannot see through it
// and drop the allocations.
var inner http.Handler = http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})

type floorKey struct{}

// floorHandler does what no middleware with a context can leave out.
func floorHandler(next http.Handler) http.Handler {
	value := new(int)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), floorKey{}, value)))
	})
}

func BenchmarkMiddleware(b *testing.B) {
	run := func(b *testing.B, h http.Handler, r *http.Request) {
		w := httptest.NewRecorder()
		b.ReportAllocs()
		for b.Loop() {
			h.ServeHTTP(w, r)
		}
	}
	b.Run("floor", func(b *testing.B) { run(b, floorHandler(inner), httptest.NewRequest("GET", "/", nil)) })
	for _, carrier := range []string{"header", "cookie"} {
		b.Run(carrier, func(b *testing.B) {
			tracker, err := New(NewMemoryStore(), &Options{Cookie: &CookieOptions{}})
			require.NoError(b, err)
			start(b, tracker)
			defer func() { require.NoError(b, tracker.Shutdown(context.Background())) }()
			r := httptest.NewRequest("GET", "/", nil)
			_, token, err := tracker.Login(httptest.NewRecorder(), r, "42")
			require.NoError(b, err)
			if carrier == "header" {
				r.Header.Set("X-Session-Id", token.Reveal())
			} else {
				r.AddCookie(&http.Cookie{Name: "__Host-session", Value: token.Reveal()})
			}
			run(b, tracker.Middleware(inner), r)
		})
	}
}
