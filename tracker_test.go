package sessiontrack

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestLimitsAreExact(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		for _, started := range []bool{true, false} {
			f := newFixture(t, &Options{IdleTimeout: time.Hour, Lifetime: 3 * time.Hour, CleanupInterval: -1})
			if started {
				f.started(t)
			}
			_, token := f.login(t, "42")
			for range 2 {
				time.Sleep(time.Hour - time.Microsecond)
				require.Equal(t, 200, f.get(token).Code, "just inside the idle timeout")
			}
			_, late := f.login(t, "42")
			time.Sleep(time.Hour - time.Microsecond)
			require.Equal(t, 200, f.get(late).Code)
			time.Sleep(time.Hour)
			require.Contains(t, f.get(late).Body.String(), `"reason":"idle"`)

			_, long := f.login(t, "42")
			for range 5 {
				time.Sleep(30 * time.Minute)
				require.Equal(t, 200, f.get(long).Code)
			}
			time.Sleep(30*time.Minute - time.Microsecond)
			require.Equal(t, 200, f.get(long).Code, "just inside the lifetime")
			time.Sleep(time.Microsecond)
			require.Contains(t, f.get(long).Body.String(), `"reason":"lifetime"`)
			require.NoError(t, f.Shutdown(t.Context()))
		}
	})
}

func TestShutdownWritesWhatItHolds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, nil).started(t)
		s, token := f.login(t, "42")
		time.Sleep(61 * time.Second) // between two flushes
		require.Equal(t, 200, f.get(token).Code)
		at := time.Now()
		require.NoError(t, f.Shutdown(t.Context()))
		got, err := f.Get(t.Context(), s.ID)
		require.NoError(t, err)
		require.WithinDuration(t, at, got.LastActivity, time.Millisecond)
		require.NoError(t, f.Shutdown(t.Context()), "twice")
		require.Equal(t, 200, f.get(token).Code, "requests that come later are served without a cache")

		start(t, f)
		time.Sleep(61 * time.Second) // between two flushes
		require.Equal(t, 200, f.get(token).Code)
		f.store.down.Store(true)
		err = f.Shutdown(t.Context())
		require.ErrorIs(t, err, ErrUnavailable)
		require.ErrorContains(t, err, "1 touches not written")
	})
}

// TestStartAndShutdownInAnyOrder relies on synctest: the bubble fails where a
// goroutine is left.
func TestStartAndShutdownInAnyOrder(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, nil)
		require.NoError(t, f.Shutdown(t.Context()), "before Start")
		start(t, f)
		require.Error(t, f.Start(t.Context()), "twice")
		require.NoError(t, f.Shutdown(t.Context()))
		f.store.down.Store(true)
		require.ErrorIs(t, f.Start(t.Context()), ErrUnavailable)
		f.store.down.Store(false)
		var group sync.WaitGroup
		for range 10 {
			group.Go(func() {
				for range 50 {
					_ = f.Start(t.Context())
					_ = f.Shutdown(t.Context())
				}
			})
		}
		group.Wait()
		require.NoError(t, f.Shutdown(t.Context()))
	})
}

// TestStartOutlivesItsContext: the context of Start bounds the start only. A server that
// drains after its signal loses neither its cache, nor activity, nor hooks.
func TestStartOutlivesItsContext(t *testing.T) {
	t.Parallel()
	for name, contextOf := range map[string]func(context.Context) (context.Context, context.CancelFunc){
		"cancelled": context.WithCancel,
		"timed out": func(ctx context.Context) (context.Context, context.CancelFunc) {
			return context.WithTimeout(ctx, time.Second)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := contextOf(t.Context())
				var hooks atomic.Int32
				count := func(context.Context, Session) { hooks.Add(1) }
				f := newFixture(t, &Options{TouchInterval: -1, Hooks: Hooks{Login: count, End: count}})
				require.NoError(t, f.Start(ctx))
				t.Cleanup(func() { _ = f.Shutdown(context.Background()) })
				s, token := f.login(t, "42")
				if name == "cancelled" {
					cancel()
				}
				time.Sleep(time.Minute)
				require.ErrorIs(t, ctx.Err(), map[bool]error{true: context.Canceled, false: context.DeadlineExceeded}[name == "cancelled"])
				reads := f.Counters()["store.reads"]
				require.Equal(t, 200, f.get(token).Code)
				require.Equal(t, reads, f.Counters()["store.reads"], "the cache still serves")
				used := time.Now()
				sub, err := f.Subscribe(t.Context(), SubscribeOptions{})
				require.NoError(t, err)
				_, err = sub.Next(t.Context())
				require.NoError(t, err, "events still come")
				require.Error(t, f.Start(t.Context()), "it has been started already")
				_, err = f.End(t.Context(), User("42"), Ending{Reason: ReasonUser})
				require.NoError(t, err)
				require.NoError(t, f.Shutdown(t.Context()))
				_, err = sub.Next(t.Context())
				for err == nil {
					_, err = sub.Next(t.Context())
				}
				require.ErrorIs(t, err, ErrSubscriptionClosed)
				stored, err := f.store.Get(t.Context(), s.ID)
				require.NoError(t, err)
				require.WithinDuration(t, used, stored.LastActivity, time.Minute)
				require.EqualValues(t, 2, hooks.Load(), "a login, an end")
				cancel()
			})
		})
	}
}

func TestHooksAreToldOfLoginsAndEnds(t *testing.T) {
	t.Parallel()
	for name, running := range map[string]bool{"started": true, "not started": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var f *fixture
				var mu sync.Mutex
				var calls []string
				told := func(call string) {
					mu.Lock()
					defer mu.Unlock()
					calls = append(calls, call)
				}
				f = newFixture(t, &Options{Hooks: Hooks{
					Login: func(ctx context.Context, s Session) {
						told("login " + s.UserID)
						_, err := f.List(ctx, Query{UserID: s.UserID})
						assert.NoError(t, err, "a hook may call the Tracker")
						panic("contained")
					},
					End: func(ctx context.Context, s Session) {
						told("end " + string(s.EndReason))
						if s.EndReason == ReasonAdmin {
							assert.NoError(t, f.Shutdown(ctx), "even its Shutdown")
						}
					},
				}})
				if running {
					start(t, f)
				}
				_, token := f.login(t, "1")
				f.login(t, "2", headerName, token.Reveal())
				_, err := f.End(t.Context(), User("2"), Ending{Reason: ReasonAdmin})
				require.NoError(t, err)
				synctest.Wait()
				require.NoError(t, f.Shutdown(t.Context()))
				assert.ElementsMatch(t, []string{"login 1", "login 2", "end replaced", "end admin"}, calls)
				assert.EqualValues(t, 2, f.Counters()["callback.panics"])
			})
		})
	}
}
