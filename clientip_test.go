package sessiontrack

import (
	"net/http"
	"net/http/httptest"
	"net/netip"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestClientIPFuncIsPlain(t *testing.T) {
	t.Parallel()
	strategy := ClientIPFunc(func(*http.Request) ClientAddress {
		return ClientAddress{Addr: netip.MustParseAddr("::ffff:192.0.2.1"), Source: "ours"}
	})
	want := ClientAddress{Addr: netip.MustParseAddr("192.0.2.1"), Source: "ours"}
	assert.Equal(t, want, strategy.ClientAddress(&http.Request{}))
	assert.NoError(t, validateClientIP(strategy))
	assert.NoError(t, validateClientIP(nil))
}

// TestClientIPRefusals: New refuses what a constructor could not, and names the field.
func TestClientIPRefusals(t *testing.T) {
	t.Parallel()
	every := netip.MustParsePrefix("0.0.0.0/0")
	for want, strategy := range map[string]ClientIP{
		"trusted prefix 0.0.0.0/0 covers every address": TrustedProxies(every),
		`"X Real IP" is not a header name`:              TrustedHeader("X Real IP", netip.MustParsePrefix("10.0.0.0/8")),
	} {
		_, err := New(NewMemoryStore(), &Options{ClientIP: strategy})
		require.ErrorContains(t, err, "sessiontrack: Options.ClientIP: "+want)
	}
	_, err := ParsePrefixes("1.1.1.1/33")
	require.EqualError(t, err, `sessiontrack: "1.1.1.1/33" is neither a network nor an address`)
}

// TestClientAddressAllocations: the wrapping of a strategy costs nothing.
func TestClientAddressAllocations(t *testing.T) {
	strategy := TrustedProxies(netip.MustParsePrefix("10.0.0.0/8"))
	request := httptest.NewRequest(http.MethodGet, "/", nil)
	request.RemoteAddr = "10.0.0.5:4711"
	request.Header.Set("X-Forwarded-For", "1.2.3.4, 203.0.113.7, 10.0.0.1")
	assert.Equal(t, "203.0.113.7", strategy.ClientAddress(request).String())
	assert.Zero(t, testing.AllocsPerRun(100, func() { strategy.ClientAddress(request) }))
}
