// Package sessiontracktest helps a host to test its own handlers: a [sessiontrack.Tracker] in a
// line, and requests of users who are signed in.
//
// Time, in tests of idle limits and the like, is that of testing/synctest. Package storetest has a
// store that fails on request.
package sessiontracktest

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/sessiontrack/sessiontrack"
)

// headerName is the header that carries a session's token.
const headerName = "X-Session-Id"

// New returns a Tracker over a [sessiontrack.MemoryStore] of its own. opts may be nil, and is not
// changed. Two options differ from a Tracker in production: with an Identifier, SessionAlone is set,
// so that the requests of [As] need no credential of the host's; without a Logger nothing is logged.
// The test fails if the options are wrong.
//
// The Tracker is not started: nothing waits in memory, and the test leaves no goroutines behind. A
// test that watches events, or wants the cache of production, calls [Start].
func New(t testing.TB, opts *sessiontrack.Options) *sessiontrack.Tracker {
	t.Helper()
	return Over(t, sessiontrack.NewMemoryStore(), opts)
}

// Over is [New] over a store of the test's own, such as that of storetest.Faulty. Several over one
// store are replicas of one application.
func Over(t testing.TB, store sessiontrack.Store, opts *sessiontrack.Options) *sessiontrack.Tracker {
	t.Helper()
	var o sessiontrack.Options
	if opts != nil {
		o = *opts
	}
	o.SessionAlone = o.SessionAlone || o.Identifier != nil
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	tracker, err := sessiontrack.New(store, &o)
	if err != nil {
		t.Fatalf("sessiontracktest: %v", err)
	}
	return tracker
}

// Start starts a Tracker, and shuts it down at the end of the test.
func Start(t testing.TB, tracker *sessiontrack.Tracker) {
	t.Helper()
	if err := tracker.Start(t.Context()); err != nil {
		t.Fatalf("sessiontracktest: %v", err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := tracker.Shutdown(ctx); err != nil {
			t.Errorf("sessiontracktest: %v", err)
		}
	})
}

// As returns a copy of r in a new session of a user, which begins as by [sessiontrack.Tracker.Login]
// from r's address and user agent. The copy carries the token in the header x-session-id, so that
// Middleware, Require and the handlers accept it; and the session is in its context, so that
// [sessiontrack.FromContext] finds it in a handler without the middleware. The tracker is one of
// [New], or has no Identifier, or sets SessionAlone. Each call signs in anew; use the copy's header
// for further requests of the same session.
//
// options are those of [sessiontrack.Tracker.LoginWith], at most one: a kind of client, a tenant, or
// an administrator who acts as the user.
func As(t testing.TB, tracker *sessiontrack.Tracker, r *http.Request, userID string,
	options ...sessiontrack.LoginOptions) *http.Request {
	t.Helper()
	var o sessiontrack.LoginOptions
	switch len(options) {
	case 0:
	case 1:
		o = options[0]
	default:
		t.Fatalf("sessiontracktest: As has %d options: want at most one", len(options))
	}
	session, token, err := tracker.LoginWith(httptest.NewRecorder(), anonymous(r), userID, o)
	if err != nil {
		t.Fatalf("sessiontracktest: %v", err)
	}
	out := r.Clone(sessiontrack.NewContext(r.Context(), session))
	out.Header.Set(headerName, token.Reveal())
	return out
}

// anonymous returns r without what it carries: a sign-in would end the session that it proves.
func anonymous(r *http.Request) *http.Request {
	out := r.Clone(context.WithoutCancel(r.Context()))
	for _, name := range []string{headerName, "Cookie", "Authorization"} {
		out.Header.Del(name)
	}
	return out
}
