package sessiontrack

import (
	"context"
	"time"
)

// The optional capabilities of a Store, each of them useful by itself. A Tracker finds
// them by type assertion, once, in New: a store that wraps another one must have the
// methods that it wants to be found. backend.go lists what each built-in store can do.

// Checker checks whether the store can work.
type Checker interface {
	// Check returns an error that names what is wrong and how to fix it: a missing table or right,
	// a wrong setting, a read-only server. [Tracker.Start] calls it first, and fails if it fails.
	Check(ctx context.Context) error
}

// Pooled tells how many connections a store works with. Without it a Tracker takes them for any
// number.
type Pooled interface {
	// MaxConnections is how many connections the store may use at once; 0 is any number. A Tracker
	// asks in New and at each Start, and leaves two of them to its own work: of the calls that
	// requests cause no more than the others, and no more than 32, are under way at once.
	MaxConnections() int
}

// Reader reads many sessions with one call: what a Tracker holds and has not heard of for a
// minute. Without it a Tracker reads them one by one, at most 500 a second.
type Reader interface {
	// Read returns the sessions with these handles, ended or not, in any order. It leaves out
	// handles that no session has, and malformed ones, and answers a handle that occurs twice once.
	// Like the feed of ended sessions it never answers from a server that may not know of an
	// acknowledged end, such as a standby. At most 1,000 handles.
	Read(ctx context.Context, ids []SessionID) ([]Record, error)
}

// EndedFeed reports recent ends, whoever ended the sessions. Without it a Tracker caches a session
// for at most MaxStaleness and then reads it again.
type EndedFeed interface {
	// EndedSince returns the sessions with LogoutAt later than since, ordered by LogoutAt, and by
	// Serial if one call ended them; at most limit. Each replica calls it every FeedInterval for
	// the last seconds. A zero since asks only for the time.
	EndedSince(ctx context.Context, since time.Time, limit int) (EndedPage, error)
}

// EndedSession is the feed's data about an ended session.
type EndedSession struct {
	ID        SessionID
	LogoutAt  time.Time
	EndReason EndReason
	EndedBy   string
}

func endedSession(s Session) EndedSession {
	return EndedSession{ID: s.ID, LogoutAt: s.LogoutAt, EndReason: s.EndReason, EndedBy: s.EndedBy}
}

// EndedPage is one page of the feed.
type EndedPage struct {
	Ended []EndedSession
	// Renewed are the live sessions whose secret has changed since then, if the store is a
	// [Renewer], in any order and at most limit.
	Renewed []RenewedSession
	// Now is the store's time before it read the rows.
	Now time.Time
	// More says that limit cut the answer.
	More bool
}

// Renewer changes the secret of a session. Without it [Tracker.StepUp] fails.
type Renewer interface {
	// Renew replaces the secret of a live session, stamps AuthenticatedAt with the store's time and
	// sets Methods. It returns the session as it is now. Everything else stays: handle, age and
	// limits. The ended feed reports the session in EndedPage.Renewed and Changes.Renewed. The
	// error is [ErrNotFound] if no live session has that handle and r.OldHash: a secret that was
	// replaced already renews nothing.
	Renew(ctx context.Context, r Renewal) (Session, error)
}

// Renewal is the argument of Renew.
type Renewal struct {
	ID SessionID
	// OldHash and NewHash are SHA-256 of the old and the new secret. Neither is all zero.
	OldHash, NewHash [32]byte
	// Methods are how the user authenticated now; see [Session].Methods.
	Methods []string
}

// RenewedSession is the feed's data about a session whose secret has changed.
type RenewedSession struct {
	ID SessionID
	At time.Time
}

// OnlineReader counts and lists online users. Without it a Tracker lists all live sessions for each
// question.
type OnlineReader interface {
	// CountOnline returns, for each window, how many users were active within it,
	// and the store's time.
	CountOnline(ctx context.Context, windows []time.Duration) ([]int, time.Time, error)

	// ListOnline returns users by their latest activity, latest first, then by id.
	ListOnline(ctx context.Context, q OnlineQuery) (OnlinePage, error)
}

// OnlineQuery selects a page of online users.
type OnlineQuery struct {
	// Window is the time since the latest activity, at most.
	Window time.Duration
	After  Cursor // Serial is not used
	Limit  int    // 1 to 100
}

// OnlineUser is a user with a session that has not ended.
type OnlineUser struct {
	UserID string
	// LastActivity is the latest of the user's live sessions.
	LastActivity time.Time
	// Sessions counts the user's sessions that have not ended.
	Sessions int
}

// OnlinePage is one page of online users.
type OnlinePage struct {
	Users []OnlineUser
	Next  Cursor
	Now   time.Time
}

// Counter counts the sessions that a filter selects. Without it a Tracker reads list pages, and its
// counts stop at 10,000.
type Counter interface {
	// Count returns how many sessions q selects, and of how many users. It is exact up to q.Limit;
	// above it may be an estimate of at least q.Limit. Sessions that begin after the answer have a
	// LoginAt later than Count.AsOf.
	Count(ctx context.Context, q CountQuery) (Count, error)
}

// CountQuery asks for a [Count].
type CountQuery struct {
	Filter      Filter
	IdleTimeout time.Duration // of the Tracker; 0 for none
	// Limit is how far the count must be exact. It is at least 1.
	Limit int
}

// Count is the number of sessions that a filter selects.
type Count struct {
	// N is the number of sessions, and Users that of their users.
	N, Users int
	// Exact says that both are counted and not estimated.
	Exact bool
	// AsOf is the store's time of the count.
	AsOf time.Time
}

// Check returns an error for a limit below 1, or what [Filter.Check] refuses.
func (q *CountQuery) Check() error {
	if q.Limit < 1 {
		return mistake("count: Limit is %d: want 1 or more", q.Limit)
	}
	if err := q.Filter.Check(); err != nil {
		return err
	}
	return notNegative("count", span{"IdleTimeout", q.IdleTimeout})
}

// Sampler takes one sample a minute and returns the data of [OnlineStats]. Today's peak is one of
// the samples. Without it a Tracker lists all live sessions for both, and keeps the samples of its
// own process in memory.
type Sampler interface {
	// CountStats answers q for one point in time.
	CountStats(ctx context.Context, q StatsQuery) (StatsCounts, error)

	// Sample takes a sample for the store's current minute, unless there is one, and reports
	// whether this call took it. Of several calls in one minute exactly one takes it.
	Sample(ctx context.Context, q StatsQuery) (Sample, bool, error)
}

// StatsQuery asks for statistics.
type StatsQuery struct {
	// Windows are the three online windows, smallest first.
	Windows [3]time.Duration
	// IdleTimeout limits what counts as an active session; zero means no limit.
	IdleTimeout time.Duration
	// Online, where it is not nil, are the users within the windows, for Sample: a store that
	// keeps presence elsewhere has counted them already. Nil means that the store counts.
	Online *[3]int
	// Zone is the time zone of "today"; nil means UTC. On a day without a midnight, "today" begins
	// after the gap.
	Zone *time.Location
}

// StatsCounts answers a StatsQuery.
type StatsCounts struct {
	// Online counts users for each of the windows.
	Online [3]int
	// Sessions is the number of active sessions: the exact count of the latest sample, plus begun
	// and minus ended sessions since then, without idle and lifetime ends. Without a sample they
	// are counted.
	Sessions int
	// Peak is today's sample with the most online users, the earliest of equals. Its At is zero
	// before today's first sample.
	Peak Sample
	Now  time.Time
}

// Leaser makes one replica at a time run a periodic job. Without it every replica runs the job,
// which is safe but costs more.
type Leaser interface {
	// Lease gives the job's lease to the caller, and reports whether it did. It does not if the
	// lease was given within the last d, by the store's clock. A lease is never returned early.
	Lease(ctx context.Context, job string, d time.Duration) (bool, error)
}

// Sample is the result of a count at a full minute.
type Sample struct {
	At             time.Time // truncated to the minute, UTC
	VeryActive     int       // users within the first window
	Online         int       // users within the second
	RecentlyActive int       // users within the third
	Sessions       int       // active sessions, exactly
	// Devices are the active sessions by device type; all zero if unknown.
	Devices DeviceCounts
}

// ChangeFeed is an [EndedFeed] that also reports new sessions and presence, in one call. Live
// events are built from it. While a Tracker has readers of events it calls ChangesSince instead of
// EndedSince, every FeedInterval. Without it only the Tracker's own process causes events.
type ChangeFeed interface {
	EndedFeed

	// ChangesSince answers each part of q from one snapshot of the data.
	ChangesSince(ctx context.Context, q ChangeQuery) (Changes, error)
}

// ChangeQuery selects changes. A part with a zero time is not requested.
type ChangeQuery struct {
	// Ended selects the sessions with a later LogoutAt. Begun selects the sessions with a later
	// LoginAt, ended or not.
	Ended, Begun time.Time
	// Seen selects the users with a later presence, latest first, then by id. Before, if not zero,
	// selects those behind that position.
	Seen   time.Time
	Before Cursor
	// Users selects the presence of these users, at most 1,000.
	Users []string
	// Limit bounds each part except Users: 1 to 10,000.
	Limit int
}

// maxChangeUsers bounds ChangeQuery.Users.
const maxChangeUsers = 1000

// Check returns an error for a limit outside of 1 to 10,000, or more than 1,000 users.
func (q *ChangeQuery) Check() error {
	if q.Limit < 1 || q.Limit > feedLimit {
		return mistake("changes since: Limit is %d: want 1 to %d", q.Limit, feedLimit)
	}
	if len(q.Users) > maxChangeUsers {
		return mistake("changes since: Users has %d: want at most %d", len(q.Users), maxChangeUsers)
	}
	return nil
}

// Changes is the answer to a [ChangeQuery].
type Changes struct {
	// Ended and Begun are complete sessions, by LogoutAt or LoginAt, then Serial.
	Ended, Begun []Session
	// MoreEnded and MoreBegun say that the limit cut them.
	MoreEnded, MoreBegun bool
	// Renewed are as EndedPage.Renewed, for ChangeQuery.Ended. MoreEnded says that they were cut,
	// too.
	Renewed []RenewedSession
	// Seen are users with their presence as LastActivity, which moves in steps. They have no count
	// of sessions.
	Seen []OnlineUser
	// Users are those of ChangeQuery.Users that have presence, in any order, with the number of
	// their sessions that have not ended. A missing user is offline.
	Users []OnlineUser
	// Now is the store's time before it read the rows.
	Now time.Time
}
