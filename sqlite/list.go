package sqlite

import (
	"context"
	"database/sql"
	"fmt"
	"strings"

	"github.com/sessiontrack/sessiontrack"
	"github.com/sessiontrack/sessiontrack/internal/text"
)

// Get implements [sessiontrack.Store].
func (s *Store) Get(ctx context.Context, id sessiontrack.SessionID) (sessiontrack.Record, error) {
	var record sessiontrack.Record
	found := false
	if _, err := sessiontrack.ParseSessionID(string(id)); err == nil {
		err := each(ctx, s.read, func(rows *sql.Rows) (err error) {
			var hash []byte
			record.Session, err = scanSession(rows, &hash)
			copy(record.SecretHash[:], hash)
			found = true
			return err
		}, "SELECT "+sessionColumns+", s.secret_hash FROM user_sessions AS s WHERE s.session_id = ?", string(id))
		if err != nil {
			return sessiontrack.Record{}, failed("get", err)
		}
	}
	if !found {
		return sessiontrack.Record{}, fmt.Errorf("sqlite: get: %w", sessiontrack.ErrNotFound)
	}
	return record, nil
}

// maxRead is how many sessions one call reads.
const maxRead = 1000

// Read implements [sessiontrack.Reader].
func (s *Store) Read(ctx context.Context, ids []sessiontrack.SessionID) ([]sessiontrack.Record, error) {
	if len(ids) > maxRead {
		return nil, fmt.Errorf("sqlite: read: there are %d handles: want at most %d", len(ids), maxRead)
	}
	records := make([]sessiontrack.Record, 0, len(ids))
	err := each(ctx, s.read, func(rows *sql.Rows) (err error) {
		var r sessiontrack.Record
		var hash []byte
		r.Session, err = scanSession(rows, &hash)
		copy(r.SecretHash[:], hash)
		records = append(records, r)
		return err
	}, "SELECT "+sessionColumns+", s.secret_hash FROM user_sessions AS s "+
		"WHERE s.session_id IN (SELECT value FROM json_each(?))", asJSON(handles(ids)))
	if err != nil {
		return nil, failed("read", err)
	}
	return records, nil
}

// List implements [sessiontrack.Store].
func (s *Store) List(ctx context.Context, q sessiontrack.Query) (sessiontrack.Page, error) {
	if err := q.Check(); err != nil {
		return sessiontrack.Page{}, err
	}
	now := s.clock.now()
	page := sessiontrack.Page{Now: timeOf(now), Sessions: []sessiontrack.Session{}}
	if !text.Valid(q.UserID) {
		return page, failed("list", ctx.Err())
	}
	f, order := q.Selection()
	at := now
	if !q.AsOf.IsZero() {
		at = column(q.AsOf)
	}
	c, err := newConditions(ctx, s.read, f, q.IdleTimeout, at)
	if err != nil {
		return sessiontrack.Page{}, failed("list", err)
	}
	query := listQuery(&q, c, now)
	var seen []int64
	err = each(ctx, s.read, func(rows *sql.Rows) error {
		var at int64
		row, err := scanSession(rows, &at)
		page.Sessions, seen = append(page.Sessions, row), append(seen, at)
		return err
	}, query.String(), query.args...)
	if err != nil {
		return sessiontrack.Page{}, failed("list", err)
	}
	if len(page.Sessions) > q.Limit {
		last := &page.Sessions[q.Limit-1]
		page.Next = sessiontrack.Cursor{At: last.LoginAt, Serial: last.Serial}
		if order == sessiontrack.SortActivity {
			page.Next = sessiontrack.Cursor{At: timeOf(seen[q.Limit-1]), UserID: last.UserID, Serial: last.Serial}
		}
		page.Sessions = page.Sessions[:q.Limit:q.Limit]
	}
	return page, nil
}

// statement is a SELECT with its arguments.
type statement struct {
	text strings.Builder
	args []any
}

func (s *statement) String() string { return s.text.String() }

func (s *statement) add(text string, args ...any) {
	s.text.WriteString(text)
	s.args = append(s.args, args...)
}

// listQuery returns the query of a page.
func listQuery(q *sessiontrack.Query, c *conditions, now int64) *statement {
	out := &statement{}
	if _, order := q.Selection(); order == sessiontrack.SortLogin {
		loginList(out, q, c, now)
	} else {
		activityList(out, q, c, now)
	}
	return out
}

// loginList selects sessions by login, latest first. Each branch of the filter reads the rows of a
// page in the order of one index, and the page merges them.
func loginList(out *statement, q *sessiontrack.Query, c *conditions, now int64) {
	out.add("SELECT " + sessionColumns + ", 0 FROM (")
	for i, branch := range c.branches() {
		if i > 0 {
			out.add(" UNION ALL ")
		}
		out.add("SELECT * FROM (SELECT s.* FROM user_sessions AS s WHERE true")
		branch.narrow(out)
		beginsUntil(out, q, c)
		if at := q.After; !at.IsZero() {
			out.add(" AND (s.login_at, s.id) < (?, ?)", column(at.At), at.Serial)
		}
		if q.Within > 0 {
			out.add(" AND EXISTS (SELECT 1 FROM user_presence AS p WHERE p.user_id = s.user_id AND p.last_activity > ?)",
				now-span(q.Within))
		}
		out.add(fmt.Sprintf(" ORDER BY s.login_at DESC, s.id DESC LIMIT %d)", q.Limit+1))
	}
	out.add(fmt.Sprintf(") AS s ORDER BY s.login_at DESC, s.id DESC LIMIT %d", q.Limit+1))
}

// activityList selects active sessions by their user's presence, latest first. Without a fact that
// an index could find sooner it goes from user to user: SQLite never reorders a CROSS JOIN.
func activityList(out *statement, q *sessiontrack.Query, c *conditions, now int64) {
	from := "user_presence AS p CROSS JOIN user_sessions AS s ON s.user_id = p.user_id"
	switch index := c.factIndex(); {
	case index != "":
		from = "user_sessions AS s INDEXED BY " + index + " CROSS JOIN user_presence AS p ON s.user_id = p.user_id"
	case c.Address.IsValid():
		from = "user_sessions AS s CROSS JOIN user_presence AS p ON s.user_id = p.user_id"
	}
	out.add("SELECT " + sessionColumns + ", p.last_activity FROM " + from + " WHERE s.logout_at IS NULL")
	c.narrow(out)
	beginsUntil(out, q, c)
	if q.Within > 0 {
		out.add(" AND p.last_activity > ?", now-span(q.Within))
	}
	if at := q.After; !at.IsZero() {
		seen, user := column(at.At), short(at.UserID)
		out.add(" AND p.last_activity <= ?", seen)
		out.add(" AND (p.last_activity < ? OR p.user_id > ? OR (p.user_id = ? AND s.id < ?))", seen, user, user, at.Serial)
	}
	out.add(fmt.Sprintf(" ORDER BY p.last_activity DESC, p.user_id, s.id DESC LIMIT %d", q.Limit+1))
}

// beginsUntil leaves out what began after the time of the list.
func beginsUntil(out *statement, q *sessiontrack.Query, c *conditions) {
	if !q.AsOf.IsZero() {
		out.add(" AND s.login_at <= ?", c.now)
	}
}
