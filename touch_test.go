package sessiontrack

import (
	"context"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// batchesOf keeps what is flushed.
type batchesOf struct {
	*MemoryStore

	mu      sync.Mutex
	batches [][]TouchRecord
}

func (s *batchesOf) Touch(ctx context.Context, batch []TouchRecord, step time.Duration) ([]SessionID, error) {
	s.mu.Lock()
	s.batches = append(s.batches, slices.Clone(batch))
	s.mu.Unlock()
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
			require.True(t, tracker.touches.buffer.add(newHandle(), activity{at: tracker.clock.Now(), serial: serial}))
			want = append(want, serial)
		}
		left, err := tracker.touches.flush(t.Context())
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

func TestTouchesAreBatched(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, nil).started(t)
		tokens := make([]Token, 100)
		for i := range tokens {
			_, tokens[i] = f.login(t, "42")
		}
		time.Sleep(15*time.Second + time.Millisecond)
		before := f.store.gets.Load()
		for range 100 {
			for _, token := range tokens {
				require.Equal(t, 200, f.get(token).Code)
			}
		}
		at := time.Now()
		time.Sleep(2 * time.Second)
		require.EqualValues(t, before, f.store.gets.Load(), "no read is caused by a request of a warm session")
		require.EqualValues(t, 1, f.store.touches.Load())
		require.EqualValues(t, 100, f.store.touched.Load())
		for _, token := range tokens {
			s, err := f.Get(t.Context(), token.ID())
			require.NoError(t, err)
			require.WithinDuration(t, at, s.LastActivity, time.Millisecond)
		}
		require.NoError(t, f.Shutdown(t.Context()))
	})
}

func TestPassiveRequestsDoNotCount(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, &Options{IdleTimeout: time.Hour, Passive: SkipPrefixes("/poll")}).started(t)
		_, token := f.login(t, "42")
		for range 3 {
			time.Sleep(20*time.Minute - time.Second)
			require.Equal(t, 200, f.do("GET", "/poll", headerName, token.Reveal()).Code)
		}
		time.Sleep(3*time.Second + time.Millisecond)
		require.Equal(t, 401, f.do("GET", "/poll", headerName, token.Reveal()).Code)
		require.NoError(t, f.Shutdown(t.Context()))
	})
}
