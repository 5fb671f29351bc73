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

// TestHealthFollowsTheStore: the state and the time since which it lasts, from before Start,
// through an outage, until after Shutdown.
func TestHealthFollowsTheStore(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := newFaultStore()
		f := replica(t, store, nil)
		assert.Equal(t, Health{State: HealthAway}, f.Health(), "it does not run")
		began := time.Now()
		f.started(t)
		time.Sleep(10*time.Second + 300*time.Millisecond)
		assert.Equal(t, Health{State: HealthOK, Since: began.UTC(), FeedAge: 300 * time.Millisecond}, f.Health())

		store.down.Store(true)
		time.Sleep(20 * time.Second)
		h := f.Health()
		assert.Equal(t, HealthAway, h.State)
		assert.Equal(t, began.Add(11*time.Second).UTC(), h.Since, "the first reading that failed")
		assert.Equal(t, 20*time.Second+300*time.Millisecond, h.FeedAge)

		store.down.Store(false)
		time.Sleep(time.Second)
		h = f.Health()
		assert.Equal(t, HealthOK, h.State)
		assert.WithinRange(t, h.Since, began.Add(30*time.Second), began.Add(31*time.Second))
		require.NoError(t, f.Shutdown(t.Context()))
		assert.Equal(t, Health{State: HealthAway}, f.Health())
	})
}

// heldStore holds each reading of the feed back until its deadline, as a pool without a free
// connection does.
type heldStore struct {
	*faultStore
	held atomic.Bool
}

func (s *heldStore) EndedSince(ctx context.Context, since time.Time, limit int) (EndedPage, error) {
	if s.held.Load() {
		<-ctx.Done()
		return EndedPage{}, errBusy
	}
	return s.faultStore.EndedSince(ctx, since, limit)
}

// TestHealthIsStaleWithoutConnection: no connection is no outage, and past MaxStaleness no
// promise is kept any more.
func TestHealthIsStaleWithoutConnection(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := &heldStore{faultStore: newFaultStore()}
		tracker := mustTracker(t, store)
		start(t, tracker)
		began := time.Now()
		time.Sleep(10 * time.Second)
		synctest.Wait()
		store.held.Store(true)
		time.Sleep(4 * time.Second)
		assert.Equal(t, HealthOK, tracker.Health().State)
		time.Sleep(10 * time.Second)
		h := tracker.Health()
		assert.Equal(t, HealthStale, h.State)
		assert.Equal(t, began.Add(15*time.Second).UTC(), h.Since, "MaxStaleness after the latest good reading")
		assert.Equal(t, 14*time.Second, h.FeedAge)
		require.NoError(t, tracker.Shutdown(t.Context()))
	})
}

// TestGaugesComeFromMemory: each figure moves, and no call of the store is made for them.
func TestGaugesComeFromMemory(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var calls atomic.Int64
		f := replica(t, newFaultStore(), &Options{CacheSize: 1000, Observer: Observer{
			Store: func(ctx context.Context, _ StoreCall) (context.Context, func(error)) {
				calls.Add(1)
				return ctx, nil
			},
		}}).started(t)
		_, token := f.login(t, "42")
		time.Sleep(2*time.Minute + 500*time.Millisecond) // between two flushes and two readings
		require.Equal(t, 200, f.get(token).Code)
		sub, err := f.Subscribe(t.Context(), SubscribeOptions{})
		require.NoError(t, err)
		synctest.Wait()

		before := calls.Load()
		g := f.Gauges()
		assert.Equal(t, before, calls.Load())
		assert.Equal(t, 1, g.CachedSessions)
		assert.Equal(t, 5*time.Second, g.MaxStaleness)
		assert.Equal(t, 1024, g.CacheSize, "rounded up to whole shards")
		assert.Equal(t, 1, g.TouchesHeld)
		assert.Equal(t, 1, g.Subscribers)
		assert.Zero(t, g.Streams)
		assert.Equal(t, 1, g.Sample.Sessions)
		assert.WithinDuration(t, time.Now(), g.Sample.At, 2*time.Minute)
		assert.Equal(t, HealthOK, g.State)
		sub.Close()
		require.NoError(t, f.Shutdown(t.Context()))
		assert.Zero(t, f.Gauges().TouchesHeld, "written")
	})
}
