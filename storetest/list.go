package storetest

import (
	"fmt"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sessiontrack/sessiontrack"
)

var listCases = []testCase{
	{"list/an empty store", "no rows, no cursor, and still the time", func(c *check) {
		for _, q := range []sessiontrack.Query{{}, {UserID: "user-1"}, {Filter: sessiontrack.Filter{Users: []string{"user-1"}}}} {
			page := c.list(q)
			assert.Empty(c, page.Sessions)
			assert.True(c, page.Next.IsZero())
			c.whole(page.Now, "Now")
		}
	}},
	{"list/a user's by sign-in", "latest first, ended ones too, whatever the activity", func(c *check) {
		var made []sessiontrack.Session
		for range 4 {
			made = append(made, c.create("user-1", full))
		}
		c.create("user-2")
		c.touch(c.now(), made[0].ID)
		c.end(sessiontrack.IDs(made[2].ID))
		page := c.list(sessiontrack.Query{UserID: "user-1"})
		require.Equal(c, []sessiontrack.SessionID{made[3].ID, made[2].ID, made[1].ID, made[0].ID}, ids(page.Sessions))
		for _, s := range page.Sessions {
			c.same(c.get(s.ID).Session, s, "a list's row is Get's")
		}
		live := c.list(sessiontrack.Query{UserID: "user-1", Live: true})
		assert.Equal(c, []sessiontrack.SessionID{made[3].ID, made[1].ID, made[0].ID}, ids(live.Sessions))
	}},
	{"list/all by their user's activity",
		"the user with the latest activity comes first; their sessions by latest sign-in",
		func(c *check) {
			a1, b1, a2, d1 := c.create("user-a"), c.create("user-b"), c.create("user-a"), c.create("user-d")
			c.pass(d1.LoginAt)
			c.touch(c.now(), b1.ID)
			page := c.list(sessiontrack.Query{})
			require.Equal(c, []sessiontrack.SessionID{b1.ID, d1.ID, a2.ID, a1.ID}, ids(page.Sessions))
			for _, s := range page.Sessions {
				c.same(c.get(s.ID).Session, s, "a list's row is Get's")
			}
		}},
	{"list/ties by user id", "ties need an order, or a page repeats rows", func(c *check) {
		var made []sessiontrack.SessionID
		users := []string{"user-c", "user-a", "user-b"}
		for _, user := range users {
			made = append(made, c.create(user).ID)
		}
		c.pass(c.get(made[2]).LoginAt)
		c.touch(c.now(), made...)
		assert.Equal(c, []sessiontrack.SessionID{made[1], made[2], made[0]}, ids(c.list(sessiontrack.Query{}).Sessions))
		assert.Equal(c, []sessiontrack.SessionID{made[1], made[2], made[0]}, ids(c.pages(sessiontrack.Query{}, 1, nil)))
	}},
	{"list/all are live ones", "a query without a user implies Live", func(c *check) {
		c.end(sessiontrack.IDs(c.create("user-1").ID))
		expired := c.create("user-1", lifetime(time.Microsecond))
		live := c.create("user-1")
		c.pass(expired.ExpiresAt)
		assert.Equal(c, []sessiontrack.SessionID{live.ID}, ids(c.list(sessiontrack.Query{}).Sessions))
	}},
	{"list/live leaves out what has lapsed", "the limits decide what is active, not whether the cleanup has run",
		func(c *check) {
			expired, live := c.create("user-1", lifetime(time.Microsecond)), c.create("user-1", lifetime(time.Hour))
			c.pass(live.LastActivity.Add(3 * time.Millisecond))
			for _, user := range []string{"", "user-1"} {
				assert.Equal(c, []sessiontrack.SessionID{live.ID},
					ids(c.list(sessiontrack.Query{UserID: user, Live: true, IdleTimeout: time.Hour}).Sessions))
				assert.Empty(c, c.list(sessiontrack.Query{UserID: user, Live: true, IdleTimeout: 2 * time.Millisecond}).Sessions,
					"idle")
			}
			all := c.list(sessiontrack.Query{UserID: "user-1", IdleTimeout: time.Millisecond}).Sessions
			assert.Equal(c, []sessiontrack.SessionID{live.ID, expired.ID}, ids(all),
				"without Live the list has all of a user's sessions")
		}},
	{"list/by device and address", "exact filters, alone and together, on the latest address and the one at the login", func(c *check) {
		c.create("user-1")
		a := c.create("user-2", full)
		b := c.create("user-3", full, func(n *sessiontrack.NewSession) {
			n.Session.Device.Type, n.Session.Address = sessiontrack.DeviceTV, n.Session.Address.Next()
		})
		for _, test := range []struct {
			q    sessiontrack.Query
			want []sessiontrack.SessionID
		}{
			{sessiontrack.Query{Filter: sessiontrack.Filter{Device: sessiontrack.DeviceMobile}}, []sessiontrack.SessionID{a.ID}},
			{sessiontrack.Query{Filter: sessiontrack.Filter{Device: sessiontrack.DeviceTV}}, []sessiontrack.SessionID{b.ID}},
			{sessiontrack.Query{Filter: sessiontrack.Filter{Device: sessiontrack.DeviceBot}}, []sessiontrack.SessionID{}},
			{sessiontrack.Query{Filter: sessiontrack.Filter{Address: only(a.Address)}}, []sessiontrack.SessionID{a.ID}},
			{sessiontrack.Query{Filter: sessiontrack.Filter{Address: only(a.LoginAddress)}},
				[]sessiontrack.SessionID{b.ID, a.ID}},
			{sessiontrack.Query{Filter: sessiontrack.Filter{Address: only(a.Address), Device: sessiontrack.DeviceTV}},
				[]sessiontrack.SessionID{}},
			{sessiontrack.Query{UserID: "user-3", Filter: sessiontrack.Filter{Device: sessiontrack.DeviceTV}},
				[]sessiontrack.SessionID{b.ID}},
			{sessiontrack.Query{UserID: "user-3", Filter: sessiontrack.Filter{Address: only(a.Address)}},
				[]sessiontrack.SessionID{}},
		} {
			assert.Equal(c, test.want, ids(c.list(test.q).Sessions), "%+v", test.q)
		}
	}},
	{"list/several users", "a search by name returns many ids; a plain slice in IN matched nothing (bun 1.3.0)",
		func(c *check) {
			a, b, other := c.create("user-a"), c.create("user-b"), c.create("user-c")
			q := sessiontrack.Query{Filter: sessiontrack.Filter{
				Users: []string{"user-a", "nobody", "user-b", "user-a", "' OR true --"},
			}}
			assert.Equal(c, []sessiontrack.SessionID{b.ID, a.ID}, ids(c.list(q).Sessions), "by activity, each once")
			assert.Equal(c, []sessiontrack.SessionID{b.ID, a.ID}, ids(c.pages(q, 1, nil)))
			assert.Empty(c, c.list(sessiontrack.Query{Filter: sessiontrack.Filter{Users: []string{"nobody"}}}).Sessions)
			c.alive(other.ID, true)
		}},
	{"list/within looks at the user's latest activity", "?within=15m", func(c *check) {
		s := c.create("user-1")
		c.pass(s.LastActivity.Add(2 * time.Millisecond))
		assert.Empty(c, c.list(sessiontrack.Query{Within: time.Millisecond}).Sessions)
		assert.Len(c, c.list(sessiontrack.Query{Within: time.Hour}).Sessions, 1)
		assert.Len(c, c.list(sessiontrack.Query{}).Sessions, 1, "zero is no bound")
		c.create("user-1")
		assert.Len(c, c.list(sessiontrack.Query{Within: time.Hour}).Sessions, 2,
			"the user's latest activity counts, also of another session")
	}},
	{"list/the limit is bounded", "an unbounded page is an outage (L05)", func(c *check) {
		for _, n := range []int{-1, 0, 101, 1 << 30} {
			_, err := c.store.List(c.Context(), sessiontrack.Query{Limit: n})
			require.Error(c, err, "Limit %d", n)
		}
		c.list(sessiontrack.Query{Limit: 100})
	}},
	{"list/an over context", "an outage is not an empty list (I18)", func(c *check) {
		c.create("user-1")
		_, err := c.store.List(c.cancelled(), sessiontrack.Query{Limit: 10})
		c.unavailable(err)
	}},
}

// crowd creates users with the given number of sessions each.
func (c *check) crowd(users, sessions int) (all []sessiontrack.SessionID) {
	c.Helper()
	for range sessions {
		for u := range users {
			all = append(all, c.create(fmt.Sprintf("user-%02d", u)).ID)
		}
	}
	return all
}

var pageCases = []testCase{
	{"page/a user's sessions, each once", "a cursor that includes its own row repeats one on every page", func(c *check) {
		all := c.crowd(1, 11)
		c.end(sessiontrack.IDs(all[3], all[4], all[10]))
		for _, n := range []int{1, 2, 5, 11} {
			got := ids(c.pages(sessiontrack.Query{UserID: "user-00"}, n, nil))
			require.Equal(c, len(all), len(got), "pages of %d", n)
			assert.ElementsMatch(c, all, got)
		}
		assert.Len(c, c.pages(sessiontrack.Query{UserID: "user-00", Live: true}, 3, nil), 8)
	}},
	{"page/all sessions, each once", "a user's sessions may lie on both sides of a page's end", func(c *check) {
		all := c.crowd(4, 3)
		whole := ids(c.list(sessiontrack.Query{}).Sessions)
		require.ElementsMatch(c, all, whole)
		for _, n := range []int{1, 2, 5, 12} {
			assert.Equal(c, whole, ids(c.pages(sessiontrack.Query{}, n, nil)), "pages of %d", n)
		}
	}},
	{"page/a full last page has no next", "an empty page behind the last one", func(c *check) {
		c.crowd(2, 2)
		assert.True(c, c.list(sessiontrack.Query{Limit: 4}).Next.IsZero())
		assert.True(c, c.list(sessiontrack.Query{Limit: 2, UserID: "user-00"}).Next.IsZero())
		assert.False(c, c.list(sessiontrack.Query{Limit: 3}).Next.IsZero())
	}},
	{"page/filters hold on every page", "a filter applied after the limit leaves holes", func(c *check) {
		for i := range 9 {
			device := sessiontrack.DeviceDesktop
			if i%3 == 0 {
				device = sessiontrack.DeviceTV
			}
			c.create(fmt.Sprintf("user-%d", i%2), func(n *sessiontrack.NewSession) { n.Session.Device.Type = device })
		}
		assert.Len(c, c.pages(sessiontrack.Query{Filter: sessiontrack.Filter{Device: sessiontrack.DeviceTV}}, 2, nil), 3)
		assert.Len(c, c.pages(sessiontrack.Query{Filter: sessiontrack.Filter{Device: sessiontrack.DeviceDesktop}}, 2, nil), 6)
	}},
	{"page/rows that move are not repeated", "offsets repeat and skip while people come and go; keysets do not",
		func(c *check) {
			all := c.crowd(12, 1)
			still, moving := all[:6], all[6:]
			seen := map[sessiontrack.SessionID]int{}
			for _, s := range c.pages(sessiontrack.Query{}, 2, func(page int) {
				c.pass(c.now())
				c.touch(c.now(), moving[page%len(moving)])
				c.create(fmt.Sprintf("new-%d", page))
			}) {
				seen[s.ID]++
			}
			for id, n := range seen {
				assert.Equal(c, 1, n, "%s comes once", id)
			}
			for _, id := range still {
				assert.Equal(c, 1, seen[id], "a row that does not move is not missed")
			}
		}},
	{"page/rows that end are not missed around", "an end between two pages must not shift the rest", func(c *check) {
		all := c.crowd(9, 1)
		got := ids(c.pages(sessiontrack.Query{}, 2, func(page int) {
			if page < 3 {
				c.end(sessiontrack.IDs(all[8-page*2])) // from the page that was just read
			}
		}))
		assert.ElementsMatch(c, all, got)
	}},
	{"page/a user's new sessions do not disturb", "keyset by sign-in: new sessions lie in front of the cursor",
		func(c *check) {
			all := c.crowd(1, 6)
			got := ids(c.pages(sessiontrack.Query{UserID: "user-00"}, 2, func(int) { c.create("user-00") }))
			assert.ElementsMatch(c, all, got)
		}},
	{"page/a forged cursor does no harm", "a cursor comes from the client: it grants no access and must cause no " +
		"database error (S27)", func(c *check) {
		all := c.crowd(3, 1)
		for _, after := range []sessiontrack.Cursor{
			{At: time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC), UserID: "' OR true --", Serial: 1<<63 - 1},
			{At: time.UnixMicro(1).UTC(), UserID: "?0", Serial: 0},
			{At: c.now(), UserID: "\U0010FFFF"},
		} {
			for _, user := range []string{"", "user-00"} {
				got := c.list(sessiontrack.Query{UserID: user, After: after}).Sessions
				assert.Subset(c, all, ids(got))
			}
		}
	}},
}
