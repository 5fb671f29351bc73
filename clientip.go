package sessiontrack

import (
	"fmt"
	"net/http"
	"net/netip"

	"github.com/sessiontrack/sessiontrack/internal/clientip"
)

// SourcePeer is the Source of an address that is the connection's other end: the client
// itself, or, where the headers could not be believed, the proxy in front.
const SourcePeer = clientip.SourcePeer

// ClientAddress is where a request came from, and how that is known. It is comparable.
type ClientAddress struct {
	// Addr has no zone and is never an IPv4 address inside an IPv6 one: neither a mapped one
	// (::ffff:0:0/96) nor one of NAT64's well-known prefix (64:ff9b::/96, RFC 6052). It is
	// the zero Addr, for which IsValid is false, where the peer has no address: on a Unix
	// socket, or where something has replaced RemoteAddr by a text that is no address.
	Addr netip.Addr

	// Source says what Addr was taken from: SourcePeer, or the lower-case name of the header
	// that a trusted proxy vouched for, such as "x-forwarded-for", "forwarded" or
	// "cf-connecting-ip".
	Source string
}

// String returns the address alone, and "" when there is none (where netip would say
// "invalid IP").
func (a ClientAddress) String() string { return clientip.Address(a).String() }

// ClientIP decides which address a request came from. The built-in strategies are
// [RemoteAddr] (the default), [TrustedProxies], [TrustedHeader] and [TrustedHops]. Which
// one is right cannot be guessed from requests: only whoever runs the proxies knows (OWASP
// ASVS 15.3.4, RFC 7239 §8.1).
//
// ClientAddress is called for every tracked request, by many goroutines at once. It must
// not block, must not change or keep the request or its headers, and returns the zero Addr
// for an address that it cannot tell, never a guess.
type ClientIP interface {
	ClientAddress(r *http.Request) ClientAddress
}

// ClientIPFunc lets a function be a [ClientIP], for what the built-in strategies cannot
// express. The address that it returns is brought into the form of [ClientAddress]; its
// Source is kept as it is.
type ClientIPFunc func(r *http.Request) ClientAddress

// ClientAddress calls f.
func (f ClientIPFunc) ClientAddress(r *http.Request) ClientAddress {
	address := f(r)
	address.Addr = clientip.Plain(address.Addr)
	return address
}

// RemoteAddr takes the connection's other end, [http.Request.RemoteAddr], and believes no
// header. It is the default, and right for a server that clients reach directly. Behind a
// proxy every address would be the proxy's: use [TrustedProxies] or [TrustedHeader] there.
//
// A peer on a Unix socket has no address, and the sessions that it begins have none. A
// server that listens on a Unix socket for its own proxy sets RemoteAddr to "127.0.0.1:0"
// in a handler in front of the middleware, and names 127.0.0.1 as trusted. Everybody who
// may open the socket is then believed; the socket's file permissions decide who that is.
// Nothing else in front of the middleware may write RemoteAddr from a header.
func RemoteAddr() ClientIP { return clientStrategy{clientip.Peer()} }

// TrustedProxies believes X-Forwarded-For or Forwarded (RFC 7239) as far as the operator's
// own proxies vouch for it:
//
//   - The peer must be inside prefixes. Otherwise its headers count for nothing and the
//     peer is the client.
//   - The header's lines are one list, which is read from the right, where the nearest
//     proxy wrote. The first address outside prefixes is the client. What stands left of it
//     is whatever the client sent; it is not read.
//   - At a hop that is no address (empty, "unknown", an obfuscated identifier such as
//     "_hidden", a malformed element, 0.0.0.0, multicast) it stops and takes the last hop
//     that was verified: one of the operator's proxies, or the peer. When every hop is
//     trusted, the leftmost is the client.
//   - A comma at the list's end makes an empty last hop: nothing of the header is verified,
//     and the peer is taken.
//   - Where both headers are present, each is walked. When they do not agree, the peer is
//     taken. Most proxies keep only one of the two and pass the other through as the client
//     sent it. A client can thus hide behind the proxy's address by sending the other
//     header, but it cannot choose an address. To prevent that too, have the proxy drop the
//     other header, or name the one that it keeps:
//     TrustedHeader("X-Forwarded-For", prefixes...).
//
// Name the proxies, and not whole networks in which clients live too: an address inside
// prefixes can choose what it is recorded as. Every proxy must add the address of its own
// peer at the header's end. Ports and brackets are accepted. The work is bounded by the
// part of the header that trusted proxies wrote.
//
// Without prefixes nobody is trusted, as with [RemoteAddr]. [New] refuses a prefix that is
// not valid or covers every address (/0). A peer without an address is never trusted;
// [RemoteAddr] says how to use a Unix socket.
func TrustedProxies(prefixes ...netip.Prefix) ClientIP {
	return clientStrategy{clientip.Proxies(prefixes...)}
}

// TrustedHeader believes one header, such as CF-Connecting-IP, True-Client-IP,
// Fly-Client-IP or X-Real-IP, when the peer is inside prefixes and the header is there
// exactly once and holds exactly one address (a port is allowed). Otherwise the peer is
// taken. The proxy must set that header itself and replace what clients send under its
// name; with some vendors that is a setting.
//
// Two names are lists and not single addresses: X-Forwarded-For and Forwarded. They are
// walked as [TrustedProxies] does, that one header alone. CloudFront-Viewer-Address is an
// address and always a port, an IPv6 one without brackets: what stands behind the last
// colon is the port.
//
// [New] refuses a name that is no header name, an empty list of prefixes, and a prefix that
// is not valid or covers every address (/0).
func TrustedHeader(name string, prefixes ...netip.Prefix) ClientIP {
	return clientStrategy{clientip.Header(name, prefixes...)}
}

// TrustedHops believes the nth element of X-Forwarded-For, counted from the right: what the
// outermost of n proxies wrote about its own peer. It is for those who cannot name the
// networks of their proxies, and for a proxy that connects by a Unix socket. Where the
// element is missing or is no address, the peer is taken. Forwarded is not read. An empty
// element counts, so that with a comma at the list's end n reaches one proxy less far.
//
// Danger: nothing is verified but the count. Whoever reaches the server directly, or
// through fewer than n proxies, chooses the address that is recorded. Each way to the
// server must lead through exactly n proxies, and each of them must add its peer at the
// header's end; a health check or a second load balancer that goes another way breaks
// that. Prefer [TrustedProxies] wherever the networks are known.
//
// [New] refuses an n below 1 or above 32.
func TrustedHops(n int) ClientIP { return clientStrategy{clientip.Hops(n)} }

// ParsePrefixes reads a list of networks and single addresses with commas between them, as
// in a flag or an environment variable: "10.0.0.0/8, 2001:db8::/32, 192.0.2.7". An empty
// list has none. Bits behind the length are cleared, IPv4 networks that are written inside
// IPv6 are unmapped, and zones are refused.
func ParsePrefixes(list string) ([]netip.Prefix, error) {
	prefixes, err := clientip.ParsePrefixes(list)
	if err != nil {
		return nil, fmt.Errorf("sessiontrack: %w", err)
	}
	return prefixes, nil
}

// clientStrategy makes a strategy of internal/clientip a ClientIP.
type clientStrategy struct{ *clientip.Strategy }

func (s clientStrategy) ClientAddress(r *http.Request) ClientAddress {
	return ClientAddress(s.Address(r))
}

// validateClientIP reports what is wrong with the arguments of a constructor of this
// package. A ClientIP of the application's own is taken as it is.
func validateClientIP(c ClientIP) error {
	if s, ok := c.(clientStrategy); ok && s.Err() != nil {
		return fmt.Errorf("sessiontrack: Options.ClientIP: %w", s.Err())
	}
	return nil
}

// trustsNobody reports whether c is one of this package's strategies that believe no header.
func trustsNobody(c ClientIP) bool {
	s, ok := c.(clientStrategy)
	return ok && s.TrustsNobody()
}
