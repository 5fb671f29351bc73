package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect/pgdialect"

	"github.com/sessiontrack/sessiontrack"
	"github.com/sessiontrack/sessiontrack/sqlite"
)

// maxConns bounds the pool: two replicas and the tools fit into a server that was
// left at its default of 100.
const maxConns = 16

// openStore returns the store that -store names, ready for use, and what closes it.
func openStore(ctx context.Context, name string) (sessiontrack.Store, func() error, error) {
	switch path, file := sqlitePath(name); {
	case file:
		return openSQLite(ctx, path)
	case isPostgres(name):
		return openPostgres(ctx, name)
	}
	return sessiontrack.NewMemoryStore(), func() error { return nil }, nil
}

func openSQLite(ctx context.Context, path string) (sessiontrack.Store, func() error, error) {
	store, err := sqlite.Open(path, nil)
	if err != nil {
		return nil, nil, &usageError{fmt.Errorf("-store: %w", err)}
	}
	if err := migrate(ctx, store); err != nil {
		_ = store.Close()
		return nil, nil, fmt.Errorf("-store: %w", err)
	}
	return store, store.Close, nil
}

func openPostgres(ctx context.Context, name string) (sessiontrack.Store, func() error, error) {
	config, err := pgx.ParseConfig(name)
	if err != nil {
		return nil, nil, &usageError{fmt.Errorf("-store: %w", err)} // pgx leaves the password out
	}
	if !strings.Contains(name, "default_query_exec_mode=") {
		// Bun writes arguments into the text, so that preparing each distinct text, which
		// is pgx's default, costs more than it saves.
		config.DefaultQueryExecMode = pgx.QueryExecModeExec
	}
	if config.ConnectTimeout == 0 {
		config.ConnectTimeout = 2 * time.Second
	}
	pool := stdlib.OpenDB(*config)
	pool.SetMaxOpenConns(maxConns)
	pool.SetMaxIdleConns(maxConns)
	pool.SetConnMaxIdleTime(5 * time.Minute)
	pool.SetConnMaxLifetime(time.Hour)
	db := bun.NewDB(pool, pgdialect.New())
	store, err := sessiontrack.NewBunStore(db, nil)
	if err == nil {
		err = migrate(ctx, store)
	}
	if err != nil {
		_ = db.Close()
		return nil, nil, fmt.Errorf("-store: %w", err)
	}
	return store, db.Close, nil
}

func migrate(ctx context.Context, store interface{ Migrate(context.Context) error }) error {
	ctx, cancel := context.WithTimeout(ctx, 3*patience) // another replica may be at it
	defer cancel()
	return store.Migrate(ctx)
}
