package sessiontrack

import (
	"net/netip"
	"time"
	"unicode/utf8"

	"github.com/sessiontrack/sessiontrack/internal/text"
)

const (
	maxUserAgent  = 512  // bytes, as the schema has it
	maxHints      = 1024 // bytes
	maxColumnText = 255  // bytes of any other text
)

// sessionColumns are the columns of a Session. user_sessions must be called s.
const sessionColumns = `s.id, s.session_id, s.user_id, s.derived, s.ip_address, s.ip_source,
s.country_code, s.country, s.region, s.city, s.login_ip_address, s.login_ip_source,
s.user_agent, s.client_hints, s.device_type, s.device_source, s.device_ambiguous,
s.browser, s.browser_version, s.os, s.os_version, s.brand, s.model,
s.login_at, s.last_activity, s.expires_at, s.credential_until, s.logout_at, s.end_reason, s.ended_by`

// bunRow is a row of user_sessions, with columns that some queries add. NULL is read as the zero
// value.
type bunRow struct {
	Serial     int64  `bun:"id"`
	ID         string `bun:"session_id"`
	UserID     string `bun:"user_id"`
	SecretHash []byte `bun:"secret_hash"`
	Derived    bool   `bun:"derived"`

	Address            string `bun:"ip_address"`
	AddressSource      string `bun:"ip_source"`
	CountryCode        string `bun:"country_code"`
	Country            string `bun:"country"`
	Region             string `bun:"region"`
	City               string `bun:"city"`
	LoginAddress       string `bun:"login_ip_address"`
	LoginAddressSource string `bun:"login_ip_source"`

	UserAgent       string `bun:"user_agent"`
	ClientHints     string `bun:"client_hints"`
	DeviceType      string `bun:"device_type"`
	DeviceSource    string `bun:"device_source"`
	DeviceAmbiguous bool   `bun:"device_ambiguous"`
	Browser         string `bun:"browser"`
	BrowserVersion  string `bun:"browser_version"`
	OS              string `bun:"os"`
	OSVersion       string `bun:"os_version"`
	Brand           string `bun:"brand"`
	Model           string `bun:"model"`

	LoginAt         time.Time `bun:"login_at"`
	LastActivity    time.Time `bun:"last_activity"`
	ExpiresAt       time.Time `bun:"expires_at"`
	CredentialUntil time.Time `bun:"credential_until"`
	LogoutAt        time.Time `bun:"logout_at"`
	EndReason       string    `bun:"end_reason"`
	EndedBy         string    `bun:"ended_by"`

	Now     time.Time `bun:"now"`     // the store's time
	Standby bool      `bun:"standby"` // the server is a standby and must not be used
	Seen    time.Time `bun:"seen"`    // the user's presence
	Counts  bool      `bun:"counts"`  // whether it counts towards a limit
}

// session returns the row's public part.
func (r *bunRow) session() Session {
	return Session{
		Serial: r.Serial, ID: SessionID(r.ID), UserID: r.UserID, Derived: r.Derived,
		Address: parseAddress(r.Address), AddressSource: r.AddressSource,
		Location:     Location{CountryCode: r.CountryCode, Country: r.Country, Region: r.Region, City: r.City},
		LoginAddress: parseAddress(r.LoginAddress), LoginAddressSource: r.LoginAddressSource,
		UserAgent: r.UserAgent, ClientHints: r.ClientHints, Device: r.device(),
		LoginAt: utc(r.LoginAt), LastActivity: utc(r.LastActivity), ExpiresAt: utc(r.ExpiresAt),
		CredentialUntil: utc(r.CredentialUntil), LogoutAt: utc(r.LogoutAt),
		EndReason: EndReason(r.EndReason), EndedBy: r.EndedBy,
	}
}

func (r *bunRow) device() Device {
	return Device{
		Type: DeviceType(r.DeviceType), Source: DeviceSource(r.DeviceSource), Ambiguous: r.DeviceAmbiguous,
		Browser: r.Browser, BrowserVersion: r.BrowserVersion, OS: r.OS, OSVersion: r.OSVersion,
		Brand: r.Brand, Model: r.Model,
	}
}

func (r *bunRow) record() Record {
	record := Record{Session: r.session()}
	copy(record.SecretHash[:], r.SecretHash)
	return record
}

func sessionsOf(rows []bunRow) []Session {
	sessions := make([]Session, len(rows))
	for i := range rows {
		sessions[i] = rows[i].session()
	}
	return sessions
}

// utc converts a time to UTC, because some drivers return local times. It keeps the zero time.
func utc(t time.Time) time.Time {
	if t.IsZero() {
		return time.Time{}
	}
	return t.UTC()
}

// columnTime clamps t to the range of a column: years 1970 to 9999.
func columnTime(t time.Time) time.Time {
	return time.UnixMicro(min(max(t.UnixMicro(), 0), maxMicros)).UTC()
}

// columnTimeOrNull returns nil (NULL) for the zero time.
func columnTimeOrNull(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = columnTime(t)
	return &t
}

// column makes a text fit a column. It removes what PostgreSQL refuses, and cuts a long text
// between two characters.
func column(s string, limit int) string {
	s = text.Storable(s)
	if len(s) <= limit {
		return s
	}
	for limit > 0 && !utf8.RuneStart(s[limit]) {
		limit--
	}
	return s[:limit]
}

func shortColumn[T ~string](s T) string { return column(string(s), maxColumnText) }

// addressColumn returns the text of an address, empty for no address.
func addressColumn(a netip.Addr) string {
	if !a.IsValid() {
		return ""
	}
	return shortColumn(a.String())
}

// parseAddress returns the zero Addr for anything but an address.
func parseAddress(s string) netip.Addr {
	a, _ := netip.ParseAddr(s)
	return a
}

// handles returns the canonical handles; others cannot belong to a session.
func handles(ids []SessionID) []string {
	valid := make([]string, 0, len(ids))
	for _, id := range ids {
		if _, ok := parseHandle(id); ok {
			valid = append(valid, string(id))
		}
	}
	return valid
}
