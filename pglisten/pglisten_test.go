package pglisten

import (
	"context"
	"database/sql"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect/pgdialect"

	"github.com/sessiontrack/sessiontrack"
	"github.com/sessiontrack/sessiontrack/internal/pgtest"
)

const (
	feedInterval = time.Second
	patience     = 20 * time.Second
	pollEvery    = time.Millisecond
)

var quiet = slog.New(slog.DiscardHandler)

// listenerOver is a Listener with the shortest interval.
func listenerOver(t *testing.T, dsn string, kick func()) *Listener {
	t.Helper()
	l, err := New(dsn, kick, &Options{PingInterval: time.Second, Logger: quiet})
	require.NoError(t, err)
	require.NoError(t, l.Start(t.Context()))
	t.Cleanup(func() { assert.NoError(t, l.Shutdown(context.Background())) })
	return l
}

// replicas are two Trackers over one database; sessions end on the first and are
// asked for on the second.
type replicas struct {
	db      *sql.DB
	here    *sessiontrack.Tracker
	there   *sessiontrack.Tracker
	handler http.Handler
}

func newReplicas(t *testing.T, dsn string, feed time.Duration) *replicas {
	t.Helper()
	r := &replicas{db: pgtest.OpenDSN(t, dsn)}
	for _, tracker := range []**sessiontrack.Tracker{&r.here, &r.there} {
		store, err := sessiontrack.NewBunStore(bun.NewDB(r.db, pgdialect.New()), nil)
		require.NoError(t, err)
		require.NoError(t, store.Migrate(t.Context()))
		*tracker, err = sessiontrack.New(store, &sessiontrack.Options{
			FeedInterval: feed, MaxStaleness: time.Minute, StoreTimeout: patience,
			SampleInterval: -1, CleanupInterval: -1, Logger: quiet,
		})
		require.NoError(t, err)
		require.NoError(t, (*tracker).Start(t.Context()))
		t.Cleanup(func() { assert.NoError(t, (*tracker).Shutdown(context.Background())) })
	}
	r.handler = r.there.Middleware(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	return r
}

func (r *replicas) status(token sessiontrack.Token) int {
	request := httptest.NewRequest(http.MethodGet, "/", nil)
	request.Header.Set("X-Session-Id", token.Reveal())
	w := httptest.NewRecorder()
	r.handler.ServeHTTP(w, request)
	return w.Code
}

// endIsLearnt ends a session that the other replica has cached, waits until that one
// refuses it, and returns how long that took.
func (r *replicas) endIsLearnt(t *testing.T) time.Duration {
	t.Helper()
	var token sessiontrack.Token
	again(t, func() (err error) {
		login := httptest.NewRequest(http.MethodPost, "/login", nil)
		_, token, err = r.here.Login(httptest.NewRecorder(), login, "42")
		return err
	})
	require.Equal(t, http.StatusOK, r.status(token))
	again(t, func() error {
		_, err := r.here.End(t.Context(), sessiontrack.IDs(token.ID()), sessiontrack.Ending{Reason: sessiontrack.ReasonAdmin})
		return err
	})
	began := time.Now()
	require.Eventually(t, func() bool { return r.status(token) == http.StatusUnauthorized }, patience, pollEvery)
	return time.Since(began)
}

// again repeats a call that a busy machine was too slow for: a transaction gets two
// seconds.
func again(t *testing.T, call func() error) {
	t.Helper()
	require.EventuallyWithT(t, func(c *assert.CollectT) { assert.NoError(c, call()) }, patience, pollEvery)
}

func healthy(t *testing.T, l *Listener, want bool) {
	t.Helper()
	require.Eventually(t, func() bool { return l.Healthy() == want }, patience, pollEvery)
}

// killListeners ends the database connections that listen.
func killListeners(t *testing.T, db *sql.DB) {
	t.Helper()
	_, err := db.ExecContext(t.Context(),
		"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() "+
			"AND (query LIKE '%LISTEN %' OR query LIKE '%pg_listening_channels%')")
	require.NoError(t, err)
}

// TestEndIsKnownElsewhereWithinMilliseconds reads the feed so seldom that nearly every end
// comes too late for the test's patience if it is not notified.
func TestEndIsKnownElsewhereWithinMilliseconds(t *testing.T) {
	t.Parallel()
	dsn := pgtest.DSN(t)
	r := newReplicas(t, dsn, 30*time.Second)
	l := listenerOver(t, dsn, r.there.PollNow)
	healthy(t, l, true)
	took := make([]time.Duration, 25)
	for i := range took {
		took[i] = r.endIsLearnt(t)
	}
	slices.Sort(took)
	t.Logf("end to refusal elsewhere: p50 %v, worst %v", took[len(took)/2], took[len(took)-1])
}

func TestKilledListener(t *testing.T) {
	t.Parallel()
	dsn := pgtest.DSN(t)
	r := newReplicas(t, dsn, feedInterval)
	l := listenerOver(t, dsn, r.there.PollNow)
	for range 3 {
		healthy(t, l, true)
		killListeners(t, r.db)
		r.endIsLearnt(t)
	}
	healthy(t, l, true)
}

// TestBlackHoledListener takes the server's answers away without a word, as a network
// does that has lost one direction.
func TestBlackHoledListener(t *testing.T) {
	t.Parallel()
	cluster := pgtest.NewCluster(t)
	proxy := pgtest.NewProxy(t, cluster.Addr())
	r := newReplicas(t, cluster.DSN(), feedInterval)
	l := listenerOver(t, cluster.DSNAt(proxy.Addr()), r.there.PollNow)
	healthy(t, l, true)
	proxy.Swallow(true)
	r.endIsLearnt(t)
	healthy(t, l, false)
	require.ErrorIs(t, l.Err(), context.DeadlineExceeded, "noticed by the ping")
	r.endIsLearnt(t)
	proxy.Swallow(false)
	proxy.Cut()
	healthy(t, l, true)
	r.endIsLearnt(t)
}

func TestFloodedListener(t *testing.T) {
	t.Parallel()
	dsn := pgtest.DSN(t)
	r := newReplicas(t, dsn, feedInterval)
	l := listenerOver(t, dsn, r.there.PollNow)
	healthy(t, l, true)
	ctx, stop := context.WithCancel(t.Context())
	flooded := make(chan struct{})
	go func() {
		defer close(flooded)
		for ctx.Err() == nil {
			_, _ = r.db.ExecContext(ctx, "SELECT pg_notify('"+sessiontrack.NotifyChannel+"', repeat(i::text, 500)) FROM generate_series(1, 200) AS i")
		}
	}()
	for range 5 {
		r.endIsLearnt(t)
	}
	stop()
	<-flooded
	assert.True(t, l.Healthy())
}

func TestListenerWaitsForADatabaseThatIsAway(t *testing.T) {
	t.Parallel()
	cluster := pgtest.NewCluster(t)
	cluster.Stop(pgtest.Fast)
	var kicks atomic.Int64
	l := listenerOver(t, cluster.DSNAt(cluster.Addr()), func() { kicks.Add(1) })
	require.Eventually(t, func() bool { return l.Err() != nil && l.Err() != errNotConnected }, patience, pollEvery)
	cluster.Start()
	healthy(t, l, true)
	assert.Positive(t, kicks.Load(), "a connection that listens is a kick")
	cluster.Stop(pgtest.Immediate)
	healthy(t, l, false)
	cluster.Start()
	healthy(t, l, true)
}

// TestListenerRefuses shadows what PostgreSQL says about itself.
func TestListenerRefuses(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		shadow string
		want   error
	}{
		"standby": {"pg_is_in_recovery() RETURNS boolean AS 'SELECT true'", errStandby},
		"pooler":  {"pg_listening_channels() RETURNS SETOF text AS 'SELECT ''another'''", errDeaf},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dsn := pgtest.DSN(t)
			db := pgtest.OpenDSN(t, dsn)
			_, err := db.ExecContext(t.Context(), "CREATE FUNCTION public."+test.shadow+" LANGUAGE sql")
			require.NoError(t, err)
			var database string
			require.NoError(t, db.QueryRowContext(t.Context(), "SELECT current_database()").Scan(&database))
			_, err = db.ExecContext(t.Context(), fmt.Sprintf("ALTER DATABASE %s SET search_path = public, pg_catalog", database))
			require.NoError(t, err)
			l := listenerOver(t, dsn, func() {})
			require.Eventually(t, func() bool { return l.Err() == test.want }, patience, pollEvery)
		})
	}
}

// A pooler that shares connections by transaction delivers notifications to nobody, and
// the one server process that it keeps answers that it listens.
func TestListenerBehindPgBouncer(t *testing.T) {
	t.Parallel()
	cluster := pgtest.NewCluster(t)
	t.Run("by transaction it is noticed at once", func(t *testing.T) {
		t.Parallel()
		l := listenerOver(t, cluster.NewPooler("transaction").DSN(), func() {})
		var trusted atomic.Bool
		require.Eventually(t, func() bool {
			trusted.Store(trusted.Load() || l.Healthy())
			return l.Err() == errDeaf
		}, patience, pollEvery)
		assert.False(t, trusted.Load(), "not even for a moment")
	})
	t.Run("by session it works", func(t *testing.T) {
		t.Parallel()
		var kicks atomic.Int64
		l := listenerOver(t, cluster.NewPooler("session").DSN(), func() { kicks.Add(1) })
		healthy(t, l, true)
		require.Eventually(t, func() bool { return kicks.Load() == 1 }, patience, pollEvery, "it has begun to listen")
		_, err := cluster.Open().ExecContext(t.Context(), "NOTIFY "+sessiontrack.NotifyChannel)
		require.NoError(t, err)
		require.Eventually(t, func() bool { return kicks.Load() == 2 }, patience, pollEvery)
	})
}

// TestNoGoroutineIsLeft runs before the parallel tests go on.
func TestNoGoroutineIsLeft(t *testing.T) {
	dsn := pgtest.DSN(t)
	for range 3 {
		l, err := New(dsn, func() {}, &Options{Logger: quiet})
		require.NoError(t, err)
		require.NoError(t, l.Shutdown(t.Context()), "without Start")
		require.NoError(t, l.Start(t.Context()))
		require.Error(t, l.Start(t.Context()), "started already")
		healthy(t, l, true)
		require.NoError(t, l.Shutdown(t.Context()))
		require.NoError(t, l.Shutdown(t.Context()), "twice")
		assert.False(t, l.Healthy())
	}
	ctx, cancel := context.WithCancel(t.Context())
	l, err := New(dsn, func() {}, &Options{Logger: quiet})
	require.NoError(t, err)
	require.NoError(t, l.Start(ctx))
	cancel()
	healthy(t, l, true) // the context of Start ends nothing
	require.NoError(t, l.Shutdown(t.Context()))
	stacks := make([]byte, 1<<20)
	assert.NotContains(t, string(stacks[:runtime.Stack(stacks, true)]), "pglisten.(*Listener)")
}

func TestNewRefuses(t *testing.T) {
	t.Parallel()
	kick := func() {}
	for name, test := range map[string]struct {
		dsn  string
		kick func()
		opts *Options
		want string
	}{
		"no kick":  {"", nil, nil, "kick is nil"},
		"dsn":      {"postgres://u:secret@h:port/x", kick, nil, "the DSN does not parse"},
		"ping":     {"", kick, &Options{PingInterval: time.Millisecond}, "PingInterval is 1ms, want at least 1s"},
		"negative": {"", kick, &Options{PingInterval: -1}, "PingInterval"},
		"channel":  {"", kick, &Options{Channel: strings.Repeat("c", 64)}, "Channel is 64 bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := New(test.dsn, test.kick, test.opts)
			require.ErrorContains(t, err, test.want)
			assert.NotContains(t, err.Error(), "secret")
		})
	}
}
