package sessiontrack

import (
	"context"
	"fmt"
	"time"
)

// maxJob bounds the name of a job, in bytes.
const maxJob = 64

// Lease implements [Leaser]. A row that another replica is writing counts as given: who
// comes second waits for nothing.
func (s *BunStore) Lease(ctx context.Context, job string, d time.Duration) (bool, error) {
	if job == "" || len(job) > maxJob || !cleanText(job) {
		return false, fmt.Errorf("sessiontrack: lease: job has %d bytes, want 1 to %d without control characters", len(job), maxJob)
	}
	if err := notNegative("lease", span{"d", d}); err != nil {
		return false, err
	}
	result, err := s.db.NewRaw("INSERT INTO session_leases AS l (job, given_at) VALUES (?, clock_timestamp()) "+
		"ON CONFLICT (job) DO UPDATE SET given_at = excluded.given_at "+
		"WHERE l.given_at <= excluded.given_at - ? * interval '1 microsecond'", job, inMicros(d)).Exec(ctx)
	if err != nil {
		return false, failed("lease", err)
	}
	given, err := result.RowsAffected()
	return given == 1, failed("lease", err)
}
