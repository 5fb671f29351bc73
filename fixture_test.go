package sessiontrack

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"
)

// fixture is a Tracker with an application behind it that answers 200 with the
// session's handle, or 204 without one.
type fixture struct {
	*Tracker
	store   *faultStore
	handler http.Handler
}

// newFixture makes one over a store of its own; replica makes another over the same.
func newFixture(t *testing.T, o *Options) *fixture {
	t.Helper()
	return replica(t, newFaultStore(), o)
}

func replica(t *testing.T, store *faultStore, o *Options) *fixture {
	t.Helper()
	tracker, err := New(store, o)
	require.NoError(t, err)
	f := &fixture{Tracker: tracker, store: store}
	f.handler = tracker.Middleware(f.echo())
	return f
}

// fixtureOver makes one over any store.
func fixtureOver(t *testing.T, store Store, o *Options) *fixture {
	t.Helper()
	tracker, err := New(store, o)
	require.NoError(t, err)
	f := &fixture{Tracker: tracker}
	f.handler = tracker.Middleware(f.echo())
	return f
}

func (f *fixture) echo() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if s, ok := FromContext(r.Context()); ok {
			_, _ = w.Write([]byte(s.ID))
			return
		}
		w.WriteHeader(http.StatusNoContent)
	})
}

func (f *fixture) started(t *testing.T) *fixture {
	t.Helper()
	start(t, f)
	return f
}

// start starts a Tracker and shuts it down at the end of the test.
func start(t testing.TB, tracker interface {
	Start(context.Context) error
	Shutdown(context.Context) error
}) {
	t.Helper()
	require.NoError(t, tracker.Start(t.Context()))
	t.Cleanup(func() { _ = tracker.Shutdown(context.Background()) })
}

func (f *fixture) login(t *testing.T, user string, headers ...string) (Session, Token) {
	t.Helper()
	s, token, err := f.Login(httptest.NewRecorder(), request("POST", "/login", headers...), user)
	require.NoError(t, err)
	return s, token
}

func request(method, path string, headers ...string) *http.Request {
	r := httptest.NewRequest(method, path, nil)
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Add(headers[i], headers[i+1])
	}
	return r
}

func (f *fixture) do(method, path string, headers ...string) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	f.handler.ServeHTTP(w, request(method, path, headers...))
	return w
}

// get sends a token by header.
func (f *fixture) get(token Token) *httptest.ResponseRecorder {
	return f.do("GET", "/", headerName, token.Reveal())
}

// byUser is an Identifier for tests: "X-User: name" and, for the session, "X-Key" or
// "X-Sid"; the names "expired", "bad" and "broken" err.
var byUser = IdentifierFunc(func(r *http.Request) (Identity, error) {
	switch user := r.Header.Get("X-User"); user {
	case "":
		return Identity{}, ErrNoCredential
	case "bad":
		return Identity{}, ErrInvalidCredential
	case "expired":
		return Identity{}, ErrExpiredCredential
	case "broken":
		return Identity{}, context.DeadlineExceeded
	case "panic":
		panic("identifier")
	default:
		return Identity{UserID: user, Key: r.Header.Get("X-Key"), SessionID: SessionID(r.Header.Get("X-Sid")), Roles: r.Header.Values("X-Role")}, nil
	}
})
