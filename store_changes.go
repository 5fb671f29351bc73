package sessiontrack

import (
	"context"
	"time"
)

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
