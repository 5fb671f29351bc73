package main

import (
	"context"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect/pgdialect"

	"github.com/sessiontrack/sessiontrack"
)

// openPostgres returns the store in a PostgreSQL database.
func openPostgres(dsn string) (*database, error) {
	config, err := pgx.ParseConfig(dsn)
	if err != nil {
		return nil, errDSN{err} // pgx removes the password from its error
	}
	if !strings.Contains(dsn, "default_query_exec_mode=") {
		config.DefaultQueryExecMode = pgx.QueryExecModeExec // Bun writes arguments into the statement
	}
	if config.ConnectTimeout == 0 {
		config.ConnectTimeout = storeTimeout
	}
	pool := stdlib.OpenDB(*config)
	pool.SetMaxOpenConns(2)
	store, err := sessiontrack.NewBunStore(bun.NewDB(pool, pgdialect.New()), nil)
	if err != nil {
		_ = pool.Close()
		return nil, err
	}
	// A role that may only read can list, so the rights of the whole store are not checked.
	unchecked := func(context.Context) error { return nil }
	return &database{store, unchecked, func() { _ = pool.Close() }}, nil
}
