package geoip

import (
	"context"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/maxmind/mmdbwriter/mmdbtype"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sessiontrack/sessiontrack"
)

func TestLocate(t *testing.T) {
	t.Parallel()
	locator := openBytes(t, buildDatabase(t, "GeoLite2-City", cities("Jakarta")), nil)
	inJakarta := sessiontrack.Location{CountryCode: "ID", Country: "Indonesia", Region: "Jakarta", City: "Jakarta"}
	tests := []struct {
		addr string
		want sessiontrack.Location
	}{
		{"36.68.1.2", inJakarta},
		{"36.68.1.0", inJakarta},
		{"::ffff:36.68.1.2", inJakarta},
		{"2001:448::1", sessiontrack.Location{CountryCode: "ID", Country: "Indonesia", Region: "West Java", City: "Bandung"}},
		{"2001:448::1%eth0", sessiontrack.Location{CountryCode: "ID", Country: "Indonesia", Region: "West Java",
			City: "Bandung"}},
		{"81.2.69.142", sessiontrack.Location{CountryCode: "GB", Country: "United Kingdom"}},
		{"36.80.0.1", sessiontrack.Location{}},
		{"2001:449::1", sessiontrack.Location{}},
	}
	for _, tt := range tests {
		t.Run(tt.addr, func(t *testing.T) {
			t.Parallel()
			got, err := locator.Locate(t.Context(), netip.MustParseAddr(tt.addr))
			require.NoError(t, err)
			assert.Equal(t, tt.want, got)
		})
	}
	assert.Equal(t, time.Unix(1_700_000_000, 0).UTC(), locator.BuildTime())
}

// The test's database has a location for these addresses, but none of them is public.
func TestNoPlaceForAddressesThatAreNotPublic(t *testing.T) {
	t.Parallel()
	everywhere := city("ID", "Indonesia", "Jakarta", "Jakarta")
	locator := openBytes(t, buildDatabase(t, "GeoIP2-City", records{"0.0.0.0/1": everywhere, "128.0.0.0/1": everywhere,
		"8000::/1": everywhere}), nil)
	for _, addr := range []string{"36.68.1.2", "8.8.8.8", "100.63.255.255", "100.128.0.1", "2600::1"} {
		got, err := locator.Locate(t.Context(), netip.MustParseAddr(addr))
		require.NoError(t, err)
		assert.Equal(t, strings.Contains(addr, "."), got.City == "Jakarta", addr)
	}
	for _, addr := range []string{
		"10.0.0.1", "172.16.0.1", "192.168.1.1", "127.0.0.1", "169.254.1.1", "100.64.0.1", "100.127.255.255", "0.0.0.0",
		"224.0.0.1",
		"255.255.255.255", "::", "::1", "fe80::1", "fe80::1%eth0", "fd00::1", "ff02::1", "::ffff:10.0.0.1",
		"::ffff:100.64.0.1",
	} {
		got, err := locator.Locate(t.Context(), netip.MustParseAddr(addr))
		require.NoError(t, err)
		assert.Zero(t, got, addr)
	}
	got, err := locator.Locate(t.Context(), netip.Addr{})
	require.NoError(t, err)
	assert.Zero(t, got)
}

func TestKindsOfDatabases(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"GeoLite2-City", "GeoIP2-City", "GeoIP2-Enterprise", "GeoLite2-Country",
		"GeoIP2-Country", "DBIP-City-Lite", "DBIP-Country-Lite"} {
		locator := openBytes(t, buildDatabase(t, kind, records{"81.2.69.0/24": country("GB", "United Kingdom")}), nil)
		got, err := locator.Locate(t.Context(), netip.MustParseAddr("81.2.69.142"))
		require.NoError(t, err, kind)
		assert.Equal(t, sessiontrack.Location{CountryCode: "GB", Country: "United Kingdom"}, got, kind)
	}
	for kind, want := range map[string]string{
		"GeoLite2-ASN":        "want a city or country database",
		"GeoIP2-Anonymous-IP": "want a city or country database",
		"Made-By-Hand":        "Made-By-Hand",
	} {
		_, err := Open(writeFile(t, buildDatabase(t, kind, cities("Jakarta"))), nil)
		require.ErrorContains(t, err, want)
	}
}

func TestLanguages(t *testing.T) {
	t.Parallel()
	record := mmdbtype.Map{
		"country": mmdbtype.Map{"iso_code": mmdbtype.String("DE"), "names": mmdbtype.Map{
			"en": mmdbtype.String("Germany"), "de": mmdbtype.String("Deutschland"), "es": mmdbtype.String("Alemania"),
			"fr": mmdbtype.String("Allemagne"),
			"ja": mmdbtype.String("ドイツ連邦共和国"), "pt-BR": mmdbtype.String("Alemanha"), "ru": mmdbtype.String("Германия"),
			"zh-CN": mmdbtype.String("德国"),
		}},
		"city": names("en", "Munich"),
	}
	path := writeFile(t, buildDatabase(t, "GeoLite2-City", records{"81.2.69.0/24": record}))
	for language, want := range map[string]string{
		"": "Germany", "en": "Germany", "de": "Deutschland", "es": "Alemania", "fr": "Allemagne",
		"ja": "ドイツ連邦共和国", "pt-BR": "Alemanha", "ru": "Германия", "zh-CN": "德国",
	} {
		locator, err := Open(path, &Options{Language: language})
		require.NoError(t, err)
		got, err := locator.Locate(t.Context(), netip.MustParseAddr("81.2.69.1"))
		require.NoError(t, err)
		assert.Equal(t, sessiontrack.Location{CountryCode: "DE", Country: want, City: "Munich"}, got,
			"a location without a name in %q gets its English name", language)
	}
	_, err := Open(path, &Options{Language: "tlh"})
	require.EqualError(t, err, `geoip: Options.Language is "tlh": want en, de, es, fr, ja, pt-BR, ru or zh-CN`)
}

// The file's text comes from a third party and is shown next to the user's own data.
func TestNamesAreCleaned(t *testing.T) {
	t.Parallel()
	tests := []struct{ name, want string }{
		{"São Paulo", "São Paulo"},
		{"서울특별시", "서울특별시"},
		{" \tNew\n York ", "New York"},
		{"a\x00b\x1b[31mc\u0085\u009bd", "ab[31mcd"},
		{"\u202egnirts\u202c \u2066x\u2069\u200b\ufeff", "gnirts x"},
		{"a\u2028b\u00a0c", "a b c"},
		{"a\xffb\xc3", "ab"},
		{"\ue000private", "private"},
		{"\u202e\u0000", ""},
		{strings.Repeat("x", 1000), strings.Repeat("x", 100)},
		{strings.Repeat("京", 300), strings.Repeat("京", 33)},
		{strings.Repeat("x", 99) + " y", strings.Repeat("x", 99)},
	}
	for _, tt := range tests {
		assert.Equal(t, tt.want, cleanName(tt.name), "%q", tt.name)
	}
	for code, want := range map[string]string{"GB": "GB", "gb": "", "G": "", "GBR": "", "": "", "<>": "", "ÄÖ": ""} {
		assert.Equal(t, want, countryCode(code), "%q", code)
	}

	locator := openBytes(t, buildDatabase(t, "GeoLite2-City",
		records{"36.64.0.0/12": city("id", "Indo\u202enesia", "\x1b[2J", "<script>\x07")}), nil)
	got, err := locator.Locate(t.Context(), jakarta)
	require.NoError(t, err)
	assert.Equal(t, sessiontrack.Location{Country: "Indonesia", Region: "[2J", City: "<script>"}, got,
		"the page that shows the name escapes it")
}

func FuzzCleanName(f *testing.F) {
	f.Add("São Paulo")
	f.Add("\u202e\xff\x00 " + strings.Repeat("京", 50))
	f.Fuzz(func(t *testing.T, name string) {
		got := cleanName(name)
		assert.LessOrEqual(t, len(got), maxNameBytes)
		assert.True(t, utf8.ValidString(got))
		assert.Equal(t, got, cleanName(got), "cleaning twice changes nothing")
		assert.False(t, strings.ContainsAny(got, "\x00\x1b\u0085\u202e\u2066\u200b"), "%q", got)
	})
}

func TestOpenRefuses(t *testing.T) {
	t.Parallel()
	good := buildDatabase(t, "GeoLite2-City", cities("Jakarta"))
	damaged := append([]byte{}, good...)
	for i := range 64 {
		damaged[i] = 0xff
	}
	for name, data := range map[string][]byte{
		"empty":          {},
		"text":           []byte("<html>404 Not Found</html>"),
		"cut off":        good[:len(good)/2],
		"without start":  good[100:],
		"damaged inside": damaged,
	} {
		_, err := Open(writeFile(t, data), nil)
		assert.ErrorContains(t, err, "geoip: ", name)
	}
	_, err := Open(filepath.Join(t.TempDir(), "missing.mmdb"), nil)
	require.ErrorIs(t, err, os.ErrNotExist)
	_, err = Open(t.TempDir(), nil)
	require.ErrorContains(t, err, "want a regular file")
}

func TestLocateEndsWithItsContext(t *testing.T) {
	t.Parallel()
	locator := openBytes(t, buildDatabase(t, "GeoLite2-City", cities("Jakarta")), nil)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := locator.Locate(ctx, jakarta)
	require.ErrorIs(t, err, context.Canceled)
}

// A damaged database gives an error or a clean location. It never panics.
func FuzzDamagedDatabase(f *testing.F) {
	good := buildDatabase(f, "GeoLite2-City", cities("Jakarta"))
	f.Add(uint16(0), byte(0xff), uint16(len(good)))
	f.Add(uint16(len(good)-40), byte(0), uint16(len(good)))
	f.Add(uint16(300), byte(0x20), uint16(len(good)/2))
	f.Fuzz(func(t *testing.T, at uint16, value byte, length uint16) {
		data := append([]byte{}, good...)
		data[int(at)%len(data)] = value
		data = data[:min(int(length), len(data))]
		database, err := openDatabase(data)
		if err != nil {
			return
		}
		locator := &Locator{language: languages["en"], every: -1}
		locator.database.Store(database)
		locator.scheduleCheck(0)
		for _, addr := range []netip.Addr{jakarta, netip.MustParseAddr("2001:448::1"),
			netip.MustParseAddr("255.255.255.254")} {
			place, err := locator.Locate(t.Context(), addr)
			if err != nil {
				assert.Zero(t, place)
			}
			assert.True(t, utf8.ValidString(place.Country+place.Region+place.City))
		}
	})
}

func BenchmarkLocate(b *testing.B) {
	locator := openBytes(b, buildDatabase(b, "GeoLite2-City", cities("Jakarta")), nil)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := locator.Locate(b.Context(), jakarta); err != nil {
			b.Fatal(err)
		}
	}
}
