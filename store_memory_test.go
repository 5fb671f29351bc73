package sessiontrack

import (
	"context"
	"fmt"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sessiontrack/sessiontrack/internal/storeclock"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// memoryCreate adds a session of user and returns it.
func memoryCreate(t testing.TB, s *MemoryStore, user string, change ...func(*NewSession)) Session {
	t.Helper()
	n := NewSession{Session: Session{ID: newHandle().id(), UserID: user}}
	for _, f := range change {
		f(&n)
	}
	created, err := s.Create(t.Context(), n)
	require.NoError(t, err)
	return created.Session
}

func derived(until time.Time) func(*NewSession) {
	return func(n *NewSession) { n.Session.Derived, n.Session.CredentialUntil = true, until }
}

func memoryEnd(t testing.TB, s *MemoryStore, sel Selector) []Session {
	t.Helper()
	ended, err := s.End(t.Context(), sel, Ending{Reason: ReasonAdmin})
	require.NoError(t, err)
	return ended.Sessions
}

func TestMemoryStoreRefusesWhatIsOutOfBounds(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	good := NewSession{Session: Session{ID: newHandle().id(), UserID: "1"}}
	create := func(change func(*NewSession)) func(*MemoryStore) error {
		return func(s *MemoryStore) error {
			n := good
			change(&n)
			_, err := s.Create(ctx, n)
			return err
		}
	}
	list := func(q Query) func(*MemoryStore) error {
		return func(s *MemoryStore) error { _, err := s.List(ctx, q); return err }
	}
	end := func(sel Selector, e Ending) func(*MemoryStore) error {
		return func(s *MemoryStore) error { _, err := s.End(ctx, sel, e); return err }
	}
	purge := func(p PurgeOptions) func(*MemoryStore) error {
		return func(s *MemoryStore) error { _, err := s.Purge(ctx, p); return err }
	}
	stats := StatsQuery{Windows: [3]time.Duration{1, 2, 3}, IdleTimeout: -1}
	for name, test := range map[string]struct {
		call func(*MemoryStore) error
		says string
	}{
		"a short handle":      {create(func(n *NewSession) { n.Session.ID = "short" }), "Session.ID is not 22"},
		"no user":             {create(func(n *NewSession) { n.Session.UserID = "" }), "Session.UserID: want 1 to 255"},
		"a user with NUL":     {create(func(n *NewSession) { n.Session.UserID = "a\x00b" }), "Session.UserID"},
		"a negative lifetime": {create(func(n *NewSession) { n.Lifetime = -1 }), "Lifetime is -1ns: want 0 or more"},
		"a negative idle":     {create(func(n *NewSession) { n.IdleTimeout = -1 }), "IdleTimeout is -1ns"},
		"a negative limit":    {create(func(n *NewSession) { n.Limit = -1 }), "Limit is -1: want 0 or more"},
		"a foreign policy":    {create(func(n *NewSession) { n.Policy = 7 }), "Policy is 7"},
		"a page of none":      {list(Query{}), "Limit is 0: want 1 to 100"},
		"a page of 101":       {list(Query{Limit: 101}), "Limit is 101: want 1 to 100"},
		"both kinds of users": {list(Query{Limit: 1, UserID: "1", Filter: Filter{Users: []string{"1"}}}), "UserID and Filter.Users"},
		"a negative within":   {list(Query{Limit: 1, Within: -1}), "Within is -1ns"},
		"a negative idle in a list": {
			list(Query{Limit: 1, IdleTimeout: -1}), "IdleTimeout is -1ns",
		},
		"the empty selector": {end(Selector{}, Ending{Reason: ReasonAdmin}), "0 kinds of sessions"},
		"no reason":          {end(User("1"), Ending{}), "Reason"},
		"a shouted reason":   {end(User("1"), Ending{Reason: "ADMIN"}), "Ending.Reason is \"ADMIN\""},
		"an ender with NUL":  {end(User("1"), Ending{Reason: ReasonAdmin, Actor: "\x00"}), "Ending.Actor: want"},
		"no purge limit":     {purge(PurgeOptions{}), "Limit is 0: want 1 or more"},
		"negative retention": {purge(PurgeOptions{Limit: 1, Retention: -1}), "Retention is -1ns"},
		"negative keeping":   {purge(PurgeOptions{Limit: 1, KeepEnded: -1}), "KeepEnded is -1ns"},
		"a negative presence step": {
			func(s *MemoryStore) error { _, err := s.Touch(ctx, nil, -1); return err }, "presenceStep is -1ns",
		},
		"a feed of none": {
			func(s *MemoryStore) error { _, err := s.EndedSince(ctx, time.Now(), 0); return err }, "limit is 0: want 1 or more",
		},
		"an empty window": {
			func(s *MemoryStore) error { _, _, err := s.CountOnline(ctx, []time.Duration{0}); return err }, "window is 0s",
		},
		"an online page without a window": {
			func(s *MemoryStore) error { _, err := s.ListOnline(ctx, OnlineQuery{Limit: 1}); return err }, "window is 0s",
		},
		"an online page of none": {
			func(s *MemoryStore) error { _, err := s.ListOnline(ctx, OnlineQuery{Window: 1}); return err },
			"Limit is 0: want 1 to 100",
		},
		"stats with a negative idle": {
			func(s *MemoryStore) error { _, err := s.CountStats(ctx, stats); return err }, "IdleTimeout is -1ns",
		},
		"a sample without windows": {
			func(s *MemoryStore) error { _, _, err := s.Sample(ctx, StatsQuery{}); return err }, "window is 0s",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := NewMemoryStore()
			err := test.call(s)
			require.ErrorContains(t, err, test.says)
			assert.NotErrorIs(t, err, ErrUnavailable, "a wrong call is no outage")
			assert.Empty(t, s.rows)
		})
	}
}

func TestMemoryStoreCleansTextsThatNoStoreCouldHold(t *testing.T) {
	t.Parallel()
	s := NewMemoryStore()
	made := memoryCreate(t, s, "1", func(n *NewSession) {
		n.Session.UserAgent, n.Session.ClientHints = "a\x00b\r\nc", "\xffd"
		n.Session.Location.City = "Malm\u00f6\u0085"
	})
	assert.Equal(t, "abc", made.UserAgent)
	assert.Equal(t, "\uFFFDd", made.ClientHints)
	assert.Equal(t, "Malm\u00f6", made.Location.City)

	addr := netip.MustParseAddr("192.0.2.1")
	require.NoError(t, s.Describe(t.Context(), []SessionUpdate{{ID: made.ID,
		Device:  &Device{Type: DeviceMobile, Model: "X\x001"},
		Network: &ClientNetwork{Address: addr, Source: "peer\n", Location: Location{City: "\x7fOslo"}}}}))
	got, err := s.Get(t.Context(), made.ID)
	require.NoError(t, err)
	assert.Equal(t, "X1", got.Device.Model)
	assert.Equal(t, "peer", got.AddressSource)
	assert.Equal(t, "Oslo", got.Location.City)
}

// Under synctest time stands still, which is the hardest case: everything happens
// in one microsecond.
func TestMemoryStoreFeedTellsEveryEndAfterItsNow(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := NewMemoryStore()
		start, err := s.EndedSince(t.Context(), time.Time{}, 1)
		require.NoError(t, err)
		assert.Equal(t, time.Now().UTC(), start.Now)
		for since := start.Now; since.Before(start.Now.Add(5 * time.Microsecond)); {
			made := memoryCreate(t, s, "1")
			ended := memoryEnd(t, s, IDs(made.ID))
			require.Len(t, ended, 1)
			page, err := s.EndedSince(t.Context(), since, 10)
			require.NoError(t, err)
			require.Len(t, page.Ended, 1, "the end after the last Now, and nothing from before")
			assert.Equal(t, made.ID, page.Ended[0].ID)
			assert.False(t, page.Now.Before(page.Ended[0].LogoutAt))
			since = page.Now
		}
	})
}

func TestMemoryStoreFeedIsOrderedWithinAMicrosecond(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := NewMemoryStore()
		var made []Session
		for range 5 {
			made = append(made, memoryCreate(t, s, "1"))
		}
		since := time.Now().Add(-time.Second)
		for _, i := range []int{3, 1, 4, 0, 2} {
			memoryEnd(t, s, IDs(made[i].ID))
		}
		page, err := s.EndedSince(t.Context(), since, 3)
		require.NoError(t, err)
		assert.True(t, page.More)
		require.Len(t, page.Ended, 3)
		for i, e := range page.Ended {
			assert.Equal(t, made[i].ID, e.ID)
		}
	})
}

func TestMemoryStoreClockNeverGoesBack(t *testing.T) {
	t.Parallel()
	s := NewMemoryStore()
	ahead := time.Now().Add(time.Hour).UnixMicro()
	storeclock.Raise(&s.times.latest, ahead)
	made := memoryCreate(t, s, "1")
	assert.Equal(t, ahead, made.LoginAt.UnixMicro())
	assert.Equal(t, ahead, s.now().UnixMicro())
}

func TestMemoryStoreKeepsTwoDaysOfSamples(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := NewMemoryStore()
		q := StatsQuery{Windows: [3]time.Duration{5 * time.Minute, 15 * time.Minute, time.Hour}}
		first := time.Now()
		for range maxSamples + 60 {
			_, took, err := s.Sample(t.Context(), q)
			require.NoError(t, err)
			require.True(t, took)
			_, took, err = s.Sample(t.Context(), q)
			require.NoError(t, err)
			require.False(t, took)
			time.Sleep(time.Minute)
		}
		require.Len(t, s.counts.samples, maxSamples)
		assert.True(t, first.Add(time.Hour).Equal(s.counts.samples[0].At))
	})
}

func TestMemoryStorePeakIsTheEarliestOfEquals(t *testing.T) {
	t.Parallel()
	day := time.Date(2026, 3, 29, 0, 0, 0, 0, time.UTC)
	c := memoryCounts{samples: []Sample{
		{At: day.Add(-time.Minute), Online: 9}, {At: day, Online: 3}, {At: day.Add(time.Hour), Online: 7},
		{At: day.Add(2 * time.Hour), Online: 7},
	}}
	assert.Equal(t, day.Add(time.Hour), c.peak(day).At)
	assert.True(t, c.peak(day.Add(24*time.Hour)).At.IsZero())
}

// A user whose latest sample of activity lies within a step keeps their place, so
// that touches do not move the list; the sessions' own times are what is shown.
func TestMemoryStorePresenceMovesInSteps(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, step := NewMemoryStore(), 30*time.Second
		a, b := memoryCreate(t, s, "a"), memoryCreate(t, s, "b")
		touch := func(id SessionID) {
			_, err := s.Touch(t.Context(), []TouchRecord{{ID: id, At: time.Now()}}, step)
			require.NoError(t, err)
		}
		time.Sleep(step - time.Second)
		touch(b.ID)
		page, err := s.ListOnline(t.Context(), OnlineQuery{Window: time.Minute, Limit: 2})
		require.NoError(t, err)
		require.Len(t, page.Users, 2)
		assert.Equal(t, "a", page.Users[0].UserID, "b has not moved yet")
		assert.Equal(t, a.LoginAt, page.Users[0].LastActivity)
		assert.Equal(t, b.LoginAt.Add(step-time.Second), page.Users[1].LastActivity)

		time.Sleep(time.Second)
		touch(b.ID)
		page, err = s.ListOnline(t.Context(), OnlineQuery{Window: step, Limit: 2})
		require.NoError(t, err)
		require.Len(t, page.Users, 1, "a is a full window ago")
		assert.Equal(t, "b", page.Users[0].UserID)
	})
}

// Everything at once, for the race detector, and the indexes afterwards.
func TestMemoryStoreFromManyGoroutines(t *testing.T) {
	t.Parallel()
	s, ctx := NewMemoryStore(), context.Background()
	s.maxEnded = 50
	var wait sync.WaitGroup
	for g := range 8 {
		wait.Go(func() {
			user := fmt.Sprint(g % 3)
			for i := range 150 {
				n := NewSession{Session: Session{ID: newHandle().id(), UserID: user, Derived: i%2 == 0}, Limit: 20}
				created, err := s.Create(ctx, n)
				if !assert.NoError(t, err) {
					return
				}
				_, _ = s.Touch(ctx, []TouchRecord{{ID: created.Session.ID, At: time.Now()}}, 0)
				_ = s.Describe(ctx, []SessionUpdate{{ID: created.Session.ID, Device: &Device{Type: DeviceBot}}})
				_, _ = s.List(ctx, Query{Limit: 10, Filter: Filter{Device: DeviceBot}})
				_, _ = s.EndedSince(ctx, time.Now().Add(-time.Second), 10)
				_, _ = s.ListOnline(ctx, OnlineQuery{Window: time.Hour, Limit: 10})
				_, _, _ = s.Sample(ctx, StatsQuery{Windows: [3]time.Duration{1, 2, 3}})
				if i%10 == 0 {
					_, _ = s.End(ctx, User(user), Ending{Reason: ReasonAdmin})
					_, _ = s.Purge(ctx, PurgeOptions{Limit: 3})
				}
			}
		})
	}
	wait.Wait()
	checkMemory(t, s)
}

// checkMemory holds the indexes of a store against its rows.
func checkMemory(t *testing.T, s *MemoryStore) {
	t.Helper()
	live, full := 0, 0
	for key, row := range s.rows {
		assert.Equal(t, key, row.key)
		if row.Ended() {
			full++
			assert.Contains(t, row.user.ended, row)
		} else {
			live++
			assert.Contains(t, row.user.live, row)
		}
		assert.Same(t, row.user, s.users[row.UserID])
	}
	online := 0
	for _, u := range s.users {
		assert.Equal(t, len(u.live) > 0, u.seen != 0)
		assert.False(t, u.leaving)
		if u.seen != 0 {
			online++
		}
	}
	assert.Equal(t, live, s.live.CountBefore(&memoryRow{Record: Record{Session: Session{Serial: s.serial + 1}}}))
	assert.Equal(t, online, s.online.CountBefore(&memoryUser{}))
	assert.Equal(t, full, s.ended.full)
	assert.Equal(t, len(s.ended.refs), s.ended.full+s.ended.gone+len(s.ended.tombs))
}
