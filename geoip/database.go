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
	// maxFileBytes is the largest file that is read into memory. The largest city databases have a
	// few hundred megabytes.
	maxFileBytes = 2 << 30
	maxNameBytes = 100 // a session keeps at most this much of a name
)

// readDatabase returns the database in the file at path. If the content of the file is wrong, it
// returns the file's state too: the same file would fail again.
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

// readWhole reads a file. It fails if the file changes meanwhile.
func readWhole(path string) ([]byte, os.FileInfo, error) {
	// Stat comes first, because Open blocks on a named pipe.
	if info, err := os.Stat(path); err != nil {
		return nil, nil, err
	} else if !info.Mode().IsRegular() || info.Size() > maxFileBytes {
		return nil, nil, fmt.Errorf("%s is not a file that can be read: want a regular file of at most %d bytes", path,
			int64(maxFileBytes))
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

// openDatabase verifies all of data, so that a truncated or half-overwritten file fails. It also
// checks that the database contains locations.
func openDatabase(data []byte) (*geoip2.Reader, error) {
	raw, err := maxminddb.OpenBytes(data)
	if err != nil {
		return nil, err
	}
	if len(raw.Metadata.Description) == 0 {
		// Verify requires a description. Self-made databases often lack one, and this package does
		// not use it.
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
		return nil, fmt.Errorf("the type is %s: want a city or country database", wrongKind.DatabaseType)
	}
	return database, nil
}

// sameFile reports whether both states describe the same version of a file.
func sameFile(a, b os.FileInfo) bool {
	return a != nil && b != nil && os.SameFile(a, b) && a.Size() == b.Size() && a.ModTime().Equal(b.ModTime())
}

// sharedAddresses are the addresses behind carrier-grade NAT (RFC 6598).
var sharedAddresses = netip.MustParsePrefix("100.64.0.0/10")

func isPublic(addr netip.Addr) bool {
	return addr.IsGlobalUnicast() && !addr.IsPrivate() && !sharedAddresses.Contains(addr)
}

// countryCode accepts the form of ISO 3166-1 alpha-2, and returns "" for anything else.
func countryCode(code string) string {
	if len(code) != 2 || code[0] < 'A' || code[0] > 'Z' || code[1] < 'A' || code[1] > 'Z' {
		return ""
	}
	return code
}

// cleanName cleans a name from the file. The file comes from a third party, and the name is shown
// next to the user's own data.
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
