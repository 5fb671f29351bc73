package geoip

import (
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/oschwald/geoip2-golang/v2"
	"github.com/oschwald/maxminddb-golang/v2"
)

const (
	// maxFileBytes bounds what is read into memory; the largest city databases have a few hundred megabytes.
	maxFileBytes = 2 << 30
	maxNameBytes = 100 // what a session keeps of a name
)

// readDatabase returns the database of the file at path, and the file's state when the fault lies in what it holds and
// will be the same next time.
func readDatabase(path string) (*geoip2.Reader, os.FileInfo, error) {
	data, info, err := readWhole(path)
	if err != nil {
		return nil, nil, err
	}
	database, err := openDatabase(data)
	if err != nil {
		return nil, info, fmt.Errorf("%s: %w", path, err)
	}
	return database, info, nil
}

// readWhole returns a file that did not change while it was read.
func readWhole(path string) ([]byte, os.FileInfo, error) {
	// A named pipe would block in Open already.
	if info, err := os.Stat(path); err != nil {
		return nil, nil, err
	} else if !info.Mode().IsRegular() || info.Size() > maxFileBytes {
		return nil, nil, fmt.Errorf("%s is not a regular file of at most %d bytes", path, int64(maxFileBytes))
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, nil, err
	}
	defer file.Close()
	before, err := file.Stat()
	if err != nil {
		return nil, nil, err
	}
	data := make([]byte, min(before.Size(), maxFileBytes))
	if _, err := io.ReadFull(file, data); err != nil {
		return nil, nil, fmt.Errorf("%s changed while it was read: %w", path, err)
	}
	after, err := file.Stat()
	if err != nil {
		return nil, nil, err
	}
	if !sameFile(before, after) {
		return nil, nil, fmt.Errorf("%s changed while it was read", path)
	}
	return data, after, nil
}

// openDatabase checks all of data, which a file cut off or overwritten half-way does not survive, and that it tells places.
func openDatabase(data []byte) (*geoip2.Reader, error) {
	raw, err := maxminddb.OpenBytes(data)
	if err != nil {
		return nil, err
	}
	if len(raw.Metadata.Description) == 0 {
		// Verify asks for one; databases that people build themselves often have none, and nothing here needs it.
		raw.Metadata.Description = map[string]string{"en": raw.Metadata.DatabaseType}
	}
	if err := raw.Verify(); err != nil {
		return nil, err
	}
	database, err := geoip2.OpenBytes(data)
	if err != nil {
		return nil, err
	}
	var wrongKind geoip2.InvalidMethodError
	if _, err := database.City(netip.IPv4Unspecified()); errors.As(err, &wrongKind) {
		return nil, fmt.Errorf("a %s database tells neither cities nor countries", wrongKind.DatabaseType)
	}
	return database, nil
}

// sameFile reports whether a file is the one that it was, as far as its state tells.
func sameFile(a, b os.FileInfo) bool {
	return a != nil && b != nil && os.SameFile(a, b) && a.Size() == b.Size() && a.ModTime().Equal(b.ModTime())
}

// sharedAddresses are those behind carrier-grade NAT (RFC 6598).
var sharedAddresses = netip.MustParsePrefix("100.64.0.0/10")

func isPublic(addr netip.Addr) bool {
	return addr.IsGlobalUnicast() && !addr.IsPrivate() && !sharedAddresses.Contains(addr)
}

// countryCode lets through what ISO 3166-1 alpha-2 allows.
func countryCode(code string) string {
	if len(code) != 2 || code[0] < 'A' || code[0] > 'Z' || code[1] < 'A' || code[1] > 'Z' {
		return ""
	}
	return code
}

// cleanName makes a name of a file's text: it is shown beside the user's own data, and the file comes from elsewhere.
func cleanName(name string) string {
	name = strings.Map(func(r rune) rune {
		switch {
		case r == utf8.RuneError, unicode.IsControl(r), unicode.Is(unicode.Cf, r), unicode.Is(unicode.Co, r):
			return -1
		case unicode.IsSpace(r):
			return ' '
		}
		return r
	}, name)
	name = strings.TrimSpace(name)
	if len(name) <= maxNameBytes {
		return name
	}
	end := maxNameBytes
	for !utf8.RuneStart(name[end]) {
		end--
	}
	return strings.TrimSpace(name[:end])
}
