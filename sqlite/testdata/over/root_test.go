package sessiontrack_test

import (
	"database/sql"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sessiontrack/sessiontrack"
	"github.com/sessiontrack/sessiontrack/sqlite"
)

func init() { sessiontrack.StoreUnderTest("sqlite", openSQLite) }

// sqliteStore is a store that can be emptied through a pool of its own.
type sqliteStore struct {
	*sqlite.Store
	pool *sql.DB
}

func openSQLite(t testing.TB) sessiontrack.Store {
	path := filepath.Join(t.TempDir(), "sessions.db")
	store, err := sqlite.Open(path, nil)
	require.NoError(t, err)
	require.NoError(t, store.Migrate(t.Context()))
	pool, err := sql.Open("sqlite3", "file:"+path+"?_pragma=busy_timeout(5000)")
	require.NoError(t, err)
	t.Cleanup(func() {
		require.NoError(t, store.Close())
		require.NoError(t, pool.Close())
	})
	return sqliteStore{store, pool}
}

func (s sqliteStore) Empty(t testing.TB) {
	for _, table := range []string{"user_sessions", "user_presence", "online_samples"} {
		_, err := s.pool.ExecContext(t.Context(), "DELETE FROM "+table)
		require.NoError(t, err)
	}
}
