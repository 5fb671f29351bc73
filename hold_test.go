package sessiontrack

import (
	"context"
	"net/http"
	"net/http/httptest"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// requireOver waits until a held context is over and returns why, and after how long.
func requireOver(t *testing.T, ctx context.Context, within time.Duration) (after time.Duration, why error) {
	t.Helper()
	began := time.Now()
	select {
	case <-ctx.Done():
	case <-time.After(within + time.Millisecond): // what is over already comes first
		require.FailNow(t, "the context has not ended", "within %v", within)
	}
	require.ErrorIs(t, ctx.Err(), context.Canceled)
	return time.Since(began), context.Cause(ctx)
}

func requireReason(t *testing.T, want EndReason, why error) {
	t.Helper()
	ended, ok := why.(*EndedError) //nolint:errorlint // the cause is the error itself, as documented
	require.True(t, ok, "%v", why)
	require.Equal(t, want, ended.Reason)
}

// TestHoldEndsWithItsSession is I29: a held context ends within MaxStaleness of its session's end,
// whoever ended the session and however.
func TestHoldEndsWithItsSession(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		end    func(t *testing.T, here, there *fixture, id SessionID)
		reason EndReason
		within time.Duration
	}{
		"here": {func(t *testing.T, here, _ *fixture, id SessionID) {
			_, err := here.End(t.Context(), IDs(id), Ending{Reason: ReasonAdmin})
			require.NoError(t, err)
		}, ReasonAdmin, 0},
		"elsewhere": {func(t *testing.T, _, there *fixture, id SessionID) {
			_, err := there.End(t.Context(), User("42"), Ending{Reason: ReasonPassword})
			require.NoError(t, err)
		}, ReasonPassword, time.Second},
		"by its lifetime": {func(*testing.T, *fixture, *fixture, SessionID) {
			time.Sleep(2*time.Hour - 7*time.Second)
		}, ReasonLifetime, 7*time.Second + time.Second},
		"where ends were missed": {func(t *testing.T, here, there *fixture, id SessionID) {
			ids := make([]SessionID, 0, feedLimit+1)
			for range feedLimit {
				s, _ := there.login(t, "7")
				ids = append(ids, s.ID)
			}
			_, err := there.End(t.Context(), IDs(append(ids, id)...), Ending{Reason: ReasonAdmin})
			require.NoError(t, err)
		}, ReasonAdmin, 2 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				store := newFaultStore()
				o := &Options{Lifetime: 2 * time.Hour}
				here, there := replica(t, store, o).started(t), replica(t, store, o).started(t)
				s, _ := there.login(t, "42")
				ctx, release := here.Hold(t.Context(), s.ID)
				again, releaseAgain := here.Hold(t.Context(), s.ID)
				synctest.Wait()
				require.NoError(t, ctx.Err())
				test.end(t, here, there, s.ID)
				after, why := requireOver(t, ctx, 10*time.Second)
				requireReason(t, test.reason, why)
				assert.LessOrEqual(t, after, test.within+time.Millisecond)
				_, why = requireOver(t, again, 0)
				requireReason(t, test.reason, why)
				release()
				releaseAgain()
				require.Zero(t, here.holds.count.Load())
				require.NoError(t, here.Shutdown(t.Context()))
				require.NoError(t, there.Shutdown(t.Context()))
			})
		})
	}
}

// TestHoldOfWhatIsNotGood: there is no error to forget; the context has ended already.
func TestHoldOfWhatIsNotGood(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, nil)
		early, _ := f.login(t, "42")
		ctx, release := f.Hold(t.Context(), early.ID)
		release()
		_, why := requireOver(t, ctx, 0)
		require.ErrorIs(t, why, ErrUnavailable, "before Start nobody would hear of the end")

		f.started(t)
		ended, _ := f.login(t, "42")
		_, err := f.End(t.Context(), IDs(ended.ID), Ending{Reason: ReasonUser})
		require.NoError(t, err)
		for id, want := range map[SessionID]error{
			ended.ID: ErrEnded, newHandle().id(): ErrNotFound, "": ErrNotFound, "no handle": ErrNotFound,
		} {
			ctx, release := f.Hold(t.Context(), id)
			_, why := requireOver(t, ctx, 0)
			require.ErrorIs(t, why, want)
			release()
		}
		f.store.down.Store(true)
		cold, _ := replica(t, &faultStore{MemoryStore: f.store.MemoryStore}, nil).login(t, "42")
		ctx, release = f.Hold(t.Context(), cold.ID)
		defer release()
		_, why = requireOver(t, ctx, 0)
		require.ErrorIs(t, why, ErrUnavailable, "an error makes no session good (I18)")
		require.Zero(t, f.holds.count.Load())
		require.NoError(t, f.Shutdown(context.Background()))
	})
}

// TestHoldIsReleased: by its owner, by its parent, and by Shutdown.
func TestHoldIsReleased(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, nil).started(t)
		s, _ := f.login(t, "42")
		parent, cancel := context.WithCancel(context.WithValue(t.Context(), contextKey{}, "value"))
		first, releaseFirst := f.Hold(parent, s.ID)
		second, releaseSecond := f.Hold(t.Context(), s.ID)
		third, releaseThird := f.Hold(t.Context(), s.ID)
		require.Equal(t, "value", first.Value(contextKey{}))
		cancel()
		require.ErrorIs(t, context.Cause(first), context.Canceled)
		releaseSecond()
		require.ErrorIs(t, context.Cause(second), context.Canceled)
		require.NoError(t, third.Err(), "each hold is by itself")
		releaseFirst()
		releaseSecond()
		require.EqualValues(t, 1, f.holds.count.Load())
		require.NoError(t, f.Shutdown(t.Context()))
		_, why := requireOver(t, third, 0)
		require.ErrorIs(t, why, ErrUnavailable)
		releaseThird()
		require.Zero(t, f.holds.count.Load())
	})
}

// TestHoldWhileTheStoreIsAway: a held session is served for as long as a request is.
func TestHoldWhileTheStoreIsAway(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, nil).started(t)
		s, _ := f.login(t, "42")
		ctx, release := f.Hold(t.Context(), s.ID)
		defer release()
		f.store.down.Store(true)
		time.Sleep(30 * time.Second)
		require.NoError(t, ctx.Err())
		after, why := requireOver(t, ctx, 8*time.Second)
		require.ErrorIs(t, why, ErrUnavailable)
		assert.Greater(t, after, 2*time.Second, "MaxStaleness + StaleGrace is 35 s")
		f.store.down.Store(false)
		require.NoError(t, f.Shutdown(t.Context()))
	})
}

// TestHoldOverAStoreWithoutFeed: the session is read again and again.
func TestHoldOverAStoreWithoutFeed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		tracker := mustTracker(t, plainStore{NewMemoryStore()})
		start(t, tracker)
		s, _, err := tracker.Login(httptest.NewRecorder(), request("POST", "/"), "42")
		require.NoError(t, err)
		ctx, release := tracker.Hold(t.Context(), s.ID)
		defer release()
		time.Sleep(10 * time.Minute)
		require.NoError(t, ctx.Err())
		_, err = tracker.backend.store.End(t.Context(), IDs(s.ID), Ending{Reason: ReasonAdmin})
		require.NoError(t, err)
		after, why := requireOver(t, ctx, 5*time.Second)
		requireReason(t, ReasonAdmin, why)
		assert.LessOrEqual(t, after, 5*time.Second)
		require.NoError(t, tracker.Shutdown(t.Context()))
	})
}

// TestTwoClocks: who holds a session open is online and idle at once. What a person does moves both
// clocks, what a program does only the time at which the session was seen.
func TestTwoClocks(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, &Options{
			IdleTimeout: 90 * time.Minute, Passive: func(*http.Request) bool { return true },
		}).started(t)
		silent, _ := f.login(t, "silent")
		chatty, _ := f.login(t, "chatty")
		polled, poller := f.login(t, "polled")
		watched, watcher := f.login(t, "watched")
		socket, release := f.Hold(t.Context(), silent.ID)
		defer release()
		chat, releaseChat := f.Hold(t.Context(), chatty.ID)
		defer releaseChat()
		over := make(chan struct{})
		go func() {
			defer close(over)
			r := request("GET", "/api/v1/online/events", "Accept", "text/event-stream", headerName, watcher.Reveal())
			f.UserHandler(nil).ServeHTTP(httptest.NewRecorder(), r.WithContext(t.Context()))
		}()
		read := func(s Session) Session {
			stored, err := f.store.Get(t.Context(), s.ID)
			require.NoError(t, err)
			return stored.Session
		}
		calls := f.store.touches.Load()
		for minute := range 60 {
			for range 12 {
				time.Sleep(5 * time.Second)
				require.Equal(t, 200, f.get(poller).Code)
			}
			online, _, err := f.CountOnline(t.Context(), 5*time.Minute)
			require.NoError(t, err)
			if minute > 5 {
				require.Equal(t, 2, online, "in minute %d those who hold a socket, and nobody else", minute)
			}
		}
		for _, s := range []Session{silent, chatty, polled, watched} {
			stored := read(s)
			assert.Equal(t, s.LoginAt, stored.LastActivity, s.UserID)
			assert.WithinDuration(t, time.Now(), stored.LastSeen, 35*time.Second, s.UserID)
		}
		assert.LessOrEqual(t, f.store.touches.Load()-calls, int64(60*60/2), "a flush at most every two seconds")
		assert.Zero(t, f.store.reads.Load(), "flushes confirm")

		require.NoError(t, f.Touch(t.Context(), chatty.ID))
		said := time.Now()
		_, why := requireOver(t, socket, 31*time.Minute)
		requireReason(t, ReasonIdle, why)
		<-over
		require.Equal(t, 401, f.get(poller).Code, "a poll keeps nothing alive")
		require.NoError(t, chat.Err(), "the message has moved the limit")
		assert.WithinDuration(t, said, read(chatty).LastActivity, time.Millisecond)
		_, why = requireOver(t, chat, time.Hour+time.Second)
		requireReason(t, ReasonIdle, why)
		assert.WithinDuration(t, said.Add(90*time.Minute), time.Now(), 2*time.Second)
		require.NoError(t, f.Shutdown(t.Context()))
	})
}

// TestForceLogoutClosesHeldSockets: a session that is ended at one replica closes the socket that a
// host holds at another one, and the client learns the reason.
func TestForceLogoutClosesHeldSockets(t *testing.T) {
	t.Parallel()
	onEachStore(t, func(t *testing.T, store Store) {
		here, there := newLiveSite(t, store, siteOptions{}), newLiveSite(t, store, siteOptions{})
		session := here.signIn(t, alice)
		here.signIn(t, adam)
		server := httptest.NewServer(there.Require(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			s, _ := FromContext(r.Context())
			held, release := there.Hold(r.Context(), s.ID)
			defer release()
			conn, err := websocket.Accept(w, r, nil)
			if !assert.NoError(t, err) {
				return
			}
			<-held.Done()
			var ended *EndedError
			if assert.ErrorAs(t, context.Cause(held), &ended) {
				_ = conn.Close(4401, "session_ended "+string(ended.Reason))
			}
		})))
		t.Cleanup(server.Close)
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		conn, _, err := websocket.Dial(ctx, server.URL, &websocket.DialOptions{
			HTTPHeader: http.Header{headerName: {here.tokens[alice].Reveal()}},
		})
		require.NoError(t, err)
		require.Eventually(t, func() bool { return there.holds.count.Load() == 1 }, patience, time.Millisecond)
		began := time.Now()
		require.Equal(t, 200, here.as(adam, "POST", "/api/user-sessions/force-logout/"+string(session.ID)).Code)
		_, _, err = conn.Read(ctx)
		require.Less(t, time.Since(began), 2*time.Second+busyMachine)
		var closed websocket.CloseError
		require.ErrorAs(t, err, &closed)
		require.Equal(t, websocket.CloseError{Code: 4401, Reason: "session_ended admin"}, closed)
		require.Eventually(t, func() bool { return there.holds.count.Load() == 0 }, patience, time.Millisecond)
	})
}

// TestCheckDecidesAsARequestDoes and records no activity; Touch does, and revives nothing.
func TestCheckDecidesAsARequestDoes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := newFaultStore()
		o := &Options{IdleTimeout: time.Hour}
		f, other := replica(t, store, o).started(t), replica(t, store, o)
		s, token := f.login(t, "42")
		got, err := f.Check(t.Context(), s.ID)
		require.NoError(t, err)
		require.Equal(t, s.ID, got.ID)
		gets := store.gets.Load()
		time.Sleep(40 * time.Minute)
		got, err = f.Check(t.Context(), s.ID)
		require.NoError(t, err)
		require.Equal(t, s.LoginAt, got.LastActivity)
		require.NoError(t, f.Touch(t.Context(), s.ID))
		require.Equal(t, gets, store.gets.Load(), "a cached session costs no statement")
		touched := time.Now()
		time.Sleep(40 * time.Minute)
		got, err = f.Check(t.Context(), s.ID)
		require.NoError(t, err, "the touch has moved the idle limit")
		require.WithinDuration(t, touched, got.LastActivity, time.Millisecond)
		stored, err := store.Get(t.Context(), s.ID)
		require.NoError(t, err)
		require.Equal(t, got.LastActivity, stored.LastActivity)

		time.Sleep(20*time.Minute + time.Second)
		for _, check := range []func() error{
			func() error { _, err := f.Check(t.Context(), s.ID); return err },
			func() error { return f.Touch(t.Context(), s.ID) },
			func() error { _, err := f.Check(t.Context(), s.ID); return err },
		} {
			var ended *EndedError
			require.ErrorAs(t, check(), &ended)
			require.Equal(t, ReasonIdle, ended.Reason)
		}
		require.Equal(t, 401, f.get(token).Code)

		s, _ = f.login(t, "42")
		_, err = other.End(t.Context(), IDs(s.ID), Ending{Reason: ReasonPassword})
		require.NoError(t, err)
		time.Sleep(time.Second + time.Millisecond)
		_, err = f.Check(t.Context(), s.ID)
		require.ErrorContains(t, err, "sessiontrack: Check: session ended: password")
		for _, id := range []SessionID{newHandle().id(), "", "x", SessionID(token.Reveal())} {
			_, err = f.Check(t.Context(), id)
			require.ErrorIs(t, err, ErrNotFound)
			require.ErrorIs(t, f.Touch(t.Context(), id), ErrNotFound)
		}
		store.down.Store(true)
		time.Sleep(10 * time.Second)
		_, err = f.Check(t.Context(), s.ID)
		require.ErrorIs(t, err, ErrEnded, "an end that is known stays known")
		_, err = f.Check(t.Context(), newHandle().id())
		require.ErrorIs(t, err, ErrUnavailable)
		require.NotErrorIs(t, err, ErrNotFound)
		require.NoError(t, f.Shutdown(context.Background()))
	})
}

// TestHeldSessionsCostLittle holds 100,000 sessions for a minute and counts the goroutines, the
// statements and the bytes.
func TestHeldSessionsCostLittle(t *testing.T) {
	const n, minutes = 100_000, 1
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, &Options{CacheSize: 2 * n, SampleInterval: -1, CleanupInterval: -1}).started(t)
		ids := make([]SessionID, n)
		for i := range ids {
			s, _ := f.login(t, "42")
			ids[i] = s.ID
		}
		held, releases := make([]context.Context, n), make([]context.CancelFunc, n)
		parent, cancel := context.WithCancel(t.Context())
		defer cancel()
		before, goroutines := heap(), runtime.NumGoroutine()
		for i, id := range ids {
			held[i], releases[i] = f.Hold(parent, id)
			_ = held[i].Done()
		}
		each := float64(heap()-before) / n
		t.Logf("%.0f bytes each", each)
		assert.LessOrEqual(t, each, 500.0)

		gets, calls := f.store.gets.Load(), f.store.touches.Load()+f.store.reads.Load()
		time.Sleep(minutes * time.Minute)
		synctest.Wait()
		assert.Equal(t, gets, f.store.gets.Load())
		calls = f.store.touches.Load() + f.store.reads.Load() - calls
		t.Logf("%d calls of the store in %d minutes", calls, minutes)
		assert.Less(t, calls, int64(minutes*60*3), "batches")
		assert.LessOrEqual(t, runtime.NumGoroutine(), goroutines)
		for _, ctx := range held {
			require.NoError(t, ctx.Err())
		}
		for _, release := range releases {
			release()
		}
		assert.Zero(t, f.holds.count.Load())
		require.NoError(t, f.Shutdown(t.Context()))
	})
}
