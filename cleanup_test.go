package sessiontrack

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// busyStore cannot look at more than so many rows in a walk.
type busyStore struct {
	*MemoryStore
	most int
	ends atomic.Int64
}

func (s *busyStore) End(ctx context.Context, sel Selector, e Ending) (EndResult, error) {
	s.ends.Add(1)
	if c, err := sel.Criteria(); err == nil && c.Walk > s.most {
		return EndResult{}, ErrUnavailable
	}
	return s.MemoryStore.End(ctx, sel, e)
}

// TestCleanupGetsPastABusyStore has a store that is too slow for a whole step.
func TestCleanupGetsPastABusyStore(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		most int
		want int
	}{"quick": {mostStep, 300}, "slow": {leastStep, 300}, "away": {0, 0}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				store := &busyStore{MemoryStore: NewMemoryStore(), most: test.most}
				tracker, err := New(store, nil)
				require.NoError(t, err)
				f := &fixture{Tracker: tracker}
				for range 300 {
					f.login(t, "1")
				}
				time.Sleep(25 * time.Hour)
				ended, err := tracker.Cleanup(t.Context())
				assert.Equal(t, test.want, ended)
				if test.want == 0 {
					require.ErrorIs(t, err, ErrUnavailable)
					assert.LessOrEqual(t, store.ends.Load(), int64(4), "it gives up soon")
					return
				}
				require.NoError(t, err)
			})
		})
	}
}

// TestCleanupRestsAsLongAsItWorks: a step holds its locks for about stepTime, whatever the store
// does meanwhile, and requests have the store to themselves for as long.
func TestCleanupRestsAsLongAsItWorks(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := &slowStore{MemoryStore: NewMemoryStore(), perRow: 100 * time.Microsecond}
		tracker, err := New(store, nil)
		require.NoError(t, err)
		f := &fixture{Tracker: tracker}
		for range 2400 {
			f.login(t, "1")
		}
		time.Sleep(25 * time.Hour)
		began := time.Now()
		ended, err := tracker.Cleanup(t.Context())
		require.NoError(t, err)
		assert.Equal(t, 2400, ended)
		assert.Less(t, 5, len(store.took))
		busy := time.Duration(0)
		for i, took := range store.took {
			busy += took
			if i > 0 { // it begins with more
				assert.LessOrEqual(t, took, stepTime, "step %d", i)
			}
		}
		assert.GreaterOrEqual(t, time.Since(began), 2*busy-stepTime, "it rests as long as it works")
	})
	for _, test := range []struct {
		rows int
		took time.Duration
		want int
	}{
		{mostStep, 0, mostStep}, {500, 0, 1000}, {500, stepTime / 2, 1000}, {500, stepTime, 500}, {500, 2 * stepTime, 250},
		{2000, time.Minute, 500}, {leastStep, time.Minute, leastStep},
	} {
		assert.Equal(t, test.want, paced(test.rows, test.took), "%d rows in %v", test.rows, test.took)
	}
}

// TestCleanupFitsIntoTheFeed ends more sessions than a reading of the feed takes in: no
// replica ever finds more than that, and empties its cache.
func TestCleanupFitsIntoTheFeed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const sessions = feedLimit + 5000
		store := &fedStore{MemoryStore: NewMemoryStore()}
		tracker, err := New(store, &Options{CleanupInterval: -1})
		require.NoError(t, err)
		f := &fixture{Tracker: tracker}
		for range sessions {
			f.login(t, "1")
		}
		time.Sleep(25 * time.Hour)
		start(t, tracker)
		ended, err := tracker.Cleanup(t.Context())
		require.NoError(t, err)
		assert.Equal(t, sessions, ended)
		require.NoError(t, tracker.Shutdown(t.Context()))
		assert.Zero(t, store.over, "readings that found more than they take in")
		assert.Positive(t, store.most)
		assert.LessOrEqual(t, store.most, feedLimit/10+feedLimit/3+mostStep, "those of another process find room")
	})
}

// fedStore notes what its feed tells: the most in one reading, and how many were cut.
type fedStore struct {
	*MemoryStore

	mu         sync.Mutex
	most, over int
}

func (s *fedStore) EndedSince(ctx context.Context, since time.Time, limit int) (EndedPage, error) {
	page, err := s.MemoryStore.EndedSince(ctx, since, limit)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.most = max(s.most, len(page.Ended))
	if page.More {
		s.over++
	}
	return page, err
}

// slowStore takes its time for each session that it ends.
type slowStore struct {
	*MemoryStore
	perRow time.Duration

	mu   sync.Mutex
	took []time.Duration
}

func (s *slowStore) End(ctx context.Context, sel Selector, e Ending) (EndResult, error) {
	ended, err := s.MemoryStore.End(ctx, sel, e)
	if len(ended.Sessions) > 0 {
		took := time.Duration(len(ended.Sessions)) * s.perRow
		s.mu.Lock()
		s.took = append(s.took, took)
		s.mu.Unlock()
		time.Sleep(took)
	}
	return ended, err
}

// TestLongCleanupKeepsItsLease: no other replica joins a cleanup that lasts longer than
// the interval.
func TestLongCleanupKeepsItsLease(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := &leasingStore{slowStore: slowStore{MemoryStore: NewMemoryStore(), perRow: 10 * time.Millisecond}}
		var replicas [2]*Tracker
		for i := range replicas {
			tracker, err := New(store, &Options{CleanupInterval: 10 * time.Second})
			require.NoError(t, err)
			replicas[i] = tracker
		}
		f := &fixture{Tracker: replicas[0]}
		for range 2000 {
			f.login(t, "1")
		}
		time.Sleep(25 * time.Hour)
		for _, tracker := range replicas {
			start(t, tracker)
		}
		time.Sleep(40 * time.Second) // of 10 + 40
		assert.Equal(t, 1, store.leases(), "replicas that clean up")
		time.Sleep(40 * time.Second)
		assert.Greater(t, store.leases(), 1, "the next one's turn")
		for _, tracker := range replicas {
			require.NoError(t, tracker.Shutdown(t.Context()))
		}
	})
}

// leasingStore gives jobs, and counts those that are not given anew.
type leasingStore struct {
	slowStore

	mu    sync.Mutex
	at    time.Time // of the latest lease
	given int
}

func (s *leasingStore) Lease(_ context.Context, _ string, d time.Duration) (bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.at.IsZero() && time.Since(s.at) < d {
		return false, nil
	}
	s.at = time.Now()
	if d > 0 {
		s.given++
	}
	return true, nil
}

// leases returns how many replicas were given the job.
func (s *leasingStore) leases() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.given
}
