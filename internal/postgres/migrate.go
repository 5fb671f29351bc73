package postgres

import (
	"context"
	"database/sql"
	"fmt"
	"io/fs"
	"strconv"
	"strings"

	"github.com/uptrace/bun"
)

// Migrate applies what the files of a folder hold and the database has not, all in one
// transaction, and writes down what it applied in sessiontrack_migrations. Of several
// callers at once one works; the others wait and find nothing left to do.
func (db DB) Migrate(ctx context.Context, files fs.FS, folder string) error {
	steps, err := readMigrations(files, folder)
	if err != nil {
		return err
	}
	if done, err := db.migrated(ctx, len(steps)); err != nil || done {
		return err
	}
	return db.RunInTx(ctx, &sql.TxOptions{Isolation: sql.LevelReadCommitted}, func(ctx context.Context, tx bun.Tx) error {
		return migrate(ctx, tx, steps)
	})
}

// migrated reports whether nothing is left to apply: most starts need no lock, and no
// right to create anything.
func (db DB) migrated(ctx context.Context, steps int) (bool, error) {
	var there bool
	err := db.NewRaw("SELECT to_regclass(quote_ident(current_schema()) || '.sessiontrack_migrations') IS NOT NULL").
		Scan(ctx, &there)
	if err != nil || !there {
		return false, err
	}
	var version int
	err = db.NewRaw("SELECT coalesce(max(version), 0) FROM sessiontrack_migrations").Scan(ctx, &version)
	return version >= steps, err
}

// migration is one step: a numbered file.
type migration struct {
	version int
	name    string
	sql     string
}

// readMigrations returns the files of a folder in the order of their numbers: 0001, 0002
// and so on, without gaps.
func readMigrations(files fs.FS, folder string) ([]migration, error) {
	entries, err := fs.ReadDir(files, folder)
	if err != nil {
		return nil, err
	}
	steps := make([]migration, 0, len(entries))
	for i, entry := range entries {
		number, _, _ := strings.Cut(entry.Name(), "_")
		version, err := strconv.Atoi(number)
		if err != nil || version != i+1 {
			return nil, fmt.Errorf("%s/%s: want number %04d", folder, entry.Name(), i+1)
		}
		text, err := fs.ReadFile(files, folder+"/"+entry.Name())
		if err != nil {
			return nil, err
		}
		steps = append(steps, migration{version, strings.TrimSuffix(entry.Name(), ".sql"), string(text)})
	}
	return steps, nil
}

// migrate applies the steps that are missing. The lock is taken in a statement of its own:
// the next one then sees what the caller before has committed. It is waited for without a
// bound but ctx. The role's timeouts are for requests, and would end the building of an
// index.
func migrate(ctx context.Context, tx bun.Tx, steps []migration) error {
	for _, statement := range []string{
		"SELECT set_config('statement_timeout', '0', true), set_config('lock_timeout', '0', true), " +
			"set_config('idle_in_transaction_session_timeout', '0', true)",
		"SELECT pg_advisory_xact_lock(?, hashtext('migrate'))",
		"SELECT set_config('lock_timeout', '10s', true)",
	} {
		if _, err := tx.ExecContext(ctx, statement, LockSpace); err != nil {
			return err
		}
	}
	if _, err := tx.ExecContext(ctx, `CREATE TABLE IF NOT EXISTS sessiontrack_migrations (
		version integer PRIMARY KEY, name text NOT NULL, applied_at timestamptz NOT NULL DEFAULT now())`); err != nil {
		return err
	}
	var version int
	if err := tx.NewRaw("SELECT coalesce(max(version), 0) FROM sessiontrack_migrations").Scan(ctx, &version); err != nil {
		return err
	}
	for _, step := range steps[min(version, len(steps)):] {
		if _, err := tx.ExecContext(ctx, step.sql); err != nil {
			return fmt.Errorf("%s: %w", step.name, err)
		}
		_, err := tx.ExecContext(ctx, "INSERT INTO sessiontrack_migrations (version, name) VALUES (?, ?)",
			step.version, step.name)
		if err != nil {
			return err
		}
	}
	return nil
}
