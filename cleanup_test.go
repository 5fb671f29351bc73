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
	}{"quick": {cleanupWalk, 300}, "slow": {80, 300}, "away": {0, 0}} {
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
