package storetest

import (
	"crypto/rand"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sessiontrack/sessiontrack"
)

// renewal is a change of the secret of a session that newSession made.
func renewal(n *sessiontrack.NewSession) sessiontrack.Renewal {
	r := sessiontrack.Renewal{ID: n.Session.ID, OldHash: n.SecretHash, Methods: []string{"pwd", "otp"}}
	_, _ = rand.Read(r.NewHash[:])
	return r
}

var renewCases = []testCase{
	{"renew/changes the secret and nothing else", "a step-up is no second sign-in: same handle, same age, same limits",
		func(c *check) {
			store, n := capability[sessiontrack.Renewer](c), newSession("user-1", lifetime(time.Hour))
			created, err := c.store.Create(c.Context(), n)
			require.NoError(c, err)
			r := renewal(&n)
			renewed, err := store.Renew(c.Context(), r)
			require.NoError(c, err)
			got := c.get(n.Session.ID)
			assert.Equal(c, r.NewHash, got.SecretHash)
			c.same(renewed, got.Session, "Renew returns the row that Get reads")
			want := created.Session
			want.AuthenticatedAt, want.Methods = got.AuthenticatedAt, r.Methods
			assert.False(c, got.AuthenticatedAt.Before(got.LoginAt))
			c.same(want, got.Session, "only AuthenticatedAt and Methods have changed")
		}},
	{"renew/an old secret renews nothing", "who holds a stolen secret must not outrun its owner", func(c *check) {
		store, n := capability[sessiontrack.Renewer](c), newSession("user-1")
		_, err := c.store.Create(c.Context(), n)
		require.NoError(c, err)
		first := renewal(&n)
		_, err = store.Renew(c.Context(), first)
		require.NoError(c, err)
		_, err = store.Renew(c.Context(), renewal(&n))
		require.ErrorIs(c, err, sessiontrack.ErrNotFound)
		assert.Equal(c, first.NewHash, c.get(n.Session.ID).SecretHash)
	}},
	{"renew/an ended session stays ended", "no call revives a session (I1)", func(c *check) {
		store, n := capability[sessiontrack.Renewer](c), newSession("user-1")
		_, err := c.store.Create(c.Context(), n)
		require.NoError(c, err)
		c.end(sessiontrack.IDs(n.Session.ID))
		before := c.get(n.Session.ID)
		_, err = store.Renew(c.Context(), renewal(&n))
		require.ErrorIs(c, err, sessiontrack.ErrNotFound)
		assert.Equal(c, before, c.get(n.Session.ID))
	}},
	{"renew/the feed reports it", "other processes keep the old secret in their caches until they are told", func(c *check) {
		store, n := capability[sessiontrack.Renewer](c), newSession("user-1")
		_, err := c.store.Create(c.Context(), n)
		require.NoError(c, err)
		before := c.now().Add(-time.Millisecond)
		_, err = store.Renew(c.Context(), renewal(&n))
		require.NoError(c, err)
		if feed, ok := c.store.(sessiontrack.EndedFeed); ok {
			page, err := feed.EndedSince(c.Context(), before, 100)
			require.NoError(c, err)
			require.Len(c, page.Renewed, 1)
			assert.Equal(c, n.Session.ID, page.Renewed[0].ID)
			assert.Empty(c, page.Ended, "it is no end")
		}
		if feed, ok := c.store.(sessiontrack.ChangeFeed); ok {
			changes, err := feed.ChangesSince(c.Context(), sessiontrack.ChangeQuery{Ended: before, Limit: 100})
			require.NoError(c, err)
			require.Len(c, changes.Renewed, 1)
			assert.Equal(c, n.Session.ID, changes.Renewed[0].ID)
			assert.Empty(c, changes.Ended)
		}
	}},
}
