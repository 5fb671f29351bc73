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
	addr = Plain(addr)
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

// Plain returns addr in the one form in which addresses are compared and recorded:
// without a zone, and never an IPv4 address inside an IPv6 one.
func Plain(addr netip.Addr) netip.Addr { return addr.Unmap().WithZone("") }

// plainPrefix is Plain for networks. A network that holds more than the IPv4 part of
// IPv6 stays an IPv6 one.
func plainPrefix(prefix netip.Prefix) netip.Prefix {
	if addr := prefix.Addr(); addr.Is4In6() && prefix.Bits() >= 96 {
		prefix = netip.PrefixFrom(addr.Unmap(), prefix.Bits()-96)
	}
	return prefix.Masked()
}
