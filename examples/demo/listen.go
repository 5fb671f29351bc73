package main

import (
	"context"
	"log/slog"

	"github.com/sessiontrack/sessiontrack/pglisten"
)

// listen makes ends known to this replica at once, where PostgreSQL can tell of them;
// without that they are learnt within a second. It returns what stops it.
func listen(ctx context.Context, store string, kick func(), log *slog.Logger) (func(context.Context) error, error) {
	if !isPostgres(store) {
		return func(context.Context) error { return nil }, nil
	}
	listener, err := pglisten.New(store, kick, &pglisten.Options{Logger: log})
	if err != nil {
		return nil, err
	}
	return listener.Shutdown, listener.Start(ctx)
}
