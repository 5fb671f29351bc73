package sessiontrack

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestMemoryStoreForgetsEndedSessionsBeyondItsBound(t *testing.T) {
	t.Parallel()
	s := NewMemoryStore()
	s.maxEnded = 10
	until := time.Now().Add(time.Hour)
	var made []Session
	for i := range 40 {
		var how []func(*NewSession)
		if i%2 == 1 {
			how = append(how, derived(until))
		}
		made = append(made, memoryCreate(t, s, fmt.Sprint(i%4), how...))
	}
	for _, m := range made {
		require.Len(t, memoryEnd(t, s, IDs(m.ID)), 1)
	}
	for i, m := range made {
		got, err := s.Get(t.Context(), m.ID)
		switch {
		case i >= 30:
			require.NoError(t, err)
			assert.Equal(t, m.UserID, got.UserID, "the latest ten are kept in full")
		case i%2 == 1:
			require.NoError(t, err, "an ended derived session is remembered")
			assert.Empty(t, got.UserID)
			assert.Equal(t, ReasonAdmin, got.EndReason)
			assert.True(t, got.Ended())
			assert.Equal(t, wholeMicros(until), got.CredentialUntil)
		default:
			assert.ErrorIs(t, err, ErrNotFound)
		}
	}
	assert.Equal(t, 10, s.ended.full)
	assert.Len(t, s.rows, 10)
	assert.Len(t, s.ended.tombs, 15)
}

// TestMemoryStoreBoundsTheEndedSessionsOfOneUser: a busy account neither grows without a
// bound nor displaces what is kept of others.
func TestMemoryStoreBoundsTheEndedSessionsOfOneUser(t *testing.T) {
	t.Parallel()
	s := NewMemoryStore()
	other := memoryCreate(t, s, "other")
	memoryEnd(t, s, IDs(other.ID))
	first := memoryCreate(t, s, "busy", derived(time.Now().Add(time.Hour)))
	memoryEnd(t, s, IDs(first.ID))
	for range 3 * maxEndedOfUser {
		memoryEnd(t, s, IDs(memoryCreate(t, s, "busy").ID))
	}
	assert.Len(t, s.rows, maxEndedOfUser+1)
	assert.Len(t, s.ended.tombs, 1)
	got, err := s.Get(t.Context(), first.ID)
	require.NoError(t, err, "an ended credential stays ended")
	assert.True(t, got.Ended())
	got, err = s.Get(t.Context(), other.ID)
	require.NoError(t, err)
	assert.Equal(t, "other", got.UserID)
	assert.Less(t, len(s.ended.refs), 3*maxEndedOfUser, "places of what is gone are returned")
	for range 10 * maxEndedOfUser {
		memoryEnd(t, s, IDs(memoryCreate(t, s, "busy").ID))
	}
	assert.Less(t, len(s.ended.refs), 2*maxEndedInMemory/64+2*maxEndedOfUser)
}

func TestMemoryStoreReturnsTheMemoryOfWhatIsPurged(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := NewMemoryStore()
		s.maxEnded = 1_500
		until := time.Now().Add(48 * time.Hour)
		for i := range 5_000 {
			how := func(*NewSession) {}
			if i%5 == 0 {
				how = derived(until)
			}
			memoryCreate(t, s, fmt.Sprint(i%100), how)
		}
		for i := range 100 {
			memoryEnd(t, s, User(fmt.Sprint(i)))
			time.Sleep(time.Second)
		}
		time.Sleep(time.Hour)
		p := PurgeOptions{Retention: time.Hour, KeepEnded: 2 * time.Hour, Limit: 7}
		for n := p.Limit; n == p.Limit; {
			var err error
			n, err = s.Purge(t.Context(), p)
			require.NoError(t, err)
			require.LessOrEqual(t, n, p.Limit)
		}
		assert.Empty(t, s.rows)
		assert.Empty(t, s.users)
		assert.Len(t, s.ended.tombs, 1_000, "until the credentials' end")
		assert.LessOrEqual(t, len(s.ended.refs), 2_100)

		time.Sleep(48 * time.Hour)
		n, err := s.Purge(t.Context(), PurgeOptions{Retention: time.Hour, KeepEnded: 2 * time.Hour, Limit: 10_000})
		require.NoError(t, err)
		assert.Equal(t, 1_000, n)
		assert.Empty(t, s.ended.tombs)
		assert.Less(t, len(s.ended.refs), 1_100)
	})
}

// A run of bounded calls may be broken off; the next one that says it is done has
// seen everything, also what came due in front of where the run stopped.
func TestMemoryStorePurgeGoesOnWhereItStopped(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := NewMemoryStore()
		for range 3 {
			m := memoryCreate(t, s, "1", derived(time.Now().Add(time.Hour)))
			memoryEnd(t, s, IDs(m.ID))
		}
		n, err := s.Purge(t.Context(), PurgeOptions{Limit: 2})
		require.NoError(t, err)
		require.Equal(t, 2, n)
		time.Sleep(2 * time.Hour)
		n, err = s.Purge(t.Context(), PurgeOptions{Limit: 10})
		require.NoError(t, err)
		assert.Equal(t, 3, n)
		assert.Empty(t, s.ended.tombs)
	})
}

// TestMemoryStorePurgeLooksAtFencesOnce: a run of bounded calls does not look at every
// user's fence each time, under the lock that sign-ins wait for.
func TestMemoryStorePurgeLooksAtFencesOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := NewMemoryStore()
		for _, user := range []string{"1", "2"} {
			_, err := s.Create(t.Context(), NewSession{Session: Session{ID: newHandle().id(), UserID: user}})
			require.NoError(t, err)
			_, err = s.End(t.Context(), User(user), Ending{Reason: ReasonAdmin})
			require.NoError(t, err)
		}
		time.Sleep(time.Hour)
		p := PurgeOptions{Retention: time.Minute, KeepEnded: time.Minute, Limit: 1}
		for _, left := range []int{2, 2, 0} {
			n, err := s.Purge(t.Context(), p)
			require.NoError(t, err)
			require.Equal(t, min(left, 1), n)
			require.Len(t, s.fences, left)
		}
	})
}
