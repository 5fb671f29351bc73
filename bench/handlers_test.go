package bench

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect/pgdialect"

	"github.com/sessiontrack/sessiontrack"
)

// trackerOver returns a started Tracker. Its callers are administrators.
func (f *filled) trackerOver(t *testing.T, store sessiontrack.Store, o sessiontrack.Options) *sessiontrack.Tracker {
	t.Helper()
	o.Logger, o.SampleInterval, o.CleanupInterval = discard, -1, -1
	tracker, err := sessiontrack.New(store, &o)
	require.NoError(t, err)
	require.NoError(t, tracker.Start(t.Context()))
	t.Cleanup(func() { _ = tracker.Shutdown(t.Context()) })
	return tracker
}

// testPlans sends one request to each handler and asks PostgreSQL for the plan of every statement
// that it caused. None may scan all sessions.
func testPlans(t *testing.T, f *filled) {
	hook := &recorder{}
	db := bun.NewDB(f.db.DB, pgdialect.New())
	tracker := f.trackerOver(t, storeOver(t, db.WithQueryHook(hook)), sessiontrack.Options{
		Identifier: sessiontrack.IdentifierFunc(func(*http.Request) (sessiontrack.Identity, error) {
			return sessiontrack.Identity{UserID: "user1", Roles: []string{"admin", "superadmin"}, Key: "bench"}, nil
		}),
	})
	_, _, err := f.store.Sample(t.Context(), sessiontrack.StatsQuery{
		Windows: [3]time.Duration{5 * time.Minute, 15 * time.Minute, time.Hour}, IdleTimeout: day, Zone: time.UTC,
	})
	require.NoError(t, err)
	mux := http.NewServeMux()
	mux.Handle("/api/user-sessions/", tracker.AdminHandler(nil))
	mux.Handle("/api/v1/online/", tracker.UserHandler(nil))
	seen := make(map[string]bool)
	statements := 0
	for _, call := range []string{
		"GET /api/v1/online/count", "GET /api/v1/online/count?minutes=60", "GET /api/v1/online/users",
		"GET /api/v1/online/stats",
		"GET /api/v1/online/sessions", "GET /api/user-sessions/active-users", "GET /api/user-sessions/active-users?device=tv",
		"GET /api/user-sessions/active-users?within=15m", "GET /api/user-sessions/active-users?q=user7",
		"GET /api/user-sessions/user/user2/sessions", "GET /api/user-sessions/user/user2/sessions?ended=true",
		"POST /api/user-sessions/force-logout/" + string(f.ids[7]), "POST /api/user-sessions/force-logout-user/user9",
	} {
		method, path, _ := strings.Cut(call, " ")
		hook.take()
		w := httptest.NewRecorder()
		r := httptest.NewRequest(method, path, nil)
		if method == http.MethodPost {
			r.Header.Set("Content-Type", "application/json")
			r.Body = http.NoBody
		}
		tracker.Middleware(mux).ServeHTTP(w, r)
		require.Less(t, w.Code, 300, "%s: %s", call, w.Body)
		for _, statement := range hook.take() {
			statements++
			if !explainable(statement) || seen[statement] {
				continue
			}
			seen[statement] = true
			var plan []string
			require.NoError(t, f.db.NewRaw("EXPLAIN "+strings.ReplaceAll(statement, "?", "\\?")).Scan(t.Context(), &plan),
				statement)
			assert.NotContains(t, strings.Join(plan, "\n"), "Seq Scan on user_sessions", "%s\n%s", call, statement)
		}
	}
	say("\nplans: %d statements of the handlers, none with a sequential scan of the sessions", statements)
	assert.Greater(t, len(seen), 12)
}

// testCleanup ends nearly all sessions as idle and purges them while requests run.
func testCleanup(t *testing.T, f *filled) {
	tracker := f.trackerOver(t, storeOver(t, f.db), sessiontrack.Options{IdleTimeout: 15 * time.Second,
		TouchInterval: time.Second, FlushInterval: time.Second})
	worst, refused, stop := f.traffic(t, tracker)
	began := time.Now()
	ended, err := tracker.Cleanup(t.Context())
	require.NoError(t, err)
	say("\ncleanup: %d of %d sessions ended as idle, %.0f a second", ended, len(f.ids),
		float64(ended)/time.Since(began).Seconds())
	assert.Greater(t, ended, len(f.ids)/5, "all sessions that the earlier parts have not touched")

	f.exec(t, "SELECT pg_sleep(1.1)")
	began = time.Now()
	purged, slowest := 0, time.Duration(0)
	for {
		step := time.Now()
		n, err := f.store.Purge(t.Context(), sessiontrack.PurgeOptions{Retention: time.Second, KeepEnded: time.Second,
			Limit: 1000})
		require.NoError(t, err)
		purged, slowest = purged+n, max(slowest, time.Since(step))
		if n < 1000 {
			break
		}
	}
	rate := float64(purged) / time.Since(began).Seconds()
	stop()
	say("purge: %d sessions, %.0f a second, slowest step %v\nlive traffic beside both: slowest request %v, %d refused",
		purged, rate, slowest.Round(time.Millisecond), time.Duration(worst.Load()), refused.Load())
	assert.GreaterOrEqual(t, purged, ended)
	assert.Zero(t, refused.Load(), "sessions in use stay")
	atMost("seconds of the slowest request: a cached session waits for nothing", time.Duration(worst.Load()).Seconds(), 1)
}

// traffic sends requests of a hundred sessions until stop is called.
func (f *filled) traffic(t *testing.T, tracker *sessiontrack.Tracker) (worst, refused *atomic.Int64, stop func()) {
	t.Helper()
	worst, refused = new(atomic.Int64), new(atomic.Int64)
	handler := tracker.Middleware(inner)
	var requests []*http.Request
	for range 100 {
		_, token, err := tracker.Login(httptest.NewRecorder(), newRequest(), "live")
		require.NoError(t, err)
		r := newRequest()
		r.Header.Set("X-Session-Id", token.Reveal())
		requests = append(requests, r)
	}
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for i := 0; ; i++ {
			select {
			case <-done:
				return
			case <-time.After(500 * time.Microsecond):
			}
			w := httptest.NewRecorder()
			began := time.Now()
			handler.ServeHTTP(w, requests[i%len(requests)])
			worst.Store(max(worst.Load(), int64(time.Since(began))))
			if w.Code != http.StatusNoContent {
				refused.Add(1)
			}
		}
	}()
	return worst, refused, func() { close(done); <-ended }
}
