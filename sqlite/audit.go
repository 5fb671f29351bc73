package sqlite

import (
	"context"
	"database/sql"
	"time"

	"github.com/sessiontrack/sessiontrack"
)

// record appends a record to the trail.
func (t *transaction) record(r *sessiontrack.AuditRecord) error {
	_, err := t.exec(`INSERT INTO session_audit (at, action, outcome, actor, user_id, session_id, reason, count, filter,
		ip_address) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`, t.now, r.Action, string(r.Outcome), r.Actor, r.UserID,
		string(r.SessionID), string(r.Reason), r.Count, r.Filter, addressColumn(r.Address))
	return err
}

// Record implements [sessiontrack.Auditor].
func (s *Store) Record(ctx context.Context, r sessiontrack.AuditRecord) error {
	if err := r.Check(); err != nil {
		return err
	}
	return s.transaction(ctx, "record", func(t *transaction) error { return t.record(&r) })
}

// auditQuery is the statement of a page, with its arguments.
func auditQuery(q *sessiontrack.AuditQuery) (query string, args []any) {
	query = `SELECT id, at, action, outcome, actor, user_id, session_id, reason, count, filter, ip_address
		FROM session_audit WHERE true`
	where := func(condition string, values ...any) { query, args = query+" AND "+condition, append(args, values...) }
	if q.Actor != "" {
		where("actor = ? AND actor <> ''", q.Actor)
	}
	if q.User != "" {
		where("user_id = ? AND user_id <> ''", q.User)
	}
	if q.Action != "" {
		where("action = ?", q.Action)
	}
	if !q.From.IsZero() {
		where("at >= ?", column(q.From))
	}
	if !q.To.IsZero() {
		where("at < ?", column(q.To))
	}
	if !q.After.IsZero() {
		where("(at, id) < (?, ?)", column(q.After.At), q.After.Serial)
	}
	return query + " ORDER BY at DESC, id DESC LIMIT ?", append(args, q.Limit+1)
}

// Audit implements [sessiontrack.Auditor].
func (s *Store) Audit(ctx context.Context, q sessiontrack.AuditQuery) (page sessiontrack.AuditPage, err error) {
	if err := q.Check(); err != nil {
		return page, err
	}
	query, args := auditQuery(&q)
	var last int64
	err = each(ctx, s.read, func(rows *sql.Rows) error {
		var id, at int64
		var r sessiontrack.AuditRecord
		var address string
		err := rows.Scan(&id, &at, &r.Action, &r.Outcome, &r.Actor, &r.UserID, &r.SessionID, &r.Reason, &r.Count,
			&r.Filter, &address)
		if n := len(page.Records); n == q.Limit {
			page.Next = sessiontrack.Cursor{At: page.Records[n-1].At, Serial: last}
			return err
		}
		r.At, r.Address, last = timeOf(at), parseAddress(address), id
		page.Records = append(page.Records, r)
		return err
	}, query, args...)
	if err != nil {
		return sessiontrack.AuditPage{}, failed("audit", err)
	}
	return page, nil
}

// PurgeAudit implements [sessiontrack.Auditor]. The trigger of the table lets go what is older than
// the time in session_audit_retention.
func (s *Store) PurgeAudit(ctx context.Context, keep time.Duration, limit int) (n int, err error) {
	if err := sessiontrack.CheckPurgeAudit(keep, limit); err != nil {
		return 0, err
	}
	err = s.transaction(ctx, "purge audit", func(t *transaction) error {
		before := t.now - span(keep)
		if _, err := t.exec("UPDATE session_audit_retention SET before = ?", before); err != nil {
			return err
		}
		n, err = t.exec(`DELETE FROM session_audit WHERE id IN (
			SELECT id FROM session_audit WHERE at < ? ORDER BY at, id LIMIT ?)`, before, limit)
		return err
	})
	if err != nil {
		return 0, err
	}
	return n, nil
}
