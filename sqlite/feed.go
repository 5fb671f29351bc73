package sqlite

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"time"

	"github.com/sessiontrack/sessiontrack"
	"github.com/sessiontrack/sessiontrack/internal/text"
)

// EndedSince implements [sessiontrack.EndedFeed].
func (s *Store) EndedSince(ctx context.Context, since time.Time, limit int) (sessiontrack.EndedPage, error) {
	if limit < 1 {
		return sessiontrack.EndedPage{}, fmt.Errorf("sqlite: ended since: limit is %d: want 1 or more", limit)
	}
	page := sessiontrack.EndedPage{Now: timeOf(s.clock.tell())}
	if since.IsZero() {
		return page, failed("ended since", s.ping(ctx))
	}
	err := each(ctx, s.read, func(rows *sql.Rows) error {
		var e sessiontrack.EndedSession
		var at int64
		err := rows.Scan(&e.ID, &at, &e.EndReason, &e.EndedBy)
		e.LogoutAt = timeOf(at)
		page.Ended = append(page.Ended, e)
		return err
	}, "SELECT session_id, logout_at, end_reason, ended_by FROM user_sessions "+
		"WHERE logout_at > ? ORDER BY logout_at, id LIMIT ?",
		column(since), limit+1)
	if err != nil {
		return sessiontrack.EndedPage{}, failed("ended since", err)
	}
	if page.More = len(page.Ended) > limit; page.More {
		page.Ended = page.Ended[:limit]
	}
	renewed, more, err := renewedSince(ctx, s.read, since, limit)
	if err != nil {
		return sessiontrack.EndedPage{}, failed("ended since", err)
	}
	page.Renewed, page.More = renewed, page.More || more
	return page, nil
}

// renewedSince returns the sessions whose secret has changed since then.
func renewedSince(
	ctx context.Context,
	q querier,
	since time.Time,
	limit int,
) (renewed []sessiontrack.RenewedSession, more bool, err error) {
	err = each(ctx, q, func(rows *sql.Rows) error {
		var r sessiontrack.RenewedSession
		var at int64
		err := rows.Scan(&r.ID, &at)
		r.At = timeOf(at)
		renewed = append(renewed, r)
		return err
	}, "SELECT session_id, renewed_at FROM user_sessions WHERE renewed_at > ? ORDER BY renewed_at LIMIT ?",
		column(since), limit+1)
	if len(renewed) > limit {
		return renewed[:limit], true, err
	}
	return renewed, false, err
}

// ping reads one row, so that a file that cannot be read is an error also where only the
// time is asked for.
func (s *Store) ping(ctx context.Context) error {
	return each(ctx, s.read, func(*sql.Rows) error { return nil }, "SELECT 1 FROM user_sessions LIMIT 1")
}

// ChangesSince implements [sessiontrack.ChangeFeed]. All parts are read in one
// transaction, which is one snapshot of the file.
func (s *Store) ChangesSince(ctx context.Context, q sessiontrack.ChangeQuery) (sessiontrack.Changes, error) {
	if err := q.Check(); err != nil {
		return sessiontrack.Changes{}, err
	}
	out := sessiontrack.Changes{Now: timeOf(s.clock.tell())}
	err := s.snapshot(ctx, func(conn *sql.Conn) error { return changesOf(ctx, conn, &q, &out) })
	if err != nil {
		return sessiontrack.Changes{}, failed("changes since", err)
	}
	return out, nil
}

// snapshot calls f with a connection whose reads all see one state of the file.
func (s *Store) snapshot(ctx context.Context, f func(*sql.Conn) error) error {
	conn, err := s.read.Conn(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	if _, err := conn.ExecContext(ctx, "BEGIN DEFERRED"); err != nil {
		return err
	}
	defer func() { _, _ = conn.ExecContext(context.WithoutCancel(ctx), "ROLLBACK") }()
	return f(conn)
}

func changesOf(
	ctx context.Context,
	conn *sql.Conn,
	q *sessiontrack.ChangeQuery,
	out *sessiontrack.Changes,
) (err error) {
	if !q.Ended.IsZero() {
		if out.Ended, out.MoreEnded, err = changed(ctx, conn, "logout_at", q.Ended, q.Limit); err != nil {
			return err
		}
		var more bool
		if out.Renewed, more, err = renewedSince(ctx, conn, q.Ended, q.Limit); err != nil {
			return err
		}
		out.MoreEnded = out.MoreEnded || more
	}
	if !q.Begun.IsZero() {
		if out.Begun, out.MoreBegun, err = changed(ctx, conn, "login_at", q.Begun, q.Limit); err != nil {
			return err
		}
	}
	if !q.Seen.IsZero() {
		if out.Seen, err = seenSince(ctx, conn, q); err != nil {
			return err
		}
	}
	users := slices.DeleteFunc(slices.Clone(q.Users), func(id string) bool { return !text.Valid(id) })
	if len(users) == 0 {
		return nil
	}
	return each(ctx, conn, func(rows *sql.Rows) error {
		var u sessiontrack.OnlineUser
		var at int64
		err := rows.Scan(&u.UserID, &at, &u.Sessions)
		u.LastActivity = timeOf(at)
		out.Users = append(out.Users, u)
		return err
	}, `SELECT p.user_id, p.last_activity,
		(SELECT count(*) FROM user_sessions AS s WHERE s.user_id = p.user_id AND s.logout_at IS NULL AND s.acted_by = '')
		FROM user_presence AS p WHERE p.user_id IN (SELECT value FROM json_each(?))`, asJSON(users))
}

// changed returns the sessions whose time in that column is later.
func changed(
	ctx context.Context,
	conn *sql.Conn,
	at string,
	since time.Time,
	limit int,
) (list []sessiontrack.Session, more bool, err error) {
	err = each(ctx, conn, func(rows *sql.Rows) error {
		row, err := scanSession(rows)
		list = append(list, row)
		return err
	}, "SELECT "+sessionColumns+" FROM user_sessions AS s WHERE s."+at+" > ? ORDER BY s."+at+", s.id LIMIT ?",
		column(since), limit+1)
	if err == nil && len(list) > limit {
		return list[:limit], true, nil
	}
	return list, false, err
}

func seenSince(
	ctx context.Context,
	conn *sql.Conn,
	q *sessiontrack.ChangeQuery,
) (seen []sessiontrack.OnlineUser, err error) {
	query, args := "SELECT user_id, last_activity FROM user_presence WHERE last_activity > ?", []any{column(q.Seen)}
	if b := q.Before; !b.IsZero() {
		at := column(b.At)
		query += " AND last_activity <= ? AND (last_activity < ? OR user_id > ?)"
		args = append(args, at, at, short(b.UserID))
	}
	err = each(ctx, conn, func(rows *sql.Rows) error {
		var u sessiontrack.OnlineUser
		var at int64
		err := rows.Scan(&u.UserID, &at)
		u.LastActivity = timeOf(at)
		seen = append(seen, u)
		return err
	}, query+" ORDER BY last_activity DESC, user_id LIMIT ?", append(args, q.Limit)...)
	return seen, err
}
