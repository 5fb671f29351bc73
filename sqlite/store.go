package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"time"

	_ "github.com/ncruces/go-sqlite3/driver" // registers "sqlite3"
)

// Options configure a [Store]. The zero value, or nil, gives the defaults.
type Options struct {
	// BusyTimeout is how long [Open]'s connections wait for another process that is
	// writing. Default 1 s, at least 1 ms, at most 1 min. [New] leaves the host's own.
	BusyTimeout time.Duration
	// Readers is how many connections [Open] keeps for reading. Default 4, 1 to 64.
	Readers int
}

const (
	defaultBusyTimeout = time.Second
	defaultReaders     = 4
	maxReaders         = 64
)

func (o *Options) defaulted() (Options, error) {
	var c Options
	if o != nil {
		c = *o
	}
	if c.BusyTimeout == 0 {
		c.BusyTimeout = defaultBusyTimeout
	}
	if c.Readers == 0 {
		c.Readers = defaultReaders
	}
	if c.BusyTimeout < time.Millisecond || c.BusyTimeout > time.Minute {
		return c, fmt.Errorf("sqlite: Options.BusyTimeout is %v: want 1ms to 1m0s", c.BusyTimeout)
	}
	if c.Readers < 1 || c.Readers > maxReaders {
		return c, fmt.Errorf("sqlite: Options.Readers is %d: want 1 to %d", c.Readers, maxReaders)
	}
	return c, nil
}

// Store is a [sessiontrack.Store] in a SQLite file, with every optional capability. It
// is made by [Open] or [New], may be used from many goroutines, and starts none.
type Store struct {
	read, write *sql.DB
	owned       bool
	clock       clock
	// turn is held by the one writer of this process: goroutines wait for it in order,
	// where SQLite's busy handler would let them starve one another.
	turn chan struct{}
}

// Open returns a store in the file at path, which is made where there is none. Nothing
// is read or written before the first call. The caller closes the store.
func Open(path string, opts *Options) (*Store, error) {
	o, err := opts.defaulted()
	if err != nil {
		return nil, err
	}
	if path == "" || path == ":memory:" {
		return nil, errors.New("sqlite: Open: path is empty or \":memory:\": want a file, or use sessiontrack.NewMemoryStore")
	}
	source := dataSource(path, o.BusyTimeout)
	write, err := sql.Open("sqlite3", source)
	if err != nil {
		return nil, fmt.Errorf("sqlite: Open: %w", err)
	}
	write.SetMaxOpenConns(1)
	read, err := sql.Open("sqlite3", source)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("sqlite: Open: %w", err), write.Close())
	}
	read.SetMaxOpenConns(o.Readers)
	read.SetMaxIdleConns(o.Readers)
	return &Store{read: read, write: write, owned: true, clock: newClock(), turn: make(chan struct{}, 1)}, nil
}

func dataSource(path string, busy time.Duration) string {
	pragmas := url.Values{"_pragma": {
		fmt.Sprintf("busy_timeout(%d)", busy.Milliseconds()), "journal_mode(wal)", "synchronous(full)",
	}}
	return (&url.URL{Scheme: "file", Opaque: (&url.URL{Path: path}).EscapedPath(), RawQuery: pragmas.Encode()}).String()
}

// New returns a store over the host's own database, which the host closes. Every
// connection needs journal_mode=WAL, synchronous=FULL and a busy_timeout below
// [sessiontrack.Options.StoreTimeout]: [Store.Check] says what is missing. A panic or an
// error of the driver is the store's.
func New(db *sql.DB, opts *Options) (*Store, error) {
	if db == nil {
		return nil, errors.New("sqlite: New: db is nil")
	}
	if _, err := opts.defaulted(); err != nil {
		return nil, err
	}
	return &Store{read: db, write: db, clock: newClock(), turn: make(chan struct{}, 1)}, nil
}

// Close closes what [Open] has opened; the database of [New] stays open. Call it after
// [sessiontrack.Tracker.Shutdown].
func (s *Store) Close() error {
	if !s.owned {
		return nil
	}
	return errors.Join(s.read.Close(), s.write.Close())
}

// transaction runs fn in a write transaction. now is the store's time, read when the
// write lock is held; it is later than any time that the feed has answered with. The
// COMMIT is never interrupted, so that its outcome is known.
func (s *Store) transaction(ctx context.Context, verb string, fn func(tx *transaction) error) error {
	select {
	case s.turn <- struct{}{}:
		defer func() { <-s.turn }()
	case <-ctx.Done():
		return failed(verb, ctx.Err())
	}
	conn, err := s.write.Conn(ctx)
	if err != nil {
		return failed(verb, err)
	}
	defer func() { _ = conn.Close() }()
	if _, err := conn.ExecContext(ctx, "BEGIN IMMEDIATE"); err != nil {
		return failed(verb, err)
	}
	last := context.WithoutCancel(ctx)
	committed := false
	defer func() {
		if !committed {
			_, _ = conn.ExecContext(last, "ROLLBACK")
		}
	}()
	if err := fn(&transaction{ctx, conn, s.clock.tick()}); err != nil {
		return failed(verb, err)
	}
	if _, err := conn.ExecContext(last, "COMMIT"); err != nil {
		return failed(verb, err)
	}
	committed = true
	return nil
}

// transaction is a write transaction and its time in microseconds.
type transaction struct {
	ctx  context.Context
	conn *sql.Conn
	now  int64
}

func (t *transaction) exec(query string, args ...any) (int, error) {
	result, err := t.conn.ExecContext(t.ctx, query, args...)
	if err != nil {
		return 0, err
	}
	n, err := result.RowsAffected()
	return int(n), err
}

// querier is what reads: the pool, or a transaction's connection.
type querier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

// each calls scan for every row of a query.
func each(ctx context.Context, q querier, scan func(*sql.Rows) error, query string, args ...any) error {
	rows, err := q.QueryContext(ctx, query, args...)
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		if err := scan(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}

func (t *transaction) each(scan func(*sql.Rows) error, query string, args ...any) error {
	return each(t.ctx, t.conn, scan, query, args...)
}
