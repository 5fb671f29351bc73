package storetest

import (
	"context"
	"fmt"
	"time"

	"github.com/sessiontrack/sessiontrack"
)

// FaultyStore is a Store with all that the stores of this module have in common.
var (
	_ wholeStore             = (*FaultyStore)(nil)
	_ sessiontrack.Leaser    = (*FaultyStore)(nil)
	_ sessiontrack.Checker   = (*FaultyStore)(nil)
	_ sessiontrack.Pooled    = (*FaultyStore)(nil)
	_ sessiontrack.Sampler   = (*FaultyStore)(nil)
	_ sessiontrack.EndedFeed = (*FaultyStore)(nil)
)

// Create implements [sessiontrack.Store].
func (f *FaultyStore) Create(ctx context.Context, n sessiontrack.NewSession) (sessiontrack.CreateResult, error) {
	return through(ctx, f, "Create", func() (sessiontrack.CreateResult, error) { return f.inner.Create(ctx, n) })
}

// Get implements [sessiontrack.Store].
func (f *FaultyStore) Get(ctx context.Context, id sessiontrack.SessionID) (sessiontrack.Record, error) {
	return through(ctx, f, "Get", func() (sessiontrack.Record, error) { return f.inner.Get(ctx, id) })
}

// Touch implements [sessiontrack.Store].
func (f *FaultyStore) Touch(ctx context.Context, batch []sessiontrack.TouchRecord,
	step time.Duration) ([]sessiontrack.SessionID, error) {
	return through(ctx, f, "Touch", func() ([]sessiontrack.SessionID, error) { return f.inner.Touch(ctx, batch, step) })
}

// Describe implements [sessiontrack.Store].
func (f *FaultyStore) Describe(ctx context.Context, batch []sessiontrack.SessionUpdate) error {
	_, err := through(ctx, f, "Describe", func() (struct{}, error) { return struct{}{}, f.inner.Describe(ctx, batch) })
	return err
}

// End implements [sessiontrack.Store].
func (f *FaultyStore) End(ctx context.Context, sel sessiontrack.Selector,
	e sessiontrack.Ending) (sessiontrack.EndResult, error) {
	return through(ctx, f, "End", func() (sessiontrack.EndResult, error) { return f.inner.End(ctx, sel, e) })
}

// List implements [sessiontrack.Store].
func (f *FaultyStore) List(ctx context.Context, q sessiontrack.Query) (sessiontrack.Page, error) {
	return through(ctx, f, "List", func() (sessiontrack.Page, error) { return f.inner.List(ctx, q) })
}

// Purge implements [sessiontrack.Store].
func (f *FaultyStore) Purge(ctx context.Context, p sessiontrack.PurgeOptions) (int, error) {
	return through(ctx, f, "Purge", func() (int, error) { return f.inner.Purge(ctx, p) })
}

// EndedSince implements [sessiontrack.EndedFeed].
func (f *FaultyStore) EndedSince(ctx context.Context, since time.Time, limit int) (sessiontrack.EndedPage, error) {
	return through(ctx, f, "EndedSince", func() (sessiontrack.EndedPage, error) {
		return f.inner.EndedSince(ctx, since, limit)
	})
}

// ChangesSince implements [sessiontrack.ChangeFeed].
func (f *FaultyStore) ChangesSince(ctx context.Context, q sessiontrack.ChangeQuery) (sessiontrack.Changes, error) {
	return through(ctx, f, "ChangesSince", func() (sessiontrack.Changes, error) { return f.inner.ChangesSince(ctx, q) })
}

// CountOnline implements [sessiontrack.OnlineReader].
func (f *FaultyStore) CountOnline(ctx context.Context, windows []time.Duration) (n []int, now time.Time, err error) {
	n, err = through(ctx, f, "CountOnline", func() (counts []int, err error) {
		counts, now, err = f.inner.CountOnline(ctx, windows)
		return counts, err
	})
	return n, now, err
}

// ListOnline implements [sessiontrack.OnlineReader].
func (f *FaultyStore) ListOnline(ctx context.Context, q sessiontrack.OnlineQuery) (sessiontrack.OnlinePage, error) {
	return through(ctx, f, "ListOnline", func() (sessiontrack.OnlinePage, error) { return f.inner.ListOnline(ctx, q) })
}

// CountStats implements [sessiontrack.Sampler].
func (f *FaultyStore) CountStats(ctx context.Context, q sessiontrack.StatsQuery) (sessiontrack.StatsCounts, error) {
	return through(ctx, f, "CountStats", func() (sessiontrack.StatsCounts, error) { return f.inner.CountStats(ctx, q) })
}

// Sample implements [sessiontrack.Sampler].
func (f *FaultyStore) Sample(ctx context.Context, q sessiontrack.StatsQuery) (s sessiontrack.Sample, took bool,
	err error) {
	s, err = through(ctx, f, "Sample", func() (sample sessiontrack.Sample, err error) {
		sample, took, err = f.inner.Sample(ctx, q)
		return sample, err
	})
	return s, took, err
}

// RollUp implements [sessiontrack.Historian].
func (f *FaultyStore) RollUp(ctx context.Context, keep time.Duration) error {
	_, err := through(ctx, f, "RollUp", func() (struct{}, error) { return struct{}{}, f.inner.RollUp(ctx, keep) })
	return err
}

// ReadHistory implements [sessiontrack.Historian].
func (f *FaultyStore) ReadHistory(ctx context.Context, q sessiontrack.HistoryQuery) (sessiontrack.HistoryData, error) {
	return through(ctx, f, "ReadHistory", func() (sessiontrack.HistoryData, error) { return f.inner.ReadHistory(ctx, q) })
}

// Lease implements [sessiontrack.Leaser]. Over a store that is none, the leases are its own.
func (f *FaultyStore) Lease(ctx context.Context, job string, d time.Duration) (bool, error) {
	return through(ctx, f, "Lease", func() (bool, error) {
		if leaser, ok := f.inner.(sessiontrack.Leaser); ok {
			return leaser.Lease(ctx, job, d)
		}
		return f.lease(job, d)
	})
}

func (f *FaultyStore) lease(job string, d time.Duration) (bool, error) {
	if job == "" {
		return false, fmt.Errorf("%w: the job is empty: want a name", sessiontrack.ErrInvalidArgument)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	now := time.Now()
	if taken, ok := f.leases[job]; ok && now.Sub(taken) < d {
		return false, nil
	}
	f.leases[job] = now
	return true, nil
}

// Count implements [sessiontrack.Counter].
func (f *FaultyStore) Count(ctx context.Context, q sessiontrack.CountQuery) (sessiontrack.Count, error) {
	return through(ctx, f, "Count", func() (sessiontrack.Count, error) { return f.inner.Count(ctx, q) })
}

// Read implements [sessiontrack.Reader].
func (f *FaultyStore) Read(ctx context.Context, ids []sessiontrack.SessionID) ([]sessiontrack.Record, error) {
	return through(ctx, f, "Read", func() ([]sessiontrack.Record, error) { return f.inner.Read(ctx, ids) })
}

// Renew implements [sessiontrack.Renewer].
func (f *FaultyStore) Renew(ctx context.Context, r sessiontrack.Renewal) (sessiontrack.Session, error) {
	return through(ctx, f, "Renew", func() (sessiontrack.Session, error) { return f.inner.Renew(ctx, r) })
}

// Record implements [sessiontrack.Auditor].
func (f *FaultyStore) Record(ctx context.Context, r sessiontrack.AuditRecord) error {
	_, err := through(ctx, f, "Record", func() (struct{}, error) { return struct{}{}, f.inner.Record(ctx, r) })
	return err
}

// Audit implements [sessiontrack.Auditor].
func (f *FaultyStore) Audit(ctx context.Context, q sessiontrack.AuditQuery) (sessiontrack.AuditPage, error) {
	return through(ctx, f, "Audit", func() (sessiontrack.AuditPage, error) { return f.inner.Audit(ctx, q) })
}

// PurgeAudit implements [sessiontrack.Auditor].
func (f *FaultyStore) PurgeAudit(ctx context.Context, keep time.Duration, limit int) (int, error) {
	return through(ctx, f, "PurgeAudit", func() (int, error) { return f.inner.PurgeAudit(ctx, keep, limit) })
}

// Check implements [sessiontrack.Checker]. A store that is none has nothing to check.
func (f *FaultyStore) Check(ctx context.Context) error {
	_, err := through(ctx, f, "Check", func() (struct{}, error) {
		if checker, ok := f.inner.(sessiontrack.Checker); ok {
			return struct{}{}, checker.Check(ctx)
		}
		return struct{}{}, nil
	})
	return err
}

// MaxConnections implements [sessiontrack.Pooled]. Over a store that is none it is 0.
func (f *FaultyStore) MaxConnections() int {
	if pooled, ok := f.inner.(sessiontrack.Pooled); ok {
		return pooled.MaxConnections()
	}
	return 0
}
