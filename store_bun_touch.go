package sessiontrack

import (
	"context"
	"encoding/json"
	"maps"
	"slices"
	"time"

	"github.com/sessiontrack/sessiontrack/internal/postgres"
	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect/pgdialect"
)

// touchSQL locks the live rows of a batch in the order of their ids, so that overlapping batches do
// not deadlock. It moves them forward, but never past the clock. Ended rows are not locked, changed
// or returned. Each handle occurs once, because an UPDATE may use either of two rows.
//
// Queries by name use is_active and not logout_at IS NULL. No index has that predicate, so the
// index of handles is the only candidate. Without statistics a planner expects that one row in 200
// is live, and would read all of them for a batch.
//
// last_seen is written only for a sign of life that is no activity, and reads as last_activity where
// that is later. The log of an update holds all bytes from the first that has changed to the last, so
// writing both would cost a quarter more.
const touchSQL = `WITH l AS (
	SELECT s.id, v.at, v.seen, v.online FROM ?(schema)user_sessions AS s
	JOIN unnest(?::text[], ?::timestamptz[], ?::timestamptz[], ?::boolean[]) AS v(session_id, at, seen, online)
		ON v.session_id = s.session_id
	WHERE s.is_active ORDER BY s.id FOR NO KEY UPDATE OF s
)
UPDATE ?(schema)user_sessions AS s SET last_activity = greatest(s.last_activity, least(l.at, clock_timestamp())),
	last_seen = CASE WHEN l.seen > 'epoch' THEN greatest(s.last_seen, least(l.seen, clock_timestamp()))
		ELSE s.last_seen END
FROM l WHERE s.id = l.id AND s.is_active
RETURNING s.session_id, s.user_id, s.acted_by,
	CASE WHEN l.online THEN greatest(s.last_seen, s.last_activity) ELSE s.last_activity END AS last_activity`

// presenceSQL moves the users of touched sessions forward, in their order. It first leaves out
// users who are not behind by a step, because a conflict that changes nothing would still lock and
// write the row. It looks users up one by one, because for a join the planner reads the whole table
// for a batch of some thousand users. A user without a row has just gone offline, or another
// program deleted the row. In both cases this session lives, so the row is inserted.
const presenceSQL = `INSERT INTO ?(schema)user_presence AS p (user_id, last_activity)
SELECT v.user_id, v.at FROM unnest(?::text[], ?::timestamptz[]) AS v(user_id, at)
WHERE coalesce((SELECT o.last_activity < v.at AND o.last_activity <= v.at - ? * interval '1 microsecond'
	FROM ?(schema)user_presence AS o WHERE o.user_id = v.user_id), true)
ORDER BY v.user_id COLLATE "C"
ON CONFLICT (user_id) DO UPDATE SET last_activity = greatest(p.last_activity, excluded.last_activity)`

// Touch implements [Store]. A batch above [BunOptions.TouchBatch] is written in several
// transactions. If one fails, the earlier ones stay.
func (s *BunStore) Touch(ctx context.Context, batch []TouchRecord, presenceStep time.Duration) ([]SessionID, error) {
	if err := notNegative("touch", span{"presenceStep", presenceStep}); err != nil {
		return nil, err
	}
	latest := make(map[SessionID]TouchRecord, len(batch))
	for _, t := range batch {
		if _, ok := parseHandle(t.ID); !ok {
			continue // not a valid handle; it must not make the batch fail
		}
		if known, again := latest[t.ID]; again {
			t.merge(known)
		}
		latest[t.ID] = t
	}
	// Rows are stored by Serial. In that order a transaction visits few pages, each once; each
	// visit of a page writes a log record to prune it.
	ordered := slices.SortedFunc(maps.Values(latest), bySerials)
	alive := make([]SessionID, 0, len(latest))
	for touches := range slices.Chunk(ordered, s.touchBatch) {
		touched, err := s.touch(ctx, touches, presenceStep)
		if err != nil {
			return nil, bunFailed("touch", err)
		}
		alive = append(alive, touched...)
	}
	return alive, nil
}

// touch writes one batch: sessions first, then their users.
func (s *BunStore) touch(ctx context.Context, batch []TouchRecord, step time.Duration) ([]SessionID, error) {
	names, online := make([]string, len(batch)), make([]bool, len(batch))
	times, seen := make([]time.Time, len(batch)), make([]time.Time, len(batch))
	for i, t := range batch {
		names[i], times[i], seen[i], online[i] = string(t.ID), columnTime(t.At), columnTime(t.Seen), t.Online
	}
	var rows []bunRow
	err := s.db.Transaction(ctx, transactionTimeout, func(ctx context.Context, tx bun.Tx, _ time.Time) error {
		err := tx.NewRaw(touchSQL, pgdialect.Array(names), pgdialect.Array(times), pgdialect.Array(seen),
			pgdialect.Array(online)).Scan(ctx, &rows)
		if err != nil || len(rows) == 0 {
			return err
		}
		users, latest := presenceOf(rows)
		_, err = tx.ExecContext(ctx, presenceSQL, pgdialect.Array(users), pgdialect.Array(latest), postgres.Micros(step))
		return err
	})
	alive := make([]SessionID, len(rows))
	for i := range rows {
		alive[i] = SessionID(rows[i].ID)
	}
	return alive, err
}

// presenceOf returns each user once, with the latest time of the rows. An administrator's session
// in the place of a user moves no presence.
func presenceOf(rows []bunRow) (users []string, seen []time.Time) {
	latest := make(map[string]time.Time, len(rows))
	for _, row := range rows {
		if row.ActedBy == "" && row.LastActivity.After(latest[row.UserID]) {
			latest[row.UserID] = row.LastActivity
		}
	}
	for user, at := range latest {
		users, seen = append(users, user), append(seen, at)
	}
	return users, seen
}

const describeSQL = `WITH v AS (
	SELECT * FROM jsonb_to_recordset(?::jsonb) AS v(session_id text,
		has_device boolean, type text, source text, ambiguous boolean,
		browser text, browser_version text, os text, os_version text, brand text, model text,
		has_network boolean, address text, address_source text,
		country_code text, country text, region text, city text, until timestamptz)
), l AS (
	SELECT s.id AS row_id, v.* FROM ?(schema)user_sessions AS s JOIN v ON v.session_id = s.session_id
	WHERE s.is_active ORDER BY s.id FOR NO KEY UPDATE OF s
)
UPDATE ?(schema)user_sessions AS s SET
	device_type = CASE WHEN l.has_device THEN l.type ELSE s.device_type END,
	device_source = CASE WHEN l.has_device THEN l.source ELSE s.device_source END,
	device_ambiguous = CASE WHEN l.has_device THEN l.ambiguous ELSE s.device_ambiguous END,
	browser = CASE WHEN l.has_device THEN l.browser ELSE s.browser END,
	browser_version = CASE WHEN l.has_device THEN l.browser_version ELSE s.browser_version END,
	os = CASE WHEN l.has_device THEN l.os ELSE s.os END,
	os_version = CASE WHEN l.has_device THEN l.os_version ELSE s.os_version END,
	brand = CASE WHEN l.has_device THEN l.brand ELSE s.brand END,
	model = CASE WHEN l.has_device THEN l.model ELSE s.model END,
	ip_address = CASE WHEN l.has_network THEN l.address ELSE s.ip_address END,
	ip_source = CASE WHEN l.has_network THEN l.address_source ELSE s.ip_source END,
	country_code = CASE WHEN l.has_network THEN l.country_code ELSE s.country_code END,
	country = CASE WHEN l.has_network THEN l.country ELSE s.country END,
	region = CASE WHEN l.has_network THEN l.region ELSE s.region END,
	city = CASE WHEN l.has_network THEN l.city ELSE s.city END,
	credential_until = greatest(s.credential_until, l.until),
	updated_at = clock_timestamp()
FROM l WHERE s.id = l.row_id AND s.is_active`

// bunFacts are updates in the form that describeSQL reads.
type bunFacts struct {
	ID             string     `json:"session_id"`
	HasDevice      bool       `json:"has_device"`
	Type           string     `json:"type"`
	Source         string     `json:"source"`
	Ambiguous      bool       `json:"ambiguous"`
	Browser        string     `json:"browser"`
	BrowserVersion string     `json:"browser_version"`
	OS             string     `json:"os"`
	OSVersion      string     `json:"os_version"`
	Brand          string     `json:"brand"`
	Model          string     `json:"model"`
	HasNetwork     bool       `json:"has_network"`
	Address        string     `json:"address"`
	AddressSource  string     `json:"address_source"`
	CountryCode    string     `json:"country_code"`
	Country        string     `json:"country"`
	Region         string     `json:"region"`
	City           string     `json:"city"`
	Until          *time.Time `json:"until"`
}

// add copies the fields that f sets. The later of two values counts.
func (b *bunFacts) add(f SessionUpdate) {
	if d := f.Device; d != nil {
		b.HasDevice, b.Ambiguous = true, d.Ambiguous
		b.Type, b.Source = shortColumn(d.Type), shortColumn(d.Source)
		b.Browser, b.BrowserVersion = shortColumn(d.Browser), shortColumn(d.BrowserVersion)
		b.OS, b.OSVersion = shortColumn(d.OS), shortColumn(d.OSVersion)
		b.Brand, b.Model = shortColumn(d.Brand), shortColumn(d.Model)
	}
	if n := f.Network; n != nil {
		b.HasNetwork, b.Address, b.AddressSource = true, addressColumn(n.Address), shortColumn(n.Source)
		b.CountryCode, b.Country = shortColumn(n.Location.CountryCode), shortColumn(n.Location.Country)
		b.Region, b.City = shortColumn(n.Location.Region), shortColumn(n.Location.City)
	}
	if until := columnTimeOrNull(f.CredentialUntil); until != nil && (b.Until == nil || until.After(*b.Until)) {
		b.Until = until
	}
}

// Describe implements [Store].
func (s *BunStore) Describe(ctx context.Context, batch []SessionUpdate) error {
	merged := make(map[SessionID]*bunFacts, len(batch))
	for _, f := range batch {
		if _, ok := parseHandle(f.ID); !ok {
			continue
		}
		if merged[f.ID] == nil {
			merged[f.ID] = &bunFacts{ID: string(f.ID)}
		}
		merged[f.ID].add(f)
	}
	for facts := range slices.Chunk(slices.Collect(maps.Values(merged)), s.touchBatch) {
		document, err := json.Marshal(facts)
		if err != nil { // cannot happen for texts, flags and times of four-digit years
			return bunFailed("describe", err)
		}
		err = s.db.Transaction(ctx, transactionTimeout, func(ctx context.Context, tx bun.Tx, _ time.Time) error {
			_, err := tx.ExecContext(ctx, describeSQL, string(document))
			return err
		})
		if err != nil {
			return bunFailed("describe", err)
		}
	}
	return nil
}

// renewSQL changes the secret of a live session that has the old one.
const renewSQL = `UPDATE ?(schema)user_sessions AS s SET secret_hash = ?2, methods = ?3,
	authenticated_at = clock_timestamp(),
	renewed_at = clock_timestamp(), updated_at = clock_timestamp()
WHERE s.session_id = ?0 AND s.is_active AND s.secret_hash = ?1 RETURNING ` + sessionColumns

// Renew implements [Renewer].
func (s *BunStore) Renew(ctx context.Context, r Renewal) (Session, error) {
	if err := r.Check(); err != nil {
		return Session{}, err
	}
	var rows []bunRow
	err := s.db.Transaction(ctx, transactionTimeout, func(ctx context.Context, tx bun.Tx, _ time.Time) error {
		err := tx.NewRaw(renewSQL, string(r.ID), r.OldHash[:], r.NewHash[:], methodsColumn(r.Methods)).Scan(ctx, &rows)
		if err != nil || len(rows) == 0 {
			return err
		}
		return notify(ctx, tx)
	})
	if err == nil && len(rows) == 0 {
		err = ErrNotFound
	}
	if err != nil {
		return Session{}, bunFailed("renew", err)
	}
	return rows[0].session(), nil
}
