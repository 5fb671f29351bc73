package sessiontrack

import (
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestEntryKeepsEverything expands entries and compares with what they were made of.
func TestEntryKeepsEverything(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 1, 2, 3, 4, 5, 6000, time.UTC)
	full := Session{
		Serial: 7, ID: newHandle().id(), UserID: "42", Derived: true,
		Address: netip.MustParseAddr("192.0.2.1"), AddressSource: "peer",
		LoginAddress: netip.MustParseAddr("2001:db8::1"), LoginAddressSource: "forwarded",
		Location:  Location{CountryCode: "ID", City: "Jakarta"},
		UserAgent: "agent", ClientHints: "hints", Device: Device{Type: DeviceMobile, Browser: "b"},
		LoginAt: at, LastActivity: at.Add(time.Second), LastSeen: at.Add(time.Minute), ExpiresAt: at.Add(time.Hour),
		CredentialUntil: at.Add(time.Minute), Client: "ios", Tenant: "acme", ActedBy: "1", Methods: []string{"pwd", "otp"},
		AuthenticatedAt: at.Add(-time.Hour), IdleTimeout: -1, Remember: true,
	}
	same, none, ended := full, full, full
	same.LoginAddress = same.Address
	none.Address, none.LoginAddress = netip.Addr{}, netip.Addr{}
	ended.LogoutAt, ended.EndReason, ended.EndedBy = at.Add(time.Second), ReasonAdmin, "7"
	for name, s := range map[string]Session{"moved": full, "not moved": same, "no address": none, "ended": ended} {
		e, ok := newEntry(&Record{Session: s}, 0)
		require.True(t, ok, name)
		assert.Equal(t, s, e.session(), name)

		network := &ClientNetwork{Address: netip.MustParseAddr("198.51.100.9"), Source: "peer", Location: Location{City: "Bandung"}}
		want := s
		want.Address, want.AddressSource, want.Location = network.Address, network.Source, network.Location
		e = e.described(SessionUpdate{Network: network})
		assert.Equal(t, want, e.session(), "%s, elsewhere", name)

		want.Address = s.LoginAddress
		back := *network
		back.Address = s.LoginAddress
		e = e.described(SessionUpdate{Network: &back})
		assert.Equal(t, want, e.session(), "%s, and back", name)
	}
}
