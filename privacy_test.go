package sessiontrack

import (
	"net/netip"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestMaskAddress(t *testing.T) {
	t.Parallel()
	tests := []struct{ addr, full, truncated string }{
		{"192.0.2.129", "192.0.2.129", "192.0.2.0"},
		{"255.255.255.255", "255.255.255.255", "255.255.255.0"},
		{"::ffff:192.0.2.129", "192.0.2.129", "192.0.2.0"},
		{"::ffff:192.0.2.129%eth0", "192.0.2.129", "192.0.2.0"},
		{"2001:db8:1234:5678:9abc:def0:1234:5678", "2001:db8:1234:5678:9abc:def0:1234:5678", "2001:db8:1234::"},
		{"fe80::1%eth0", "fe80::1", "fe80::"},
		{"::1", "::1", "::"},
		{"64:ff9b::192.0.2.129", "192.0.2.129", "192.0.2.0"},
		{"2002:c000:0281::1", "2002:c000:281::1", "2002:c000:200::"},
		{"2003:c000:0281::1", "2003:c000:281::1", "2003:c000:281::"},
	}
	for _, tt := range tests {
		t.Run(tt.addr, func(t *testing.T) {
			t.Parallel()
			addr := netip.MustParseAddr(tt.addr)
			assert.Equal(t, tt.full, maskAddress(addr, AddressFull).String())
			truncated := maskAddress(addr, AddressTruncated)
			assert.Equal(t, tt.truncated, truncated.String())
			assert.Equal(t, truncated, maskAddress(truncated, AddressTruncated), "masking twice is masking once")
			assert.Equal(t, netip.Addr{}, maskAddress(addr, AddressNone))
			assert.Equal(t, netip.Addr{}, maskAddress(addr, AddressMode(4)), "an unknown mode keeps nothing")
			hashed := hashAddress(addr, []byte("key"))
			assert.True(t, pseudonyms.Contains(hashed), hashed)
			assert.Equal(t, hashed, hashAddress(netip.MustParseAddr(tt.full), []byte("key")),
				"one address, however it is written")
			assert.NotEqual(t, hashed, hashAddress(addr, []byte("another")))
			assert.NotEqual(t, hashed, hashAddress(addr.Next(), []byte("key")))
		})
	}
	for _, mode := range []AddressMode{AddressFull, AddressTruncated, AddressNone} {
		assert.Equal(t, netip.Addr{}, maskAddress(netip.Addr{}, mode))
	}
	assert.Equal(t, netip.Addr{}, hashAddress(netip.Addr{}, []byte("key")))
	// The first 64 bits of what Python's hmac makes of the four bytes.
	assert.Equal(t, "100::2f0f:c218:811f:4c81", hashAddress(netip.MustParseAddr("192.0.2.1"), []byte("Jefe")).String())
}

// Two neighbours in one network cannot be told apart by what is left.
func FuzzTruncatedAddressesOfANetworkAreEqual(f *testing.F) {
	f.Add([]byte{192, 0, 2, 129}, uint64(0x55))
	f.Add(netip.MustParseAddr("2001:db8::1").AsSlice(), ^uint64(0))
	f.Add(netip.MustParseAddr("2002:c000:281::1").AsSlice(), uint64(1)<<40)
	f.Fuzz(func(t *testing.T, bytes []byte, flip uint64) {
		addr, ok := netip.AddrFromSlice(bytes)
		if !ok {
			return
		}
		neighbour := addr.Unmap().AsSlice()
		hidden := len(neighbour) - 3 // what follows the first 24 bits
		if len(neighbour) == 16 {
			hidden = 10
		}
		for i := range hidden {
			neighbour[len(neighbour)-1-i] ^= byte(flip >> (8 * (i % 8)))
		}
		other, _ := netip.AddrFromSlice(neighbour)
		if other = other.Unmap(); other.Is4() != addr.Unmap().Is4() {
			return
		}
		assert.Equal(t, maskAddress(addr, AddressTruncated), maskAddress(other, AddressTruncated))
	})
}

func TestIsPublic(t *testing.T) {
	t.Parallel()
	for _, addr := range []string{"8.8.8.8", "100.63.255.255", "100.128.0.0", "172.32.0.1", "2001:4860::8888",
		"::ffff:8.8.8.8"} {
		assert.True(t, isPublic(netip.MustParseAddr(addr)), addr)
	}
	for _, addr := range []string{
		"10.0.0.1", "172.16.0.1", "192.168.1.1", "127.0.0.1", "169.254.1.1", "100.64.0.1", "100.127.255.255", "0.0.0.0",
		"224.0.0.1", "255.255.255.255", "::", "::1", "fe80::1", "fe80::1%eth0", "fd00::1", "100::2f0f:c218:811f:4c81",
		"ff02::1", "::ffff:10.0.0.1", "::ffff:100.64.0.1",
	} {
		assert.False(t, isPublic(netip.MustParseAddr(addr)), addr)
	}
	assert.False(t, isPublic(netip.Addr{}))
}

func TestPrivacyModeNames(t *testing.T) {
	t.Parallel()
	var names []string
	for mode := range AddressMode(5) {
		names = append(names, mode.String())
	}
	for mode := range UserAgentMode(4) {
		names = append(names, mode.String())
	}
	assert.Equal(t, []string{"full", "truncated", "none", "hashed", "AddressMode(4)", "full", "family", "none",
		"UserAgentMode(3)"}, names)

	require.NoError(t, AddressNone.validate(nil))
	require.NoError(t, AddressHashed.validate(make([]byte, 32)))
	require.NoError(t, UserAgentNone.validate())
	assert.EqualError(t, AddressMode(4).validate(nil),
		"sessiontrack: Options.AddressMode is AddressMode(4): want AddressFull, AddressTruncated, AddressNone or AddressHashed")
	assert.EqualError(t, AddressHashed.validate(make([]byte, 31)),
		"sessiontrack: Options.AddressKey has 31 bytes: want 32 or more")
	assert.EqualError(t, AddressTruncated.validate([]byte("key")),
		"sessiontrack: Options.AddressMode is truncated and AddressKey is set: want AddressHashed")
	assert.EqualError(t, UserAgentMode(3).validate(),
		"sessiontrack: Options.UserAgentMode is UserAgentMode(3): want UserAgentFull, UserAgentFamily or UserAgentNone")
}
