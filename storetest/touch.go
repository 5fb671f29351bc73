package storetest

import (
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sessiontrack/sessiontrack"
)

var touchCases = []testCase{
	{"touch/moves activity forward", "the purpose of a touch", func(c *check) {
		a, b := c.create("user-1"), c.create("user-2")
		c.pass(b.LoginAt)
		now := c.now()
		assert.ElementsMatch(c, []sessiontrack.SessionID{a.ID, b.ID}, c.touch(now, a.ID, b.ID))
		for _, s := range []sessiontrack.Session{a, b} {
			got := c.get(s.ID).Session
			s.LastActivity, s.LastSeen = now, now
			c.same(s, got, "nothing but LastActivity and LastSeen has changed")
		}
	}},
	{"touch/never moves it back", "replicas flush late and out of order; keycloak set the time unconditionally (C04, I5)",
		func(c *check) {
			s := c.create("user-1")
			c.pass(s.LoginAt)
			now := c.now()
			c.touch(now, s.ID)
			for _, late := range []time.Duration{time.Microsecond, time.Second, time.Hour, 100_000 * time.Hour} {
				assert.Equal(c, []sessiontrack.SessionID{s.ID}, c.touch(now.Add(-late), s.ID), "the session is still alive")
			}
			c.touch(time.Time{}, s.ID)
			assert.Equal(c, now, c.get(s.ID).LastActivity)
		}},
	{"touch/never passes the store's time", "an unclamped stamp made 3,000 sessions immortal for five hours (C04, F12)",
		func(c *check) {
			s := c.create("user-1")
			c.touch(c.now().Add(time.Hour), s.ID)
			got := c.get(s.ID).LastActivity
			assert.False(c, got.After(c.now()), "%v lies ahead of the store's time", got)
			assert.False(c, got.Before(s.LoginAt))
		}},
	{"touch/cuts to microseconds", "stored and compared times must be equal (C04)", func(c *check) {
		s := c.create("user-1")
		c.pass(s.LoginAt.Add(10 * time.Microsecond))
		at := s.LoginAt.Add(5*time.Microsecond + 999*time.Nanosecond)
		c.touch(at.In(time.FixedZone("x", -3600)), s.ID)
		got := c.get(s.ID).LastActivity
		c.whole(got, "LastActivity")
		assert.Equal(c, at.Truncate(time.Microsecond), got)
	}},
	{"touch/late does not revive", "the typical bug of session stores (redistore#2, express-session#632, " +
		"connect-typeorm#25)", func(c *check) {
		s := c.create("user-1", full)
		c.end(sessiontrack.IDs(s.ID))
		before := c.get(s.ID)
		assert.Empty(c, c.touch(c.now().Add(time.Hour), s.ID), "the caller learns of the end")
		assert.Equal(c, before, c.get(s.ID), "the ended row stays as it is, in every field")
	}},
	{"touch/of an unknown handle makes no row",
		"the upsert-style touch: a purged session came back (C03, spring-session#1031)", func(c *check) {
			id := newID()
			assert.Empty(c, c.touch(c.now(), id))
			c.gone(id)
			assert.Empty(c, c.list(sessiontrack.Query{}).Sessions)
		}},
	{"touch/skips ended sessions and keeps the rest", "one ended session must not cost the batch", func(c *check) {
		a, dead, b := c.create("user-1"), c.create("user-2"), c.create("user-3")
		c.end(sessiontrack.IDs(dead.ID))
		c.pass(b.LoginAt)
		now := c.now()
		assert.ElementsMatch(c, []sessiontrack.SessionID{a.ID, b.ID}, c.touch(now, a.ID, newID(), dead.ID, b.ID))
		assert.Equal(c, now, c.get(b.ID).LastActivity)
	}},
	{"touch/poisoned handles do not lose the batch", "one bad value failed a whole statement (F13, bun 1.3.0 with NUL)",
		func(c *check) {
			s := c.create("user-1")
			c.pass(s.LoginAt)
			now := c.now()
			alive := c.touch(now, "a\x00b", "\xff", "", "'; --", s.ID, "?0")
			assert.Equal(c, []sessiontrack.SessionID{s.ID}, alive)
			assert.Equal(c, now, c.get(s.ID).LastActivity)
		}},
	{"touch/the later of two counts", "a batch may repeat a handle; an UPDATE with a join picks any of the rows",
		func(c *check) {
			s := c.create("user-1")
			for _, order := range [][2]time.Duration{{0, -time.Microsecond}, {-time.Microsecond, 0}} {
				c.pass(c.get(s.ID).LastActivity.Add(10 * time.Microsecond))
				now := c.now()
				alive, err := c.store.Touch(c.Context(), []sessiontrack.TouchRecord{{ID: s.ID, At: now.Add(order[0])},
					{ID: s.ID, At: now.Add(order[1])}}, 0)
				require.NoError(c, err)
				assert.Subset(c, []sessiontrack.SessionID{s.ID}, alive)
				assert.NotEmpty(c, alive)
				assert.Equal(c, now, c.get(s.ID).LastActivity)
			}
		}},
	{"touch/a wrong serial selects nothing", "Serial only helps to find the row; the handle names it", func(c *check) {
		a, b := c.create("user-1"), c.create("user-2")
		c.pass(b.LoginAt)
		now := c.now()
		alive, err := c.store.Touch(c.Context(), []sessiontrack.TouchRecord{{ID: a.ID, At: now, Serial: b.Serial},
			{ID: newID(), At: now, Serial: b.Serial}}, 0)
		require.NoError(c, err)
		assert.Equal(c, []sessiontrack.SessionID{a.ID}, alive)
		assert.Equal(c, now, c.get(a.ID).LastActivity)
		assert.Equal(c, b.LastActivity, c.get(b.ID).LastActivity)
	}},
	{"touch/may be repeated", "a batch whose answer was lost is sent again (F09)", func(c *check) {
		s := c.create("user-1")
		now := c.now()
		for range 3 {
			assert.Equal(c, []sessiontrack.SessionID{s.ID}, c.touch(now, s.ID))
		}
		assert.Equal(c, now, c.get(s.ID).LastActivity)
	}},
	{"touch/an empty batch is not an error", "an idle flusher sends none", func(c *check) {
		assert.Empty(c, c.touch(c.now()))
	}},
	{"touch/knows no limits of time", "only the Tracker decides what is idle or expired", func(c *check) {
		s := c.create("user-1", lifetime(time.Microsecond))
		c.pass(s.ExpiresAt)
		assert.Equal(c, []sessiontrack.SessionID{s.ID}, c.touch(c.now(), s.ID))
	}},
	{"touch/takes a large batch", "flushes are of 1,000 to 10,000 rows", func(c *check) {
		var live []sessiontrack.SessionID
		for range 20 {
			live = append(live, c.create("user-1").ID)
		}
		batch := append([]sessiontrack.SessionID{}, live...)
		for len(batch) < 10_000 {
			batch = append(batch, newID())
		}
		assert.ElementsMatch(c, live, c.touch(c.now(), batch...))
	}},
	{"touch/moves its user to the front", "lists are by the user's latest activity", func(c *check) {
		a, b := c.create("user-1"), c.create("user-2")
		assert.Equal(c, []sessiontrack.SessionID{b.ID, a.ID}, ids(c.list(sessiontrack.Query{}).Sessions))
		c.pass(b.LoginAt)
		c.touch(c.now(), a.ID)
		assert.Equal(c, []sessiontrack.SessionID{a.ID, b.ID}, ids(c.list(sessiontrack.Query{}).Sessions))
	}},
	{"touch/moves presence in steps only", "the step saves a write of presence for each touch", func(c *check) {
		a, b := c.create("user-1"), c.create("user-2")
		c.pass(b.LoginAt)
		now := c.now()
		alive, err := c.store.Touch(c.Context(), []sessiontrack.TouchRecord{{ID: a.ID, At: now}}, time.Hour)
		require.NoError(c, err)
		assert.Equal(c, []sessiontrack.SessionID{a.ID}, alive)
		assert.Equal(c, now, c.get(a.ID).LastActivity, "the session's own time is exact")
		assert.Equal(c, []sessiontrack.SessionID{b.ID, a.ID}, ids(c.list(sessiontrack.Query{}).Sessions),
			"the user's position in the list is not")
	}},
	{"touch/an over context", "an outage must not read as \"all of them have ended\" (I18)", func(c *check) {
		s := c.create("user-1")
		alive, err := c.store.Touch(c.cancelled(), []sessiontrack.TouchRecord{{ID: s.ID, At: c.now()}}, 0)
		c.unavailable(err)
		assert.Empty(c, alive)
	}},
}

var describeCases = []testCase{
	{"describe/adds what was learnt", "device and location are found outside the request path", func(c *check) {
		n := newSession("user-1", full, derived(time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)))
		created, err := c.store.Create(c.Context(), n)
		require.NoError(c, err)
		s := created.Session
		s.Device = sessiontrack.Device{Type: sessiontrack.DeviceTablet, Browser: "Safari", BrowserVersion: "18", OS: "iPadOS",
			OSVersion: "18", Brand: "Apple", Model: "iPad", Source: "hints"}
		network := sessiontrack.ClientNetwork{Address: n.Session.LoginAddress.Next(), Source: "header",
			Location: sessiontrack.Location{CountryCode: "NP", Country: "Nepal", City: "Patan"}}
		s.Address, s.AddressSource, s.Location = network.Address, network.Source, network.Location
		s.CredentialUntil = time.Date(2031, 1, 1, 0, 0, 0, 7_000, time.UTC)
		c.describe(sessiontrack.SessionUpdate{ID: s.ID, Device: &s.Device, Network: &network,
			CredentialUntil: s.CredentialUntil.Add(999)})
		c.same(s, c.get(s.ID).Session, "all of it, and nothing else: not the login address, not the activity")
	}},
	{"describe/leaves absent facts alone", "a partial update must not blank the rest", func(c *check) {
		s := c.create("user-1", full)
		c.describe(sessiontrack.SessionUpdate{ID: s.ID})
		c.same(s, c.get(s.ID).Session, "the update was empty")
		s.Device = sessiontrack.Device{Type: sessiontrack.DeviceBot}
		c.describe(sessiontrack.SessionUpdate{ID: s.ID, Device: &s.Device})
		c.same(s, c.get(s.ID).Session, "the device alone")
	}},
	{"describe/replaces address and place together", "an old city beside a new address is wrong", func(c *check) {
		s := c.create("user-1", full)
		c.describe(sessiontrack.SessionUpdate{ID: s.ID, Network: &sessiontrack.ClientNetwork{Address: s.LoginAddress,
			Source: "peer"}})
		s.Address, s.AddressSource, s.Location = s.LoginAddress, "peer", sessiontrack.Location{}
		c.same(s, c.get(s.ID).Session, "an unknown place blanks the old one")
	}},
	{"describe/skips what has ended", "an attribute write revived a deleted session (spring-session#1031, I1)",
		func(c *check) {
			s := c.create("user-1", full, derived(time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)))
			c.end(sessiontrack.IDs(s.ID))
			before := c.get(s.ID)
			c.describe(sessiontrack.SessionUpdate{
				ID: s.ID, Device: &sessiontrack.Device{Type: sessiontrack.DeviceTV},
				Network:         &sessiontrack.ClientNetwork{Source: "x"},
				CredentialUntil: time.Date(2050, 1, 1, 0, 0, 0, 0, time.UTC),
			})
			assert.Equal(c, before, c.get(s.ID), "ended is final, in every field")
		}},
	{"describe/of an unknown handle makes no row", "an upsert would create a row (C03)", func(c *check) {
		id := newID()
		c.describe(sessiontrack.SessionUpdate{ID: id, Device: &sessiontrack.Device{Type: sessiontrack.DeviceTV}})
		c.gone(id)
	}},
	{"describe/the credential's end moves forward only",
		"an older token of the same session would let the tombstone go too early", func(c *check) {
			until := time.Date(2040, 1, 1, 0, 0, 0, 0, time.UTC)
			s := c.create("user-1", derived(until))
			c.describe(sessiontrack.SessionUpdate{ID: s.ID, CredentialUntil: until.Add(-time.Hour)})
			assert.Equal(c, until, c.get(s.ID).CredentialUntil)
			c.describe(sessiontrack.SessionUpdate{ID: s.ID, CredentialUntil: until.Add(time.Hour)})
			assert.Equal(c, until.Add(time.Hour), c.get(s.ID).CredentialUntil)
		}},
	{"describe/a poisoned fact does not lose the batch", "user agents are hostile, and so may be their parsed parts (F13)",
		func(c *check) {
			a, b := c.create("user-1"), c.create("user-2")
			c.describe(
				sessiontrack.SessionUpdate{ID: "a\x00b", Device: &sessiontrack.Device{Type: sessiontrack.DeviceTV}},
				sessiontrack.SessionUpdate{ID: a.ID, Device: &sessiontrack.Device{Type: sessiontrack.DeviceTV, Model: "a\x00b\xff"},
					Network: &sessiontrack.ClientNetwork{Source: "\x00"}},
				sessiontrack.SessionUpdate{ID: b.ID, Device: &sessiontrack.Device{Type: sessiontrack.DeviceBot}},
			)
			assert.Equal(c, sessiontrack.DeviceBot, c.get(b.ID).Device.Type)
			assert.NotContains(c, c.get(a.ID).Device.Model, "\x00")
		}},
	{"describe/keeps no pointer of the caller", "the caller may change the argument after the return", func(c *check) {
		s := c.create("user-1")
		device := &sessiontrack.Device{Type: sessiontrack.DeviceDesktop, Browser: "Firefox"}
		c.describe(sessiontrack.SessionUpdate{ID: s.ID, Device: device})
		device.Browser = "changed"
		assert.Equal(c, "Firefox", c.get(s.ID).Device.Browser)
	}},
	{"describe/filters follow", "a list by device must not read a stale index", func(c *check) {
		s := c.create("user-1", full)
		c.describe(sessiontrack.SessionUpdate{ID: s.ID, Device: &sessiontrack.Device{Type: sessiontrack.DeviceTV},
			Network: &sessiontrack.ClientNetwork{Address: s.LoginAddress}})
		assert.Empty(c, c.list(sessiontrack.Query{Filter: sessiontrack.Filter{Device: sessiontrack.DeviceMobile}}).Sessions)
		assert.Len(c, c.list(sessiontrack.Query{Filter: sessiontrack.Filter{Device: sessiontrack.DeviceTV, Address: only(s.LoginAddress)}}).Sessions, 1)
	}},
	{"describe/an over context", "the caller must know to try again", func(c *check) {
		s := c.create("user-1", full)
		c.unavailable(c.store.Describe(c.cancelled(),
			[]sessiontrack.SessionUpdate{{ID: s.ID, Device: &sessiontrack.Device{Type: sessiontrack.DeviceTV}}}))
		c.same(s, c.get(s.ID).Session, "nothing was written")
	}},
}
