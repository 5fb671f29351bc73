package sessiontrack

import (
	"context"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// TestTrackerHoldsABoundedAmount is invariant I20: whatever comes, what a Tracker holds is
// bounded, and nothing is left of it after Shutdown; that no goroutine is, the bubble checks.
func TestTrackerHoldsABoundedAmount(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const size = 512
		f := newFixture(t, &Options{CacheSize: size, TouchInterval: -1}).started(t)
		f.touches.buffer.limit = 300
		for range 4 * size {
			_, token := f.login(t, "42")
			require.Equal(t, 200, f.get(token).Code)
			f.get(newToken())
			time.Sleep(time.Microsecond)
			require.LessOrEqual(t, f.near.cache.len(), size)
			require.LessOrEqual(t, f.touches.buffer.len(), 300)
		}
		require.LessOrEqual(t, len(f.gate.refused.young)+len(f.gate.refused.old), 2*maxUnknown)
		synctest.Wait()
		require.NoError(t, f.Shutdown(t.Context()))
		require.Zero(t, f.near.cache.len())
		require.Zero(t, f.touches.buffer.len())
		require.Empty(t, f.near.flights.pending)
		require.Zero(t, f.backend.places.Taken())
	})
}

// TestShutdownDoesNotOutliveItsContext: a flush that waits for a store which does not
// answer holds up neither Shutdown, past its context, nor virtual time.
func TestShutdownDoesNotOutliveItsContext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := &hangingTouches{MemoryStore: NewMemoryStore()}
		tracker, err := New(store, nil)
		require.NoError(t, err)
		start(t, tracker)
		s, _, err := tracker.Login(httptest.NewRecorder(), request("POST", "/"), "42")
		require.NoError(t, err)
		h, _ := parseHandle(s.ID)
		require.True(t, tracker.touches.buffer.add(h, activity{at: tracker.clock.Now()}))
		time.Sleep(2100 * time.Millisecond) // the flush has begun, and gets 2 s
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		began := time.Now()
		require.Error(t, tracker.Shutdown(ctx))
		require.LessOrEqual(t, time.Since(began), 200*time.Millisecond)
		time.Sleep(3 * time.Second) // for the flush to give up
	})
}

// hangingTouches does not answer touches until their context is done, whatever it says
// before: a connection that has to be waited for.
type hangingTouches struct{ *MemoryStore }

func (s *hangingTouches) Touch(ctx context.Context, _ []TouchRecord, _ time.Duration) ([]SessionID, error) {
	deadline, _ := ctx.Deadline()
	time.Sleep(time.Until(deadline))
	return nil, ErrUnavailable
}
