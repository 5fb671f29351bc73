package storetest_test

import (
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect/pgdialect"

	"github.com/sessiontrack/sessiontrack"
	"github.com/sessiontrack/sessiontrack/internal/pgtest"
	"github.com/sessiontrack/sessiontrack/storetest"
)

// TestBunStoreOnPostgreSQL runs the suite against a real server, with one database per case.
func TestBunStoreOnPostgreSQL(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(t *testing.T) sessiontrack.Store {
		store, err := sessiontrack.NewBunStore(bun.NewDB(pgtest.Open(t), pgdialect.New()), nil)
		require.NoError(t, err)
		require.NoError(t, store.Migrate(t.Context()))
		return store
	})
}
