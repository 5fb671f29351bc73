package sessiontrack

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/sessiontrack/sessiontrack/internal/postgres"
	"github.com/sessiontrack/sessiontrack/internal/text"
	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect/pgdialect"
)

// Reads take their time from statement_timestamp(), which can be used to search an index and which
// precedes the statement's snapshot.
//
// A condition "later than" comes with "earlier than infinity". Without statistics a planner expects
// a range to match one row in 200, and a lower bound alone to match one in three. It would then
// read the whole table once a second.

// getSQL returns one row whether or not there is the session, and whether row level security
// filters the table: a handle that is unknown costs what one that is known costs, so that
// nobody can tell by the time which handles exist.
const getSQL = "SELECT row_security_active(to_regclass('?(schema)user_sessions')) AS secured, " + sessionColumns +
	", s.secret_hash " +
	"FROM (SELECT 1) AS one LEFT JOIN ?(schema)user_sessions AS s ON s.session_id = ?"

// Get implements [Store].
func (s *BunStore) Get(ctx context.Context, id SessionID) (Record, error) {
	if _, ok := parseHandle(id); !ok {
		return Record{}, wrapped("get", ErrNotFound)
	}
	var row struct {
		bunRow
		Secured bool `bun:"secured"`
	}
	err := s.db.Raw(ctx, &row, getSQL, string(id))
	if err == nil && row.ID == "" {
		err = ErrNotFound
		if row.Secured { // a hidden row is not a missing row
			err = cmp.Or(s.db.CheckVisible(ctx, bunTables[0]), err)
		}
	}
	if err != nil {
		return Record{}, bunFailed("get", err)
	}
	return row.record(), nil
}

// readSQL reads many sessions by their handles. It answers with one row at least, which says
// whether the server is in recovery and whether row level security filters the table.
const readSQL = "SELECT pg_is_in_recovery() AS standby, " +
	"row_security_active(to_regclass('?(schema)user_sessions')) AS secured, " + sessionColumns + ", s.secret_hash " +
	"FROM (SELECT 1) AS one LEFT JOIN ?(schema)user_sessions AS s ON s.session_id = ANY(?::text[])"

// Read implements [Reader]. It refuses a server in recovery, as the feed does.
func (s *BunStore) Read(ctx context.Context, ids []SessionID) ([]Record, error) {
	if err := checkRead(ids); err != nil {
		return nil, err
	}
	names := make([]string, 0, len(ids))
	for _, id := range ids {
		if _, ok := parseHandle(id); ok {
			names = append(names, string(id))
		}
	}
	slices.Sort(names) // neighbours in the index are visited together
	names = slices.Compact(names)
	var rows []struct {
		bunRow
		Standby bool `bun:"standby"`
		Secured bool `bun:"secured"`
	}
	err := s.readEnds(ctx, func(conn bun.Conn) (standby bool, err error) {
		rows = nil
		err = conn.NewRaw(readSQL, pgdialect.Array(names)).Scan(ctx, &rows)
		return err == nil && rows[0].Standby, err
	})
	if err != nil {
		return nil, bunFailed("read", err)
	}
	records := make([]Record, 0, len(rows))
	for i := range rows {
		if rows[i].ID != "" {
			records = append(records, rows[i].record())
		}
	}
	if len(records) < len(names) && rows[0].Secured { // a hidden row is not a missing row
		if err := s.db.CheckVisible(ctx, bunTables[0]); err != nil {
			return nil, bunFailed("read", err)
		}
	}
	return records, nil
}

// List implements [Store].
func (s *BunStore) List(ctx context.Context, q Query) (Page, error) {
	if err := q.Check(); err != nil {
		return Page{}, err
	}
	if !text.Valid(q.UserID) {
		now, err := s.db.Now(ctx)
		return Page{Now: now, Sessions: []Session{}}, bunFailed("list", err)
	}
	f, order := q.Selection()
	list := s.activityList(f, &q)
	if order == SortLogin {
		list = s.loginList(f, &q)
	}
	var rows []bunRow
	list = list.ColumnExpr("statement_timestamp() AS now").Limit(int64(q.Limit) + 1)
	if err := s.db.Select(ctx, list, &rows); err != nil {
		return Page{}, bunFailed("list", err)
	}
	if len(rows) == 0 {
		now, err := s.db.Now(ctx)
		return Page{Now: now, Sessions: []Session{}}, bunFailed("list", err)
	}
	page := Page{Now: utc(rows[0].Now)}
	if len(rows) > q.Limit {
		rows = rows[:q.Limit]
		last := &rows[q.Limit-1]
		page.Next = Cursor{At: utc(last.LoginAt), Serial: last.Serial}
		if order == SortActivity {
			page.Next = Cursor{At: utc(last.Seen), UserID: last.UserID, Serial: last.Serial}
		}
	}
	page.Sessions = sessionsOf(rows)
	return page, nil
}

// loginList selects sessions by login, latest first. Each branch of the filter reads the rows of a
// page in the order of one index, and the page merges them: it never sorts more than a page of each.
func (s *BunStore) loginList(f Filter, q *Query) *bun.SelectQuery {
	page := func(branch *bun.SelectQuery) *bun.SelectQuery {
		if c := q.After; !c.IsZero() {
			branch = branch.Where("(s.login_at, s.id) < (?, ?)", columnTime(c.At), c.Serial)
		}
		if q.Within > 0 {
			branch = branch.Where("EXISTS (SELECT 1 FROM ?(schema)user_presence AS p WHERE p.user_id = s.user_id AND "+
				"p.last_activity > statement_timestamp() - ? * interval '1 microsecond')", postgres.Micros(q.Within))
		}
		return branch.OrderExpr("s.login_at DESC, s.id DESC").Limit(int64(q.Limit) + 1)
	}
	all := s.union(bunFilter{Filter: f, idle: q.IdleTimeout, asOf: q.AsOf}, page)
	return s.db.NewSelect().TableExpr("(?) AS s", all).ColumnExpr(sessionColumns).OrderExpr("s.login_at DESC, s.id DESC")
}

// activityList selects active sessions by their user's presence, latest first. If no other index is
// faster, it reads user by user. OFFSET 0 stops the planner from joining everything before it
// sorts.
func (s *BunStore) activityList(f Filter, q *Query) *bun.SelectQuery {
	list := s.db.NewSelect().ColumnExpr(sessionColumns).ColumnExpr("p.last_activity AS seen")
	if f.byFacts() {
		list = list.TableExpr("?(schema)user_sessions AS s").Join("JOIN ?(schema)user_presence AS p ON p.user_id = s.user_id")
	} else {
		list = list.TableExpr("?(schema)user_presence AS p").Join(
			"CROSS JOIN LATERAL (SELECT * FROM ?(schema)user_sessions AS u " +
				"WHERE u.user_id = p.user_id AND u.logout_at IS NULL OFFSET 0) AS s")
	}
	narrowed := &bunFilter{Filter: f, idle: q.IdleTimeout, asOf: q.AsOf}
	list = list.Where("s.logout_at IS NULL").ApplyQueryBuilder(narrowed.narrow).
		OrderExpr("p.last_activity DESC, p.user_id, s.id DESC")
	if len(f.Users) > 0 {
		list = list.Where("p.user_id IN (?)", bun.List(f.Users))
	}
	if q.Within > 0 {
		list = list.Where("p.last_activity > statement_timestamp() - ? * interval '1 microsecond'", postgres.Micros(q.Within))
	}
	if c := q.After; !c.IsZero() {
		at, user := columnTime(c.At), shortColumn(c.UserID)
		list = list.Where("p.last_activity <= ?", at).
			Where("(p.last_activity < ? OR p.user_id > ? OR (p.user_id = ? AND s.id < ?))", at, user, user, c.Serial)
	}
	return list
}

// CountOnline implements [OnlineReader].
func (s *BunStore) CountOnline(ctx context.Context, windows []time.Duration) ([]int, time.Time, error) {
	if err := checkWindows("count online", windows); err != nil {
		return nil, time.Time{}, err
	}
	spans := make([]int64, len(windows))
	for i, w := range windows {
		spans[i] = postgres.Micros(w)
	}
	var rows []struct {
		Now   time.Time `bun:"now"`
		Users int       `bun:"users"`
	}
	err := s.db.Raw(ctx, &rows, "SELECT statement_timestamp() AS now, (SELECT count(*) FROM ?(schema)user_presence AS p "+
		"WHERE p.last_activity > statement_timestamp() - w.span * interval '1 microsecond' AND p.last_activity < "+
		"'infinity') AS users "+
		"FROM unnest(?::bigint[]) WITH ORDINALITY AS w(span, place) ORDER BY w.place", pgdialect.Array(spans))
	if err != nil {
		return nil, time.Time{}, bunFailed("count online", err)
	}
	if len(rows) == 0 {
		now, err := s.db.Now(ctx)
		return []int{}, now, bunFailed("count online", err)
	}
	counts := make([]int, len(rows))
	for i := range rows {
		counts[i] = rows[i].Users
	}
	return counts, utc(rows[0].Now), nil
}

// ListOnline implements [OnlineReader]. The order is by presence, which moves in steps. The latest
// activity is that of the sessions.
func (s *BunStore) ListOnline(ctx context.Context, q OnlineQuery) (OnlinePage, error) {
	if err := q.Check(); err != nil {
		return OnlinePage{}, err
	}
	users := s.db.NewSelect().TableExpr("?(schema)user_presence AS p").ColumnExpr("p.user_id, p.last_activity").
		Where("p.last_activity > statement_timestamp() - ? * interval '1 microsecond'", postgres.Micros(q.Window)).
		OrderExpr("p.last_activity DESC, p.user_id").Limit(int64(q.Limit) + 1)
	if c := q.After; !c.IsZero() {
		at := columnTime(c.At)
		users = users.Where("p.last_activity <= ?", at).
			Where("(p.last_activity < ? OR p.user_id > ?)", at, shortColumn(c.UserID))
	}
	var rows []struct {
		Now      time.Time `bun:"now"`
		UserID   string    `bun:"user_id"`
		Seen     time.Time `bun:"seen"`
		Latest   time.Time `bun:"latest"`
		Sessions int       `bun:"sessions"`
	}
	err := s.db.Select(ctx, s.db.NewSelect().TableExpr("(?) AS p", users).
		ColumnExpr("statement_timestamp() AS now, p.user_id, p.last_activity AS seen, l.latest, l.sessions").
		Join("CROSS JOIN LATERAL (SELECT count(*) AS sessions, greatest(max(s.last_activity), p.last_activity) AS "+
			"latest FROM ?(schema)user_sessions AS s WHERE s.user_id = p.user_id AND s.logout_at IS NULL "+
			"AND s.acted_by = '') AS l").
		OrderExpr("p.last_activity DESC, p.user_id"), &rows)
	if err != nil {
		return OnlinePage{}, bunFailed("list online", err)
	}
	if len(rows) == 0 {
		now, err := s.db.Now(ctx)
		return OnlinePage{Now: now, Users: []OnlineUser{}}, bunFailed("list online", err)
	}
	page := OnlinePage{Now: utc(rows[0].Now)}
	if len(rows) > q.Limit {
		rows = rows[:q.Limit]
		page.Next = Cursor{At: utc(rows[q.Limit-1].Seen), UserID: rows[q.Limit-1].UserID}
	}
	page.Users = make([]OnlineUser, len(rows))
	for i, row := range rows {
		page.Users[i] = OnlineUser{UserID: row.UserID, LastActivity: utc(row.Latest), Sessions: row.Sessions}
	}
	return page, nil
}
