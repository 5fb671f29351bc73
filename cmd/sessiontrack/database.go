package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/sessiontrack/sessiontrack"
)

const (
	// envDSN names the database if -dsn does not. Process lists show flags, and a DSN may contain a
	// password.
	envDSN = "SESSIONTRACK_DSN"

	// storeTimeout is longer than the library's default, because a person or a script waits and not
	// a request.
	storeTimeout = 5 * time.Second
	// undefinedTable is PostgreSQL's error code for a missing table.
	undefinedTable = "42P01"
)

// dsnFlag adds the flag that all database commands share.
func dsnFlag(flags *flag.FlagSet) *string {
	return flags.String("dsn", "", "the database: postgres://user@host/name, or key=value pairs, or sqlite:FILE; "+
		"default $"+envDSN)
}

// misused prints what is wrong with the arguments.
func misused(flags *flag.FlagSet, stderr io.Writer, format string, args ...any) error {
	fmt.Fprintf(stderr, "sessiontrack %s: %s\n", flags.Name(), fmt.Sprintf(format, args...))
	return errUsage
}

// migrator is a store that makes its own tables.
type migrator interface {
	sessiontrack.Store
	Migrate(ctx context.Context) error
}

// database is an open store.
type database struct {
	store migrator
	check func(ctx context.Context) error // for every command but migrate
	close func()
}

// errDSN says that a DSN cannot be read.
type errDSN struct{ error }

// openDatabase returns the store that dsn or the environment names. It does not connect yet.
func openDatabase(flags *flag.FlagSet, dsn string, stderr io.Writer) (*database, error) {
	if dsn == "" {
		dsn = os.Getenv(envDSN)
	}
	if dsn == "" {
		return nil, misused(flags, stderr, "-dsn is required, or %s in the environment", envDSN)
	}
	open := openPostgres
	if path, ok := strings.CutPrefix(dsn, sqliteScheme); ok {
		dsn, open = path, openSQLite
	}
	db, err := open(dsn)
	if malformed := (errDSN{}); errors.As(err, &malformed) {
		return nil, misused(flags, stderr, "-dsn: %v", err)
	}
	return db, err
}

// tracker returns a Tracker that is not started. By default it has no time limits and keeps ended
// sessions.
func (d *database) tracker(options sessiontrack.Options) (*sessiontrack.Tracker, error) {
	options.StoreTimeout = storeTimeout
	return sessiontrack.New(d.store, &options)
}

// explained adds a hint to an error of PostgreSQL.
func explained(err error) error {
	var refused *pgconn.PgError
	if errors.As(err, &refused) && refused.Code == undefinedTable {
		return fmt.Errorf("%w; the tables are missing: run sessiontrack migrate", err)
	}
	return err
}

const migrateSynopsis = `-dsn DSN

Makes the tables, or brings them to this version. It may run at any time, and from
several places at once. It also makes the file of sqlite:FILE, if there is none.
`

func migrate(ctx context.Context, args []string, _ io.Reader, stdout, stderr io.Writer) error {
	flags := newFlags("migrate", migrateSynopsis, stderr)
	dsn := dsnFlag(flags)
	if err := parse(flags, args); err != nil {
		return err
	}
	db, err := openDatabase(flags, *dsn, stderr)
	if err != nil {
		return err
	}
	defer db.close()
	if err := db.store.Migrate(ctx); err != nil {
		return err
	}
	_, err = fmt.Fprintln(stdout, "the tables are up to date")
	return err
}
