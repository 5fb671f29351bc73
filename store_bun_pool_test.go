package sessiontrack

import (
	"bytes"
	"context"
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

// TestBusyPoolIsNamedByEveryCall: whoever waits in vain for a connection that others hold
// learns that, and not that the store cannot be reached.
func TestBusyPoolIsNamedByEveryCall(t *testing.T) {
	t.Parallel()
	db := pgtest.Open(t)
	db.SetMaxOpenConns(1)
	store := bunStoreOver(t, db)
	require.NoError(t, store.Migrate(t.Context()))
	held, err := db.BeginTx(t.Context(), nil)
	require.NoError(t, err)
	t.Cleanup(func() { _ = held.Rollback() })
	stats := StatsQuery{Windows: [3]time.Duration{1, 2, 3}, Zone: time.UTC}
	moment := time.Now().UTC().Truncate(time.Hour)
	calls := map[string]func(context.Context) error{
		"Get":  func(ctx context.Context) error { _, err := store.Get(ctx, newToken().handle.id()); return err },
		"List": func(ctx context.Context) error { _, err := store.List(ctx, Query{Limit: 1}); return err },
		"List of a user": func(ctx context.Context) error {
			_, err := store.List(ctx, Query{UserID: "42", Limit: 1})
			return err
		},
		"End": func(ctx context.Context) error {
			_, err := store.End(ctx, User("42"), Ending{Reason: ReasonAdmin})
			return err
		},
		"EndedSince":        func(ctx context.Context) error { _, err := store.EndedSince(ctx, moment, 1); return err },
		"EndedSince, clock": func(ctx context.Context) error { _, err := store.EndedSince(ctx, time.Time{}, 1); return err },
		"CountOnline": func(ctx context.Context) error {
			_, _, err := store.CountOnline(ctx, []time.Duration{time.Minute})
			return err
		},
		"ListOnline": func(ctx context.Context) error {
			_, err := store.ListOnline(ctx, OnlineQuery{Window: time.Minute, Limit: 1})
			return err
		},
		"CountStats": func(ctx context.Context) error { _, err := store.CountStats(ctx, stats); return err },
		"ReadHistory": func(ctx context.Context) error {
			bounds := []time.Time{moment.Add(-time.Hour), moment}
			_, err := store.ReadHistory(ctx, HistoryQuery{Steps: bounds, Days: bounds})
			return err
		},
		"Lease": func(ctx context.Context) error { _, err := store.Lease(ctx, "job", 0); return err },
		"Check": store.Check,
	}
	for name, call := range calls {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
			defer cancel()
			err := call(ctx)
			require.ErrorIs(t, err, ErrUnavailable)
			require.ErrorIs(t, err, errBusy)
			assert.ErrorContains(t, err, "every connection of the pool is in use: 1 of 1")
		})
	}
	assert.Equal(t, 1, store.MaxConnections())
}
