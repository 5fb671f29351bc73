package sessiontrack

import (
	"cmp"
	"context"
	"net/netip"
	"time"
)

// Store keeps sessions. It has no rules: only the [Tracker] decides which session is good, so that
// every backend behaves alike. Package storetest tests an implementation.
//
// Every method must hold these rules:
//
//   - It is safe for concurrent use, by any number of goroutines and processes.
//   - It honours ctx. If a call could not be carried out, or its outcome is unknown, the error
//     wraps [ErrUnavailable] and never [ErrNotFound]. Callers repeat failed calls, so a repeated
//     call must do no harm.
//   - The store is the clock: every stamp that it sets, clamps to or compares with is its own
//     time, in UTC and whole microseconds.
//   - An ended session never changes. Only Purge changes its row, and no call revives it.
//   - The caller may reuse slices and strings that it passed in after the call has returned.
//     Returned values belong to the caller.
type Store interface {
	// Create inserts a new session and answers with the row as stored. LoginAt
	// and LastActivity are the store's time. In one transaction, and exactly
	// under concurrent calls for the same user, it ends the session that
	// n.Replaces names and those of n.Ends, applies n.Limit and inserts; when it fails nothing of it
	// has happened. The user is online from its return on. Where an [ErrUnavailable]
	// leaves its outcome open, all of it may have happened, the ends by n.Replaces and
	// n.Limit too; whoever ends the new session by its handle brings none of them back.
	//
	// It returns [ErrExists] where the handle is taken, by a live session or an
	// ended one, [ErrLimit] where the policy denies, and an [EndedError] with the
	// fence's reason where n.IssuedAt is not past the second of the user's fence,
	// exactly under concurrent calls of End.
	Create(ctx context.Context, n NewSession) (CreateResult, error)

	// Get returns the session with that handle, ended or not, or [ErrNotFound].
	Get(ctx context.Context, id SessionID) (Record, error)

	// List returns one page of sessions. The sessions of one user are ordered by LoginAt, latest
	// first. The sessions of all users are ordered by their user's latest activity, latest first,
	// then by the user's id; within a user the latest session comes first.
	List(ctx context.Context, q Query) (Page, error)

	// Touch records activity and signs of life, and returns the handles of the batch that are
	// alive, in any order. LastActivity and LastSeen only move forward and never past the store's
	// time. Ended and unknown sessions are skipped and not returned, so the caller learns of ends.
	// A handle may occur twice; the later times count. The users' presence moves too if it is
	// behind by presenceStep or more: with activity, and with what is seen of an Online touch. A
	// session that an administrator acts in moves no presence.
	// Overlapping batches in any order must not deadlock.
	Touch(ctx context.Context, batch []TouchRecord, presenceStep time.Duration) ([]SessionID, error)

	// Describe stores facts that became known after a session's creation. It skips ended and
	// unknown sessions.
	Describe(ctx context.Context, batch []SessionUpdate) error

	// End ends the live sessions that sel selects. It returns exactly the sessions that this call
	// ended, as they are now. A session that had ended before, or that a concurrent call ended, is
	// not among them: every end is returned exactly once. A user whose last session ended is
	// offline at once.
	//
	// If sel comes from [User], with or without exceptions, the same transaction moves the user's
	// fence to the store's time, even if no session ended: see NewSession.IssuedAt. If it comes from
	// [Provider], the same transaction remembers that the provider's session has ended, even if it
	// had none here: see NewSession.ProviderID.
	End(ctx context.Context, sel Selector, e Ending) (EndResult, error)

	// Purge deletes ended sessions that are past their retention. If the handle must still be
	// remembered, it blanks the personal data instead. It returns the number of changed rows; fewer
	// than p.Limit means that it is done. Fences older than p.KeepEnded are deleted too.
	Purge(ctx context.Context, p PurgeOptions) (int, error)
}

// NewSession is the argument of Create.
type NewSession struct {
	// Session has the ID, UserID, Derived, addresses, Location, UserAgent, ClientHints, Device and
	// CredentialUntil, Client, Tenant, ActedBy, AuthenticatedAt, Methods, IdleTimeout and Remember.
	// Its other fields are ignored. A zero AuthenticatedAt of a session that is not Derived
	// becomes the store's time, and one that is later than that is cut to it.
	Session Session
	// SecretHash is SHA-256 of the secret; all zero if Session.Derived.
	SecretHash [32]byte
	// IssuedAt is when the credential of a derived session was issued, for the user's fence: after
	// all of a user's sessions have ended, credentials that were issued before and never used are
	// refused too. Zero means that no fence applies. iat has whole seconds, so a credential that
	// was issued in the fence's own second is refused.
	IssuedAt time.Time
	// ProviderID names the session of an identity provider that this one belongs to, as [ProviderID]
	// writes it; empty means none. If that has ended ([Provider]), the session does not begin: the
	// error is an [EndedError] with the reason of that end.
	ProviderID string
	// Lifetime sets ExpiresAt; zero means none.
	Lifetime time.Duration
	// Replaces names a session, of any user, to be ended as [ReasonReplacement] first; empty means
	// none. An ended or unknown one is skipped.
	Replaces SessionID
	// Limit is how many live sessions the user may have including this one; zero means any number.
	// Sessions past ExpiresAt, or without activity for IdleTimeout (if that is not zero), do not
	// count, nor do those that an administrator acts in. A session's own IdleTimeout counts in
	// place of this one.
	Limit       int
	Policy      LimitPolicy
	IdleTimeout time.Duration
	// Ends names sessions of the same user to be ended as [ReasonUser] by that user, before Limit
	// is applied. Ended and unknown ones, and those of other users, are skipped.
	Ends []SessionID

	// agent and hints are as the client sent them, for the classifier. Session has only what may be
	// kept of them.
	agent, hints string
	// oneToken says that a derived session's handle depends on one credential. The session cannot
	// outlive that credential.
	oneToken bool
}

// providerFence is the key by which the end of a provider's session is kept among the users'
// fences. No user id has a control character.
func providerFence(providerID string) string { return "\x01" + providerID }

// LimitPolicy says what happens when a user signs in above the limit.
type LimitPolicy int

const (
	// EndOldest ends the sessions with the oldest login as [ReasonLimit].
	EndOldest LimitPolicy = iota
	// DenyNew refuses the new session with [ErrLimit].
	DenyNew
	// EndLeastActive ends the sessions with the oldest activity as [ReasonLimit].
	EndLeastActive
)

func (p LimitPolicy) valid() bool { return p >= EndOldest && p <= EndLeastActive }

// CreateResult is the result of Create.
type CreateResult struct {
	// Session is the new row; its LoginAt is the store's time.
	Session Session
	// Ended are the sessions that the call ended: the replaced one, those of Ends and those above
	// the limit.
	Ended []Session
}

// TouchRecord is one use of a session. It has a fixed size, so no value in it can make a batch
// fail.
type TouchRecord struct {
	ID SessionID
	// At is the time of an activity; zero if there was none.
	At time.Time
	// Seen is the time of a sign of life that is no activity; zero if there was none. An activity
	// is a sign of life by itself.
	Seen time.Time
	// Online says that Seen makes the user online, as activity does: somebody holds a connection.
	Online bool
	// Serial is the session's Serial if the caller knows it, else zero. It selects no row: a store
	// may use it to write neighbouring rows together.
	Serial int64
}

// merge adds another touch of the same session. The later times count.
func (t *TouchRecord) merge(o TouchRecord) {
	if o.At.After(t.At) {
		t.At = o.At
	}
	if o.Seen.After(t.Seen) {
		t.Seen = o.Seen
	}
	t.Online = t.Online || o.Online
}

// bySerials orders touches like the rows of the table, so that each page is visited once.
func bySerials(a, b TouchRecord) int { return cmp.Compare(a.Serial, b.Serial) }

// SessionUpdate is a change of one session by Describe. A nil or zero field changes nothing.
type SessionUpdate struct {
	ID     SessionID
	Device *Device
	// Network replaces the latest address, its source and its location together.
	Network *ClientNetwork
	// CredentialUntil only moves forward.
	CredentialUntil time.Time
}

// ClientNetwork is the network from which a session was last used.
type ClientNetwork struct {
	Address  netip.Addr
	Source   string   // as [ClientAddress].Source
	Location Location // of Address
}

// Ending says why sessions end, and who ends them. Reason is required.
type Ending struct {
	Reason EndReason
	// Actor is the user id of the person who ends them; empty for the system.
	Actor string
	// Audit, where it is not nil, is written by a store that is an [Auditor], in the same
	// transaction, also if no session ended. The number of sessions that the call ended is added to
	// its Count.
	Audit *AuditRecord
}

// EndResult is the result of End.
type EndResult struct {
	// Sessions are the sessions that this call ended.
	Sessions []Session
	// At is the store's time of the call.
	At time.Time
	// Next is where a walk continues (see [Selector.Walk]); zero if it is done.
	Next int64
}

// PurgeOptions says what Purge may delete. Durations count from LogoutAt by the store's clock.
type PurgeOptions struct {
	// Retention is how long a complete ended session is kept.
	Retention time.Duration
	// KeepEnded is how long the handle, time and reason of an ended derived session are kept if
	// CredentialUntil is zero. Otherwise they are kept until CredentialUntil. Both are at least
	// Retention.
	KeepEnded time.Duration
	// Limit bounds the rows changed by one call. It is at least 1.
	Limit int
}

// Query selects a page of List. Durations count back from the store's time.
type Query struct {
	// UserID selects one user and orders by login. Ended sessions are included unless Live is set.
	UserID string
	// Filter narrows the list. Its State is StateActive unless UserID or the State itself says more.
	Filter Filter
	// Sort is the order. Empty means SortLogin with UserID, else SortActivity.
	Sort Sort
	// Live leaves out ended sessions, sessions past ExpiresAt, and sessions without activity for
	// IdleTimeout (if that is not zero), as StateActive does.
	Live        bool
	IdleTimeout time.Duration
	// AsOf, where it is not zero, is the time that the filter's durations and the limits of time count
	// back from in place of the store's time. Sessions that began later are left out.
	AsOf time.Time
	// Within leaves out users whose latest activity is longer ago; zero means no bound.
	Within time.Duration
	// After is the Next of the previous page. Limit is 1 to 100.
	After Cursor
	Limit int
}

// Sort is the order of a list.
type Sort string

// These are the orders. SortActivity goes by the latest activity of each session's user, latest
// first, then by the user's id, then by login; it lists active sessions only. SortLogin goes by
// login, latest first.
const (
	SortActivity Sort = "activity"
	SortLogin    Sort = "login"
)

// Selection returns the whole filter of a query, with what UserID and Live say, and its order. It
// is what a store translates.
func (q *Query) Selection() (Filter, Sort) {
	f, order := q.Filter, q.Sort
	if q.UserID != "" {
		f.Users, order = []string{q.UserID}, SortLogin
		if f.State == "" && !q.Live {
			f.State = StateAny
		}
	}
	if order == "" {
		order = SortActivity
	}
	return f, order
}

// Page is one page of sessions.
type Page struct {
	Sessions []Session
	// Next is where the next page begins; zero means that there is none.
	Next Cursor
	// Now is the store's time of the answer.
	Now time.Time
}
