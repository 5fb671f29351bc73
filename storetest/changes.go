package storetest

import (
	"slices"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sessiontrack/sessiontrack"
)

// changes asks for the changes with a limit that no case reaches.
func (c *check) changes(q sessiontrack.ChangeQuery) sessiontrack.Changes {
	c.Helper()
	if q.Limit == 0 {
		q.Limit = 1000
	}
	changes, err := capability[sessiontrack.ChangeFeed](c).ChangesSince(c.Context(), q)
	require.NoError(c, err, "ChangesSince")
	return changes
}

func usersOf(users []sessiontrack.OnlineUser) []string {
	names := make([]string, len(users))
	for i, u := range users {
		names[i] = u.UserID
	}
	return names
}

var changeCases = []testCase{
	{"changes/only what is asked for", "a replica without watchers must not read new sessions", func(c *check) {
		capability[sessiontrack.ChangeFeed](c)
		c.end(sessiontrack.IDs(c.create("user-1").ID))
		c.create("user-2")
		got := c.changes(sessiontrack.ChangeQuery{})
		c.whole(got.Now, "Now")
		got.Now = time.Time{}
		assert.Zero(c, got)
	}},
	{"changes/sessions in full", "events show what the lists show", func(c *check) {
		start := c.changes(sessiontrack.ChangeQuery{}).Now
		ended, live := c.create("user-1", full), c.create("user-2", full)
		c.end(sessiontrack.IDs(ended.ID))
		got := c.changes(sessiontrack.ChangeQuery{Ended: start, Begun: start})
		require.Equal(c, []sessiontrack.SessionID{ended.ID}, ids(got.Ended))
		require.Equal(c, []sessiontrack.SessionID{ended.ID, live.ID}, ids(got.Begun), "an ended session is also a begun one")
		c.same(c.get(ended.ID).Session, got.Ended[0], "ended")
		c.same(c.get(ended.ID).Session, got.Begun[0], "begun and ended")
		c.same(c.get(live.ID).Session, got.Begun[1], "begun")
		assert.Zero(c, c.changes(sessiontrack.ChangeQuery{Ended: got.Ended[0].LogoutAt, Begun: got.Begun[1].LoginAt}).Begun,
			"later than the time, not at it")
	}},
	{"changes/what is after its Now is in the next answer", "an event that falls between two answers is lost (C16)",
		func(c *check) {
			since := c.changes(sessiontrack.ChangeQuery{}).Now
			for range 50 {
				s := c.create("user-1")
				got := c.changes(sessiontrack.ChangeQuery{Begun: since.Add(-overlap)})
				_, ok := find(got.Begun, s.ID)
				require.True(c, ok, "the beginning is in the answer")
				since = got.Now
				c.end(sessiontrack.IDs(s.ID))
				got = c.changes(sessiontrack.ChangeQuery{Ended: since})
				_, ok = find(got.Ended, s.ID)
				require.True(c, ok, "the end is in the answer")
				since = got.Now
			}
		}},
	{"changes/the limit says that there is more", "a watcher must know that it misses events", func(c *check) {
		start := c.changes(sessiontrack.ChangeQuery{}).Now
		var all []sessiontrack.SessionID
		for range 4 {
			all = append(all, c.create("user-1").ID)
		}
		c.end(sessiontrack.IDs(all[0]))
		c.end(sessiontrack.IDs(all[1]))
		c.end(sessiontrack.IDs(all[2]))
		got := c.changes(sessiontrack.ChangeQuery{Ended: start, Begun: start, Limit: 2})
		assert.Equal(c, all[:2], ids(got.Ended))
		assert.Equal(c, all[:2], ids(got.Begun))
		assert.True(c, got.MoreEnded)
		assert.True(c, got.MoreBegun)
		got = c.changes(sessiontrack.ChangeQuery{Ended: start, Begun: start, Limit: 4})
		assert.False(c, got.MoreEnded)
		assert.False(c, got.MoreBegun)
	}},
	{"changes/presence by pages", "a replica that begins to watch must get each user once", func(c *check) {
		capability[sessiontrack.ChangeFeed](c)
		start := c.changes(sessiontrack.ChangeQuery{}).Now.Add(-time.Minute)
		want := []string{"a", "B", "c", "d", "e"}
		for _, user := range want {
			c.create(user)
		}
		var got []string
		q := sessiontrack.ChangeQuery{Seen: start, Limit: 2}
		for {
			page := c.changes(q).Seen
			got = append(got, usersOf(page)...)
			require.LessOrEqual(c, len(page), 2)
			if len(page) < 2 {
				break
			}
			q.Before = sessiontrack.Cursor{At: page[1].LastActivity, UserID: page[1].UserID}
		}
		slices.Reverse(want) // latest first
		assert.Equal(c, want, got)
		assert.Empty(c, c.changes(sessiontrack.ChangeQuery{Seen: c.changes(
			sessiontrack.ChangeQuery{}).Now.Add(time.Minute)}).Seen)
	}},
	{"changes/presence of users", "exactly the users without a session are reported offline", func(c *check) {
		two, gone := c.create("two"), c.create("gone")
		c.create("two")
		c.end(sessiontrack.IDs(gone.ID))
		names := []string{"two", "gone", "nobody", "two", "nul\x00", "'; DROP TABLE user_sessions; --"}
		got := c.changes(sessiontrack.ChangeQuery{Users: names})
		require.Len(c, got.Users, 1)
		assert.Equal(c, "two", got.Users[0].UserID)
		assert.Equal(c, 2, got.Users[0].Sessions)
		c.whole(got.Users[0].LastActivity, "presence")
		c.end(sessiontrack.IDs(two.ID))
		assert.Equal(c, 1, c.changes(sessiontrack.ChangeQuery{Users: names}).Users[0].Sessions)
	}},
	{"changes/bounds", "each question of a process is bounded", func(c *check) {
		feed := capability[sessiontrack.ChangeFeed](c)
		for _, q := range []sessiontrack.ChangeQuery{{}, {Limit: -1}, {Limit: 10_001},
			{Limit: 1, Users: make([]string, 1001)}} {
			_, err := feed.ChangesSince(c.Context(), q)
			require.Error(c, err)
		}
		_, err := feed.ChangesSince(c.cancelled(), sessiontrack.ChangeQuery{Limit: 1})
		c.unavailable(err)
	}},
}
