package sessiontrack

import (
	"net/netip"
	"strings"
)

const (
	headerXForwardedFor = "X-Forwarded-For"
	headerForwarded     = "Forwarded"

	// maxHopBytes bounds one element of a forwarding header, and with it what is read of a header that its last
	// proxy did not write well: a Forwarded element holds an address or two, a scheme and a host name of 255 bytes.
	maxHopBytes = 1024
)

// hopParser takes the last element off a line of a forwarding header: its address (the zero Addr when it is none), what
// stands left of it, and whether there is anything left.
type hopParser func(line string) (hop netip.Addr, rest string, more bool)

// lastListed is the hopParser of X-Forwarded-For: addresses between commas.
func lastListed(line string) (netip.Addr, string, bool) {
	from := max(0, len(line)-maxHopBytes)
	comma := strings.LastIndexByte(line[from:], ',')
	if comma < 0 {
		if from > 0 {
			return netip.Addr{}, "", false
		}
		return parseNode(trimOWS(line)), "", false
	}
	comma += from
	return parseNode(trimOWS(line[comma+1:])), line[:comma], true
}

// lastForwarded is the hopParser of Forwarded, whose elements may hold commas inside quoted strings (a host name that the
// client sent, for one). Quotes are paired from the right, because only the right end is known to be well formed:
// paired from the left, a single quote of the client's would turn the proxies' elements inside out.
func lastForwarded(line string) (netip.Addr, string, bool) {
	from := max(0, len(line)-maxHopBytes)
	quoted := false
	for i := len(line) - 1; i >= from; i-- {
		switch {
		case line[i] == '"':
			quoted = !quoted || escaped(line[from:i])
		case line[i] == ',' && !quoted:
			return forwardedFor(trimOWS(line[i+1:])), line[:i], true
		}
	}
	if quoted || from > 0 {
		return netip.Addr{}, "", false
	}
	return forwardedFor(trimOWS(line)), "", false
}

// escaped reports whether what follows before is taken literally: an odd number of backslashes stands in front of it.
func escaped(before string) bool {
	n := len(before) - len(strings.TrimRight(before, `\`))
	return n%2 == 1
}

// forwardedFor returns the address of the one "for" parameter of a forwarded-element (RFC 7239 §4):
// token "=" ( token / quoted-string ) pairs between semicolons. One thing is accepted that is not in the grammar, because
// proxies write it: colons and brackets in a value without quotes. An element that is not well formed is no address.
func forwardedFor(element string) (addr netip.Addr) {
	found := false
	for element = trimPairs(element); element != ""; {
		name, rest, ok := strings.Cut(element, "=")
		if !ok || !isToken(name) {
			return netip.Addr{}
		}
		value, rest, ok := forwardedValue(rest)
		if !ok {
			return netip.Addr{}
		}
		if strings.EqualFold(name, "for") {
			if found {
				return netip.Addr{}
			}
			found, addr = true, parseNode(value)
		}
		element = trimPairs(rest)
	}
	return addr
}

// trimPairs removes white space and the empty pairs that the grammar allows.
func trimPairs(s string) string { return strings.TrimLeft(s, "; \t") }

// forwardedValue takes one value and the semicolon behind it. A quoted pair stays as it is written: no address has one,
// so a "for" with one is no address.
func forwardedValue(s string) (value, rest string, ok bool) {
	if !strings.HasPrefix(s, `"`) {
		value, rest, _ = strings.Cut(s, ";")
		value = strings.TrimRight(value, " \t")
		return value, rest, value != "" && !strings.ContainsAny(value, "\"\\ \t=")
	}
	for i := 1; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case '"':
			rest = trimOWS(s[i+1:])
			if rest != "" && rest[0] != ';' {
				return "", "", false
			}
			return s[1:i], strings.TrimPrefix(rest, ";"), true
		}
	}
	return "", "", false
}

// parseNode reads an address as servers and proxies write one: "192.0.2.1", "192.0.2.1:80", "2001:db8::1",
// "[2001:db8::1]", "[2001:db8::1%eth0]:80". Zone and port are not used, so any token will do for them (RFC 7239 §6 allows
// "_http", others are seen). What is no address, or cannot be a client's (unspecified, multicast), gives the zero Addr.
// The zone is cut off before parsing, because netip keeps every zone that it has seen.
func parseNode(s string) netip.Addr {
	if s == "" || len(s) > maxHopBytes {
		return netip.Addr{}
	}
	host, ok := cutPort(s)
	if !ok {
		return netip.Addr{}
	}
	host, zone, _ := strings.Cut(host, "%")
	if zone != "" && !isToken(zone) {
		return netip.Addr{}
	}
	addr, err := netip.ParseAddr(host)
	if err != nil {
		return netip.Addr{}
	}
	addr = plainAddr(addr)
	if addr.IsUnspecified() || addr.IsMulticast() {
		return netip.Addr{}
	}
	return addr
}

// cutPort removes brackets and port. An IPv6 address without brackets has at least two colons, and so no port.
func cutPort(s string) (host string, ok bool) {
	if s[0] == '[' {
		host, rest, found := strings.Cut(s[1:], "]")
		return host, found && (rest == "" || rest[0] == ':' && isToken(rest[1:]))
	}
	host, port, found := strings.Cut(s, ":")
	if !found || strings.Contains(port, ":") {
		return s, true
	}
	return host, isToken(port)
}

// isToken reports whether s is a token (RFC 9110 §5.6.2), as names of headers and parameters are.
func isToken(s string) bool {
	for i := range len(s) {
		c := s[i]
		alphanumeric := c|0x20 >= 'a' && c|0x20 <= 'z' || c >= '0' && c <= '9'
		if !alphanumeric && strings.IndexByte("!#$%&'*+-.^_`|~", c) < 0 {
			return false
		}
	}
	return s != ""
}

// trimOWS removes optional white space as HTTP knows it: no other control characters, no Unicode.
func trimOWS(s string) string { return strings.Trim(s, " \t") }

// plainAddr is the one form in which addresses are compared and recorded.
func plainAddr(addr netip.Addr) netip.Addr { return addr.Unmap().WithZone("") }

// plainPrefix is plainAddr for networks; one that holds more than the IPv4 part of IPv6 stays an IPv6 one.
func plainPrefix(prefix netip.Prefix) netip.Prefix {
	if addr := prefix.Addr(); addr.Is4In6() && prefix.Bits() >= 96 {
		prefix = netip.PrefixFrom(addr.Unmap(), prefix.Bits()-96)
	}
	return prefix.Masked()
}
