package storetest

import (
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sessiontrack/sessiontrack"
)

// actedBy makes a session in which an administrator acts.
func actedBy(admin string) change {
	return func(n *sessiontrack.NewSession) { n.Session.ActedBy = admin }
}

// ownIdle gives a session an idle limit of its own.
func ownIdle(d time.Duration) change {
	return func(n *sessiontrack.NewSession) { n.Session.IdleTimeout = d }
}

// ends chooses sessions to end.
func ends(ids ...sessiontrack.SessionID) change {
	return func(n *sessiontrack.NewSession) { n.Ends = ids }
}

// labelCases are about what an application says of a session at the sign-in.
var labelCases = []testCase{
	{"limit/end least active makes room", "the session that nobody uses goes, not the oldest sign-in", func(c *check) {
		first, second := c.create("user-1"), c.create("user-1")
		c.pass(second.LoginAt)
		c.touch(c.now(), first.ID)
		created := c.created("user-1", limit(2, sessiontrack.EndLeastActive))
		require.Equal(c, []sessiontrack.SessionID{second.ID}, ids(created.Ended))
		assert.Equal(c, sessiontrack.ReasonLimit, created.Ended[0].EndReason)
	}},
	{"limit/chosen sessions make room", "at the limit a person chooses what to end, in the same transaction", func(c *check) {
		first, second, other := c.create("user-1"), c.create("user-1"), c.create("user-2")
		chosen := ends(second.ID, other.ID, newID())
		created := c.created("user-1", limit(2, sessiontrack.DenyNew), chosen)
		require.Equal(c, []sessiontrack.SessionID{second.ID}, ids(created.Ended), "of other users none")
		assert.Equal(c, sessiontrack.ReasonUser, created.Ended[0].EndReason)
		assert.Equal(c, "user-1", created.Ended[0].EndedBy)
		c.alive(first.ID, true)
		c.alive(other.ID, true)
	}},
	{"limit/a refused login ends nothing that was chosen", "nothing of a failed Create has happened (I10)", func(c *check) {
		first, _, _ := c.create("user-1"), c.create("user-1"), c.create("user-1")
		_, err := c.store.Create(c.Context(), newSession("user-1", limit(2, sessiontrack.DenyNew), ends(first.ID)))
		require.ErrorIs(c, err, sessiontrack.ErrLimit)
		c.alive(first.ID, true)
	}},
	{"limit/sessions of administrators do not count", "support must not sign the user out", func(c *check) {
		acted := c.create("user-1", actedBy("admin-1"))
		assert.Empty(c, c.created("user-1", limit(1, sessiontrack.EndOldest)).Ended)
		c.alive(acted.ID, true)
	}},
	{"idle/a session's own limit decides", "the row says when the session is idle, on every replica (I30)", func(c *check) {
		short, never, usual := c.create("user-1", ownIdle(time.Millisecond)), c.create("user-1", ownIdle(-1)), c.create("user-1")
		c.pass(usual.LoginAt.Add(3 * time.Millisecond))
		live := func(idle time.Duration) []sessiontrack.SessionID {
			return ids(c.list(sessiontrack.Query{UserID: "user-1", Live: true, IdleTimeout: idle}).Sessions)
		}
		assert.Equal(c, []sessiontrack.SessionID{usual.ID, never.ID}, live(time.Hour))
		assert.Equal(c, []sessiontrack.SessionID{usual.ID, never.ID}, live(0), "also where others are never idle")
		assert.Equal(c, []sessiontrack.SessionID{never.ID}, live(time.Millisecond))

		none := c.end(sessiontrack.PastIdle(0, time.Hour))
		assert.Empty(c, none.Sessions, "not before the slack has passed")
		ended := c.end(sessiontrack.PastIdle(time.Hour, time.Millisecond))
		assert.Equal(c, []sessiontrack.SessionID{short.ID}, ids(ended.Sessions))
		ended = c.end(sessiontrack.PastIdle(time.Millisecond, 0))
		assert.Equal(c, []sessiontrack.SessionID{usual.ID}, ids(ended.Sessions))
		c.alive(never.ID, true)
	}},
	{"touch/seen moves no activity", "an open page is a sign of life and no use of the session", func(c *check) {
		s := c.create("user-1")
		c.pass(s.LoginAt)
		now := c.now()
		alive, err := c.store.Touch(c.Context(), []sessiontrack.TouchRecord{{ID: s.ID, Seen: now}}, 0)
		require.NoError(c, err)
		assert.Equal(c, []sessiontrack.SessionID{s.ID}, alive)
		s.LastSeen = now
		c.same(s, c.get(s.ID).Session, "nothing but LastSeen has changed")
	}},
	{"touch/of one session twice keeps both clocks", "a batch has an activity and a later sign of life", func(c *check) {
		s := c.create("user-1")
		c.pass(s.LoginAt.Add(10 * time.Microsecond))
		used, seen := s.LoginAt.Add(5*time.Microsecond), s.LoginAt.Add(9*time.Microsecond)
		_, err := c.store.Touch(c.Context(), []sessiontrack.TouchRecord{{ID: s.ID, At: used}, {ID: s.ID, Seen: seen}}, 0)
		require.NoError(c, err)
		s.LastActivity, s.LastSeen = used, seen
		c.same(s, c.get(s.ID).Session, "each clock has its time")
	}},
}

// presenceCases are about who is online beside activity.
var presenceCases = []testCase{
	{"online/a held connection keeps its user online", "somebody who waits in a chat is there", func(c *check) {
		store := capability[sessiontrack.OnlineReader](c)
		held, quiet := c.create("user-1"), c.create("user-2")
		c.pass(quiet.LoginAt.Add(2 * time.Millisecond))
		now := c.now()
		_, err := c.store.Touch(c.Context(), []sessiontrack.TouchRecord{
			{ID: held.ID, Seen: now, Online: true}, {ID: quiet.ID, Seen: now},
		}, 0)
		require.NoError(c, err)
		page, err := store.ListOnline(c.Context(), sessiontrack.OnlineQuery{Window: time.Hour, Limit: 10})
		require.NoError(c, err)
		require.Len(c, page.Users, 2)
		assert.Equal(c, "user-1", page.Users[0].UserID)
		assert.Equal(c, now, page.Users[0].LastActivity)
		assert.Equal(c, quiet.LastActivity, page.Users[1].LastActivity, "who only looks has not moved")
	}},
	{"online/an administrator in the place of a user makes nobody online", "presence is the user's own", func(c *check) {
		store := capability[sessiontrack.OnlineReader](c)
		acted, own := c.create("user-1", actedBy("admin-1")), c.create("user-2")
		c.create("user-2", actedBy("admin-1"))
		c.touch(c.now(), acted.ID)
		online := func() (users []string) {
			page, err := store.ListOnline(c.Context(), sessiontrack.OnlineQuery{Window: time.Hour, Limit: 10})
			require.NoError(c, err)
			for _, u := range page.Users {
				users = append(users, u.UserID)
				assert.Equal(c, 1, u.Sessions)
			}
			return users
		}
		assert.Equal(c, []string{"user-2"}, online())
		assert.Contains(c, ids(c.list(sessiontrack.Query{}).Sessions), acted.ID, "lists have the session")
		c.end(sessiontrack.IDs(own.ID))
		assert.Empty(c, online(), "offline with the last session of their own")
		c.create("user-1")
		assert.Equal(c, []string{"user-1"}, online())
	}},
}
