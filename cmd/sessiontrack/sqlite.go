package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/sessiontrack/sessiontrack/sqlite"
)

// sqliteScheme begins a DSN that names a SQLite file.
const sqliteScheme = "sqlite:"

// openSQLite returns the store in a SQLite file.
func openSQLite(path string) (*database, error) {
	if path == "" || path == ":memory:" || strings.HasPrefix(path, "//") {
		return nil, errDSN{errors.New("want sqlite:FILE, such as sqlite:sessions.db or sqlite:/var/lib/app/sessions.db")}
	}
	// Longer than a writer of the application takes, and shorter than storeTimeout: so SQLite's own
	// error is printed.
	store, err := sqlite.Open(path, &sqlite.Options{BusyTimeout: storeTimeout * 4 / 5})
	if err != nil {
		return nil, err
	}
	check := func(ctx context.Context) error {
		if _, err := os.Stat(path); err != nil { // opening it would make the file
			return fmt.Errorf("-dsn: %w: sessiontrack migrate makes the file", err)
		}
		return store.Check(ctx)
	}
	return &database{store, check, func() { _ = store.Close() }}, nil
}
