package geoip_test

import (
	"context"
	"fmt"
	"log"
	"net/netip"

	"github.com/sessiontrack/sessiontrack/geoip"
)

// Options.Locator takes the Locator; tools may also call it directly. The example has no output to
// compare, because this package contains no database.
func ExampleOpen() {
	places, err := geoip.Open("/var/lib/GeoIP/GeoLite2-City.mmdb", &geoip.Options{Language: "de"})
	if err != nil {
		log.Fatal(err)
	}
	place, err := places.Locate(context.Background(), netip.MustParseAddr("36.68.1.2"))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(place, places.BuildTime())
}
