package sessiontrack

import (
	"fmt"
	"net/netip"
)

// AddressMode says how much of a client's address is kept. An address is personal data (CJEU C-582/14); the mode holds
// before anything is stored, logged, sent as an event or handed to a [Locator].
type AddressMode uint8

const (
	// AddressFull keeps the address as it is. It is the default: people tell a thief's session by it.
	AddressFull AddressMode = iota

	// AddressTruncated keeps the network: the first 24 bits of an IPv4 address, the first 48 of an IPv6 one. A 6to4
	// address (2002::/16) keeps 40, because its first 48 bits hold the whole of an IPv4 address (RFC 3056).
	AddressTruncated

	// AddressNone keeps nothing of it.
	AddressNone
)

// String returns "full", "truncated" or "none".
func (m AddressMode) String() string {
	switch m {
	case AddressFull:
		return "full"
	case AddressTruncated:
		return "truncated"
	case AddressNone:
		return "none"
	}
	return fmt.Sprintf("AddressMode(%d)", uint8(m))
}

func (m AddressMode) validate() error {
	if m > AddressNone {
		return fmt.Errorf("sessiontrack: Options.AddressMode is %v: it must be AddressFull, AddressTruncated or AddressNone", m)
	}
	return nil
}

// UserAgentMode says how much of a client's User-Agent is kept. It holds before anything is stored, logged or sent as an event.
type UserAgentMode uint8

const (
	// UserAgentFull keeps the User-Agent, cut to 512 bytes and cleaned. It is the default: a better classifier can
	// label a session again.
	UserAgentFull UserAgentMode = iota

	// UserAgentFamily keeps no User-Agent, and of the device it tells what has no version and no model: its type, browser
	// and operating system, as in "Chrome on Android".
	UserAgentFamily

	// UserAgentNone keeps the type of the device alone.
	UserAgentNone
)

// String returns "full", "family" or "none".
func (m UserAgentMode) String() string {
	switch m {
	case UserAgentFull:
		return "full"
	case UserAgentFamily:
		return "family"
	case UserAgentNone:
		return "none"
	}
	return fmt.Sprintf("UserAgentMode(%d)", uint8(m))
}

func (m UserAgentMode) validate() error {
	if m > UserAgentNone {
		return fmt.Errorf("sessiontrack: Options.UserAgentMode is %v: it must be UserAgentFull, UserAgentFamily or UserAgentNone", m)
	}
	return nil
}

// sixToFour addresses carry an IPv4 address in bits 16 to 47.
var sixToFour = netip.MustParsePrefix("2002::/16")

// maskAddress returns what mode lets be kept of addr: the zero Addr when that is nothing, and for a mode that is none.
func maskAddress(addr netip.Addr, mode AddressMode) netip.Addr {
	if !addr.IsValid() {
		return netip.Addr{}
	}
	addr = plainAddr(addr)
	switch mode {
	case AddressFull:
		return addr
	case AddressTruncated:
		bits := 48
		switch {
		case addr.Is4():
			bits = 24
		case sixToFour.Contains(addr):
			bits = 40
		}
		return netip.PrefixFrom(addr, bits).Masked().Addr()
	}
	return netip.Addr{}
}

// sharedAddresses are those behind carrier-grade NAT (RFC 6598), as good as private.
var sharedAddresses = netip.MustParsePrefix("100.64.0.0/10")

// isPublic reports whether addr can be somewhere: private, shared, loopback, link-local, multicast and unspecified
// addresses are in no place, and no Locator is asked about them.
func isPublic(addr netip.Addr) bool {
	addr = plainAddr(addr)
	return addr.IsGlobalUnicast() && !addr.IsPrivate() && !sharedAddresses.Contains(addr)
}
