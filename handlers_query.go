package sessiontrack

import (
	"maps"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/sessiontrack/sessiontrack/internal/problem"
)

// checkQuery reads the query of a call. A parameter that the endpoint does not know is
// refused, so that a filter with a typing error does not list everything. One that comes
// twice is refused, because two programs would read two values (OWASP ASVS 15.3.7).
func (c *call) checkQuery() error {
	values, err := url.ParseQuery(c.r.URL.RawQuery)
	if err != nil {
		return &problemError{problem.BadRequest("The query is not of the form name=value&name=value.")}
	}
	for _, name := range slices.Sorted(maps.Keys(values)) {
		if !slices.Contains(c.endpoint.query, name) {
			return &problemError{problem.BadRequest(shownName(name) + ": this path does not know the parameter.")}
		}
		if len(values[name]) > 1 {
			return &problemError{problem.BadRequest(name + ": give it once.")}
		}
	}
	c.query = values
	return nil
}

// checkID refuses an id in the path that no user and no session can have. It must not pass
// for one that is not there.
func (c *call) checkID() error {
	if c.id == "" || validUserID(c.id) {
		return nil
	}
	detail := "The id in the path: want at most " + strconv.Itoa(maxUserID) + " bytes of text without control characters."
	return &problemError{problem.BadRequest(detail)}
}

// shownName is a parameter's name as an answer may repeat it.
func shownName(name string) string {
	plain := func(c rune) bool {
		return c == '_' || c == '-' || c < 0x80 && (unicode.IsLetter(c) || unicode.IsDigit(c))
	}
	if name == "" || len(name) > 64 || strings.ContainsFunc(name, func(c rune) bool { return !plain(c) }) {
		return "A name that is not shown"
	}
	return name
}

// parameters are the values of a query that has been checked. The first mistake is kept in
// err, as the 400 that the client gets.
type parameters struct {
	values url.Values
	err    error
}

func parametersOf(c *call) *parameters { return &parameters{values: c.query} }

func (p *parameters) refuse(detail string) {
	if p.err == nil {
		p.err = &problemError{problem.BadRequest(detail)}
	}
}

// text returns a parameter and whether it is there.
func (p *parameters) text(name string) (string, bool) {
	values := p.values[name]
	if len(values) == 0 {
		return "", false
	}
	return values[0], true
}

// number parses a whole number from 1 to highest. It is zero if absent.
func (p *parameters) number(name string, highest int) int {
	text, ok := p.text(name)
	if !ok {
		return 0
	}
	n, err := strconv.ParseUint(text, 10, 31)
	if err != nil || n < 1 || int(n) > highest {
		p.refuse(name + ": want a whole number from 1 to " + strconv.Itoa(highest) + ".")
		return 0
	}
	return int(n)
}

// limit parses the size of a page.
func (p *parameters) limit(byDefault int) int {
	if n := p.number("limit", maxPage); n != 0 {
		return n
	}
	return byDefault
}

func (p *parameters) cursor() Cursor {
	text, _ := p.text("cursor")
	c, err := ParseCursor(text)
	if err != nil {
		p.refuse("cursor: want what an earlier answer gave as next.")
	}
	return c
}

// within parses a duration from a minute to a day. It is zero if absent.
func (p *parameters) within() time.Duration {
	text, _ := p.text("within")
	if text == "" {
		return 0
	}
	d, err := time.ParseDuration(text)
	if err != nil || d < time.Minute || d > 24*time.Hour {
		p.refuse("within: want a duration such as 15m, from 1m to 24h.")
		return 0
	}
	return d
}

var wantDevice = func() string {
	names := make([]string, len(deviceTypes))
	for i, d := range deviceTypes {
		names[i] = string(d)
	}
	return "device: want one of " + strings.Join(names, ", ") + "."
}()

func (p *parameters) device() DeviceType {
	text, _ := p.text("device")
	if text != "" && !slices.Contains(deviceTypes[:], DeviceType(text)) {
		p.refuse(wantDevice)
	}
	return DeviceType(text)
}

// search parses the search text: a user id, an address or a name.
func (p *parameters) search() string {
	text, _ := p.text("q")
	if text != "" && !validUserID(text) {
		p.refuse("q: want at most " + strconv.Itoa(maxUserID) + " bytes of text without control characters.")
		return ""
	}
	return text
}

// flag parses "true" or "false". It is false if absent.
func (p *parameters) flag(name string) bool {
	text, _ := p.text(name)
	if text != "" && text != "true" && text != "false" {
		p.refuse(name + ": want true or false.")
	}
	return text == "true"
}

// searchedAddress parses a search text as an address in its stored form. The result is not valid if
// the text is not an address, or if no addresses are kept. A pseudonym is searched as it is shown.
func searchedAddress(text string, p *privacy) netip.Addr {
	addr, err := netip.ParseAddr(text)
	switch {
	case err != nil:
		return netip.Addr{}
	case p.address == AddressHashed && pseudonyms.Contains(addr):
		return addr
	}
	return p.keptAddress(addr)
}
