package sqlite_test

import (
	"database/sql"
	"net/url"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	_ "modernc.org/sqlite" // registers "sqlite"

	"github.com/sessiontrack/sessiontrack"
	"github.com/sessiontrack/sessiontrack/sqlite"
	"github.com/sessiontrack/sessiontrack/storetest"
)

// open returns a store in a new file, by Open's own driver.
func open(t *testing.T) *sqlite.Store {
	t.Helper()
	return openFile(t, filepath.Join(t.TempDir(), "sessions.db"))
}

func openFile(t *testing.T, path string) *sqlite.Store {
	t.Helper()
	store, err := sqlite.Open(path, nil)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, store.Close()) })
	require.NoError(t, store.Migrate(t.Context()))
	return store
}

// pool returns a database of the host's, through modernc's driver.
func pool(t *testing.T, path string, pragmas ...string) *sql.DB {
	t.Helper()
	source := url.URL{Scheme: "file", Opaque: path, RawQuery: url.Values{"_pragma": pragmas}.Encode()}
	db, err := sql.Open("sqlite", source.String())
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	return db
}

var goodPragmas = []string{"busy_timeout(5000)", "journal_mode(wal)", "synchronous(full)"}

// TestStore holds a store of Open against the contract.
func TestStore(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(t *testing.T) sessiontrack.Store { return open(t) })
}

// TestStoreOverModernc holds a store over the host's own pool and another driver against
// the contract.
func TestStoreOverModernc(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(t *testing.T) sessiontrack.Store {
		store, err := sqlite.New(pool(t, filepath.Join(t.TempDir(), "sessions.db"), goodPragmas...), nil)
		require.NoError(t, err)
		require.NoError(t, store.Migrate(t.Context()))
		return store
	})
}
