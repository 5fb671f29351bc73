package sessiontrack

import (
	"context"
	"math"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// panickingStore is a host's store that panics, when told to.
type panickingStore struct {
	*MemoryStore
	broken atomic.Bool
	calls  atomic.Int64
}

func (s *panickingStore) check() {
	if s.broken.Load() {
		s.calls.Add(1)
		panic("nil map")
	}
}

func (s *panickingStore) Touch(ctx context.Context, batch []TouchRecord, step time.Duration) ([]SessionID, error) {
	s.check()
	return s.MemoryStore.Touch(ctx, batch, step)
}

func (s *panickingStore) Describe(ctx context.Context, batch []SessionUpdate) error {
	s.check()
	return s.MemoryStore.Describe(ctx, batch)
}

func (s *panickingStore) EndedSince(ctx context.Context, since time.Time, limit int) (EndedPage, error) {
	s.check()
	return s.MemoryStore.EndedSince(ctx, since, limit)
}

func (s *panickingStore) ChangesSince(ctx context.Context, q ChangeQuery) (Changes, error) {
	s.check()
	return s.MemoryStore.ChangesSince(ctx, q)
}

func (s *panickingStore) CountStats(ctx context.Context, q StatsQuery) (StatsCounts, error) {
	s.check()
	return s.MemoryStore.CountStats(ctx, q)
}

func (s *panickingStore) Sample(ctx context.Context, q StatsQuery) (Sample, bool, error) {
	s.check()
	return s.MemoryStore.Sample(ctx, q)
}

func (s *panickingStore) Purge(ctx context.Context, p PurgeOptions) (int, error) {
	s.check()
	return s.MemoryStore.Purge(ctx, p)
}

// TestAStoreThatPanicsIsAway: neither the background nor a request's touch comes down
// with it (I21), and no activity is lost.
func TestAStoreThatPanicsIsAway(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := &panickingStore{MemoryStore: NewMemoryStore()}
		tracker, err := New(store, &Options{TouchInterval: -1, CleanupInterval: time.Second, Logger: quiet})
		require.NoError(t, err)
		f := &fixture{Tracker: tracker}
		f.handler = tracker.Middleware(f.echo())
		s, token := f.login(t, "42")
		store.broken.Store(true)
		require.Equal(t, 200, f.get(token).Code, "before Start")
		store.broken.Store(false)

		start(t, tracker)
		seen := f.watch(t, SubscribeOptions{Types: []EventType{EventLogin}})
		time.Sleep(2 * time.Second)
		require.Equal(t, 200, f.get(token).Code)
		used := time.Now()
		store.broken.Store(true)
		f.login(t, "43")
		_, err = tracker.OnlineStats(t.Context())
		require.ErrorIs(t, err, ErrUnavailable)
		time.Sleep(20 * time.Second)
		require.Equal(t, 200, f.get(token).Code, "tolerated, as while the store is away")
		require.Greater(t, store.calls.Load(), int64(20))
		store.broken.Store(false)
		require.Contains(t, seen.within(20*time.Second), "login 43")
		now, err := tracker.Get(t.Context(), s.ID)
		require.NoError(t, err)
		require.False(t, now.LastActivity.Before(used.Truncate(time.Microsecond)))
		require.NoError(t, tracker.Shutdown(t.Context()))
	})
}

// TestTheLongestIdleTimeoutIsNone: who writes "never" as the longest duration there is
// can sign people in and clean up.
func TestTheLongestIdleTimeoutIsNone(t *testing.T) {
	t.Parallel()
	tracker, err := New(NewMemoryStore(), &Options{
		IdleTimeout: math.MaxInt64, Lifetime: math.MaxInt64, Retention: math.MaxInt64, KeepEnded: math.MaxInt64,
		HistoryRetention: math.MaxInt64, MaxSessions: 1, CleanupInterval: math.MaxInt64,
	})
	require.NoError(t, err)
	for range 2 {
		s, _, err := tracker.Login(httptest.NewRecorder(), request("POST", "/"), "42")
		require.NoError(t, err)
		require.True(t, tracker.WithinLimits(s))
	}
	ended, err := tracker.Cleanup(t.Context())
	require.NoError(t, err)
	require.Zero(t, ended)
	tracker.janitor.run(t.Context())
}
