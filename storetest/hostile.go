package storetest

import (
	"net/netip"
	"strings"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sessiontrack/sessiontrack"
)

// hostileTexts may be stored, and must be read back byte for byte.
var hostileTexts = []string{
	`'; DROP TABLE user_sessions; --`, `" OR "1"="1`, `\'; --`, `\\`, `$1 $$ ?0 ?name ?? :x %s {{.}}`, `-1`, `NULL`, `{}`,
	`[1,2]`,
	`<script>alert(1)</script>`, "\u202Eevil\u202C", "a\u2028b\u2029c", "\uFEFFbom", "Zalgo\u0310\u0321\u0334",
	"日本語 اللغة हिन्दी",
	"👩‍👩‍👧‍👦🏳️‍🌈", "\U0010FFFD", " lead and trail ", `C:\Users\x`, "e\u0301 and \u00e9",
}

var hostileCases = []testCase{
	{"hostile/texts come back byte for byte",
		"an attacker chooses names and agents (S24, S27, S29; bun 1.3.0's negative argument)", func(c *check) {
			for _, text := range hostileTexts {
				s := c.create(text, full, func(n *sessiontrack.NewSession) {
					n.Session.UserAgent, n.Session.ClientHints, n.Session.AddressSource = text, text, text
					n.Session.Location = sessiontrack.Location{CountryCode: "XX", Country: text, Region: text, City: text}
				})
				device := sessiontrack.Device{Type: sessiontrack.DeviceOther, Browser: text, OS: text, Brand: text, Model: text}
				c.describe(sessiontrack.SessionUpdate{ID: s.ID, Device: &device})
				ended := c.endAs(sessiontrack.User(text), sessiontrack.Ending{Reason: sessiontrack.ReasonAdmin, Actor: text})
				require.Len(c, ended.Sessions, 1, "%q", text)
				got := ended.Sessions[0]
				s.Device, s.LogoutAt, s.EndReason, s.EndedBy = device, got.LogoutAt, sessiontrack.ReasonAdmin, text
				c.same(s, got, text)
				c.same(s, c.get(s.ID).Session, text)
				assert.Equal(c, []sessiontrack.Session{s}, c.list(sessiontrack.Query{UserID: text}).Sessions, "%q", text)
			}
		}},
	{"hostile/texts at their bounds", "512 bytes of user agent and 255 of user id are bytes, not characters",
		func(c *check) {
			user := strings.Repeat("é", 127) + "x"
			for _, agent := range []string{strings.Repeat("a", 512), strings.Repeat("é", 256), strings.Repeat("👍", 128)} {
				s := c.create(user, func(n *sessiontrack.NewSession) { n.Session.UserAgent = agent })
				got := c.get(s.ID)
				assert.Equal(c, agent, got.UserAgent)
				assert.Equal(c, user, got.UserID)
			}
			assert.Len(c, c.pages(sessiontrack.Query{}, 1, nil), 3, "such a user id fits into a cursor")
			assert.Len(c, c.end(sessiontrack.User(user)).Sessions, 3)
		}},
	{"hostile/user ids that no store can hold are refused",
		"NUL is SQLSTATE 22021 in PostgreSQL: refused by name, and the next call works (F13, S29)", func(c *check) {
			for _, user := range []string{"", "a\x00b", "\xff", "a\nb", "\x7f", strings.Repeat("x", 256),
				strings.Repeat("x", 10_240)} {
				n := newSession(user)
				_, err := c.store.Create(c.Context(), n)
				require.Error(c, err, "%.20q", user)
				c.gone(n.Session.ID)
			}
			c.create("user-1")
		}},
	{"hostile/malformed handles are refused", "a handle has 22 characters of canonical base64url (S29)", func(c *check) {
		for _, id := range []string{"", "x", strings.Repeat("a", 21), strings.Repeat("a", 23), strings.Repeat("!", 22),
			strings.Repeat("_", 22), strings.Repeat("A", 20) + "\r\n"} {
			n := newSession("user-1")
			n.Session.ID = sessiontrack.SessionID(id)
			_, err := c.store.Create(c.Context(), n)
			require.Error(c, err, "%q", id)
		}
		assert.Empty(c, c.list(sessiontrack.Query{UserID: "user-1"}).Sessions)
	}},
	{"hostile/numbers out of bounds are refused", "a negative limit or lifetime would end or immortalize sessions",
		func(c *check) {
			for _, change := range []change{
				lifetime(-time.Second), limit(-1, sessiontrack.EndOldest), limit(1, 7),
				func(n *sessiontrack.NewSession) { n.IdleTimeout = -time.Second },
			} {
				_, err := c.store.Create(c.Context(), newSession("user-1", change))
				require.Error(c, err)
			}
			assert.Empty(c, c.list(sessiontrack.Query{UserID: "user-1"}).Sessions)
		}},
	{"hostile/lookups of unknown users", "a lookup by text that cannot be stored finds nothing, or is refused; the next " +
		"call works", func(c *check) {
		s := c.create("user-1")
		for _, user := range []string{"' OR true --", "%", "\\", strings.Repeat("x", 255), "?0"} {
			assert.Empty(c, c.list(sessiontrack.Query{UserID: user}).Sessions)
			assert.Empty(c, c.list(sessiontrack.Query{Filter: sessiontrack.Filter{Users: []string{user}}}).Sessions)
			assert.Empty(c, c.end(sessiontrack.User(user)).Sessions)
		}
		for _, user := range []string{"a\x00b", "\xff"} {
			page, _ := c.store.List(c.Context(), sessiontrack.Query{UserID: user, Limit: 10})
			assert.Empty(c, page.Sessions)
			ended, _ := c.store.End(c.Context(), sessiontrack.User(user), byAdmin)
			assert.Empty(c, ended.Sessions)
		}
		c.alive(s.ID, true)
	}},
	{"hostile/addresses of both families", "an inet column normalizes addresses, a text column does not", func(c *check) {
		for _, text := range []string{"192.0.2.1", "2001:db8::1", "::", "0.0.0.0", "255.255.255.255", "::1", "fe80::1",
			"64:ff9b::c000:201"} {
			addr := netip.MustParseAddr(text)
			s := c.create("user-1", func(n *sessiontrack.NewSession) { n.Session.Address, n.Session.LoginAddress = addr, addr })
			got := c.get(s.ID)
			assert.Equal(c, [2]netip.Addr{addr, addr}, [2]netip.Addr{got.Address, got.LoginAddress})
			q := sessiontrack.Query{Filter: sessiontrack.Filter{Address: only(addr)}}
			assert.Equal(c, []sessiontrack.SessionID{s.ID}, ids(c.list(q).Sessions), text)
		}
	}},
}
