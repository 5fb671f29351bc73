package sessiontrack

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"

	"github.com/uptrace/bun"
)

// readOnlyTransaction is the SQLSTATE of a write that met a server which only reads:
// after a fail-over, the one that was the primary.
const readOnlyTransaction = "25006"

// badConnRetries is how often a connection of the pool may turn out to be dead before
// anything was sent on it: what database/sql itself allows before it opens another.
const badConnRetries = 2

// errStandby refuses the feed of a server in recovery: ends that the primary has
// acknowledged may not have reached it.
var errStandby = errors.New("the server is a standby")

// onConn calls f with a connection of its own. One that leads to a server which cannot
// be the primary does not go back into the pool: drivers keep it, because to them it is
// in order, and the application would stay bound to the wrong server.
func (s *BunStore) onConn(ctx context.Context, f func(bun.Conn) error) error {
	for tries := 0; ; tries++ {
		conn, err := s.db.Conn(ctx)
		if err != nil {
			return err
		}
		err = f(conn)
		if wrongServer(err) {
			_ = conn.Raw(func(any) error { return driver.ErrBadConn }) // how database/sql is told to close it
		}
		_ = conn.Close() // gives it back; what f found is the answer
		if !errors.Is(err, driver.ErrBadConn) || tries == badConnRetries {
			return err
		}
	}
}

// wrongServer reports whether an error says that the connection leads to a server that
// is not, or not any more, the primary.
func wrongServer(err error) bool {
	var state interface{ SQLState() string }
	return errors.Is(err, errStandby) || errors.Is(err, errReadOnly) || errors.As(err, &state) && state.SQLState() == readOnlyTransaction
}

// begun is a transaction's error that must not lead to another try on another
// connection: it hides what it wraps, a connection found dead, from onConn.
type begun struct{ error }

func (b begun) As(target any) bool { return errors.As(b.error, target) }

func (b begun) Is(target error) bool {
	return target != driver.ErrBadConn && errors.Is(b.error, target)
}

// inTx calls f in a transaction on a connection of its own. f is called at most once.
func (s *BunStore) inTx(ctx context.Context, f func(bun.Tx) error) error {
	return s.onConn(ctx, func(conn bun.Conn) error {
		tx, err := conn.BeginTx(ctx, &sql.TxOptions{Isolation: sql.LevelReadCommitted})
		if err != nil {
			return err
		}
		committing := false
		defer func() {
			if !committing {
				_ = tx.Rollback() // the connection is gone, or the cause is returned
			}
		}()
		if err := f(tx); err != nil {
			return begun{err}
		}
		committing = true
		if err := tx.Commit(); err != nil {
			return begun{err}
		}
		return nil
	})
}
