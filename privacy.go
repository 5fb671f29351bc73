package sessiontrack

import (
	"crypto/hmac"
	"crypto/sha256"
	"fmt"
	"net/netip"

	"github.com/sessiontrack/sessiontrack/internal/clientip"
)

// AddressMode says how much of a client's address is kept. An address is personal data (CJEU
// C-582/14). The mode is applied before the address is stored, logged, sent as an event or passed
// to a [Locator].
type AddressMode uint8

const (
	// AddressFull keeps the address unchanged. It is the default: users recognise a thief's session
	// by it.
	AddressFull AddressMode = iota

	// AddressTruncated keeps the network: the first 24 bits of an IPv4 address, the first 48 bits
	// of an IPv6 address. It keeps 40 bits of a 6to4 address (2002::/16), because the first 48 bits
	// contain a whole IPv4 address (RFC 3056).
	AddressTruncated

	// AddressNone keeps no address.
	AddressNone

	// AddressHashed replaces the address by a pseudonym (GDPR article 4 (5)): the first 64 bits of
	// HMAC-SHA256 under [Options.AddressKey], written as an address in 100::/64, which no client
	// can have (RFC 6666). The same address has the same pseudonym, so a search for it finds its
	// sessions. The [Locator] is not called, because a pseudonym has no location.
	AddressHashed
)

// leastAddressKey is the size of the hash: a shorter key would be weaker than the hash (RFC 2104
// §3).
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

// validate checks the mode and its key. The error does not contain the key.
func (m AddressMode) validate(key []byte) error {
	switch {
	case m > AddressHashed:
		return fmt.Errorf("sessiontrack: Options.AddressMode is %v: want AddressFull, AddressTruncated, AddressNone or "+
			"AddressHashed", m)
	case m == AddressHashed && len(key) < leastAddressKey:
		return fmt.Errorf("sessiontrack: Options.AddressKey has %d bytes: want %d or more", len(key), leastAddressKey)
	case m != AddressHashed && len(key) > 0:
		return fmt.Errorf("sessiontrack: Options.AddressMode is %v and AddressKey is set: want AddressHashed", m)
	}
	return nil
}

// UserAgentMode says how much of a client's User-Agent is kept. It is applied before the User-Agent
// is stored, logged or sent as an event.
type UserAgentMode uint8

const (
	// UserAgentFull keeps the User-Agent, cut to 512 bytes and cleaned. It is the default: a better
	// classifier can name the device again.
	UserAgentFull UserAgentMode = iota

	// UserAgentFamily keeps no User-Agent. Of the device it keeps the type, the browser and the
	// operating system without versions and model, as in "Chrome on Android".
	UserAgentFamily

	// UserAgentNone keeps only the type of the device.
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
		return fmt.Errorf("sessiontrack: Options.UserAgentMode is %v: want UserAgentFull, UserAgentFamily or UserAgentNone",
			m)
	}
	return nil
}

// sixToFour is the prefix of addresses that contain an IPv4 address in bits 16 to 47.
var sixToFour = netip.MustParsePrefix("2002::/16")

// pseudonyms is the discard-only prefix. No packet has a source address in it.
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

// hashAddress returns the pseudonym of addr under key. The zero Addr stays the zero Addr.
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

// maskAddress returns the part of addr that mode keeps. It returns the zero Addr if the mode keeps
// no part.
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

// sharedAddresses are the addresses behind carrier-grade NAT (RFC 6598), which are private too.
var sharedAddresses = netip.MustParsePrefix("100.64.0.0/10")

// isPublic reports whether addr can have a location. Private, shared, loopback, link-local,
// multicast and unspecified addresses have none, and pseudonyms have none. The Locator is not
// called for them.
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
