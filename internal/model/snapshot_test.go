package model

import (
	"context"
	"errors"
	"time"

	"github.com/sessiontrack/sessiontrack"
)

// snapshot compares every row with the model: an ended row has not changed, a live row has the
// expected values, and the limit holds.
func (l *ledger) snapshot(ctx context.Context) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	active := make(map[string]int)
	for id, r := range l.rows {
		record, err := l.store.Get(ctx, id)
		if r.gone {
			if !errors.Is(err, sessiontrack.ErrNotFound) {
				l.fail("I2", "%s is back after its purge: %v", id, err)
			}
			continue
		}
		if err != nil {
			l.fail("I2", "%s is lost: %v", id, err)
			continue
		}
		l.compare(r, &record.Session)
		if !r.Ended() && within(r, l.options.IdleTimeout, now.Add(clockEps)) && !r.lateTouch {
			active[r.UserID]++
		}
	}
	if limit := l.options.MaxSessions; limit > 0 {
		for user, n := range active {
			if n > limit {
				l.fail("I10", "%s has %d active sessions, limit %d", user, n, limit)
			}
		}
	}
}

// compare compares one row with the model.
func (l *ledger) compare(r *row, s *sessiontrack.Session) {
	if r.Ended() != s.Ended() || !s.LogoutAt.Equal(r.LogoutAt) || s.EndReason != r.EndReason || s.Derived != r.Derived ||
		s.Serial != r.Serial {
		l.fail("I1", "%s is ended %s %q, was %s %q", r.ID, stamp(s.LogoutAt), s.EndReason, stamp(r.LogoutAt), r.EndReason)
		return
	}
	if r.blanked {
		return
	}
	if s.UserID != r.UserID {
		l.fail("I11", "%s is of %q, was of %q", r.ID, s.UserID, r.UserID)
	}
	if !s.LoginAt.Equal(r.LoginAt) || !s.LastActivity.Equal(r.LastActivity) || !s.ExpiresAt.Equal(r.ExpiresAt) ||
		s.EndedBy != r.EndedBy ||
		!s.CredentialUntil.Equal(r.CredentialUntil) {
		l.fail("I5", "%s is %+v, was %+v", r.ID, *s, r.Session)
	}
}
