package sessiontrack

import (
	"context"
	"time"
)

// The optional capabilities of a Store, each of them useful by itself. A Tracker finds
// them by type assertion, once, in New: a store that wraps another one must have the
// methods that it wants to be found. backend.go lists what each built-in store can do.

// Checker tells whether the store can do its work at all.
type Checker interface {
	// Check returns an error that names what is wrong and what to do about it: a missing
	// table or right, a setting that cannot work, a server that only reads.
	// [Tracker.Start] calls it first, and fails where it does.
	Check(ctx context.Context) error
}

// EndedFeed tells what has ended lately, whoever ended it. Without it a Tracker
// caches a session for at most MaxStaleness and then reads it anew.
type EndedFeed interface {
	// EndedSince returns the sessions with LogoutAt later than since, by LogoutAt and,
	// where one call ended them, by Serial; limit at the most. Each replica asks every
	// FeedInterval for the latest seconds. A zero since asks for the time only.
	EndedSince(ctx context.Context, since time.Time, limit int) (EndedPage, error)
}

// EndedSession is what the feed tells of a session that has ended.
type EndedSession struct {
	ID        SessionID
	LogoutAt  time.Time
	EndReason EndReason
	EndedBy   string
}

func endedSession(s Session) EndedSession {
	return EndedSession{ID: s.ID, LogoutAt: s.LogoutAt, EndReason: s.EndReason, EndedBy: s.EndedBy}
}

// EndedPage is an answer of the feed.
type EndedPage struct {
	Ended []EndedSession
	// Now is the store's time from before it looked.
	Now time.Time
	// More says that limit cut the answer.
	More bool
}

// OnlineReader counts and lists online users. Without it a Tracker walks all live
// sessions for each question.
type OnlineReader interface {
	// CountOnline returns, for each window, how many users were active within it,
	// and the store's time.
	CountOnline(ctx context.Context, windows []time.Duration) ([]int, time.Time, error)

	// ListOnline returns users by their latest activity, latest first, then by id.
	ListOnline(ctx context.Context, q OnlineQuery) (OnlinePage, error)
}

// OnlineQuery selects a page of online users.
type OnlineQuery struct {
	// Window is how long ago the latest activity may be.
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

// Sampler takes one sample a minute and answers what [OnlineStats] is made of: today's
// peak is one of the samples. Without it a Tracker walks all live sessions for both, and
// keeps the samples of its own process in memory.
type Sampler interface {
	// CountStats answers q as of one moment.
	CountStats(ctx context.Context, q StatsQuery) (StatsCounts, error)

	// Sample records a sample for the store's current minute, unless there is one,
	// and reports whether this call took it. Of several callers in one minute one
	// takes it, whichever comes first.
	Sample(ctx context.Context, q StatsQuery) (Sample, bool, error)
}

// StatsQuery asks for statistics.
type StatsQuery struct {
	// Windows are the three online windows, smallest first.
	Windows [3]time.Duration
	// IdleTimeout bounds what counts as an active session; zero: no bound.
	IdleTimeout time.Duration
	// Zone is the time zone in which "today" begins; nil is UTC. On a day whose midnight
	// clocks skip it begins after the gap.
	Zone *time.Location
}

// StatsCounts answers a StatsQuery.
type StatsCounts struct {
	// Online counts users for each of the windows.
	Online [3]int
	// Sessions is the number of active sessions: the latest sample's exact count,
	// plus what has begun and minus what has ended since, idle and lifetime ends
	// apart; counted where there is no sample.
	Sessions int
	// Peak is today's sample with the most online users, the earliest of equals;
	// its At is zero before today's first.
	Peak Sample
	Now  time.Time
}

// Leaser lets one replica at a time do a periodic job. Without it every replica does
// it, which is safe and costs more.
type Leaser interface {
	// Lease reports whether the caller may do the job now: nobody was given it within
	// the last d, by the store's clock. It is never given back early.
	Lease(ctx context.Context, job string, d time.Duration) (bool, error)
}

// Sample is what was counted at a full minute.
type Sample struct {
	At             time.Time // truncated to the minute, UTC
	VeryActive     int       // users within the first window
	Online         int       // users within the second
	RecentlyActive int       // users within the third
	Sessions       int       // active sessions, exactly
	// Devices are the active sessions by device type; all zero where that is not told.
	Devices DeviceCounts
}

// ChangeFeed is an [EndedFeed] that also tells what has lately begun and moved, in one
// question: what live events are made of. A Tracker that somebody watches asks
// ChangesSince in place of EndedSince, once every FeedInterval. Without it events tell of
// the Tracker's own process only.
type ChangeFeed interface {
	EndedFeed

	// ChangesSince answers each part of q from one snapshot of the data.
	ChangesSince(ctx context.Context, q ChangeQuery) (Changes, error)
}

// ChangeQuery asks for changes. A part whose time is zero is not asked for.
type ChangeQuery struct {
	// Ended asks for the sessions with LogoutAt later than this, Begun for those with
	// LoginAt later, ended or not.
	Ended, Begun time.Time
	// Seen asks for the users whose presence is later than this, latest first, then
	// by id; Before, where not zero, for those behind that place.
	Seen   time.Time
	Before Cursor
	// Users asks for the presence of these, at most 1,000.
	Users []string
	// Limit bounds each part but Users: 1 to 10,000.
	Limit int
}

// maxChangeUsers bounds ChangeQuery.Users.
const maxChangeUsers = 1000

// Check reports a limit outside of 1 to 10,000, or more than 1,000 users.
func (q *ChangeQuery) Check() error {
	if q.Limit < 1 || q.Limit > feedLimit {
		return mistake("changes since: Limit is %d, want 1 to %d", q.Limit, feedLimit)
	}
	if len(q.Users) > maxChangeUsers {
		return mistake("changes since: %d Users, want at most %d", len(q.Users), maxChangeUsers)
	}
	return nil
}

// Changes is the answer to a [ChangeQuery].
type Changes struct {
	// Ended and Begun are sessions in full, by LogoutAt or LoginAt, then Serial.
	Ended, Begun []Session
	// MoreEnded and MoreBegun say that the limit cut them.
	MoreEnded, MoreBegun bool
	// Seen are users with their presence as LastActivity, which moves in steps, and
	// no count of sessions.
	Seen []OnlineUser
	// Users are those of ChangeQuery.Users that have presence, in any order, with the
	// count of their sessions that have not ended. Who is left out is offline.
	Users []OnlineUser
	// Now is the store's time from before it looked.
	Now time.Time
}
