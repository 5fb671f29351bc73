package postgres

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"

	"github.com/uptrace/bun"
)

// badConnRetries is how often a connection of the pool may turn out to be dead before
// anything was sent on it: what database/sql itself allows before it opens another.
const badConnRetries = 2

// OnConn calls f with a connection of its own. A connection that leads to a server which
// cannot be the primary is closed and not given back to the pool. Drivers keep it, because
// it works, and the application would stay bound to the wrong server.
func (db DB) OnConn(ctx context.Context, f func(bun.Conn) error) error {
	for tries := 0; ; tries++ {
		conn, err := db.Conn(ctx)
		if err != nil {
			return db.unserved(err)
		}
		err = f(conn)
		if wrongServer(err) {
			_ = conn.Raw(func(any) error { return driver.ErrBadConn }) // makes database/sql close it
		}
		_ = conn.Close() // gives it back; what f found is the answer
		if !errors.Is(err, driver.ErrBadConn) || tries == badConnRetries {
			return err
		}
	}
}

// Raw scans the answer of a statement into the destination.
func (db DB) Raw(ctx context.Context, into any, query string, args ...any) error {
	return db.OnConn(ctx, func(conn bun.Conn) error { return conn.NewRaw(query, args...).Scan(ctx, into) })
}

// Select scans the answer of a query into the destination.
func (db DB) Select(ctx context.Context, query *bun.SelectQuery, into any) error {
	return db.OnConn(ctx, func(conn bun.Conn) error { return query.Conn(conn).Scan(ctx, into) })
}

// unserved says so where an error comes of waiting for a connection while all that the pool
// may have are in use: the server may be well, and others of the host hold the connections.
func (db DB) unserved(err error) error {
	stats := db.Stats()
	if errors.Is(err, context.DeadlineExceeded) && stats.MaxOpenConnections > 0 &&
		stats.InUse >= stats.MaxOpenConnections {
		return fmt.Errorf("%w: %d of %d: %w", ErrPoolBusy, stats.InUse, stats.MaxOpenConnections, err)
	}
	return err
}

// noRetry marks an error after which OnConn must not try another connection, because the
// transaction may have done its work. It hides a driver.ErrBadConn that it wraps.
type noRetry struct{ error }

func (n noRetry) As(target any) bool { return errors.As(n.error, target) }

func (n noRetry) Is(target error) bool {
	return target != driver.ErrBadConn && errors.Is(n.error, target)
}

// inTx calls f in a transaction on a connection of its own. f is called at most once.
func (db DB) inTx(ctx context.Context, f func(bun.Tx) error) error {
	return db.OnConn(ctx, func(conn bun.Conn) error {
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
			return noRetry{err}
		}
		committing = true
		if err := tx.Commit(); err != nil {
			return noRetry{err}
		}
		return nil
	})
}
