package sqlite

import (
	"context"
	"fmt"
	"time"

	"github.com/sessiontrack/sessiontrack/internal/text"
)

// maxJob bounds the name of a job, in bytes.
const maxJob = 64

// Lease implements [sessiontrack.Leaser].
func (s *Store) Lease(ctx context.Context, job string, d time.Duration) (bool, error) {
	if job == "" || len(job) > maxJob || !text.Valid(job) {
		return false, fmt.Errorf("sqlite: lease: job has %d bytes: want 1 to %d without control characters", len(job), maxJob)
	}
	if d < 0 {
		return false, fmt.Errorf("sqlite: lease: d is %v: want 0 or more", d)
	}
	given := 0
	err := s.transaction(ctx, "lease", func(t *transaction) (err error) {
		given, err = t.exec(`INSERT INTO session_leases AS l (job, given_at) VALUES (?1, ?2)
			ON CONFLICT (job) DO UPDATE SET given_at = excluded.given_at WHERE l.given_at <= ?2 - ?3`, job, t.now, span(d))
		return err
	})
	return given == 1 && err == nil, err
}
