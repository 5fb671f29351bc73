package sessiontrack

import (
	"context"
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

func (s *busyStore) End(ctx context.Context, sel Selector, e Ending) (Ended, error) {
	s.ends.Add(1)
	if c, err := sel.Criteria(); err == nil && c.Walk > s.most {
		return Ended{}, ErrUnavailable
	}
	return s.MemoryStore.End(ctx, sel, e)
}

// TestCleanupGetsPastABusyStore has a store that is too slow for a whole step.
func TestCleanupGetsPastABusyStore(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		most int
		want int
	}{"quick": {mostWalk, 300}, "slow": {80, 300}, "away": {0, 0}} {
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

// TestCleanupPaces: a step holds its locks for about walkStep, whatever the store does
// meanwhile.
func TestCleanupPaces(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := &slowStore{MemoryStore: NewMemoryStore(), perRow: time.Millisecond}
		tracker, err := New(store, nil)
		require.NoError(t, err)
		f := &fixture{Tracker: tracker}
		for range 5000 {
			f.login(t, "1")
		}
		time.Sleep(25 * time.Hour)
		ended, err := tracker.Cleanup(t.Context())
		require.NoError(t, err)
		assert.Equal(t, 5000, ended)
		for i, took := range store.took {
			if i > 4 && i < len(store.took)-1 { // it begins with more, and ends with what is left
				assert.LessOrEqual(t, took, walkStep*2, "step %d", i)
			}
		}
		assert.Equal(t, mostWalk, paced(mostWalk, 0))
		assert.Equal(t, leastWalk, paced(leastWalk, time.Minute))
	})
}

// slowStore takes its time for each session that it ends.
type slowStore struct {
	*MemoryStore
	perRow time.Duration
	took   []time.Duration
}

func (s *slowStore) End(ctx context.Context, sel Selector, e Ending) (Ended, error) {
	ended, err := s.MemoryStore.End(ctx, sel, e)
	if len(ended.Sessions) > 0 {
		took := time.Duration(len(ended.Sessions)) * s.perRow
		s.took = append(s.took, took)
		time.Sleep(took)
	}
	return ended, err
}
