package clientip

import (
	"net/netip"
	"strings"
)

// maxHopBytes bounds one element of a forwarding header, and with it what is read of a
// header that its last proxy did not write well: a Forwarded element holds an address or
// two, a scheme and a host name of 255 bytes.
const maxHopBytes = 1024

// elements walks the elements of a forwarding header from the right, where the nearest
// proxy wrote. The header's lines are one list.
type elements struct {
	lines []string
	last  hopParser
	line  string     // what is left of the line that is being read
	more  bool       // whether anything is
	addr  netip.Addr // of the element that next has read; the zero Addr for what is no address
}

// next reads one element and reports whether there was one.
func (e *elements) next() bool {
	if !e.more {
		if len(e.lines) == 0 {
			return false
		}
		e.line = e.lines[len(e.lines)-1]
		e.lines = e.lines[:len(e.lines)-1]
	}
	e.addr, e.line, e.more = e.last(e.line)
	return true
}

// hopParser takes the last element off a line of a forwarding header. It returns the
// element's address (the zero Addr for what is no address), the rest of the line, and
// whether there is a rest.
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

// lastForwarded is the hopParser of Forwarded, whose elements may hold commas inside
// quoted strings, such as a host name that the client sent. Quotes are paired from the
// right, because only the right end is known to be well formed: paired from the left, one
// quote of the client's would turn the proxies' elements inside out.
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

// escaped reports whether an odd number of backslashes ends before, so that the character
// behind it is taken literally.
func escaped(before string) bool {
	n := len(before) - len(strings.TrimRight(before, `\`))
	return n%2 == 1
}

// forwardedFor returns the address of the one "for" parameter of a forwarded-element
// (RFC 7239 §4), which is a list of token "=" ( token / quoted-string ) with semicolons
// between. One thing is accepted that the grammar does not have, because proxies write it:
// colons and brackets in a value without quotes. An element that is not well formed has no
// address.
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

// forwardedValue takes one value and the semicolon behind it. A quoted pair stays as it
// is written: no address has one, so a "for" with one has no address.
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

// parseNode reads an address as servers and proxies write one: "192.0.2.1",
// "192.0.2.1:80", "2001:db8::1", "[2001:db8::1]", "[2001:db8::1%eth0]:80". The port is
// not used, so any token will do for it (RFC 7239 §6 allows "_http"). What is no address,
// and what cannot be a client's (unspecified, multicast), is the zero Addr. The zone is cut
// off before parsing, because netip keeps every zone that it has seen.
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
	addr = unmapped(addr)
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
