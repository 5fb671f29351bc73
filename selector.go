package sessiontrack

import (
	"cmp"
	"encoding/base64"
	"encoding/json"
	"slices"
	"time"

	codec "github.com/sessiontrack/sessiontrack/internal/handle"
	"github.com/sessiontrack/sessiontrack/internal/text"
)

// Selector says which live sessions to end. It is made by [IDs], [User], [Provider], [Idle], [Expired] or
// [Matching]. The zero Selector selects nothing and is refused, so that "all sessions"
// cannot be said by accident.
type Selector struct {
	criteria Criteria
	only     bool // Only was called
}

// Criteria is a Selector as a [Store] reads it. Exactly one of IDs, UserID, Provider, IdleFor, PastIdle, Expired
// and Filter is set, and the other fields narrow it. Filter may also narrow IDs. With PastIdle,
// IdleFor belongs to it.
type Criteria struct {
	// IDs selects sessions by handle. It is not empty if it is the field that is set.
	IDs []SessionID
	// Owner, where it is not empty, leaves out those of IDs that are another user's. The
	// fence of the user does not move.
	Owner string
	// UserID selects a user's sessions, without those in Except.
	UserID string
	Except []SessionID
	// Provider selects the sessions with this NewSession.ProviderID.
	Provider string
	// IdleFor selects sessions whose LastActivity is this long ago or longer.
	IdleFor time.Duration
	// PastIdle selects sessions without activity for their idle limit: for their own IdleTimeout
	// plus Slack, or for IdleFor if they have none of their own. IdleFor is then zero if those are
	// never idle.
	PastIdle bool
	Slack    time.Duration
	// Expired selects sessions whose ExpiresAt has passed.
	Expired bool
	// Filter selects the active sessions that match it. Where AsOf is not zero, its durations count
	// back from AsOf, and sessions that began later are not selected. IdleTimeout is the Tracker's.
	Filter      *Filter
	AsOf        time.Time
	IdleTimeout time.Duration

	// Walk, where positive, looks at no more than that many rows, those with a Serial
	// above After, in its order. EndResult.Next then says where to go on.
	Walk  int
	After int64
}

// filters reports whether the filter of c selects a session. now is the store's time.
func (c *Criteria) filters(s *Session, now time.Time) bool {
	if c.Filter == nil {
		return true
	}
	if !c.AsOf.IsZero() {
		now = c.AsOf
	}
	return !s.LoginAt.After(now) && c.Filter.Matches(s, now, c.IdleTimeout)
}

// minIdle is the least that Tracker.End takes of Idle: below it everybody would be meant.
const minIdle = time.Second

// IDs selects sessions by handle, whosever they are: what an administrator names. For ids
// that came with a user's request use User(id).Only(ids...), or one user can end another's
// sessions. Ids that come twice and ids that are unknown do no harm.
func IDs(ids ...SessionID) Selector {
	return Selector{criteria: Criteria{IDs: slices.Clone(ids)}}
}

// User selects all sessions of a user. [Selector.Except] and [Selector.Only] narrow it.
//
// Its end is a fence, also with Except and where the user has no session: a credential of the
// user's that was issued up to that second, or at an unknown time, begins no session any more. It
// does not refuse a token that is issued later, such as one that a refresh endpoint gives for a
// refresh token from before: unless that token names a session that has ended (by sid, or by
// JWTOptions.KeyClaim), the refresh endpoint has to refuse, by [Tracker.Check]. See docs/jwt.md.
func User(id string) Selector { return Selector{criteria: Criteria{UserID: id}} }

// Provider selects the sessions that belong to one session of an identity provider, as a logout
// token names it (OpenID Connect Back-Channel Logout 1.0): issuer is its iss and key its sid. They are
// the derived sessions of its credentials, by [Identity].Issuer and Key, and those of sign-ins that
// kept its id, by [ProviderID].
//
// The end is remembered for Options.KeepEnded: a session of it that has not been seen yet, because
// its credential was never used here or its sign-in is still under way, does not begin any more.
// An empty key selects nothing and is refused.
func Provider(issuer, key string) Selector {
	if key == "" {
		return Selector{}
	}
	return Selector{criteria: Criteria{Provider: ProviderID(issuer, key)}}
}

// ProviderID is what a [Store] keeps of a session of an identity provider: a hash, by which nobody
// can end the provider's session. See NewSession.ProviderID.
func ProviderID(issuer, key string) string { return string(deriveHandle(issuer, "", key).id()) }

// Idle selects everybody's sessions without activity for at least d, by the store's clock.
// [Tracker.End] refuses less than a second: Idle(30) is 30 nanoseconds and would end every
// session.
func Idle(d time.Duration) Selector { return Selector{criteria: Criteria{IdleFor: d}} }

// PastIdle selects everybody's sessions that are past their idle limit, by the store's clock: their
// own plus slack, or usual if they have none of their own. A zero usual leaves those alone. The
// cleanup ends them; it is exported for the authors of stores, whose tests need it.
func PastIdle(usual, slack time.Duration) Selector {
	return Selector{criteria: Criteria{PastIdle: true, IdleFor: usual, Slack: slack}}
}

// Expired selects sessions whose ExpiresAt has passed, by the store's clock.
func Expired() Selector { return Selector{criteria: Criteria{Expired: true}} }

// Matching selects the active sessions that f selects. f.State must not ask for others.
// [Tracker.End] ends them in steps, as a cleanup does, so that a large number delays nobody.
func Matching(f Filter) Selector {
	f.Users = slices.Clone(f.Users)
	return Selector{criteria: Criteria{Filter: &f}}
}

// AsOf has Matching mean what the filter selected at a time of the store, such as [Count.AsOf]: no
// session that began later is selected, and durations count back from then.
func (s Selector) AsOf(at time.Time) Selector {
	s.criteria.AsOf = at
	return s
}

// idle tells Matching the Tracker's IdleTimeout.
func (s Selector) idle(d time.Duration) Selector {
	s.criteria.IdleTimeout = d
	return s
}

// Except leaves some sessions out of a user's sessions.
func (s Selector) Except(ids ...SessionID) Selector {
	s.criteria.Except = append(slices.Clone(s.criteria.Except), ids...)
	return s
}

// Only narrows a user's sessions, or those of a filter, to these. Ids of another user's sessions select nothing,
// as ids that are unknown do. Without ids the selector says nothing and is refused. Unlike
// User(id) alone it reaches no credential that has not been presented yet.
func (s Selector) Only(ids ...SessionID) Selector {
	s.only = true
	s.criteria.Owner = cmp.Or(s.criteria.Owner, s.criteria.UserID)
	s.criteria.UserID, s.criteria.IDs = "", append(slices.Clone(s.criteria.IDs), ids...)
	return s
}

// Walk limits the selection to the next rows rows behind after, by Serial. With it a large table
// can be processed in small transactions, without an index.
func (s Selector) Walk(after int64, rows int) Selector {
	s.criteria.After, s.criteria.Walk = after, rows
	return s
}

// Criteria returns the selector's criteria, for a Store. It fails if the selector selects nothing,
// or several kinds of sessions.
func (s Selector) Criteria() (Criteria, error) {
	c, kinds := s.criteria, 0
	byFilter := c.Filter != nil && !s.only
	byTime := c.IdleFor != 0 || c.PastIdle
	for _, set := range [...]bool{len(c.IDs) > 0, c.UserID != "", c.Provider != "", byTime, c.Expired, byFilter} {
		if set {
			kinds++
		}
	}
	switch {
	case s.only && ((c.Owner == "") == (c.Filter == nil) || len(c.Except) > 0):
		return Criteria{}, mistake("selector: Only goes with User or Matching only, and without Except")
	case kinds != 1:
		return Criteria{}, mistake("selector: names %d kinds of sessions, "+
			"want one of IDs, User, Provider, Idle, Expired, Matching (empty ones do not count)", kinds)
	case c.Slack < 0:
		return Criteria{}, mistake("selector: Slack is %v: want 0 or more", c.Slack)
	case c.IdleFor < 0:
		return Criteria{}, mistake("selector: Idle is %v: want more than 0", c.IdleFor)
	case len(c.Except) > 0 && c.UserID == "":
		return Criteria{}, mistake("selector: Except is set without User: want both")
	case !c.AsOf.IsZero() && c.Filter == nil:
		return Criteria{}, mistake("selector: AsOf is set without Matching: want both")
	case c.Walk < 0 || c.After < 0:
		return Criteria{}, mistake("selector: Walk is (%d, %d): want 0 or more", c.After, c.Walk)
	}
	if c.Filter != nil {
		if c.Filter.state() != StateActive {
			return Criteria{}, mistake("selector: Matching: State is %.20q: want active", string(c.Filter.State))
		}
		return c, c.Filter.Check()
	}
	return c, nil
}

// check refuses what an application cannot have meant, though a store can carry it out.
func (s Selector) check() error {
	c, err := s.Criteria()
	if err == nil && c.IdleFor > 0 && c.IdleFor < minIdle && !c.PastIdle {
		err = mistake("selector: Idle is %v: want at least %v; was the unit forgotten?", c.IdleFor, minIdle)
	}
	return err
}

// Cursor is a position in an ordered list: the key of the last row of a page. Its text form is
// opaque to clients. It contains no secret and grants no access.
type Cursor struct {
	At     time.Time // the row's time in the list's order: a login, or a user's latest activity
	UserID string    // if the list is ordered by users
	Serial int64     // if the list's rows are sessions
}

// maxCursor bounds a cursor's text form: base64 of two numbers and a user id, each byte of which
// JSON may write with six.
const maxCursor = (6*maxUserID + 64) * 4 / 3

// cursorText is a Cursor's wire form.
type cursorText struct {
	Micros int64  `json:"t"`
	UserID string `json:"u,omitempty"`
	Serial int64  `json:"s,omitempty"`
}

// IsZero reports whether the cursor means "from the start" or "no more".
func (c Cursor) IsZero() bool { return c.At.IsZero() }

// String returns the text form: base64url, empty for the zero Cursor.
func (c Cursor) String() string {
	if c.IsZero() {
		return ""
	}
	text, err := json.Marshal(cursorText{c.At.UnixMicro(), c.UserID, c.Serial})
	if err != nil { // cannot happen for two numbers and a string
		return ""
	}
	return base64.RawURLEncoding.EncodeToString(text)
}

// ParseCursor parses the result of String. The empty string is the zero Cursor.
func ParseCursor(s string) (Cursor, error) {
	if s == "" {
		return Cursor{}, nil
	}
	if len(s) > maxCursor {
		return Cursor{}, mistake("the cursor is too long: want at most %d characters", maxCursor)
	}
	raw, err := codec.Encoding.DecodeString(s)
	if err != nil {
		return Cursor{}, mistake("the cursor is not base64url: want the result of Cursor.String")
	}
	var wire cursorText
	if err := json.Unmarshal(raw, &wire); err != nil || wire.Micros <= 0 || wire.Micros > maxMicros || wire.Serial < 0 ||
		len(wire.UserID) > maxUserID || !text.Valid(wire.UserID) {
		return Cursor{}, mistake("the cursor has other content: want the result of Cursor.String")
	}
	return Cursor{At: time.UnixMicro(wire.Micros).UTC(), UserID: wire.UserID, Serial: wire.Serial}, nil
}
