package sessiontrack_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"

	"github.com/sessiontrack/sessiontrack"
)

func ExampleTrustedProxies() {
	proxies, err := sessiontrack.ParsePrefixes("10.0.0.0/8, 2001:db8:aaaa::/48") // from a flag, say
	if err != nil {
		panic(err)
	}
	strategy := sessiontrack.TrustedProxies(proxies...)

	// The client pretends to be 1.2.3.4; the proxies add whom they saw.
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.RemoteAddr = "10.0.0.5:4711"
	r.Header.Set("X-Forwarded-For", "1.2.3.4, 203.0.113.9, 10.0.0.1")
	address := strategy.ClientAddress(r)
	fmt.Println(address, "from", address.Source)

	// Somebody who goes around the proxies is believed nothing.
	r.RemoteAddr = "198.51.100.7:4711"
	address = strategy.ClientAddress(r)
	fmt.Println(address, "from", address.Source)
	// Output:
	// 203.0.113.9 from x-forwarded-for
	// 198.51.100.7 from remote_addr
}

func ExampleTrustedHeader() {
	cdn, err := sessiontrack.ParsePrefixes("2001:db8:cdcd::/48")
	if err != nil {
		panic(err)
	}
	strategy := sessiontrack.TrustedHeader("CF-Connecting-IP", cdn...)

	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.RemoteAddr = "[2001:db8:cdcd::1]:4711"
	r.Header.Set("CF-Connecting-IP", "203.0.113.9")
	address := strategy.ClientAddress(r)
	fmt.Println(address, "from", address.Source)
	// Output: 203.0.113.9 from cf-connecting-ip
}

func ExampleRemoteAddr() {
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.RemoteAddr = "[::ffff:203.0.113.9]:4711"
	r.Header.Set("X-Forwarded-For", "1.2.3.4")
	address := sessiontrack.RemoteAddr().ClientAddress(r)
	fmt.Println(address, "from", address.Source)
	// Output: 203.0.113.9 from remote_addr
}
