package storetest

import (
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sessiontrack/sessiontrack"
)

// endedDerived creates a derived session with every personal field, and ends it.
func (c *check) endedDerived(until time.Time) sessiontrack.Session {
	c.Helper()
	s := c.create("user-1", full, derived(until))
	ended := c.end(sessiontrack.IDs(s.ID)).Sessions
	require.Len(c, ended, 1)
	c.pass(ended[0].LogoutAt)
	return ended[0]
}

// remembered asserts that an ended session still refuses its credential and has no personal data.
func (c *check) remembered(s sessiontrack.Session) {
	c.Helper()
	got := c.get(s.ID)
	assert.True(c, got.Ended(), "still ended")
	assert.Equal(c, s.LogoutAt, got.LogoutAt)
	assert.Equal(c, s.EndReason, got.EndReason)
	assert.True(c, got.Derived)
	assert.False(c, got.Address.IsValid() || got.LoginAddress.IsValid(), "addresses are gone")
	assert.Empty(c, got.UserAgent+got.ClientHints)
	assert.True(c, got.Location.IsZero())
	assert.Empty(c, got.Device.Model+got.Device.Brand+got.Device.Browser+got.Device.OS)
}

var purgeCases = []testCase{
	{"purge/never takes a live session", "retention is for ended sessions", func(c *check) {
		s, lapsed := c.create("user-1", full), c.create("user-1", derived(time.Date(2001, 1, 1, 0, 0, 0, 0, time.UTC)),
			lifetime(time.Microsecond))
		c.pass(lapsed.ExpiresAt)
		assert.Zero(c, c.purge(0, 0))
		c.same(s, c.get(s.ID).Session, "untouched")
		c.alive(lapsed.ID, true)
	}},
	{"purge/keeps what is within its retention", "the full record is kept for that long", func(c *check) {
		s := c.create("user-1", full)
		c.end(sessiontrack.IDs(s.ID))
		before, tomb := c.get(s.ID), c.endedDerived(time.Date(2001, 1, 1, 0, 0, 0, 0, time.UTC))
		assert.Zero(c, c.purge(time.Hour, time.Hour))
		assert.Equal(c, before, c.get(s.ID))
		c.same(tomb, c.get(tomb.ID).Session, "never less than Retention")
	}},
	{"purge/deletes what is past it", "0 rows with an address past the limit (P02)", func(c *check) {
		s := c.create("user-1", full)
		ended := c.end(sessiontrack.IDs(s.ID)).Sessions
		c.pass(ended[0].LogoutAt.Add(time.Millisecond))
		assert.Equal(c, 1, c.purge(time.Millisecond, time.Hour))
		c.gone(s.ID)
		assert.Empty(c, c.list(sessiontrack.Query{UserID: "user-1"}).Sessions)
		assert.Zero(c, c.purge(time.Millisecond, time.Hour), "a repeated purge changes nothing")
	}},
	{"purge/remembers a derived session until its credential ends",
		"a purge that forgets it lets the ended token in again (I2)", func(c *check) {
			s := c.endedDerived(c.now().Add(time.Hour))
			assert.Equal(c, 1, c.purge(0, 0), "blanked")
			c.remembered(s)
			assert.Equal(c, s.CredentialUntil, c.get(s.ID).CredentialUntil)
			assert.Zero(c, c.purge(0, 0), "blanked only once")
			c.remembered(s)
		}},
	{"purge/lets a derived session go with its credential", "tombstones must not pile up for ever", func(c *check) {
		s := c.endedDerived(c.now().Add(20 * time.Millisecond))
		c.purge(0, time.Hour) // blanks, or deletes if the machine is slow
		c.pass(s.CredentialUntil)
		c.purge(0, time.Hour)
		c.gone(s.ID)
		assert.Zero(c, c.purge(0, time.Hour))
	}},
	{"purge/remembers an endless credential for KeepEnded",
		"for credentials with an unknown expiry (provider's sessions, no exp)", func(c *check) {
			s := c.endedDerived(time.Time{})
			assert.Equal(c, 1, c.purge(0, time.Hour))
			c.remembered(s)
			c.pass(s.LogoutAt.Add(time.Millisecond))
			assert.Equal(c, 1, c.purge(0, time.Millisecond))
			c.gone(s.ID)
		}},
	{"purge/what is remembered cannot be created again", "the next request with the ended token calls Create (I2)",
		func(c *check) {
			s := c.endedDerived(c.now().Add(time.Hour))
			c.purge(0, 0)
			n := newSession("user-1", derived(time.Time{}))
			n.Session.ID = s.ID
			_, err := c.store.Create(c.Context(), n)
			require.ErrorIs(c, err, sessiontrack.ErrExists)
			assert.Empty(c, c.touch(c.now(), s.ID))
			c.describe(sessiontrack.SessionUpdate{ID: s.ID, Device: &sessiontrack.Device{Type: sessiontrack.DeviceTV,
				Model: "x"}})
			assert.Empty(c, c.end(sessiontrack.IDs(s.ID)).Sessions)
			c.remembered(s)
		}},
	{"purge/what is deleted stays deleted", "a late touch, a late description and a late end find no row (C03)",
		func(c *check) {
			s := c.create("user-1")
			c.pass(c.end(sessiontrack.IDs(s.ID)).At)
			require.Equal(c, 1, c.purge(0, 0))
			assert.Empty(c, c.touch(c.now(), s.ID))
			c.describe(sessiontrack.SessionUpdate{ID: s.ID, Device: &sessiontrack.Device{Type: sessiontrack.DeviceTV}})
			assert.Empty(c, c.end(sessiontrack.IDs(s.ID)).Sessions)
			c.gone(s.ID)
		}},
	{"purge/is bounded by its limit", "batches keep locks short; fewer rows than the limit means done (L06)",
		func(c *check) {
			for i := range 7 {
				n := []change{}
				if i%2 == 0 {
					n = append(n, derived(c.now().Add(time.Hour)))
				}
				c.create("user-1", n...)
			}
			c.pass(c.end(sessiontrack.User("user-1")).At)
			var got []int
			for range 3 {
				n, err := c.store.Purge(c.Context(), sessiontrack.PurgeOptions{Limit: 3})
				require.NoError(c, err)
				got = append(got, n)
			}
			assert.Equal(c, []int{3, 3, 1}, got)
			_, err := c.store.Purge(c.Context(), sessiontrack.PurgeOptions{})
			require.Error(c, err, "a limit of zero is a mistake")
		}},
	{"purge/an over context changes nothing", "the cleanup must know that it is not done", func(c *check) {
		s := c.create("user-1")
		c.pass(c.end(sessiontrack.IDs(s.ID)).At)
		n, err := c.store.Purge(c.cancelled(), sessiontrack.PurgeOptions{Limit: 10})
		c.unavailable(err)
		assert.Zero(c, n)
		c.alive(s.ID, false)
	}},
}
