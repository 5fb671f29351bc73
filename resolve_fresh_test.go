package sessiontrack

import (
	"net/http/httptest"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestFreshReadTellsTheCache: once this process has answered that a session has ended,
// it never answers that it has not, though its cache has not learnt of the end by any
// other way (invariant I4).
func TestFreshReadTellsTheCache(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil).started(t)
	_, token := f.login(t, "42")
	require.Equal(t, 200, f.get(token).Code)
	_, err := f.store.End(t.Context(), IDs(token.ID()), Ending{Reason: ReasonAdmin}) // by another process
	require.NoError(t, err)

	r := httptest.NewRequest("POST", "/", nil)
	r.Header.Set("X-Session-Id", token.Reveal())
	_, err = f.door.caller(r, true, false)
	require.ErrorIs(t, err, ErrEnded)
	assert.Equal(t, 401, f.get(token).Code)
}

// TestEndHoldsHereForWhatEndedElsewhere: once End has returned, this process refuses
// every session that was selected, also one that another process had ended a moment
// before and that this one has not learnt of yet (invariant I3).
func TestEndHoldsHereForWhatEndedElsewhere(t *testing.T) {
	t.Parallel()
	for name, sel := range map[string]func(SessionID) Selector{
		"by handle": func(id SessionID) Selector { return IDs(id) },
		"by user":   func(SessionID) Selector { return User("42") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t, nil).started(t)
			s, token := f.login(t, "42")
			_, other := f.login(t, "43")
			require.Equal(t, 200, f.get(token).Code)
			_, err := f.store.End(t.Context(), IDs(s.ID), Ending{Reason: ReasonPassword}) // by another process
			require.NoError(t, err)

			ended, err := f.End(t.Context(), sel(s.ID), Ending{Reason: ReasonAdmin})
			require.NoError(t, err)
			require.Empty(t, ended)
			w := f.get(token)
			assert.Equal(t, 401, w.Code)
			assert.Contains(t, w.Body.String(), `"reason":"password"`)
			reads := f.host.counters[countReads].Load()
			assert.Equal(t, 200, f.get(other).Code)
			assert.Equal(t, reads, f.host.counters[countReads].Load(), "the cache keeps the others")
		})
	}
}

// TestEndKeepsTheExceptedInTheCache: signing out elsewhere costs the caller's own
// session no read.
func TestEndKeepsTheExceptedInTheCache(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil).started(t)
	s, token := f.login(t, "42")
	require.Equal(t, 200, f.get(token).Code)
	_, err := f.End(t.Context(), User("42").Except(s.ID), Ending{Reason: ReasonUser})
	require.NoError(t, err)
	reads := f.host.counters[countReads].Load()
	assert.Equal(t, 200, f.get(token).Code)
	assert.Equal(t, reads, f.host.counters[countReads].Load())
}

// TestRefusalIsOfTheWholeRequest: a session's own token that came with somebody else's
// credential is refused, and is good again with the right one, or alone, at once.
func TestRefusalIsOfTheWholeRequest(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := newFaultStore()
		f := replica(t, store, &Options{Identifier: byUser, SessionAlone: true}).started(t)
		_, token := replica(t, store, nil).login(t, "42")
		require.Equal(t, 401, f.do("GET", "/", headerName, token.Reveal(), "X-User", "43").Code)
		f.near.cache.clear() // what the cache held is gone, by an overflow of the feed for one
		require.Equal(t, 200, f.do("GET", "/", headerName, token.Reveal()).Code)
		f.near.cache.clear()
		require.Equal(t, 200, f.do("GET", "/", headerName, token.Reveal(), "X-User", "42").Code)
		require.Equal(t, 401, f.do("GET", "/", headerName, token.Reveal(), "X-User", "43").Code)
		require.NoError(t, f.Shutdown(t.Context()))
	})
}
