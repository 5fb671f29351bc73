package sqlite_test

import (
	"bytes"
	"crypto/rand"
	"database/sql"
	"encoding/base64"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sessiontrack/sessiontrack"
	"github.com/sessiontrack/sessiontrack/sqlite"
)

func newSession(user string) sessiontrack.NewSession {
	var handle [16]byte
	_, _ = rand.Read(handle[:]) // never fails
	n := sessiontrack.NewSession{Session: sessiontrack.Session{UserID: user}, SecretHash: [32]byte{1}}
	n.Session.ID = sessiontrack.SessionID(base64.RawURLEncoding.EncodeToString(handle[:]))
	return n
}

func create(t *testing.T, store *sqlite.Store, user string) sessiontrack.Session {
	t.Helper()
	created, err := store.Create(t.Context(), newSession(user))
	require.NoError(t, err)
	return created.Session
}

func execute(t *testing.T, path string, statements ...string) {
	t.Helper()
	db := pool(t, path, goodPragmas...)
	defer func() { require.NoError(t, db.Close()) }()
	for _, statement := range statements {
		_, err := db.ExecContext(t.Context(), statement)
		require.NoError(t, err, statement)
	}
}

// TestOptionsAreChecked: what cannot work is named with its bound, and no file is made.
func TestOptionsAreChecked(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "none.db")
	for want, open := range map[string]func() (*sqlite.Store, error){
		"Options.BusyTimeout is 1µs: want 1ms to 1m0s": func() (*sqlite.Store, error) {
			return sqlite.Open(path, &sqlite.Options{BusyTimeout: time.Microsecond})
		},
		"Options.BusyTimeout is 1h0m0s": func() (*sqlite.Store, error) {
			return sqlite.Open(path, &sqlite.Options{BusyTimeout: time.Hour})
		},
		"Options.Readers is 65: want 1 to 64": func() (*sqlite.Store, error) {
			return sqlite.Open(path, &sqlite.Options{Readers: 65})
		},
		"Options.Readers is -1": func() (*sqlite.Store, error) {
			return sqlite.New(new(sql.DB), &sqlite.Options{Readers: -1})
		},
		"path is empty":          func() (*sqlite.Store, error) { return sqlite.Open("", nil) },
		"NewMemoryStore":         func() (*sqlite.Store, error) { return sqlite.Open(":memory:", nil) },
		"sqlite: New: db is nil": func() (*sqlite.Store, error) { return sqlite.New(nil, nil) },
	} {
		_, err := open()
		require.ErrorContains(t, err, want)
	}
	require.NoFileExists(t, path)
}

// TestCheckNamesWhatCannotWork: each fault of a file or its settings is told by name at
// the start, and by Migrate where it is about the tables.
func TestCheckNamesWhatCannotWork(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		prepare []string // statements, after Migrate where migrated is set
		migrate bool
		pragmas []string
		check   string
		again   string // what Migrate says then; empty where it succeeds
	}{
		"no tables":   {pragmas: goodPragmas, check: "version 0 of 2: call Migrate first"},
		"fit":         {migrate: true, pragmas: goodPragmas},
		"newer":       {migrate: true, prepare: []string{"INSERT INTO sessiontrack_migrations VALUES (99, 0)"}, pragmas: goodPragmas, check: "version 99 and this program knows 2", again: "version 99 and this program knows "},
		"foreign":     {prepare: []string{"CREATE TABLE user_sessions (id integer)"}, pragmas: goodPragmas, check: "call Migrate first", again: "a table user_sessions that is not sessiontrack's"},
		"synchronous": {migrate: true, pragmas: []string{"busy_timeout(5000)", "journal_mode(wal)", "synchronous(normal)"}, check: "synchronous is 1: want 2 (FULL)"},
		"journal":     {migrate: true, pragmas: []string{"busy_timeout(5000)", "journal_mode(delete)", "synchronous(full)"}, check: "journal_mode is delete: want wal"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "sessions.db")
			if c.migrate {
				migrated, err := sqlite.Open(path, nil)
				require.NoError(t, err)
				require.NoError(t, migrated.Migrate(t.Context()))
				require.NoError(t, migrated.Close(), "the journal's mode can change only while nobody has the file open")
			}
			if len(c.prepare) > 0 {
				execute(t, path, c.prepare...)
			}
			store, err := sqlite.New(pool(t, path, c.pragmas...), nil)
			require.NoError(t, err)
			err = store.Check(t.Context())
			if c.check == "" {
				require.NoError(t, err)
			} else {
				require.ErrorContains(t, err, c.check)
				require.ErrorIs(t, err, sqlite.ErrUnfit)
				require.ErrorIs(t, err, sessiontrack.ErrStoreFault, "nobody need try again")
				require.NotErrorIs(t, err, sessiontrack.ErrUnavailable)
			}
			if c.again != "" {
				require.ErrorContains(t, store.Migrate(t.Context()), c.again)
			} else {
				require.NoError(t, store.Migrate(t.Context()), "may be called any number of times")
			}
		})
	}
}

// TestMigrationsAtTheSameTime: several processes start at once on one new file.
func TestMigrationsAtTheSameTime(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "sessions.db")
	failures := make(chan error, 8)
	for range cap(failures) {
		go func() {
			store, err := sqlite.Open(path, &sqlite.Options{BusyTimeout: time.Minute})
			if err == nil {
				err = store.Migrate(t.Context())
				_ = store.Close()
			}
			failures <- err
		}()
	}
	for range cap(failures) {
		require.NoError(t, <-failures)
	}
	create(t, openFile(t, path), "42")
}

// TestFileThatCannotBeWritten: a file without the right to write is an error at the
// start; sessions in it can still be read.
func TestFileThatCannotBeWritten(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "sessions.db")
	s := create(t, openFile(t, path), "42")
	db := pool(t, path, append([]string{"query_only(true)"}, goodPragmas...)...)
	store, err := sqlite.New(db, nil)
	require.NoError(t, err)
	err = store.Check(t.Context())
	require.ErrorContains(t, err, "readonly")
	_, err = store.End(t.Context(), sessiontrack.IDs(s.ID), sessiontrack.Ending{Reason: sessiontrack.ReasonAdmin})
	require.ErrorIs(t, err, sessiontrack.ErrStoreFault)
	got, err := store.Get(t.Context(), s.ID)
	require.NoError(t, err)
	assert.False(t, got.Ended(), "nothing is half done")
}

// TestFileThatIsNoDatabase: garbage in the file's place is an error and stays as it is.
func TestFileThatIsNoDatabase(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "sessions.db")
	garbage := []byte("This is a letter to the editor, and not a database at all; it is long enough to be read as a header of one.")
	require.NoError(t, os.WriteFile(path, garbage, 0o600))
	store, err := sqlite.Open(path, nil)
	require.NoError(t, err)
	t.Cleanup(func() { _ = store.Close() })
	for _, err := range []error{store.Migrate(t.Context()), store.Check(t.Context())} {
		require.ErrorContains(t, err, "not a database")
		require.ErrorIs(t, err, sessiontrack.ErrStoreFault)
	}
	left, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, garbage, left)
}

// TestDamagedFile: a file whose pages were overwritten is a fault of the store, and no
// answer about any session.
func TestDamagedFile(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "sessions.db")
	store, err := sqlite.Open(path, nil)
	require.NoError(t, err)
	require.NoError(t, store.Migrate(t.Context()))
	for range 200 {
		create(t, store, "42")
	}
	s := create(t, store, "42")
	require.NoError(t, store.Close(), "the last one to close brings the journal into the file")
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	require.NoError(t, err)
	whole, err := file.Stat()
	require.NoError(t, err)
	const page = 4096 // the first one has the schema
	_, err = file.WriteAt(bytes.Repeat([]byte{0xa5}, int(whole.Size())-page), page)
	require.NoError(t, errors.Join(err, file.Close()))

	store, err = sqlite.Open(path, nil)
	require.NoError(t, err)
	t.Cleanup(func() { _ = store.Close() })
	require.ErrorIs(t, store.Check(t.Context()), sessiontrack.ErrStoreFault)
	_, err = store.Get(t.Context(), s.ID)
	require.ErrorContains(t, err, "malformed")
	require.ErrorIs(t, err, sessiontrack.ErrStoreFault)
	require.NotErrorIs(t, err, sessiontrack.ErrNotFound)
	_, err = store.Create(t.Context(), newSession("42"))
	require.ErrorIs(t, err, sessiontrack.ErrStoreFault)
}

// TestFullDisk: a file that cannot grow fails the call, keeps what was acknowledged, and
// works again when there is room.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "sessions.db")
	first := create(t, openFile(t, path), "first")
	db := pool(t, path, goodPragmas...)
	db.SetMaxOpenConns(1) // max_page_count is a connection's
	_, err := db.ExecContext(t.Context(), "PRAGMA max_page_count = 1")
	require.NoError(t, err)
	store, err := sqlite.New(db, nil)
	require.NoError(t, err)
	acknowledged := []sessiontrack.Session{first}
	for range 10_000 {
		created, err := store.Create(t.Context(), newSession("42"))
		if err != nil {
			require.ErrorIs(t, err, sessiontrack.ErrUnavailable)
			require.ErrorContains(t, err, "full")
			break
		}
		acknowledged = append(acknowledged, created.Session)
	}
	require.Less(t, len(acknowledged), 10_000, "the disk was never full")
	_, err = db.ExecContext(t.Context(), "PRAGMA max_page_count = 100000")
	require.NoError(t, err)
	acknowledged = append(acknowledged, create(t, store, "42"))
	for _, s := range acknowledged {
		_, err := store.Get(t.Context(), s.ID)
		require.NoError(t, err)
	}
}

// TestLockedFile: who waits too long for another process gets an error that says so, and
// no later than its context.
func TestLockedFile(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "sessions.db")
	openFile(t, path)
	other, err := pool(t, path, goodPragmas...).Conn(t.Context())
	require.NoError(t, err)
	_, err = other.ExecContext(t.Context(), "BEGIN IMMEDIATE")
	require.NoError(t, err)
	store, err := sqlite.Open(path, &sqlite.Options{BusyTimeout: 10 * time.Millisecond})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, store.Close()) })
	_, err = store.Create(t.Context(), newSession("42"))
	require.ErrorIs(t, err, sessiontrack.ErrUnavailable)
	require.ErrorContains(t, err, "locked")
	_, err = other.ExecContext(t.Context(), "ROLLBACK")
	require.NoError(t, err)
	require.NoError(t, other.Close())
	create(t, store, "42")
}

// TestEndedIsFinalInTheFile: another program cannot take an end back, not even by SQL.
func TestEndedIsFinalInTheFile(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "sessions.db")
	store := openFile(t, path)
	s := create(t, store, "42")
	_, err := store.End(t.Context(), sessiontrack.User("42"), sessiontrack.Ending{Reason: sessiontrack.ReasonAdmin, Actor: "7"})
	require.NoError(t, err)
	db := pool(t, path, goodPragmas...)
	for _, set := range []string{
		"logout_at = NULL, end_reason = NULL", "logout_at = logout_at + 1", "end_reason = 'idle'", "ended_by = '8'",
		"user_id = '43'", "secret_hash = x'00'", "last_activity = last_activity + 1", "user_agent = 'x'", "credential_until = 1",
	} {
		_, err := db.ExecContext(t.Context(), "UPDATE user_sessions SET "+set+" WHERE session_id = ?", string(s.ID))
		require.ErrorContains(t, err, "has ended and cannot change", set)
	}
}

// TestBackup copies one state of the file while the store writes, and overwrites nothing.
func TestBackup(t *testing.T) {
	t.Parallel()
	store := open(t)
	s := create(t, store, "42")
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case <-stop:
				return
			default:
				_, err := store.Create(t.Context(), newSession("busy"))
				assert.NoError(t, err)
			}
		}
	}()
	path := filepath.Join(t.TempDir(), "backup 1?.db")
	require.NoError(t, store.Backup(t.Context(), path))
	close(stop)
	<-done
	require.ErrorContains(t, store.Backup(t.Context(), path), "where nothing stands")
	require.NoFileExists(t, path+".part")
	restored := openFile(t, path)
	require.NoError(t, restored.Check(t.Context()))
	got, err := restored.Get(t.Context(), s.ID)
	require.NoError(t, err)
	require.Equal(t, s.ID, got.ID)
}
