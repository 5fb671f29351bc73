package sessiontrack

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sessiontrack/sessiontrack/internal/lifecycle"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// slowFeed is a store whose feed answers only after a while, whatever its context says.
type slowFeed struct {
	*MemoryStore
	slow atomic.Bool

	mu            sync.Mutex
	reading, most int
}

func (s *slowFeed) ChangesSince(ctx context.Context, q ChangeQuery) (Changes, error) {
	s.hold()
	defer s.release()
	return s.MemoryStore.ChangesSince(context.WithoutCancel(ctx), q)
}

func (s *slowFeed) EndedSince(ctx context.Context, since time.Time, limit int) (EndedPage, error) {
	s.hold()
	defer s.release()
	return s.MemoryStore.EndedSince(context.WithoutCancel(ctx), since, limit)
}

func (s *slowFeed) hold() {
	s.mu.Lock()
	s.reading++
	s.most = max(s.most, s.reading)
	s.mu.Unlock()
	if s.slow.Load() {
		time.Sleep(10 * time.Second)
	}
}

func (s *slowFeed) release() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reading--
}

// atOnce returns the most readings that there were at the same time.
func (s *slowFeed) atOnce() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.most
}

// TestRunsDoNotOverlap: a Start after a Shutdown that gave up waiting does not begin
// before the work of the earlier run has ended, which would otherwise close the new
// one's events behind its back and share its lease.
func TestRunsDoNotOverlap(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := &slowFeed{MemoryStore: NewMemoryStore()}
		tracker := mustTracker(t, store)
		start(t, tracker)
		_, err := tracker.Subscribe(t.Context(), SubscribeOptions{})
		require.NoError(t, err)
		time.Sleep(3 * time.Second)
		store.slow.Store(true)
		time.Sleep(1500 * time.Millisecond) // a reading is under way
		short, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		require.ErrorIs(t, tracker.Shutdown(short), context.DeadlineExceeded)
		require.ErrorIs(t, tracker.Shutdown(short), context.DeadlineExceeded, "the work is still there")
		require.ErrorIs(t, tracker.Start(short), context.DeadlineExceeded)
		store.slow.Store(false)
		start(t, tracker)
		time.Sleep(20 * time.Second)
		assert.Equal(t, 1, store.atOnce(), "readings of the feed at once")
		_, err = tracker.Subscribe(t.Context(), SubscribeOptions{})
		require.NoError(t, err, "what ended was the earlier run")
		require.NoError(t, tracker.Shutdown(t.Context()))
	})
}

// TestShutdownWaitsForAHookThatShutsDown: a hook that shuts the tracker down cannot wait for
// itself; who calls Shutdown next does.
func TestShutdownWaitsForAHookThatShutsDown(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var f *fixture
		var done atomic.Bool
		f = newFixture(t, &Options{Hooks: Hooks{Login: func(ctx context.Context, _ Session) {
			assert.NoError(t, f.Shutdown(ctx))
			assert.ErrorIs(t, f.Start(ctx), lifecycle.ErrStopping, "it would wait for itself")
			time.Sleep(time.Second)
			done.Store(true)
		}}}).started(t)
		f.login(t, "42")
		synctest.Wait()
		require.NoError(t, f.Shutdown(t.Context()))
		require.True(t, done.Load(), "the hook has returned")
		start(t, f)
		require.NoError(t, f.Shutdown(t.Context()))
	})
}

// TestHooksOutliveTheirLoop: what a request that Shutdown waits for has told comes
// after the hooks' own loop has looked for the last time.
func TestHooksOutliveTheirLoop(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, nil).started(t)
		request := f.life.Begin()
		over := make(chan error)
		go func() { over <- f.Shutdown(t.Context()) }()
		synctest.Wait() // the loops have ended
		called := false
		f.host.calls <- func(context.Context) { called = true }
		request.Done()
		require.NoError(t, <-over)
		require.True(t, called)
	})
}
