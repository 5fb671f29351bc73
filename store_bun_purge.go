package sessiontrack

import (
	"context"
	"slices"
	"time"

	"github.com/uptrace/bun"

	"github.com/sessiontrack/sessiontrack/internal/postgres"
)

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
