package sessiontrack

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"regexp"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/sessiontrack/sessiontrack/internal/postgres"
	"github.com/sessiontrack/sessiontrack/internal/text"
	"github.com/sessiontrack/sessiontrack/migrations"
	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect"
)

const (
	// transactionTimeout bounds each of our transactions from BEGIN to COMMIT. The feed of ended
	// sessions reads again the last 3 s, so an end must become visible sooner than that after its
	// stamp.
	transactionTimeout = 2 * time.Second

	defaultTouchBatch = 2_000
	maxTouchBatch     = 10_000
)

// BunOptions are the options of a [BunStore]; nil means all defaults.
type BunOptions struct {
	// TouchBatch is how many touches one transaction writes; a larger batch is
	// split. Larger ones cost less write-ahead log, and hold their locks longer.
	// 1 to 10,000; zero means 2,000.
	TouchBatch int

	// Schema is the schema of the tables. [BunStore.Migrate] creates it and them if they are
	// missing. It has 1 to 63 letters, digits and underscores, and does not begin with a digit.
	// Upper and lower case differ. Empty means the schema that the role's search_path finds.
	Schema string

	// Logger receives the warnings of [BunStore.Check]. Nil means [slog.Default].
	Logger *slog.Logger
}

// BunStore is a [Store] over the host's *bun.DB, on PostgreSQL 13 or later. It has every optional
// capability. [BunStore.Migrate] creates its tables.
//
// It uses the host's pool unchanged and never closes it. With pgx under Bun, set
// default_query_exec_mode=exec: by default pgx prepares every distinct statement, and Bun writes
// arguments into the statement.
//
// Every transaction runs in READ COMMITTED, whatever the host's default, and commits within two
// seconds or not at all. It locks rows in one order, sessions before users, so that replicas do not
// deadlock. The clock is the database's.
type BunStore struct {
	db         postgres.DB
	touchBatch int
	logger     *slog.Logger

	swept atomic.Value // the user id, a string, at which the last sweep of presence stopped
}

// NewBunStore returns a store over db. It does not connect. It fails if the dialect is not
// PostgreSQL's: MySQL, for example, has no UPDATE … RETURNING, and through Bun that looks like an
// update that changed nothing.
func NewBunStore(db *bun.DB, opts *BunOptions) (*BunStore, error) {
	if db == nil {
		return nil, errors.New("sessiontrack: NewBunStore: db is nil")
	}
	if name := db.Dialect().Name(); name != dialect.PG {
		return nil, fmt.Errorf("sessiontrack: NewBunStore: dialect is %q: want %q", name, dialect.PG)
	}
	o := BunOptions{}
	if opts != nil {
		o = *opts
	}
	o.TouchBatch, o.Logger = cmp.Or(o.TouchBatch, defaultTouchBatch), cmp.Or(o.Logger, slog.Default())
	if o.TouchBatch < 1 || o.TouchBatch > maxTouchBatch {
		return nil, fmt.Errorf("sessiontrack: NewBunStore: TouchBatch is %d: want 1 to %d", o.TouchBatch, maxTouchBatch)
	}
	if o.Schema != "" && !schemaName.MatchString(o.Schema) {
		return nil, fmt.Errorf("sessiontrack: NewBunStore: Schema is %q: "+
			"want 1 to 63 letters, digits and underscores, no digit first", o.Schema)
	}
	return &BunStore{db: postgres.New(db, o.Schema), touchBatch: o.TouchBatch, logger: o.Logger}, nil
}

// schemaName is stricter than PostgreSQL, so that a name never needs quoting.
var schemaName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]{0,62}$`)

// bunFailed adds the verb to an error. It keeps sentinels and permanent faults. Every other error
// means that the call failed or that its outcome is unknown.
func bunFailed(verb string, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, sql.ErrNoRows):
		return wrapped(verb, ErrNotFound)
	case errors.Is(err, ErrExists), errors.Is(err, ErrLimit), errors.Is(err, ErrNotFound), errors.Is(err, ErrEnded):
		return wrapped(verb, err)
	}
	if errors.Is(err, postgres.ErrPoolBusy) {
		return fmt.Errorf("sessiontrack: %s: %w: %w", verb, errBusy, err)
	}
	if postgres.IsFault(err) {
		return fmt.Errorf("sessiontrack: %s: %w: %w", verb, ErrStoreFault, err)
	}
	return unavailable(verb, err)
}

// Migrate brings the tables to the version of this library. It applies the missing files of package
// migrations in one transaction, and records them in sessiontrack_migrations. It may run at every
// start and on several replicas at once: one works, and the others wait and find nothing to do. It
// does not change a database with a newer version, as during a rolling update.
//
// The tables are in BunOptions.Schema, or else in the first schema of search_path. To apply a file,
// the role needs the right to create tables and functions there, and it owns what it creates. If no
// file is missing, reading sessiontrack_migrations is enough. It waits at most ten seconds for each
// lock on a table, because everything else on that table waits behind it. Then it fails and may be
// called again. The only way back is a backup.
//
// It returns [ErrStoreFault] for a schema with another application's user_sessions, and for a first
// schema without the tables if a later schema of search_path has them.
func (s *BunStore) Migrate(ctx context.Context) error {
	return bunFailed("migrate", s.db.Migrate(ctx, migrations.FS, "postgres", bunTables))
}

// bunTables are the tables, with the rights that the store's role needs.
var bunTables = []postgres.Table{
	{
		Name: "user_sessions", Rights: "SELECT,INSERT,UPDATE,DELETE",
		Columns: []string{"session_id", "user_id", "secret_hash", "derived", "last_activity", "login_at", "logout_at",
			"end_reason"},
	},
	{Name: "user_presence", Rights: "SELECT,INSERT,UPDATE,DELETE"},
	{Name: "user_fences", Rights: "SELECT,INSERT,UPDATE,DELETE"},
	{Name: "session_leases", Rights: "SELECT,INSERT,UPDATE"},
	{Name: "session_audit", Rights: "SELECT,INSERT,UPDATE,DELETE"},
	{Name: "online_samples", Rights: "SELECT,INSERT,DELETE"},
	{Name: "session_minutes", Rights: "SELECT,INSERT,DELETE"},
	{Name: "session_quarters", Rights: "SELECT,INSERT,UPDATE,DELETE"},
}

// Check implements [Checker]: it names what is wrong with the server, its settings or the role's
// rights before the first login fails. It also logs a warning with the names of other roles that
// may write the tables, because a role that can insert a session can impersonate any user.
func (s *BunStore) Check(ctx context.Context) error {
	if err := s.db.Check(ctx, bunTables); err != nil {
		return bunFailed("check the database", err)
	}
	if err := s.db.CheckFunction(ctx, "sessiontrack_create"); err != nil {
		return bunFailed("check the database", err)
	}
	writers, err := s.db.OtherWriters(ctx, bunTables)
	if err != nil {
		return bunFailed("check the database", err)
	}
	if len(writers) > 0 {
		s.logger.LogAttrs(ctx, slog.LevelWarn, "sessiontrack: other roles may write sessions: "+
			"whoever inserts one can be anybody; revoke what they do not need", slog.Any("roles", writers))
	}
	return nil
}

// MaxConnections implements [Pooled] by the limit of the host's pool.
func (s *BunStore) MaxConnections() int { return s.db.Stats().MaxOpenConnections }

// maxJob bounds the name of a job, in bytes.
const maxJob = 64

// Lease implements [Leaser]. Of two concurrent callers the second waits for the first one's
// statement and then does not get the lease.
func (s *BunStore) Lease(ctx context.Context, job string, d time.Duration) (bool, error) {
	if job == "" || len(job) > maxJob || !text.Valid(job) {
		return false, fmt.Errorf("sessiontrack: lease: job has %d bytes: want 1 to %d without control characters", len(job),
			maxJob)
	}
	if err := notNegative("lease", span{"d", d}); err != nil {
		return false, err
	}
	mine, err := s.db.Lease(ctx, job, d)
	return mine, bunFailed("lease", err)
}

const (
	maxUserAgent  = 512  // bytes, as the schema has it
	maxHints      = 1024 // bytes
	maxColumnText = 255  // bytes of any other text
)

// sessionColumns are the columns of a Session. user_sessions must be called s.
const sessionColumns = `s.id, s.session_id, s.user_id, s.derived, s.ip_address, s.ip_source,
s.country_code, s.country, s.region, s.city, s.login_ip_address, s.login_ip_source,
s.user_agent, s.client_hints, s.device_type, s.device_source, s.device_ambiguous,
s.browser, s.browser_version, s.os, s.os_version, s.brand, s.model,
s.login_at, s.last_activity, s.expires_at, s.credential_until, s.logout_at, s.end_reason, s.ended_by,
s.client, s.tenant, s.acted_by, s.authenticated_at, s.methods, s.last_seen, s.idle_timeout, s.remember`

// bunRow is a row of user_sessions, with columns that some queries add. NULL is read as the zero
// value.
type bunRow struct {
	Serial     int64  `bun:"id"`
	ID         string `bun:"session_id"`
	UserID     string `bun:"user_id"`
	SecretHash []byte `bun:"secret_hash"`
	Derived    bool   `bun:"derived"`

	Address            string `bun:"ip_address"`
	AddressSource      string `bun:"ip_source"`
	CountryCode        string `bun:"country_code"`
	Country            string `bun:"country"`
	Region             string `bun:"region"`
	City               string `bun:"city"`
	LoginAddress       string `bun:"login_ip_address"`
	LoginAddressSource string `bun:"login_ip_source"`

	UserAgent       string `bun:"user_agent"`
	ClientHints     string `bun:"client_hints"`
	DeviceType      string `bun:"device_type"`
	DeviceSource    string `bun:"device_source"`
	DeviceAmbiguous bool   `bun:"device_ambiguous"`
	Browser         string `bun:"browser"`
	BrowserVersion  string `bun:"browser_version"`
	OS              string `bun:"os"`
	OSVersion       string `bun:"os_version"`
	Brand           string `bun:"brand"`
	Model           string `bun:"model"`

	LoginAt         time.Time `bun:"login_at"`
	LastActivity    time.Time `bun:"last_activity"`
	ExpiresAt       time.Time `bun:"expires_at"`
	CredentialUntil time.Time `bun:"credential_until"`
	LogoutAt        time.Time `bun:"logout_at"`
	EndReason       string    `bun:"end_reason"`
	EndedBy         string    `bun:"ended_by"`

	Client          string    `bun:"client"`
	Tenant          string    `bun:"tenant"`
	ActedBy         string    `bun:"acted_by"`
	AuthenticatedAt time.Time `bun:"authenticated_at"`
	Methods         string    `bun:"methods"` // words with spaces between
	LastSeen        time.Time `bun:"last_seen"`
	IdleTimeout     int64     `bun:"idle_timeout"` // microseconds; 0 for none of its own, -1 for never idle
	Remember        bool      `bun:"remember"`

	Now     time.Time `bun:"now"`     // the store's time
	Standby bool      `bun:"standby"` // the server is a standby and must not be used
	Seen    time.Time `bun:"seen"`    // the user's presence
	Counts  bool      `bun:"counts"`  // whether it counts towards a limit
}

// session returns the row's public part.
func (r *bunRow) session() Session {
	return Session{
		Serial: r.Serial, ID: SessionID(r.ID), UserID: r.UserID, Derived: r.Derived,
		Address: parseAddress(r.Address), AddressSource: r.AddressSource,
		Location:     Location{CountryCode: r.CountryCode, Country: r.Country, Region: r.Region, City: r.City},
		LoginAddress: parseAddress(r.LoginAddress), LoginAddressSource: r.LoginAddressSource,
		UserAgent: r.UserAgent, ClientHints: r.ClientHints, Device: r.device(),
		LoginAt: utc(r.LoginAt), LastActivity: utc(r.LastActivity), ExpiresAt: utc(r.ExpiresAt),
		CredentialUntil: utc(r.CredentialUntil), LogoutAt: utc(r.LogoutAt),
		EndReason: EndReason(r.EndReason), EndedBy: r.EndedBy,
		Client: r.Client, Tenant: r.Tenant, ActedBy: r.ActedBy, AuthenticatedAt: utc(r.AuthenticatedAt),
		Methods: methodsOf(r.Methods), LastSeen: latestOf(utc(r.LastSeen), utc(r.LastActivity)),
		IdleTimeout: idleOf(r.IdleTimeout), Remember: r.Remember,
	}
}

// idleColumn is a session's own idle limit as a column has it, in microseconds.
func idleColumn(d time.Duration) int64 {
	if d < 0 {
		return -1
	}
	return postgres.Micros(d)
}

// idleOf is the inverse of idleColumn.
func idleOf(us int64) time.Duration {
	if us < 0 {
		return -1
	}
	return time.Duration(us) * time.Microsecond
}

func (r *bunRow) device() Device {
	return Device{
		Type: DeviceType(r.DeviceType), Source: DeviceSource(r.DeviceSource), Ambiguous: r.DeviceAmbiguous,
		Browser: r.Browser, BrowserVersion: r.BrowserVersion, OS: r.OS, OSVersion: r.OSVersion,
		Brand: r.Brand, Model: r.Model,
	}
}

func (r *bunRow) record() Record {
	record := Record{Session: r.session()}
	copy(record.SecretHash[:], r.SecretHash)
	return record
}

func sessionsOf(rows []bunRow) []Session {
	sessions := make([]Session, len(rows))
	for i := range rows {
		sessions[i] = rows[i].session()
	}
	return sessions
}

// utc converts a time to UTC, because some drivers return local times. It keeps the zero time.
func utc(t time.Time) time.Time {
	if t.IsZero() {
		return time.Time{}
	}
	return t.UTC()
}

// columnTime clamps t to the range of a column: years 1970 to 9999.
func columnTime(t time.Time) time.Time {
	return time.UnixMicro(min(max(t.UnixMicro(), 0), maxMicros)).UTC()
}

// columnTimeOrNull returns nil (NULL) for the zero time.
func columnTimeOrNull(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = columnTime(t)
	return &t
}

// column makes a text fit a column. It removes what PostgreSQL refuses, and cuts a long text
// between two characters.
func column(s string, limit int) string {
	s = text.Storable(s)
	if len(s) <= limit {
		return s
	}
	for limit > 0 && !utf8.RuneStart(s[limit]) {
		limit--
	}
	return s[:limit]
}

func shortColumn[T ~string](s T) string { return column(string(s), maxColumnText) }

// addressColumn returns the text of an address, empty for no address.
func addressColumn(a netip.Addr) string {
	if !a.IsValid() {
		return ""
	}
	return shortColumn(a.String())
}

// parseAddress returns the zero Addr for anything but an address.
func parseAddress(s string) netip.Addr {
	a, _ := netip.ParseAddr(s)
	return a
}

// handles returns the canonical handles; others cannot belong to a session.
func handles(ids []SessionID) []string {
	valid := make([]string, 0, len(ids))
	for _, id := range ids {
		if _, ok := parseHandle(id); ok {
			valid = append(valid, string(id))
		}
	}
	return valid
}
