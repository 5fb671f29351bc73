package sessiontrack

import (
	"context"
	"time"

	"github.com/sessiontrack/sessiontrack/internal/calendar"
	"github.com/sessiontrack/sessiontrack/internal/postgres"
	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect/pgdialect"
)

// sampleTimeout bounds the exact count of active sessions, which reads every live row once a
// minute. It ends no session, so the feed does not depend on it.
const sampleTimeout = 30 * time.Second

// onlineColumns count the users of three windows. The first three arguments are the windows in
// microseconds.
const (
	onlineUsers = `SELECT count(*) FROM ?(schema)user_presence WHERE last_activity < 'infinity'
		AND last_activity > statement_timestamp() - interval '1 microsecond' * `

	onlineColumns = `(` + onlineUsers + `?0) AS very_active, (` + onlineUsers + `?1) AS online, (` + onlineUsers +
		`?2) AS recently_active`
)

// givenColumns are the counts of users that the caller knows already, the sixth to the eighth
// argument. Those that are NULL are counted.
const givenColumns = `coalesce(?5::integer, (` + onlineUsers + `?0)) AS very_active,
	coalesce(?6::integer, (` + onlineUsers + `?1)) AS online,
	coalesce(?7::integer, (` + onlineUsers + `?2)) AS recently_active`

// notIdleStats is notIdle with the idle timeout as the fourth argument.
const notIdleStats = `(` + ownIdle + `?3 ELSE s.idle_timeout END) <= 0 OR s.last_activity > statement_timestamp() -
	` + ownIdle + `?3 ELSE s.idle_timeout END) * interval '1 microsecond')`

// activeColumn counts the active sessions exactly. The fourth argument is the idle timeout.
const activeColumn = `(SELECT count(*) FROM ?(schema)user_sessions AS s WHERE logout_at IS NULL
	AND (expires_at IS NULL OR expires_at > statement_timestamp())
	AND ` + notIdleStats + `) AS sessions`

// latestSQL returns the latest sample and the store's time. It returns the time also without a
// sample.
const latestSQL = `SELECT statement_timestamp() AS now, l.at, l.taken_at, l.sessions FROM (SELECT 1) AS one
LEFT JOIN (SELECT at, taken_at, sessions FROM ?(schema)online_samples ORDER BY at DESC LIMIT 1) AS l ON true`

// sinceColumn is the change of the number of active sessions since a time: begun minus ended
// sessions. A session that a time limit ended is not subtracted, because it was no longer active
// when it was ended. The time is an argument and not a subquery, so that the planner knows how
// recent it is.
const sinceColumn = `(SELECT count(*) FROM ?(schema)user_sessions WHERE login_at > ?3 AND login_at < 'infinity')
	- (SELECT count(*) FROM ?(schema)user_sessions WHERE logout_at > ?3 AND logout_at < 'infinity'
		AND end_reason NOT IN (?4, ?5)) AS sessions`

const peakSQL = `SELECT ` + sampleColumns + ` FROM ?(schema)online_samples
WHERE at >= ? ORDER BY online DESC, at LIMIT 1`

// sampleSQL counts at most once a minute: if the minute has a sample, it does not count. It reads
// live sessions once for the total and the device types. The last argument has the names of the
// types in the order of [DeviceCounts].
const sampleSQL = `WITH live AS MATERIALIZED (
	SELECT CASE WHEN device_type = '' THEN 'unknown' WHEN device_type = ANY(?4::text[]) THEN device_type
		ELSE 'other' END AS kind, count(*) AS n
	FROM ?(schema)user_sessions AS s WHERE logout_at IS NULL AND (expires_at IS NULL OR expires_at > statement_timestamp())
		AND ` + notIdleStats + ` GROUP BY 1
)
INSERT INTO ?(schema)online_samples AS o (at, taken_at, very_active, online, recently_active, sessions, devices)
SELECT date_trunc('minute', statement_timestamp(), 'UTC'), statement_timestamp(),
	` + givenColumns + `,
	(SELECT coalesce(sum(n), 0) FROM live),
	ARRAY(SELECT coalesce((SELECT n FROM live WHERE kind = t.name), 0)
		FROM unnest(?4::text[]) WITH ORDINALITY AS t(name, place) ORDER BY t.place)
WHERE NOT EXISTS (SELECT 1 FROM ?(schema)online_samples
	WHERE at >= date_trunc('minute', statement_timestamp(), 'UTC'))
ON CONFLICT (at) DO NOTHING RETURNING ` + sampleColumns

const sampleColumns = `at, very_active, online, recently_active, sessions, devices`

// bunCounts is a row of counts.
type bunCounts struct {
	At             time.Time `bun:"at"`
	TakenAt        time.Time `bun:"taken_at"`
	Now            time.Time `bun:"now"`
	VeryActive     int       `bun:"very_active"`
	Online         int       `bun:"online"`
	RecentlyActive int       `bun:"recently_active"`
	Sessions       int       `bun:"sessions"`
	Devices        []int64   `bun:"devices,array"`
}

func (c *bunCounts) sample() Sample {
	sample := Sample{At: utc(c.At), VeryActive: c.VeryActive, Online: c.Online, RecentlyActive: c.RecentlyActive,
		Sessions: c.Sessions}
	for i := range min(len(c.Devices), len(sample.Devices)) {
		sample.Devices[i] = int(c.Devices[i])
	}
	return sample
}

// CountStats implements [Sampler].
func (s *BunStore) CountStats(ctx context.Context, q StatsQuery) (StatsCounts, error) {
	if err := q.Check(); err != nil {
		return StatsCounts{}, err
	}
	out, err := s.countStats(ctx, q)
	return out, bunFailed("count stats", err)
}

func (s *BunStore) countStats(ctx context.Context, q StatsQuery) (StatsCounts, error) {
	var latest, c bunCounts
	if err := s.db.Raw(ctx, &latest, latestSQL); err != nil {
		return StatsCounts{}, err
	}
	w := q.Windows
	sessions, args := sinceColumn, []any{postgres.Micros(w[0]), postgres.Micros(w[1]), postgres.Micros(w[2]),
		latest.TakenAt, string(ReasonIdle), string(ReasonLifetime)}
	if latest.At.IsZero() {
		sessions, args = activeColumn, append(args[:3], postgres.Micros(q.IdleTimeout))
	}
	err := s.db.Raw(ctx, &c, "SELECT statement_timestamp() AS now, "+onlineColumns+", "+sessions, args...)
	if err != nil {
		return StatsCounts{}, err
	}
	var peak []bunCounts
	if err := s.db.Raw(ctx, &peak, peakSQL, calendar.Day(utc(c.Now), q.Zone)); err != nil {
		return StatsCounts{}, err
	}
	out := StatsCounts{
		Online: [3]int{c.VeryActive, c.Online, c.RecentlyActive}, Sessions: max(0, latest.Sessions+c.Sessions),
		Now: utc(c.Now),
	}
	if len(peak) > 0 {
		out.Peak = peak[0].sample()
	}
	return out, nil
}

// Sample implements [Sampler]. If another replica is counting now, it returns at once with a zero
// Sample.
func (s *BunStore) Sample(ctx context.Context, q StatsQuery) (Sample, bool, error) {
	if err := q.Check(); err != nil {
		return Sample{}, false, err
	}
	var sample Sample
	taken := false
	err := s.db.Transaction(ctx, sampleTimeout, func(ctx context.Context, tx bun.Tx, _ time.Time) error {
		mine, err := postgres.TryWork(ctx, tx, "sample")
		if err != nil || !mine {
			return err
		}
		sample, taken, err = takeSample(ctx, tx, q)
		return err
	})
	if err != nil {
		return Sample{}, false, bunFailed("sample", err)
	}
	return sample, taken, nil
}

// takeSample counts, or returns the sample of this minute.
func takeSample(ctx context.Context, tx bun.Tx, q StatsQuery) (Sample, bool, error) {
	w, idle := q.Windows, postgres.Micros(q.IdleTimeout)
	var counted [3]*int // NULL: count
	if c := q.Online; c != nil {
		counted = [3]*int{&c[0], &c[1], &c[2]}
	}
	var rows []bunCounts
	err := tx.NewRaw(sampleSQL, postgres.Micros(w[0]), postgres.Micros(w[1]), postgres.Micros(w[2]), idle,
		pgdialect.Array(deviceTypes[:]), counted[0], counted[1], counted[2]).Scan(ctx, &rows)
	if err == nil && len(rows) > 0 {
		return rows[0].sample(), true, nil
	}
	if err == nil {
		err = tx.NewRaw("SELECT "+sampleColumns+" FROM ?(schema)online_samples ORDER BY at DESC LIMIT 1").Scan(ctx, &rows)
	}
	if err != nil || len(rows) == 0 {
		return Sample{}, false, err
	}
	return rows[0].sample(), false, nil
}

// auditColumns are the columns of an AuditRecord.
const auditColumns = "id, at, action, outcome, actor, user_id, session_id, reason, count, filter, ip_address"

// auditRow is a row of session_audit.
type auditRow struct {
	Serial    int64     `bun:"id"`
	At        time.Time `bun:"at"`
	Action    string    `bun:"action"`
	Outcome   string    `bun:"outcome"`
	Actor     string    `bun:"actor"`
	UserID    string    `bun:"user_id"`
	SessionID string    `bun:"session_id"`
	Reason    string    `bun:"reason"`
	Count     int       `bun:"count"`
	Filter    string    `bun:"filter"`
	Address   string    `bun:"ip_address"`
}

func (r *auditRow) record() AuditRecord {
	return AuditRecord{
		At: utc(r.At), Action: r.Action, Outcome: AuditOutcome(r.Outcome), Actor: r.Actor, UserID: r.UserID,
		SessionID: SessionID(r.SessionID), Reason: EndReason(r.Reason), Count: r.Count, Filter: r.Filter,
		Address: parseAddress(r.Address),
	}
}

// insertAudit appends a record. Its time is taken now.
func insertAudit(ctx context.Context, tx bun.Tx, r AuditRecord) error {
	_, err := tx.ExecContext(ctx, "INSERT INTO ?(schema)session_audit (at, action, outcome, actor, user_id, session_id, "+
		"reason, count, filter, ip_address) VALUES (clock_timestamp(), ?, ?, ?, ?, ?, ?, ?, ?, ?)",
		r.Action, string(r.Outcome), r.Actor, r.UserID, string(r.SessionID), string(r.Reason), r.Count, r.Filter,
		addressColumn(r.Address))
	return err
}

// Record implements [Auditor].
func (s *BunStore) Record(ctx context.Context, r AuditRecord) error {
	if err := r.Check(); err != nil {
		return err
	}
	err := s.db.Transaction(ctx, transactionTimeout, func(ctx context.Context, tx bun.Tx, _ time.Time) error {
		return insertAudit(ctx, tx, r)
	})
	return bunFailed("record", err)
}

// Audit implements [Auditor].
func (s *BunStore) Audit(ctx context.Context, q AuditQuery) (AuditPage, error) {
	if err := q.Check(); err != nil {
		return AuditPage{}, err
	}
	var rows []auditRow
	sel := s.db.NewSelect().TableExpr("?(schema)session_audit AS a").ColumnExpr(auditColumns).
		OrderExpr("at DESC, id DESC").Limit(int64(q.Limit + 1))
	for _, name := range [...]struct{ column, value string }{
		{"actor", q.Actor}, {"user_id", q.User}, {"action", q.Action},
	} {
		if name.value != "" {
			sel = sel.Where(name.column+" = ? AND "+name.column+" <> ''", name.value)
		}
	}
	if !q.From.IsZero() {
		sel = sel.Where("at >= ?", columnTime(q.From))
	}
	if !q.To.IsZero() {
		sel = sel.Where("at < ?", columnTime(q.To))
	}
	if !q.After.IsZero() {
		sel = sel.Where("(at, id) < (?, ?)", columnTime(q.After.At), q.After.Serial)
	}
	if err := s.db.Select(ctx, sel, &rows); err != nil {
		return AuditPage{}, bunFailed("audit", err)
	}
	var page AuditPage
	if len(rows) > q.Limit {
		rows = rows[:q.Limit]
		last := &rows[q.Limit-1]
		page.Next = Cursor{At: utc(last.At), Serial: last.Serial}
	}
	for i := range rows {
		page.Records = append(page.Records, rows[i].record())
	}
	return page, nil
}

// purgeAuditSQL deletes the oldest records before a time. The trigger of the table lets nothing else
// be deleted than what that setting says.
const purgeAuditSQL = `WITH bound AS MATERIALIZED (
	SELECT statement_timestamp() - ? * interval '1 microsecond' AS at
), told AS MATERIALIZED (
	SELECT b.at, set_config('sessiontrack.audit_before', b.at::text, true) FROM bound AS b
), due AS MATERIALIZED (
	SELECT a.id FROM ?(schema)session_audit AS a
	WHERE a.at < (SELECT t.at FROM told AS t) ORDER BY a.at, a.id LIMIT ? FOR UPDATE SKIP LOCKED
), gone AS (
	DELETE FROM ?(schema)session_audit AS a WHERE a.id = ANY(ARRAY(SELECT id FROM due)) RETURNING 1
) SELECT count(*) FROM gone`

// PurgeAudit implements [Auditor].
func (s *BunStore) PurgeAudit(ctx context.Context, keep time.Duration, limit int) (n int, err error) {
	if err := CheckPurgeAudit(keep, limit); err != nil {
		return 0, err
	}
	err = s.db.Transaction(ctx, transactionTimeout, func(ctx context.Context, tx bun.Tx, _ time.Time) error {
		return tx.NewRaw(purgeAuditSQL, postgres.Micros(keep), limit).Scan(ctx, &n)
	})
	if err != nil {
		return 0, bunFailed("purge audit", err)
	}
	return n, nil
}
