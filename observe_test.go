package sessiontrack

import (
	"context"
	"errors"
	"maps"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestObserverIsToldWhatIsCounted compares what an observer was told with the counters:
// logins, refusals and a host's panics here, but for the one that moves with every
// request.
func TestObserverIsToldWhatIsCounted(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	told := map[string]int64{}
	f := newFixture(t, &Options{
		Hooks: Hooks{Login: func(context.Context, Session) { panic("contained") }},
		Observer: Observer{Count: func(name string, n int) {
			mu.Lock()
			defer mu.Unlock()
			told[name] += int64(n)
		}},
	}).started(t)
	_, token := f.login(t, "1")
	require.Equal(t, 200, f.get(token).Code)
	require.Equal(t, 401, f.get(newToken()).Code)
	require.NoError(t, f.Shutdown(t.Context()))

	counted := f.Counters()
	maps.DeleteFunc(counted, func(name string, n int64) bool { return n == 0 || name == counterNames[countRequests] })
	require.Contains(t, counted, "callback.panics")
	require.Contains(t, counted, "request.unknown_session")
	assert.Equal(t, counted, told)
}

// TestObserverMayPanic: it is not called about that, again and again.
func TestObserverMayPanic(t *testing.T) {
	t.Parallel()
	f := newFixture(t, &Options{Observer: Observer{Count: func(string, int) { panic("contained") }}})
	f.login(t, "1")
	assert.EqualValues(t, 1, f.Counters()["callback.panics"])
	assert.EqualValues(t, 1, f.Counters()["session.logins"])
}

// TestObserverSeesEachCallOfTheStore: the observer is told of every method of Store and of every
// capability, by its name, and gets the error that the caller gets.
func TestObserverSeesEachCallOfTheStore(t *testing.T) {
	t.Parallel()
	store := &badStore{MemoryStore: NewMemoryStore()}
	var seen StoreCall
	var outcome error
	tracker, err := New(store, &Options{Observer: Observer{
		Store: func(ctx context.Context, c StoreCall) (context.Context, func(error)) {
			seen = c
			return ctx, func(err error) { outcome = err }
		},
	}})
	require.NoError(t, err)
	for method, call := range storeCalls(&tracker.backend) {
		for _, store.fault = range []any{nil, ErrStoreFault, errors.New("disk full"), "boom"} {
			seen, outcome = StoreCall{}, errors.New("not told")
			assert.Equal(t, call(t.Context()), outcome, method)
			assert.Equal(t, StoreCall{Method: method}, seen)
		}
	}
	store.fault = nil
	_, err = tracker.backend.touch(t.Context(), make([]TouchRecord, 3), 0)
	require.NoError(t, err)
	assert.Equal(t, StoreCall{Method: "Touch", Items: 3}, seen)
}

// askedStore notes the context of the latest Get.
type askedStore struct {
	*MemoryStore
	ctx context.Context
}

func (s *askedStore) Get(ctx context.Context, id SessionID) (Record, error) {
	s.ctx = ctx
	return s.MemoryStore.Get(ctx, id)
}

// TestObserverOfStoreHandsContext: what the observer puts into the context reaches the store, with
// the call's deadline.
func TestObserverOfStoreHandsContext(t *testing.T) {
	t.Parallel()
	type key struct{}
	store := &askedStore{MemoryStore: NewMemoryStore()}
	tracker, err := New(store, &Options{Observer: Observer{
		Store: func(ctx context.Context, _ StoreCall) (context.Context, func(error)) {
			return context.WithValue(ctx, key{}, "span"), nil
		},
	}})
	require.NoError(t, err)
	_, err = tracker.Get(t.Context(), newHandle().id())
	require.ErrorIs(t, err, ErrNotFound)
	assert.Equal(t, "span", store.ctx.Value(key{}))
	_, bounded := store.ctx.Deadline()
	assert.True(t, bounded)
}

// TestObserverOfStoreMayFail: panics are contained and counted, and the store is asked anyway.
func TestObserverOfStoreMayFail(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		observe func(context.Context, StoreCall) (context.Context, func(error))
		panics  int64
	}{
		"it panics": {func(context.Context, StoreCall) (context.Context, func(error)) { panic("contained") }, 1},
		"its function panics": {func(ctx context.Context, _ StoreCall) (context.Context, func(error)) {
			return ctx, func(error) { panic("contained") }
		}, 1},
		"no context and no function": {func(context.Context, StoreCall) (context.Context, func(error)) {
			return nil, nil
		}, 0},
	} {
		tracker, err := New(NewMemoryStore(), &Options{Observer: Observer{Store: test.observe}})
		require.NoError(t, err)
		_, err = tracker.Get(t.Context(), newHandle().id())
		assert.ErrorIs(t, err, ErrNotFound, name)
		assert.Equal(t, test.panics, tracker.Counters()["callback.panics"], name)
	}
}

// TestObserversTellBoth: of two observers each is told, the second within the first, and either
// may be empty.
func TestObserversTellBoth(t *testing.T) {
	t.Parallel()
	var told []string
	observer := func(who string) Observer {
		return Observer{
			Count:       func(name string, n int) { told = append(told, who+" "+name) },
			AdminAction: func(_ context.Context, a AdminAction) { told = append(told, who+" "+a.Action) },
			Store: func(ctx context.Context, c StoreCall) (context.Context, func(error)) {
				told = append(told, who+" "+c.Method)
				return ctx, func(err error) { told = append(told, who+" "+StoreOutcome(err)) }
			},
			EndLearnt: func(late time.Duration) { told = append(told, who+" "+late.String()) },
		}
	}
	tell := func(o Observer) []string {
		told = nil
		o.Count("touch.written", 1)
		o.AdminAction(t.Context(), AdminAction{Action: "cleanup"})
		ctx, done := o.Store(t.Context(), StoreCall{Method: "Get"})
		require.NotNil(t, ctx)
		done(ErrNotFound)
		o.EndLearnt(time.Second)
		return told
	}
	a, b, none := observer("a"), observer("b"), Observer{}
	assert.Equal(t, []string{
		"a touch.written", "b touch.written", "a cleanup", "b cleanup",
		"a Get", "b Get", "b not_found", "a not_found", "a 1s", "b 1s",
	}, tell(a.And(b)))
	alone := []string{"a touch.written", "a cleanup", "a Get", "a not_found", "a 1s"}
	assert.Equal(t, alone, tell(a.And(none)))
	assert.Equal(t, alone, tell(none.And(a)))
	assert.Empty(t, tell(none.And(none)))
}

// TestObserverIsToldHowLateAnEndIsLearnt: the replica that served a session hears how long ago
// another one ended it, once. The replica that ended it and one that never served it hear nothing.
func TestObserverIsToldHowLateAnEndIsLearnt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := newFaultStore()
		told := [3][]time.Duration{}
		var all [3]*fixture
		for i := range all {
			all[i] = replica(t, store, &Options{Observer: Observer{EndLearnt: func(late time.Duration) {
				told[i] = append(told[i], late)
				panic("contained")
			}}}).started(t)
		}
		s, token := all[0].login(t, "42")
		require.Equal(t, 200, all[0].get(token).Code)
		require.Equal(t, 200, all[1].get(token).Code)
		time.Sleep(300 * time.Millisecond)
		_, err := all[0].End(t.Context(), IDs(s.ID), Ending{Reason: ReasonAdmin})
		require.NoError(t, err)
		time.Sleep(10 * time.Second)
		shutDown(t, all[:]...)
		assert.Empty(t, told[0])
		assert.Equal(t, []time.Duration{700 * time.Millisecond}, told[1])
		assert.Empty(t, told[2])
		assert.EqualValues(t, 1, all[1].Counters()["callback.panics"])
	})
}
