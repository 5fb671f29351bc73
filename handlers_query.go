package sessiontrack

import (
	"net/netip"
	"strconv"
	"time"

	"github.com/sessiontrack/sessiontrack/internal/problem"
	"github.com/sessiontrack/sessiontrack/internal/query"
)

// checkQuery reads the query of a call by the endpoint's table of parameters.
func (c *call) checkQuery() (err error) {
	c.query, err = query.Parse(c.r.URL.RawQuery, c.endpoint.query)
	return err
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

// parameters are the values of a query that has been checked. The first mistake is in Err, and
// the client gets it as a 400.
type parameters struct{ *query.Values }

func parametersOf(c *call) parameters { return parameters{c.query} }

// limit parses the size of a page.
func (p parameters) limit(byDefault int) int {
	if n := p.Number("limit", maxPage); n != 0 {
		return n
	}
	return byDefault
}

func (p parameters) cursor() Cursor {
	text, _ := p.Raw("cursor")
	c, err := ParseCursor(text)
	if err != nil {
		p.Refuse("cursor", "want what an earlier answer gave as next")
	}
	return c
}

// within parses a duration from a minute to a day. It is zero if absent.
func (p parameters) within() time.Duration {
	return p.Duration("within", time.Minute, 24*time.Hour, "want a duration such as 15m, from 1m to 24h")
}

// search parses the search text: a user id, an address or a name.
func (p parameters) search() string { return p.Text("q", maxUserID) }

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
