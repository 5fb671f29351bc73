package clientip

import (
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// honestProxy forwards a request as one kind of real proxy does: it adds the address of its own peer at the header's
// end, and passes on what it does not know about.
type honestProxy struct {
	forwarded bool // keeps Forwarded; else X-Forwarded-For
	ownLine   bool // adds a line (HAProxy); else joins all lines into one and adds to it (nginx, Go's ReverseProxy)
	port      bool // writes the port, and brackets
}

func (p honestProxy) forward(header http.Header, peer netip.Addr, host string) {
	name, hop := "X-Forwarded-For", peer.String()
	if p.port {
		hop = netip.AddrPortFrom(peer, 4711).String()
	}
	if p.forwarded {
		name = "Forwarded"
		hop = `for="` + hop + `";proto=https;host="` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(host) + `"`
	}
	if lines := header[name]; p.ownLine || len(lines) == 0 {
		header[name] = append(lines, hop)
	} else {
		header[name] = []string{strings.Join(append(lines, hop), ", ")}
	}
}

// A client outside the trusted networks sends what it likes through honest proxies. Whatever that is, it is recorded
// under its own address, or, where it sent the forwarding header that its proxies do not keep, under the last proxy's.
func FuzzUntrustedClientCannotChooseItsAddress(f *testing.F) {
	f.Add("1.2.3.4", "", "", "example.org", uint8(1), uint8(0))
	f.Add("1.2.3.4, 10.0.0.1\n8.8.8.8", "for=8.8.8.8", "1.2.3.4", `a", for=8.8.8.8;x="`, uint8(3), uint8(7))
	f.Add("", `for="`, "", `, for=8.8.8.8, `, uint8(2), uint8(1))
	f.Add("", `for="x\`, "", `\", for=8.8.8.8;x="\`, uint8(4), uint8(3))
	f.Add("unknown, _hidden, [::1, fe80::1%eth0", `for=_x;for="[::1]`, "::", `"`, uint8(2), uint8(5))
	f.Add(strings.Repeat("10.0.0.1,", 50), strings.Repeat(`"`, 2000), "", strings.Repeat(`\"`, 120), uint8(4), uint8(1))

	client := netip.MustParseAddr("203.0.113.9")
	proxies := []netip.Addr{
		netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("2001:db8:aaaa::2"),
		netip.MustParseAddr("198.51.100.3"), netip.MustParseAddr("10.0.0.4"),
	}
	prefixes := mustPrefixes(f, trustedInTests)
	f.Fuzz(func(t *testing.T, listed, forwarded, single, host string, hops, style uint8) {
		proxy := honestProxy{forwarded: style&1 != 0, ownLine: style&2 != 0, port: style&4 != 0}
		host = host[:min(len(host), 255)] // servers refuse longer ones
		header := http.Header{}
		for name, text := range map[string]string{"X-Forwarded-For": listed, "Forwarded": forwarded, "X-Real-Ip": single} {
			if text != "" {
				header[name] = strings.Split(text, "\n")
			}
		}

		// Reached directly, the client's headers count for nothing.
		for _, strategy := range []*Strategy{
			Peer(), Proxies(prefixes...), Header("X-Real-IP", prefixes...),
			Header("X-Forwarded-For", prefixes...), Header("Forwarded", prefixes...),
		} {
			require.Equal(t, Address{client, SourcePeer}, resolve(strategy, "203.0.113.9:50000", header))
		}

		path := proxies[:1+int(hops)%len(proxies)]
		peer := client
		for _, next := range path {
			proxy.forward(header, peer, host)
			peer = next
		}
		remote := netip.AddrPortFrom(peer, 50000).String()

		kept := "X-Forwarded-For"
		if proxy.forwarded {
			kept = "Forwarded"
		}
		require.Equal(t, client, resolve(Header(kept, prefixes...), remote, header).Addr, "%s: %q", kept, header)

		if !proxy.forwarded {
			require.Equal(t, client, resolve(Hops(len(path)), remote, header).Addr, "%q", header)
		}

		got := resolve(Proxies(prefixes...), remote, header)
		if len(header["Forwarded"]) > 0 && len(header["X-Forwarded-For"]) > 0 {
			require.Contains(t, []netip.Addr{client, peer}, got.Addr, "%q", header)
		} else {
			require.Equal(t, client, got.Addr, "%q", header)
		}
	})
}

// Whatever the peer and the header are, the result is the peer, or a hop of the header at the right of which every hop
// is trusted; and it is in the one form that addresses are recorded in.
func FuzzClientAddressIsVouchedFor(f *testing.F) {
	f.Add("10.0.0.1:80", "1.2.3.4, 203.0.113.9, 10.0.0.2")
	f.Add("10.0.0.1:80", "1.2.3.4\n10.0.0.3,unknown\n10.0.0.2:80")
	f.Add("[::ffff:10.0.0.1]:80", "[::ffff:1.2.3.4%eth0]:_x, [fe80::1%a]:1")
	f.Add("[fe80::1%25]:80", ",,\n,")
	f.Add("@", "1.2.3.4")
	f.Add("203.0.113.9", "1.2.3.4")
	prefixes := mustPrefixes(f, trustedInTests)
	trusts := func(addr netip.Addr) bool {
		return slices.ContainsFunc(prefixes, func(p netip.Prefix) bool {
			return p.Contains(addr) || p.Contains(Plain(addr))
		})
	}
	f.Fuzz(func(t *testing.T, peer, lines string) {
		header := http.Header{"X-Forwarded-For": strings.Split(lines, "\n")}
		got := resolve(Proxies(prefixes...), peer, header)
		requirePlain(t, got)

		connected := resolve(Peer(), peer, header)
		requirePlain(t, connected)
		if got == connected {
			return
		}
		require.True(t, trusts(connected.Addr), "the header of an untrusted peer counts")
		require.Equal(t, fromXForwardedFor, got.Source)
		hops := strings.Split(strings.ReplaceAll(lines, "\n", ","), ",")
		for _, hop := range slices.Backward(hops) {
			addr := parseNode(strings.Trim(hop, " \t"))
			if Plain(addr) == got.Addr {
				return
			}
			require.True(t, trusts(addr), "%v is left of %q, which nobody vouched for", got, hop)
		}
		require.Fail(t, "not in the header", "%v", got)
	})
}

// Any Forwarded line at all: no panic, and an address only where the line holds its text or a way of writing it.
func FuzzForwardedElement(f *testing.F) {
	f.Add(`for="[2001:db8::1%eth0]:_p";proto=https;host="a\"b,c";by=_x`)
	f.Add(`for=1.2.3.4`)
	f.Add(`;;for=1.2.3.4;`)
	f.Add(`a="\\";for="::"`)
	f.Fuzz(func(t *testing.T, line string) {
		hop, rest, more := lastForwarded(line)
		requirePlain(t, Address{Addr: Plain(hop)})
		assert.Less(t, len(rest), max(1, len(line)), "each step takes something off")
		if !more {
			assert.Empty(t, rest)
		}
		if hop.IsValid() {
			assert.Contains(t, strings.ToLower(line), "for=")
			again, _, _ := lastForwarded(`for="[` + hop.String() + `]"`)
			if hop.Is4() {
				again, _, _ = lastForwarded("for=" + hop.String())
			}
			assert.Equal(t, hop, again, "what is read is read back")
		}
	})
}

// Any CloudFront-Viewer-Address at all: no panic, and what an address and a port give is that
// address.
func FuzzViewerAddress(f *testing.F) {
	f.Add("2001:db8::1:443", []byte{32, 1, 13, 184, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1}, uint16(8080))
	f.Add("[::1]:1", []byte{198, 51, 100, 7}, uint16(0))
	f.Add("::", []byte{0, 100, 255, 155, 0, 0, 0, 0, 0, 0, 0, 0, 8, 8, 8, 8}, uint16(443))
	strategy := Header("CloudFront-Viewer-Address", mustPrefixes(f, trustedInTests)...)
	f.Fuzz(func(t *testing.T, value string, address []byte, port uint16) {
		header := http.Header{"Cloudfront-Viewer-Address": {value}}
		requirePlain(t, resolve(strategy, peerOfChains, header))
		addr, ok := netip.AddrFromSlice(address)
		if !ok || addr.IsUnspecified() || addr.IsMulticast() || addr.Is4In6() && addr.Unmap().IsMulticast() ||
			addr.Unmap().IsUnspecified() {
			return
		}
		for _, form := range []string{addr.String(), addr.StringExpanded(), "[" + addr.String() + "]"} {
			header.Set("CloudFront-Viewer-Address", form+":"+strconv.Itoa(int(port)))
			require.Equal(t, Plain(addr), resolve(strategy, peerOfChains, header).Addr, "%q", header)
		}
	})
}

func requirePlain(t *testing.T, address Address) {
	t.Helper()
	addr := address.Addr
	if !addr.IsValid() {
		require.Empty(t, address.String())
		return
	}
	require.Empty(t, addr.Zone())
	require.Equal(t, addr, Plain(addr))
	require.False(t, addr.Is4In6() || addr.IsUnspecified() || addr.IsMulticast(), "%v", addr)
	require.Equal(t, addr, netip.MustParseAddr(address.String()), "what is written can be read back")
}
