package problem

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestWrite(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name    string
		problem Problem
		headers map[string]string // besides those of every answer
		body    string
	}{
		{"bad request", BadRequest("limit: want 1."), nil,
			`{"type":"about:blank","title":"Bad Request","status":400,"detail":"limit: want 1.","code":"bad_request"}`},
		{"ended", New(401, "ended", "Over.").WithReason("logout"),
			map[string]string{"WWW-Authenticate": `Bearer error="invalid_token"`},
			`{"type":"about:blank","title":"Unauthorized","status":401,"detail":"Over.","code":"ended","reason":"logout"}`},
		{"no credential", New(401, "none", "Sign in.").WithChallenge(NoToken),
			map[string]string{"WWW-Authenticate": "Bearer"},
			`{"type":"about:blank","title":"Unauthorized","status":401,"detail":"Sign in.","code":"none"}`},
		{"unavailable", New(503, "away", "Try again."), map[string]string{"Retry-After": "1"},
			`{"type":"about:blank","title":"Service Unavailable","status":503,"detail":"Try again.","code":"away"}`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := httptest.NewRecorder()
			tt.problem.Write(w)
			assert.Equal(t, tt.problem.Status, w.Code)
			assert.Equal(t, tt.body+"\n", w.Body.String())
			want := http.Header{
				"Content-Type": {"application/problem+json"}, "Cache-Control": {"no-store"},
				"X-Content-Type-Options": {"nosniff"},
			}
			for name, value := range tt.headers {
				want.Set(name, value)
			}
			assert.Equal(t, want, w.Header())
		})
	}
}

func TestWriteJSON(t *testing.T) {
	t.Parallel()
	w := httptest.NewRecorder()
	require.NoError(t, WriteJSON(w, map[string]int{"users": 3}))
	assert.Equal(t, http.StatusOK, w.Code)
	assert.Equal(t, `{"users":3}`+"\n", w.Body.String())
	assert.Equal(t, "application/json; charset=utf-8", w.Header().Get("Content-Type"))
	assert.Equal(t, "no-store", w.Header().Get("Cache-Control"))

	w = httptest.NewRecorder()
	require.Error(t, WriteJSON(w, func() {}), "not JSON")
	assert.Empty(t, w.Header(), "nothing has been written")
	assert.Zero(t, w.Body.Len())
}
