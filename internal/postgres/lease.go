package postgres

import (
	"context"
	"time"

	"github.com/uptrace/bun"
)

const leaseSQL = `INSERT INTO ?(schema)session_leases AS l (job, given_at) VALUES (?, clock_timestamp())
ON CONFLICT (job) DO UPDATE SET given_at = excluded.given_at
WHERE l.given_at <= excluded.given_at - ? * interval '1 microsecond'`

// Lease reports whether nobody was given the job within the last d, and gives it to the
// caller then. Of two callers at once the second waits for the first one's statement.
func (db DB) Lease(ctx context.Context, job string, d time.Duration) (bool, error) {
	var given int64
	err := db.OnConn(ctx, func(conn bun.Conn) error {
		result, err := conn.NewRaw(leaseSQL, job, Micros(d)).Exec(ctx)
		if err == nil {
			given, err = result.RowsAffected()
		}
		return err
	})
	return given == 1, err
}
