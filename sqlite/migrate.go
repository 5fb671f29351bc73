package sqlite

import (
	"context"
	"database/sql"
	"embed"
	"fmt"
	"io/fs"
	"strings"

	"github.com/sessiontrack/sessiontrack"
)

//go:embed migrations/*.sql
var migrations embed.FS

// versionTable is a table of ours: PRAGMA user_version belongs to the host, whose own
// tables may stand in the same file.
const versionTable = `CREATE TABLE IF NOT EXISTS sessiontrack_migrations (version INTEGER PRIMARY KEY,
	applied_at INTEGER NOT NULL) STRICT`

// steps returns the migrations in order; the first is number 1.
func steps() (list []string, err error) {
	names, err := fs.Glob(migrations, "migrations/*.sql")
	if err != nil {
		return nil, err
	}
	for i, name := range names { // Glob sorts
		if !strings.HasPrefix(name, fmt.Sprintf("migrations/%04d_", i+1)) {
			return nil, fmt.Errorf("sqlite: migration %q is not number %d", name, i+1)
		}
		text, err := migrations.ReadFile(name)
		if err != nil {
			return nil, err
		}
		list = append(list, string(text))
	}
	return list, nil
}

// Migrate brings the file's tables up to date, all in one transaction: several processes
// may call it at once, and one that is killed leaves nothing half done. It refuses a file
// whose tables are newer than this program, and a user_sessions that is not ours. It may
// be called any number of times; call it before [sessiontrack.Tracker.Start].
func (s *Store) Migrate(ctx context.Context) error {
	list, err := steps()
	if err != nil {
		return err
	}
	return s.transaction(ctx, "migrate", func(t *transaction) error {
		if err := t.notForeign(); err != nil {
			return err
		}
		if _, err := t.exec(versionTable); err != nil {
			return err
		}
		version, err := versionOf(t.ctx, t.conn)
		if err != nil {
			return err
		}
		if version > len(list) {
			return newerError(version, len(list))
		}
		for i := version; i < len(list); i++ {
			if _, err := t.exec(list[i]); err != nil {
				return fmt.Errorf("migration %d: %w", i+1, err)
			}
			_, err := t.exec("INSERT INTO sessiontrack_migrations (version, applied_at) VALUES (?, ?)", i+1, t.now)
			if err != nil {
				return err
			}
		}
		return nil
	})
}

func newerError(version, known int) error {
	return fmt.Errorf(
		"%w: the file's tables have version %d and this program knows %d: run the newer program, or restore a backup",
		ErrUnfit,
		version,
		known,
	)
}

// versionOf is the number of the latest migration that was applied.
func versionOf(ctx context.Context, q querier) (version int, err error) {
	err = each(ctx, q, func(rows *sql.Rows) error { return rows.Scan(&version) },
		"SELECT coalesce(max(version), 0) FROM sessiontrack_migrations")
	return version, err
}

// tables returns which of two tables are there: ours of versions, and user_sessions.
func tables(ctx context.Context, q querier) (versions, sessions bool, err error) {
	err = each(ctx, q, func(rows *sql.Rows) error {
		var name string
		err := rows.Scan(&name)
		versions, sessions = versions || name == "sessiontrack_migrations", sessions || name == "user_sessions"
		return err
	}, "SELECT name FROM sqlite_schema WHERE type = 'table' AND name IN ('sessiontrack_migrations', 'user_sessions')")
	return versions, sessions, err
}

// notForeign refuses a table user_sessions that another program has made.
func (t *transaction) notForeign() error {
	versions, sessions, err := tables(t.ctx, t.conn)
	if err == nil && sessions && !versions {
		return fmt.Errorf(
			"%w: the file has a table user_sessions that is not sessiontrack's: "+
				"rename it with ALTER TABLE, or use a file of its own",
			ErrUnfit,
		)
	}
	return err
}

var _ sessiontrack.Checker = (*Store)(nil)
