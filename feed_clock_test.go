package sessiontrack

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// failOver is what a fail-over to a server does whose clock is behind: rows keep their
// stamps, and the time that the store tells goes back.
func (s *faultStore) failOver() {
	s.times.latest.Store(0)
	s.times.fed.Store(0)
}

// TestEndsAreLearntAfterTheClockWentBack: this replica cannot reach the store while
// another, at the new server already, ends a session and sees a login. Both are stamped
// before the time that this replica's feed has seen.
func TestEndsAreLearntAfterTheClockWentBack(t *testing.T) {
	t.Parallel()
	for _, back := range []time.Duration{5 * time.Second, time.Hour} {
		t.Run(back.String(), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				store := newFaultStore()
				store.times.latest.Store(time.Now().Add(back).UnixMicro())
				o := &Options{TouchInterval: time.Minute, SampleInterval: -1, CleanupInterval: -1}
				f := replica(t, store, o).started(t)
				other := replica(t, &faultStore{MemoryStore: store.MemoryStore}, o)
				ended, token := f.login(t, "42")
				_, stays := f.login(t, "43")
				require.Equal(t, 200, f.get(token).Code)
				store.times.latest.Add(time.Second.Microseconds()) // it stands, this far ahead
				time.Sleep(2 * time.Second)
				seen := f.watch(t, SubscribeOptions{Types: []EventType{EventLogin, EventLogout}})
				require.Equal(t, []string{"snapshot start"}, seen.within(4*time.Second))

				store.failOver()
				store.down.Store(true)
				_, err := other.End(t.Context(), IDs(ended.ID), Ending{Reason: ReasonAdmin})
				require.NoError(t, err)
				time.Sleep(8 * time.Second)
				store.down.Store(false)
				assert.Equal(t, []string{"snapshot gap"}, seen.within(5*time.Second), "what happened meanwhile")
				assert.Equal(t, 401, f.get(token).Code, "MaxStaleness after the store is back")
				assert.Equal(t, 200, f.get(stays).Code)

				late, _ := other.login(t, "44")
				_, err = other.End(t.Context(), IDs(late.ID), Ending{Reason: ReasonAdmin})
				require.NoError(t, err)
				assert.Equal(t, []string{"login 44", "logout 44"}, seen.within(5*time.Second))
				assert.Empty(t, seen.within(2*back), "once each")
				shutDown(t, f)
			})
		})
	}
}

// TestSlowReadingsAreNoStepOfTheClock: a clock that stands, or an answer that took its
// time, empties no cache.
func TestSlowReadingsAreNoStepOfTheClock(t *testing.T) {
	t.Parallel()
	began := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	l := freshness{since: began.Add(-feedOverlap), lastGood: 1_000_000}
	for _, test := range []struct {
		moved, waited time.Duration
		back          bool
	}{
		{time.Second, time.Second, false},
		{time.Second + 400*time.Millisecond, time.Second, false},
		{time.Second - 400*time.Millisecond, time.Second, false},
		{time.Second - 600*time.Millisecond, time.Second, true},
		{0, time.Second, false},
		{1000, time.Hour, false},
		{-1000, time.Second, true},
		{-time.Hour, time.Second, true},
		{10 * time.Second, 20 * time.Second, true},
		{time.Hour, time.Second, false},
	} {
		local := l.lastGood + test.waited.Microseconds()
		assert.Equal(t, test.back, l.setBack(began.Add(test.moved), local), "%v in %v", test.moved, test.waited)
	}
}

// lateCommits is a store whose sessions become visible a while after their stamps.
type lateCommits struct {
	*faultStore

	mu     sync.Mutex
	hidden map[SessionID]time.Time // until when
}

func (s *lateCommits) hide(id SessionID, d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hidden[id] = time.Now().Add(d)
}

func (s *lateCommits) ChangesSince(ctx context.Context, q ChangeQuery) (Changes, error) {
	c, err := s.faultStore.ChangesSince(ctx, q)
	s.mu.Lock()
	defer s.mu.Unlock()
	begun := c.Begun[:0]
	for _, b := range c.Begun {
		if time.Now().After(s.hidden[b.ID]) {
			begun = append(begun, b)
		}
	}
	c.Begun = begun
	return c, err
}

// TestWatchBeginsWithWhatWasUnderWay: logins that were stamped before somebody began to
// watch and committed afterwards are told; those that could be seen before are not.
func TestWatchBeginsWithWhatWasUnderWay(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := &lateCommits{faultStore: newFaultStore(), hidden: map[SessionID]time.Time{}}
		tracker, err := New(store, nil)
		require.NoError(t, err)
		start(t, tracker)
		f := &fixture{Tracker: tracker, store: store.faultStore}
		f.login(t, "early")
		late, _ := f.login(t, "late")
		time.Sleep(time.Second)
		store.hide(late.ID, 300*time.Millisecond)
		seen := f.watch(t, SubscribeOptions{Types: []EventType{EventLogin}})
		require.Equal(t, []string{"snapshot start"}, seen.taken())
		f.login(t, "now")
		assert.ElementsMatch(t, []string{"login late", "login now"}, seen.within(10*time.Second))
		shutDown(t, f)
	})
}

// TestWatchBeginsByTheStoresTime: the replica's idea of the store's time may be ahead
// by what an answer took. A login after Subscribe is told all the same.
func TestWatchBeginsByTheStoresTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, nil)
		before := f.clock.Local()
		time.Sleep(400 * time.Millisecond)
		f.clock.Learn(time.Now().Add(-400*time.Millisecond), before, f.clock.Local()) // the answer was slow
		require.Greater(t, f.clock.Now(), time.Now().UnixMicro()-200_001)
		assert.LessOrEqual(t, f.clock.Earliest(), time.Now().Add(-400*time.Millisecond).UnixMicro())
		f.clock.Learn(time.Now(), f.clock.Local(), f.clock.Local())
		assert.Equal(t, time.Now().UnixMicro(), f.clock.Earliest())
	})
}

// TestAnEventIsToldOnceWhereTheFeedIsCut: a burst cuts an answer of the feed, and the
// next one brings again what was told before it.
func TestAnEventIsToldOnceWhereTheFeedIsCut(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	at := fromMicros(f.clock.Now())
	w := &eventBuilder{events: &f.events, began: at.Add(-time.Second)}
	session := func(serial int64, over bool) Session {
		s := Session{ID: newHandle().id(), Serial: serial, UserID: fmt.Sprint(serial), LoginAt: at.Add(time.Duration(serial))}
		if over {
			s.LogoutAt = at.Add(time.Millisecond)
		}
		return s
	}
	a, b := session(1, true), session(2, true)
	require.Len(t, w.sessions(&Changes{Begun: []Session{a}, Ended: []Session{a}}), 2)
	cut := Changes{Begun: []Session{b}, Ended: []Session{b}, MoreBegun: true, MoreEnded: true}
	require.Len(t, w.sessions(&cut), 2)
	require.Empty(t, w.sessions(&Changes{Begun: []Session{a, b}, Ended: []Session{a, b}}))
}

// stepForward is what a store does whose clock jumps ahead.
func (s *faultStore) stepForward(d time.Duration) {
	s.times.latest.Store(time.Now().Add(d).UnixMicro())
}

// TestClockThatStepsForwardEndsNobody: for six seconds the store's clock is a day ahead. Nobody is
// refused meanwhile, no cleanup ends anybody, and afterwards all is as before.
func TestClockThatStepsForwardEndsNobody(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var logs bytes.Buffer
		store := newFaultStore()
		f := replica(t, store, &Options{
			SampleInterval: -1, CleanupInterval: time.Second, Logger: slog.New(slog.NewTextHandler(&lockedWriter{w: &logs}, nil)),
		}).started(t)
		_, token := f.login(t, "42")
		require.Equal(t, 200, f.get(token).Code)
		time.Sleep(5 * time.Second)
		store.stepForward(25 * time.Hour)
		time.Sleep(1500 * time.Millisecond) // the feed has seen it
		for range 6 {
			assert.Equal(t, 200, f.get(token).Code, "cached")
			_, err := f.Authenticate(request("POST", "/", headerName, token.Reveal()))
			require.NoError(t, err)
			_, err = f.Cleanup(t.Context())
			require.ErrorIs(t, err, ErrUnavailable)
			require.ErrorContains(t, err, "the store's clock has stepped forward by")
			time.Sleep(time.Second)
		}
		store.failOver()
		time.Sleep(2 * time.Second)
		_, err := f.Cleanup(t.Context())
		require.NoError(t, err)
		assert.Equal(t, 200, f.get(token).Code)
		assert.EqualValues(t, 0, f.Counters()["session.ended"])
		assert.Equal(t, 1, strings.Count(logs.String(), "has stepped forward against this machine"))
		assert.Equal(t, 1, strings.Count(logs.String(), "is believed again"))
	})
}

// TestCleanupNeedsAClockNearTheMachines: a process that starts while the store's clock is ahead has
// nothing else to hold it against.
func TestCleanupNeedsAClockNearTheMachines(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := newFaultStore()
		before := replica(t, store, nil)
		_, token := before.login(t, "42")
		store.stepForward(25 * time.Hour)
		f := replica(t, store, nil)
		_, err := f.Cleanup(t.Context())
		require.ErrorIs(t, err, ErrUnavailable)
		require.ErrorContains(t, err, "ahead of this machine's")
		store.failOver()
		_, err = replica(t, store, nil).Cleanup(t.Context())
		require.NoError(t, err)
		assert.Equal(t, 200, before.get(token).Code)
	})
}

// TestEndsFromTheFutureEmptyNoCache: more ends than one reading brings were stamped while the
// store's clock was ahead. Each reading brings them again until that time has come.
func TestEndsFromTheFutureEmptyNoCache(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := newFaultStore()
		f := replica(t, store, &Options{TouchInterval: time.Minute, SampleInterval: -1, CleanupInterval: -1}).started(t)
		other := replica(t, &faultStore{MemoryStore: store.MemoryStore}, nil)
		_, token := f.login(t, "42")
		ended, endedToken := f.login(t, "43")
		require.Equal(t, 200, f.get(endedToken).Code)
		for range feedLimit + 1 {
			_, err := store.MemoryStore.Create(t.Context(), NewSession{Session: Session{ID: newHandle().id(), UserID: "many"}})
			require.NoError(t, err)
		}
		store.stepForward(time.Hour)
		_, err := other.End(t.Context(), User("many"), Ending{Reason: ReasonAdmin})
		require.NoError(t, err)
		store.failOver()
		time.Sleep(2 * time.Second)
		require.Equal(t, 200, f.get(token).Code)
		reads := store.gets.Load()
		for range 4 {
			time.Sleep(time.Second)
			require.Equal(t, 200, f.get(token).Code)
		}
		assert.Equal(t, reads, store.gets.Load(), "the session stays in the cache")
		_, err = other.End(t.Context(), IDs(ended.ID), Ending{Reason: ReasonAdmin})
		require.NoError(t, err)
		time.Sleep(2 * time.Second)
		assert.Equal(t, 401, f.get(endedToken).Code, "an end of now is learnt")
	})
}
