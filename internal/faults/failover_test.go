package faults

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	st "github.com/sessiontrack/sessiontrack"
	"github.com/sessiontrack/sessiontrack/internal/pgtest"
)

// TestF10ReadOnlyServer makes the pool's connection read-only, as happens in a fail-over behind a
// pooler or a DNS name. The write fails, no session ends, and the pool drops the connection.
func TestF10ReadOnlyServer(t *testing.T) {
	t.Parallel()
	r := replicas(t, 1, background(st.Options{}))[0]
	r.db.SetMaxOpenConns(1)
	s, token := r.login(t, "1")
	signIn := func() error {
		_, _, err := r.Login(httptest.NewRecorder(), request("POST", "/login"), "1")
		return err
	}
	for range 3 {
		execute(t, r.db, "SET default_transaction_read_only = on")
		pid := one[int](t, r.db, "SELECT pg_backend_pid()")
		require.ErrorIs(t, signIn(), st.ErrUnavailable)
		require.Equal(t, http.StatusOK, r.get(token), "the failure says nothing about the session")
		assert.NotEqual(t, pid, one[int](t, r.db, "SELECT pg_backend_pid()"), "the pool drops the connection")
		require.NoError(t, signIn(), "the next connection can write")
	}
	execute(t, r.db, "SET default_transaction_read_only = on")
	_, err := r.End(t.Context(), st.IDs(s.ID), byAdmin)
	require.ErrorIs(t, err, st.ErrUnavailable, "an end that was not written is not acknowledged")
	require.Equal(t, http.StatusOK, r.get(token))
	_, err = r.End(t.Context(), st.IDs(s.ID), byAdmin)
	require.NoError(t, err)
	require.Equal(t, http.StatusUnauthorized, r.get(token))
}

// TestF10StandbyFeedsNobody replaces pg_is_in_recovery with a function that returns true. A standby
// may lack ends that the primary acknowledged, so its feed must not renew freshness.
func TestF10StandbyFeedsNobody(t *testing.T) {
	t.Parallel()
	for name, watched := range map[string]bool{"nobody watches": false, "somebody watches the events": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			standbyFeedsNobody(t, watched)
		})
	}
}

// standbyFeedsNobody holds for both readings of the feed: that of ends alone, and the one
// that brings the events of a watcher along.
func standbyFeedsNobody(t *testing.T, watched bool) {
	r := replicas(t, 1, background(st.Options{}))[0]
	r.db.SetMaxOpenConns(1)
	if watched {
		sub, err := r.Subscribe(t.Context(), st.SubscribeOptions{})
		require.NoError(t, err)
		t.Cleanup(sub.Close)
		_, err = sub.Next(t.Context())
		require.NoError(t, err, "the snapshot: from now on the feed is read for a watcher")
	}
	_, token := r.login(t, "1")
	execute(t, r.db, "CREATE FUNCTION public.pg_is_in_recovery() RETURNS boolean LANGUAGE sql AS 'SELECT true'")
	execute(t, r.db, "SET search_path = public, pg_catalog")
	eventually(t, patience, "the feed is refused", func() bool { return r.Counters()["feed.failed"] > 0 })
	eventually(t, patience, "another connection is taken", func() bool {
		return one[string](t, r.db, "SHOW search_path") != "public, pg_catalog" && r.get(token) == http.StatusOK
	})

	execute(t, r.db, "SET search_path = public, pg_catalog")
	other := over(t, r.store, background(st.Options{}))
	require.ErrorIs(t, other.Start(t.Context()), st.ErrUnavailable, "no Tracker starts there")
}

// TestF10Failover promotes a synchronous standby. No acknowledged end is lost, and the application
// continues without help. The test takes as long as a base backup.
func TestF10Failover(t *testing.T) {
	if !long {
		t.Skip("the long form only: " + envLong)
	}
	primary := pgtest.NewCluster(t)
	store := storeOver(t, primary.Open())
	require.NoError(t, store.Migrate(t.Context()))
	standby := primary.Standby("standby")
	proxy := pgtest.NewProxy(t, primary.Addr())
	r := replicasAt(t, primary.DSNAt(proxy.Addr())+"&synchronous_commit=remote_apply", 1, background(st.Options{}))[0]
	admin := primary.Open()
	execute(t, admin, "ALTER SYSTEM SET synchronous_standby_names = 'standby'")
	execute(t, admin, "SELECT pg_reload_conf()")
	eventually(t, patience, "synchronous", func() bool {
		return one[int](t, admin, "SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'") == 1
	})
	ids, tokens := r.logins(t, 60, func(i int) string { return "user" })
	for _, id := range ids[:30] {
		_, err := r.End(t.Context(), st.IDs(id), byAdmin)
		require.NoError(t, err)
	}
	require.ErrorIs(t, over(t, storeOver(t, standby.Open()), st.Options{}).Start(t.Context()), st.ErrUnavailable,
		"not on a standby")
	primary.Stop(pgtest.Immediate)
	standby.Promote()
	proxy.Retarget(standby.Addr())
	proxy.Cut()
	healed := eventually(t, 10*time.Second, "back within 10 s", func() bool {
		_, _, err := r.Login(httptest.NewRecorder(), request("POST", "/login"), "1")
		return err == nil
	})
	lost := 0
	for i, id := range ids {
		s, err := r.Get(t.Context(), id)
		require.NoError(t, err)
		if s.Ended() != (i < 30) {
			lost++
		}
		if want := http.StatusOK; i >= 30 {
			assert.Equal(t, want, r.get(tokens[i]))
		}
	}
	t.Logf("F10: %d of 30 acknowledged ends lost, recovery after %v", lost, healed.Round(time.Millisecond))
	assert.Zero(t, lost)
}
