// Package query reads the parameters of a request's query. A parameter that is unknown, that comes
// twice or that has no value is a mistake: a filter that is silently ignored ends the wrong
// sessions. Every mistake names the parameter and its bound, and never repeats the value.
package query

import (
	"maps"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/sessiontrack/sessiontrack/internal/text"
)

// Mistake is what is wrong with a query, in a sentence that a client may read.
type Mistake struct{ Detail string }

func (m *Mistake) Error() string { return m.Detail }

// Values are the parameters of a query, each of which is known, comes once and is not empty. The
// first mistake of the methods below is kept: see [Values.Err].
type Values struct {
	values map[string]string
	err    error
}

// Parse reads a raw query. It knows the parameters of all tables.
func Parse(raw string, tables ...[]string) (*Values, error) {
	given, err := url.ParseQuery(raw)
	if err != nil {
		return nil, &Mistake{"The query is not of the form name=value&name=value."}
	}
	known := func(name string) bool {
		return slices.ContainsFunc(tables, func(table []string) bool { return slices.Contains(table, name) })
	}
	v := &Values{values: make(map[string]string, len(given))}
	for _, name := range slices.Sorted(maps.Keys(given)) {
		switch values := given[name]; {
		case !known(name):
			return nil, &Mistake{shown(name) + ": this path does not know the parameter."}
		case len(values) > 1: // two programs would read two values (OWASP ASVS 15.3.7)
			return nil, &Mistake{name + ": give it once."}
		case values[0] == "":
			return nil, &Mistake{name + ": the value is empty; leave the parameter out."}
		default:
			v.values[name] = values[0]
		}
	}
	return v, nil
}

// shown is a parameter's name as an answer may repeat it.
func shown(name string) string {
	plain := func(c rune) bool {
		return c == '_' || c == '-' || c < 0x80 && (unicode.IsLetter(c) || unicode.IsDigit(c))
	}
	if name == "" || len(name) > 64 || strings.ContainsFunc(name, func(c rune) bool { return !plain(c) }) {
		return "A name that is not shown"
	}
	return name
}

// Err returns the first mistake, or nil.
func (v *Values) Err() error { return v.err }

// Refuse notes a mistake in a parameter. want says what would be right.
func (v *Values) Refuse(name, want string) {
	if v.err == nil {
		v.err = &Mistake{name + ": " + want + "."}
	}
}

// Has reports whether a parameter is given.
func (v *Values) Has(name string) bool { _, ok := v.values[name]; return ok }

// Exclude refuses a parameter beside one that it contradicts.
func (v *Values) Exclude(name string, others ...string) {
	for _, other := range others {
		if v.Has(name) && v.Has(other) {
			v.Refuse(name, "it contradicts "+other+"; give one of them")
		}
	}
}

// Raw returns a parameter as it is, and whether it is given.
func (v *Values) Raw(name string) (string, bool) {
	value, ok := v.values[name]
	return value, ok
}

// Text returns a parameter of at most limit bytes without control characters, or "".
func (v *Values) Text(name string, limit int) string {
	value := v.values[name]
	if len(value) > limit || !text.Valid(value) {
		v.Refuse(name, "want at most "+strconv.Itoa(limit)+" bytes of text without control characters")
		return ""
	}
	return value
}

// Number returns a whole number from 1 to highest, or 0 where it is not given.
func (v *Values) Number(name string, highest int) int {
	value, ok := v.values[name]
	if !ok {
		return 0
	}
	n, err := strconv.ParseUint(value, 10, 31)
	if err != nil || n < 1 || int(n) > highest {
		v.Refuse(name, "want a whole number from 1 to "+strconv.Itoa(highest))
		return 0
	}
	return int(n)
}

// Duration returns a duration from least to most, or 0 where it is not given. want says so.
func (v *Values) Duration(name string, least, most time.Duration, want string) time.Duration {
	value, ok := v.values[name]
	if !ok {
		return 0
	}
	d, err := time.ParseDuration(value)
	if err != nil || d < least || d > most {
		v.Refuse(name, want)
		return 0
	}
	return d
}

// Time returns an RFC 3339 time between the years 1970 and 9999, or the zero time.
func (v *Values) Time(name string) time.Time {
	value, ok := v.values[name]
	if !ok {
		return time.Time{}
	}
	at, err := time.Parse(time.RFC3339, value)
	if err != nil || at.Unix() <= 0 || at.UTC().Year() > 9999 {
		v.Refuse(name, "want a time such as 2026-11-22T00:00:00Z")
		return time.Time{}
	}
	return at.UTC()
}

// Zone returns an IANA time zone, or nil. "Local" is refused, because it would reveal the server's
// zone.
func (v *Values) Zone(name string) *time.Location {
	value, ok := v.values[name]
	if !ok {
		return nil
	}
	zone, err := time.LoadLocation(value)
	if err != nil || value == "Local" || len(value) > 64 {
		v.Refuse(name, "want an IANA time zone such as Asia/Jakarta")
		return nil
	}
	return zone
}

// Flag returns whether a parameter is "true".
func (v *Values) Flag(name string) bool {
	value, ok := v.values[name]
	if ok && value != "true" && value != "false" {
		v.Refuse(name, "want true or false")
	}
	return value == "true"
}

// OneOf returns one of words, or "".
func (v *Values) OneOf(name string, words ...string) string {
	value, ok := v.values[name]
	if ok && !slices.Contains(words, value) {
		v.Refuse(name, "want one of "+strings.Join(words, ", "))
		return ""
	}
	return value
}

// List returns the parts of a list with commas between them, at most most. want says what good
// accepts.
func (v *Values) List(name string, most int, good func(string) bool, want string) []string {
	value, ok := v.values[name]
	if !ok {
		return nil
	}
	parts := strings.SplitN(value, ",", most+1)
	if len(parts) > most || slices.ContainsFunc(parts, func(part string) bool { return !good(part) }) {
		v.Refuse(name, want)
		return nil
	}
	return parts
}

// Prefix returns an address, as a prefix of its whole length, or a prefix without bits behind its
// length. IPv4 inside IPv6 is the IPv4 address.
func (v *Values) Prefix(name string) netip.Prefix {
	value, ok := v.values[name]
	if !ok {
		return netip.Prefix{}
	}
	if addr, err := netip.ParseAddr(value); err == nil && addr.Zone() == "" {
		addr = addr.Unmap()
		return netip.PrefixFrom(addr, addr.BitLen())
	}
	prefix, err := netip.ParsePrefix(value)
	if err != nil || prefix != prefix.Masked() {
		v.Refuse(name, "want an address or a prefix without further bits, such as 203.0.113.0/24 or 2001:db8::/48")
		return netip.Prefix{}
	}
	return prefix
}
