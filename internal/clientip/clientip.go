// Package clientip finds out where a request came from: from the connection, or from a
// header as far as the operator's own proxies vouch for it. What is trusted is declared
// and never guessed from requests (OWASP ASVS 15.3.4, RFC 7239 §8.1).
package clientip

import (
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// SourcePeer is the Source of an address that is the connection's other end.
const SourcePeer = "remote_addr"

const (
	fromXForwardedFor = "x-forwarded-for"
	fromForwarded     = "forwarded"

	headerXForwardedFor = "X-Forwarded-For"
	headerForwarded     = "Forwarded"
	headerViewer        = "Cloudfront-Viewer-Address"

	// maxHops is more proxies than stand in front of any server.
	maxHops = 32
)

// Address is where a request came from, and how that is known.
type Address struct {
	Addr   netip.Addr // in the form of Plain; the zero Addr where there is none
	Source string     // SourcePeer, or the lower-case name of a header
}

// String returns the address alone, and "" when there is none.
func (a Address) String() string {
	if !a.Addr.IsValid() {
		return ""
	}
	return a.Addr.String()
}

// Strategy decides which address a request came from. It is immutable and safe for
// concurrent use.
type Strategy struct {
	trusted []netip.Prefix
	read    func(s *Strategy, header http.Header, peer Address) Address
	name    string // canonical name of the one header that single reads
	source  string // Source of what single reads
	hops    int    // the element of X-Forwarded-For that counted reads, from the right
	err     error
}

// Peer takes the connection's other end and believes no header.
func Peer() *Strategy { return &Strategy{} }

// Proxies believes X-Forwarded-For or Forwarded (RFC 7239) as far as peers and hops are
// inside prefixes. Without prefixes it is Peer.
func Proxies(prefixes ...netip.Prefix) *Strategy {
	s := &Strategy{read: (*Strategy).either}
	s.trusted, s.err = trustedPrefixes(prefixes)
	return s
}

// Header believes the one header of that name where the peer is inside prefixes.
// X-Forwarded-For and Forwarded are lists and are walked; every other header is there
// once and holds one address. CloudFront-Viewer-Address holds an address and always a
// port, without brackets around IPv6.
func Header(name string, prefixes ...netip.Prefix) *Strategy {
	s := &Strategy{name: http.CanonicalHeaderKey(name), source: strings.ToLower(name)}
	s.trusted, s.err = trustedPrefixes(prefixes)
	switch {
	case !isToken(name):
		s.trusted, s.err = nil, fmt.Errorf("%q is not a header name", name)
	case len(prefixes) == 0:
		s.err = errors.New("TrustedHeader needs the prefixes of the proxies that set " + s.name)
	}
	switch s.name {
	case headerXForwardedFor:
		s.read = (*Strategy).walkListed
	case headerForwarded:
		s.read = (*Strategy).walkForwarded
	case headerViewer:
		s.read = (*Strategy).viewer
	default:
		s.read = (*Strategy).single
	}
	return s
}

// Hops believes the nth element of X-Forwarded-For, from the right, whoever the peer is.
func Hops(n int) *Strategy {
	s := &Strategy{read: (*Strategy).counted, hops: n}
	if n < 1 || n > maxHops {
		s.read, s.err = nil, fmt.Errorf("TrustedHops is %d: want 1 to %d", n, maxHops)
	}
	return s
}

// Err says what is wrong with the arguments that the strategy was built from, nil when
// nothing is. A strategy with an error trusts less than was asked for, never more.
func (s *Strategy) Err() error { return s.err }

// TrustsNobody reports whether the strategy believes no header of any request.
func (s *Strategy) TrustsNobody() bool {
	return s.read == nil || s.hops == 0 && len(s.trusted) == 0
}

// Address returns where r came from.
func (s *Strategy) Address(r *http.Request) Address {
	addr := parseNode(r.RemoteAddr)
	peer := Address{Addr: Plain(addr), Source: SourcePeer}
	if s.read == nil || s.hops == 0 && !s.trusts(addr) {
		return peer
	}
	return s.read(s, r.Header, peer)
}

// either walks the header that is there, and takes the peer where there are two that do
// not agree. An empty header counts as there: a proxy writes one for a peer without an
// address.
func (s *Strategy) either(header http.Header, peer Address) Address {
	if len(header[headerForwarded]) == 0 {
		return s.walkListed(header, peer)
	}
	forwarded := s.walkForwarded(header, peer)
	if len(header[headerXForwardedFor]) == 0 {
		return forwarded
	}
	if listed := s.walkListed(header, peer); listed.Addr == forwarded.Addr {
		return listed
	}
	return peer
}

func (s *Strategy) walkListed(header http.Header, peer Address) Address {
	return s.walk(peer, header[headerXForwardedFor], lastListed, fromXForwardedFor)
}

func (s *Strategy) walkForwarded(header http.Header, peer Address) Address {
	return s.walk(peer, header[headerForwarded], lastForwarded, fromForwarded)
}

// walk reads a list's elements from the right. The first that is not trusted is the
// client; at one that is no address the walk ends with the hop before. Every element
// that is read was written by a trusted proxy.
func (s *Strategy) walk(last Address, lines []string, lastHop hopParser, source string) Address {
	hops := elements{lines: lines, last: lastHop}
	for hops.next() {
		if !hops.addr.IsValid() {
			return last
		}
		last = Address{Addr: Plain(hops.addr), Source: source}
		if !s.trusts(hops.addr) {
			return last
		}
	}
	return last
}

// counted takes the element of X-Forwarded-For that the outermost proxy wrote. The others
// are counted and not read: a proxy whose peer is on a Unix socket writes no address. An
// empty element counts too, so that no comma moves the choice to an element of the client's.
func (s *Strategy) counted(header http.Header, peer Address) Address {
	left := s.hops
	for _, line := range slices.Backward(header[headerXForwardedFor]) {
		for more := true; more; {
			comma := strings.LastIndexByte(line, ',')
			if left--; left == 0 {
				return orPeer(parseNode(trimOWS(line[comma+1:])), fromXForwardedFor, peer)
			}
			line, more = line[:max(comma, 0)], comma >= 0
		}
	}
	return peer
}

// single takes a header that must be there once and be one address.
func (s *Strategy) single(header http.Header, peer Address) Address {
	lines := header[s.name]
	if len(lines) != 1 {
		return peer
	}
	return orPeer(parseNode(trimOWS(lines[0])), s.source, peer)
}

// viewer is single for an address that has a port for certain. Its last colon is the port's:
// "2001:db8::1:443" is 2001:db8::1, though it reads as an address as a whole.
func (s *Strategy) viewer(header http.Header, peer Address) Address {
	lines := header[s.name]
	if len(lines) != 1 {
		return peer
	}
	value := trimOWS(lines[0])
	colon := strings.LastIndexByte(value, ':')
	if colon < 0 {
		return peer
	}
	if _, err := strconv.ParseUint(value[colon+1:], 10, 16); err != nil {
		return peer
	}
	host := value[:colon]
	if !strings.HasPrefix(host, "[") && strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	return orPeer(parseNode(host), s.source, peer)
}

// orPeer is addr as a header has it, and the peer where that is no address.
func orPeer(addr netip.Addr, source string, peer Address) Address {
	if !addr.IsValid() {
		return peer
	}
	return Address{Addr: Plain(addr), Source: source}
}

// trusts reports whether addr, which is not translated yet, is one of the operator's own
// proxies. One that is reached through NAT64 may be named by its IPv4 address.
func (s *Strategy) trusts(addr netip.Addr) bool {
	return s.names(addr) || inNAT64(addr) && s.names(Plain(addr))
}

func (s *Strategy) names(addr netip.Addr) bool {
	for _, prefix := range s.trusted {
		if prefix.Contains(addr) {
			return true
		}
	}
	return false
}
