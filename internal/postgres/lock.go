package postgres

import (
	"context"

	"github.com/uptrace/bun"
)

// The first halves of the keys of our advisory locks, "sess" and "work" in ASCII: ids
// that come from outside and names of our own work never share a lock, and neither meets
// one of the host's.
const (
	IDSpace   = 0x73657373
	workSpace = 0x776f726b
)

// LockKey begins the second half of a key, which ends with the id: LockKey + "?)". It has
// the table's identity in it: applications that share a database, each with tables in its
// own schema, do not wait for each other.
const LockKey = "hashtext('?(schema)session_leases'::regclass::oid || ' ' || "

// LockID holds the lock of an id until the transaction ends, and waits for it.
func LockID(ctx context.Context, tx bun.Tx, id string) error {
	_, err := tx.ExecContext(ctx, "SELECT pg_advisory_xact_lock(?, "+LockKey+"?))", IDSpace, id)
	return err
}

// TryWork reports whether nobody else does this work at the moment, and holds its lock
// until the transaction ends then.
func TryWork(ctx context.Context, tx bun.Tx, work string) (mine bool, err error) {
	err = tx.NewRaw("SELECT pg_try_advisory_xact_lock(?, "+LockKey+"?))", workSpace, work).Scan(ctx, &mine)
	return mine, err
}

// LockMigration holds the lock of a schema's migrations until the transaction ends, and
// waits for it.
func LockMigration(ctx context.Context, tx bun.Tx, schema string) error {
	_, err := tx.ExecContext(ctx, "SELECT pg_advisory_xact_lock(?, hashtext('migrate ' || ?))", workSpace, schema)
	return err
}
