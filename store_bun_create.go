package sessiontrack

import (
	"cmp"
	"context"
	"encoding/hex"
	"encoding/json"
	"slices"
	"time"

	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect/pgdialect"

	"github.com/sessiontrack/sessiontrack/internal/postgres"
)

// createSQL calls the function of migration 0006, which does it all in one round trip.
const createSQL = `SELECT c.outcome, c.reason, ` + sessionColumns + `
FROM ?(schema)sessiontrack_create(?0::jsonb, ?1, ?2, ?10::text[], ?3, ?4, ?5, ?6::timestamptz, ?7,
	` + postgres.LockKey + `?9), ?8) AS c,
	LATERAL jsonb_populate_record(NULL::?(schema)user_sessions, c.session) AS s`

// bunPolicies are the policies as the function knows them.
var bunPolicies = [...]string{EndOldest: "oldest", DenyNew: "deny", EndLeastActive: "least"}

// bunCreated is a row of createSQL's answer. The columns of a session are NULL where there
// is none.
type bunCreated struct {
	bunRow
	Outcome string `bun:"outcome"`
	Reason  string `bun:"reason"`
}

// Create implements [Store]: in one statement, so that a database far away answers in the
// time of one round trip.
func (s *BunStore) Create(ctx context.Context, n NewSession) (CreateResult, error) {
	if err := n.Check(); err != nil {
		return CreateResult{}, err
	}
	document, err := json.Marshal(newBunColumns(&n))
	if err != nil { // cannot happen for texts, flags and times of four-digit years
		return CreateResult{}, bunFailed("create", err)
	}
	var issued *time.Time
	if !n.IssuedAt.IsZero() {
		at := n.IssuedAt.UTC()
		issued = &at
	}
	replaces := ""
	if ids := handles([]SessionID{n.Replaces}); len(ids) > 0 {
		replaces = ids[0]
	}
	limit := transactionTimeout + s.db.Slack
	patience := limit * 3 / 4 // the server gives up before the caller does: the outcome is then known
	ask := func(ctx context.Context, db bun.IDB) (rows []bunCreated, err error) {
		err = db.NewRaw(createSQL, string(document), postgres.Micros(n.Lifetime), replaces, n.Limit, bunPolicies[n.Policy],
			postgres.Micros(n.IdleTimeout), issued, postgres.IDSpace, patience.Milliseconds(), n.Session.UserID,
			pgdialect.Array(handles(n.Ends))).Scan(ctx, &rows)
		return rows, err
	}
	rows, err := s.create(ctx, limit, ask)
	if err != nil {
		return CreateResult{}, bunFailed("create", err)
	}
	created, err := createdOf(rows)
	return created, bunFailed("create", err)
}

// create asks outside of a transaction, and where the host's default is not READ COMMITTED
// again within one.
func (s *BunStore) create(
	ctx context.Context, limit time.Duration, ask func(context.Context, bun.IDB) ([]bunCreated, error),
) (rows []bunCreated, err error) {
	single, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	err = s.db.OnConn(single, func(conn bun.Conn) error {
		rows, err = ask(single, conn)
		return err
	})
	if err != nil || len(rows) == 0 || rows[0].Outcome != "isolation" {
		return rows, err
	}
	err = s.db.Transaction(ctx, transactionTimeout, func(ctx context.Context, tx bun.Tx, _ time.Time) error {
		rows, err = ask(ctx, tx)
		return err
	})
	return rows, err
}

// createdOf reads the answer: the ended sessions in the order of their reasons, the
// replaced one first, then those that were chosen, then of their serials.
func createdOf(rows []bunCreated) (created CreateResult, err error) {
	for i := range rows {
		switch r := &rows[i]; r.Outcome {
		case "created":
			created.Session = r.session()
		case "ended":
			created.Ended = append(created.Ended, r.session())
		case "exists":
			return CreateResult{}, ErrExists
		case "limit":
			return CreateResult{}, ErrLimit
		case "fence":
			return CreateResult{}, &EndedError{Reason: EndReason(r.Reason)}
		}
	}
	slices.SortFunc(created.Ended, func(a, b Session) int {
		return cmp.Or(cmp.Compare(endOrder[a.EndReason], endOrder[b.EndReason]), cmp.Compare(a.Serial, b.Serial))
	})
	return created, nil
}

// endOrder is the order of a sign-in's ends.
var endOrder = map[EndReason]int{ReasonReplacement: 1, ReasonUser: 2, ReasonLimit: 3}

// bunColumns are the columns of a new row, as JSON.
type bunColumns struct {
	ID         string  `json:"session_id"`
	UserID     string  `json:"user_id"`
	Derived    bool    `json:"derived"`
	SecretHash *string `json:"secret_hash"`

	Address            string `json:"ip_address"`
	AddressSource      string `json:"ip_source"`
	CountryCode        string `json:"country_code"`
	Country            string `json:"country"`
	Region             string `json:"region"`
	City               string `json:"city"`
	LoginAddress       string `json:"login_ip_address"`
	LoginAddressSource string `json:"login_ip_source"`

	UserAgent       string `json:"user_agent"`
	ClientHints     string `json:"client_hints"`
	DeviceType      string `json:"device_type"`
	DeviceSource    string `json:"device_source"`
	DeviceAmbiguous bool   `json:"device_ambiguous"`
	Browser         string `json:"browser"`
	BrowserVersion  string `json:"browser_version"`
	OS              string `json:"os"`
	OSVersion       string `json:"os_version"`
	Brand           string `json:"brand"`
	Model           string `json:"model"`

	CredentialUntil *time.Time `json:"credential_until"`
	ProviderID      string     `json:"provider_id"`

	Client          string     `json:"client"`
	Tenant          string     `json:"tenant"`
	ActedBy         string     `json:"acted_by"`
	AuthenticatedAt *time.Time `json:"authenticated_at"`
	Methods         string     `json:"methods"`
	IdleTimeout     int64      `json:"idle_timeout"`
	Remember        bool       `json:"remember"`
}

func newBunColumns(n *NewSession) bunColumns {
	a, d, l := &n.Session, &n.Session.Device, &n.Session.Location
	c := bunColumns{
		ID: string(a.ID), UserID: a.UserID, Derived: a.Derived,
		Address: addressColumn(a.Address), AddressSource: shortColumn(a.AddressSource),
		CountryCode: shortColumn(l.CountryCode), Country: shortColumn(l.Country),
		Region: shortColumn(l.Region), City: shortColumn(l.City),
		LoginAddress: addressColumn(a.LoginAddress), LoginAddressSource: shortColumn(a.LoginAddressSource),
		UserAgent: column(a.UserAgent, maxUserAgent), ClientHints: column(a.ClientHints, maxHints),
		DeviceType: shortColumn(d.Type), DeviceSource: shortColumn(d.Source), DeviceAmbiguous: d.Ambiguous,
		Browser: shortColumn(d.Browser), BrowserVersion: shortColumn(d.BrowserVersion),
		OS: shortColumn(d.OS), OSVersion: shortColumn(d.OSVersion),
		Brand: shortColumn(d.Brand), Model: shortColumn(d.Model),
		CredentialUntil: columnTimeOrNull(a.CredentialUntil), ProviderID: n.ProviderID,
		Client: a.Client, Tenant: a.Tenant, ActedBy: a.ActedBy, AuthenticatedAt: columnTimeOrNull(a.AuthenticatedAt),
		Methods: methodsColumn(a.Methods), IdleTimeout: idleColumn(a.IdleTimeout), Remember: a.Remember,
	}
	if n.SecretHash != ([32]byte{}) {
		hash := `\x` + hex.EncodeToString(n.SecretHash[:])
		c.SecretHash = &hash
	}
	return c
}

// sessionsBySerial sorts and converts the rows, because RETURNING has no order.
func sessionsBySerial(rows []bunRow) []Session {
	slices.SortFunc(rows, func(a, b bunRow) int { return cmp.Compare(a.Serial, b.Serial) })
	return sessionsOf(rows)
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
	_, err := tx.ExecContext(ctx, "SELECT 1 FROM ?(schema)user_presence WHERE user_id IN (?) ORDER BY user_id FOR UPDATE",
		bun.List(users))
	if err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, offlineSQL, bun.List(users))
	return err
}

// offlineSQL deletes the presence of users without a live session. Of those who have only sessions
// that administrators act in, it sets it to the first microsecond of all. Each row is changed once.
const offlineSQL = `WITH live AS MATERIALIZED (
	SELECT p.user_id, (SELECT 1 FROM ?(schema)user_sessions AS s WHERE s.user_id >= p.user_id AND s.user_id <= p.user_id
			AND s.logout_at IS NULL ORDER BY s.user_id, s.id LIMIT 1) IS NULL AS gone,
		(SELECT 1 FROM ?(schema)user_sessions AS s WHERE s.user_id >= p.user_id AND s.user_id <= p.user_id
			AND s.logout_at IS NULL AND s.acted_by = '' ORDER BY s.user_id, s.id LIMIT 1) IS NULL AS acted
	FROM ?(schema)user_presence AS p WHERE p.user_id IN (?0)
), gone AS (
	DELETE FROM ?(schema)user_presence AS p USING live AS l WHERE p.user_id = l.user_id AND l.gone
)
UPDATE ?(schema)user_presence AS p SET last_activity = '1970-01-01 00:00:00.000001Z'
FROM live AS l WHERE p.user_id = l.user_id AND l.acted AND NOT l.gone`
