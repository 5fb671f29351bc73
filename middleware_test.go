package sessiontrack

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// fixture is a Tracker over a MemoryStore with an application behind it that answers
// 200 with the session's handle, or 204 without one.
type fixture struct {
	*Tracker
	store   *MemoryStore
	handler http.Handler
}

func newFixture(t *testing.T, o *Options) *fixture {
	t.Helper()
	store := NewMemoryStore()
	tracker, err := New(store, o)
	require.NoError(t, err)
	f := &fixture{Tracker: tracker, store: store}
	f.handler = tracker.Middleware(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if s, ok := FromContext(r.Context()); ok {
			_, _ = w.Write([]byte(s.ID))
			return
		}
		w.WriteHeader(http.StatusNoContent)
	}))
	return f
}

func (f *fixture) started(t *testing.T) *fixture {
	t.Helper()
	require.NoError(t, f.Start(context.Background()))
	t.Cleanup(func() { assert.NoError(t, f.Shutdown(context.Background())) })
	return f
}

func (f *fixture) login(t *testing.T, user string) (Session, Token) {
	t.Helper()
	s, token, err := f.Login(httptest.NewRecorder(), httptest.NewRequest("POST", "/login", nil), user)
	require.NoError(t, err)
	return s, token
}

func (f *fixture) get(headers ...string) *httptest.ResponseRecorder {
	return f.do("GET", "/", headers...)
}

func (f *fixture) do(method, path string, headers ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, path, nil)
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Add(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	f.handler.ServeHTTP(w, r)
	return w
}

func TestMiddlewareByHeader(t *testing.T) {
	for _, started := range []bool{false, true} {
		f := newFixture(t, nil)
		if started {
			f.started(t)
		}
		s, token := f.login(t, "42")
		w := f.get("X-Session-Id", token.Reveal())
		assert.Equal(t, 200, w.Code)
		assert.Equal(t, string(s.ID), w.Body.String())
		assert.Equal(t, 204, f.get().Code)
		assert.Equal(t, 401, f.get("X-Session-Id", string(s.ID)).Code)
		assert.Equal(t, 401, f.get("X-Session-Id", newToken().Reveal()).Code)
		ended, err := f.End(t.Context(), User("42"), Ending{Reason: ByAdmin, By: "7"})
		require.NoError(t, err)
		require.Len(t, ended, 1)
		w = f.get("X-Session-Id", token.Reveal())
		assert.Equal(t, 401, w.Code)
		assert.Contains(t, w.Body.String(), `"session_ended"`)
		assert.Contains(t, w.Body.String(), `"reason":"admin"`)
	}
}

func TestLimitsOfTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, nil).started(t)
		_, token := f.login(t, "42")
		time.Sleep(24*time.Hour - time.Microsecond)
		require.Equal(t, 200, f.get("X-Session-Id", token.Reveal()).Code)
		time.Sleep(24 * time.Hour)
		w := f.get("X-Session-Id", token.Reveal())
		require.Equal(t, 401, w.Code)
		require.Contains(t, w.Body.String(), `"reason":"idle"`)
	})
}

func TestDerivedSession(t *testing.T) {
	f := newFixture(t, &Options{Identifier: IdentifierFunc(func(r *http.Request) (Identity, error) {
		user := r.Header.Get("X-User")
		if user == "" {
			return Identity{}, ErrNoCredential
		}
		if user == "boom" {
			return Identity{}, errors.New("boom")
		}
		return Identity{UserID: user, Key: "k"}, nil
	})}).started(t)
	w := f.get("X-User", "7")
	require.Equal(t, 200, w.Code)
	require.Equal(t, w.Body.String(), f.get("X-User", "7").Body.String())
	require.Equal(t, 503, f.get("X-User", "boom").Code)
	_, err := f.End(t.Context(), IDs(SessionID(w.Body.String())), Ending{Reason: ByAdmin})
	require.NoError(t, err)
	require.Equal(t, 401, f.get("X-User", "7").Code)
}
