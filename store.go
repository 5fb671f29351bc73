package sessiontrack

import (
	"cmp"
	"context"
	"net/netip"
	"time"
)

// Store keeps sessions. It knows rows, not rules: what makes a session good is
// decided by the [Tracker] alone, so that every backend behaves alike. Package
// storetest proves an implementation.
//
// What every method must hold:
//
//   - It may be called from any number of goroutines and processes at once.
//   - It honours ctx. A call that could not be carried out, or whose outcome is
//     unknown, returns an error that wraps [ErrUnavailable]; never [ErrNotFound].
//     Callers repeat any call that failed, so each must bear repetition.
//   - The store is the clock: every stamp that it sets, clamps to or compares
//     with is its own time, in UTC and whole microseconds.
//   - A session that has ended stays as it is. No call but Purge changes such a
//     row, and none brings it back.
//   - Slices and strings that are passed in belong to the caller after the
//     return; what is returned belongs to the caller.
type Store interface {
	// Create inserts a new session and answers with the row as stored. LoginAt
	// and LastActivity are the store's time. In one transaction, and exactly
	// under concurrent calls for the same user, it ends the session that
	// n.Replaces names, applies n.Limit and inserts; when it fails nothing of it
	// has happened. The user is online from its return on. Where an [ErrUnavailable]
	// leaves its outcome open, all of it may have happened, the ends by n.Replaces and
	// n.Limit too; whoever ends the new session by its handle brings none of them back.
	//
	// It returns [ErrExists] where the handle is taken, by a live session or an
	// ended one, [ErrLimit] where the policy denies, and an [EndedError] with the
	// fence's reason where n.IssuedAt is not past the second of the user's fence,
	// exactly under concurrent calls of End.
	Create(ctx context.Context, n NewSession) (CreateResult, error)

	// Get returns the session of that handle, ended or not, or [ErrNotFound].
	Get(ctx context.Context, id SessionID) (Record, error)

	// List returns one page of sessions: those of one user by LoginAt, latest
	// first; those of all users by their user's latest activity, latest first,
	// then by the user's id, and the latest session of a user first.
	List(ctx context.Context, q Query) (Page, error)

	// Touch records activity and returns the handles of the batch that are alive,
	// in any order. LastActivity only moves forward and never past the store's
	// time; what is ended or unknown is skipped and not returned, so that the
	// caller learns of ends. A handle may come twice; the later time counts. The
	// users' presence moves with it where it is behind by presenceStep or more.
	// Batches that overlap, in any order, must not deadlock.
	Touch(ctx context.Context, batch []TouchRecord, presenceStep time.Duration) ([]SessionID, error)

	// Describe adds what was learnt of sessions after their creation; what is
	// ended or unknown is skipped.
	Describe(ctx context.Context, batch []SessionUpdate) error

	// End ends the live sessions that sel selects, and returns those that this
	// very call ended, as they now are. A session that had ended before, or was
	// ended by another call at the same time, is not among them; every end is
	// returned exactly once. A user whose last session ended is offline at once.
	//
	// Where sel is of [User], with exceptions or without, the user's fence is moved
	// to the store's time in the same transaction, whether or not a session ended:
	// see NewSession.IssuedAt.
	End(ctx context.Context, sel Selector, e Ending) (EndResult, error)

	// Purge deletes ended sessions that are past their retention, or blanks what
	// is personal in them where the handle must be remembered. It returns how
	// many rows it changed; fewer than p.Limit means that it is done. Fences older
	// than p.KeepEnded go too.
	Purge(ctx context.Context, p PurgeOptions) (int, error)
}

// NewSession is what Create inserts.
type NewSession struct {
	// Session gives ID, UserID, Derived, addresses, Location, UserAgent,
	// ClientHints, Device and CredentialUntil. Its other fields are ignored.
	Session Session
	// SecretHash is SHA-256 of the secret; all zero where Session.Derived.
	SecretHash [32]byte
	// IssuedAt is when the credential of a derived session was issued, for the
	// user's fence: ending all of a user's sessions refuses credentials, too, that
	// were issued before and have not been seen yet. Zero means that no fence
	// applies. Credentials tell whole seconds, so the fence's second is before it.
	IssuedAt time.Time
	// Lifetime makes ExpiresAt; zero means none.
	Lifetime time.Duration
	// Replaces names a session to be ended as [ReasonReplacement] first, whoever's it
	// is; empty for none. One that has ended or is unknown is skipped.
	Replaces SessionID
	// Limit is how many live sessions the user may hold with this one; zero means
	// any number. Sessions past ExpiresAt, or without activity for IdleTimeout
	// (where that is not zero), do not count.
	Limit       int
	Policy      LimitPolicy
	IdleTimeout time.Duration

	// agent and hints are the client's own words, for the classifier; what of them
	// may be kept is in Session.
	agent, hints string
	// oneToken says that a derived session's handle is made of one credential, whose
	// end is the session's last.
	oneToken bool
}

// LimitPolicy is what happens when a user signs in at the limit.
type LimitPolicy int

const (
	// EndOldest ends the sessions with the oldest sign-in as [ReasonLimit].
	EndOldest LimitPolicy = iota
	// DenyNew refuses the new session with [ErrLimit].
	DenyNew
)

// CreateResult is the answer of Create.
type CreateResult struct {
	// Session is the new row; its LoginAt is the store's time.
	Session Session
	// Ended are the sessions that the call ended, replaced and over the limit.
	Ended []Session
}

// TouchRecord is one observation of activity: fixed in size, so that no value in it can
// spoil a batch.
type TouchRecord struct {
	ID SessionID
	At time.Time
	// Serial is the session's where the caller knows it, else zero. It selects
	// nothing: by it a store may write rows together that lie together.
	Serial int64
}

// bySerials orders touches as the rows lie: each page of a table is then visited once.
func bySerials(a, b TouchRecord) int { return cmp.Compare(a.Serial, b.Serial) }

// SessionUpdate is what Describe adds to one session. A nil or zero field leaves what is
// there.
type SessionUpdate struct {
	ID     SessionID
	Device *Device
	// Network replaces the latest address, its source and the place, together.
	Network *ClientNetwork
	// CredentialUntil moves forward only.
	CredentialUntil time.Time
}

// ClientNetwork is where a session was last used from.
type ClientNetwork struct {
	Address  netip.Addr
	Source   string   // as [ClientAddress].Source
	Location Location // of Address
}

// Ending is how sessions end. Reason is required.
type Ending struct {
	Reason EndReason
	// Actor is the user id of who does it; empty for the system.
	Actor string
}

// EndResult is the answer of End.
type EndResult struct {
	// Sessions are those that this call ended.
	Sessions []Session
	// At is the store's time of the call.
	At time.Time
	// Next is where a walk goes on (see [Selector.Walk]); zero when it is done.
	Next int64
}

// PurgeOptions says what may go. Durations count from LogoutAt by the store's clock.
type PurgeOptions struct {
	// Retention is how long an ended session is kept in full.
	Retention time.Duration
	// KeepEnded is how long handle, time and reason of an ended derived session
	// are kept where CredentialUntil is zero; where it is not, they are kept until
	// that moment. Both never less than Retention.
	KeepEnded time.Duration
	// Limit bounds the rows changed by one call, at least 1.
	Limit int
}

// Query selects a page of List. Durations count back from the store's time.
type Query struct {
	// UserID selects one user and orders by sign-in.
	UserID string
	// UserIDs selects users and keeps the order by activity; empty means all.
	UserIDs []string
	// Live leaves out what has ended, is past ExpiresAt, or has had no activity
	// for IdleTimeout (where that is not zero). Without UserID it is implied.
	Live        bool
	IdleTimeout time.Duration
	// Within leaves out users whose latest activity is longer ago; zero: no bound.
	Within time.Duration
	// Device and Address select exactly, where not zero.
	Device  DeviceType
	Address netip.Addr
	// After is the Next of the page before; Limit is 1 to 100.
	After Cursor
	Limit int
}

// Page is one page of sessions.
type Page struct {
	Sessions []Session
	// Next is where the following page begins; its zero value says that there is
	// none.
	Next Cursor
	// Now is the store's time of the answer.
	Now time.Time
}
