package faults

import (
	"context"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	st "github.com/sessiontrack/sessiontrack"
	"github.com/sessiontrack/sessiontrack/internal/pgtest"
	"github.com/sessiontrack/sessiontrack/pglisten"
)

// staleness is B, the bound that holds with and without notifications.
const staleness = 5 * time.Second

// listen gives a replica its own listener.
func listen(t testing.TB, r *replica, dsn string) *pglisten.Listener {
	t.Helper()
	l, err := pglisten.New(dsn, r.PollNow, &pglisten.Options{PingInterval: time.Second, Logger: quiet})
	require.NoError(t, err)
	require.NoError(t, l.Start(t.Context()))
	t.Cleanup(func() { _ = l.Shutdown(context.Background()) })
	eventually(t, patience, "listening", l.Healthy)
	return l
}

// refusedEverywhere ends a session at the first replica, waits until all refuse it, and
// returns how long after the acknowledgement the latest request began that was served.
func refusedEverywhere(t testing.TB, all []*replica) time.Duration {
	t.Helper()
	s, token := all[0].login(t, "42")
	for _, r := range all {
		require.Equal(t, http.StatusOK, r.get(token))
	}
	require.NoError(t, again(func() error {
		_, err := all[0].End(t.Context(), st.IDs(s.ID), byAdmin)
		return err
	}))
	acknowledged, served := time.Now(), time.Duration(0)
	eventually(t, patience, "refused everywhere", func() bool {
		refused := true
		for _, r := range all {
			began := time.Since(acknowledged)
			code := r.get(token)
			if code == http.StatusOK {
				served = began
			}
			refused = refused && code == http.StatusUnauthorized
		}
		return refused
	})
	return served
}

const killListeners = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = current_database() " +
	"AND pid <> pg_backend_pid() AND (query LIKE '%LISTEN %' OR query LIKE '%pg_listening_channels%')"

// TestF04ListenersKilled kills the listeners and ends a session before they reconnect.
func TestF04ListenersKilled(t *testing.T) {
	t.Parallel()
	dsn := pgtest.DSN(t)
	all := replicasAt(t, dsn, 3, background(st.Options{}))
	for _, r := range all[1:] {
		listen(t, r, dsn)
	}
	worst, rounds := time.Duration(0), scaled(5, 50)
	for range rounds {
		one[int](t, all[0].db, killListeners)
		worst = max(worst, refusedEverywhere(t, all))
	}
	t.Logf("F04: %d/%d refused, the slowest after %v", rounds, rounds, worst.Round(time.Millisecond))
	assert.LessOrEqual(t, worst, staleness)
}

// TestF05ListenerBlackHoled drops everything that the server sends to the listener. Queries still
// work.
func TestF05ListenerBlackHoled(t *testing.T) {
	t.Parallel()
	cluster := pgtest.NewCluster(t)
	proxy := pgtest.NewProxy(t, cluster.Addr())
	all := replicasAt(t, cluster.DSN(), 2, background(st.Options{}))
	l := listen(t, all[1], cluster.DSNAt(proxy.Addr()))
	proxy.Swallow(true)
	began, worst, rounds := time.Now(), time.Duration(0), 0
	for ; rounds < 2 || time.Since(began) < scaled(0, time.Minute); rounds++ {
		worst = max(worst, refusedEverywhere(t, all))
	}
	eventually(t, 2*staleness, "the listener reports that it is unhealthy", func() bool { return !l.Healthy() })
	proxy.Swallow(false)
	proxy.Cut()
	eventually(t, patience, "healthy again", l.Healthy)
	t.Logf("F05: %d ends while deaf, the slowest refused after %v", rounds, worst.Round(time.Millisecond))
	assert.LessOrEqual(t, worst, staleness)
}

// TestF06Notifications: many concurrent ends commit. Foreign notifications on the channel do no
// harm. An end that is rolled back has no effect.
func TestF06Notifications(t *testing.T) {
	t.Parallel()
	dsn := pgtest.DSN(t)
	all := replicasAt(t, dsn, 2, background(st.Options{}))
	here, there := all[0], all[1]
	l := listen(t, there, dsn)
	_, bystander := here.login(t, "bystander")
	require.Equal(t, http.StatusOK, there.get(bystander))

	for _, payload := range []string{"", "junk", "r:AAAAAAAAAAAAAAAAAAAAAA", "\\x00'; DROP TABLE user_sessions; --"} {
		execute(t, here.db, "SELECT pg_notify($1, $2), pg_notify($1, repeat('x', 7999)) FROM generate_series(1, 100)",
			st.NotifyChannel, payload)
	}
	_, err := here.db.ExecContext(t.Context(), "SELECT pg_notify($1, repeat('x', 8000))", st.NotifyChannel)
	require.Error(t, err, "the server's own bound")

	n := scaled(1_000, 10_000)
	ids := backdated(t, here.db, n, time.Minute, "many")
	ended, err := here.End(t.Context(), st.User("many"), byAdmin)
	require.NoError(t, err)
	require.Len(t, ended, n, "all in one transaction, with one notification")
	require.Len(t, ids, n)

	tx, err := here.db.BeginTx(t.Context(), nil)
	require.NoError(t, err)
	_, err = tx.ExecContext(t.Context(), "UPDATE user_sessions SET logout_at = clock_timestamp(), end_reason = 'admin' "+
		"WHERE user_id = 'bystander'")
	require.NoError(t, err)
	_, err = tx.ExecContext(t.Context(), "SELECT pg_notify($1, '')", st.NotifyChannel)
	require.NoError(t, err)
	there.PollNow()
	require.NoError(t, tx.Rollback())
	worst := refusedEverywhere(t, all)
	assert.Equal(t, http.StatusOK, there.get(bystander), "a rolled-back end has no effect")
	assert.True(t, l.Healthy())
	t.Logf("F06: %d ended at once, 800 foreign notifications, refused after %v", n, worst.Round(time.Millisecond))
	assert.LessOrEqual(t, worst, staleness)
}
