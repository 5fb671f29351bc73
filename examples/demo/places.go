package main

import (
	"context"
	"net/netip"

	"github.com/sessiontrack/sessiontrack"
)

// places stands in for a GeoIP database: it has a place for each of the networks
// that are set aside for documentation, which simulated users claim to come from
// where the demo trusts them as proxies. The geoip module has a real one.
type places struct{}

var invented = []sessiontrack.Location{
	{CountryCode: "ID", Country: "Indonesia", City: "Jakarta"},
	{CountryCode: "ID", Country: "Indonesia", City: "Surabaya"},
	{CountryCode: "DE", Country: "Germany", City: "Hamburg"},
	{CountryCode: "ID", Country: "Indonesia", City: "Bandung"},
	{CountryCode: "JP", Country: "Japan", City: "Osaka"},
	{CountryCode: "BR", Country: "Brazil", City: "Recife"},
	{CountryCode: "SG", Country: "Singapore", City: "Singapore"},
	{CountryCode: "NG", Country: "Nigeria", City: "Lagos"},
	{CountryCode: "DE", Country: "Germany", City: "Leipzig"},
	{CountryCode: "FR", Country: "France", City: "Lyon"},
	{CountryCode: "IN", Country: "India", City: "Pune"},
}

// Locate implements [sessiontrack.Locator]. A user's devices are mostly in one place.
func (places) Locate(_ context.Context, addr netip.Addr) (sessiontrack.Location, error) {
	if addr = addr.Unmap(); !simulated(addr) {
		return sessiontrack.Location{}, nil
	}
	bytes := addr.AsSlice()
	last := int(bytes[len(bytes)-1])
	if addr.Is6() { // claimedOf has the user's number further up
		last = int(bytes[7])
	}
	return invented[last%len(invented)], nil
}

// simulated reports whether claimedOf makes such addresses.
func simulated(addr netip.Addr) bool {
	for _, network := range [...]string{"192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "2001:db8::/32"} {
		if netip.MustParsePrefix(network).Contains(addr) {
			return true
		}
	}
	return false
}
