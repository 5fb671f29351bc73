package sessiontrack

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// TestHeldIsBounded is invariant I20: whatever comes, what a Tracker holds is bounded, and nothing
// is left of it after Shutdown; that no goroutine is, the bubble checks.
func TestHeldIsBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const size = 512
		f := newFixture(t, &Options{CacheSize: size, TouchInterval: -1}).started(t)
		f.touches.limit = 300
		for range 4 * size {
			_, token := f.login(t, "42")
			require.Equal(t, 200, f.get(token).Code)
			f.get(newToken())
			time.Sleep(time.Microsecond)
			require.LessOrEqual(t, f.cache.len(), size)
			require.LessOrEqual(t, f.touches.len(), 300)
		}
		require.LessOrEqual(t, len(f.unknown.young)+len(f.unknown.old), 2*maxUnknown)
		synctest.Wait()
		require.NoError(t, f.Shutdown(t.Context()))
		require.Zero(t, f.cache.len())
		require.Zero(t, f.touches.len())
		require.Empty(t, f.flights.pending)
		require.Empty(t, f.flights.slots)
	})
}
