package sqlite

import (
	"database/sql"
	"encoding/json"
	"net/netip"
	"strings"
	"time"

	"github.com/sessiontrack/sessiontrack"
	"github.com/sessiontrack/sessiontrack/internal/text"
)

// sessionColumns are the columns of a session, in the order of scanSession.
const sessionColumns = `s.id, s.session_id, s.user_id, s.derived, s.ip_address, s.ip_source,
	s.country_code, s.country, s.region, s.city, s.login_ip_address, s.login_ip_source,
	s.user_agent, s.client_hints, s.device_type, s.device_source, s.device_ambiguous,
	s.browser, s.browser_version, s.os, s.os_version, s.brand, s.model,
	s.login_at, s.last_activity, s.expires_at, s.credential_until, s.logout_at, s.end_reason, s.ended_by,
	s.client, s.tenant, s.acted_by, s.authenticated_at, s.methods, s.last_seen, s.idle_timeout, s.remember`

// Bounds of texts, in bytes, as in every store.
const (
	maxUserAgent = 512
	maxHints     = 1024
	maxShort     = 255
)

// scanSession reads the session's columns, and what follows them.
func scanSession(rows *sql.Rows, more ...any) (sessiontrack.Session, error) {
	var s sessiontrack.Session
	var address, loginAddress string
	var login, active, expires, until, logout, authenticated, seen sql.NullInt64
	var reason sql.NullString
	var methods string
	var idle int64
	d, l := &s.Device, &s.Location
	err := rows.Scan(append([]any{
		&s.Serial, &s.ID, &s.UserID, &s.Derived, &address, &s.AddressSource,
		&l.CountryCode, &l.Country, &l.Region, &l.City, &loginAddress, &s.LoginAddressSource,
		&s.UserAgent, &s.ClientHints, &d.Type, &d.Source, &d.Ambiguous,
		&d.Browser, &d.BrowserVersion, &d.OS, &d.OSVersion, &d.Brand, &d.Model,
		&login, &active, &expires, &until, &logout, &reason, &s.EndedBy,
		&s.Client, &s.Tenant, &s.ActedBy, &authenticated, &methods, &seen, &idle, &s.Remember,
	}, more...)...)
	s.Address, s.LoginAddress = parseAddress(address), parseAddress(loginAddress)
	s.LoginAt, s.LastActivity, s.ExpiresAt = timeOrZero(login), timeOrZero(active), timeOrZero(expires)
	s.CredentialUntil, s.LogoutAt = timeOrZero(until), timeOrZero(logout)
	s.EndReason = sessiontrack.EndReason(reason.String)
	s.AuthenticatedAt, s.LastSeen = timeOrZero(authenticated), timeOrZero(seen)
	if s.LastActivity.After(s.LastSeen) {
		s.LastSeen = s.LastActivity
	}
	if methods != "" {
		s.Methods = strings.Fields(methods)
	}
	s.IdleTimeout = idleOf(idle)
	return s, err
}

// idleColumn is a session's own idle limit as a column has it: microseconds, 0 for none of its own,
// -1 for never idle.
func idleColumn(d time.Duration) int64 {
	if d < 0 {
		return -1
	}
	return span(d)
}

// idleOf is the inverse of idleColumn.
func idleOf(us int64) time.Duration {
	if us < 0 {
		return -1
	}
	return time.Duration(us) * time.Microsecond
}

// notIdle is the condition that the session s is not idle, with the time and the limit, in
// microseconds, of sessions without their own. A limit that is not positive is none. The limit
// comes first and last, with the time between.
func notIdle(now, idle string) string {
	limit := "CASE s.idle_timeout WHEN 0 THEN " + idle + " ELSE s.idle_timeout END"
	return "((" + limit + ") <= 0 OR s.last_activity > " + now + " - (" + limit + "))"
}

func timeOrZero(us sql.NullInt64) time.Time {
	if !us.Valid {
		return time.Time{}
	}
	return timeOf(us.Int64)
}

// parseAddress returns the zero Addr for anything but an address.
func parseAddress(s string) netip.Addr {
	a, _ := netip.ParseAddr(s)
	return a
}

// addressColumn returns the text of an address, empty for no address.
func addressColumn(a netip.Addr) string {
	if !a.IsValid() {
		return ""
	}
	return short(a.String())
}

// short makes a text fit for a column of a name.
func short[T ~string](s T) string { return cut(string(s), maxShort) }

// asJSON is a list as json_each reads it: an IN list of any length is one argument.
func asJSON(list any) string {
	document, err := json.Marshal(list)
	if err != nil { // cannot happen: the callers give texts, numbers and flags
		return "[]"
	}
	return string(document)
}

// handles returns the ids that can be a session's.
func handles(ids []sessiontrack.SessionID) []string {
	valid := make([]string, 0, len(ids))
	for _, id := range ids {
		if _, err := sessiontrack.ParseSessionID(string(id)); err == nil {
			valid = append(valid, string(id))
		}
	}
	return valid
}

// cut makes a text fit for a column of at most limit bytes.
func cut(s string, limit int) string { return text.Cut(text.Storable(s), limit) }
