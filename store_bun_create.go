package sessiontrack

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/sessiontrack/sessiontrack/internal/postgres"
	"github.com/uptrace/bun"
)

// Create implements [Store].
func (s *BunStore) Create(ctx context.Context, n NewSession) (CreateResult, error) {
	if err := n.Check(); err != nil {
		return CreateResult{}, err
	}
	var created CreateResult
	err := s.db.Transaction(ctx, transactionTimeout, func(ctx context.Context, tx bun.Tx, _ time.Time) error {
		ended, err := makeRoom(ctx, tx, &n)
		if err != nil {
			return err
		}
		row, err := insertSession(ctx, tx, &n)
		if err != nil {
			return err
		}
		created = CreateResult{Session: row.session(), Ended: ended}
		if err := settleCreated(ctx, tx, created); err != nil || len(ended) == 0 {
			return err
		}
		return notify(ctx, tx)
	})
	if err != nil {
		return CreateResult{}, bunFailed("create", err)
	}
	return created, nil
}

// makeRoom ends what n replaces, and what is over the limit.
//
// Where there is a limit, the user's logins take their turns by an advisory lock,
// in a statement of its own: the next one then sees what the login before has
// committed. All rows that may be ended are locked at once, in the order that
// every transaction of ours keeps.
func makeRoom(ctx context.Context, tx bun.Tx, n *NewSession) ([]Session, error) {
	fenced := !n.IssuedAt.IsZero()
	if n.Limit > 0 || fenced {
		if err := postgres.LockID(ctx, tx, n.Session.UserID); err != nil {
			return nil, err
		}
	}
	if fenced {
		if err := checkFence(ctx, tx, n); err != nil {
			return nil, err
		}
	}
	if n.Limit == 0 && n.Replaces == "" {
		return nil, nil
	}
	rows, err := lockCandidates(ctx, tx, n)
	if err != nil {
		return nil, err
	}
	replaced, over, err := n.choose(rows)
	if err != nil {
		return nil, err
	}
	var ended []Session
	for _, end := range [...]struct {
		rows   []int64
		reason EndReason
	}{{replaced, ReasonReplacement}, {over, ReasonLimit}} {
		sessions, err := endLocked(ctx, tx, end.rows, end.reason)
		if err != nil {
			return nil, err
		}
		ended = append(ended, sessions...)
	}
	return ended, nil
}

// checkFence refuses a credential that was issued before its user's fence, unless its
// session is there already.
func checkFence(ctx context.Context, tx bun.Tx, n *NewSession) error {
	var reasons []string
	err := tx.NewRaw("SELECT f.reason FROM ?(schema)user_fences AS f WHERE f.user_id = ? AND f.at >= date_trunc('second', ?::timestamptz) "+
		"AND NOT EXISTS (SELECT 1 FROM ?(schema)user_sessions AS s WHERE s.session_id = ?)",
		n.Session.UserID, n.IssuedAt.UTC(), string(n.Session.ID)).Scan(ctx, &reasons)
	if err != nil || len(reasons) == 0 {
		return err
	}
	return &EndedError{Reason: EndReason(reasons[0])}
}

// lockCandidates locks the live sessions that Create may end, oldest first.
func lockCandidates(ctx context.Context, tx bun.Tx, n *NewSession) ([]bunRow, error) {
	replaces := handles([]SessionID{n.Replaces})
	q := tx.NewSelect().TableExpr("?(schema)user_sessions AS s").
		ColumnExpr("s.id, s.session_id, s.user_id, s.login_at").
		ColumnExpr("(s.expires_at IS NULL OR s.expires_at > statement_timestamp()) AND (? = 0 OR s.last_activity > statement_timestamp() - ? * interval '1 microsecond') AS counts",
			postgres.Micros(n.IdleTimeout), postgres.Micros(n.IdleTimeout)).
		Where("s.logout_at IS NULL").
		WhereGroup(" AND ", func(q *bun.SelectQuery) *bun.SelectQuery {
			if n.Limit > 0 {
				q = q.WhereOr("s.user_id = ?", n.Session.UserID)
			}
			if len(replaces) > 0 {
				q = q.WhereOr("s.session_id = ?", replaces[0])
			}
			return q.WhereOr("false")
		}).
		OrderExpr("s.id").For("NO KEY UPDATE OF s")
	var rows []bunRow
	err := q.Scan(ctx, &rows)
	slices.SortStableFunc(rows, func(a, b bunRow) int { return a.LoginAt.Compare(b.LoginAt) })
	return rows, err
}

// choose says which of the candidates, oldest first, are to be ended.
func (n *NewSession) choose(rows []bunRow) (replaced, over []int64, err error) {
	var active []int64
	for _, row := range rows {
		switch {
		case row.ID == string(n.Replaces):
			replaced = append(replaced, row.Serial)
		case row.UserID == n.Session.UserID && row.Counts:
			active = append(active, row.Serial)
		}
	}
	excess := len(active) + 1 - n.Limit
	switch {
	case n.Limit == 0 || excess <= 0:
		return replaced, nil, nil
	case n.Policy == DenyNew:
		return nil, nil, ErrLimit
	}
	return replaced, active[:excess], nil
}

// endLocked ends live rows that this transaction has locked.
func endLocked(ctx context.Context, tx bun.Tx, serials []int64, reason EndReason) ([]Session, error) {
	if len(serials) == 0 {
		return nil, nil
	}
	var rows []bunRow
	err := tx.NewRaw("WITH clock AS MATERIALIZED (SELECT clock_timestamp() AS now) "+
		"UPDATE ?(schema)user_sessions AS s SET logout_at = greatest(clock.now, s.last_activity), updated_at = clock.now, end_reason = ? "+
		"FROM clock WHERE s.id IN (?) AND s.is_active RETURNING "+sessionColumns,
		string(reason), bun.List(serials)).Scan(ctx, &rows)
	return sessionsBySerial(rows), err
}

// sessionsBySerial sorts and converts: RETURNING has no order.
func sessionsBySerial(rows []bunRow) []Session {
	slices.SortFunc(rows, func(a, b bunRow) int { return cmp.Compare(a.Serial, b.Serial) })
	return sessionsOf(rows)
}

const insertSQL = `WITH clock AS MATERIALIZED (SELECT clock_timestamp() AS now)
INSERT INTO ?(schema)user_sessions AS s (session_id, user_id, derived, secret_hash,
	ip_address, ip_source, country_code, country, region, city, login_ip_address, login_ip_source,
	user_agent, client_hints, device_type, device_source, device_ambiguous,
	browser, browser_version, os, os_version, brand, model,
	login_at, last_activity, created_at, updated_at, expires_at, credential_until)
SELECT ?, ?, ?, ?::bytea, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?,
	now, now, now, now, CASE WHEN ? > 0 THEN now + ? * interval '1 microsecond' END, ?::timestamptz
FROM clock ON CONFLICT (session_id) DO NOTHING RETURNING ` + sessionColumns

// insertSession inserts the row; a handle that is taken returns no row, and fails
// no transaction.
func insertSession(ctx context.Context, tx bun.Tx, n *NewSession) (*bunRow, error) {
	a := &n.Session
	var hash []byte
	if n.SecretHash != ([32]byte{}) {
		hash = n.SecretHash[:]
	}
	d, l := a.Device, a.Location
	var rows []bunRow
	err := tx.NewRaw(insertSQL, string(a.ID), a.UserID, a.Derived, hash,
		addressColumn(a.Address), shortColumn(a.AddressSource),
		shortColumn(l.CountryCode), shortColumn(l.Country), shortColumn(l.Region), shortColumn(l.City),
		addressColumn(a.LoginAddress), shortColumn(a.LoginAddressSource),
		column(a.UserAgent, maxUserAgent), column(a.ClientHints, maxHints),
		shortColumn(d.Type), shortColumn(d.Source), d.Ambiguous,
		shortColumn(d.Browser), shortColumn(d.BrowserVersion), shortColumn(d.OS), shortColumn(d.OSVersion),
		shortColumn(d.Brand), shortColumn(d.Model),
		postgres.Micros(n.Lifetime), postgres.Micros(n.Lifetime), columnTimeOrNull(a.CredentialUntil)).Scan(ctx, &rows)
	switch {
	case err != nil:
		return nil, err
	case len(rows) == 0:
		return nil, ErrExists
	}
	return &rows[0], nil
}

// settleCreated brings presence up to date, user by user in their order: the new
// session's user is online, and the one of a replaced session may be no longer.
func settleCreated(ctx context.Context, tx bun.Tx, c CreateResult) error {
	users := usersOf(append(slices.Clone(c.Ended), c.Session))
	for _, user := range users {
		var err error
		if user == c.Session.UserID {
			_, err = tx.ExecContext(ctx, "INSERT INTO ?(schema)user_presence AS p (user_id, last_activity) VALUES (?, ?) "+
				"ON CONFLICT (user_id) DO UPDATE SET last_activity = greatest(p.last_activity, excluded.last_activity)",
				user, c.Session.LoginAt)
		} else {
			err = setOffline(ctx, tx, []string{user})
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// usersOf returns the sessions' users, each once, in the order of bytes.
func usersOf(sessions []Session) []string {
	users := make([]string, len(sessions))
	for i := range sessions {
		users[i] = sessions[i].UserID
	}
	slices.Sort(users)
	return slices.Compact(users)
}

// setOffline removes users from the table of presence whose last session has ended. It
// locks their rows in one statement and decides in the next. The second statement's
// snapshot holds every session that another transaction began or ended before it released
// the lock. A sign-in that has not committed yet waits for the lock, and inserts the row
// again.
//
// The sessions are looked up user by user, because a join could read all live sessions.
// The range and the order, both of one user, match the index of live sessions. Without
// them the planner looks for a user who has most rows in the table, behind all that have
// ended.
func setOffline(ctx context.Context, tx bun.Tx, users []string) error {
	if len(users) == 0 {
		return nil
	}
	_, err := tx.ExecContext(ctx, "SELECT 1 FROM ?(schema)user_presence WHERE user_id IN (?) ORDER BY user_id FOR UPDATE", bun.List(users))
	if err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, "DELETE FROM ?(schema)user_presence AS p WHERE p.user_id IN (?) AND "+
		"(SELECT 1 FROM ?(schema)user_sessions AS s WHERE s.user_id >= p.user_id AND s.user_id <= p.user_id AND s.logout_at IS NULL "+
		"ORDER BY s.user_id, s.id LIMIT 1) IS NULL", bun.List(users))
	return err
}
