package sessiontracktest_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sessiontrack/sessiontrack"
	"github.com/sessiontrack/sessiontrack/sessiontracktest"
	"github.com/sessiontrack/sessiontrack/storetest"
)

// orders is a handler of a host.
func orders(w http.ResponseWriter, r *http.Request) {
	session, ok := sessiontrack.FromContext(r.Context())
	if !ok {
		http.Error(w, "sign in", http.StatusUnauthorized)
		return
	}
	fmt.Fprintf(w, "orders of %s", session.UserID)
}

func ask(h http.Handler, r *http.Request) (int, string) {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	body, _ := io.ReadAll(w.Result().Body)
	return w.Code, string(body)
}

func get() *http.Request { return httptest.NewRequest(http.MethodGet, "/orders", nil) }

func TestAsWorksWithAndWithoutTheMiddleware(t *testing.T) {
	t.Parallel()
	identifier, err := sessiontrack.NewJWTIdentifier(sessiontrack.JWTOptions{Secret: []byte(strings.Repeat("k", 32))})
	require.NoError(t, err)
	for name, opts := range map[string]*sessiontrack.Options{
		"none": nil, "cookie": {Cookie: &sessiontrack.CookieOptions{}}, "JWT": {Identifier: identifier},
	} {
		tracker := sessiontracktest.New(t, opts)
		for _, h := range []http.Handler{
			http.HandlerFunc(orders), tracker.Middleware(http.HandlerFunc(orders)), tracker.Require(http.HandlerFunc(orders)),
		} {
			code, body := ask(h, sessiontracktest.As(t, tracker, get(), "42"))
			assert.Equal(t, 200, code, name)
			assert.Equal(t, "orders of 42", body, name)
			code, _ = ask(h, get())
			assert.Equal(t, 401, code, name)
		}
		if opts != nil {
			assert.False(t, opts.SessionAlone, "the caller's options stay")
		}
	}
}

// TestAsLeavesTheRequestAndItsSession: two users in one test do not end each other's sessions.
func TestAsLeavesTheRequestAndItsSession(t *testing.T) {
	t.Parallel()
	tracker := sessiontracktest.New(t, nil)
	r := get()
	first := sessiontracktest.As(t, tracker, r, "1")
	assert.Empty(t, r.Header)
	second := sessiontracktest.As(t, tracker, first, "2")
	app := tracker.Middleware(http.HandlerFunc(orders))
	_, body := ask(app, first)
	assert.Equal(t, "orders of 1", body)
	_, body = ask(app, second)
	assert.Equal(t, "orders of 2", body)
}

func TestAsTakesOptionsOfTheSignIn(t *testing.T) {
	t.Parallel()
	tracker := sessiontracktest.New(t, nil)
	r := sessiontracktest.As(t, tracker, get(), "1", sessiontrack.LoginOptions{Client: "ios", ActedBy: "7"})
	session, ok := sessiontrack.FromContext(r.Context())
	require.True(t, ok)
	assert.Equal(t, []string{"ios", "7"}, []string{session.Client, session.ActedBy})
}

// TestIdleLimitInVirtualTime shows synctest with a Tracker that runs.
func TestIdleLimitInVirtualTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		tracker := sessiontracktest.New(t, &sessiontrack.Options{IdleTimeout: time.Hour})
		sessiontracktest.Start(t, tracker)
		app := tracker.Middleware(http.HandlerFunc(orders))
		r := sessiontracktest.As(t, tracker, get(), "42")
		time.Sleep(59 * time.Minute)
		code, _ := ask(app, r)
		assert.Equal(t, 200, code)
		time.Sleep(time.Hour)
		code, body := ask(app, r)
		assert.Equal(t, 401, code)
		assert.Contains(t, body, `"reason":"idle"`)
	})
}

// TestOutage shows a store that fails on request.
func TestOutage(t *testing.T) {
	t.Parallel()
	store := storetest.Faulty(sessiontrack.NewMemoryStore())
	tracker := sessiontracktest.Over(t, store, nil)
	r := sessiontracktest.As(t, tracker, get(), "42")
	store.Fail(sessiontrack.ErrUnavailable)
	code, _ := ask(tracker.Middleware(http.HandlerFunc(orders)), r)
	assert.Equal(t, http.StatusServiceUnavailable, code)
}

// failing is a testing.TB that notes a failure in place of ending the test.
type failing struct {
	testing.TB
	failed bool
}

func (f *failing) Helper() {}

func (f *failing) Fatalf(string, ...any) {
	f.failed = true
	panic(f)
}

func TestMistakesFailTheTest(t *testing.T) {
	t.Parallel()
	tracker := sessiontracktest.New(t, nil)
	for name, mistake := range map[string]func(testing.TB){
		"options": func(t testing.TB) { sessiontracktest.New(t, &sessiontrack.Options{MaxSessions: -1}) },
		"two options": func(t testing.TB) {
			sessiontracktest.As(t, tracker, get(), "1", sessiontrack.LoginOptions{}, sessiontrack.LoginOptions{})
		},
		"no user id": func(t testing.TB) { sessiontracktest.As(t, tracker, get(), "") },
	} {
		f := &failing{TB: t}
		assert.Panics(t, func() { mistake(f) }, name)
		assert.True(t, f.failed, name)
	}
}
