package sessiontrack

import (
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestSelectorCriteria: what a selector says, and what is refused before any store sees it.
func TestSelectorCriteria(t *testing.T) {
	t.Parallel()
	a, b := SessionID("a"), SessionID("b")
	active, at := Filter{Country: "ID"}, time.UnixMicro(1)
	tests := []struct {
		name     string
		selector Selector
		want     Criteria
		err      string
	}{
		{"ids", IDs(a, b), Criteria{IDs: []SessionID{a, b}}, ""},
		{"a user", User("7"), Criteria{UserID: "7"}, ""},
		{"a user's others", User("7").Except(a).Except(b), Criteria{UserID: "7", Except: []SessionID{a, b}}, ""},
		{"a user's own of some", User("7").Only(a).Only(b), Criteria{IDs: []SessionID{a, b}, Owner: "7"}, ""},
		{"nothing", Selector{}, Criteria{}, "names 0 kinds"},
		{"no ids", IDs(), Criteria{}, "names 0 kinds"},
		{"a user's own of none", User("7").Only(), Criteria{}, "names 0 kinds"},
		{"nobody's own", User("").Only(a), Criteria{}, "Only goes with User or Matching only"},
		{"only some of ids", IDs(a).Only(b), Criteria{}, "Only goes with User or Matching only"},
		{"only some of the idle", Idle(time.Hour).Only(a), Criteria{}, "Only goes with User or Matching only"},
		{"only and except", User("7").Only(a).Except(b), Criteria{}, "without Except"},
		{"except and only", User("7").Except(b).Only(a), Criteria{}, "without Except"},
		{"the idle but some", Idle(time.Hour).Except(a), Criteria{}, "Except is set without User"},
		{"idle since the future", Idle(-time.Hour), Criteria{}, "Idle is -1h0m0s: want more than 0"},
		{"a filter's some", Matching(active).Only(a), Criteria{IDs: []SessionID{a}, Filter: &active}, ""},
		{"a filter's none", Matching(active).Only(), Criteria{}, "names 0 kinds"},
		{"a filter as of a time", Matching(active).AsOf(at), Criteria{Filter: &active, AsOf: at}, ""},
		{"a filter of the ended", Matching(Filter{State: StateEnded}), Criteria{}, "want active"},
		{"a filter out of bounds", Matching(Filter{Users: []string{""}}), Criteria{}, "Users: want"},
		{"a filter and a user", Matching(active).Except(a), Criteria{}, "Except is set without User"},
		{"ids as of a time", IDs(a).AsOf(at), Criteria{}, "AsOf is set without Matching"},
		{"a walk backwards", Expired().Walk(-1, 5), Criteria{}, "Walk is (-1, 5): want 0 or more"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got, err := tt.selector.Criteria()
			if tt.err != "" {
				require.ErrorContains(t, err, tt.err)
				return
			}
			require.NoError(t, err)
			assert.Equal(t, tt.want, got)
		})
	}
}

// TestEndRefusesIdleWithoutItsUnit: Idle(30) is 30 nanoseconds and would end everybody's
// sessions.
func TestEndRefusesIdleWithoutItsUnit(t *testing.T) {
	t.Parallel()
	tracker, err := New(NewMemoryStore(), nil)
	require.NoError(t, err)
	session, _, err := tracker.Login(httptest.NewRecorder(), httptest.NewRequest("POST", "/", nil), "7")
	require.NoError(t, err)
	for _, d := range []time.Duration{30, time.Millisecond, time.Second - 1} {
		_, err = tracker.End(t.Context(), Idle(d), Ending{Reason: ReasonAdmin})
		require.ErrorContains(t, err, "Idle is "+d.String()+": want at least 1s")
	}
	_, err = tracker.End(t.Context(), Idle(time.Second), Ending{Reason: ReasonAdmin})
	require.NoError(t, err)
	kept, err := tracker.Get(t.Context(), session.ID)
	require.NoError(t, err)
	assert.False(t, kept.Ended())
}

// TestEndOnlyAUsersOwn: an id that came with a user's request ends nobody else's session,
// and what is cached of it stays good.
func TestEndOnlyAUsersOwn(t *testing.T) {
	t.Parallel()
	tracker, err := New(NewMemoryStore(), nil)
	require.NoError(t, err)
	mine, _, err := tracker.Login(httptest.NewRecorder(), httptest.NewRequest("POST", "/", nil), "7")
	require.NoError(t, err)
	theirs, _, err := tracker.Login(httptest.NewRecorder(), httptest.NewRequest("POST", "/", nil), "8")
	require.NoError(t, err)
	ended, err := tracker.End(t.Context(), User("7").Only(theirs.ID, mine.ID), Ending{Reason: ReasonUser, Actor: "7"})
	require.NoError(t, err)
	require.Len(t, ended, 1)
	assert.Equal(t, mine.ID, ended[0].ID)
	kept, err := tracker.Get(t.Context(), theirs.ID)
	require.NoError(t, err)
	assert.False(t, kept.Ended())
}
