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
//
// tables are what the files make, the one first by which an installation is known.
func (db DB) Migrate(ctx context.Context, files fs.FS, folder string, tables []Table) error {
	steps, err := readMigrations(files, folder)
	if err != nil {
		return err
	}
	target, err := db.target(ctx)
	if err != nil {
		return err
	}
	if done, err := db.migrated(ctx, target, len(steps)); err != nil || done {
		return err
	}
	err = db.RunInTx(ctx, &sql.TxOptions{Isolation: sql.LevelReadCommitted}, func(ctx context.Context, tx bun.Tx) error {
		m := migration{tx: tx, target: target, search: db.schema == "", tables: tables}
		return m.run(ctx, steps)
	})
	return db.explainTaken(ctx, target, err)
}

// target is the schema that the tables belong into.
func (db DB) target(ctx context.Context) (string, error) {
	if db.schema != "" {
		return db.schema, nil
	}
	var first sql.NullString
	if err := db.Raw(ctx, &first, "SELECT current_schema()"); err != nil {
		return "", err
	}
	if !first.Valid {
		return "", faultf("search_path leads to no schema: name one, BunOptions.Schema")
	}
	return first.String, nil
}

// migrated reports whether nothing is left to apply: most starts need no lock, and no
// right to create anything.
func (db DB) migrated(ctx context.Context, target string, steps int) (bool, error) {
	var there bool
	err := db.NewRaw("SELECT to_regclass(quote_ident(?) || '.sessiontrack_migrations') IS NOT NULL", target).
		Scan(ctx, &there)
	if err != nil || !there {
		return false, err
	}
	var version int
	err = db.NewRaw("SELECT coalesce(max(version), 0) FROM ?(schema)sessiontrack_migrations").Scan(ctx, &version)
	return version >= steps, err
}

// step is a numbered file.
type step struct {
	version int
	name    string
	sql     string
}

// readMigrations returns the files of a folder in the order of their numbers: 0001, 0002
// and so on, without gaps.
func readMigrations(files fs.FS, folder string) ([]step, error) {
	entries, err := fs.ReadDir(files, folder)
	if err != nil {
		return nil, err
	}
	steps := make([]step, 0, len(entries))
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
		steps = append(steps, step{version, strings.TrimSuffix(entry.Name(), ".sql"), string(text)})
	}
	return steps, nil
}

// migration is one run in its transaction.
type migration struct {
	tx     bun.Tx
	target string
	search bool // the target is the first schema of search_path, and nobody named it
	tables []Table
}

// run applies the steps that are missing.
func (m *migration) run(ctx context.Context, steps []step) error {
	if err := m.begin(ctx); err != nil {
		return err
	}
	if _, err := m.tx.ExecContext(ctx, `CREATE TABLE IF NOT EXISTS sessiontrack_migrations (
		version integer PRIMARY KEY, name text NOT NULL, applied_at timestamptz NOT NULL DEFAULT now())`); err != nil {
		return err
	}
	var version int
	err := m.tx.NewRaw("SELECT coalesce(max(version), 0) FROM sessiontrack_migrations").Scan(ctx, &version)
	if err != nil {
		return err
	}
	if version == 0 {
		if err := m.checkForeign(ctx); err != nil {
			return err
		}
	}
	for _, step := range steps[min(version, len(steps)):] {
		if _, err := m.tx.ExecContext(ctx, step.sql); err != nil {
			return fmt.Errorf("%s: %w", step.name, err)
		}
		_, err := m.tx.ExecContext(ctx, "INSERT INTO sessiontrack_migrations (version, name) VALUES (?, ?)",
			step.version, step.name)
		if err != nil {
			return err
		}
	}
	return nil
}

// begin takes the lock of the schema and makes the schema where it is missing. The lock
// is taken in a statement of its own: the next one then sees what the caller before has
// committed. It is waited for without a bound but ctx. The role's timeouts are for
// requests, and would end the building of an index.
func (m *migration) begin(ctx context.Context) error {
	if m.search {
		if err := m.checkSearchPath(ctx); err != nil {
			return err
		}
	}
	_, err := m.tx.ExecContext(
		ctx,
		"SELECT set_config('statement_timeout', '0', true), set_config('lock_timeout', '0', true), "+
			"set_config('idle_in_transaction_session_timeout', '0', true), set_config('search_path', quote_ident(?), true)",
		m.target,
	)
	if err != nil {
		return err
	}
	if err := LockMigration(ctx, m.tx, m.target); err != nil {
		return err
	}
	if _, err := m.tx.ExecContext(ctx, "SELECT set_config('lock_timeout', '10s', true)"); err != nil {
		return err
	}
	var missing bool
	err = m.tx.NewRaw("SELECT to_regnamespace(quote_ident(?)) IS NULL", m.target).Scan(ctx, &missing)
	if err != nil || !missing {
		return err
	}
	_, err = m.tx.ExecContext(ctx, "CREATE SCHEMA ?", bun.Ident(m.target))
	return err
}
