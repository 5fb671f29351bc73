package faults

import (
	"context"
	"net/http"
	"net/http/httptest"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	st "github.com/sessiontrack/sessiontrack"
	"github.com/sessiontrack/sessiontrack/internal/pgtest"
)

// TestF01DatabaseThatCannotWork covers a missing server, missing tables and missing rights. Start
// reports the fault at once. Requests get 503, or 500 where only an operator can help: no session
// is accepted and none is ended.
func TestF01DatabaseThatCannotWork(t *testing.T) {
	t.Parallel()
	const token = "AAAAAAAAAAAAAAAAAAAAAA.AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
	for name, test := range map[string]struct {
		want   error
		status int
		store  func(t *testing.T) *st.BunStore
	}{
		"closed port": {st.ErrUnavailable, http.StatusServiceUnavailable, func(t *testing.T) *st.BunStore {
			return storeOver(t, pgtest.OpenDSN(t, "postgres://nobody@127.0.0.1:1/none?sslmode=disable"))
		}},
		"missing tables": {st.ErrStoreFault, http.StatusInternalServerError, func(t *testing.T) *st.BunStore {
			return storeOver(t, pgtest.Open(t))
		}},
		"missing rights": {st.ErrStoreFault, http.StatusInternalServerError, func(t *testing.T) *st.BunStore {
			db := pgtest.Open(t)
			store := storeOver(t, db)
			require.NoError(t, store.Migrate(t.Context()))
			db.SetMaxOpenConns(1)
			role := "weak_" + one[string](t, db, "SELECT substr(md5(random()::text), 1, 12)")
			execute(t, db, "CREATE ROLE "+role)
			t.Cleanup(func() { execute(t, db, "RESET ROLE"); execute(t, db, "DROP ROLE "+role) })
			execute(t, db, "SET ROLE "+role)
			return store
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := over(t, test.store(t), background(st.Options{}))
			began := time.Now()
			err := r.Start(t.Context())
			took := time.Since(began)
			require.ErrorIs(t, err, test.want)
			timely(t, took, 5*time.Second, "Start without a database")
			for range 50 {
				require.Equal(t, test.status, r.get(token))
			}
			_, _, err = r.Login(httptest.NewRecorder(), request("POST", "/login"), "1")
			require.ErrorIs(t, err, test.want)
			require.Equal(t, http.StatusOK, func() int {
				w := httptest.NewRecorder()
				r.handler.ServeHTTP(w, request("GET", "/"))
				return w.Code
			}(), "without a credential no store is needed")
			t.Logf("F01: Start failed after %v: %v", took.Round(time.Millisecond), err)
		})
	}
}

// TestF02Crash crashes the server twice under load. Sessions survive, and service resumes without
// an operator.
func TestF02Crash(t *testing.T) {
	t.Parallel()
	cluster := pgtest.NewCluster(t)
	// The short grace makes the test see requests before and after the grace ends.
	r := replicasAt(t, durable(cluster.DSN()), 1, background(st.Options{StaleGrace: -1, MaxStaleness: 2 * time.Second}))[0]
	_, tokens := r.logins(t, 40, func(i int) string { return string(rune('a' + i%20)) })
	a, stop := load(r, tokens, scaled(200, 500))
	defer stop()
	recovery := scaled(15*time.Second, 5*time.Second)
	for range scaled(1, 4) {
		cluster.Stop(pgtest.Immediate)
		eventually(t, patience, "the outage is seen", func() bool {
			return r.get(tokens[0]) == http.StatusServiceUnavailable
		})
		cluster.Start()
		healed := eventually(t, recovery, "service resumes", func() bool {
			for _, token := range tokens {
				if r.get(token) != http.StatusOK {
					return false
				}
			}
			return true
		})
		_, _, err := r.Login(httptest.NewRecorder(), request("POST", "/login"), "new")
		require.NoError(t, err)
		t.Logf("F02: recovered %v after the server accepted", healed.Round(time.Millisecond))
	}
	stop()
	t.Logf("F02: %v", a)
	for code := range a.codes {
		assert.Contains(t, []int{http.StatusOK, http.StatusServiceUnavailable}, code)
	}
	assert.Positive(t, a.codes[http.StatusOK])
}

// TestF03Hang freezes the server, and in a second case drops its answers on the network. A request
// waits at most for the store's timeout. After the breaker has opened it does not wait.
func TestF03Hang(t *testing.T) {
	const timeout = 500 * time.Millisecond
	const slack = 50 * time.Millisecond
	cluster := pgtest.NewCluster(t)
	proxy := pgtest.NewProxy(t, cluster.Addr())
	for name, hang := range map[string]struct{ on, off func() }{
		"frozen":     {cluster.Freeze, cluster.Thaw},
		"black hole": {func() { proxy.Swallow(true) }, func() { proxy.Swallow(false); proxy.Cut() }},
	} {
		t.Run(name, func(t *testing.T) {
			dsn := cluster.DSNAt(proxy.Addr())
			r := replicasAt(t, dsn, 1, background(st.Options{StoreTimeout: timeout}))[0]
			_, warm := r.logins(t, 50, func(int) string { return "1" })
			cold := over(t, storeOver(t, pgtest.OpenDSN(t, dsn)), background(st.Options{}))
			_, unknown := cold.logins(t, 50, func(int) string { return "2" })
			baseline := runtime.NumGoroutine()
			a, stop := load(r, append(warm, unknown...), scaled(200, 500))
			defer stop()
			hang.on()
			began := time.Now()
			opened := eventually(t, patience, "the breaker opens", func() bool { return r.Counters()["feed.failed"] > 0 })
			most := 0
			for time.Since(began) < scaled(3*time.Second, 30*time.Second) {
				most = max(most, runtime.NumGoroutine())
				<-time.After(pollEvery)
			}
			stop()
			hang.off()
			t.Logf("F03 %s: %v; breaker after %v; goroutines %d to %d", name, a, opened.Round(time.Millisecond), baseline, most)
			timely(t, a.quantile(0.99), timeout+slack, "p99 of the answers")
			timely(t, a.quantile(1), 2*(timeout+slack), "the slowest answer")
			timely(t, opened, 2*time.Second+slack, "the store is known to be away")
			assert.LessOrEqual(t, most, baseline+64*4+50, "bounded by the reads in progress, not by the requests")
			assert.Zero(t, a.codes[http.StatusUnauthorized])
			assert.Positive(t, a.codes[http.StatusServiceUnavailable])
			eventually(t, patience, "it heals", func() bool {
				return r.get(unknown[0]) == http.StatusOK && r.get(warm[0]) == http.StatusOK
			})
		})
	}
}

// TestF11PoolExhausted takes the pool's only connection. Requests are refused within the timeout,
// and are served again when the connection returns to the pool.
func TestF11PoolExhausted(t *testing.T) {
	t.Parallel()
	r := replicas(t, 1, background(st.Options{StaleGrace: -1, MaxStaleness: 2 * time.Second}))[0]
	_, tokens := r.logins(t, 20, func(int) string { return "1" })
	r.db.SetMaxOpenConns(1)
	held, err := r.db.Conn(t.Context())
	require.NoError(t, err)
	a, stop := load(r, tokens, 200)
	defer stop()
	eventually(t, patience, "refused", func() bool { return r.get(tokens[0]) == http.StatusServiceUnavailable })
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	began := time.Now()
	_, err = r.End(ctx, st.User("1"), byAdmin)
	require.ErrorIs(t, err, st.ErrUnavailable, "an operation that did not happen is not acknowledged")
	timely(t, time.Since(began), 3*time.Second, "an End that gets no connection")
	require.NoError(t, held.Close())
	healed := eventually(t, patience, "served again", func() bool { return r.get(tokens[0]) == http.StatusOK })
	stop()
	t.Logf("F11: %v; healed after %v", a, healed.Round(time.Millisecond))
	assert.Zero(t, a.codes[http.StatusUnauthorized])
	timely(t, a.quantile(1), 600*time.Millisecond, "the slowest answer")
}
