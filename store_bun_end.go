package sessiontrack

import (
	"cmp"
	"context"
	"slices"
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
		if err := raiseFences(ctx, tx, &c, e.Reason); err != nil {
			return err
		}
		b, err := bound(ctx, tx, c, now)
		if err != nil {
			return err
		}
		if err := endBound(ctx, tx, b, e, &out); err != nil {
			return err
		}
		if e.Audit != nil {
			if err := insertAudit(ctx, tx, e.Audit.counted(len(out.Sessions))); err != nil {
				return err
			}
		}
		if len(out.Sessions) == 0 || b.timed() && e.Reason.byLimit() {
			return nil
		}
		return notify(ctx, tx)
	})
	if err != nil {
		return EndResult{}, bunFailed("end", err)
	}
	return out, nil
}

// raiseFences moves the fences of what c names.
func raiseFences(ctx context.Context, tx bun.Tx, c *Criteria, reason EndReason) error {
	if c.UserID != "" && text.Valid(c.UserID) {
		if err := raiseFence(ctx, tx, c.UserID, reason); err != nil {
			return err
		}
	}
	if c.Provider != "" {
		return raiseFence(ctx, tx, providerFence(c.Provider), reason)
	}
	return nil
}

// endBound ends what b selects, and takes users offline who have no session left.
func endBound(ctx context.Context, tx bun.Tx, b *bunCriteria, e Ending, out *EndResult) error {
	if b.empty() {
		return nil
	}
	out.Next = b.next
	rows, err := endSelected(ctx, tx, b, e)
	if err != nil || len(rows) == 0 {
		return err
	}
	out.Sessions = sessionsBySerial(rows)
	return setOffline(ctx, tx, usersOf(out.Sessions))
}

// raiseFence moves a user's fence, or that of a provider's session, to now. It first takes the
// advisory lock of that id, as Create does for a derived session and for one of a provider. So a
// concurrent Create either commits before, and its session is ended with the others, or it sees the
// fence.
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
func (c *bunCriteria) timed() bool { return c.IdleFor > 0 || c.PastIdle || c.Expired }

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
	if len(c.ids) > 0 || c.Walk > 0 || c.Filter != nil || c.Provider != "" {
		// see touchSQL: only an index of the names or of the range
		live = "s.is_active"
	}
	q = c.narrowTime(q.Where(live))
	if len(c.ids) > 0 {
		q = q.Where("s.session_id IN (?)", bun.List(c.ids))
	}
	if c.Provider != "" {
		q = q.Where("s.provider_id = ? AND s.provider_id <> ''", c.Provider)
	}
	if user := cmp.Or(c.UserID, c.Owner); user != "" {
		q = q.Where("s.user_id = ?", user)
	}
	if except := handles(c.Except); len(except) > 0 {
		q = q.Where("s.session_id NOT IN (?)", bun.List(except))
	}
	if f := c.Filter; f != nil && len(f.Users) > 0 {
		q = q.Where("s.user_id IN (?)", bun.List(f.Users))
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

// narrowTime adds the conditions whose facts a concurrent call may have changed.
func (c *bunCriteria) narrowTime(q bun.QueryBuilder) bun.QueryBuilder {
	if c.Filter != nil {
		asOf := c.AsOf
		if asOf.IsZero() {
			asOf = c.now
		}
		q = (&bunFilter{Filter: *c.Filter, idle: c.IdleTimeout, asOf: asOf}).narrow(q)
	}
	switch {
	case c.PastIdle:
		limit := "CASE WHEN s.idle_timeout > 0 THEN s.idle_timeout + ? WHEN s.idle_timeout = 0 THEN nullif(?, 0) END"
		q = q.Where("s.last_activity <= ?::timestamptz - ("+limit+") * interval '1 microsecond'", c.now,
			postgres.Micros(c.Slack), postgres.Micros(c.IdleFor))
	case c.IdleFor > 0:
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

// purgeSQL processes ended rows past their retention, in the order of their ends. A derived
// session's handle is remembered while its credential may be valid.
const purgeSQL = `WITH due AS MATERIALIZED (
	SELECT s.id, s.derived AND statement_timestamp() < coalesce(s.credential_until,
		s.logout_at + greatest(?, ?) * interval '1 microsecond') AS remember
	FROM ?(schema)user_sessions AS s
	WHERE s.logout_at <= statement_timestamp() - ? * interval '1 microsecond' AND s.user_id <> ''
	ORDER BY s.logout_at LIMIT ? FOR UPDATE SKIP LOCKED
), gone AS (
	DELETE FROM ?(schema)user_sessions AS s WHERE s.id = ANY(ARRAY(SELECT id FROM due WHERE NOT remember)) RETURNING 1
), blank AS (
	UPDATE ?(schema)user_sessions AS s SET user_id = '', secret_hash = NULL,
		ip_address = '', ip_source = '', country_code = '', country = '', region = '', city = '',
		login_ip_address = '', login_ip_source = '', user_agent = '', client_hints = '',
		device_type = '', device_source = '', device_ambiguous = false,
		browser = '', browser_version = '', os = '', os_version = '', brand = '', model = '',
		login_at = NULL, last_activity = NULL, created_at = NULL, expires_at = NULL, ended_by = '',
		client = '', tenant = '', acted_by = '', authenticated_at = NULL, methods = '', last_seen = NULL, remember = false,
		renewed_at = NULL, provider_id = '',
		updated_at = clock_timestamp()
	WHERE s.id = ANY(ARRAY(SELECT id FROM due WHERE remember)) RETURNING 1
) SELECT (SELECT count(*) FROM gone) + (SELECT count(*) FROM blank)`

// forgetSQL deletes the rest of derived sessions whose credentials have expired: first those with a
// known expiry and then the others, each by index. A credential may be valid for years; rows that
// wait for it are not read.
const forgetSQL = `WITH ended AS MATERIALIZED (
	SELECT s.id FROM ?(schema)user_sessions AS s
	WHERE s.user_id = '' AND s.credential_until <= statement_timestamp()
		AND s.logout_at <= statement_timestamp() - ?0 * interval '1 microsecond'
	ORDER BY s.credential_until LIMIT ?2 FOR UPDATE SKIP LOCKED
), kept AS MATERIALIZED (
	SELECT s.id FROM ?(schema)user_sessions AS s
	WHERE s.user_id = '' AND s.credential_until IS NULL
		AND s.logout_at <= statement_timestamp() - greatest(?0, ?1) * interval '1 microsecond'
	ORDER BY s.logout_at LIMIT ?2 FOR UPDATE SKIP LOCKED
), gone AS (
	DELETE FROM ?(schema)user_sessions AS s
	WHERE s.id = ANY(ARRAY(SELECT id FROM (TABLE ended UNION ALL TABLE kept) AS due LIMIT ?2)) RETURNING 1
) SELECT count(*) FROM gone`

// unfenceSQL deletes fences that are older than every valid credential, some per call: ending all
// users' sessions creates one fence per user.
const unfenceSQL = `DELETE FROM ?(schema)user_fences WHERE user_id IN (
	SELECT user_id FROM ?(schema)user_fences WHERE at < statement_timestamp() - ? * interval '1 microsecond'
	ORDER BY at LIMIT 2000 FOR UPDATE SKIP LOCKED)`

// Purge implements [Store]. Rows that another purge is at are left to it. The last of a run
// of calls also removes presence that no live session stands behind.
func (s *BunStore) Purge(ctx context.Context, p PurgeOptions) (int, error) {
	if err := p.Check(); err != nil {
		return 0, err
	}
	retention, keep := postgres.Micros(p.Retention), postgres.Micros(p.KeepEnded)
	changed := 0
	err := s.db.Transaction(ctx, transactionTimeout, func(ctx context.Context, tx bun.Tx, _ time.Time) error {
		if err := tx.NewRaw(purgeSQL, keep, retention, retention, p.Limit).Scan(ctx, &changed); err != nil ||
			changed == p.Limit {
			return err
		}
		forgotten := 0
		if _, err := tx.ExecContext(ctx, unfenceSQL, keep); err != nil {
			return err
		}
		err := tx.NewRaw(forgetSQL, retention, keep, p.Limit-changed).Scan(ctx, &forgotten)
		changed += forgotten
		if err != nil || changed == p.Limit {
			return err
		}
		return s.sweepPresence(ctx, tx)
	})
	if err != nil {
		return 0, bunFailed("purge", err)
	}
	return changed, nil
}

// sweepLimit is how many users one sweep looks at.
const sweepLimit = 2000

// sweepSQL looks at the users behind an id, in their order, and returns the last of them
// with those that have no live session.
const sweepSQL = `WITH looked AS MATERIALIZED (
	SELECT p.user_id FROM ?(schema)user_presence AS p WHERE p.user_id > ? ORDER BY p.user_id LIMIT ?
) SELECT l.user_id, l.user_id = (SELECT max(user_id) FROM looked) AS last, (
	SELECT 1 FROM ?(schema)user_sessions AS s WHERE s.user_id >= l.user_id AND s.user_id <= l.user_id
		AND s.logout_at IS NULL
	ORDER BY s.user_id, s.id LIMIT 1) IS NULL AS gone
FROM looked AS l`

// sweepPresence removes users from the table of presence whose sessions somebody has
// deleted: the host, together with an account. Each sweep goes on where this process's
// last one stopped.
func (s *BunStore) sweepPresence(ctx context.Context, tx bun.Tx) error {
	var rows []struct {
		UserID string `bun:"user_id"`
		Last   bool   `bun:"last"`
		Gone   bool   `bun:"gone"`
	}
	after, _ := s.swept.Load().(string)
	if err := tx.NewRaw(sweepSQL, after, sweepLimit).Scan(ctx, &rows); err != nil {
		return err
	}
	after = ""
	var gone []string
	for _, row := range rows {
		if row.Last && len(rows) == sweepLimit {
			after = row.UserID
		}
		if row.Gone {
			gone = append(gone, row.UserID)
		}
	}
	s.swept.Store(after)
	slices.Sort(gone)
	return setOffline(ctx, tx, gone)
}
