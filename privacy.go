package sessiontrack

import (
	"crypto/hmac"
	"crypto/sha256"
	"fmt"
	"net/netip"

	"github.com/sessiontrack/sessiontrack/internal/clientip"
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

	// AddressHashed keeps a pseudonym in its place (GDPR article 4 (5)): the first 64 bits of HMAC-SHA256 under
	// [Options.AddressKey], written as an address in 100::/64, which no client can have (RFC 6666). The same address has
	// the same pseudonym, so that a search for it finds its sessions; a [Locator] is not asked, because a pseudonym is
	// in no place.
	AddressHashed
)

// leastAddressKey is the bytes of the hash: a shorter key is the weaker part of the two (RFC 2104 §3).
const leastAddressKey = sha256.Size

// String returns "full", "truncated", "none" or "hashed".
func (m AddressMode) String() string {
	switch m {
	case AddressFull:
		return "full"
	case AddressTruncated:
		return "truncated"
	case AddressNone:
		return "none"
	case AddressHashed:
		return "hashed"
	}
	return fmt.Sprintf("AddressMode(%d)", uint8(m))
}

// validate checks the mode and the key that belongs to it. The key itself is not told.
func (m AddressMode) validate(key []byte) error {
	switch {
	case m > AddressHashed:
		return fmt.Errorf("sessiontrack: Options.AddressMode is %v: it must be AddressFull, AddressTruncated, AddressNone or AddressHashed", m)
	case m == AddressHashed && len(key) < leastAddressKey:
		return fmt.Errorf("sessiontrack: Options.AddressKey has %d bytes: want %d or more", len(key), leastAddressKey)
	case m != AddressHashed && len(key) > 0:
		return fmt.Errorf("sessiontrack: Options.AddressKey is set, but AddressMode is %v: it must be AddressHashed", m)
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

// pseudonyms is the discard-only prefix, in which no packet comes from anywhere.
var pseudonyms = netip.MustParsePrefix("100::/64")

// privacy says what is kept of a client.
type privacy struct {
	address AddressMode
	key     []byte // of AddressHashed
	agent   UserAgentMode
}

// keptAddress returns what is kept of addr: the zero Addr when that is nothing.
func (p *privacy) keptAddress(addr netip.Addr) netip.Addr {
	if p.address == AddressHashed {
		return hashAddress(addr, p.key)
	}
	return maskAddress(addr, p.address)
}

// keptDevice returns what is kept of a device.
func (p *privacy) keptDevice(d Device) Device {
	switch p.agent {
	case UserAgentFull:
		return d
	case UserAgentFamily:
		return Device{Type: d.Type, Browser: d.Browser, OS: d.OS, Source: d.Source, Ambiguous: d.Ambiguous}
	}
	return Device{Type: d.Type, Source: d.Source}
}

// keptAgent returns the user agent and the client hints, which are kept whole or not at
// all.
func (p *privacy) keptAgent(o observation) (agent, hints string) {
	if p.agent != UserAgentFull {
		return "", ""
	}
	return o.userAgent, o.hints
}

// hashAddress returns the pseudonym of addr under key, the zero Addr for the zero Addr.
func hashAddress(addr netip.Addr, key []byte) netip.Addr {
	if !addr.IsValid() {
		return netip.Addr{}
	}
	mac := hmac.New(sha256.New, key)
	mac.Write(clientip.Plain(addr).AsSlice())
	pseudonym := pseudonyms.Addr().As16()
	copy(pseudonym[8:], mac.Sum(nil))
	return netip.AddrFrom16(pseudonym)
}

// maskAddress returns the part of addr that mode keeps: the zero Addr when that is nothing, and for a mode that keeps no part.
func maskAddress(addr netip.Addr, mode AddressMode) netip.Addr {
	if !addr.IsValid() {
		return netip.Addr{}
	}
	addr = clientip.Plain(addr)
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
// addresses and pseudonyms are in no place, and no Locator is asked about them.
func isPublic(addr netip.Addr) bool {
	addr = clientip.Plain(addr)
	return addr.IsGlobalUnicast() && !addr.IsPrivate() && !sharedAddresses.Contains(addr) && !pseudonyms.Contains(addr)
}

// observation is what a request shows of its client. It is cleaned, cut and masked before
// anything else sees it.
type observation struct {
	address   netip.Addr
	source    string
	userAgent string
	hints     string
	device    Device
}
