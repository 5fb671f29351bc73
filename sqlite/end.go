package sqlite

import (
	"cmp"
	"context"
	"database/sql"
	"slices"

	"github.com/sessiontrack/sessiontrack"
	"github.com/sessiontrack/sessiontrack/internal/text"
)

// End implements [sessiontrack.Store].
func (s *Store) End(
	ctx context.Context,
	sel sessiontrack.Selector,
	e sessiontrack.Ending,
) (sessiontrack.EndResult, error) {
	c, err := sel.Criteria()
	if err != nil {
		return sessiontrack.EndResult{}, err
	}
	if err := e.Check(); err != nil {
		return sessiontrack.EndResult{}, err
	}
	var out sessiontrack.EndResult
	err = s.transaction(ctx, "end", func(t *transaction) error {
		out = sessiontrack.EndResult{At: timeOf(t.now)}
		if c.UserID != "" && text.Valid(c.UserID) {
			if err := t.raiseFence(c.UserID, e.Reason); err != nil {
				return err
			}
		}
		if c.Provider != "" {
			if err := t.raiseFence(providerFence+c.Provider, e.Reason); err != nil {
				return err
			}
		}
		ids, next, err := t.selected(&c)
		if err != nil {
			return err
		}
		out.Next = next
		if out.Sessions, err = t.end(ids, e); err != nil {
			return err
		}
		if err := t.offline(out.Sessions); err != nil || e.Audit == nil {
			return err
		}
		r := *e.Audit
		r.Count += len(out.Sessions)
		return t.record(&r)
	})
	if err != nil {
		return sessiontrack.EndResult{}, err
	}
	return out, nil
}

// providerFence begins the keys by which ends of providers' sessions are kept among the users'
// fences. No user id has a control character.
const providerFence = "\x01"

func (t *transaction) raiseFence(userID string, reason sessiontrack.EndReason) error {
	_, err := t.exec(`INSERT INTO user_fences (user_id, at, reason) VALUES (?, ?, ?)
		ON CONFLICT (user_id) DO UPDATE SET at = max(at, excluded.at),
			reason = excluded.reason`, userID, t.now, string(reason))
	return err
}

// selected returns the live rows that c selects, and where a walk goes on.
func (t *transaction) selected(c *sessiontrack.Criteria) (ids []int64, next int64, err error) {
	query, args := "SELECT s.id FROM user_sessions AS s WHERE s.logout_at IS NULL", []any(nil)
	where := func(condition string, values ...any) { query, args = query+" AND "+condition, append(args, values...) }
	switch {
	case len(c.IDs) > 0:
		where("s.session_id IN (SELECT value FROM json_each(?))", asJSON(handles(c.IDs)))
		if c.Owner != "" {
			where("s.user_id = ?", c.Owner)
		}
	case c.UserID != "":
		where("s.user_id = ?", c.UserID)
	case c.Provider != "":
		where("s.provider_id = ? AND s.provider_id <> ''", c.Provider)
	case c.Expired:
		where("s.expires_at <= ?", t.now)
	case c.PastIdle:
		where("s.last_activity <= ? - CASE WHEN s.idle_timeout > 0 THEN s.idle_timeout + ? "+
			"WHEN s.idle_timeout = 0 THEN nullif(?, 0) END", t.now, span(c.Slack), span(c.IdleFor))
	case c.IdleFor > 0:
		where("s.last_activity <= ?", t.now-span(c.IdleFor))
	}
	if c.Filter != nil {
		matching, err := t.matching(c)
		if err != nil {
			return nil, 0, err
		}
		where("s.login_at <= ?"+matching.String(), append([]any{matching.now}, matching.args...)...)
	}
	if except := handles(c.Except); len(except) > 0 {
		where("s.session_id NOT IN (SELECT value FROM json_each(?))", asJSON(except))
	}
	if c.Walk > 0 {
		last, more, err := t.walk(c)
		if err != nil || last == 0 {
			return nil, 0, err
		}
		if more {
			next = last
		}
		where("s.id > ? AND s.id <= ?", c.After, last)
	}
	err = t.each(func(rows *sql.Rows) error {
		var id int64
		err := rows.Scan(&id)
		ids = append(ids, id)
		return err
	}, query+" ORDER BY s.id", args...)
	return ids, next, err
}

// matching is the conditions of a filter, as of a time.
type matching struct {
	statement
	now int64
}

func (t *transaction) matching(c *sessiontrack.Criteria) (*matching, error) {
	m := &matching{now: t.now}
	if !c.AsOf.IsZero() {
		m.now = column(c.AsOf)
	}
	narrowed, err := newConditions(t.ctx, t.conn, *c.Filter, c.IdleTimeout, m.now)
	if err == nil {
		narrowed.narrow(&m.statement)
	}
	return m, err
}

// walk finds the last row of a walk's step; 0 where nothing is left.
func (t *transaction) walk(c *sessiontrack.Criteria) (last int64, more bool, err error) {
	var rows int
	err = t.each(func(r *sql.Rows) error { return r.Scan(&last, &rows) },
		"SELECT coalesce(max(w.id), 0), count(*) FROM (SELECT id FROM user_sessions WHERE id > ? ORDER BY id LIMIT ?) AS w",
		c.After, c.Walk)
	return last, rows == c.Walk, err
}

// end ends live rows and returns them by Serial as they now are.
func (t *transaction) end(ids []int64, e sessiontrack.Ending) ([]sessiontrack.Session, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	list := asJSON(ids)
	_, err := t.exec(`UPDATE user_sessions SET logout_at = max(?1, last_activity), end_reason = ?2, ended_by = ?3
		WHERE id IN (SELECT value FROM json_each(?4)) AND logout_at IS NULL`, t.now, string(e.Reason), e.Actor, list)
	if err != nil {
		return nil, err
	}
	ended := make([]sessiontrack.Session, 0, len(ids))
	err = t.each(func(rows *sql.Rows) error {
		s, err := scanSession(rows)
		ended = append(ended, s)
		return err
	}, "SELECT "+sessionColumns+" FROM user_sessions AS s WHERE s.id IN (SELECT value FROM json_each(?))", list)
	slices.SortFunc(ended, func(a, b sessiontrack.Session) int { return cmp.Compare(a.Serial, b.Serial) })
	return ended, err
}
