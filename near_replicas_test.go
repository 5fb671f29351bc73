package sessiontrack

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// TestActivityElsewhereCounts: a session that this replica takes for idle may have been
// used at another one.
func TestActivityElsewhereCounts(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := newFaultStore()
		a, b := replica(t, store, nil).started(t), replica(t, store, nil).started(t)
		_, token := a.login(t, "42")
		require.Equal(t, 200, a.get(token).Code)
		for range 30 {
			time.Sleep(time.Hour)
			require.Equal(t, 200, b.get(token).Code)
		}
		require.Equal(t, 200, a.get(token).Code)
		require.NoError(t, a.Shutdown(t.Context()))
		require.NoError(t, b.Shutdown(t.Context()))
	})
}

func TestEndIsRefusedEverywhere(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := newFaultStore()
		a, b := replica(t, store, nil).started(t), replica(t, store, nil).started(t)
		plain := &fixture{Tracker: mustTracker(t, plainStore{store}), store: store}
		plain.handler = plain.Middleware(a.echo())
		plain.started(t)
		for i := range 20 {
			s, token := a.login(t, "42")
			for _, f := range []*fixture{a, b, plain} {
				require.Equal(t, 200, f.get(token).Code)
			}
			time.Sleep(time.Duration(i) * 77 * time.Millisecond)
			_, err := a.End(t.Context(), IDs(s.ID), Ending{Reason: ReasonUser, Actor: "42"})
			require.NoError(t, err)
			require.Equal(t, 401, a.get(token).Code, "at once where it was ended")
			time.Sleep(time.Second + time.Millisecond)
			require.Contains(t, b.get(token).Body.String(), `"reason":"user"`, "by the feed")
			time.Sleep(4 * time.Second)
			require.Equal(t, 401, plain.get(token).Code, "within MaxStaleness where the store has no feed")
		}
		b.PollNow()
		for _, f := range []*fixture{a, b, plain} {
			require.NoError(t, f.Shutdown(t.Context()))
		}
	})
}

func mustTracker(t *testing.T, store Store) *Tracker {
	t.Helper()
	tracker, err := New(store, nil)
	require.NoError(t, err)
	return tracker
}

// TestStoreAway walks through an outage: cached sessions are served for MaxStaleness +
// StaleGrace, nothing is ever 401, no request waits, and no touch is lost.
func TestStoreAway(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := newFaultStore()
		f := replica(t, store, nil).started(t)
		s, token := f.login(t, "42")
		_, cold := replica(t, store, nil).login(t, "42")
		ended, gone := f.login(t, "42")
		_, err := f.End(t.Context(), IDs(ended.ID), Ending{Reason: ReasonUser})
		require.NoError(t, err)
		time.Sleep(10 * time.Second)
		store.down.Store(true)
		var lastGood time.Time
		for began := time.Now(); time.Since(began) < 60*time.Second; time.Sleep(time.Second) {
			before := time.Now()
			code := f.get(token).Code
			require.Contains(t, []int{200, 503}, code)
			if code == 200 {
				lastGood = time.Now()
			}
			require.Equal(t, 503, f.get(cold).Code)
			require.Contains(t, []int{401, 503}, f.get(gone).Code, "an end that is known stays known")
			require.Less(t, time.Since(before), 10*time.Millisecond, "nobody waits for a store that is known to be away")
			if age := time.Since(began); age < 33*time.Second {
				require.Equal(t, 200, code, "after %v", age)
			} else if age > 36*time.Second {
				require.Equal(t, 503, code, "after %v", age)
			}
		}
		require.Equal(t, 503, f.do("GET", "/", headerName, newToken().Reveal()).Code, "error is not absence")
		store.down.Store(false)
		time.Sleep(5 * time.Second)
		require.Equal(t, 200, f.get(token).Code)
		require.Equal(t, 200, f.get(cold).Code)
		got, err := f.Get(t.Context(), s.ID)
		require.NoError(t, err)
		require.WithinDuration(t, lastGood, got.LastActivity, 15*time.Second+time.Millisecond, "activity of the outage is written after it")
		require.NoError(t, f.Shutdown(t.Context()))
	})
}
