package clientip

import (
	"fmt"
	"net/http"
	"net/netip"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// The tables' proxies: 10.0.0.0/8, 2001:db8:aaaa::/48, fe80::/10 and one IPv4 network written inside IPv6.
const trustedInTests = "10.0.0.0/8, 2001:db8:aaaa::/48, fe80::/10, ::ffff:198.51.100.0/120"

const (
	peerOfChains = "10.0.0.5:4711" // trusted
	strangerPeer = "203.0.113.9:4711"
)

func mustPrefixes(t testing.TB, list string) []netip.Prefix {
	t.Helper()
	prefixes, err := ParsePrefixes(list)
	require.NoError(t, err)
	return prefixes
}

// resolve asks strategy about a request with these header lines, as a server would have parsed them.
func resolve(strategy *Strategy, peer string, header http.Header) Address {
	return strategy.Address(&http.Request{RemoteAddr: peer, Header: header})
}

func TestBothForwardingHeaders(t *testing.T) {
	t.Parallel()
	prefixes := mustPrefixes(t, trustedInTests)
	tests := []struct {
		name              string
		listed, forwarded string
		want              Address
	}{
		{
			"they agree",
			"203.0.113.7, 10.0.0.1", `for="203.0.113.7:80", for=10.0.0.1`,
			Address{netip.MustParseAddr("203.0.113.7"), "x-forwarded-for"},
		},
		{"the client sent Forwarded", "203.0.113.7", "for=8.8.8.8", Address{netip.MustParseAddr("10.0.0.5"), SourcePeer}},
		{
			"the client sent X-Forwarded-For",
			"8.8.8.8", "for=203.0.113.7", Address{netip.MustParseAddr("10.0.0.5"), SourcePeer},
		},
		{"one is malformed", "203.0.113.7", "nonsense", Address{netip.MustParseAddr("10.0.0.5"), SourcePeer}},
		{"one is empty", "", "for=8.8.8.8", Address{netip.MustParseAddr("10.0.0.5"), SourcePeer}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			header := http.Header{"X-Forwarded-For": {tt.listed}, "Forwarded": {tt.forwarded}}
			assert.Equal(t, tt.want, resolve(Proxies(prefixes...), peerOfChains, header))
		})
	}

	header := http.Header{"X-Forwarded-For": {"203.0.113.7"}, "Forwarded": {"for=8.8.8.8"}}
	assert.Equal(t, Address{netip.MustParseAddr("203.0.113.7"), "x-forwarded-for"},
		resolve(Header("X-Forwarded-For", prefixes...), peerOfChains, header), "the one that is named counts alone")
}

func TestTrustedHeader(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, header string
		peer         string
		lines        []string
		want         string
	}{
		{"one address", "CF-Connecting-IP", peerOfChains, []string{"203.0.113.7"}, "203.0.113.7"},
		{"lower-case name", "cf-connecting-ip", peerOfChains, []string{"203.0.113.7"}, "203.0.113.7"},
		{"white space around", "X-Real-IP", peerOfChains, []string{" \t203.0.113.7 "}, "203.0.113.7"},
		{"port", "True-Client-IP", peerOfChains, []string{"203.0.113.7:49489"}, "203.0.113.7"},
		{"IPv6", "X-Real-IP", peerOfChains, []string{"2607:f8b0:4004:83f::19"}, "2607:f8b0:4004:83f::19"},
		{"IPv6 in brackets", "X-Real-IP", peerOfChains, []string{"[2607:f8b0::19]"}, "2607:f8b0::19"},
		{"IPv6 with port", "X-Real-IP", peerOfChains, []string{"[2607:f8b0::18]:3838"}, "2607:f8b0::18"},
		{"zone", "a-b-c-d", peerOfChains, []string{"fe80::1111%zone"}, "fe80::1111"},
		{"zone and port", "a-b-c-d", peerOfChains, []string{"[fe80::1111%zone]:4848"}, "fe80::1111"},
		{"IPv4 inside IPv6", "x-real-ip", peerOfChains, []string{"::ffff:172.21.0.6"}, "172.21.0.6"},
		{"NAT64", "x-real-ip", peerOfChains, []string{"[64:ff9b::188.0.2.128]:4747"}, "188.0.2.128"},
		{"6to4", "x-real-ip", peerOfChains, []string{"2002:c000:204::"}, "2002:c000:204::"},
		{"loopback", "x-real-ip", peerOfChains, []string{"127.0.0.1"}, "127.0.0.1"},
		{"an address that is trusted too", "x-real-ip", peerOfChains, []string{"10.0.0.77"}, "10.0.0.77"},
		{"missing", "x-real-ip", peerOfChains, nil, "10.0.0.5"},
		{"empty", "x-real-ip", peerOfChains, []string{""}, "10.0.0.5"},
		{"garbage", "True-Client-Ip", peerOfChains, []string{"nope"}, "10.0.0.5"},
		{"unspecified", "True-Client-Ip", peerOfChains, []string{"0.0.0.0"}, "10.0.0.5"},
		{"list", "x-real-ip", peerOfChains, []string{"203.0.113.7, 203.0.113.8"}, "10.0.0.5"},
		{"twice", "x-real-ip", peerOfChains, []string{"203.0.113.7", "203.0.113.8"}, "10.0.0.5"},
		{"twice alike", "x-real-ip", peerOfChains, []string{"203.0.113.7", "203.0.113.7"}, "10.0.0.5"},
		{"900 KB", "x-real-ip", peerOfChains, []string{strings.Repeat("1", 900_000)}, "10.0.0.5"},
		{"untrusted peer", "CF-Connecting-IP", strangerPeer, []string{"203.0.113.7"}, "203.0.113.9"},
		{"Unix socket", "CF-Connecting-IP", "@", []string{"203.0.113.7"}, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			strategy := Header(tt.header, mustPrefixes(t, trustedInTests)...)
			require.NoError(t, strategy.Err())
			header := http.Header{"X-Forwarded-For": {"3.3.3.3"}, "Forwarded": {"for=4.4.4.4"}}
			if tt.lines != nil {
				header[http.CanonicalHeaderKey(tt.header)] = tt.lines
			}
			got := resolve(strategy, tt.peer, header)
			assert.Equal(t, tt.want, got.String())
			if peer := resolve(Peer(), tt.peer, nil); got != peer {
				assert.Equal(t, strings.ToLower(tt.header), got.Source)
			}
		})
	}
}

func TestRemoteAddr(t *testing.T) {
	t.Parallel()
	tests := []struct{ peer, want string }{
		{"2.2.2.2:1234", "2.2.2.2"},
		{"2.2.2.2", "2.2.2.2"},
		{"[2607:f8b0:4004:83f::18]:3838", "2607:f8b0:4004:83f::18"},
		{"2607:f8b0:4004:83f::18", "2607:f8b0:4004:83f::18"},
		{"fe80::1111%eth0", "fe80::1111"},
		{"[fe80::2222%eth0]:4848", "fe80::2222"},
		{"[::ffff:172.21.0.6]:4747", "172.21.0.6"},
		{"0:0:0:0:0:ffff:bc15:0006", "188.21.0.6"},
		{"[64:ff9b::188.0.2.128]:4747", "188.0.2.128"},
		{"[2002:c000:204::]:4747", "2002:c000:204::"},
		{"127.0.0.1", "127.0.0.1"},
		{"::1", "::1"},
		{"", ""},
		{"ohno", ""},
		{"0.0.0.0", ""},
		{"::", ""},
		{"@", ""},
		{"/run/app.sock", ""},
		{"localhost:80", ""},
		{"1.1.1.1%", "1.1.1.1"},
		{"[fe80::abcd%eth0]:xyz", "fe80::abcd"},
		{"nope%zone", ""},
		{"nope!!", ""},
	}
	header := http.Header{"X-Forwarded-For": {"1.2.3.4"}, "Forwarded": {"for=1.2.3.4"}, "X-Real-Ip": {"1.2.3.4"}}
	for _, tt := range tests {
		t.Run(tt.peer, func(t *testing.T) {
			t.Parallel()
			got := resolve(Peer(), tt.peer, header)
			assert.Equal(t, tt.want, got.String())
			assert.Equal(t, SourcePeer, got.Source)
			assert.Equal(t, got, resolve(Proxies(), tt.peer, header), "without prefixes nobody is trusted")
			assert.NoError(t, Proxies().Err())
		})
	}
}

func TestRefusedArguments(t *testing.T) {
	t.Parallel()
	network := netip.MustParsePrefix("10.0.0.0/8")
	tests := []struct {
		name     string
		strategy *Strategy
		want     string
	}{
		{"no prefix", Proxies(network, netip.Prefix{}), "trusted prefix number 2 is not valid"},
		{"every IPv4 address", Proxies(netip.MustParsePrefix("0.0.0.0/0")), "0.0.0.0/0 covers every address"},
		{"every IPv6 address", Proxies(netip.MustParsePrefix("::/0")), "::/0 covers every address"},
		{
			"every IPv4 address inside IPv6",
			Proxies(netip.MustParsePrefix("::ffff:0:0/96")), "::ffff:0.0.0.0/96 covers every address",
		},
		{"empty name", Header("", network), `"" is not a header name`},
		{"name with a space", Header("X Real IP", network), `"X Real IP" is not a header name`},
		{"name with a colon", Header("X-Real-IP:", network), `"X-Real-IP:" is not a header name`},
		{
			"header without prefixes",
			Header("x-real-ip"), "TrustedHeader needs the prefixes of the proxies that set X-Real-Ip",
		},
	}
	header := http.Header{"X-Forwarded-For": {"1.2.3.4"}, "X-Real-Ip": {"1.2.3.4"}, "": {"1.2.3.4"}}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			require.ErrorContains(t, tt.strategy.Err(), tt.want)
			assert.Equal(t, "203.0.113.9", resolve(tt.strategy, strangerPeer, header).String(), "refused is not trusted")
		})
	}
}

func TestParsePrefixes(t *testing.T) {
	t.Parallel()
	tests := []struct {
		list string
		want string // "error", or the prefixes
	}{
		{"", "[]"},
		{"  ", "[]"},
		{"1.1.1.1", "[1.1.1.1/32]"},
		{"2607:f8b0:4004:83f::200e", "[2607:f8b0:4004:83f::200e/128]"},
		{"1.1.1.1/16", "[1.1.0.0/16]"},
		{"2607:f8b0:4004:83f::200e/48", "[2607:f8b0:4004::/48]"},
		{"10.0.0.0/8 ,\t192.0.2.7,::1", "[10.0.0.0/8 192.0.2.7/32 ::1/128]"},
		{"::ffff:188.0.2.128/112, ::ffff:bc15:0006/104", "[188.0.0.0/16 188.0.0.0/8]"},
		{"::ffff:188.0.2.128", "[188.0.2.128/32]"},
		{"64:ff9b::188.0.2.128/112", "[64:ff9b::bc00:0/112]"},
		{"2607:f8b0:4004:83f::200e/nope", "error"},
		{"fe80::abcd%nope/64", "error"},
		{"fe80::abcd%nope", "error"},
		{"1.1.1.nope", "error"},
		{"1.1.1.1/33", "error"},
		{"10.0.0.0/8,", "error"},
		{",", "error"},
		{"1.1.1.1:80", "error"},
		{"10.0.0.0/8 192.0.2.7", "error"},
	}
	for _, tt := range tests {
		t.Run(tt.list, func(t *testing.T) {
			t.Parallel()
			got, err := ParsePrefixes(tt.list)
			if tt.want == "error" {
				require.ErrorContains(t, err, "is neither a network nor an address")
				assert.Nil(t, got)
				return
			}
			require.NoError(t, err)
			assert.Equal(t, tt.want, fmt.Sprint(got))
		})
	}
}

// TestViewerAddress: CloudFront writes a port behind every address, and no brackets. The
// short forms read as other addresses when the port is taken for a part of them.
func TestViewerAddress(t *testing.T) {
	t.Parallel()
	const peer = "10.0.0.5"
	tests := []struct{ value, want string }{
		{"93.184.216.34:46532", "93.184.216.34"},
		{"2001:db8::1:443", "2001:db8::1"},
		{"2001:db8::1:8080", "2001:db8::1"},
		{"2001:db8::1:46532", "2001:db8::1"},
		{"2001:db8:85a3::8a2e:370:7334:443", "2001:db8:85a3::8a2e:370:7334"},
		{"2001:0db8:85a3:0000:0000:8a2e:0370:7334:443", "2001:db8:85a3::8a2e:370:7334"},
		{"2001:db8:::443", "2001:db8::"},
		{"::1:443", "::1"},
		{"64:ff9b::188.0.2.128:443", "188.0.2.128"},
		{"::ffff:188.0.2.128:443", "188.0.2.128"},
		{"[2001:db8::1]:443", "2001:db8::1"},
		{" [2001:db8::1]:443\t", "2001:db8::1"},
		{"93.184.216.34", peer},
		{"93.184.216.34:", peer},
		{"93.184.216.34:http", peer},
		{"93.184.216.34:65536", peer},
		{"93.184.216.34:+1", peer},
		{"93.184.216.34:80:443", peer},
		{"2001:db8:85a3:0:0:8a2e:370:7334", peer}, // seven groups and a port
		{"2001:db8::1:fffe", peer},
		{"[2001:db8::1]", peer},
		{"[[2001:db8::1]]:443", peer},
		{"2001:db8::1]:443", peer},
		{"93.184.216.34:1, 8.8.8.8:2", peer},
		{":443", peer},
		{"", peer},
		{"0.0.0.0:443", peer},
	}
	strategy := Header("CloudFront-Viewer-Address", mustPrefixes(t, trustedInTests)...)
	require.NoError(t, strategy.Err())
	for _, tt := range tests {
		t.Run(tt.value, func(t *testing.T) {
			t.Parallel()
			header := http.Header{"Cloudfront-Viewer-Address": {tt.value}}
			got := resolve(strategy, peerOfChains, header)
			assert.Equal(t, tt.want, got.String())
			assert.Equal(t, tt.want == peer, got.Source == SourcePeer)
			assert.Equal(t, "203.0.113.9", resolve(strategy, strangerPeer, header).String(), "an untrusted peer's header")
			header["Cloudfront-Viewer-Address"] = []string{tt.value, tt.value}
			assert.Equal(t, peer, resolve(strategy, peerOfChains, header).String(), "a header that is there twice")
		})
	}
}

func TestTrustedHops(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name  string
		n     int
		peer  string
		lines []string
		want  string
	}{
		{"one proxy", 1, peerOfChains, []string{"203.0.113.7"}, "203.0.113.7"},
		{"one proxy, spoofed", 1, peerOfChains, []string{"1.2.3.4, 203.0.113.7"}, "203.0.113.7"},
		{"one proxy, spoofed in a line before", 1, peerOfChains, []string{"1.2.3.4", "203.0.113.7"}, "203.0.113.7"},
		{"one proxy of a public address", 1, strangerPeer, []string{"203.0.113.7"}, "203.0.113.7"},
		{"one proxy on a Unix socket", 1, "@", []string{"1.2.3.4, 203.0.113.7"}, "203.0.113.7"},
		{"two proxies", 2, peerOfChains, []string{"1.2.3.4, 203.0.113.7, 198.51.100.9"}, "203.0.113.7"},
		{"two proxies, a line each", 2, peerOfChains, []string{"1.2.3.4, 203.0.113.7", "198.51.100.9"}, "203.0.113.7"},
		{"inner proxy's peer without address", 2, peerOfChains, []string{"1.2.3.4, 203.0.113.7, unix:"}, "203.0.113.7"},
		{"ports", 2, peerOfChains, []string{"1.2.3.4, [2001:db8::7]:80, 198.51.100.9:1"}, "2001:db8::7"},
		{"fewer elements than proxies", 3, peerOfChains, []string{"1.2.3.4, 203.0.113.7"}, "10.0.0.5"},
		{"no header", 1, peerOfChains, nil, "10.0.0.5"},
		{"an empty header", 1, peerOfChains, []string{""}, "10.0.0.5"},
		{"no address", 1, peerOfChains, []string{"1.2.3.4, unknown"}, "10.0.0.5"},
		{"the client's is no address", 2, peerOfChains, []string{"unknown, 203.0.113.7"}, "10.0.0.5"},
		{"a comma at the end", 1, peerOfChains, []string{"203.0.113.7,"}, "10.0.0.5"},
		{"a comma at the end counts", 2, peerOfChains, []string{"1.2.3.4, 203.0.113.7,"}, "203.0.113.7"},
		{"commas in the middle count", 2, peerOfChains, []string{"1.2.3.4,, 203.0.113.7"}, "10.0.0.5"},
		{"empty lines count", 2, peerOfChains, []string{"1.2.3.4", "", "203.0.113.7"}, "10.0.0.5"},
		{"900 KB left", 1, peerOfChains, []string{strings.Repeat("x", 900_000) + ",203.0.113.7"}, "203.0.113.7"},
		{"900 KB element", 2, peerOfChains, []string{strings.Repeat("1", 900_000) + ",203.0.113.7"}, "10.0.0.5"},
		{"Forwarded is not read", 1, peerOfChains, nil, "10.0.0.5"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			strategy := Hops(tt.n)
			require.NoError(t, strategy.Err())
			header := http.Header{"Forwarded": {"for=8.8.8.8"}}
			if tt.lines != nil {
				header["X-Forwarded-For"] = tt.lines
			}
			got := resolve(strategy, tt.peer, header)
			assert.Equal(t, tt.want, got.String())
			assert.Equal(t, tt.want == "10.0.0.5", got.Source == SourcePeer)
		})
	}
}

// TestNAT64: a client that comes through NAT64 is its IPv4 address, which is what trusted
// networks name; an address that NAT64 never makes is what it is and no private one.
func TestNAT64(t *testing.T) {
	t.Parallel()
	for addr, want := range map[string]string{
		"64:ff9b::192.0.2.33":    "192.0.2.33",
		"64:ff9b::8.8.8.8":       "8.8.8.8",
		"64:ff9b::10.0.0.5":      "64:ff9b::a00:5",
		"64:ff9b::192.168.0.1":   "64:ff9b::c0a8:1",
		"64:ff9b::127.0.0.1":     "64:ff9b::7f00:1",
		"64:ff9b::169.254.0.1":   "64:ff9b::a9fe:1",
		"64:ff9b::100.64.0.1":    "64:ff9b::6440:1",
		"64:ff9b::224.0.0.1":     "64:ff9b::e000:1",
		"64:ff9b::0.0.0.0":       "64:ff9b::",
		"64:ff9b::1:192.0.2.33":  "64:ff9b::1:c000:221",
		"64:ff9b:1::192.0.2.33":  "64:ff9b:1::c000:221",
		"2002:c000:221::1":       "2002:c000:221::1",
		"::ffff:64.64.64.64":     "64.64.64.64",
		"64:ff9b::192.0.2.33%en": "192.0.2.33",
	} {
		assert.Equal(t, want, Plain(netip.MustParseAddr(addr)).String(), addr)
	}
	header := http.Header{"X-Forwarded-For": {"203.0.113.7"}}
	strategy := Proxies(mustPrefixes(t, "10.0.0.0/8, 198.51.100.0/24")...)
	assert.Equal(t, "203.0.113.7", resolve(strategy, "[64:ff9b::198.51.100.3]:80", header).String(), "a proxy")
	assert.Equal(t, "64:ff9b::a00:5", resolve(strategy, "[64:ff9b::10.0.0.5]:80", header).String(), "no private network")
	header = http.Header{"X-Forwarded-For": {"1.2.3.4, 64:ff9b::203.0.113.7, 64:ff9b::198.51.100.3"}}
	assert.Equal(t, "203.0.113.7", resolve(strategy, peerOfChains, header).String(), "in a chain")
	named := Proxies(mustPrefixes(t, "64:ff9b::198.51.100.0/120")...)
	assert.Equal(t, "203.0.113.7", resolve(named, "[64:ff9b::198.51.100.3]:80", header).String(), "named as it is written")
	assert.Equal(t, "198.51.100.3", resolve(named, "198.51.100.3:80", header).String(), "not named without NAT64")
}

// An attacker's text is not read, so it must not cost: one allocation at most, for a hop that netip refuses.
func TestAddressAllocations(t *testing.T) {
	strategy := Proxies(mustPrefixes(t, trustedInTests)...)
	request := &http.Request{RemoteAddr: peerOfChains, Header: http.Header{
		"X-Forwarded-For": {strings.Repeat("1.2.3.4, ", 45_000) + "203.0.113.7, [2001:db8:aaaa::1]:80, 10.0.0.1"},
	}}
	assert.Zero(t, testing.AllocsPerRun(100, func() { strategy.Address(request) }))
	request.Header = http.Header{"Forwarded": {strings.Repeat("for=1.2.3.4, ", 45_000) +
		`for=203.0.113.7;host="a, b", for="[2001:db8:aaaa::1]:80"`}}
	assert.Zero(t, testing.AllocsPerRun(100, func() { strategy.Address(request) }))
}

func BenchmarkAddress(b *testing.B) {
	long := strings.Repeat("1.2.3.4, ", 45_000)
	for name, header := range map[string]http.Header{
		"direct":          {},
		"two proxies":     {"X-Forwarded-For": {"203.0.113.7, 10.0.0.1"}},
		"45,000 spoofed":  {"X-Forwarded-For": {long + "203.0.113.7, 10.0.0.1"}},
		"45,000 trusted":  {"X-Forwarded-For": {strings.ReplaceAll(long, "1.2.3.4", "10.2.3.4") + "10.0.0.1"}},
		"forwarded":       {"Forwarded": {`for=203.0.113.7;proto=https;host="example.org", for="[2001:db8:aaaa::1]:80"`}},
		"900 KB nonsense": {"Forwarded": {strings.Repeat(`"\`, 450_000)}},
	} {
		b.Run(name, func(b *testing.B) {
			strategy := Proxies(mustPrefixes(b, trustedInTests)...)
			request := &http.Request{RemoteAddr: peerOfChains, Header: header}
			b.ReportAllocs()
			for b.Loop() {
				strategy.Address(request)
			}
		})
	}
}
