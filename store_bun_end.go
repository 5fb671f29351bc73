package sessiontrack

import (
	"cmp"
	"context"
	"time"

	"github.com/sessiontrack/sessiontrack/internal/postgres"
	"github.com/sessiontrack/sessiontrack/internal/text"
	"github.com/uptrace/bun"
)

// End implements [Store].
func (s *BunStore) End(ctx context.Context, sel Selector, e Ending) (EndResult, error) {
	c, err := sel.Criteria()
	if err != nil {
		return EndResult{}, err
	}
	if err := e.Check(); err != nil {
		return EndResult{}, err
	}
	var out EndResult
	err = s.db.Transaction(ctx, transactionTimeout, func(ctx context.Context, tx bun.Tx, now time.Time) error {
		out = EndResult{At: now}
		if c.UserID != "" && text.Valid(c.UserID) {
			if err := raiseFence(ctx, tx, c.UserID, e.Reason); err != nil {
				return err
			}
		}
		b, err := bound(ctx, tx, c, now)
		if err != nil || b.empty() {
			return err
		}
		out.Next = b.next
		rows, err := endSelected(ctx, tx, b, e)
		if err != nil || len(rows) == 0 {
			return err
		}
		out.Sessions = sessionsBySerial(rows)
		if err := setOffline(ctx, tx, usersOf(out.Sessions)); err != nil {
			return err
		}
		if b.timed() && e.Reason.byLimit() {
			return nil
		}
		return notify(ctx, tx)
	})
	if err != nil {
		return EndResult{}, bunFailed("end", err)
	}
	return out, nil
}

// raiseFence moves the user's fence to now. It first takes the user's advisory lock, as Create does
// for a derived session. So a concurrent Create either commits before, and its session is ended
// with the others, or it sees the fence.
func raiseFence(ctx context.Context, tx bun.Tx, userID string, reason EndReason) error {
	if err := postgres.LockID(ctx, tx, userID); err != nil {
		return err
	}
	_, err := tx.ExecContext(ctx, "INSERT INTO ?(schema)user_fences AS f (user_id, at, reason) VALUES (?, "+
		"clock_timestamp(), ?) "+
		"ON CONFLICT (user_id) DO UPDATE SET at = greatest(f.at, excluded.at), reason = excluded.reason", userID,
		string(reason))
	return err
}

// NotifyChannel is the PostgreSQL channel on which [BunStore] notifies, without a payload, in each
// transaction that ends sessions for another reason than a time limit. Package pglisten listens on
// it. A host with its own listener does the same and calls [Tracker.PollNow].
const NotifyChannel = "sessiontrack_ended"

// notify notifies listeners when the transaction commits. It runs last, and only if sessions have
// ended: commits that notify are serialised in the whole cluster, which would cost touches most of
// their throughput. Sessions past a time limit are refused without a notification, and the feed
// reports them within its interval. So a cleanup does not cause a poll after each step.
func notify(ctx context.Context, tx bun.Tx) error {
	_, err := tx.ExecContext(ctx, "SELECT pg_notify(?, '')", NotifyChannel)
	return err
}

// bunCriteria are Criteria with the time for comparisons with limits, and a walk's range of the
// primary key.
type bunCriteria struct {
	Criteria
	now      time.Time
	ids      []string
	upTo     int64 // the last row of the walk
	next     int64 // where the walk continues
	walkDone bool  // there is no row behind After
}

func (c *bunCriteria) empty() bool {
	return c.walkDone || len(c.IDs) > 0 && len(c.ids) == 0 || !text.Valid(c.UserID) || !text.Valid(c.Owner)
}

// timed reports whether the selection is by a time limit and not by a name.
func (c *bunCriteria) timed() bool { return c.IdleFor > 0 || c.Expired }

// bound finds the range of a walk.
func bound(ctx context.Context, tx bun.Tx, c Criteria, now time.Time) (*bunCriteria, error) {
	b := &bunCriteria{Criteria: c, now: now, ids: handles(c.IDs)}
	if c.Walk == 0 {
		return b, nil
	}
	var rows int
	err := tx.NewRaw("SELECT coalesce(max(w.id), 0), count(*) FROM "+
		"(SELECT s.id FROM ?(schema)user_sessions AS s WHERE s.id > ? ORDER BY s.id LIMIT ?) AS w", c.After,
		c.Walk).Scan(ctx, &b.upTo, &rows)
	b.walkDone = rows == 0
	if rows == c.Walk {
		b.next = b.upTo
	}
	return b, err
}

// narrow adds the conditions on names.
func (c *bunCriteria) narrow(q bun.QueryBuilder) bun.QueryBuilder {
	live := "s.logout_at IS NULL"
	if len(c.ids) > 0 || c.Walk > 0 { // see touchSQL: only an index of the names or of the range
		live = "s.is_active"
	}
	q = c.narrowTime(q.Where(live))
	if len(c.ids) > 0 {
		q = q.Where("s.session_id IN (?)", bun.List(c.ids))
	}
	if user := cmp.Or(c.UserID, c.Owner); user != "" {
		q = q.Where("s.user_id = ?", user)
	}
	if except := handles(c.Except); len(except) > 0 {
		q = q.Where("s.session_id NOT IN (?)", bun.List(except))
	}
	return c.narrowRange(q)
}

// narrowRange adds the range of a walk.
func (c *bunCriteria) narrowRange(q bun.QueryBuilder) bun.QueryBuilder {
	if c.Walk > 0 {
		q = q.Where("s.id > ? AND s.id <= ?", c.After, c.upTo)
	}
	return q
}

// narrowTime adds the conditions that a concurrent touch may have changed.
func (c *bunCriteria) narrowTime(q bun.QueryBuilder) bun.QueryBuilder {
	if c.IdleFor > 0 {
		q = q.Where("s.last_activity <= ?", columnTime(c.now.Add(-c.IdleFor)))
	}
	if c.Expired {
		q = q.Where("s.expires_at <= ?", c.now)
	}
	return q
}

// endSelected locks the rows in the order of their ids and then ends them. It checks the conditions
// again in each row's latest version. The stamp is taken after all locks, so that waiting for them
// does not age it. For a time limit the stamp is the time that the limit was compared with.
func endSelected(ctx context.Context, tx bun.Tx, c *bunCriteria, e Ending) ([]bunRow, error) {
	target := tx.NewSelect().TableExpr("?(schema)user_sessions AS s").ColumnExpr("s.id").
		ApplyQueryBuilder(c.narrow).OrderExpr("s.id").For("NO KEY UPDATE OF s")
	clock := tx.NewSelect().ColumnExpr("clock_timestamp() AS now").TableExpr("(SELECT count(*) FROM target) AS locked")
	if c.timed() {
		clock = tx.NewSelect().ColumnExpr("?::timestamptz AS now", c.now)
	}
	var rows []bunRow
	err := tx.NewUpdate().With("target", target).With("clock", clock).
		TableExpr("?(schema)user_sessions AS s").TableExpr("target").TableExpr("clock").
		Set("logout_at = greatest(clock.now, s.last_activity)").Set("updated_at = clock.now").
		Set("end_reason = ?", string(e.Reason)).Set("ended_by = ?", e.Actor).
		Where("s.id = target.id").Where("s.is_active").ApplyQueryBuilder(c.narrowTime).ApplyQueryBuilder(c.narrowRange).
		Returning(sessionColumns).Scan(ctx, &rows)
	return rows, err
}
