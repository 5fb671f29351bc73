package storetest

import (
	"context"
	"reflect"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sessiontrack/sessiontrack"
)

func TestFaultyStorePassesTheSuite(t *testing.T) {
	t.Parallel()
	Run(t, func(*testing.T) sessiontrack.Store { return Faulty(sessiontrack.NewMemoryStore()) })
}

// TestFaultyStoreHidesNoCapability: the Tracker finds a capability by its methods, so a wrapper
// that lacks one would test another Tracker than the host runs.
func TestFaultyStoreHidesNoCapability(t *testing.T) {
	t.Parallel()
	faulty := reflect.TypeFor[*FaultyStore]()
	for _, store := range []reflect.Type{
		reflect.TypeFor[*sessiontrack.MemoryStore](), reflect.TypeFor[wholeStore](),
		reflect.TypeFor[sessiontrack.Leaser](), reflect.TypeFor[sessiontrack.Checker](), reflect.TypeFor[sessiontrack.Pooled](),
	} {
		for i := range store.NumMethod() {
			name := store.Method(i).Name
			if _, ok := faulty.MethodByName(name); assert.True(t, ok, name) && name != "MaxConnections" {
				assert.Contains(t, faultyMethods, name)
			}
		}
	}
}

func TestFaultyStoreDoesWhatItIsTold(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		memory := sessiontrack.NewMemoryStore()
		f := Faulty(memory)
		list := func(ctx context.Context) error {
			_, err := f.List(ctx, sessiontrack.Query{Limit: 1})
			return err
		}
		require.NoError(t, list(t.Context()))

		f.Fail(sessiontrack.ErrUnavailable, "List", "Check")
		require.ErrorIs(t, list(t.Context()), sessiontrack.ErrUnavailable)
		require.ErrorIs(t, f.Check(t.Context()), sessiontrack.ErrUnavailable)
		require.NoError(t, f.RollUp(t.Context(), 0), "the others work")
		f.Fail(nil)
		require.NoError(t, list(t.Context()))
		assert.Equal(t, 3, f.Calls("List"))

		f.Delay(time.Minute, "List")
		before := time.Now()
		require.NoError(t, list(t.Context()))
		assert.Equal(t, time.Minute, time.Since(before))
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		require.ErrorIs(t, list(ctx), context.DeadlineExceeded)

		f.LoseAnswers(true, "Create")
		id := sessiontrack.SessionID("AAAAAAAAAAAAAAAAAAAAAA")
		_, err := f.Create(t.Context(), sessiontrack.NewSession{Session: sessiontrack.Session{ID: id, UserID: "1"}})
		require.ErrorIs(t, err, sessiontrack.ErrUnavailable)
		_, err = memory.Get(t.Context(), id)
		require.NoError(t, err, "it was carried out")
	})
}

func TestFaultyStoreRefusesWhatNoStoreHas(t *testing.T) {
	t.Parallel()
	assert.Panics(t, func() { Faulty(onlyStore{sessiontrack.NewMemoryStore()}) })
	f := Faulty(sessiontrack.NewMemoryStore())
	assert.Panics(t, func() { f.Fail(sessiontrack.ErrUnavailable, "get") })
	assert.Panics(t, func() { f.Calls("Touched") })
}
