package sessiontrack

import (
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

func TestUnknownHandlesAreRemembered(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, nil).started(t)
		token := newToken()
		for range 100 {
			require.Equal(t, 401, f.get(token).Code)
		}
		require.EqualValues(t, 1, f.store.gets.Load())
		time.Sleep(2 * time.Second)
		require.Equal(t, 401, f.get(token).Code)
		require.EqualValues(t, 2, f.store.gets.Load())
		for range 3 * maxUnknown {
			f.get(newToken())
		}
		require.LessOrEqual(t, len(f.gate.refused.young)+len(f.gate.refused.old), 2*maxUnknown)
		require.NoError(t, f.Shutdown(t.Context()))
	})
}

// TestGuessingIsReported: once a minute, however many there are.
func TestGuessingIsReported(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var alerts atomic.Int64
		f := newFixture(t, &Options{Observer: Observer{Count: func(name string, n int) {
			if name == "request.guessing" {
				alerts.Add(int64(n))
			}
		}}}).started(t)
		for minute := range 3 {
			for range 2 * guessesAlert {
				f.get(newToken())
			}
			require.EqualValues(t, minute+1, alerts.Load())
			time.Sleep(time.Minute)
		}
		require.NoError(t, f.Shutdown(t.Context()))
	})
}
