package sessiontrack

import (
	"encoding/base64"
	"encoding/json"
	"slices"
	"time"

	codec "github.com/sessiontrack/sessiontrack/internal/handle"
	"github.com/sessiontrack/sessiontrack/internal/text"
)

// Selector says which live sessions to end. It is made by [IDs], [User], [Idle]
// or [Expired]; the zero Selector selects nothing and is refused, so that "all
// sessions" cannot be said by accident.
type Selector struct{ criteria Criteria }

// Criteria is a Selector as a [Store] reads it. Exactly one of IDs, UserID,
// IdleFor and Expired is set, and the other fields narrow it.
type Criteria struct {
	// IDs selects by handle; never empty where it is the one that is set.
	IDs []SessionID
	// UserID selects a user's sessions, all but Except.
	UserID string
	Except []SessionID
	// IdleFor selects sessions whose LastActivity is this long ago or longer.
	IdleFor time.Duration
	// Expired selects sessions whose ExpiresAt has come.
	Expired bool

	// Walk, where positive, looks at no more than that many rows, those with a
	// Serial above After, in its order. Ended.Next then says where to go on.
	Walk  int
	After int64
}

// IDs selects sessions by handle. Repeated and unknown ones do no harm.
func IDs(ids ...SessionID) Selector { return Selector{Criteria{IDs: slices.Clone(ids)}} }

// User selects all sessions of a user.
func User(id string) Selector { return Selector{Criteria{UserID: id}} }

// Idle selects sessions without activity for at least d, by the store's clock.
func Idle(d time.Duration) Selector { return Selector{Criteria{IdleFor: d}} }

// Expired selects sessions whose ExpiresAt has come, by the store's clock.
func Expired() Selector { return Selector{Criteria{Expired: true}} }

// Except leaves sessions out of a user's.
func (s Selector) Except(ids ...SessionID) Selector {
	s.criteria.Except = append(slices.Clone(s.criteria.Except), ids...)
	return s
}

// Walk bounds the selection to the next rows rows behind after, by Serial: how a
// large table is worked through in small transactions, without an index.
func (s Selector) Walk(after int64, rows int) Selector {
	s.criteria.After, s.criteria.Walk = after, rows
	return s
}

// Criteria returns what the selector says, for a Store to carry out. It errs
// where the selector says nothing, or too much.
func (s Selector) Criteria() (Criteria, error) {
	c, kinds := s.criteria, 0
	for _, set := range [...]bool{len(c.IDs) > 0, c.UserID != "", c.IdleFor != 0, c.Expired} {
		if set {
			kinds++
		}
	}
	switch {
	case kinds != 1:
		return Criteria{}, mistake("selector: names %d kinds of sessions, want one of IDs, User, Idle, Expired (empty ones do not count)", kinds)
	case c.IdleFor < 0:
		return Criteria{}, mistake("selector: Idle(%v): want more than 0", c.IdleFor)
	case len(c.Except) > 0 && c.UserID == "":
		return Criteria{}, mistake("selector: Except goes with User only")
	case c.Walk < 0 || c.After < 0:
		return Criteria{}, mistake("selector: Walk(%d, %d): want 0 or more", c.After, c.Walk)
	}
	return c, nil
}

// Cursor is a place in an ordered list: the key of the last row of a page. Its
// text form is opaque to clients, carries no secret and no authority.
type Cursor struct {
	At     time.Time // the row's time in the list's order: a sign-in, or a user's latest activity
	UserID string    // where the list is ordered by users
	Serial int64     // where its rows are sessions
}

// maxCursor bounds a cursor's text form: a user id, of whose bytes JSON may write each
// with six, and two numbers, in base64.
const maxCursor = (6*maxUserID + 64) * 4 / 3

// cursorText is a Cursor's wire form.
type cursorText struct {
	Micros int64  `json:"t"`
	UserID string `json:"u,omitempty"`
	Serial int64  `json:"s,omitempty"`
}

// IsZero reports whether the cursor stands for "from the start" or "no more".
func (c Cursor) IsZero() bool { return c.At.IsZero() }

// String returns the text form: base64url, empty for the zero Cursor.
func (c Cursor) String() string {
	if c.IsZero() {
		return ""
	}
	text, err := json.Marshal(cursorText{c.At.UnixMicro(), c.UserID, c.Serial})
	if err != nil { // cannot happen: two numbers and a string
		return ""
	}
	return base64.RawURLEncoding.EncodeToString(text)
}

// ParseCursor reads what String wrote; the empty string is the zero Cursor.
func ParseCursor(s string) (Cursor, error) {
	if s == "" {
		return Cursor{}, nil
	}
	if len(s) > maxCursor {
		return Cursor{}, mistake("cursor: longer than %d characters", maxCursor)
	}
	raw, err := codec.Encoding.DecodeString(s)
	if err != nil {
		return Cursor{}, mistake("cursor: not base64url")
	}
	var wire cursorText
	if err := json.Unmarshal(raw, &wire); err != nil || wire.Micros <= 0 || wire.Micros > maxMicros || wire.Serial < 0 || len(wire.UserID) > maxUserID || !text.Valid(wire.UserID) {
		return Cursor{}, mistake("cursor: not one of ours")
	}
	return Cursor{At: time.UnixMicro(wire.Micros).UTC(), UserID: wire.UserID, Serial: wire.Serial}, nil
}
