package storetest

import (
	"strings"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sessiontrack/sessiontrack"
)

var endCases = []testCase{
	{"end/by handle", "time, reason and who did it are set once, together, by the store's clock", func(c *check) {
		s := c.create("user-1", full)
		before := c.now()
		ended := c.end(sessiontrack.IDs(s.ID))
		require.Len(c, ended.Sessions, 1)
		s.LogoutAt, s.EndReason, s.EndedBy = ended.Sessions[0].LogoutAt, sessiontrack.ReasonAdmin, "admin-7"
		c.same(s, ended.Sessions[0], "nothing else has changed")
		c.same(s, c.get(s.ID).Session, "the returned row is the stored row")
		c.whole(s.LogoutAt, "LogoutAt")
		c.whole(ended.At, "At")
		assert.Zero(c, ended.Next)
		for _, stamp := range []time.Time{s.LogoutAt, ended.At} {
			assert.False(c, stamp.Before(before), "%v is before the call, %v", stamp, before)
			assert.False(c, stamp.Before(s.LastActivity))
		}
	}},
	{"end/again reports nothing", "\"ended now\" and \"had ended\" differ: one event for each session (C09, I14)",
		func(c *check) {
			s := c.create("user-1")
			c.end(sessiontrack.IDs(s.ID))
			before := c.get(s.ID)
			ended := c.endAs(sessiontrack.IDs(s.ID), sessiontrack.Ending{Reason: sessiontrack.ReasonUser, Actor: "user-1"})
			assert.Empty(c, ended.Sessions)
			assert.Empty(c, c.end(sessiontrack.User("user-1")).Sessions)
			assert.Equal(c, before, c.get(s.ID), "the first reason and time stay")
		}},
	{"end/unknown and repeated handles do no harm", "an admin's list is stale by the time it is clicked", func(c *check) {
		a, b, other := c.create("user-1"), c.create("user-2"), c.create("user-2")
		ended := c.end(sessiontrack.IDs(newID(), a.ID, "a\x00b", b.ID, a.ID, "' OR true --"))
		assert.ElementsMatch(c, []sessiontrack.SessionID{a.ID, b.ID}, ids(ended.Sessions))
		c.alive(other.ID, true)
		assert.Empty(c, c.end(sessiontrack.IDs(newID())).Sessions)
	}},
	{"end/all of a user's", "log out everywhere (S31)", func(c *check) {
		var mine []sessiontrack.SessionID
		for range 3 {
			mine = append(mine, c.create("user-1").ID)
		}
		gone := c.create("user-1")
		c.end(sessiontrack.IDs(gone.ID))
		other := c.create("user-2")
		assert.ElementsMatch(c, mine, ids(c.end(sessiontrack.User("user-1")).Sessions))
		c.alive(other.ID, true)
	}},
	{"end/all of a user's but some", "log out the others: exactly the caller's survives (S31)", func(c *check) {
		a, b, keep, keep2 := c.create("user-1"), c.create("user-1"), c.create("user-1"), c.create("user-1")
		ended := c.end(sessiontrack.User("user-1").Except(keep.ID, newID()).Except(keep2.ID))
		assert.ElementsMatch(c, []sessiontrack.SessionID{a.ID, b.ID}, ids(ended.Sessions))
		c.alive(keep.ID, true)
		c.alive(keep2.ID, true)
	}},
	{"end/of the named ones a user's own", "an id in a user's request may be anybody's", func(c *check) {
		a, b, mine, other := c.create("user-1"), c.create("user-1"), c.create("user-1"), c.create("user-2")
		ended := c.end(sessiontrack.User("user-1").Only(a.ID, other.ID, newID()).Only(b.ID, b.ID))
		assert.ElementsMatch(c, []sessiontrack.SessionID{a.ID, b.ID}, ids(ended.Sessions))
		c.alive(mine.ID, true)
		c.alive(other.ID, true)
		assert.Empty(c, c.end(sessiontrack.User("user-3").Only(mine.ID, other.ID)).Sessions)
		assert.Empty(c, c.end(sessiontrack.User("user\x00").Only(mine.ID)).Sessions)
		assert.Empty(c, c.walk(sessiontrack.User("user-2").Only(mine.ID), 10))
		c.alive(mine.ID, true)
	}},
	{"end/ids of users are exact", "another prefix, case, space, script or letter composition is another user (S17)",
		func(c *check) {
			names := []string{"1", "10", "01", " 1", "1 ", "１", "%", "_", "a", "A", "é", "e\u0301", "*", "1' OR '1'='1"}
			made := map[string]sessiontrack.SessionID{}
			for _, name := range names {
				made[name] = c.create(name).ID
			}
			for _, name := range names {
				assert.Equal(c, []sessiontrack.SessionID{made[name]}, ids(c.list(sessiontrack.Query{UserID: name}).Sessions), "%q",
					name)
				assert.Equal(c, []sessiontrack.SessionID{made[name]}, ids(c.end(sessiontrack.User(name)).Sessions), "%q", name)
			}
		}},
	{"end/a login after it lives", "log-out-all is a fence: earlier logins end, later ones stay (C10, I16)",
		func(c *check) {
			for range 20 {
				before := c.create("user-1")
				ended := c.end(sessiontrack.User("user-1"))
				after := c.create("user-1")
				require.Contains(c, ids(ended.Sessions), before.ID)
				c.alive(after.ID, true)
				require.False(c, after.LoginAt.Before(ended.Sessions[0].LogoutAt), "the clock does not go back")
			}
		}},
	{"end/idle ones only", "cleanup ends sessions without activity for that long, by the store's clock (I9)",
		func(c *check) {
			old := c.create("user-1")
			c.pass(old.LastActivity.Add(5 * time.Millisecond))
			fresh := c.create("user-1")
			const idle = 4 * time.Millisecond
			ended := c.end(sessiontrack.Idle(idle))
			assert.Contains(c, ids(ended.Sessions), old.ID)
			// On a slow machine the fresh session may have become idle too. Then it must be ended.
			_, freshEnded := find(ended.Sessions, fresh.ID)
			assert.Equal(c, ended.At.Sub(fresh.LastActivity) >= idle, freshEnded)
			assert.Empty(c, c.end(sessiontrack.Idle(time.Hour)).Sessions)
		}},
	{"end/a touch keeps from idling", "a cleanup must not end a session that was just touched", func(c *check) {
		s := c.create("user-1")
		c.pass(s.LastActivity.Add(5 * time.Millisecond))
		now := c.now()
		c.touch(now, s.ID)
		d := now.Sub(s.LastActivity) + time.Hour // past the login's idle time, but within the touch's
		assert.Empty(c, c.end(sessiontrack.Idle(d)).Sessions)
		ended := c.end(sessiontrack.Idle(4 * time.Millisecond))
		assert.Equal(c, ended.At.Sub(now) >= 4*time.Millisecond, len(ended.Sessions) == 1)
	}},
	{"end/expired ones only", "lifetime is from the sign-in, whatever the activity (I8)", func(c *check) {
		old, fresh, forever := c.create("user-1", lifetime(time.Microsecond)), c.create("user-1", lifetime(time.Hour)),
			c.create("user-1")
		c.pass(old.ExpiresAt)
		c.touch(c.now(), old.ID)
		ended := c.endAs(sessiontrack.Expired(), sessiontrack.Ending{Reason: sessiontrack.ReasonLifetime})
		assert.Equal(c, []sessiontrack.SessionID{old.ID}, ids(ended.Sessions))
		assert.Empty(c, c.get(old.ID).EndedBy, "the system did it")
		c.alive(fresh.ID, true)
		c.alive(forever.ID, true)
	}},
	{"end/the zero selector is refused", "\"all sessions\" must not be said by accident", func(c *check) {
		s := c.create("user-1")
		for _, sel := range []sessiontrack.Selector{{}, sessiontrack.IDs(), sessiontrack.User(""), sessiontrack.Idle(0),
			sessiontrack.Idle(-time.Hour), sessiontrack.Selector{}.Walk(0, 10)} {
			_, err := c.store.End(c.Context(), sel, byAdmin)
			require.Error(c, err)
			require.NotErrorIs(c, err, sessiontrack.ErrUnavailable, "a wrong call is not an outage")
		}
		c.alive(s.ID, true)
	}},
	{"end/the reason is required", "reasons are shown, logged and sent as single words", func(c *check) {
		s := c.create("user-1")
		for _, e := range []sessiontrack.Ending{{}, {Reason: "NO"}, {Reason: "a b"},
			{Reason: sessiontrack.EndReason(strings.Repeat("a", 33))}, {Reason: "ok", Actor: "a\x00"}} {
			_, err := c.store.End(c.Context(), sessiontrack.IDs(s.ID), e)
			require.Error(c, err, "%q", e)
		}
		c.alive(s.ID, true)
		own := sessiontrack.Ending{Reason: sessiontrack.EndReason(strings.Repeat("a-_9", 8)), Actor: "Zoë O'Brien"}
		c.endAs(sessiontrack.IDs(s.ID), own)
		assert.Equal(c, own, sessiontrack.Ending{Reason: c.get(s.ID).EndReason, Actor: c.get(s.ID).EndedBy})
	}},
	{"end/the last session takes its user offline", "a user whose last session ended is offline at once", func(c *check) {
		a, b, other := c.create("user-1"), c.create("user-1"), c.create("user-2")
		c.end(sessiontrack.IDs(b.ID))
		assert.Equal(c, []sessiontrack.SessionID{other.ID, a.ID}, ids(c.list(sessiontrack.Query{}).Sessions), "one is left")
		c.end(sessiontrack.IDs(a.ID))
		assert.Equal(c, []sessiontrack.SessionID{other.ID}, ids(c.list(sessiontrack.Query{Within: time.Hour}).Sessions))
	}},
	{"end/an over context ends nothing", "an outage must not read as \"no session to end\" (I18)", func(c *check) {
		s := c.create("user-1")
		_, err := c.store.End(c.cancelled(), sessiontrack.User("user-1"), byAdmin)
		c.unavailable(err)
		c.alive(s.ID, true)
	}},
}

func find(sessions []sessiontrack.Session, id sessiontrack.SessionID) (sessiontrack.Session, bool) {
	for _, s := range sessions {
		if s.ID == id {
			return s, true
		}
	}
	return sessiontrack.Session{}, false
}

// walk ends sessions by a walk of n rows per call until it is done. It returns every session that
// it ended.
func (c *check) walk(sel sessiontrack.Selector, n int) (all []sessiontrack.Session) {
	c.Helper()
	after := int64(0)
	for range 1000 {
		ended := c.endAs(sel.Walk(after, n), sessiontrack.Ending{Reason: sessiontrack.ReasonIdle})
		require.LessOrEqual(c, len(ended.Sessions), n, "a call looks at so many rows")
		for _, s := range ended.Sessions {
			require.Greater(c, s.Serial, after, "only rows behind After")
			require.True(c, ended.Next == 0 || s.Serial <= ended.Next, "no row behind Next")
		}
		all = append(all, ended.Sessions...)
		if ended.Next == 0 {
			return all
		}
		require.Greater(c, ended.Next, after, "the walk goes on")
		after = ended.Next
	}
	require.Fail(c, "the walk has no end")
	return nil
}

var walkCases = []testCase{
	{"walk/reaches every row once", "a million rows are cleaned in small transactions (C08)", func(c *check) {
		var old []sessiontrack.SessionID
		for i := range 11 {
			s := c.create("user-1", lifetime(time.Microsecond))
			old = append(old, s.ID)
			if i%3 == 0 {
				c.create("user-2") // rows between them that are not selected
			}
		}
		c.pass(c.get(old[10]).ExpiresAt)
		for _, rows := range []int{3, 100} {
			assert.ElementsMatch(c, old, ids(c.walk(sessiontrack.Expired(), rows)))
			assert.Empty(c, c.walk(sessiontrack.Expired(), rows), "a second walk finds nothing")
			old = nil
		}
		assert.Len(c, c.list(sessiontrack.Query{UserID: "user-2", Live: true}).Sessions, 4)
	}},
	{"walk/begins behind its start", "a walk that begins again from the top never ends", func(c *check) {
		a, b := c.create("user-1"), c.create("user-1")
		c.pass(b.LastActivity.Add(time.Millisecond))
		ended := c.endAs(sessiontrack.Idle(time.Millisecond).Walk(a.Serial, 10),
			sessiontrack.Ending{Reason: sessiontrack.ReasonIdle})
		assert.Equal(c, []sessiontrack.SessionID{b.ID}, ids(ended.Sessions))
		c.alive(a.ID, true)
	}},
	{"walk/works for a user's sessions", "the bound also serves accounts with very many sessions", func(c *check) {
		for range 5 {
			c.create("user-1")
		}
		keep, other := c.create("user-1"), c.create("user-2")
		assert.Len(c, c.walk(sessiontrack.User("user-1").Except(keep.ID), 2), 5)
		c.alive(keep.ID, true)
		c.alive(other.ID, true)
	}},
	{"walk/works for handles", "every kind of selection can be walked", func(c *check) {
		all := c.crowd(2, 4)
		assert.ElementsMatch(c, all[2:6], ids(c.walk(sessiontrack.IDs(append(all[2:6:6], newID())...), 3)))
		assert.Len(c, c.list(sessiontrack.Query{}).Sessions, 4)
	}},
	{"walk/over nothing is done", "an empty table", func(c *check) {
		assert.Empty(c, c.walk(sessiontrack.Idle(time.Microsecond), 5))
	}},
}
