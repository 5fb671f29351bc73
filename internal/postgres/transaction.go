package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/uptrace/bun"
)

// idleInTransaction makes the server give up a transaction whose client has stalled
// between two statements.
const idleInTransaction = time.Second

const beginSQL = `SELECT clock_timestamp(), set_config('statement_timeout', ?, true),
	set_config('lock_timeout', '0', true), set_config('idle_in_transaction_session_timeout', ?, true),
	set_config('synchronous_commit', CASE current_setting('synchronous_commit')
		WHEN 'off' THEN 'on' ELSE current_setting('synchronous_commit') END, true)`

// Transaction runs fn in a transaction, READ COMMITTED, that ends within limit. fn
// receives the server's time from the transaction's beginning. What is acknowledged is on
// disk, even where the host has traded that for speed.
func (db DB) Transaction(
	ctx context.Context, limit time.Duration, fn func(context.Context, bun.Tx, time.Time) error,
) error {
	began := time.Now()
	limit += db.Slack
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	return db.inTx(ctx, func(tx bun.Tx) error {
		var now time.Time
		var statement, lock, idle, durable string
		err := tx.NewRaw(beginSQL, milliseconds(limit), milliseconds(idleInTransaction+db.Slack)).
			Scan(ctx, &now, &statement, &lock, &idle, &durable)
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
