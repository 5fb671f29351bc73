package sessiontrack

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/sessiontrack/sessiontrack/internal/text"
)

// These are the bounds of the Store contract. Both built-in stores call the Check methods first,
// and other stores should do the same, so that a caller's mistake causes the same error everywhere.
// Each error names the field and its bound, and never wraps [ErrUnavailable].

const (
	// maxPage is the largest page of a list.
	maxPage = 100
	// feedLimit is the most that one poll of a feed returns of each kind. With more ends than that
	// it is cheaper for a Tracker to empty its cache.
	feedLimit = 10_000
	// maxRead is how many sessions one call of a Reader reads.
	maxRead = 1000
)

// unavailable wraps the cause of a call that could not be carried out.
func unavailable(verb string, cause error) error {
	return wrapped(verb, fmt.Errorf("%w: %w", ErrUnavailable, cause))
}

// canceled returns an error if the context has ended before the work began.
func canceled(ctx context.Context, verb string) error {
	if err := ctx.Err(); err != nil {
		return unavailable(verb, err)
	}
	return nil
}

// span is a duration with its field's name.
type span struct {
	name string
	d    time.Duration
}

func notNegative(verb string, spans ...span) error {
	for _, s := range spans {
		if s.d < 0 {
			return mistake("%s: %s is %v: want 0 or more", verb, s.name, s.d)
		}
	}
	return nil
}

func checkWindows(verb string, windows []time.Duration) error {
	for _, w := range windows {
		if w <= 0 {
			return mistake("%s: window is %v: want more than 0", verb, w)
		}
	}
	return nil
}

// checkRead returns an error for more handles than one call of a Reader takes.
func checkRead(ids []SessionID) error {
	if len(ids) > maxRead {
		return mistake("read: there are %d handles: want at most %d", len(ids), maxRead)
	}
	return nil
}

func checkLimit(verb string, n int) error {
	if n < 1 || n > maxPage {
		return mistake("%s: Limit is %d: want 1 to %d", verb, n, maxPage)
	}
	return nil
}

// Check returns an error for values that no store may insert: a handle that is not canonical, a
// user id that is empty, too long or contains control characters, or a negative number.
func (n *NewSession) Check() error {
	if _, ok := parseHandle(n.Session.ID); !ok {
		return mistake("create: Session.ID is not %d characters of canonical base64url", idChars)
	}
	if !validUserID(n.Session.UserID) {
		return mistake("create: Session.UserID: "+
			"want 1 to %d bytes of valid UTF-8 without control characters", maxUserID)
	}
	if n.Limit < 0 {
		return mistake("create: Limit is %d: want 0 or more", n.Limit)
	}
	if !n.Policy.valid() {
		return mistake("create: Policy is %d: want EndOldest, DenyNew or EndLeastActive", n.Policy)
	}
	if len(n.Ends) > maxEnds {
		return mistake("create: Ends has %d: want at most %d", len(n.Ends), maxEnds)
	}
	if _, ok := parseHandle(SessionID(n.ProviderID)); !ok && n.ProviderID != "" {
		return mistake("create: ProviderID is not what the function ProviderID returns")
	}
	if err := n.Session.checkLabels("create"); err != nil {
		return err
	}
	return notNegative("create", span{"Lifetime", n.Lifetime}, span{"IdleTimeout", n.IdleTimeout})
}

// maxEnds is the most sessions that NewSession.Ends names.
const maxEnds = 1000

// The bounds of what an application says of a session, in bytes.
const (
	maxClient     = 64
	maxTenant     = 255
	maxMethods    = 10
	maxMethodText = 32
)

// checkLabels checks what an application says of a session.
func (s *Session) checkLabels(verb string) error {
	for _, label := range [...]struct {
		field, value string
		most         int
	}{{"Client", s.Client, maxClient}, {"Tenant", s.Tenant, maxTenant}, {"ActedBy", s.ActedBy, maxUserID}} {
		if len(label.value) > label.most || !text.Valid(label.value) {
			return mistake("%s: %s has %d bytes: want at most %d of valid UTF-8 without control characters", verb,
				label.field, len(label.value), label.most)
		}
	}
	return checkMethods(verb, s.Methods)
}

// methodsColumn joins methods for a column, with spaces between.
func methodsColumn(methods []string) string { return strings.Join(methods, " ") }

// methodsOf reads a column of words with spaces between, nil for none.
func methodsOf(column string) []string {
	if column == "" {
		return nil
	}
	return strings.Fields(column)
}

// checkMethods checks words of RFC 8176. They are stored in one text, with spaces between.
func checkMethods(verb string, methods []string) error {
	if len(methods) > maxMethods {
		return mistake("%s: Methods has %d: want at most %d", verb, len(methods), maxMethods)
	}
	for _, m := range methods {
		if m == "" || len(m) > maxMethodText || strings.ContainsFunc(m, func(r rune) bool { return r <= ' ' || r > '~' }) {
			return mistake("%s: Methods has %.40q: want 1 to %d visible ASCII characters", verb, m, maxMethodText)
		}
	}
	return nil
}

// Check returns an error for a handle that is not canonical, a hash that is missing, or methods
// that no store may write.
func (r *Renewal) Check() error {
	if _, ok := parseHandle(r.ID); !ok {
		return mistake("renew: ID is not %d characters of canonical base64url", idChars)
	}
	if r.OldHash == ([32]byte{}) || r.NewHash == ([32]byte{}) {
		return mistake("renew: a hash is all zero: want SHA-256 of a secret")
	}
	return checkMethods("renew", r.Methods)
}

// Check returns an error for a reason or an actor that no store may write.
func (e Ending) Check() error {
	if !e.Reason.valid() {
		return mistake("end: Ending.Reason is %.40q: "+
			"want 1 to 32 characters of a-z, 0-9, '_' and '-'", string(e.Reason))
	}
	if e.Actor != "" && !validUserID(e.Actor) {
		return mistake("end: Ending.Actor: "+
			"want a user id of at most %d bytes of valid UTF-8 without control characters", maxUserID)
	}
	return e.checkAudit()
}

// Check returns an error for a limit below 1 or a negative duration.
func (p PurgeOptions) Check() error {
	if p.Limit < 1 {
		return mistake("purge: Limit is %d: want 1 or more", p.Limit)
	}
	return notNegative("purge", span{"Retention", p.Retention}, span{"KeepEnded", p.KeepEnded})
}

// Check returns an error for a limit outside of 1 to 100, a negative duration, both UserID and
// Filter.Users, an order that does not go with the rest, or what [Filter.Check] refuses.
func (q Query) Check() error {
	if q.UserID != "" && len(q.Filter.Users) > 0 {
		return mistake("list: UserID and Filter.Users exclude each other")
	}
	if q.Live && q.Filter.state() != StateActive {
		return mistake("list: Live and Filter.State %q exclude each other", string(q.Filter.State))
	}
	if q.Sort != "" && q.Sort != SortLogin && q.Sort != SortActivity || q.Sort == SortActivity && q.UserID != "" {
		return mistake("list: Sort is %.20q: want login, or activity without UserID", string(q.Sort))
	}
	if _, order := q.Selection(); order == SortActivity && q.Filter.state() != StateActive {
		return mistake("list: Filter.State is %q: want active in the order of activity", string(q.Filter.State))
	}
	if err := checkLimit("list", q.Limit); err != nil {
		return err
	}
	if err := q.Filter.Check(); err != nil {
		return err
	}
	return notNegative("list", span{"IdleTimeout", q.IdleTimeout}, span{"Within", q.Within})
}

// Check returns an error for a limit outside of 1 to 100, or a window that is not positive.
func (q OnlineQuery) Check() error {
	if err := checkLimit("list online", q.Limit); err != nil {
		return err
	}
	return checkWindows("list online", []time.Duration{q.Window})
}

// Check returns an error for a window that is not positive, or a negative idle timeout.
func (q StatsQuery) Check() error {
	if err := checkWindows("stats", q.Windows[:]); err != nil {
		return err
	}
	return notNegative("stats", span{"IdleTimeout", q.IdleTimeout})
}

func (l Location) storable() Location {
	return Location{
		CountryCode: text.Storable(l.CountryCode), Country: text.Storable(l.Country),
		Region: text.Storable(l.Region), City: text.Storable(l.City),
	}
}

func (d Device) storable() Device {
	for _, field := range [...]*string{&d.Browser, &d.BrowserVersion, &d.OS, &d.OSVersion, &d.Brand, &d.Model} {
		*field = text.Storable(*field)
	}
	d.Type, d.Source = DeviceType(text.Storable(string(d.Type))), DeviceSource(text.Storable(string(d.Source)))
	return d
}
