package histories

import (
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sessiontrack/sessiontrack/sqlite"
)

func init() { stores = map[string]func(t *testing.T) store{"sqlite": openSQLite} }

func openSQLite(t *testing.T) store {
	s, err := sqlite.Open(filepath.Join(t.TempDir(), "sessions.db"), nil)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	require.NoError(t, s.Migrate(t.Context()))
	return s
}
