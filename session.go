package sessiontrack

import (
	"encoding/json"
	"math"
	"net/netip"
	"time"

	"github.com/sessiontrack/sessiontrack/internal/text"
)

// Session is one login of one user on one device, as the store has it. It is a plain value that may
// be kept and copied. Times are UTC in whole microseconds, by the store's clock. A zero
// time means "none".
type Session struct {
	// Serial is the row's number in the store, and "id" in JSON. Sessions are ordered by it. It
	// does not identify a session to callers; ID does.
	Serial int64
	// ID is the handle, and "sessionId" in JSON.
	ID SessionID
	// UserID is the owner. It never changes.
	UserID string
	// Derived says that the session was created from a credential that named no session of ours. It
	// has no secret.
	Derived bool

	// Client is the kind of client, such as "web", "ios" or "cli"; Tenant is an organisation. Both
	// are labels of the application's, set at the login, to list, count, limit and end by.
	Client string
	Tenant string
	// ActedBy is the user id of the administrator who impersonates the user in this session; empty
	// in every other session. Such a session does not make its user online.
	ActedBy string
	// AuthenticatedAt is when the user last proved who they are: at the login, by
	// [Tracker.StepUp], or what a credential says of itself. Zero if unknown.
	AuthenticatedAt time.Time
	// Methods are how the user authenticated then, in the words of RFC 8176: "pwd", "otp", "hwk".
	// The slice must not be modified.
	Methods []string

	// Address is the latest address that used the session, as far as Options.AddressMode keeps it.
	// AddressSource says what it was read from. The zero Addr means unknown.
	Address       netip.Addr
	AddressSource string
	// Location is the location of Address, from Options.Locator.
	Location Location
	// LoginAddress and LoginAddressSource are the address and source at the login. They never
	// change.
	LoginAddress       netip.Addr
	LoginAddressSource string

	// UserAgent is the user agent at the login: at most 512 bytes, valid UTF-8, without control
	// characters. ClientHints is the compact form of its client hints.
	UserAgent   string
	ClientHints string
	// Device is the device that UserAgent and ClientHints describe. Its Type is known at the login.
	// The names follow shortly after; until then Device.Source is empty.
	Device Device

	// LoginAt is the time of the login. LastActivity is the time of the latest request that counts
	// as activity; it lags by at most TouchInterval + FlushInterval.
	LoginAt      time.Time
	LastActivity time.Time
	// LastSeen is the time of the latest sign of life: a request of any kind, or a connection that
	// [Tracker.Hold] held. It is never before LastActivity, and moves no limit.
	LastSeen time.Time
	// ExpiresAt is LoginAt + Lifetime and never moves. It is zero if Lifetime is off.
	ExpiresAt time.Time
	// IdleTimeout is the session's own idle limit, in place of [Options.IdleTimeout]. Zero means
	// that it has none of its own, and a negative value that it is never idle.
	IdleTimeout time.Duration
	// Remember says that the session's cookie outlives the browser.
	Remember bool
	// CredentialUntil is the latest known expiry of the credentials that a derived session was
	// created from. It is zero if no expiry is known.
	CredentialUntil time.Time

	// LogoutAt, EndReason and EndedBy are set once, together, when the session ends. EndedBy is the
	// user id of the actor, empty for the system.
	LogoutAt  time.Time
	EndReason EndReason
	EndedBy   string
}

// Ended reports whether the session has been ended. A session past a time limit may not have been
// ended yet: see [Tracker.WithinLimits].
func (s Session) Ended() bool { return !s.LogoutAt.IsZero() }

// idleLimit returns the idle limit that counts for the session, zero for none. usual is the one
// of sessions without their own; slack is added to their own.
func (s *Session) idleLimit(usual, slack time.Duration) time.Duration {
	switch {
	case s.IdleTimeout < 0:
		return 0
	case s.IdleTimeout == 0:
		return usual
	}
	return s.IdleTimeout + min(slack, math.MaxInt64-s.IdleTimeout)
}

// idleAt reports whether the session has been without activity for its idle limit.
func (s *Session) idleAt(now time.Time, usual, slack time.Duration) bool {
	limit := s.idleLimit(usual, slack)
	return limit > 0 && now.Sub(s.LastActivity) >= limit
}

// Record is a session as the store keeps it, with the hash of its secret. It is the only type that
// contains the hash. The hash does not authenticate.
type Record struct {
	Session
	// SecretHash is SHA-256 of the secret; all zero for a derived session.
	SecretHash [32]byte
}

// Location is a place, as precise as the host's [Locator] returns it. Every field may be empty. It
// is comparable.
type Location struct {
	// CountryCode is ISO 3166-1 alpha-2, upper case.
	CountryCode string `json:"countryCode,omitempty"`
	Country     string `json:"country,omitempty"`
	Region      string `json:"region,omitempty"`
	City        string `json:"city,omitempty"`
}

// IsZero reports whether every field is empty.
func (l Location) IsZero() bool { return l == Location{} }

// String returns "City, Region, Country" without the unknown parts.
func (l Location) String() string {
	country := l.Country
	if country == "" {
		country = l.CountryCode
	}
	text := ""
	for _, part := range [...]string{l.City, l.Region, country} {
		switch {
		case part == "" || part == text:
		case text == "":
			text = part
		default:
			text += ", " + part
		}
	}
	return text
}

// EndReason says why a session ended. Hosts may use their own words: 1 to 32 characters of a-z,
// 0-9, '_' and '-'.
type EndReason string

// These are the reasons that this package sets itself, and those that hosts commonly need. Only the
// Tracker sets ReasonIdle, ReasonLifetime, ReasonLimit, ReasonReplacement and ReasonUnacknowledged.
const (
	ReasonLogout      EndReason = "logout"   // the user signed out
	ReasonUser        EndReason = "user"     // the user ended it from another session
	ReasonAdmin       EndReason = "admin"    // an administrator ended it
	ReasonIdle        EndReason = "idle"     // no activity for IdleTimeout
	ReasonLifetime    EndReason = "lifetime" // older than Lifetime
	ReasonLimit       EndReason = "limit"    // a newer session replaced it under MaxSessions
	ReasonReplacement EndReason = "replaced" // a login request carried it
	ReasonPassword    EndReason = "password" // the password was changed
	ReasonDeletion    EndReason = "deleted"  // the account was disabled or deleted
	ReasonReported    EndReason = "reported" // the user said that it was not them
	ReasonProvider    EndReason = "idp"      // the identity provider ended it

	// ReasonUnacknowledged: the store's answer to the sign-in was lost, so nobody has the token.
	ReasonUnacknowledged EndReason = "unacknowledged"
)

// byLimit reports whether a time limit ended the session. Requests refuse such a session even
// before it is ended.
func (r EndReason) byLimit() bool { return r == ReasonIdle || r == ReasonLifetime }

// valid reports whether a reason fits a column, a log line and JSON.
func (r EndReason) valid() bool {
	if len(r) == 0 || len(r) > 32 {
		return false
	}
	for i := range len(r) {
		c := r[i]
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '_' && c != '-' {
			return false
		}
	}
	return true
}

// sessionJSON is the JSON form of a session. The handlers add fields that only they know.
type sessionJSON struct {
	ID           int64      `json:"id"`
	UserID       any        `json:"userId"`
	SessionID    SessionID  `json:"sessionId"`
	IPAddress    *string    `json:"ipAddress"`
	UserAgent    string     `json:"userAgent"`
	DeviceType   DeviceType `json:"deviceType"`
	Browser      string     `json:"browser"`
	OS           string     `json:"os"`
	Device       string     `json:"device"`
	Location     *Location  `json:"location"`
	IsActive     bool       `json:"isActive"`
	LastActivity time.Time  `json:"lastActivity"`
	LoginAt      time.Time  `json:"loginAt"`
	LogoutAt     *time.Time `json:"logoutAt"`
	EndReason    *EndReason `json:"endReason"`
	EndedBy      *string    `json:"endedBy"`
	ExpiresAt    *time.Time `json:"expiresAt"`

	Client          string       `json:"client"`
	Tenant          string       `json:"tenant"`
	ActedBy         any          `json:"actedBy"`
	AuthenticatedAt *time.Time   `json:"authenticatedAt"`
	Methods         []string     `json:"methods"`
	LastSeen        time.Time    `json:"lastSeen"`
	IdleExpiresAt   *time.Time   `json:"idleExpiresAt"`
	RememberMe      bool         `json:"rememberMe"`
	Derived         bool         `json:"derived"`
	AddressSource   string       `json:"addressSource"`
	LoginAddress    *string      `json:"loginAddress"`
	DeviceSource    DeviceSource `json:"deviceSource"`
	Ambiguous       bool         `json:"ambiguous"`
	DeviceFacts     deviceFacts  `json:"deviceFacts"`
}

// deviceFacts is the JSON form of a device, word by word.
type deviceFacts struct {
	Browser        string `json:"browser"`
	BrowserVersion string `json:"browserVersion"`
	OS             string `json:"os"`
	OSVersion      string `json:"osVersion"`
	Brand          string `json:"brand"`
	Model          string `json:"model"`
	Family         string `json:"family"`
}

func (d Device) facts() deviceFacts {
	return deviceFacts{d.Browser, d.BrowserVersion, d.OS, d.OSVersion, d.Brand, d.Model, d.Family()}
}

// toJSON fills the JSON form. userID writes a user's id as the host wants it; active is the
// Tracker's judgement, and usual the idle limit of sessions without their own.
func (s Session) toJSON(userID func(string) any, active bool, usual time.Duration) sessionJSON {
	device := s.Device.result()
	out := sessionJSON{
		ID: s.Serial, UserID: userID(s.UserID), SessionID: s.ID,
		UserAgent: s.UserAgent, DeviceType: s.Device.Type,
		Browser:  device.BrowserLabel(),
		OS:       device.SystemLabel(),
		Device:   device.ModelName(),
		IsActive: active, LastActivity: s.LastActivity, LoginAt: s.LoginAt,
		LogoutAt: timeOrNil(s.LogoutAt), ExpiresAt: timeOrNil(s.ExpiresAt),
		Client: s.Client, Tenant: s.Tenant, AuthenticatedAt: timeOrNil(s.AuthenticatedAt),
		Methods: append([]string{}, s.Methods...), LastSeen: s.LastSeen, RememberMe: s.Remember, Derived: s.Derived,
		AddressSource: s.AddressSource, LoginAddress: addressOrNil(s.LoginAddress), IPAddress: addressOrNil(s.Address),
		DeviceSource: s.Device.Source, Ambiguous: s.Device.Ambiguous, DeviceFacts: s.Device.facts(),
	}
	if s.ActedBy != "" {
		out.ActedBy = userID(s.ActedBy)
	}
	if limit := s.idleLimit(usual, 0); limit > 0 && !s.Ended() {
		out.IdleExpiresAt = timeOrNil(s.LastActivity.Add(limit))
	}
	if out.DeviceType == "" {
		out.DeviceType = DeviceUnknown
	}
	if !s.Location.IsZero() {
		out.Location = &s.Location
	}
	if s.Ended() {
		out.EndReason = &s.EndReason
		if s.EndedBy != "" {
			out.EndedBy = &s.EndedBy
		}
	}
	return out
}

// MarshalJSON writes the session as the HTTP API does. isActive is true until the session has been
// ended, and idleExpiresAt is null without an idle limit of the session's own. The result contains no credential.
func (s Session) MarshalJSON() ([]byte, error) {
	return json.Marshal(s.toJSON(func(id string) any { return id }, !s.Ended(), 0))
}

func addressOrNil(a netip.Addr) *string {
	if !a.IsValid() {
		return nil
	}
	address := a.String()
	return &address
}

func timeOrNil(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

// maxUserID bounds a user id in bytes.
const maxUserID = 255

// validUserID reports whether a user id can be stored, logged and sent.
func validUserID(id string) bool { return id != "" && len(id) <= maxUserID && text.Valid(id) }

// micros returns microseconds since 1970, 0 for the zero time.
func micros(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMicro()
}

// fromMicros is the inverse of micros, in UTC.
func fromMicros(us int64) time.Time {
	if us == 0 {
		return time.Time{}
	}
	return time.UnixMicro(us).UTC()
}

// maxMicros is the end of the year 9999, which every database and RFC 3339 can hold.
const maxMicros = 253_402_300_799_999_999

// latestOf returns the later of two times.
func latestOf(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
