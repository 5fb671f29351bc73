package storetest

import (
	"errors"
	"sync"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sessiontrack/sessiontrack"
)

const issuer = "https://idp.example"

// ofProvider makes the session belong to a session of an identity provider.
func ofProvider(issuer, key string) change {
	return func(n *sessiontrack.NewSession) { n.ProviderID = sessiontrack.ProviderID(issuer, key) }
}

var byProvider = sessiontrack.Ending{Reason: sessiontrack.ReasonProvider}

var providerCases = []testCase{
	{"provider/ends the sessions of one session of the provider",
		"a sign-out at the identity provider must end what came of it, and nothing else", func(c *check) {
			signedIn := c.create("user-1", ofProvider(issuer, "a"))
			ofToken := c.create("user-1", ofProvider(issuer, "a"), issued(c.now()))
			another := c.create("user-1", ofProvider(issuer, "b"))
			elsewhere := c.create("user-1", ofProvider("https://other.example", "a"))
			own := c.create("user-1")
			ended, err := c.store.End(c.Context(), sessiontrack.Provider(issuer, "a"), byProvider)
			require.NoError(c, err)
			require.Len(c, ended.Sessions, 2)
			assert.Equal(c, signedIn.ID, ended.Sessions[0].ID)
			assert.Equal(c, ofToken.ID, ended.Sessions[1].ID)
			assert.Equal(c, sessiontrack.ReasonProvider, c.get(signedIn.ID).EndReason)
			for _, s := range []sessiontrack.Session{another, elsewhere, own} {
				assert.False(c, c.get(s.ID).Ended())
			}
			again, err := c.store.End(c.Context(), sessiontrack.Provider(issuer, "a"), byProvider)
			require.NoError(c, err)
			assert.Empty(c, again.Sessions, "a logout token that comes again ends nothing again")
		}},
	{"provider/the end of a session that was not seen yet is remembered",
		"a logout may come before the first request of a token, or between the callback of the sign-in and its row",
		func(c *check) {
			ended, err := c.store.End(c.Context(), sessiontrack.Provider(issuer, "a"), byProvider)
			require.NoError(c, err)
			assert.Empty(c, ended.Sessions)
			assert.False(c, ended.At.IsZero())
			for _, change := range [][]change{
				{ofProvider(issuer, "a")}, {ofProvider(issuer, "a"), issued(c.now())}, {ofProvider(issuer, "a"), issued(c.now().AddDate(1, 0, 0))},
			} {
				n := newSession("user-1", change...)
				_, err = c.store.Create(c.Context(), n)
				c.fencedFor(err, sessiontrack.ReasonProvider, "whenever it was issued: the provider's session has ended")
				_, err = c.store.Get(c.Context(), n.Session.ID)
				assert.ErrorIs(c, err, sessiontrack.ErrNotFound, "nothing is inserted")
			}
			c.create("user-1", ofProvider(issuer, "b"))
			c.create("user-1", issued(c.now().AddDate(0, 0, -1)))
			c.create("user-1")
		}},
	{"provider/a known session comes before it",
		"two replicas that create one derived session at once must agree that it exists", func(c *check) {
			n := newSession("user-1", ofProvider(issuer, "a"), issued(c.now()))
			_, err := c.store.Create(c.Context(), n)
			require.NoError(c, err)
			_, err = c.store.End(c.Context(), sessiontrack.Provider(issuer, "a"), byProvider)
			require.NoError(c, err)
			_, err = c.store.Create(c.Context(), n)
			assert.ErrorIs(c, err, sessiontrack.ErrExists)
		}},
	{"provider/holds against creations at the same time",
		"a creation that passes between the note and the UPDATE survives the sign-out at the provider", func(c *check) {
			for range 20 {
				key := string(newSession("user-1").Session.ID)
				var all sync.WaitGroup
				made := make([]sessiontrack.Session, 8)
				for i := range made {
					all.Go(func() {
						created, err := c.store.Create(c.Context(), newSession("user-1", ofProvider(issuer, key)))
						if !errors.Is(err, sessiontrack.ErrEnded) {
							assert.NoError(c, err)
							made[i] = created.Session
						}
					})
				}
				_, err := c.store.End(c.Context(), sessiontrack.Provider(issuer, key), byProvider)
				require.NoError(c, err)
				all.Wait()
				for _, s := range made {
					if s.ID != "" {
						assert.True(c, c.get(s.ID).Ended(), "begun before the end, or not at all")
					}
				}
			}
		}},
	{"provider/refuses an id that nobody made", "an id that is compared as it came could be anybody's", func(c *check) {
		n := newSession("user-1")
		n.ProviderID = "session-1"
		_, err := c.store.Create(c.Context(), n)
		assert.ErrorIs(c, err, sessiontrack.ErrInvalidArgument)
		_, err = c.store.End(c.Context(), sessiontrack.Provider(issuer, ""), byProvider)
		assert.ErrorIs(c, err, sessiontrack.ErrInvalidArgument)
	}},
}
