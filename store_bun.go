package sessiontrack

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect"
)

const (
	// transactionTimeout bounds every transaction of ours from its beginning to
	// its COMMIT. The feed of ended sessions reads an overlap of 3 s anew, so an
	// end must be visible within less of its stamp.
	transactionTimeout = 2 * time.Second

	// idleInTransaction makes the server give up a transaction whose client has
	// stalled between two statements; together with transactionTimeout it stays
	// within the feed's overlap.
	idleInTransaction = time.Second

	// lockSpace is the first half of our advisory locks' keys ("sess" in ASCII),
	// so that they do not meet the host's.
	lockSpace = 0x73657373

	defaultTouchBatch = 2_000
	maxTouchBatch     = 10_000
)

// BunOptions are the options of a [BunStore]; nil means all defaults.
type BunOptions struct {
	// TouchBatch is how many touches one transaction writes; a larger batch is
	// split. Larger ones cost less write-ahead log, and hold their locks longer.
	// 1 to 10,000; zero means 2,000.
	TouchBatch int
}

// BunStore is a [Store] over the host's *bun.DB, on PostgreSQL 13 or later. It
// has every optional capability. Its tables are made by [BunStore.Migrate].
//
// It takes the host's pool as it is and closes nothing. With pgx under Bun, set
// default_query_exec_mode=exec: the default prepares every distinct statement
// text, and Bun writes arguments into the text.
//
// Every transaction runs in READ COMMITTED, whatever the host's default, and
// ends within two seconds or not at all. Rows are locked in one order, sessions
// before users, so that replicas do not deadlock. The clock is the database's.
type BunStore struct {
	db         *bun.DB
	touchBatch int

	// slack is what transactions may take longer. None but tests has some, on machines
	// where a process that could run stands still for a second.
	slack time.Duration
}

// NewBunStore returns a store over db. It connects to nothing. It errs where the
// dialect is not PostgreSQL's: MySQL, for one, has no UPDATE … RETURNING, and
// through Bun that reads like an update that changed nothing.
func NewBunStore(db *bun.DB, opts *BunOptions) (*BunStore, error) {
	if db == nil {
		return nil, errors.New("sessiontrack: NewBunStore: db is nil")
	}
	if name := db.Dialect().Name(); name != dialect.PG {
		return nil, fmt.Errorf("sessiontrack: NewBunStore: dialect %q is not supported, want %q", name, dialect.PG)
	}
	s := &BunStore{db: db, touchBatch: defaultTouchBatch}
	if opts != nil && opts.TouchBatch != 0 {
		if opts.TouchBatch < 1 || opts.TouchBatch > maxTouchBatch {
			return nil, fmt.Errorf("sessiontrack: NewBunStore: TouchBatch is %d, want 1 to %d", opts.TouchBatch, maxTouchBatch)
		}
		s.touchBatch = opts.TouchBatch
	}
	return s, nil
}

// transaction runs fn in a transaction that ends within limit. fn receives the
// store's time from the transaction's beginning. What is acknowledged is on disk, even
// where the host has traded that for speed: a crash of the server would else bring
// sessions back that have ended.
func (s *BunStore) transaction(ctx context.Context, limit time.Duration, fn func(context.Context, bun.Tx, time.Time) error) error {
	began := time.Now()
	limit += s.slack
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	return s.inTx(ctx, func(tx bun.Tx) error {
		var now time.Time
		var statement, lock, idle, durable string
		err := tx.NewRaw("SELECT clock_timestamp(), set_config('statement_timeout', ?, true), set_config('lock_timeout', '0', true), "+
			"set_config('idle_in_transaction_session_timeout', ?, true), set_config('synchronous_commit', "+
			"CASE current_setting('synchronous_commit') WHEN 'off' THEN 'on' ELSE current_setting('synchronous_commit') END, true)",
			milliseconds(limit), milliseconds(idleInTransaction+s.slack)).Scan(ctx, &now, &statement, &lock, &idle, &durable)
		if err != nil {
			return err
		}
		if err := fn(ctx, tx, now.UTC()); err != nil {
			return err
		}
		if took := time.Since(began); took > limit {
			return fmt.Errorf("transaction took %v, want at most %v", took, limit)
		}
		return nil
	})
}

func milliseconds(d time.Duration) string { return strconv.FormatInt(d.Milliseconds(), 10) }

// inMicros is d in whole microseconds, rounded up so that no bound becomes none: a
// number that SQL multiplies with an interval of one microsecond.
func inMicros(d time.Duration) int64 {
	if d%time.Microsecond > 0 {
		return d.Microseconds() + 1
	}
	return d.Microseconds()
}

// failed names the verb and keeps the sentinels apart from all else, which means
// that the call could not be carried out or that its outcome is unknown.
func failed(verb string, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, sql.ErrNoRows):
		return fmt.Errorf("sessiontrack: %s: %w", verb, ErrNotFound)
	case errors.Is(err, ErrExists), errors.Is(err, ErrLimit), errors.Is(err, ErrNotFound), errors.Is(err, ErrEnded):
		return fmt.Errorf("sessiontrack: %s: %w", verb, err)
	}
	return unavailable(verb, err)
}

// now asks for the store's time, where an answer without rows does not tell it.
func (s *BunStore) now(ctx context.Context) (now time.Time, err error) {
	err = s.db.NewRaw("SELECT clock_timestamp()").Scan(ctx, &now)
	return now.UTC(), err
}
