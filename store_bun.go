package sessiontrack

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"sync/atomic"
	"time"

	"github.com/sessiontrack/sessiontrack/internal/postgres"
	"github.com/sessiontrack/sessiontrack/internal/text"
	"github.com/sessiontrack/sessiontrack/migrations"
	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect"
)

const (
	// transactionTimeout bounds every transaction of ours from its beginning to
	// its COMMIT. The feed of ended sessions reads an overlap of 3 s anew, so an end
	// must be visible sooner than that after its stamp.
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

	// Schema is where the tables lie, and where [BunStore.Migrate] makes them, and the
	// schema itself if it is missing. 1 to 63 letters, digits and underscores, no digit
	// first; upper and lower case differ. Empty means where the role's search_path leads to.
	Schema string

	// Logger receives the warnings of [BunStore.Check]. Nil means [slog.Default].
	Logger *slog.Logger
}

// BunStore is a [Store] over the host's *bun.DB, on PostgreSQL 13 or later. It
// has every optional capability. Its tables are made by [BunStore.Migrate].
//
// It takes the host's pool as it is and closes nothing. With pgx under Bun, set
// default_query_exec_mode=exec: the default prepares every distinct statement
// text, and Bun writes arguments into the text.
//
// Every transaction runs in READ COMMITTED, whatever the host's default, and
// ends within two seconds or not at all. Rows are locked in one order, sessions
// before users, so that replicas do not deadlock. The clock is the database's.
type BunStore struct {
	db         postgres.DB
	touchBatch int
	logger     *slog.Logger

	swept atomic.Value // the user id, a string, at which the last sweep of presence stopped
}

// NewBunStore returns a store over db. It connects to nothing. It errs where the
// dialect is not PostgreSQL's: MySQL, for one, has no UPDATE … RETURNING, and
// through Bun that reads like an update that changed nothing.
func NewBunStore(db *bun.DB, opts *BunOptions) (*BunStore, error) {
	if db == nil {
		return nil, errors.New("sessiontrack: NewBunStore: db is nil")
	}
	if name := db.Dialect().Name(); name != dialect.PG {
		return nil, fmt.Errorf("sessiontrack: NewBunStore: dialect %q is not supported, want %q", name, dialect.PG)
	}
	o := BunOptions{}
	if opts != nil {
		o = *opts
	}
	o.TouchBatch, o.Logger = cmp.Or(o.TouchBatch, defaultTouchBatch), cmp.Or(o.Logger, slog.Default())
	if o.TouchBatch < 1 || o.TouchBatch > maxTouchBatch {
		return nil, fmt.Errorf("sessiontrack: NewBunStore: TouchBatch is %d, want 1 to %d", o.TouchBatch, maxTouchBatch)
	}
	if o.Schema != "" && !schemaName.MatchString(o.Schema) {
		return nil, fmt.Errorf("sessiontrack: NewBunStore: Schema is %q, "+
			"want 1 to 63 letters, digits and underscores, no digit first", o.Schema)
	}
	return &BunStore{db: postgres.New(db, o.Schema), touchBatch: o.TouchBatch, logger: o.Logger}, nil
}

// schemaName is narrower than what PostgreSQL allows, so that a name needs no care
// anywhere.
var schemaName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]{0,62}$`)

// bunFailed names the verb and keeps the sentinels and permanent faults apart from all else,
// which means that the call could not be carried out or that its outcome is unknown.
func bunFailed(verb string, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, sql.ErrNoRows):
		return wrapped(verb, ErrNotFound)
	case errors.Is(err, ErrExists), errors.Is(err, ErrLimit), errors.Is(err, ErrNotFound), errors.Is(err, ErrEnded):
		return wrapped(verb, err)
	}
	if postgres.IsFault(err) {
		return fmt.Errorf("sessiontrack: %s: %w: %w", verb, ErrStoreFault, err)
	}
	return unavailable(verb, err)
}

// Migrate brings the tables to the version of this library: it applies what is
// missing of package migrations, all in one transaction, and writes down what it
// applied in sessiontrack_migrations. It may run at every start and on several
// replicas at once: one works, the others wait and find nothing left to do. A
// database that is ahead, as during a rolling update, is left as it is.
//
// The tables are those of BunOptions.Schema or else of the first schema of search_path.
// Where something is to be applied, it needs the right to create tables and functions
// there, and owns what it makes; where nothing is, reading sessiontrack_migrations is
// enough. It waits at most ten seconds for each lock on a table, because everything else
// on that table waits behind it; then it errs, and may be called again. There is no way
// back but a backup.
//
// It refuses with [ErrStoreFault] a schema that has another user_sessions, and a first
// schema without the tables where a later one of search_path has them.
func (s *BunStore) Migrate(ctx context.Context) error {
	return bunFailed("migrate", s.db.Migrate(ctx, migrations.FS, "postgres", bunTables))
}

// bunTables are the tables, with the rights that the store's role needs.
var bunTables = []postgres.Table{
	{
		Name: "user_sessions", Rights: "SELECT,INSERT,UPDATE,DELETE",
		Columns: []string{"session_id", "user_id", "secret_hash", "derived", "last_activity", "login_at", "logout_at", "end_reason"},
	},
	{Name: "user_presence", Rights: "SELECT,INSERT,UPDATE,DELETE"},
	{Name: "user_fences", Rights: "SELECT,INSERT,UPDATE,DELETE"},
	{Name: "session_leases", Rights: "SELECT,INSERT,UPDATE"},
	{Name: "online_samples", Rights: "SELECT,INSERT,DELETE"},
	{Name: "session_minutes", Rights: "SELECT,INSERT,DELETE"},
	{Name: "session_quarters", Rights: "SELECT,INSERT,UPDATE,DELETE"},
}

// Check implements [Checker]: it names what of the server, its settings or the role's
// rights keeps the store from doing its work, before the first sign-in would. It also
// logs a warning with the names of other roles that may write the tables: who can insert
// a session can be anybody.
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

// maxJob bounds the name of a job, in bytes.
const maxJob = 64

// Lease implements [Leaser]. Of two callers at once the second waits for the first one's
// statement, and is told no.
func (s *BunStore) Lease(ctx context.Context, job string, d time.Duration) (bool, error) {
	if job == "" || len(job) > maxJob || !text.Valid(job) {
		return false, fmt.Errorf("sessiontrack: lease: job has %d bytes, want 1 to %d without control characters", len(job), maxJob)
	}
	if err := notNegative("lease", span{"d", d}); err != nil {
		return false, err
	}
	mine, err := s.db.Lease(ctx, job, d)
	return mine, bunFailed("lease", err)
}
