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

// activeUsers answers with active sessions in the order of their users' activity.
func (h *adminHandler) activeUsers(c *call) (any, error) {
	p := parametersOf(c)
	q := Query{Live: true, Limit: p.limit(50), After: p.cursor(), Within: p.within()}
	if state, given := p.Raw("state"); given && state != string(StateActive) || p.Has("reason") {
		p.Refuse("state", "this path has active sessions only")
	}
	return h.filtered(c, q)
}

// sessions answers with the sessions of a filter, by login or by activity.
func (h *adminHandler) sessions(c *call) (any, error) {
	p := parametersOf(c)
	q := Query{Sort: Sort(p.OneOf("sort", string(SortLogin), string(SortActivity))), Limit: p.limit(50), After: p.cursor()}
	if q.Sort == "" {
		q.Sort = SortLogin
	}
	return h.filtered(c, q)
}

func (h *adminHandler) filtered(c *call, q Query) (any, error) {
	p := parametersOf(c)
	var err error
	if q.Filter, err = h.filter(c); err != nil {
		return nil, err
	}
	if q.Sort == SortActivity && q.Filter.state() != StateActive {
		p.Refuse("sort", "activity contradicts state; want sort=login for sessions that have ended")
		return nil, p.Err()
	}
	if q.Sort == SortLogin && q.After.UserID != "" || q.Sort != SortLogin && !q.After.IsZero() && q.After.UserID == "" {
		p.Refuse("cursor", "it is from a list in another order")
		return nil, p.Err()
	}
	return h.page(c, q)
}

// session answers with one session, ended or not.
func (h *adminHandler) session(c *call) (any, error) {
	s, err := h.t.gate.stored(c.r.Context(), SessionID(c.id)) // anything but a handle is not found
	if err != nil {
		return nil, err
	}
	return adminAnswer{Success: true, Data: h.adminViews([]Session{s}, c, h.opts.Online)[0]}, nil
}

type countView struct {
	Count   int       `json:"count"`
	Exact   bool      `json:"exact"`
	Users   int       `json:"users"`
	AsOf    time.Time `json:"asOf"`
	Preview string    `json:"preview,omitempty"`
}

// count answers with the number of sessions of a filter, and a preview of their end.
func (h *adminHandler) count(c *call) (any, error) {
	f, err := h.filter(c)
	if err != nil {
		return nil, err
	}
	n, err := countOf(c.r.Context(), h.t, f)
	if err != nil {
		return nil, err
	}
	view := countView{Count: n.N, Exact: n.Exact, Users: n.Users, AsOf: n.AsOf}
	if f.state() == StateActive {
		view.Preview = preview{f, n}.String()
	}
	return adminAnswer{Success: true, Data: view}, nil
}

// filter reads the filter of a request. Addresses are searched in the form in which they are kept.
func (h *adminHandler) filter(c *call) (Filter, error) {
	p := parametersOf(c)
	f, text := filterOf(p.Values), p.search()
	p.Exclude("q", "user", "ip")
	if f.Address.IsValid() {
		f.Address = p.keptPrefix(f.Address, &h.t.describer.privacy)
	}
	if err := p.Err(); err != nil || text == "" {
		return f, err
	}
	return h.search(c, f, text)
}

// search narrows a filter to an address. If no session has it, it narrows the filter to the user
// with that id and those whom the directory finds: an address is never a name and rarely an id.
func (h *adminHandler) search(c *call, f Filter, text string) (Filter, error) {
	ctx := c.r.Context()
	if addr := searchedAddress(text, &h.t.describer.privacy); addr.IsValid() {
		byAddress := f
		byAddress.Address = netip.PrefixFrom(addr, addr.BitLen())
		page, err := h.t.list(ctx, Query{Filter: byAddress, Sort: SortLogin, Limit: 1})
		if err != nil || len(page.Sessions) > 0 {
			return byAddress, err
		}
	}
	found, err := h.t.host.searchUsers(ctx, text)
	f.Users = append([]string{text}, found...)
	f.Users = f.Users[:min(len(f.Users), maxFilterUsers)]
	return f, err
}

// keptPrefix is a prefix of the addresses that are kept.
func (p parameters) keptPrefix(prefix netip.Prefix, kept *privacy) netip.Prefix {
	switch {
	case kept.address == AddressNone:
		p.Refuse("ip", "no addresses are kept")
	case prefix.IsSingleIP():
		addr := searchedAddress(prefix.Addr().String(), kept)
		return netip.PrefixFrom(addr, addr.BitLen())
	case kept.address == AddressHashed && !pseudonyms.Overlaps(prefix):
		p.Refuse("ip", "addresses are kept as pseudonyms; want a whole address")
	}
	return prefix
}
