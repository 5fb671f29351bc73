package main

import (
	"database/sql"
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect/pgdialect"

	"github.com/sessiontrack/sessiontrack"
	"github.com/sessiontrack/sessiontrack/internal/pgtest"
	"github.com/sessiontrack/sessiontrack/sqlite"
)

// engine is a kind of database that the commands work on.
type engine struct {
	// fresh returns the DSN of an empty database.
	fresh func(t *testing.T) string
	// open returns the database of dsn, and a store over it.
	open func(t *testing.T, dsn string) (*sql.DB, sessiontrack.Store)
	// age moves the times of session $2 back by $1 seconds. agedEnds does it for every ended one,
	// which the trigger refuses.
	age, expire string
	agedEnds    []string
}

var engines = map[string]engine{
	"PostgreSQL": {
		fresh: func(t *testing.T) string { return pgtest.DSN(t) },
		open: func(t *testing.T, dsn string) (*sql.DB, sessiontrack.Store) {
			pool := pgtest.OpenDSN(t, dsn)
			store, err := sessiontrack.NewBunStore(bun.NewDB(pool, pgdialect.New()), nil)
			require.NoError(t, err)
			return pool, store
		},
		age: "UPDATE user_sessions SET last_activity = last_activity - $1 * interval '1 second', " +
			"login_at = login_at - $1 * interval '1 second' WHERE session_id = $2",
		expire: "UPDATE user_sessions SET expires_at = now() - interval '1 second'",
		agedEnds: []string{
			"ALTER TABLE user_sessions DISABLE TRIGGER USER",
			"UPDATE user_sessions SET login_at = login_at - interval '300 days', " +
				"last_activity = last_activity - interval '300 days', logout_at = logout_at - interval '300 days'",
		},
	},
	"SQLite": {
		fresh: func(t *testing.T) string { return sqliteScheme + filepath.Join(t.TempDir(), "sessions.db") },
		open: func(t *testing.T, dsn string) (*sql.DB, sessiontrack.Store) {
			path := strings.TrimPrefix(dsn, sqliteScheme)
			store, err := sqlite.Open(path, nil)
			require.NoError(t, err)
			pool, err := sql.Open("sqlite3", "file:"+path+"?_pragma=busy_timeout(5000)")
			require.NoError(t, err)
			t.Cleanup(func() { assert.NoError(t, errors.Join(store.Close(), pool.Close())) })
			return pool, store
		},
		age: "UPDATE user_sessions SET last_activity = last_activity - CAST($1 * 1000000 AS INTEGER), " +
			"login_at = login_at - CAST($1 * 1000000 AS INTEGER) WHERE session_id = $2",
		expire: "UPDATE user_sessions SET expires_at = login_at",
		agedEnds: []string{
			"DROP TRIGGER user_sessions_ended_is_final",
			"UPDATE user_sessions SET login_at = login_at - 25920000000000, " +
				"last_activity = last_activity - 25920000000000, logout_at = logout_at - 25920000000000",
		},
	},
}

// onEachEngine runs a test over each kind of database.
func onEachEngine(t *testing.T, test func(t *testing.T, e engine)) {
	t.Helper()
	t.Parallel()
	for name, e := range engines {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, e)
		})
	}
}
