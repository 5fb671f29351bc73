package sessiontrack

import (
	"context"
	"net/http/httptest"
	"sync"
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
			_, err := a.End(t.Context(), IDs(s.ID), Ending{Reason: ByUser, By: "42"})
			require.NoError(t, err)
			require.Equal(t, 401, a.get(token).Code, "at once where it was ended")
			time.Sleep(time.Second + time.Millisecond)
			require.Contains(t, b.get(token).Body.String(), `"reason":"user"`, "by the feed")
			time.Sleep(4 * time.Second)
			require.Equal(t, 401, plain.get(token).Code, "within MaxStaleness where the store has no feed")
		}
		b.Kick()
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
		_, err := f.End(t.Context(), IDs(ended.ID), Ending{Reason: ByUser})
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

// TestFillDoesNotResurrect holds a read of the store up while the session is ended, by
// this replica and by another: what the read brings back must not be kept.
func TestFillDoesNotResurrect(t *testing.T) {
	t.Parallel()
	for name, here := range map[string]bool{"ended here": true, "ended elsewhere": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				store := newFaultStore()
				f, other := replica(t, store, nil).started(t), replica(t, store, nil)
				for round := range 50 {
					s, token := other.login(t, "42")
					read, resume := make(chan struct{}), make(chan struct{})
					var once sync.Once
					store.hook(func() { once.Do(func() { close(read); <-resume }) })
					first := make(chan int)
					go func() { first <- f.get(token).Code }()
					<-read
					store.hook(nil)
					ender := other
					if here {
						ender = f
					}
					_, err := ender.End(t.Context(), IDs(s.ID), Ending{Reason: ByAdmin})
					require.NoError(t, err)
					if !here {
						require.NoError(t, f.poll(t.Context()))
					}
					if round%2 == 0 { // else nothing but the read from before the end fills the cache
						assert.Equal(t, 401, f.get(token).Code, "a request after the end does not join that read")
					}
					close(resume)
					<-first
					require.Equal(t, 401, f.get(token).Code)
					if e := f.cache.get(token.handle); e != nil {
						require.NotNil(t, e.ending.Load(), "a live entry was kept")
					}
				}
				require.NoError(t, f.Shutdown(t.Context()))
			})
		})
	}
}

// TestMissesShareOneRead: 32 first requests cost one read, and one client that goes
// away does not spoil it for the others.
func TestMissesShareOneRead(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := newFaultStore()
		f, other := replica(t, store, nil).started(t), replica(t, store, nil)
		_, token := other.login(t, "42")
		resume := make(chan struct{})
		store.hook(func() { <-resume })
		codes := make(chan int, 32)
		ctx, cancel := context.WithCancel(t.Context())
		go func() {
			w := httptest.NewRecorder()
			f.handler.ServeHTTP(w, request("GET", "/", headerName, token.Reveal()).WithContext(ctx))
			codes <- w.Code
		}()
		synctest.Wait()
		for range 31 {
			go func() { codes <- f.get(token).Code }()
		}
		synctest.Wait()
		cancel()
		require.Equal(t, 503, <-codes, "the one that went away")
		close(resume)
		for range 31 {
			require.Equal(t, 200, <-codes)
		}
		require.EqualValues(t, 1, store.gets.Load())
		require.NoError(t, f.Shutdown(t.Context()))
	})
}

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
		require.LessOrEqual(t, len(f.unknown.young)+len(f.unknown.old), 2*maxUnknown)
		require.NoError(t, f.Shutdown(t.Context()))
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

func TestShutdownWritesWhatItHolds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, nil).started(t)
		s, token := f.login(t, "42")
		time.Sleep(time.Minute)
		require.Equal(t, 200, f.get(token).Code)
		at := time.Now()
		require.NoError(t, f.Shutdown(t.Context()))
		got, err := f.Get(t.Context(), s.ID)
		require.NoError(t, err)
		require.WithinDuration(t, at, got.LastActivity, time.Millisecond)
		require.NoError(t, f.Shutdown(t.Context()), "twice")
		require.Equal(t, 200, f.get(token).Code, "requests that come later are served without a cache")

		require.NoError(t, f.Start(t.Context()))
		time.Sleep(time.Minute)
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
		require.NoError(t, f.Start(t.Context()))
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

func TestStartEndsWithItsContext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		f := newFixture(t, nil)
		require.NoError(t, f.Start(ctx))
		_, token := f.login(t, "42")
		cancel()
		time.Sleep(time.Minute)
		require.Equal(t, 200, f.get(token).Code)
		require.NoError(t, f.Shutdown(t.Context()))
	})
}

func TestLoginReplacesWhatItProved(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil).started(t)
	old, oldToken := f.login(t, "1")
	_, bystander := f.login(t, "1")
	renewed, token := f.login(t, "2", headerName, oldToken.Reveal())
	assert.NotEqual(t, old.ID, renewed.ID)
	assert.Contains(t, f.get(oldToken).Body.String(), `"reason":"replaced"`)
	assert.Equal(t, 200, f.get(bystander).Code)
	assert.Equal(t, 200, f.get(token).Code)
	for _, forged := range []string{newToken().Reveal(), string(bystander.ID()), string(bystander.ID()) + newToken().Reveal()[22:]} {
		s, _ := f.login(t, "1", headerName, forged)
		assert.NotContains(t, forged, string(s.ID), "nothing the client sent is adopted")
	}
	assert.Equal(t, 200, f.get(bystander).Code, "only what was proved is ended")
}

func TestMaxSessions(t *testing.T) {
	t.Parallel()
	evict := newFixture(t, &Options{MaxSessions: 2}).started(t)
	_, first := evict.login(t, "1")
	_, second := evict.login(t, "1")
	_, third := evict.login(t, "1")
	assert.Contains(t, evict.get(first).Body.String(), `"reason":"limit"`)
	assert.Equal(t, 200, evict.get(second).Code)
	assert.Equal(t, 200, evict.get(third).Code)

	deny := newFixture(t, &Options{MaxSessions: 1, LimitPolicy: DenyNew}).started(t)
	_, only := deny.login(t, "1")
	_, _, err := deny.Login(httptest.NewRecorder(), request("POST", "/"), "1")
	assert.ErrorIs(t, err, ErrLimit)
	_, renewed := deny.login(t, "1", headerName, only.Reveal())
	assert.Equal(t, 401, deny.get(only).Code)
	assert.Equal(t, 200, deny.get(renewed).Code, "what is replaced does not count")
}

// TestLimitCountsActivityOnItsWay: a session that the store takes for idle, but that
// another replica has just accepted, still counts: else its activity, written a moment
// later, would bring it back above the limit. Found by the state machine.
func TestLimitCountsActivityOnItsWay(t *testing.T) {
	t.Parallel()
	for policy, want := range map[LimitPolicy]error{EndOldest: nil, DenyNew: ErrLimit} {
		synctest.Test(t, func(t *testing.T) {
			store, o := newFaultStore(), &Options{IdleTimeout: time.Hour, MaxSessions: 1, LimitPolicy: policy}
			a, b := replica(t, store, o).started(t), replica(t, store, o).started(t)
			time.Sleep(1500 * time.Millisecond)
			_, token := a.login(t, "42")
			time.Sleep(time.Hour - time.Second)
			require.Equal(t, 200, a.get(token).Code)
			time.Sleep(1100 * time.Millisecond)
			_, _, err := b.Login(httptest.NewRecorder(), request("POST", "/"), "42")
			require.ErrorIs(t, err, want)
			time.Sleep(3 * time.Second)
			page, err := a.List(t.Context(), Query{UserID: "42", Live: true})
			require.NoError(t, err)
			require.Len(t, page.Sessions, 1)
			time.Sleep(time.Hour + 20*time.Second)
			b.login(t, "42") // an idle session is in nobody's way
			require.NoError(t, a.Shutdown(t.Context()))
			require.NoError(t, b.Shutdown(t.Context()))
		})
	}
}

func TestLogout(t *testing.T) {
	t.Parallel()
	f := newFixture(t, &Options{Cookie: &CookieOptions{}}).started(t)
	_, token := f.login(t, "1")
	logout := func(headers ...string) *httptest.ResponseRecorder {
		w := httptest.NewRecorder()
		f.Logout(w, request("POST", "/logout", headers...))
		return w
	}
	assert.Equal(t, 204, logout().Code, "without a session")
	w := logout(headerName, token.Reveal())
	assert.Equal(t, 204, w.Code)
	assert.Contains(t, w.Header().Get("Set-Cookie"), "Max-Age=0")
	assert.Contains(t, f.get(token).Body.String(), `"reason":"logout"`)
	_, again := f.login(t, "1")
	assert.Equal(t, 403, logout("Cookie", "__Host-session="+again.Reveal(), "Sec-Fetch-Site", "cross-site").Code)
	f.store.down.Store(true)
	w = logout(headerName, again.Reveal())
	assert.Equal(t, 503, w.Code, "what was not done is not acknowledged")
}

func TestHooks(t *testing.T) {
	t.Parallel()
	for name, running := range map[string]bool{"started": true, "not started": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var f *fixture
				var calls []string
				f = newFixture(t, &Options{Hooks: Hooks{
					Login: func(ctx context.Context, s Session) {
						calls = append(calls, "login "+s.UserID)
						_, err := f.List(ctx, Query{UserID: s.UserID})
						assert.NoError(t, err, "a hook may call the Tracker")
						panic("contained")
					},
					End: func(ctx context.Context, s Session) {
						calls = append(calls, "end "+string(s.EndReason))
						if s.EndReason == ByAdmin {
							assert.NoError(t, f.Shutdown(ctx), "even its Shutdown")
						}
					},
				}})
				if running {
					require.NoError(t, f.Start(t.Context()))
				}
				_, token := f.login(t, "1")
				f.login(t, "2", headerName, token.Reveal())
				_, err := f.End(t.Context(), User("2"), Ending{Reason: ByAdmin})
				require.NoError(t, err)
				synctest.Wait()
				require.NoError(t, f.Shutdown(t.Context()))
				assert.ElementsMatch(t, []string{"login 1", "login 2", "end replaced", "end admin"}, calls)
				assert.EqualValues(t, 2, f.Counters()["callback.panics"])
			})
		})
	}
}

func TestOptionsRefused(t *testing.T) {
	t.Parallel()
	for field, o := range map[string]Options{
		"FlushInterval":   {FlushInterval: 3 * time.Minute},
		"PresenceStep":    {PresenceStep: time.Hour},
		"TouchInterval":   {TouchInterval: time.Hour},
		"IdleTimeout":     {IdleTimeout: 10 * time.Second},
		"Lifetime":        {Lifetime: time.Second},
		"MaxStaleness":    {MaxStaleness: time.Millisecond},
		"StoreTimeout":    {StoreTimeout: time.Minute},
		"Online":          {Online: time.Minute},
		"RecentlyActive":  {RecentlyActive: 25 * time.Hour},
		"KeepEnded":       {KeepEnded: time.Hour},
		"TimeZone":        {TimeZone: "Mars/Olympus"},
		"MaxSessions":     {MaxSessions: -1},
		"LimitPolicy":     {LimitPolicy: 7},
		"TrustedOrigins":  {TrustedOrigins: []string{"example.com"}},
		"Cookie.Name":     {Cookie: &CookieOptions{Name: "sid"}},
		"Cookie.SameSite": {Cookie: &CookieOptions{SameSite: 4}},
		"AddressMode":     {AddressMode: 9},
		"UserAgentMode":   {UserAgentMode: 9},
		"SampleInterval":  {SampleInterval: time.Hour},
		"Retention":       {Retention: time.Second},
	} {
		_, err := New(NewMemoryStore(), &o)
		require.Error(t, err, field)
		assert.ErrorContains(t, err, field)
	}
	_, err := New(nil, nil)
	require.Error(t, err)
}

// TestGuessingIsReported: once a minute, however many there are.
func TestGuessingIsReported(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		alerts := 0
		f := newFixture(t, &Options{Observer: Observer{Count: func(name string, n int) {
			if name == "request.guessing" {
				alerts += n
			}
		}}}).started(t)
		for minute := range 3 {
			for range 2 * guessesAlert {
				f.get(newToken())
			}
			require.Equal(t, minute+1, alerts)
			time.Sleep(time.Minute)
		}
		require.NoError(t, f.Shutdown(t.Context()))
	})
}
