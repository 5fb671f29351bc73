package clientip

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestTrustedProxiesChains(t *testing.T) {
	t.Parallel()
	entries := func(entry string, n int) string { return strings.TrimSuffix(strings.Repeat(entry+", ", n), ", ") }
	const peer = peerOfChains
	tests := []struct {
		name  string
		peer  string
		lines []string // of X-Forwarded-For
		want  string   // "" for none
	}{
		// Who is connected.
		{"untrusted peer, spoofed header", strangerPeer, []string{"1.2.3.4"}, "203.0.113.9"},
		{
			"untrusted peer, spoofed chain through a trusted proxy",
			strangerPeer, []string{"1.2.3.4, 10.0.0.1"}, "203.0.113.9",
		},
		{"untrusted peer, no header", strangerPeer, nil, "203.0.113.9"},
		{"untrusted IPv6 peer with a zone", "[2001:db8::9%eth0]:9999", []string{"1.2.3.4"}, "2001:db8::9"},
		{"untrusted IPv4 peer inside IPv6", "[::ffff:203.0.113.9]:80", []string{"1.2.3.4"}, "203.0.113.9"},
		{"trusted peer, no header", peer, nil, "10.0.0.5"},
		{"trusted peer", peer, []string{"203.0.113.7"}, "203.0.113.7"},
		{"trusted peer inside IPv6", "[::ffff:10.0.0.5]:80", []string{"203.0.113.7"}, "203.0.113.7"},
		{"trusted peer with a zone", "[fe80::1%eth0]:80", []string{"203.0.113.7"}, "203.0.113.7"},
		{"trusted IPv6 peer", "[2001:db8:aaaa::1]:80", []string{"203.0.113.7"}, "203.0.113.7"},
		{"peer of a network written inside IPv6", "198.51.100.3:80", []string{"203.0.113.7"}, "203.0.113.7"},
		{"peer just outside that network", "198.51.101.3:80", []string{"203.0.113.7"}, "198.51.101.3"},
		{"trusted peer without a port", "10.0.0.5", []string{"203.0.113.7"}, "203.0.113.7"},
		{"Unix socket", "@", []string{"203.0.113.7"}, ""},
		{"named Unix socket", "/run/app.sock", []string{"203.0.113.7"}, ""},
		{"empty peer", "", []string{"203.0.113.7"}, ""},
		{"garbage peer", "ohno", []string{"203.0.113.7"}, ""},
		{"unspecified peer", "0.0.0.0:80", []string{"203.0.113.7"}, ""},
		{"multicast peer", "[ff02::1]:80", []string{"203.0.113.7"}, ""},

		// What the client put left of its own address.
		{"spoofed left entry", peer, []string{"1.2.3.4, 203.0.113.7"}, "203.0.113.7"},
		{"spoofed left entry that is trusted", peer, []string{"10.9.9.9, 203.0.113.7"}, "203.0.113.7"},
		{"spoofed garbage left", peer, []string{"!?!, 203.0.113.7"}, "203.0.113.7"},
		{
			"spoofed left entries behind two proxies",
			peer, []string{"1.2.3.4, 10.1.1.1, 203.0.113.7, 10.0.0.1"}, "203.0.113.7",
		},
		{"spoofed quotes and brackets left", peer, []string{`"[::1, 203.0.113.7`}, "203.0.113.7"},
		{"45,000 spoofed entries", peer, []string{entries("1.2.3.4", 45_000) + ", 203.0.113.7"}, "203.0.113.7"},
		{
			"45,000 spoofed trusted entries",
			peer, []string{entries("10.1.2.3", 45_000) + ", 203.0.113.7, 10.0.0.1"}, "203.0.113.7",
		},
		{"900 KB of garbage left", peer, []string{strings.Repeat("x", 900_000) + ",203.0.113.7"}, "203.0.113.7"},
		{"45,000 commas left", peer, []string{strings.Repeat(",", 45_000) + "203.0.113.7"}, "203.0.113.7"},

		// Several proxies, several lines.
		{"two proxies", peer, []string{"203.0.113.7, 10.0.0.1"}, "203.0.113.7"},
		{"three proxies of both families", peer, []string{"203.0.113.7, 2001:db8:aaaa::7, 10.0.0.1"}, "203.0.113.7"},
		{"one line for each proxy", peer, []string{"203.0.113.7", "10.0.0.1", "10.0.0.2"}, "203.0.113.7"},
		{"client's line, then the proxy's", peer, []string{"1.2.3.4", "203.0.113.7"}, "203.0.113.7"},
		{
			"client's two lines, then the proxy's",
			peer, []string{"1.2.3.4", "10.0.0.1, 10.0.0.2", "203.0.113.7"}, "203.0.113.7",
		},
		{
			"proxy appended to the client's last line",
			peer, []string{"1.2.3.4", "1.2.3.5, 203.0.113.7, 10.0.0.1"}, "203.0.113.7",
		},
		{"45,000 lines", peer, append(make([]string, 44_999), "203.0.113.7"), "203.0.113.7"},
		{"no white space", peer, []string{"1.2.3.4,203.0.113.7,10.0.0.1"}, "203.0.113.7"},
		{"tabs and many spaces", peer, []string{"1.2.3.4 ,\t203.0.113.7\t,   10.0.0.1  "}, "203.0.113.7"},
		{"all trusted: the leftmost", peer, []string{"10.0.0.3, 10.0.0.2, 10.0.0.1"}, "10.0.0.3"},
		{"45,000 trusted: the leftmost", peer, []string{"10.0.0.9, " + entries("10.0.0.1", 44_999)}, "10.0.0.9"},
		{"all trusted over lines: the leftmost", peer, []string{"10.0.0.3", "10.0.0.2"}, "10.0.0.3"},

		// How a hop may be written.
		{"port", peer, []string{"203.0.113.7:8080"}, "203.0.113.7"},
		{"trusted hop with port", peer, []string{"203.0.113.7:1, 10.0.0.1:65535"}, "203.0.113.7"},
		{"IPv6", peer, []string{"2001:db8::7"}, "2001:db8::7"},
		{"IPv6 in brackets", peer, []string{"[2001:db8::7]"}, "2001:db8::7"},
		{"IPv6 with port", peer, []string{"[2001:db8::7]:8080"}, "2001:db8::7"},
		{"IPv6 with zone", peer, []string{"2001:db8::7%eth0"}, "2001:db8::7"},
		{"IPv6 with zone and port", peer, []string{"[2001:db8::7%eth0]:80"}, "2001:db8::7"},
		{"trusted hop with zone", peer, []string{"203.0.113.7, fe80::1%eth0"}, "203.0.113.7"},
		{"IPv4 inside IPv6", peer, []string{"::ffff:203.0.113.7"}, "203.0.113.7"},
		{"IPv4 inside IPv6 with port", peer, []string{"[::ffff:203.0.113.7]:80"}, "203.0.113.7"},
		{"IPv4 inside IPv6 in hex", peer, []string{"::ffff:cb00:7107"}, "203.0.113.7"},
		{"IPv4 inside IPv6 at length", peer, []string{"0:0:0:0:0:ffff:cb00:7107"}, "203.0.113.7"},
		{"trusted IPv4 inside IPv6", peer, []string{"203.0.113.7, ::ffff:10.0.0.1"}, "203.0.113.7"},
		{"NAT64", peer, []string{"64:ff9b::188.0.2.128"}, "188.0.2.128"},
		{"6to4", peer, []string{"2002:c000:204::"}, "2002:c000:204::"},
		{"upper case", peer, []string{"2001:DB8::ABCD"}, "2001:db8::abcd"},
		{"obfuscated port", peer, []string{"203.0.113.7:_http"}, "203.0.113.7"},
		{"port of letters", peer, []string{"1.2.3.4, [2001:db8::7%eth0]:xyz"}, "2001:db8::7"},
		{"IPv4 in brackets", peer, []string{"1.2.3.4, [203.0.113.7]:80"}, "203.0.113.7"},
		{"empty zone", peer, []string{"1.2.3.4, 203.0.113.7%"}, "203.0.113.7"},
		{"zone written as in a URL", peer, []string{"1.2.3.4, [2001:db8::7%25eth0]:80"}, "2001:db8::7"},
		{"loopback", peer, []string{"127.0.0.1"}, "127.0.0.1"},

		// A hop that is no address ends the walk at the last one verified.
		{"unknown from the peer", peer, []string{"1.2.3.4, unknown"}, "10.0.0.5"},
		{"unknown behind a proxy", peer, []string{"1.2.3.4, unknown, 10.0.0.1"}, "10.0.0.1"},
		{"obfuscated", peer, []string{"1.2.3.4, _hidden, 10.0.0.1"}, "10.0.0.1"},
		{"empty element at the end", peer, []string{"1.2.3.4,"}, "10.0.0.5"},
		{"empty element in the middle", peer, []string{"1.2.3.4,,10.0.0.1"}, "10.0.0.1"},
		{"empty header", peer, []string{""}, "10.0.0.5"},
		{"empty last line", peer, []string{"1.2.3.4", ""}, "10.0.0.5"},
		{"empty line in the middle", peer, []string{"1.2.3.4", " ", "10.0.0.1"}, "10.0.0.1"},
		{"only a comma", peer, []string{","}, "10.0.0.5"},
		{"unspecified IPv4", peer, []string{"1.2.3.4, 0.0.0.0"}, "10.0.0.5"},
		{"unspecified IPv6", peer, []string{"1.2.3.4, ::"}, "10.0.0.5"},
		{"unspecified IPv4 inside IPv6", peer, []string{"1.2.3.4, ::ffff:0.0.0.0"}, "10.0.0.5"},
		{"multicast", peer, []string{"1.2.3.4, 224.0.0.1"}, "10.0.0.5"},
		{"five numbers", peer, []string{"1.2.3.4, 7.7.7.7.7"}, "10.0.0.5"},
		{"number too large", peer, []string{"1.2.3.4, 192.0.2.999"}, "10.0.0.5"},
		{"leading zero", peer, []string{"1.2.3.4, 203.0.113.07"}, "10.0.0.5"},
		{"integer", peer, []string{"1.2.3.4, 3405803783"}, "10.0.0.5"},
		{"open bracket", peer, []string{"1.2.3.4, [2001:db8::7"}, "10.0.0.5"},
		{"closing bracket", peer, []string{"1.2.3.4, 2001:db8::7]"}, "10.0.0.5"},
		{"text behind brackets", peer, []string{"1.2.3.4, [2001:db8::7]80"}, "10.0.0.5"},
		{"empty port", peer, []string{"1.2.3.4, 203.0.113.7:"}, "10.0.0.5"},
		{"text behind a port", peer, []string{"1.2.3.4:80 203.0.113.7"}, "10.0.0.5"},
		{"text behind a zone", peer, []string{"fe80::1%eth0 203.0.113.7"}, "10.0.0.5"},
		{"no address before a zone", peer, []string{"1.2.3.4, nope%eth0"}, "10.0.0.5"},
		{"only a zone", peer, []string{"1.2.3.4, %eth0"}, "10.0.0.5"},
		{"quotes", peer, []string{`1.2.3.4, "203.0.113.7"`}, "10.0.0.5"},
		{"network instead of an address", peer, []string{"1.2.3.4, 203.0.113.0/24"}, "10.0.0.5"},
		{"host name", peer, []string{"1.2.3.4, localhost"}, "10.0.0.5"},
		{"other separator", peer, []string{"1.2.3.4; 203.0.113.7"}, "10.0.0.5"},
		{"space as separator", peer, []string{"1.2.3.4 203.0.113.7"}, "10.0.0.5"},
		{"no-break space", peer, []string{"1.2.3.4,\u00a0203.0.113.7"}, "10.0.0.5"},
		{"NUL", peer, []string{"1.2.3.4, 203.0.113.7\x00"}, "10.0.0.5"},
		{"invalid UTF-8", peer, []string{"1.2.3.4, \xff"}, "10.0.0.5"},
		{"full-width digits", peer, []string{"1.2.3.4, １.1.1.1"}, "10.0.0.5"},
		{"900 KB element", peer, []string{"1.2.3.4, " + strings.Repeat("x", 900_000)}, "10.0.0.5"},
		{
			"900 KB of white space before an address",
			peer, []string{"1.2.3.4," + strings.Repeat(" ", 900_000) + "203.0.113.7"}, "10.0.0.5",
		},
		{"900 KB zone", peer, []string{"1.2.3.4, fe80::1%" + strings.Repeat("z", 900_000)}, "10.0.0.5"},
	}
	require.GreaterOrEqual(t, len(tests), 60)
	strategy := Proxies(mustPrefixes(t, trustedInTests)...)
	pinned := Header("x-forwarded-for", mustPrefixes(t, trustedInTests)...)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			header := http.Header{}
			if tt.lines != nil {
				header["X-Forwarded-For"] = tt.lines
			}
			got := resolve(strategy, tt.peer, header)
			assert.Equal(t, tt.want, got.String())
			assert.Equal(t, got, resolve(pinned, tt.peer, header), "the header named alone is walked alike")
			wantSource := "x-forwarded-for"
			if peer := resolve(Peer(), tt.peer, nil); got.Addr == peer.Addr {
				wantSource = SourcePeer
			}
			assert.Equal(t, wantSource, got.Source)
		})
	}
}

func TestForwardedChains(t *testing.T) {
	t.Parallel()
	const peer = "10.0.0.5"
	tests := []struct {
		name  string
		lines []string
		want  string
	}{
		// Elements as RFC 7239 and the proxies write them.
		{"RFC 7239 IPv4", []string{`for=192.0.2.43`}, "192.0.2.43"},
		{"RFC 7239 IPv6", []string{`For="[2001:db8:cafe::17]:4711"`}, "2001:db8:cafe::17"},
		{"RFC 7239 parameters", []string{`for=192.0.2.60;proto=http;by=203.0.113.43`}, "192.0.2.60"},
		{"RFC 7239 list", []string{`for=192.0.2.43, for=198.51.100.17`}, "192.0.2.43"}, // 198.51.100.0/24 is trusted here
		{"brackets, no port", []string{`fOR="[2607:f8b0::200e]"`}, "2607:f8b0::200e"},
		{"no brackets", []string{`for="2607:f8b0::200e"`}, "2607:f8b0::200e"},
		{"no quotes", []string{`FOR=[2607:f8b0::200e]`}, "2607:f8b0::200e"},
		{"port, no quotes", []string{`For=[2607:f8b0::200e]:4711`}, "2607:f8b0::200e"},
		{"neither", []string{`by=1::1;host=myhost;for=2::2;proto=https`}, "2::2"},
		{"zone", []string{`For="[2001:db8::abcd%zone]:4711"`}, "2001:db8::abcd"},
		{"IPv4 with port", []string{`FoR=192.0.2.60:4711`}, "192.0.2.60"},
		{"IPv4 in quotes with port", []string{`for="192.0.2.60:4823"`}, "192.0.2.60"},
		{"obfuscated port", []string{`for="192.0.2.60:_x"`}, "192.0.2.60"},
		{"IPv4 in brackets", []string{`for="[192.0.2.60]"`}, "192.0.2.60"},
		{"IPv4 inside IPv6", []string{`for="[::ffff:188.0.2.128]:49428"`}, "188.0.2.128"},
		{"NAT64", []string{`for="[64:ff9b::188.0.2.128]"`}, "188.0.2.128"},
		{"loopback", []string{`for="[::1]"`}, "::1"},
		{"spaces behind semicolons", []string{`by=1.1.1.1; for=2.2.2.2;host=myhost; proto=https`}, "2.2.2.2"},
		{"for at the end", []string{`by=1::1;host=myhost;proto=https;for=2.2.2.2`}, "2.2.2.2"},
		{"empty pairs", []string{`;for=2.2.2.2;;proto=https;`}, "2.2.2.2"},
		{"comma in a quoted host", []string{`for=2.2.2.2;host="a, for=8.8.8.8"`}, "2.2.2.2"},
		{"quoted pair in a host", []string{`for=2.2.2.2;host="a\", for=8.8.8.8;x=\""`}, "2.2.2.2"},
		{"backslash at the end of a host", []string{`for=8.8.8.8, for=2.2.2.2;host="a\\"`}, "2.2.2.2"},
		{"unknown parameter", []string{`for=2.2.2.2;secret="a=b;c"`}, "2.2.2.2"},

		// Chains.
		{"many kinds of proxies", []string{
			`For=99.99.99.99, For=198.51.100.8, For="[2001:db8:aaaa::200e]:4747"`,
			`For=10.2.2.2:8883, For=fe80::7, For=10.5.5.5, For="[2001:db8:aaaa::abcd]"`,
		}, "99.99.99.99"},
		{"client's line, then the proxy's", []string{`for=8.8.8.8`, `for=2.2.2.2;by=10.0.0.5`}, "2.2.2.2"},
		{"client's open quote", []string{`for="8.8.8.8, for=2.2.2.2`}, "2.2.2.2"},
		{"client's open quote, proxy's quotes", []string{`for="x, for="[2001:db8::7]";host="y"`}, "2001:db8::7"},
		{"client's backslash", []string{`for=\, for="[2001:db8::7]"`}, "2001:db8::7"},
		{"client's escaped quote", []string{`for="\", for=8.8.8.8, for="[2001:db8::7]", for=10.0.0.1`}, "2001:db8::7"},
		{"client inside a quoted string of a proxy's", []string{`for=2.2.2.2;host=", for=8.8.8.8, "`}, "2.2.2.2"},
		{"all trusted: the leftmost", []string{`for=10.0.0.3`, `for=10.0.0.2, for=10.0.0.1`}, "10.0.0.3"},
		{"45,000 entries", []string{strings.Repeat("for=8.8.8.8, ", 45_000) + "for=2.2.2.2"}, "2.2.2.2"},
		{"900 KB of quotes left", []string{strings.Repeat(`"`, 900_000) + ",for=2.2.2.2"}, "2.2.2.2"},

		// What ends the walk.
		{"unknown", []string{`for=8.8.8.8, for=unknown, for=10.0.0.1`}, "10.0.0.1"},
		{"obfuscated", []string{`for=8.8.8.8, for="_SEVKISEK"`}, peer},
		{"invalid IPv4", []string{`for=192.0.2.999`}, peer},
		{"invalid IPv6", []string{`for="2607:f8b0:4004:83f::999999"`}, peer},
		{"unspecified", []string{`for=8.8.8.8, for=0.0.0.0`}, peer},
		{"empty value", []string{`for=8.8.8.8, for=`}, peer},
		{"empty quoted value", []string{`for=8.8.8.8, for=""`}, peer},
		{"empty element", []string{`for=8.8.8.8, `}, peer},
		{"no for", []string{`for=8.8.8.8, proto=https;by=10.0.0.5`}, peer},
		{"unmatched quote", []string{`for="1.1.1.1`}, peer},
		{"unmatched bracket", []string{`for="::1]"`}, peer},
		{"misplaced quote", []string{`for="[::ffff:bc15:0006"]`}, peer},
		{"garbage", []string{"ads\x00jkl&#*(383fdljk"}, peer},
		{"quoted pair outside quotes", []string{`for=1.1.1.\1`}, peer},
		{"quoted pair in the address", []string{`For="3.3.3.\3"`}, peer},
		{"space behind the equals sign", []string{`for= 1.1.1.1`}, peer},
		{"space before the equals sign", []string{`For =1.1.1.1`}, peer},
		{"comma in a quoted for", []string{`For="4.4.4.4", For="1.1.1.1, For=2.2.2.2, For=3.3.3.3"`}, peer},
		{"malformed other parameter", []string{`For=1.1.1.1;@!=x`}, peer},
		{"for twice", []string{`For=1.1.1.1;For=2.2.2.2`}, peer},
		{"pair without a value", []string{`for=1.1.1.1;secret`}, peer},
		{"text behind a quoted value", []string{`for="1.1.1.1"x`}, peer},
		{"address alone", []string{`1.1.1.1`}, peer},
		{"900 KB value", []string{`for=1.1.1.1;host=` + strings.Repeat("x", 900_000)}, peer},
		{"900 KB element", []string{`for=8.8.8.8, for=1.1.1.1;host="` + strings.Repeat("x,", 450_000) + `"`}, peer},
	}
	strategy := Proxies(mustPrefixes(t, trustedInTests)...)
	pinned := Header("Forwarded", mustPrefixes(t, trustedInTests)...)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			header := http.Header{"Forwarded": tt.lines}
			got := resolve(strategy, peerOfChains, header)
			assert.Equal(t, tt.want, got.String())
			assert.Equal(t, got, resolve(pinned, peerOfChains, header))
			assert.Equal(t, tt.want == peer, got.Source == SourcePeer, "source %q", got.Source)
			assert.Equal(t, "203.0.113.9", resolve(strategy, strangerPeer, header).String(), "an untrusted peer's header")
		})
	}
}
