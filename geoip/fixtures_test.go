package geoip

import (
	"bytes"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"testing"

	"github.com/maxmind/mmdbwriter"
	"github.com/maxmind/mmdbwriter/mmdbtype"
	"github.com/stretchr/testify/require"
)

// records maps networks to their records in a database.
type records map[string]mmdbtype.Map

func names(language, name string) mmdbtype.Map {
	return mmdbtype.Map{"names": mmdbtype.Map{mmdbtype.String(language): mmdbtype.String(name)}}
}

func country(code, name string) mmdbtype.Map {
	record := names("en", name)
	record["iso_code"] = mmdbtype.String(code)
	return mmdbtype.Map{"country": record}
}

func city(code, country, region, town string) mmdbtype.Map {
	record := names("en", country)
	record["iso_code"] = mmdbtype.String(code)
	return mmdbtype.Map{
		"country":      record,
		"subdivisions": mmdbtype.Slice{names("en", region), names("en", region+" district")},
		"city":         names("en", town),
		"location":     mmdbtype.Map{"latitude": mmdbtype.Float64(-6.2), "time_zone": mmdbtype.String("Asia/Jakarta")},
	}
}

// cities is the database of most tests. town is the name of one city.
func cities(town string) records {
	return records{
		"36.64.0.0/12":  city("ID", "Indonesia", "Jakarta", town),
		"2001:448::/32": city("ID", "Indonesia", "West Java", "Bandung"),
		"81.2.69.0/24":  country("GB", "United Kingdom"),
	}
}

// buildDatabase builds a MaxMind DB file. It may contain networks that no real one has.
func buildDatabase(t testing.TB, kind string, content records) []byte {
	t.Helper()
	tree, err := mmdbwriter.New(mmdbwriter.Options{DatabaseType: kind, BuildEpoch: 1_700_000_000,
		IncludeReservedNetworks: true})
	require.NoError(t, err)
	for network, record := range content {
		_, ipNet, err := net.ParseCIDR(network)
		require.NoError(t, err)
		require.NoError(t, tree.Insert(ipNet, record))
	}
	var file bytes.Buffer
	_, err = tree.WriteTo(&file)
	require.NoError(t, err)
	return file.Bytes()
}

func writeFile(t testing.TB, data []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "places.mmdb")
	require.NoError(t, os.WriteFile(path, data, 0o600))
	return path
}

func openBytes(t testing.TB, data []byte, opts *Options) *Locator {
	t.Helper()
	locator, err := Open(writeFile(t, data), opts)
	require.NoError(t, err)
	return locator
}

var jakarta = netip.MustParseAddr("36.68.1.2")
