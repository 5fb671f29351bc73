package sqlite

import (
	"context"
	"database/sql"
	"time"

	"github.com/sessiontrack/sessiontrack"
)

// conditions is a filter as conditions on user_sessions AS s. Lists, counts and ends use it, so that
// they cannot disagree.
type conditions struct {
	sessiontrack.Filter
	idle time.Duration // the Tracker's IdleTimeout
	now  int64         // what durations count back from
	live bool          // not ended, whatever the limits say: a part of StateAny
	// addresses are those of the file that are in Address. SQLite has no type for them.
	addresses []string
}

// newConditions looks up what the filter's address means in the file.
func newConditions(
	ctx context.Context, q querier, f sessiontrack.Filter, idle time.Duration, now int64,
) (*conditions, error) {
	c := &conditions{Filter: f, idle: idle, now: now}
	switch {
	case !f.Address.IsValid():
		return c, nil
	case f.Address.IsSingleIP():
		c.addresses = []string{addressColumn(f.Address.Addr())}
		return c, nil
	}
	c.addresses = []string{}
	return c, each(ctx, q, func(rows *sql.Rows) error {
		var address string
		err := rows.Scan(&address)
		if f.Address.Contains(parseAddress(address)) {
			c.addresses = append(c.addresses, address)
		}
		return err
	}, addressesSQL)
}

// addressesSQL returns every address of the file, each once.
const addressesSQL = "SELECT ip_address FROM user_sessions UNION SELECT login_ip_address FROM user_sessions"

// branches splits a filter into filters that select each session once, and each of which one index
// can answer in the order of logins.
func (c *conditions) branches() []*conditions {
	if c.State != sessiontrack.StateAny || len(c.Users) > 0 {
		return []*conditions{c}
	}
	live, ended := *c, *c
	live.live, ended.State = true, sessiontrack.StateEnded
	return []*conditions{&live, &ended}
}

// narrow adds every condition.
func (c *conditions) narrow(out *statement) {
	c.narrowState(out)
	if len(c.Users) == 1 {
		out.add(" AND s.user_id = ?", c.Users[0])
	} else if len(c.Users) > 1 {
		out.add(" AND s.user_id IN (SELECT value FROM json_each(?))", asJSON(c.Users))
	}
	for _, fact := range c.facts() {
		if fact.value != "" { // the first condition is the index's
			out.add(" AND s."+fact.column+" <> '' AND s."+fact.column+" = ?", fact.value)
		}
	}
	if c.Derived {
		out.add(" AND s.derived")
	}
	if c.Address.IsValid() {
		list := asJSON(c.addresses)
		out.add(" AND (s.ip_address <> '' AND s.ip_address IN (SELECT value FROM json_each(?))"+
			" OR s.login_ip_address <> '' AND s.login_ip_address IN (SELECT value FROM json_each(?)))", list, list)
	}
	c.narrowTimes(out)
}

func (c *conditions) narrowState(out *statement) {
	out.add(" AND s.user_id <> ''") // what a purge has left of a session belongs to nobody
	switch {
	case c.live:
		out.add(" AND s.logout_at IS NULL")
	case c.State == sessiontrack.StateAny:
	case c.State == sessiontrack.StateEnded:
		out.add(" AND s.logout_at IS NOT NULL")
		if len(c.Reasons) > 0 {
			out.add(" AND s.end_reason IN (SELECT value FROM json_each(?))", asJSON(c.Reasons))
		}
	default:
		out.add(" AND s.logout_at IS NULL AND (s.expires_at IS NULL OR s.expires_at > ?)", c.now)
		out.add(" AND "+notIdle("?", "?"), span(c.idle), c.now, span(c.idle))
	}
}

func (c *conditions) narrowTimes(out *statement) {
	if !c.LoginAfter.IsZero() {
		out.add(" AND s.login_at >= ?", column(c.LoginAfter))
	}
	if !c.LoginBefore.IsZero() {
		out.add(" AND s.login_at < ?", column(c.LoginBefore))
	}
	if c.IdleFor > 0 {
		out.add(" AND s.last_activity <= ?", c.now-span(c.IdleFor))
	}
	if c.SeenWithin > 0 {
		out.add(" AND max(coalesce(s.last_seen, 0), s.last_activity) > ?", c.now-span(c.SeenWithin))
	}
	if !c.FreshBefore.IsZero() {
		out.add(" AND coalesce(s.authenticated_at, 0) < ?", column(c.FreshBefore))
	}
}

// fact is a column that a filter compares exactly.
type fact struct{ column, value string }

func (c *conditions) facts() [7]fact {
	return [...]fact{
		{"tenant", c.Tenant}, {"client", c.Client}, {"acted_by", c.ActedBy}, {"device_type", string(c.Device)},
		{"browser", c.Browser}, {"os", c.OS}, {"country_code", c.Country},
	}
}

// factIndex names the index by which the live sessions of a fact are found sooner than by a walk
// through all users, or "".
func (c *conditions) factIndex() string {
	for _, fact := range c.facts() {
		if fact.value != "" {
			return "user_sessions_live_" + fact.column
		}
	}
	return ""
}

// Count implements [sessiontrack.Counter]. It is always exact.
func (s *Store) Count(ctx context.Context, q sessiontrack.CountQuery) (sessiontrack.Count, error) {
	if err := q.Check(); err != nil {
		return sessiontrack.Count{}, err
	}
	now := s.clock.tell()
	c, err := newConditions(ctx, s.read, q.Filter, q.IdleTimeout, now)
	if err != nil {
		return sessiontrack.Count{}, failed("count", err)
	}
	out := &statement{}
	out.add("SELECT count(*), count(DISTINCT s.user_id) FROM user_sessions AS s WHERE true")
	c.narrow(out)
	count := sessiontrack.Count{Exact: true, AsOf: timeOf(now)}
	err = each(ctx, s.read, func(rows *sql.Rows) error { return rows.Scan(&count.N, &count.Users) },
		out.String(), out.args...)
	if err != nil {
		return sessiontrack.Count{}, failed("count", err)
	}
	return count, nil
}
