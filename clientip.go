package sessiontrack

import (
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// SourcePeer is the Source of an address that is the connection's other end: the client itself, or, where the headers
// could not be believed, the proxy in front.
const SourcePeer = "remote_addr"

const (
	fromXForwardedFor = "x-forwarded-for"
	fromForwarded     = "forwarded"
)

// ClientAddress is where a request came from, and how that is known. It is comparable.
type ClientAddress struct {
	// Addr has no zone and is never an IPv4 address inside an IPv6 one. It is the zero Addr, for which IsValid is
	// false, when the peer has no address: a Unix socket, or a RemoteAddr that something replaced by a text that is none.
	Addr netip.Addr

	// Source says what Addr was taken from: SourcePeer, or the lower-case name of the header that a trusted proxy
	// vouched for, such as "x-forwarded-for", "forwarded" or "cf-connecting-ip".
	Source string
}

// String returns the address alone, and "" when there is none (where netip would say "invalid IP").
func (a ClientAddress) String() string {
	if !a.Addr.IsValid() {
		return ""
	}
	return a.Addr.String()
}

// ClientIP decides which address a request came from. The built-in ones are [RemoteAddr] (the default),
// [TrustedProxies] and [TrustedHeader]; which is right cannot be guessed from requests, only told by whoever runs the
// proxies (OWASP ASVS 15.3.4, RFC 7239 §8.1).
//
// ClientAddress is called for every tracked request, from many goroutines at once. It does not block, changes neither
// the request nor its headers and keeps neither; an address that it cannot tell is the zero Addr, never a guess.
type ClientIP interface {
	ClientAddress(r *http.Request) ClientAddress
}

// ClientIPFunc lets a function be a [ClientIP], for what the built-in ones cannot express. The address it returns is
// stripped of its zone and unmapped; its Source is kept as it is.
type ClientIPFunc func(r *http.Request) ClientAddress

// ClientAddress calls f.
func (f ClientIPFunc) ClientAddress(r *http.Request) ClientAddress {
	address := f(r)
	address.Addr = plainAddr(address.Addr)
	return address
}

// RemoteAddr takes the connection's other end, [http.Request.RemoteAddr], and believes no header. It is the default,
// and right for a server that clients reach directly. Behind a proxy every address would be the proxy's: use
// [TrustedProxies] or [TrustedHeader] there.
//
// A peer on a Unix socket has no address; neither have the sessions that it begins. A server that listens on a Unix
// socket for its own proxy sets RemoteAddr to "127.0.0.1:0" in a handler of its own in front of the middleware, and
// names 127.0.0.1 as trusted: whoever may open the socket is then believed, which is what file permissions decide.
// Nothing else in front of the middleware may write RemoteAddr from a header.
func RemoteAddr() ClientIP { return remoteAddr{} }

type remoteAddr struct{}

func (remoteAddr) ClientAddress(r *http.Request) ClientAddress { return peerAddress(r) }

// TrustedProxies believes X-Forwarded-For or Forwarded (RFC 7239) as far as the operator's own proxies vouch for it:
//
//   - The peer must be inside prefixes; else its headers count for nothing and the peer is the client.
//   - The header's lines are one list, read from the right, where the nearest proxy wrote. The first address outside
//     prefixes is the client; what stands left of it is whatever the client sent, and is not looked at.
//   - At a hop that is no address (empty, "unknown", an obfuscated identifier such as "_hidden", a malformed element,
//     0.0.0.0, multicast) it stops and takes the last hop that was verified: a proxy of the operator's, or the peer.
//     When every hop is trusted, the leftmost is the client.
//   - With both headers present, each is walked; when they do not agree, the peer is taken. Most proxies keep only one
//     of the two and pass the other through as the client sent it. A client can thus hide behind the proxy's address
//     by sending the other header, but cannot choose an address; to prevent that too, have the proxy drop the other
//     header, or name the one it keeps: TrustedHeader("X-Forwarded-For", prefixes...).
//
// Name the proxies and not whole networks in which clients live too: an address inside prefixes may choose what it is
// recorded as. Every proxy must add the address of its own peer, to the header's end. Ports and brackets are accepted.
// The work is bounded by the part of the header that trusted proxies wrote.
//
// Without prefixes nobody is trusted, as with [RemoteAddr]. A prefix that is not valid or covers every address (/0)
// is refused by [New]. A peer without an address is never trusted; [RemoteAddr] says how to use a Unix socket.
func TrustedProxies(prefixes ...netip.Prefix) ClientIP {
	c := &proxyHeaders{}
	c.trusted, c.err = trustedPrefixes(prefixes)
	return c
}

// TrustedHeader believes one header, such as CF-Connecting-IP, True-Client-IP, Fly-Client-IP or X-Real-IP, when the peer
// is inside prefixes, the header is there exactly once and holds exactly one address (a port is allowed); else the peer
// is taken. The proxy must set that header itself and replace what clients send under its name: with some vendors that
// is a setting.
//
// Two names are lists, not single addresses, and are walked as [TrustedProxies] does, that one header alone:
// X-Forwarded-For and Forwarded.
//
// A name that is no header name, an empty list of prefixes, and a prefix that is not valid or covers every address (/0)
// are refused by [New].
func TrustedHeader(name string, prefixes ...netip.Prefix) ClientIP {
	c := &proxyHeaders{only: http.CanonicalHeaderKey(name)}
	c.source = strings.ToLower(name)
	c.trusted, c.err = trustedPrefixes(prefixes)
	switch {
	case !isToken(name):
		c.trusted, c.err = nil, fmt.Errorf("%q is not a header name", name)
	case len(prefixes) == 0:
		c.err = errors.New("TrustedHeader needs the prefixes of the proxies that set " + c.only)
	}
	return c
}

// ParsePrefixes reads a comma-separated list of networks and single addresses, as in a flag or an environment variable:
// "10.0.0.0/8, 2001:db8::/32, 192.0.2.7". An empty list is none. Bits behind the length are cleared and IPv4 networks
// written inside IPv6 are unmapped; zones are refused.
func ParsePrefixes(list string) ([]netip.Prefix, error) {
	if strings.TrimSpace(list) == "" {
		return nil, nil
	}
	var prefixes []netip.Prefix
	for text := range strings.SplitSeq(list, ",") {
		prefix, err := parsePrefix(strings.TrimSpace(text))
		if err != nil {
			return nil, fmt.Errorf("sessiontrack: %q is neither a network nor an address", strings.TrimSpace(text))
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
	addr = plainAddr(addr)
	return netip.PrefixFrom(addr, addr.BitLen()), err
}

// validateClientIP reports what is wrong with a strategy that a constructor above could not refuse, for New to name the
// field. A strategy of the host's own is taken as it is.
func validateClientIP(c ClientIP) error {
	if p, ok := c.(*proxyHeaders); ok && p.err != nil {
		return fmt.Errorf("sessiontrack: Options.ClientIP: %w", p.err)
	}
	return nil
}

// proxyHeaders is TrustedProxies, or TrustedHeader when only is set.
type proxyHeaders struct {
	trusted []netip.Prefix
	only    string // canonical name of the one header that counts; "" for X-Forwarded-For and Forwarded
	source  string // of only
	err     error  // for validateClientIP
}

func (c *proxyHeaders) ClientAddress(r *http.Request) ClientAddress {
	peer := peerAddress(r)
	if !c.trusts(peer.Addr) {
		return peer
	}
	switch c.only {
	case "":
		return c.either(r.Header, peer)
	case headerXForwardedFor:
		return c.walk(peer, r.Header[headerXForwardedFor], lastListed, fromXForwardedFor)
	case headerForwarded:
		return c.walk(peer, r.Header[headerForwarded], lastForwarded, fromForwarded)
	}
	return single(peer, r.Header[c.only], c.source)
}

// either walks the header that is there. An empty one counts as there: it may be a proxy's, for a peer without address.
func (c *proxyHeaders) either(header http.Header, peer ClientAddress) ClientAddress {
	listed, forwarded := header[headerXForwardedFor], header[headerForwarded]
	if len(forwarded) == 0 {
		return c.walk(peer, listed, lastListed, fromXForwardedFor)
	}
	byForwarded := c.walk(peer, forwarded, lastForwarded, fromForwarded)
	if len(listed) == 0 {
		return byForwarded
	}
	if byListed := c.walk(peer, listed, lastListed, fromXForwardedFor); byListed.Addr == byForwarded.Addr {
		return byListed
	}
	return peer
}

// walk reads the list's elements from the right until one is not trusted (it is the client) or not an address (the one
// before is taken). Each element that it passes was written by a proxy that is trusted, so none of them is the client's.
func (c *proxyHeaders) walk(last ClientAddress, lines []string, lastHop hopParser, source string) ClientAddress {
	for _, line := range slices.Backward(lines) {
		for more := true; more; {
			var hop netip.Addr
			hop, line, more = lastHop(line)
			if !hop.IsValid() {
				return last
			}
			last = ClientAddress{Addr: hop, Source: source}
			if !c.trusts(hop) {
				return last
			}
		}
	}
	return last
}

// single takes a header that must be there once and be one address.
func single(peer ClientAddress, lines []string, source string) ClientAddress {
	if len(lines) != 1 {
		return peer
	}
	addr := parseNode(trimOWS(lines[0]))
	if !addr.IsValid() {
		return peer
	}
	return ClientAddress{Addr: addr, Source: source}
}

func (c *proxyHeaders) trusts(addr netip.Addr) bool {
	for _, prefix := range c.trusted {
		if prefix.Contains(addr) {
			return true
		}
	}
	return false
}

// trustedPrefixes returns the prefixes in the form that plain addresses are compared in. What is refused is left out,
// so that a strategy used in spite of its error trusts less, not more.
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

func peerAddress(r *http.Request) ClientAddress {
	return ClientAddress{Addr: parseNode(r.RemoteAddr), Source: SourcePeer}
}
