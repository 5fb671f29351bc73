package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/sessiontrack/sessiontrack"
)

// Every optional capability.
var (
	_ sessiontrack.Store        = (*Store)(nil)
	_ sessiontrack.EndedFeed    = (*Store)(nil)
	_ sessiontrack.ChangeFeed   = (*Store)(nil)
	_ sessiontrack.OnlineReader = (*Store)(nil)
	_ sessiontrack.Counter      = (*Store)(nil)
	_ sessiontrack.Historian    = (*Store)(nil)
	_ sessiontrack.Leaser       = (*Store)(nil)
	_ sessiontrack.Reader       = (*Store)(nil)
	_ sessiontrack.Renewer      = (*Store)(nil)
	_ sessiontrack.Auditor      = (*Store)(nil)
)

// ErrUnfit says that the file, or how it was opened, cannot work: an old SQLite, a journal
// that is no write-ahead log, tables that are missing, newer or another program's. Trying
// again does not help; the error's text says what does. It comes from [Store.Check] and
// [Store.Migrate], together with [sessiontrack.ErrStoreFault].
var ErrUnfit = errors.New("the database cannot be used")

// The least version of SQLite: octet_length came with 3.43.
const leastMajor, leastMinor = 3, 43

// Check implements [sessiontrack.Checker]: it names what of the file, the driver or its
// settings cannot work. [sessiontrack.Tracker.Start] calls it.
func (s *Store) Check(ctx context.Context) error {
	unfit := []error{s.checkSettings(ctx), s.checkTables(ctx)}
	for _, err := range unfit {
		if err != nil && !errors.Is(err, ErrUnfit) {
			return failed("check", err) // nothing else can be found out
		}
	}
	if err := errors.Join(unfit...); err != nil {
		return failed("check", err)
	}
	return s.checkWrites(ctx)
}

func (s *Store) checkSettings(ctx context.Context) error {
	var version, journal string
	var synchronous int
	for _, ask := range []struct {
		query string
		into  any
	}{{"SELECT sqlite_version()", &version}, {"PRAGMA journal_mode", &journal}, {"PRAGMA synchronous", &synchronous}} {
		if err := each(ctx, s.write, func(rows *sql.Rows) error { return rows.Scan(ask.into) }, ask.query); err != nil {
			return err
		}
	}
	var wrong []error
	if !newEnough(version) {
		wrong = append(wrong, fmt.Errorf("%w: SQLite is %s: want %d.%d or later", ErrUnfit, version, leastMajor, leastMinor))
	}
	if journal != "wal" {
		wrong = append(
			wrong,
			fmt.Errorf("%w: journal_mode is %s: want wal, or every reader waits for every writer", ErrUnfit, journal),
		)
	}
	if synchronous < 2 {
		wrong = append(
			wrong,
			fmt.Errorf("%w: synchronous is %d: want 2 (FULL), or a power cut brings ended sessions back", ErrUnfit, synchronous),
		)
	}
	return errors.Join(wrong...)
}

func newEnough(version string) bool {
	major, rest, _ := strings.Cut(version, ".")
	minor, _, _ := strings.Cut(rest, ".")
	a, err := strconv.Atoi(major)
	b, err2 := strconv.Atoi(minor)
	return err == nil && err2 == nil && (a > leastMajor || a == leastMajor && b >= leastMinor)
}

func (s *Store) checkTables(ctx context.Context) error {
	list, err := steps()
	if err != nil {
		return err
	}
	versions, _, err := tables(ctx, s.read)
	if err != nil {
		return err
	}
	version := 0
	if versions {
		if version, err = versionOf(ctx, s.read); err != nil {
			return err
		}
	}
	switch {
	case version > len(list):
		return newerError(version, len(list))
	case version < len(list):
		return fmt.Errorf("%w: the file's tables have version %d of %d: call Migrate first", ErrUnfit, version, len(list))
	}
	return nil
}

// checkWrites takes the write lock and gives it back: a file or a folder that is
// read-only fails here and not at the first sign-in.
func (s *Store) checkWrites(ctx context.Context) error {
	return s.transaction(ctx, "check", func(t *transaction) error {
		_, err := t.exec(
			"INSERT INTO session_leases (job, given_at) VALUES ('check', ?1) ON CONFLICT (job) DO UPDATE SET given_at = ?1",
			t.now,
		)
		return err
	})
}
