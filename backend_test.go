package sessiontrack

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"reflect"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sessiontrack/sessiontrack/internal/storeclock"
)

// badStore has every capability. Once fault is set, each call panics with it or, where it
// is an error, fails with it.
type badStore struct {
	*MemoryStore
	fault any
}

func (s *badStore) fail() error {
	if err, ok := s.fault.(error); ok || s.fault == nil {
		return err
	}
	panic(s.fault)
}

func (s *badStore) Create(context.Context, NewSession) (CreateResult, error) {
	return CreateResult{}, s.fail()
}
func (s *badStore) Get(context.Context, SessionID) (Record, error) { return Record{}, s.fail() }
func (s *badStore) List(context.Context, Query) (Page, error)      { return Page{}, s.fail() }
func (s *badStore) Touch(context.Context, []TouchRecord, time.Duration) ([]SessionID, error) {
	return nil, s.fail()
}
func (s *badStore) Describe(context.Context, []SessionUpdate) error { return s.fail() }
func (s *badStore) End(context.Context, Selector, Ending) (EndResult, error) {
	return EndResult{}, s.fail()
}
func (s *badStore) Purge(context.Context, PurgeOptions) (int, error) { return 0, s.fail() }
func (s *badStore) Check(context.Context) error                      { return s.fail() }
func (s *badStore) EndedSince(context.Context, time.Time, int) (EndedPage, error) {
	return EndedPage{}, s.fail()
}
func (s *badStore) ChangesSince(context.Context, ChangeQuery) (Changes, error) {
	return Changes{}, s.fail()
}
func (s *badStore) CountOnline(_ context.Context, w []time.Duration) ([]int, time.Time, error) {
	return make([]int, len(w)), time.Time{}, s.fail()
}
func (s *badStore) ListOnline(context.Context, OnlineQuery) (OnlinePage, error) {
	return OnlinePage{}, s.fail()
}
func (s *badStore) CountStats(context.Context, StatsQuery) (StatsCounts, error) {
	return StatsCounts{}, s.fail()
}
func (s *badStore) Sample(context.Context, StatsQuery) (Sample, bool, error) {
	return Sample{}, false, s.fail()
}
func (s *badStore) RollUp(context.Context, time.Duration) error { return s.fail() }
func (s *badStore) ReadHistory(context.Context, HistoryQuery) (HistoryData, error) {
	return HistoryData{}, s.fail()
}
func (s *badStore) Lease(context.Context, string, time.Duration) (bool, error) {
	return true, s.fail()
}

// storeCalls are the backend's calls, by the method of the store that each one makes.
func storeCalls(b *backend) map[string]func(context.Context) error {
	only := func(f func(context.Context) (any, error)) func(context.Context) error {
		return func(ctx context.Context) error {
			_, err := f(ctx)
			return err
		}
	}
	return map[string]func(context.Context) error{
		"Create": only(func(ctx context.Context) (any, error) { return b.create(ctx, NewSession{}) }),
		"Get":    only(func(ctx context.Context) (any, error) { return b.get(ctx, "") }),
		"List":   only(func(ctx context.Context) (any, error) { return b.list(ctx, Query{}) }),
		"Touch":  only(func(ctx context.Context) (any, error) { return b.touch(ctx, nil, 0) }),
		"Describe": func(ctx context.Context) error {
			return b.describe(ctx, nil)
		},
		"End":          only(func(ctx context.Context) (any, error) { return b.end(ctx, Expired(), Ending{}) }),
		"Purge":        only(func(ctx context.Context) (any, error) { return b.purge(ctx, PurgeOptions{}) }),
		"Check":        b.check,
		"EndedSince":   only(func(ctx context.Context) (any, error) { return b.endedSince(ctx, time.Time{}, 1) }),
		"ChangesSince": only(func(ctx context.Context) (any, error) { return b.changesSince(ctx, ChangeQuery{}) }),
		"CountOnline": func(ctx context.Context) error {
			_, _, err := b.countOnline(ctx, []time.Duration{1})
			return err
		},
		"ListOnline": only(func(ctx context.Context) (any, error) { return b.listOnline(ctx, OnlineQuery{}) }),
		"CountStats": only(func(ctx context.Context) (any, error) { return b.countStats(ctx, StatsQuery{}) }),
		"Sample": func(ctx context.Context) error {
			_, _, err := b.sample(ctx, StatsQuery{})
			return err
		},
		"RollUp":      func(ctx context.Context) error { return b.rollUp(ctx, time.Hour) },
		"ReadHistory": only(func(ctx context.Context) (any, error) { return b.readHistory(ctx, HistoryQuery{}) }),
		"Lease":       only(func(ctx context.Context) (any, error) { return b.lease(ctx, "job", 0) }),
	}
}

// TestStoreIsCalledSafely: whatever a store does, a call of it returns, with an error of
// this package's. It holds for every method of Store and of every capability.
func TestStoreIsCalledSafely(t *testing.T) {
	t.Parallel()
	store := &badStore{MemoryStore: NewMemoryStore()}
	tracker := mustTracker(t, store)
	calls := storeCalls(&tracker.backend)
	methods := map[string]bool{}
	for _, api := range []any{
		(*Store)(nil), (*EndedFeed)(nil), (*ChangeFeed)(nil), (*OnlineReader)(nil), (*Sampler)(nil),
		(*Historian)(nil), (*Leaser)(nil), (*Checker)(nil),
	} {
		for i := range reflect.TypeOf(api).Elem().NumMethod() {
			methods[reflect.TypeOf(api).Elem().Method(i).Name] = true
		}
	}
	require.Len(t, calls, len(methods), "a call for each method")
	answers := map[string][]error{"Get": {ErrNotFound}, "Create": {ErrExists, ErrLimit, ErrEnded}}
	strange := errors.New("disk full")
	for method, call := range calls {
		require.True(t, methods[method], method)
		store.fault = "boom"
		require.ErrorIs(t, call(t.Context()), ErrUnavailable, "%s panics", method)
		store.fault = strange
		require.ErrorIs(t, call(t.Context()), ErrUnavailable, method)
		require.ErrorIs(t, call(t.Context()), strange, method)
		for _, kind := range []error{ErrStoreFault, ErrInvalidArgument} {
			store.fault = kind
			require.ErrorIs(t, call(t.Context()), kind, method)
			require.NotErrorIs(t, call(t.Context()), ErrUnavailable, method)
		}
		for _, answer := range []error{ErrNotFound, ErrExists, ErrLimit, ErrEnded} {
			store.fault = answer
			err, its := call(t.Context()), false
			for _, may := range answers[method] {
				its = its || may == answer
			}
			assert.Equal(t, its, errors.Is(err, answer), "%s answers %v", method, answer)
			assert.Equal(t, !its, errors.Is(err, ErrUnavailable), "%s answers %v", method, answer)
		}
		store.fault = nil
		require.NoError(t, call(t.Context()), method)
	}
	assert.EqualValues(t, len(calls), tracker.Counters()["callback.panics"])
}

// TestPanicOfAStoreReachesNobody is the same through the Tracker's own methods.
func TestPanicOfAStoreReachesNobody(t *testing.T) {
	t.Parallel()
	tracker := mustTracker(t, &badStore{MemoryStore: NewMemoryStore(), fault: "boom"})
	ctx := t.Context()
	for name, call := range map[string]func() error{
		"Start":       func() error { return tracker.Start(ctx) },
		"End":         func() error { _, err := tracker.End(ctx, User("42"), Ending{Reason: ReasonAdmin}); return err },
		"Get":         func() error { _, err := tracker.Get(ctx, newHandle().id()); return err },
		"List":        func() error { _, err := tracker.List(ctx, Query{}); return err },
		"Cleanup":     func() error { _, err := tracker.Cleanup(ctx); return err },
		"CountOnline": func() error { _, _, err := tracker.CountOnline(ctx, time.Hour); return err },
		"OnlineUsers": func() error { _, err := tracker.OnlineUsers(ctx, OnlineQuery{Window: time.Hour}); return err },
		"OnlineStats": func() error { _, err := tracker.OnlineStats(ctx); return err },
		"History":     func() error { _, err := tracker.History(ctx, HistoryRange{}); return err },
		"Login":       func() error { _, _, err := tracker.Login(nil, request("POST", "/login"), "42"); return err },
	} {
		require.ErrorIs(t, call(), ErrUnavailable, name)
	}
	f := &fixture{Tracker: tracker}
	f.handler = tracker.Middleware(f.echo())
	require.Equal(t, 503, f.get(newToken()).Code)
}

// TestFaultOfTheStoreIsLogged: a request that meets a fault which nobody but the operator can
// mend gets 500 without a word of it, and the log gets all of it.
func TestFaultOfTheStoreIsLogged(t *testing.T) {
	t.Parallel()
	store := &badStore{MemoryStore: NewMemoryStore(), fault: fmt.Errorf("%w: no right on user_sessions", ErrStoreFault)}
	var log bytes.Buffer
	tracker, err := New(store, &Options{Logger: slog.New(slog.NewTextHandler(&log, nil))})
	require.NoError(t, err)
	r := httptest.NewRequest("GET", "/", nil)
	r.Header.Set(headerName, newToken().Reveal())
	w := httptest.NewRecorder()
	tracker.Middleware(http.NotFoundHandler()).ServeHTTP(w, r)
	require.Equal(t, http.StatusInternalServerError, w.Code)
	assert.NotContains(t, w.Body.String(), "user_sessions")
	assert.Contains(t, log.String(), "no right on user_sessions")
	assert.EqualValues(t, 1, tracker.Counters()["request.unavailable"])
}

// farStore is a store that answers each call after its delay, and has a few connections.
type farStore struct {
	*MemoryStore
	delay time.Duration
	pool  chan struct{}

	counts, mostCounts, inUse, most atomic.Int64
}

func newFarStore(connections int, delay time.Duration) *farStore {
	return &farStore{MemoryStore: NewMemoryStore(), delay: delay, pool: make(chan struct{}, connections)}
}

func (s *farStore) MaxConnections() int { return cap(s.pool) }

// travel holds a connection for as long as a call takes.
func (s *farStore) travel(ctx context.Context) error {
	select {
	case s.pool <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	storeclock.Raise(&s.most, s.inUse.Add(1))
	defer func() { s.inUse.Add(-1); <-s.pool }()
	storeclock.Sleep(ctx, s.delay)
	return ctx.Err()
}

func (s *farStore) Get(ctx context.Context, id SessionID) (Record, error) {
	if err := s.travel(ctx); err != nil {
		return Record{}, err
	}
	return s.MemoryStore.Get(ctx, id)
}

func (s *farStore) EndedSince(ctx context.Context, since time.Time, limit int) (EndedPage, error) {
	if err := s.travel(ctx); err != nil {
		return EndedPage{}, err
	}
	return s.MemoryStore.EndedSince(ctx, since, limit)
}

func (s *farStore) CountOnline(ctx context.Context, windows []time.Duration) ([]int, time.Time, error) {
	storeclock.Raise(&s.mostCounts, s.counts.Add(1))
	defer s.counts.Add(-1)
	if err := s.travel(ctx); err != nil {
		return nil, time.Time{}, err
	}
	return s.MemoryStore.CountOnline(ctx, windows)
}

// TestOneUserCannotTakeAllConnections: a user with 150 requests at once waits behind
// themselves. The feed keeps a connection, and another user's first request takes one
// round trip.
func TestOneUserCannotTakeAllConnections(t *testing.T) {
	t.Parallel()
	for _, behind := range []bool{false, true} {
		t.Run(fmt.Sprintf("behind the middleware: %v", behind), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				const delay = 20 * time.Millisecond
				store := newFarStore(10, delay)
				elsewhere, err := New(store.MemoryStore, nil)
				require.NoError(t, err)
				tracker, err := New(store, nil)
				require.NoError(t, err)
				start(t, tracker)
				online := tracker.UserHandler(nil)
				if behind {
					online = tracker.Middleware(online)
				}
				_, greedy, err := elsewhere.Login(httptest.NewRecorder(), request("POST", "/"), "greedy")
				require.NoError(t, err)
				var all sync.WaitGroup
				var refused atomic.Int64
				for range 150 {
					all.Go(func() {
						w := httptest.NewRecorder()
						online.ServeHTTP(w, request("GET", "/api/v1/online/count", headerName, greedy.Reveal()))
						if w.Code != http.StatusOK {
							assert.Equal(t, http.StatusServiceUnavailable, w.Code)
							refused.Add(1)
						}
					})
				}
				time.Sleep(3 * delay)
				for i := range 5 {
					_, other, err := elsewhere.Login(httptest.NewRecorder(), request("POST", "/"), fmt.Sprint("other", i))
					require.NoError(t, err)
					began := time.Now()
					_, err = tracker.Authenticate(request("GET", "/", headerName, other.Reveal()))
					require.NoError(t, err)
					assert.Equal(t, delay, time.Since(began))
				}
				all.Wait()
				assert.EqualValues(t, 2, store.mostCounts.Load(), "a quarter of the eight places")
				assert.Less(t, store.most.Load(), int64(10))
				assert.Zero(t, tracker.Counters()["feed.failed"])
				assert.EqualValues(t, 0, refused.Load(), "two at once, 150 calls of 20 ms take 1.5 s")
				assert.Zero(t, tracker.Counters()["store.crowded"])
			})
		})
	}
}

// TestCrowdedRequestsAreRefusedAndCounted: who finds no place in time gets 503, and the
// store is not called unreachable for it.
func TestCrowdedRequestsAreRefusedAndCounted(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var logs bytes.Buffer
		store := newFarStore(3, 400*time.Millisecond)
		elsewhere, err := New(store.MemoryStore, nil)
		require.NoError(t, err)
		tracker, err := New(store, &Options{Logger: slog.New(slog.NewTextHandler(&lockedWriter{w: &logs}, nil))})
		require.NoError(t, err)
		start(t, tracker)
		ask := func() <-chan error {
			_, token, err := elsewhere.Login(httptest.NewRecorder(), request("POST", "/"), "1")
			require.NoError(t, err)
			done := make(chan error, 1)
			go func() {
				_, err := tracker.Authenticate(request("GET", "/", headerName, token.Reveal()))
				done <- err
			}()
			synctest.Wait()
			return done
		}
		// There is one place. A read takes 400 ms, and may take 500 ms with its waiting; a count may
		// wait longer. So the count has the place when the second read gives up.
		first := ask()
		counted := make(chan error, 1)
		go func() {
			_, _, err := tracker.CountOnline(t.Context(), time.Hour)
			counted <- err
		}()
		synctest.Wait()
		second := ask()
		require.NoError(t, <-first)
		refused := <-second
		require.NoError(t, <-counted)
		require.ErrorIs(t, refused, ErrUnavailable)
		require.Equal(t, http.StatusServiceUnavailable, problemOf(refused).Status)
		text := refused.Error()
		assert.Contains(t, text, "requests already have as many calls under way as they may")
		assert.EqualValues(t, 1, tracker.Counters()["store.crowded"])
		assert.NotContains(t, logs.String(), "unreachable")
	})
}
