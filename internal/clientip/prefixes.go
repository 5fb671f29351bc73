package clientip

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
)

// ParsePrefixes reads a list of networks and single addresses with commas between them.
// An empty list has none. Bits behind the length are cleared, IPv4 networks that are
// written inside IPv6 are unmapped, and zones are refused.
func ParsePrefixes(list string) ([]netip.Prefix, error) {
	if strings.TrimSpace(list) == "" {
		return nil, nil
	}
	var prefixes []netip.Prefix
	for text := range strings.SplitSeq(list, ",") {
		prefix, err := parsePrefix(strings.TrimSpace(text))
		if err != nil {
			return nil, fmt.Errorf("%q is neither a network nor an address", strings.TrimSpace(text))
		}
		prefixes = append(prefixes, prefix)
	}
	return prefixes, nil
}

func parsePrefix(text string) (netip.Prefix, error) {
	if strings.Contains(text, "/") {
		prefix, err := netip.ParsePrefix(text)
		return plainPrefix(prefix), err
	}
	addr, err := netip.ParseAddr(text)
	if err == nil && addr.Zone() != "" {
		err = errors.New("zone in an address")
	}
	addr = unmapped(addr)
	return netip.PrefixFrom(addr, addr.BitLen()), err
}

// trustedPrefixes returns the prefixes in the form that plain addresses are compared in.
// What is refused is left out, so that a strategy that is used in spite of its error
// trusts less, not more.
func trustedPrefixes(prefixes []netip.Prefix) ([]netip.Prefix, error) {
	var err error
	trusted := make([]netip.Prefix, 0, len(prefixes))
	for i, prefix := range prefixes {
		plain := plainPrefix(prefix)
		switch {
		case !plain.IsValid():
			err = fmt.Errorf("trusted prefix number %d is not valid", i+1)
		case plain.Bits() == 0:
			err = fmt.Errorf("trusted prefix %v covers every address: each client could choose its own", prefix)
		default:
			trusted = append(trusted, plain)
		}
	}
	return trusted, err
}

// Plain returns addr in the one form in which addresses are recorded: without a zone, and
// never an IPv4 address inside an IPv6 one, whether that is mapped (::ffff:0:0/96, RFC 4291
// §2.5.5.2) or translated by NAT64 (64:ff9b::/96, RFC 6052). Networks of NAT64 that are the
// operator's own choice cannot be told from others and stay as they are.
func Plain(addr netip.Addr) netip.Addr {
	addr = unmapped(addr)
	if !inNAT64(addr) {
		return addr
	}
	bytes := addr.As16()
	return netip.AddrFrom4([4]byte(bytes[12:]))
}

// unmapped is Plain without NAT64: what is compared with trusted networks.
func unmapped(addr netip.Addr) netip.Addr { return addr.Unmap().WithZone("") }

// wellKnown is the well-known prefix of NAT64 (RFC 6052 §2.1).
var wellKnown = netip.MustParsePrefix("64:ff9b::/96")

// inNAT64 reports whether addr holds an IPv4 address that NAT64 has translated. Addresses
// that are not global are never translated so (RFC 6052 §3.1): one that looks like it is an
// attempt to come from a private network.
func inNAT64(addr netip.Addr) bool {
	if !wellKnown.Contains(addr) {
		return false
	}
	bytes := addr.As16()
	inner := netip.AddrFrom4([4]byte(bytes[12:]))
	return inner.IsGlobalUnicast() && !inner.IsPrivate() && !shared.Contains(inner)
}

// shared holds the addresses of carrier-grade NAT (RFC 6598), which are not global.
var shared = netip.MustParsePrefix("100.64.0.0/10")

// plainPrefix is unmapped for networks. A network that holds more than the IPv4 part of
// IPv6 stays an IPv6 one.
func plainPrefix(prefix netip.Prefix) netip.Prefix {
	if addr := prefix.Addr(); addr.Is4In6() && prefix.Bits() >= 96 {
		prefix = netip.PrefixFrom(addr.Unmap(), prefix.Bits()-96)
	}
	return prefix.Masked()
}
