package sessiontrack

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// batchesOf keeps what is flushed.
type batchesOf struct {
	*MemoryStore
	batches [][]Touch
}

func (s *batchesOf) Touch(ctx context.Context, batch []Touch, step time.Duration) ([]SessionID, error) {
	s.batches = append(s.batches, slices.Clone(batch))
	return s.MemoryStore.Touch(ctx, batch, step)
}

// TestFlushesAreInTheOrderOfTheRows: neighbours in the store are written together, also
// where a flush is cut into calls.
func TestFlushesAreInTheOrderOfTheRows(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := &batchesOf{MemoryStore: NewMemoryStore()}
		tracker, err := New(store, nil)
		require.NoError(t, err)
		want := []int64{}
		for serial := range int64(2*touchBatch + 1) {
			require.True(t, tracker.touches.add(newHandle(), activity{at: tracker.clock.now(), serial: serial}))
			want = append(want, serial)
		}
		left, err := tracker.flush(t.Context())
		require.NoError(t, err)
		require.Zero(t, left)
		require.Len(t, store.batches, 3)
		got := []int64{}
		for _, touch := range slices.Concat(store.batches...) {
			got = append(got, touch.Serial)
		}
		require.Equal(t, want, got)
	})
}
