package sessiontrack

import (
	"bytes"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sessiontrack/sessiontrack/internal/pgtest"
)

// TestBusyPoolIsNoOutage: where the host's own work holds every connection, the store is
// not called unreachable, cached sessions are served, and the log names the pool.
func TestBusyPoolIsNoOutage(t *testing.T) {
	t.Parallel()
	db := pgtest.Open(t)
	db.SetMaxOpenConns(1)
	var logs bytes.Buffer
	log := &lockedWriter{w: &logs}
	store := bunStoreOver(t, db)
	require.NoError(t, store.Migrate(t.Context()))
	f := &fixture{}
	var err error
	f.Tracker, err = New(store, &Options{
		SampleInterval: -1, CleanupInterval: -1, FeedInterval: 50 * time.Millisecond, MaxStaleness: 500 * time.Millisecond,
		Logger: slog.New(slog.NewTextHandler(log, nil)),
	})
	require.NoError(t, err)
	f.handler = f.Middleware(f.echo())
	f.started(t)
	_, token := f.login(t, "42")
	require.Equal(t, http.StatusOK, f.do("GET", "/", headerName, token.Reveal()).Code)

	held, err := db.BeginTx(t.Context(), nil)
	require.NoError(t, err)
	_, _, err = f.Login(httptest.NewRecorder(), request("POST", "/login"), "42")
	require.ErrorIs(t, err, ErrUnavailable)
	require.ErrorContains(t, err, "every connection of the pool is in use: 1 of 1")
	require.Eventually(t, func() bool { return f.Counters()["feed.no_connection"] > 0 }, patience, 10*time.Millisecond)
	assert.Equal(t, http.StatusOK, f.do("GET", "/", headerName, token.Reveal()).Code, "what is cached is served")
	assert.Contains(t, log.String(), "no free connection")
	assert.NotContains(t, log.String(), "store unreachable")

	require.NoError(t, held.Rollback())
	require.Eventually(t, func() bool {
		_, _, err := f.Login(httptest.NewRecorder(), request("POST", "/login"), "42")
		return err == nil
	}, patience, 10*time.Millisecond)
}
