package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/redis/rueidis"
	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect/pgdialect"

	"github.com/sessiontrack/sessiontrack"
	"github.com/sessiontrack/sessiontrack/redisstore"
	"github.com/sessiontrack/sessiontrack/sqlite"
)

// maxConns bounds the pool: two replicas and the tools fit into a server that was
// left at its default of 100.
const maxConns = 16

// openStore returns the store that -store and -activity name, ready for use, and what closes
// it.
func openStore(ctx context.Context, name, activity string) (sessiontrack.Store, func() error, error) {
	store, closeStore, err := openDurable(ctx, name)
	if err != nil || activity == "" {
		return store, closeStore, err
	}
	client, store, err := openActivity(activity, store)
	if err != nil {
		return nil, nil, errors.Join(fmt.Errorf("-activity: %w", err), closeStore())
	}
	return store, func() error { client.Close(); return closeStore() }, nil
}

// openActivity puts Redis in front of a store.
func openActivity(url string, durable sessiontrack.Store) (rueidis.Client, sessiontrack.Store, error) {
	options, err := rueidis.ParseURL(url)
	if err != nil {
		return nil, nil, &usageError{err}
	}
	options.DisableCache = true // no key is read twice without a change
	client, err := rueidis.NewClient(options)
	if err != nil {
		return nil, nil, err
	}
	store, err := redisstore.Activity(durable, client, nil)
	if err != nil {
		client.Close()
	}
	return client, store, err
}

func openDurable(ctx context.Context, name string) (sessiontrack.Store, func() error, error) {
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
