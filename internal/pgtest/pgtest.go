package pgtest

import (
	"context"
	"crypto/rand"
	"database/sql"
	"net/url"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
)

// EnvDSN names the server that tests use instead of a private one.
const EnvDSN = "SESSIONTRACK_TEST_DSN"

// maxConns bounds a test's pool, so that parallel tests fit into one server.
const maxConns = 20

// DSN returns the data source name of a fresh, empty database, dropped with
// everything that is still connected to it when the test ends.
func DSN(t testing.TB) string {
	t.Helper()
	return createDatabase(t, serverDSN(t))
}

// Open returns a pool over a fresh database, closed when the test ends. It
// runs pgx in exec mode: Bun inlines arguments, and preparing each distinct
// text costs more than it gains.
func Open(t testing.TB) *sql.DB {
	t.Helper()
	return OpenDSN(t, DSN(t))
}

// OpenDSN returns another pool, in the same mode, over a database that exists:
// a second replica's, or one behind a [Proxy].
func OpenDSN(t testing.TB, dsn string) *sql.DB {
	t.Helper()
	config, err := pgx.ParseConfig(dsn)
	if err != nil {
		t.Fatalf("pgtest: the DSN does not parse: %v", err)
	}
	config.DefaultQueryExecMode = pgx.QueryExecModeExec
	db := stdlib.OpenDB(*config)
	db.SetMaxOpenConns(maxConns)
	db.SetMaxIdleConns(maxConns)
	t.Cleanup(func() { _ = db.Close() })
	return db
}

// shared is the private server of this test binary, started by its first user.
var shared = sync.OnceValues(func() (*server, error) { return startServer(false) })

// serverDSN names the administrative database of the server that tests share.
func serverDSN(t testing.TB) string {
	t.Helper()
	if dsn := os.Getenv(EnvDSN); dsn != "" {
		return dsn
	}
	requireBinaries(t)
	s, err := shared()
	if err != nil {
		t.Fatalf("pgtest: %v", err)
	}
	return s.dsn("postgres")
}

// requireBinaries skips where no server can be started, and fails under CI.
func requireBinaries(t testing.TB) {
	t.Helper()
	if _, err := findBinaries(); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatalf("pgtest: %v", err)
		}
		t.Skipf("needs PostgreSQL: %v; set %s or install the server (make setup)", err, EnvDSN)
	}
}

// createDatabase makes a database next to the one that admin names.
func createDatabase(t testing.TB, admin string) string {
	t.Helper()
	name := "sessiontrack_" + strings.ToLower(rand.Text()[:16])
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := execute(ctx, admin, "CREATE DATABASE "+name); err != nil {
		t.Fatalf("pgtest: create a database: %v", err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := execute(ctx, admin, "DROP DATABASE IF EXISTS "+name+" WITH (FORCE)"); err != nil {
			t.Logf("pgtest: drop the database: %v", err)
		}
	})
	dsn, err := withDatabase(admin, name)
	if err != nil {
		t.Fatalf("pgtest: %v", err)
	}
	return dsn
}

// execute runs one statement on a connection of its own.
func execute(ctx context.Context, dsn, statement string) error {
	conn, err := pgx.Connect(ctx, dsn)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	_, err = conn.Exec(ctx, statement)
	return err
}

// withDatabase replaces the database in a DSN of either form, the URL and the
// list of key=value pairs (where the last of two wins).
func withDatabase(dsn, name string) (string, error) {
	if !strings.HasPrefix(dsn, "postgres://") && !strings.HasPrefix(dsn, "postgresql://") {
		return dsn + " dbname=" + name, nil
	}
	u, err := url.Parse(dsn)
	if err != nil {
		return "", err
	}
	u.Path = "/" + name
	return u.String(), nil
}
