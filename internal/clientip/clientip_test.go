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
		{"NAT64", "x-real-ip", peerOfChains, []string{"[64:ff9b::188.0.2.128]:4747"}, "64:ff9b::bc00:280"},
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
		{"[64:ff9b::188.0.2.128]:4747", "64:ff9b::bc00:280"},
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
