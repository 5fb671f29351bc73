package sessiontrack

import (
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/sessiontrack/sessiontrack/internal/query"
	"github.com/sessiontrack/sessiontrack/internal/text"
)

// Filter selects sessions by facts. Every field that is set narrows it; the zero Filter selects
// every active session. A list, a count, a preview and a bulk end of one Filter mean the same
// sessions. Durations count back from the store's time.
type Filter struct {
	// Users are user ids, at most 100, compared exactly. Empty means everybody.
	Users []string
	// Tenant, Client and ActedBy are compared exactly.
	Tenant  string
	Client  string
	ActedBy string
	// State is StateActive if it is empty. StateEnded and StateAny are for lists and counts.
	State State
	// Reasons narrows StateEnded to these end reasons, at most 16.
	Reasons []EndReason
	// Device, Browser, OS and Country are compared exactly: browser and system by their names
	// without a version, the country by its two upper-case letters.
	Device  DeviceType
	Browser string
	OS      string
	Country string
	// Address selects the sessions whose latest address or address at the login is in the prefix.
	// The address of another kind (IPv4, IPv6, IPv4 inside IPv6) is never in it. The zero Prefix
	// means any.
	Address netip.Prefix
	// LoginAfter and LoginBefore bound LoginAt: from the first on, and before the second.
	LoginAfter, LoginBefore time.Time
	// IdleFor selects sessions without activity for so long or longer. SeenWithin selects those with
	// a sign of life since. Zero means any.
	IdleFor, SeenWithin time.Duration
	// Derived selects only the sessions of credentials that are not ours.
	Derived bool
	// FreshBefore selects sessions whose user has not authenticated since: AuthenticatedAt is earlier,
	// or not known.
	FreshBefore time.Time
}

// State is a session's state in a [Filter].
type State string

// These are the states. A session past a time limit that has not been ended yet is in StateAny only.
const (
	StateActive State = "active" // not ended, and within both time limits
	StateEnded  State = "ended"
	StateAny    State = "any"
)

const (
	maxFilterUsers   = 100
	maxFilterReasons = 16
)

// IsZero reports whether no field is set.
func (f *Filter) IsZero() bool { return f.String() == "" }

// state returns the state with its default.
func (f *Filter) state() State {
	if f.State == "" {
		return StateActive
	}
	return f.State
}

// byFacts reports whether an index of a fact may find the sessions sooner than a walk by activity.
func (f *Filter) byFacts() bool {
	for _, field := range f.texts() {
		if *field.value != "" {
			return true
		}
	}
	return f.Address.IsValid()
}

// Check returns an error for a field that is out of its bounds or contradicts another one.
func (f *Filter) Check() error {
	if len(f.Users) > maxFilterUsers || slices.ContainsFunc(f.Users, func(id string) bool { return !validUserID(id) }) {
		return mistake("filter: Users: want at most %d ids, each of 1 to %d bytes of text without control characters",
			maxFilterUsers, maxUserID)
	}
	if s := f.state(); s != StateActive && s != StateEnded && s != StateAny {
		return mistake("filter: State is %.20q: want active, ended or any", string(s))
	}
	if len(f.Reasons) > 0 && f.State != StateEnded {
		return mistake("filter: Reasons is set and State is not StateEnded: want both")
	}
	if len(f.Reasons) > maxFilterReasons || slices.ContainsFunc(f.Reasons, func(r EndReason) bool { return !r.valid() }) {
		return mistake("filter: Reasons: want at most %d, each of 1 to 32 characters of a-z, 0-9, '_' and '-'",
			maxFilterReasons)
	}
	for _, field := range f.texts() {
		if len(*field.value) > maxUserID || !text.Valid(*field.value) {
			return mistake("filter: %s: want at most %d bytes of text without control characters", field.name, maxUserID)
		}
	}
	if f.Address.IsValid() && f.Address != f.Address.Masked() {
		return mistake("filter: Address is %v: want a prefix without further bits", f.Address)
	}
	if !f.LoginAfter.IsZero() && !f.LoginBefore.IsZero() && !f.LoginAfter.Before(f.LoginBefore) {
		return mistake("filter: LoginAfter is not before LoginBefore")
	}
	return notNegative("filter", span{"IdleFor", f.IdleFor}, span{"SeenWithin", f.SeenWithin})
}

// filterText is a field of a Filter that is compared exactly.
type filterText struct {
	name, parameter string // in Go, and in a query
	value           *string
	of              func(*Session) string
}

// texts returns the fields that are compared exactly, for all that treat them alike.
func (f *Filter) texts() [7]filterText {
	return [...]filterText{
		{"Tenant", "tenant", &f.Tenant, func(s *Session) string { return s.Tenant }},
		{"Client", "client", &f.Client, func(s *Session) string { return s.Client }},
		{"ActedBy", "acted_by", &f.ActedBy, func(s *Session) string { return s.ActedBy }},
		{"Device", "device", (*string)(&f.Device), func(s *Session) string { return string(s.Device.Type) }},
		{"Browser", "browser", &f.Browser, func(s *Session) string { return s.Device.Browser }},
		{"OS", "os", &f.OS, func(s *Session) string { return s.Device.OS }},
		{"Country", "country", &f.Country, func(s *Session) string { return s.Location.CountryCode }},
	}
}

// Matches reports whether the filter selects a session, as of a time of the store. idle is the
// Tracker's IdleTimeout, 0 for none; a session's own counts in its place. It is what a store's own
// translation must agree with.
func (f *Filter) Matches(s *Session, asOf time.Time, idle time.Duration) bool {
	switch f.state() {
	case StateActive:
		if s.Ended() || !s.ExpiresAt.IsZero() && !asOf.Before(s.ExpiresAt) || s.idleAt(asOf, idle, 0) {
			return false
		}
	case StateEnded:
		if !s.Ended() || len(f.Reasons) > 0 && !slices.Contains(f.Reasons, s.EndReason) {
			return false
		}
	}
	for _, field := range f.texts() {
		if *field.value != "" && field.of(s) != *field.value {
			return false
		}
	}
	return s.UserID != "" && (len(f.Users) == 0 || slices.Contains(f.Users, s.UserID)) &&
		(!f.Derived || s.Derived) && f.matchesTimes(s, asOf) &&
		(!f.Address.IsValid() || f.Address.Contains(s.Address) || f.Address.Contains(s.LoginAddress))
}

func (f *Filter) matchesTimes(s *Session, asOf time.Time) bool {
	return (f.LoginAfter.IsZero() || !s.LoginAt.Before(f.LoginAfter)) &&
		(f.LoginBefore.IsZero() || s.LoginAt.Before(f.LoginBefore)) &&
		(f.IdleFor == 0 || asOf.Sub(s.LastActivity) >= f.IdleFor) &&
		(f.SeenWithin == 0 || asOf.Sub(latestOf(s.LastSeen, s.LastActivity)) < f.SeenWithin) &&
		(f.FreshBefore.IsZero() || s.AuthenticatedAt.Before(f.FreshBefore))
}

// filterParameters are the parameters of a query that make a Filter.
var filterParameters = []string{
	"user", "tenant", "client", "acted_by", "state", "reason", "device", "browser", "os", "country", "ip", "login_after",
	"login_before", "idle_for", "seen_within", "derived", "fresh_before",
}

// ParseFilter reads a filter from the text that the HTTP API and the command take: the parameters of
// a query, such as "country=ID&idle_for=2h". The result of [Filter.String] gives the same filter.
func ParseFilter(s string) (Filter, error) {
	q, err := query.Parse(s, filterParameters)
	if err != nil {
		return Filter{}, mistake("filter: %s", err)
	}
	f := filterOf(q)
	if err := q.Err(); err != nil {
		return Filter{}, mistake("filter: %s", err)
	}
	return f, f.Check()
}

// filterOf reads the parameters of a filter. The caller looks at q.Err.
func filterOf(q *query.Values) Filter {
	f := Filter{
		Users:  q.List("user", maxFilterUsers, validUserID, "want at most 100 user ids with commas between them"),
		State:  State(q.OneOf("state", string(StateActive), string(StateEnded), string(StateAny))),
		Device: DeviceType(q.OneOf("device", deviceNames()...)), Browser: q.Text("browser", maxUserID),
		OS: q.Text("os", maxUserID), Address: q.Prefix("ip"),
		LoginAfter: q.Time("login_after"), LoginBefore: q.Time("login_before"),
		IdleFor:    q.Duration("idle_for", time.Second, maxFilterAge, "want a duration such as 2h, from 1s to 87600h"),
		SeenWithin: q.Duration("seen_within", time.Second, maxFilterAge, "want a duration such as 15m, from 1s to 87600h"),
		Derived:    q.Flag("derived"), FreshBefore: q.Time("fresh_before"),
		Tenant: q.Text("tenant", maxUserID), Client: q.Text("client", maxUserID), ActedBy: q.Text("acted_by", maxUserID),
	}
	if f.Country = strings.ToUpper(q.Text("country", maxUserID)); q.Has("country") && !isCountry(f.Country) {
		q.Refuse("country", "want the two letters of a country, such as ID")
	}
	for _, r := range q.List("reason", maxFilterReasons, func(r string) bool { return EndReason(r).valid() },
		"want at most 16 end reasons with commas between them") {
		f.Reasons = append(f.Reasons, EndReason(r))
	}
	switch {
	case q.Has("derived") && !f.Derived:
		q.Refuse("derived", "want true; leave it out for every session")
	case q.Has("reason") && f.State != "" && f.State != StateEnded:
		q.Refuse("reason", "it contradicts state; sessions that have ended have one")
	case q.Has("reason"):
		f.State = StateEnded
	case q.Has("login_after") && q.Has("login_before") && !f.LoginAfter.Before(f.LoginBefore):
		q.Refuse("login_after", "it contradicts login_before; want an earlier time")
	}
	return f
}

// maxFilterAge is ten years: longer than anything is kept.
const maxFilterAge = 10 * 365 * 24 * time.Hour

func isCountry(s string) bool {
	return len(s) == 2 && s[0] >= 'A' && s[0] <= 'Z' && s[1] >= 'A' && s[1] <= 'Z'
}

func deviceNames() []string {
	names := make([]string, len(deviceTypes))
	for i, d := range deviceTypes {
		names[i] = string(d)
	}
	return names
}

// String returns the filter as the parameters of a query, in the order of their names: what
// [ParseFilter] reads. The zero Filter is "".
func (f *Filter) String() string {
	v := url.Values{}
	set := func(name, value string, given bool) {
		if given {
			v.Set(name, value)
		}
	}
	set("user", strings.Join(f.Users, ","), len(f.Users) > 0)
	set("state", string(f.State), f.state() != StateActive)
	reasons := make([]string, len(f.Reasons))
	for i, r := range f.Reasons {
		reasons[i] = string(r)
	}
	set("reason", strings.Join(reasons, ","), len(reasons) > 0)
	for _, field := range f.texts() {
		set(field.parameter, *field.value, *field.value != "")
	}
	set("ip", f.Address.String(), f.Address.IsValid())
	set("login_after", f.LoginAfter.UTC().Format(time.RFC3339Nano), !f.LoginAfter.IsZero())
	set("login_before", f.LoginBefore.UTC().Format(time.RFC3339Nano), !f.LoginBefore.IsZero())
	set("idle_for", f.IdleFor.String(), f.IdleFor != 0)
	set("seen_within", f.SeenWithin.String(), f.SeenWithin != 0)
	set("derived", "true", f.Derived)
	set("fresh_before", f.FreshBefore.UTC().Format(time.RFC3339Nano), !f.FreshBefore.IsZero())
	return v.Encode()
}
