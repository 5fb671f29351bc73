package sessiontrack

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect/pgdialect"

	"github.com/sessiontrack/sessiontrack/internal/postgres"
	"github.com/sessiontrack/sessiontrack/internal/text"
)

// EndedSince implements [EndedFeed].
func (s *BunStore) EndedSince(ctx context.Context, since time.Time, limit int) (EndedPage, error) {
	if limit < 1 {
		return EndedPage{}, fmt.Errorf("sessiontrack: ended since: limit is %d: want 1 or more", limit)
	}
	if since.IsZero() {
		now, err := s.db.Now(ctx)
		return EndedPage{Now: now}, bunFailed("ended since", err)
	}
	var groups []endedGroup
	err := s.readEnds(ctx, func(conn bun.Conn) (standby bool, err error) {
		groups = nil
		err = conn.NewRaw(endedSQL, columnTime(since), limit+1).Scan(ctx, &groups)
		return err == nil && groups[0].Standby, err
	})
	if err != nil {
		return EndedPage{}, bunFailed("ended since", err)
	}
	page := EndedPage{Now: utc(groups[0].Now)}
	var moreEnded, moreRenewed bool
	page.Ended, moreEnded = firstOf(endedOf(groups), limit)
	page.Renewed, moreRenewed = firstOf(renewedOf(groups), limit)
	page.More = moreEnded || moreRenewed
	return page, nil
}

// readEnds is the one way to read which sessions have ended. read reports whether the
// server that answered is in recovery: a standby may not know of ends that the primary has
// acknowledged, so its answer must renew nobody's trust in a cache. The connection is given
// up then, and the pool finds another one.
func (s *BunStore) readEnds(ctx context.Context, read func(bun.Conn) (standby bool, err error)) error {
	return s.db.OnConn(ctx, func(conn bun.Conn) error {
		standby, err := read(conn)
		if err == nil && standby {
			return postgres.ErrStandby
		}
		return err
	})
}

// endedSQL puts sessions that ended at one time, as one call of End does, into one row. Thousands
// of rows would cost the replica that reads them several times as much.
const endedSQL = `SELECT statement_timestamp() AS now, pg_is_in_recovery() AS standby, g.* FROM (SELECT 1) AS one
	LEFT JOIN (
	SELECT e.logout_at, e.end_reason, e.ended_by, false AS renewed, string_agg(e.session_id, ' ' ORDER BY e.id) AS ids
	FROM (
		SELECT s.id, s.session_id, s.logout_at, s.end_reason, s.ended_by FROM ?(schema)user_sessions AS s
		WHERE s.logout_at > ?0 AND s.logout_at < 'infinity' ORDER BY s.logout_at, s.id LIMIT ?1
	) AS e GROUP BY e.logout_at, e.end_reason, e.ended_by
	UNION ALL (
		SELECT s.renewed_at, NULL, '', true, s.session_id FROM ?(schema)user_sessions AS s
		WHERE s.renewed_at > ?0 AND s.renewed_at < 'infinity' ORDER BY s.renewed_at LIMIT ?1
	)
) AS g ON true ORDER BY g.logout_at`

// endedGroup is a row of endedSQL. If nothing has ended, there is one empty row.
type endedGroup struct {
	Now     time.Time `bun:"now"`
	Standby bool      `bun:"standby"`

	LogoutAt  time.Time `bun:"logout_at"`
	EndReason string    `bun:"end_reason"`
	EndedBy   string    `bun:"ended_by"`
	Renewed   bool      `bun:"renewed"` // a change of the secret at LogoutAt, and no end
	IDs       string    `bun:"ids"`     // handles separated by spaces
}

func endedOf(groups []endedGroup) (ended []EndedSession) {
	for _, g := range groups {
		if g.LogoutAt.IsZero() || g.Renewed {
			continue
		}
		s := EndedSession{LogoutAt: utc(g.LogoutAt), EndReason: EndReason(g.EndReason), EndedBy: g.EndedBy}
		for id := range strings.SplitSeq(g.IDs, " ") { // all of them: the caller must see that the limit was exceeded
			s.ID = SessionID(id)
			ended = append(ended, s)
		}
	}
	return ended
}

// renewedOf returns the sessions whose secret has changed.
func renewedOf(groups []endedGroup) (renewed []RenewedSession) {
	for _, g := range groups {
		if g.Renewed {
			renewed = append(renewed, RenewedSession{SessionID(g.IDs), utc(g.LogoutAt)})
		}
	}
	return renewed
}

// firstOf cuts a list, and reports whether it had to.
func firstOf[T any](list []T, limit int) ([]T, bool) {
	return list[:min(len(list), limit)], len(list) > limit
}

// These are the parts of an answer, as values of a column.
const (
	partEnded = iota + 1
	partBegun
	partSeen
	partUsers
	partRenewed
)

// bunChange is a row of the answer: a session, or a user.
type bunChange struct {
	bunRow
	Part     int  `bun:"part"`
	Sessions int  `bun:"sessions"`
	Standby  bool `bun:"standby"`

	RenewedAt time.Time `bun:"renewed_at"`
}

// noSession fills a session's columns in the rows of users.
const noSession = `NULL::timestamptz AS renewed_at, NULL::bigint AS id, NULL AS session_id, u.user_id,
	false AS derived, NULL AS ip_address,
	NULL AS ip_source,
NULL AS country_code, NULL AS country, NULL AS region, NULL AS city, NULL AS login_ip_address,
	NULL AS login_ip_source,
NULL AS user_agent, NULL AS client_hints, NULL AS device_type, NULL AS device_source, false AS device_ambiguous,
NULL AS browser, NULL AS browser_version, NULL AS os, NULL AS os_version, NULL AS brand, NULL AS model,
NULL::timestamptz AS login_at, u.last_activity, NULL::timestamptz AS expires_at,
	NULL::timestamptz AS credential_until,
NULL::timestamptz AS logout_at, NULL AS end_reason, NULL AS ended_by,
NULL AS client, NULL AS tenant, NULL AS acted_by, NULL::timestamptz AS authenticated_at, NULL AS methods,
NULL::timestamptz AS last_seen, 0::bigint AS idle_timeout, false AS remember`

// ChangesSince implements [ChangeFeed] with one statement. Each part reads a range of an index.
func (s *BunStore) ChangesSince(ctx context.Context, q ChangeQuery) (Changes, error) {
	if err := q.Check(); err != nil {
		return Changes{}, err
	}
	parts := s.changeParts(&q)
	if len(parts) == 0 {
		now, err := s.db.Now(ctx)
		return Changes{Now: now}, bunFailed("changes since", err)
	}
	all := parts[0]
	for _, part := range parts[1:] {
		all = all.UnionAll(part)
	}
	var rows []bunChange
	err := s.readEnds(ctx, func(conn bun.Conn) (standby bool, err error) {
		rows = nil
		err = conn.NewSelect().TableExpr("(SELECT 1) AS one").Join("LEFT JOIN (?) AS c ON true", all).
			ColumnExpr("statement_timestamp() AS now, pg_is_in_recovery() AS standby, c.*").Scan(ctx, &rows)
		return err == nil && rows[0].Standby, err
	})
	if err != nil {
		return Changes{}, bunFailed("changes since", err)
	}
	return changesOf(rows, q.Limit), nil
}

// changeParts returns a query for each requested part.
func (s *BunStore) changeParts(q *ChangeQuery) (parts []*bun.SelectQuery) {
	sessions := func(part int, column string, since time.Time) {
		parts = append(parts, s.db.NewSelect().TableExpr("?(schema)user_sessions AS s").
			ColumnExpr("? AS part, 0::bigint AS sessions, s.renewed_at, "+sessionColumns, part).
			Where("s.?0 > ?1 AND s.?0 < 'infinity'", bun.Ident(column), columnTime(since)).
			OrderExpr("s.?, s.id", bun.Ident(column)).Limit(int64(q.Limit)+1))
	}
	if !q.Ended.IsZero() {
		sessions(partEnded, "logout_at", q.Ended)
		sessions(partRenewed, "renewed_at", q.Ended)
	}
	if !q.Begun.IsZero() {
		sessions(partBegun, "login_at", q.Begun)
	}
	if !q.Seen.IsZero() {
		seen := s.db.NewSelect().TableExpr("?(schema)user_presence AS u").
			ColumnExpr("? AS part, 0::bigint AS sessions, "+noSession, partSeen).
			Where("u.last_activity > ?", columnTime(q.Seen)).
			OrderExpr("u.last_activity DESC, u.user_id").Limit(int64(q.Limit))
		if b := q.Before; !b.IsZero() {
			at := columnTime(b.At)
			seen = seen.Where("u.last_activity <= ?", at).Where("(u.last_activity < ? OR u.user_id > ?)", at,
				shortColumn(b.UserID))
		}
		parts = append(parts, seen)
	}
	if users := slices.DeleteFunc(slices.Clone(q.Users), func(id string) bool { return !text.Valid(id) }); len(users) > 0 {
		parts = append(parts, s.db.NewSelect().TableExpr("?(schema)user_presence AS u").
			ColumnExpr("? AS part, (SELECT count(*) FROM ?(schema)user_sessions AS s WHERE s.user_id = u.user_id AND "+
				"s.logout_at IS NULL AND s.acted_by = '') AS sessions, "+noSession, partUsers).
			Where("u.user_id = ANY(?::text[])", pgdialect.Array(users)))
	}
	return parts
}

// changesOf sorts the rows into their parts, each in its order.
func changesOf(rows []bunChange, limit int) (c Changes) {
	for i := range rows {
		r := &rows[i]
		c.Now = utc(r.Now)
		user := OnlineUser{UserID: r.UserID, LastActivity: utc(r.LastActivity), Sessions: r.Sessions}
		switch r.Part {
		case partEnded:
			c.Ended = append(c.Ended, r.session())
		case partBegun:
			c.Begun = append(c.Begun, r.session())
		case partSeen:
			c.Seen = append(c.Seen, user)
		case partRenewed:
			c.Renewed = append(c.Renewed, RenewedSession{ID: SessionID(r.ID), At: utc(r.RenewedAt)})
		case partUsers:
			c.Users = append(c.Users, user)
		}
	}
	c.Ended, c.MoreEnded = cut(c.Ended, limit, func(s *Session) time.Time { return s.LogoutAt })
	renewed, more := firstOf(c.Renewed, limit)
	c.Renewed, c.MoreEnded = renewed, c.MoreEnded || more
	c.Begun, c.MoreBegun = cut(c.Begun, limit, func(s *Session) time.Time { return s.LoginAt })
	slices.SortFunc(c.Seen, func(a, b OnlineUser) int {
		return cmp.Or(b.LastActivity.Compare(a.LastActivity), cmp.Compare(a.UserID, b.UserID))
	})
	return c
}

// cut sorts sessions by a time and removes those above the limit. A UNION has no order.
func cut(sessions []Session, limit int, at func(*Session) time.Time) ([]Session, bool) {
	slices.SortFunc(sessions, func(a, b Session) int {
		return cmp.Or(at(&a).Compare(at(&b)), cmp.Compare(a.Serial, b.Serial))
	})
	if len(sessions) > limit {
		return sessions[:limit], true
	}
	return sessions, false
}
