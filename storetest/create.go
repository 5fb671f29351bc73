package storetest

import (
	"net/netip"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sessiontrack/sessiontrack"
)

// full sets every field that Create takes.
func full(n *sessiontrack.NewSession) {
	s := &n.Session
	s.Address, s.AddressSource = netip.MustParseAddr("2001:db8::7"), "forwarded"
	s.LoginAddress, s.LoginAddressSource = netip.MustParseAddr("192.0.2.10"), "peer"
	s.Location = sessiontrack.Location{CountryCode: "ID", Country: "Indonesia", Region: "Jawa Barat", City: "Bandung"}
	s.UserAgent, s.ClientHints = "Mozilla/5.0 (X11; Linux x86_64)", `m=?0;p="Linux"`
	s.Device = sessiontrack.Device{
		Type: sessiontrack.DeviceMobile, Browser: "Chrome", BrowserVersion: "131", OS: "Android", OSVersion: "14",
		Brand: "Samsung", Model: "Galaxy S23", Source: "user agent", Ambiguous: true,
	}
	s.CredentialUntil = time.Date(2040, 1, 2, 3, 4, 5, 6_000, time.UTC)
	s.Client, s.Tenant = "ios", "acme"
	s.AuthenticatedAt, s.Methods = time.Date(2020, 1, 2, 3, 4, 5, 6_000, time.UTC), []string{"pwd", "otp"}
	s.IdleTimeout, s.Remember = 10*time.Minute, true
	n.Lifetime = time.Hour
}

var createCases = []testCase{
	{"create/answers with the row as stored",
		"a forgotten column in one backend is a common bug of session libraries (scs, dialects)", func(c *check) {
			n := newSession("user-1", full)
			created, err := c.store.Create(c.Context(), n)
			require.NoError(c, err)
			got := c.get(n.Session.ID)
			c.same(created.Session, got.Session, "Create returns the row that Get reads")
			assert.Equal(c, n.SecretHash, got.SecretHash)
			assert.Empty(c, created.Ended)
			assert.Positive(c, got.Serial)

			want := n.Session // the given fields are stored
			want.Serial, want.LoginAt, want.LastActivity = got.Serial, got.LoginAt, got.LastActivity
			want.LastSeen, want.ExpiresAt = got.LoginAt, got.LoginAt.Add(time.Hour)
			c.same(want, got.Session, "every field given is kept")
		}},
	{"create/empty fields stay empty", "NULL and the empty value must read alike", func(c *check) {
		n := newSession("user-1", derived(time.Time{}))
		_, err := c.store.Create(c.Context(), n)
		require.NoError(c, err)
		got := c.get(n.Session.ID)
		want := n.Session
		want.Serial, want.LoginAt, want.LastActivity, want.LastSeen = got.Serial, got.LoginAt, got.LoginAt, got.LoginAt
		c.same(want, got.Session, "no field is invented")
		assert.Zero(c, got.SecretHash, "a derived session has no secret")
		assert.False(c, got.Address.IsValid())
	}},
	{"create/stamps by its own clock", "replicas disagree about the time; the store is the clock (F12)", func(c *check) {
		before := c.now()
		s := c.create("user-1")
		after := c.now()
		assert.False(c, s.LoginAt.Before(before) || s.LoginAt.After(after), "LoginAt %v lies in %v..%v", s.LoginAt, before,
			after)
		assert.Equal(c, s.LoginAt, s.LastActivity)
		assert.Equal(c, s.LoginAt, s.LastSeen)
		assert.Equal(c, s.LoginAt, s.AuthenticatedAt, "the user has just proved who they are")
		late := c.create("user-1", func(n *sessiontrack.NewSession) { n.Session.AuthenticatedAt = after.Add(time.Hour) })
		assert.Equal(c, late.LoginAt, late.AuthenticatedAt, "nobody authenticates in the future")
	}},
	{"create/ignores the fields that the store sets", "a caller's stamp or serial would forge order, age and end",
		func(c *check) {
			old := time.Date(2001, 1, 1, 0, 0, 0, 0, time.UTC)
			s := c.create("user-1", func(n *sessiontrack.NewSession) {
				n.Session.Serial, n.Session.LoginAt, n.Session.LastActivity = 1<<40, old, old
				n.Session.ExpiresAt, n.Session.LogoutAt = old, old
				n.Session.EndReason, n.Session.EndedBy = sessiontrack.ReasonAdmin, "x"
			})
			got := c.get(s.ID)
			assert.NotEqual(c, int64(1<<40), got.Serial)
			assert.True(c, got.LoginAt.After(old) && got.LastActivity.After(old))
			assert.Zero(c, got.ExpiresAt)
			assert.False(c, got.Ended())
			assert.Empty(c, string(got.EndReason)+got.EndedBy)
		}},
	{"create/lifetime makes the expiry", "expires_at is login_at + lifetime and never moves (I5, I8)", func(c *check) {
		s := c.create("user-1", lifetime(time.Hour))
		assert.Equal(c, s.LoginAt.Add(time.Hour), s.ExpiresAt)
		c.touch(c.now(), s.ID)
		assert.Equal(c, s.ExpiresAt, c.get(s.ID).ExpiresAt, "activity does not move it")
		assert.Zero(c, c.create("user-1").ExpiresAt, "no lifetime, no expiry")
	}},
	{"create/cuts times to microseconds in UTC",
		"databases keep microseconds: compared and stored times must be equal (C04)", func(c *check) {
			zone := time.FixedZone("+05:45", 5*3600+45*60)
			until := time.Date(2040, 1, 2, 3, 4, 5, 123_456_789, zone)
			s := c.create("user-1", derived(until), lifetime(time.Hour+time.Nanosecond))
			for what, stamp := range map[string]time.Time{
				"LoginAt": s.LoginAt, "LastActivity": s.LastActivity,
				"ExpiresAt": s.ExpiresAt, "CredentialUntil": s.CredentialUntil,
			} {
				c.whole(stamp, what)
			}
			assert.Equal(c, until.UTC().Truncate(time.Microsecond), s.CredentialUntil)
			c.same(s, c.get(s.ID).Session, "the same is read back")
		}},
	{"create/serials rise", "Serial orders sessions, and walks and cursors rely on it", func(c *check) {
		last := int64(0)
		for range 5 {
			s := c.create("user-1")
			require.Greater(c, s.Serial, last)
			last = s.Serial
		}
	}},
	{"create/a taken handle is refused", "an insert that overwrites hands a session to another user (S03, I11)",
		func(c *check) {
			s := c.create("user-1", full)
			before := c.get(s.ID)
			n := newSession("user-2")
			n.Session.ID = s.ID
			_, err := c.store.Create(c.Context(), n)
			require.ErrorIs(c, err, sessiontrack.ErrExists)
			assert.Equal(c, before, c.get(s.ID), "the first row is untouched")
			assert.Empty(c, c.list(sessiontrack.Query{UserID: "user-2"}).Sessions)
		}},
	{"create/the handle of an ended session is refused",
		"a derived session that was ended would come back with its next request (I2)", func(c *check) {
			s := c.create("user-1", derived(time.Time{}))
			c.end(sessiontrack.IDs(s.ID))
			before := c.get(s.ID)
			n := newSession("user-1", derived(time.Time{}))
			n.Session.ID = s.ID
			_, err := c.store.Create(c.Context(), n)
			require.ErrorIs(c, err, sessiontrack.ErrExists)
			assert.Equal(c, before, c.get(s.ID), "ended is final")
		}},
	{"create/repeated after a lost answer makes one row", "the outcome of a call may be unknown; callers repeat it (F09)",
		func(c *check) {
			n := newSession("user-1")
			_, err := c.store.Create(c.Context(), n)
			require.NoError(c, err)
			_, err = c.store.Create(c.Context(), n)
			require.ErrorIs(c, err, sessiontrack.ErrExists)
			assert.Len(c, c.list(sessiontrack.Query{UserID: "user-1"}).Sessions, 1)
		}},
	{"create/replaces a session", "a login ends the session that its request proved (S03)", func(c *check) {
		old := c.create("user-1")
		created := c.created("user-1", replaces(old.ID))
		require.Equal(c, []sessiontrack.SessionID{old.ID}, ids(created.Ended))
		got := c.get(old.ID)
		c.same(got.Session, created.Ended[0], "the ended session is returned as it now is")
		assert.Equal(c, sessiontrack.ReasonReplacement, got.EndReason)
		c.whole(got.LogoutAt, "LogoutAt")
		c.alive(created.Session.ID, true)
	}},
	{"create/replaces another user's session", "two people at one browser: the first must not stay signed in or online",
		func(c *check) {
			old := c.create("user-1")
			created := c.created("user-2", replaces(old.ID))
			require.Equal(c, []sessiontrack.SessionID{old.ID}, ids(created.Ended))
			assert.Equal(c, "user-1", created.Ended[0].UserID)
			assert.Equal(c, []sessiontrack.SessionID{created.Session.ID}, ids(c.list(sessiontrack.Query{}).Sessions))
		}},
	{"create/skips a replaced session that is gone", "a stale cookie must not block a login or end a session twice",
		func(c *check) {
			old := c.create("user-1")
			c.end(sessiontrack.IDs(old.ID))
			before := c.get(old.ID)
			for _, id := range []sessiontrack.SessionID{old.ID, newID(), "not a handle"} {
				assert.Empty(c, c.created("user-1", replaces(id)).Ended)
			}
			assert.Equal(c, before, c.get(old.ID))
		}},
	{"create/failing leaves nothing behind", "insert, eviction and replacement are one transaction (I24)", func(c *check) {
		old, taken := c.create("user-1"), c.create("user-1")
		n := newSession("user-1", replaces(old.ID))
		n.Session.ID = taken.ID
		_, err := c.store.Create(c.Context(), n)
		require.ErrorIs(c, err, sessiontrack.ErrExists)
		c.alive(old.ID, true)

		n = newSession("user-1", limit(2, sessiontrack.DenyNew))
		_, err = c.store.Create(c.Context(), n)
		require.ErrorIs(c, err, sessiontrack.ErrLimit)
		c.gone(n.Session.ID)
	}},
	{"create/failing leaves another user's session", "what a sign-in replaces ends only if the sign-in succeeds (I24)",
		func(c *check) {
			c.create("user-1")
			n := newSession("user-1", replaces(c.create("user-2").ID), limit(1, sessiontrack.DenyNew))
			_, err := c.store.Create(c.Context(), n)
			require.ErrorIs(c, err, sessiontrack.ErrLimit)
			c.gone(n.Session.ID)
			c.alive(n.Replaces, true)
		}},
	{"create/an over context inserts nothing", "an outage is not an answer (I18)", func(c *check) {
		n := newSession("user-1")
		_, err := c.store.Create(c.cancelled(), n)
		c.unavailable(err)
		c.gone(n.Session.ID)
	}},
}

var limitCases = []testCase{
	{"limit/deny refuses a login above the limit", "MaxSessions with deny (C06)", func(c *check) {
		for range 2 {
			c.create("user-1", limit(2, sessiontrack.DenyNew))
		}
		n := newSession("user-1", limit(2, sessiontrack.DenyNew))
		_, err := c.store.Create(c.Context(), n)
		require.ErrorIs(c, err, sessiontrack.ErrLimit)
		c.gone(n.Session.ID)
		assert.Len(c, c.list(sessiontrack.Query{UserID: "user-1", Live: true}).Sessions, 2)
	}},
	{"limit/end oldest makes room", "the oldest sign-in goes, not the least active (C06)", func(c *check) {
		first, second := c.create("user-1"), c.create("user-1")
		c.touch(c.now(), first.ID)
		created := c.created("user-1", limit(2, sessiontrack.EndOldest))
		require.Equal(c, []sessiontrack.SessionID{first.ID}, ids(created.Ended))
		assert.Equal(c, sessiontrack.ReasonLimit, created.Ended[0].EndReason)
		c.same(c.get(first.ID).Session, created.Ended[0], "the ended session is returned as it now is")
		c.alive(second.ID, true)
	}},
	{"limit/a lowered limit ends several", "the limit may shrink while people are signed in (I10)", func(c *check) {
		var old []sessiontrack.SessionID
		for range 5 {
			old = append(old, c.create("user-1").ID)
		}
		created := c.created("user-1", limit(2, sessiontrack.EndOldest))
		assert.ElementsMatch(c, old[:4], ids(created.Ended))
		live := c.list(sessiontrack.Query{UserID: "user-1", Live: true}).Sessions
		assert.Equal(c, []sessiontrack.SessionID{created.Session.ID, old[4]}, ids(live))
	}},
	{"limit/zero means any number", "the default must not lock users out", func(c *check) {
		for range 12 {
			require.Empty(c, c.created("user-1", limit(0, sessiontrack.DenyNew)).Ended)
		}
	}},
	{"limit/the replaced session does not count", "signing in again from the same browser replaces the session",
		func(c *check) {
			old := c.create("user-1", limit(1, sessiontrack.DenyNew))
			created := c.created("user-1", limit(1, sessiontrack.DenyNew), replaces(old.ID))
			assert.Equal(c, []sessiontrack.SessionID{old.ID}, ids(created.Ended))
			assert.Equal(c, sessiontrack.ReasonReplacement, created.Ended[0].EndReason)
		}},
	{"limit/ended sessions do not count", "Spring Security counted them (#5775)", func(c *check) {
		c.end(sessiontrack.IDs(c.create("user-1").ID))
		c.create("user-1", limit(1, sessiontrack.DenyNew))
	}},
	{"limit/expired sessions do not count", "a lapsed session must not block its owner until the cleanup runs",
		func(c *check) {
			old := c.create("user-1", lifetime(time.Microsecond))
			c.pass(old.ExpiresAt)
			created := c.created("user-1", limit(1, sessiontrack.DenyNew))
			assert.Empty(c, created.Ended)
			c.alive(old.ID, true)
		}},
	{"limit/idle sessions do not count", "an idle session must not block its owner; without an idle timeout it counts",
		func(c *check) {
			old := c.create("user-1")
			c.pass(old.LastActivity.Add(2 * time.Millisecond))
			idle := func(n *sessiontrack.NewSession) { n.IdleTimeout = time.Millisecond }
			assert.Empty(c, c.created("user-1", limit(1, sessiontrack.EndOldest), idle).Ended)
			_, err := c.store.Create(c.Context(), newSession("user-1", limit(2, sessiontrack.DenyNew)))
			require.ErrorIs(c, err, sessiontrack.ErrLimit)
		}},
	{"limit/is one user's", "a limit across users signs strangers out", func(c *check) {
		other := c.create("user-10")
		c.create("user-1")
		assert.Len(c, c.created("user-1", limit(1, sessiontrack.EndOldest)).Ended, 1)
		c.alive(other.ID, true)
	}},
}
