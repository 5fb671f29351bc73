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

// maxConns bounds a test's pool, so that one server is enough for parallel tests.
const maxConns = 20

// DSN returns the data source name of a fresh, empty database. When the test ends it closes all
// connections to the database and drops it.
func DSN(t testing.TB) string {
	t.Helper()
	return createDatabase(t, serverDSN(t))
}

// Open returns a pool for a fresh database. It is closed when the test ends. It runs pgx in exec
// mode: Bun writes arguments into the statement, so most statements are distinct and preparing them
// costs more than it saves.
func Open(t testing.TB) *sql.DB {
	t.Helper()
	return OpenDSN(t, DSN(t))
}

// OpenDSN returns a pool like [Open], but for an existing database: for a second replica, or
// through a [Proxy].
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

// shared is the private server of this test binary. Its first user starts it.
var shared = sync.OnceValues(func() (*server, error) { return startServer(false) })

// serverDSN returns the DSN of the administrative database of the tests' shared server.
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

// requireBinaries skips the test if no server can be started. Under CI it fails the test.
func requireBinaries(t testing.TB) {
	t.Helper()
	if _, err := findBinaries(); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatalf("pgtest: %v", err)
		}
		t.Skipf("needs PostgreSQL: %v; set %s or install the server (make setup)", err, EnvDSN)
	}
}

// createDatabase creates a database on the server of admin.
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

// execute runs one statement on a new connection.
func execute(ctx context.Context, dsn, statement string) error {
	conn, err := pgx.Connect(ctx, dsn)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	_, err = conn.Exec(ctx, statement)
	return err
}

// withDatabase replaces the database in a DSN of either form: a URL, or key=value pairs, where the
// last of two equal keys wins.
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
