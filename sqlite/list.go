package sqlite

import (
	"context"
	"database/sql"
	"fmt"
	"slices"

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

// List implements [sessiontrack.Store].
func (s *Store) List(ctx context.Context, q sessiontrack.Query) (sessiontrack.Page, error) {
	if err := q.Check(); err != nil {
		return sessiontrack.Page{}, err
	}
	now := s.clock.now()
	page := sessiontrack.Page{Now: timeOf(now), Sessions: []sessiontrack.Session{}}
	b := listQuery(&q, now)
	if b == nil {
		return page, failed("list", ctx.Err())
	}
	var seen []int64
	err := each(ctx, s.read, func(rows *sql.Rows) error {
		var at int64
		row, err := scanSession(rows, &at)
		page.Sessions, seen = append(page.Sessions, row), append(seen, at)
		return err
	}, b.String(), b.args...)
	if err != nil {
		return sessiontrack.Page{}, failed("list", err)
	}
	if len(page.Sessions) > q.Limit {
		last := &page.Sessions[q.Limit-1]
		page.Next = sessiontrack.Cursor{At: last.LoginAt, Serial: last.Serial}
		if q.UserID == "" {
			page.Next = sessiontrack.Cursor{At: timeOf(seen[q.Limit-1]), UserID: last.UserID, Serial: last.Serial}
		}
		page.Sessions = page.Sessions[:q.Limit:q.Limit]
	}
	return page, nil
}

// builder is a query with its conditions and arguments.
type builder struct {
	from, order string
	conditions  string
	args        []any
	limit       int
}

func (b *builder) where(condition string, args ...any) {
	b.conditions += " AND " + condition
	b.args = append(b.args, args...)
}

func (b *builder) String() string {
	return fmt.Sprintf("SELECT %s FROM %s WHERE true%s ORDER BY %s LIMIT %d", sessionColumns+", "+b.seen(), b.from,
		b.conditions, b.order, b.limit)
}

// seen is the column of the user's presence, 0 where the order is by sign-in.
func (b *builder) seen() string {
	if b.order == userOrder {
		return "0"
	}
	return "p.last_activity"
}

const (
	userOrder     = "s.login_at DESC, s.id DESC"
	activityOrder = "p.last_activity DESC, p.user_id, s.id DESC"
)

// listQuery returns the query, or nil where nothing can match.
func listQuery(q *sessiontrack.Query, now int64) *builder {
	b := &builder{limit: q.Limit + 1}
	if q.UserID != "" {
		if !text.Valid(q.UserID) {
			return nil
		}
		userList(b, q, now)
	} else {
		users := slices.DeleteFunc(slices.Clone(q.UserIDs), func(id string) bool { return !text.Valid(id) })
		if len(q.UserIDs) > 0 && len(users) == 0 {
			return nil
		}
		activityList(b, q, users, now)
	}
	if q.Device != "" {
		b.where("s.device_type = ?", short(q.Device))
	}
	if q.Address.IsValid() {
		b.where("s.ip_address = ?", addressColumn(q.Address))
	}
	return b
}

// userList selects one user's sessions by login, latest first.
func userList(b *builder, q *sessiontrack.Query, now int64) {
	b.from, b.order = "user_sessions AS s", userOrder
	b.where("s.user_id = ?", q.UserID)
	if q.Live {
		b.active(q, now)
	}
	if q.Within > 0 {
		b.where("EXISTS (SELECT 1 FROM user_presence AS p WHERE p.user_id = s.user_id AND p.last_activity > ?)",
			now-span(q.Within))
	}
	if c := q.After; !c.IsZero() {
		b.where("(s.login_at, s.id) < (?, ?)", column(c.At), c.Serial)
	}
}

// activityList selects live sessions by their user's presence, latest first. Where no
// index of the filter could find them sooner it goes from user to user: SQLite never
// reorders a CROSS JOIN.
func activityList(b *builder, q *sessiontrack.Query, users []string, now int64) {
	b.from, b.order = "user_presence AS p CROSS JOIN user_sessions AS s ON s.user_id = p.user_id", activityOrder
	switch {
	case q.Address.IsValid():
		b.from = "user_sessions AS s INDEXED BY user_sessions_live_ip_address CROSS JOIN user_presence AS p ON s.user_id = " +
			"p.user_id"
	case q.Device != "":
		b.from = "user_sessions AS s INDEXED BY user_sessions_live_device_type CROSS JOIN user_presence AS p ON s.user_id " +
			"= p.user_id"
	}
	b.active(q, now)
	if len(users) > 0 {
		b.where("p.user_id IN (SELECT value FROM json_each(?))", asJSON(users))
	}
	if q.Within > 0 {
		b.where("p.last_activity > ?", now-span(q.Within))
	}
	if c := q.After; !c.IsZero() {
		at, user := column(c.At), short(c.UserID)
		b.where("p.last_activity <= ?", at)
		b.where("(p.last_activity < ? OR p.user_id > ? OR (p.user_id = ? AND s.id < ?))", at, user, user, c.Serial)
	}
}

// active leaves out what has ended or is past a limit of time.
func (b *builder) active(q *sessiontrack.Query, now int64) {
	b.where("s.logout_at IS NULL AND (s.expires_at IS NULL OR s.expires_at > ?)", now)
	if q.IdleTimeout > 0 {
		b.where("s.last_activity > ?", now-span(q.IdleTimeout))
	}
}
