package model

import (
	"context"
	"errors"
	"os"
	"path/filepath"

	"github.com/sessiontrack/sessiontrack/sqlite"
)

func init() { stores = map[string]func() backing{"sqlite": openSQLite} }

// sqliteStore is a store in a folder that goes with it.
type sqliteStore struct {
	*sqlite.Store
	folder string
}

func (s sqliteStore) Close() error { return errors.Join(s.Store.Close(), os.RemoveAll(s.folder)) }

// openSQLite is called within the bubble, so that the store's clock is the bubble's.
func openSQLite() backing {
	folder, err := os.MkdirTemp("", "model")
	if err != nil {
		panic(err)
	}
	store, err := sqlite.Open(filepath.Join(folder, "sessions.db"), nil)
	if err == nil {
		err = store.Migrate(context.Background())
	}
	if err != nil {
		panic(err)
	}
	return sqliteStore{store, folder}
}
