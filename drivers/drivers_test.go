package drivers

import (
	"database/sql"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/lib/pq"
	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect/pgdialect"
	"github.com/uptrace/bun/driver/pgdriver"

	"github.com/sessiontrack/sessiontrack"
	"github.com/sessiontrack/sessiontrack/internal/pgtest"
	"github.com/sessiontrack/sessiontrack/storetest"
)

// maxConns bounds each pool. A race case starts 16 calls at once.
const maxConns = 8

// driver opens a pool on the database of dsn.
type driver func(t *testing.T, dsn string) *sql.DB

// pgxIn is pgx with one of its ways to run a statement.
func pgxIn(mode pgx.QueryExecMode) driver {
	return func(t *testing.T, dsn string) *sql.DB {
		config, err := pgx.ParseConfig(dsn)
		require.NoError(t, err)
		config.DefaultQueryExecMode = mode
		return stdlib.OpenDB(*config)
	}
}

func libPQ(t *testing.T, dsn string) *sql.DB {
	connector, err := pq.NewConnector(dsn)
	require.NoError(t, err)
	return sql.OpenDB(connector)
}

// bunDriver is Bun's own, which reads no DSN with a socket's folder.
func bunDriver(t *testing.T, dsn string) *sql.DB {
	config, err := pgx.ParseConfig(dsn)
	require.NoError(t, err)
	network, addr := "tcp", net.JoinHostPort(config.Host, strconv.Itoa(int(config.Port)))
	if filepath.IsAbs(config.Host) {
		network, addr = "unix", filepath.Join(config.Host, fmt.Sprintf(".s.PGSQL.%d", config.Port))
	}
	return sql.OpenDB(pgdriver.NewConnector(
		pgdriver.WithNetwork(network), pgdriver.WithAddr(addr), pgdriver.WithInsecure(true),
		pgdriver.WithUser(config.User), pgdriver.WithPassword(config.Password), pgdriver.WithDatabase(config.Database),
	))
}

var drivers = map[string]driver{
	"pgx exec":            pgxIn(pgx.QueryExecModeExec),
	"pgx extended":        pgxIn(pgx.QueryExecModeCacheStatement), // pgx's default
	"pgx simple protocol": pgxIn(pgx.QueryExecModeSimpleProtocol),
	"lib_pq":              libPQ,
	"pgdriver":            bunDriver,
}

// unprepared are the drivers that leave no statement behind on a connection, so that they work
// through a pooler by transaction.
var unprepared = []string{"pgx exec", "pgx simple protocol", "lib_pq", "pgdriver"}

// open returns a store with its tables.
func open(t *testing.T, d driver, dsn string, options *sessiontrack.BunOptions) *sessiontrack.BunStore {
	t.Helper()
	pool := d(t, dsn)
	pool.SetMaxOpenConns(maxConns)
	pool.SetMaxIdleConns(maxConns)
	t.Cleanup(func() { _ = pool.Close() })
	store, err := sessiontrack.NewBunStore(bun.NewDB(pool, pgdialect.New()), options)
	require.NoError(t, err)
	require.NoError(t, store.Migrate(t.Context()))
	return store
}

// schemas gives each store of a database tables of its own, which costs less than a database.
var schemas atomic.Int64

func schema() *sessiontrack.BunOptions {
	return &sessiontrack.BunOptions{Schema: fmt.Sprintf("app_%d", schemas.Add(1))}
}

// TestStoreThroughEachDriver holds the store to the whole contract. With pgx in exec mode the root
// module's own tests do that.
func TestStoreThroughEachDriver(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"pgx extended", "pgx simple protocol", "lib_pq", "pgdriver"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dsn := pgtest.DSN(t)
			storetest.Run(t, func(t *testing.T) sessiontrack.Store { return open(t, drivers[name], dsn, schema()) })
		})
	}
}

// TestStartThroughEachDriver: what Start checks of settings and rights is read alike by all of them.
func TestStartThroughEachDriver(t *testing.T) {
	t.Parallel()
	for name, d := range drivers {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dsn := pgtest.DSN(t)
			store := open(t, d, dsn, nil)
			require.NoError(t, store.Check(t.Context()))
			_, err := pgtest.OpenDSN(t, dsn).ExecContext(t.Context(), "DROP TABLE user_fences")
			require.NoError(t, err)
			err = store.Check(t.Context())
			require.ErrorIs(t, err, sessiontrack.ErrStoreFault, "each driver tells the code of the server's error")
			require.ErrorContains(t, err, "user_fences")
		})
	}
}

// TestStoreOnPartitions holds the store to the whole contract over the tables that docs/partitions.sql
// makes.
func TestStoreOnPartitions(t *testing.T) {
	t.Parallel()
	recipe, err := os.ReadFile("../docs/partitions.sql")
	require.NoError(t, err)
	dsn := pgtest.DSN(t)
	admin := pgtest.OpenDSN(t, dsn)
	storetest.Run(t, func(t *testing.T) sessiontrack.Store {
		options := schema()
		store := open(t, drivers["pgx exec"], dsn, options)
		tx, err := admin.BeginTx(t.Context(), nil)
		require.NoError(t, err)
		for _, statement := range []string{"SET LOCAL search_path = " + options.Schema, string(recipe)} {
			_, err := tx.ExecContext(t.Context(), statement)
			require.NoError(t, err)
		}
		require.NoError(t, tx.Commit())
		return store
	})
}
