package sessiontrack

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/sessiontrack/sessiontrack/internal/postgres"
	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect/pgdialect"
	"github.com/uptrace/bun/schema"
)

// bunFilter is a Filter as conditions on user_sessions AS s. Lists, counts and ends use it, so that
// they cannot disagree.
type bunFilter struct {
	Filter
	idle time.Duration // the Tracker's IdleTimeout
	asOf time.Time     // what durations count back from; zero for the statement's time
	part addressPart   // which of the two addresses is compared
}

// addressPart splits a filter by address into two that one index each can answer.
type addressPart int

const (
	eitherAddress    addressPart = iota
	latestAddress                // the latest address is in the prefix
	loginAddressOnly             // the one at the login is, and the latest is not
)

// stateLive is a part of StateAny: not ended, whatever the limits say.
const stateLive State = "live"

// now is the time that durations count back from.
func (f *bunFilter) now() schema.QueryWithArgs {
	if f.asOf.IsZero() {
		return schema.SafeQuery("statement_timestamp()", nil)
	}
	return schema.SafeQuery("?::timestamptz", []any{columnTime(f.asOf)})
}

// ownIdle is a session's idle limit in microseconds; the limit of sessions without their own follows
// it. A limit that is not positive is none. notIdle is the condition that a session is not idle at a
// time.
const (
	ownIdle = `(CASE s.idle_timeout WHEN 0 THEN `

	notIdle = `(` + ownIdle + `?1 ELSE s.idle_timeout END) <= 0 OR s.last_activity > ?0 -
		` + ownIdle + `?1 ELSE s.idle_timeout END) * interval '1 microsecond')`
)

// narrow adds every condition.
func (f *bunFilter) narrow(q bun.QueryBuilder) bun.QueryBuilder {
	switch f.state() {
	case StateActive:
		q = q.Where("s.is_active").Where("(s.expires_at IS NULL OR s.expires_at > ?)", f.now())
		q = q.Where(notIdle, f.now(), postgres.Micros(f.idle))
	case stateLive:
		q = q.Where("s.is_active")
	case StateEnded:
		q = q.Where("NOT s.is_active")
	}
	q = q.Where("s.user_id <> ''") // what a purge has left of a session belongs to nobody
	if len(f.Reasons) > 0 {
		q = q.Where("s.end_reason IN (?)", bun.List(f.Reasons))
	}
	for _, c := range [...]struct {
		column, value string
	}{
		{"tenant", f.Tenant}, {"client", f.Client}, {"acted_by", f.ActedBy}, {"device_type", string(f.Device)},
		{"browser", f.Browser}, {"os", f.OS}, {"country_code", f.Country},
	} {
		if c.value != "" {
			q = q.Where("s.? = ?", bun.Ident(c.column), c.value)
		}
	}
	if f.Derived {
		q = q.Where("s.derived")
	}
	return f.narrowTimes(f.narrowAddress(q))
}

func (f *bunFilter) narrowAddress(q bun.QueryBuilder) bun.QueryBuilder {
	if !f.Address.IsValid() {
		return q
	}
	latest, login := inNetwork("ip_address", f.Address), inNetwork("login_ip_address", f.Address)
	switch f.part {
	case latestAddress:
		return q.Where("?", latest)
	case loginAddressOnly:
		return q.Where("?", login).Where("(?) IS NOT TRUE", latest)
	}
	return q.Where("(? OR ?)", latest, login)
}

func (f *bunFilter) narrowTimes(q bun.QueryBuilder) bun.QueryBuilder {
	if !f.asOf.IsZero() {
		q = q.Where("s.login_at <= ?", columnTime(f.asOf))
	}
	if !f.LoginAfter.IsZero() {
		q = q.Where("s.login_at >= ?", columnTime(f.LoginAfter))
	}
	if !f.LoginBefore.IsZero() {
		q = q.Where("s.login_at < ?", columnTime(f.LoginBefore))
	}
	if f.IdleFor > 0 { // the second condition can use an index of logins
		q = q.Where("s.last_activity <= ? - ? * interval '1 microsecond'", f.now(), postgres.Micros(f.IdleFor)).
			Where("s.login_at <= ? - ? * interval '1 microsecond'", f.now(), postgres.Micros(f.IdleFor))
	}
	if f.SeenWithin > 0 {
		q = q.Where("greatest(s.last_seen, s.last_activity) > ? - ? * interval '1 microsecond'", f.now(),
			postgres.Micros(f.SeenWithin))
	}
	if !f.FreshBefore.IsZero() {
		q = q.Where("coalesce(s.authenticated_at, '-infinity') < ?", columnTime(f.FreshBefore))
	}
	return q
}

// inetSQL is an address column as a value that has an order. It is NULL for no address and for one
// with a zone.
const inetSQL = `s.? <> '' AND CASE WHEN s.? ~ '^[0-9a-fA-F.]*[.:][0-9a-fA-F.:]*$' THEN s.?::inet END`

// inNetwork is the condition that an address column is in a prefix.
func inNetwork(column string, p netip.Prefix) schema.QueryWithArgs {
	name, first, last := bun.Ident(column), p.Masked().Addr(), lastAddress(p)
	if first == last {
		return schema.SafeQuery(inetSQL+" = ?::inet", []any{name, name, name, first.String()})
	}
	return schema.SafeQuery(inetSQL+" BETWEEN ?::inet AND ?::inet", []any{name, name, name, first.String(), last.String()})
}

// lastAddress returns the last address of a prefix.
func lastAddress(p netip.Prefix) netip.Addr {
	raw := p.Masked().Addr().AsSlice()
	for bit := p.Bits(); bit < len(raw)*8; bit++ {
		raw[bit/8] |= 0x80 >> (bit % 8)
	}
	last, _ := netip.AddrFromSlice(raw)
	return last
}

// branches splits a filter into filters that select each session once, and each of which one index
// can answer in the order of logins: by state, by reason and by address. A user's own rows need no
// splitting.
func (f *bunFilter) branches() []*bunFilter {
	all := []*bunFilter{f}
	if len(f.Users) > 0 {
		return all
	}
	split := func(variants ...func(*bunFilter)) {
		var next []*bunFilter
		for _, one := range all {
			for _, vary := range variants {
				branch := *one
				vary(&branch)
				next = append(next, &branch)
			}
		}
		all = next
	}
	if f.state() == StateAny {
		split(func(b *bunFilter) { b.State = stateLive }, func(b *bunFilter) { b.State = StateEnded })
	}
	if len(f.Reasons) > 1 {
		var reasons []func(*bunFilter)
		for _, r := range slices.Compact(slices.Sorted(slices.Values(f.Reasons))) {
			reasons = append(reasons, func(b *bunFilter) { b.Reasons = []EndReason{r} })
		}
		split(reasons...)
	}
	if f.Address.IsValid() {
		split(func(b *bunFilter) { b.part = latestAddress }, func(b *bunFilter) { b.part = loginAddressOnly })
	}
	return all
}

// union returns all rows that a filter selects, branch by branch. page orders and cuts each branch.
func (s *BunStore) union(f bunFilter, page func(*bun.SelectQuery) *bun.SelectQuery) *bun.SelectQuery {
	var all *bun.SelectQuery
	for _, b := range f.branches() {
		branch := page(s.db.NewSelect().TableExpr("?(schema)user_sessions AS s").ColumnExpr("s.*").
			ApplyQueryBuilder(b.narrow))
		switch len(f.Users) {
		case 0:
		case 1:
			branch = branch.Where("s.user_id = ?", f.Users[0])
		default: // each user's rows in their order, by the index of that user
			branch = s.db.NewSelect().TableExpr("unnest(?::text[]) AS u(id)", pgdialect.Array(sortedCopy(f.Users))).
				ColumnExpr("l.*").Join("CROSS JOIN LATERAL (?) AS l", branch.Where("s.user_id = u.id"))
		}
		if all == nil {
			all = branch
		} else {
			all = all.UnionAll(branch)
		}
	}
	return all
}

// Count implements [Counter]. Above the limit it asks the planner.
func (s *BunStore) Count(ctx context.Context, q CountQuery) (Count, error) {
	if err := q.Check(); err != nil {
		return Count{}, err
	}
	whole := func(branch *bun.SelectQuery) *bun.SelectQuery { return branch }
	selected := s.union(bunFilter{Filter: q.Filter, idle: q.IdleTimeout}, whole)
	some := s.db.NewSelect().TableExpr("(?) AS s", selected).ColumnExpr("s.user_id").Limit(int64(q.Limit) + 1)
	var row struct {
		Now      time.Time `bun:"now"`
		Sessions int       `bun:"sessions"`
		Users    int       `bun:"users"`
	}
	counted := s.db.NewSelect().TableExpr("(?) AS c", some).ColumnExpr("statement_timestamp() AS now, " +
		"count(*) AS sessions, count(DISTINCT c.user_id) AS users")
	if err := s.db.Select(ctx, counted, &row); err != nil {
		return Count{}, bunFailed("count", err)
	}
	c := Count{N: row.Sessions, Users: row.Users, Exact: row.Sessions <= q.Limit, AsOf: utc(row.Now)}
	if c.Exact {
		return c, nil
	}
	estimate, err := s.estimate(ctx, selected)
	if err != nil {
		return Count{}, bunFailed("count", err)
	}
	c.N = max(c.N, estimate)
	c.Users = int(float64(row.Users) * float64(c.N) / float64(row.Sessions))
	return c, nil
}

// estimate returns how many rows the planner expects.
func (s *BunStore) estimate(ctx context.Context, q *bun.SelectQuery) (int, error) {
	var text string
	if err := s.db.Raw(ctx, &text, "EXPLAIN (FORMAT JSON) ?", q); err != nil {
		return 0, err
	}
	var plans []struct {
		Plan struct {
			Rows float64 `json:"Plan Rows"`
		}
	}
	if err := json.Unmarshal([]byte(text), &plans); err != nil || len(plans) == 0 {
		return 0, fmt.Errorf("the plan cannot be read: %w", err)
	}
	return int(plans[0].Plan.Rows), nil
}
