package sqlite

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"github.com/sessiontrack/sessiontrack"
)

// CountOnline implements [sessiontrack.OnlineReader].
func (s *Store) CountOnline(ctx context.Context, windows []time.Duration) ([]int, time.Time, error) {
	for _, w := range windows {
		if w <= 0 {
			return nil, time.Time{}, fmt.Errorf("sqlite: count online: window is %v: want more than 0", w)
		}
	}
	now := s.clock.now()
	counts := make([]int, len(windows))
	for i, w := range windows {
		err := each(ctx, s.read, func(rows *sql.Rows) error { return rows.Scan(&counts[i]) },
			"SELECT count(*) FROM user_presence WHERE last_activity > ?", now-span(w))
		if err != nil {
			return nil, time.Time{}, failed("count online", err)
		}
	}
	return counts, timeOf(now), failed("count online", ctx.Err())
}

// ListOnline implements [sessiontrack.OnlineReader]. The order is that of presence,
// which moves in steps; the latest activity is that of the sessions.
func (s *Store) ListOnline(ctx context.Context, q sessiontrack.OnlineQuery) (sessiontrack.OnlinePage, error) {
	if err := q.Check(); err != nil {
		return sessiontrack.OnlinePage{}, err
	}
	now := s.clock.now()
	after, args := "", []any{now - span(q.Window)}
	if c := q.After; !c.IsZero() {
		at := column(c.At)
		after = " AND p.last_activity <= ? AND (p.last_activity < ? OR p.user_id > ?)"
		args = append(args, at, at, short(c.UserID))
	}
	page := sessiontrack.OnlinePage{Now: timeOf(now), Users: []sessiontrack.OnlineUser{}}
	var seen []int64
	err := each(ctx, s.read, func(rows *sql.Rows) error {
		var u sessiontrack.OnlineUser
		var at int64
		var latest sql.NullInt64
		err := rows.Scan(&u.UserID, &at, &u.Sessions, &latest)
		u.LastActivity = timeOrZero(latest)
		page.Users, seen = append(page.Users, u), append(seen, at)
		return err
	}, `SELECT p.user_id, p.last_activity,
		(SELECT count(*) FROM user_sessions AS s WHERE s.user_id = p.user_id AND s.logout_at IS NULL AND s.acted_by = ''),
		(SELECT max(max(s.last_activity), p.last_activity) FROM user_sessions AS s
			WHERE s.user_id = p.user_id AND s.logout_at IS NULL AND s.acted_by = '')
		FROM user_presence AS p WHERE p.last_activity > ?`+after+` ORDER BY p.last_activity DESC, p.user_id
			LIMIT `+fmt.Sprint(q.Limit+1), args...)
	if err != nil {
		return sessiontrack.OnlinePage{}, failed("list online", err)
	}
	if len(page.Users) > q.Limit {
		page.Next = sessiontrack.Cursor{At: timeOf(seen[q.Limit-1]), UserID: page.Users[q.Limit-1].UserID}
		page.Users = page.Users[:q.Limit:q.Limit]
	}
	return page, nil
}
