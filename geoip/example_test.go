package geoip_test

import (
	"context"
	"fmt"
	"log"
	"net/netip"

	"github.com/sessiontrack/sessiontrack/geoip"
)

// It is handed to the tracker as Options.Locator; asking it directly is for tools. There is no output to compare,
// because no database comes with this package.
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
