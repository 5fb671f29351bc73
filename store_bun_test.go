package sessiontrack

import (
	"context"
	"database/sql"
	"net/netip"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sessiontrack/sessiontrack/internal/pgtest"
	"github.com/sessiontrack/sessiontrack/internal/text"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect"
	"github.com/uptrace/bun/dialect/pgdialect"
	"github.com/uptrace/bun/schema"
)

// newBunStore returns a store over a fresh database.
func newBunStore(t testing.TB) *BunStore {
	t.Helper()
	s := bunStoreOver(t, pgtest.Open(t))
	require.NoError(t, s.Migrate(t.Context()))
	return s
}

// bunStoreOver returns a store over a pool, for tests that are not about time.
func bunStoreOver(t testing.TB, db *sql.DB) *BunStore {
	t.Helper()
	s, err := NewBunStore(bun.NewDB(db, pgdialect.New()), nil)
	require.NoError(t, err)
	s.db.Slack = busyMachine
	return s
}

// bunCreate adds a session of user and returns it.
func bunCreate(t testing.TB, s *BunStore, user string, change ...func(*NewSession)) Session {
	t.Helper()
	n := NewSession{Session: Session{ID: newHandle().id(), UserID: user}}
	for _, f := range change {
		f(&n)
	}
	var created CreateResult
	err := patiently(func() (err error) { created, err = s.Create(t.Context(), n); return err })
	require.NoError(t, err)
	return created.Session
}

// fill inserts sessions of users by SQL: session i belongs to user i modulo
// users, began i seconds ago and was last active as long ago. Every third one has
// ended. It returns the live handles.
func fill(t testing.TB, s *BunStore, sessions, users int) []SessionID {
	t.Helper()
	ids := load(t, s, sessions, users)
	_, err := s.db.ExecContext(t.Context(), "VACUUM ANALYZE user_sessions, user_presence")
	require.NoError(t, err)
	return ids
}

// load is fill without statistics, as after a restore.
func load(t testing.TB, s *BunStore, sessions, users int) []SessionID {
	t.Helper()
	_, err := s.db.ExecContext(t.Context(), `
		INSERT INTO user_sessions (session_id, user_id, device_type, ip_address, login_at, last_activity,
			created_at, updated_at, expires_at, logout_at, end_reason)
		SELECT translate(rtrim(encode(substring(sha256(i::text::bytea) FOR 16), 'base64'), '='), '+/', '-_'),
			'user' || i % ?1, (ARRAY['desktop', 'mobile', 'tablet', 'tv'])[1 + i % 4], '192.0.' || i % 200 || '.' || i % 201,
			at, at, at, at, at + interval '30 days', CASE WHEN i % 3 = 0 THEN at + interval '1 second' END,
			CASE WHEN i % 3 = 0 THEN 'logout' END
		FROM generate_series(1, ?0) AS i, LATERAL (SELECT now() - (i + 2) * interval '1 second') AS l(at)`, sessions, users)
	require.NoError(t, err)
	_, err = s.db.ExecContext(t.Context(), `INSERT INTO user_presence SELECT user_id, max(last_activity)
		FROM user_sessions WHERE logout_at IS NULL GROUP BY user_id`)
	require.NoError(t, err)
	var ids []SessionID
	require.NoError(t, s.db.NewRaw(
		"SELECT session_id FROM user_sessions WHERE logout_at IS NULL ORDER BY id").Scan(t.Context(), &ids))
	return ids
}

// statements counts what a store sends, as a Bun query hook sees it.
type statements struct {
	mu    sync.Mutex
	texts []string
}

func (h *statements) BeforeQuery(ctx context.Context, e *bun.QueryEvent) context.Context {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.texts = append(h.texts, e.Query)
	return ctx
}

func (h *statements) AfterQuery(context.Context, *bun.QueryEvent) {}

// take returns the statements since the last take.
func (h *statements) take() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	texts := h.texts
	h.texts = nil
	return texts
}

// watch makes s report its statements from now on.
func watch(s *BunStore) *statements {
	hook := &statements{}
	s.db.DB = s.db.WithQueryHook(hook)
	return hook
}

// otherDialect is PostgreSQL's under another name.
type otherDialect struct {
	schema.Dialect
	name dialect.Name
}

func (d otherDialect) Name() dialect.Name { return d.name }

func TestNewBunStoreRefusesWhatCannotWork(t *testing.T) {
	t.Parallel()
	pool := sql.OpenDB(nil)
	over := func(name dialect.Name) *bun.DB {
		return bun.NewDB(pool, otherDialect{pgdialect.New(), name}, bun.WithDiscardUnknownColumns())
	}
	for name, test := range map[string]struct {
		db   *bun.DB
		opts *BunOptions
		want string
	}{
		"no database": {nil, nil, "db is nil"},
		"MySQL":       {over(dialect.MySQL), nil, `dialect is "mysql": want "pg"`},
		"SQLite":      {over(dialect.SQLite), nil, `dialect is "sqlite": want "pg"`},
		"negative":    {over(dialect.PG), &BunOptions{TouchBatch: -1}, "TouchBatch is -1: want 1 to 10000"},
		"too large":   {over(dialect.PG), &BunOptions{TouchBatch: 10_001}, "TouchBatch is 10001"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := NewBunStore(test.db, test.opts)
			require.ErrorContains(t, err, test.want)
		})
	}
}

const hostile = "a\x00b\xff'\"\\;-- $$ {}, ?0 \u202e\u0085é"

// TestBunStoreKeepsHostileTextFromSpoilingABatch gives every text field what
// PostgreSQL or Bun would choke on: the value is cleaned, its neighbours are
// written, and nothing of it reaches SQL.
func TestBunStoreKeepsHostileTextFromSpoilingABatch(t *testing.T) {
	t.Parallel()
	s, ctx := newBunStore(t), t.Context()
	user := `o'neil" \ ;-- ?0 {x} $1`
	device := Device{Type: hostile, Browser: hostile, OS: hostile, Model: hostile, Source: hostile}
	row := bunCreate(t, s, user, func(n *NewSession) {
		n.Session.UserAgent = hostile + strings.Repeat("é", 600)
		n.Session.ClientHints, n.Session.AddressSource, n.Session.Device = hostile, hostile, device
		n.Session.Location = Location{City: hostile}
		n.Session.Address = netip.MustParseAddr("fe80::1%" + "eth'0")
	})
	assert.Equal(t, user, row.UserID)
	assert.LessOrEqual(t, len(row.UserAgent), maxUserAgent)
	assert.Equal(t, text.Storable(hostile), row.Location.City)
	assert.Equal(t, netip.MustParseAddr("fe80::1%eth'0"), row.Address)

	neighbour := bunCreate(t, s, "2")
	alive, err := s.Touch(ctx, []TouchRecord{
		{ID: hostile, At: time.Now()}, {ID: neighbour.ID, At: time.Date(300_000, 1, 1, 0, 0, 0, 0, time.UTC)},
		{ID: row.ID, At: time.Time{}}, {ID: SessionID(strings.Repeat("\x00", 22)), At: time.Now()},
	}, 0)
	require.NoError(t, err)
	assert.ElementsMatch(t, []SessionID{neighbour.ID, row.ID}, alive)

	require.NoError(t, s.Describe(ctx, []SessionUpdate{
		{ID: hostile, Device: &device},
		{ID: row.ID, Device: &device, Network: &ClientNetwork{Source: hostile}, CredentialUntil: time.Date(300_000, 1, 1, 0,
			0, 0, 0, time.UTC)},
		{ID: neighbour.ID, Device: &Device{Type: DeviceTV}},
	}))
	described, err := s.Get(ctx, neighbour.ID)
	require.NoError(t, err)
	assert.Equal(t, DeviceTV, described.Device.Type)

	for _, q := range []Query{
		{UserID: hostile, Limit: 1}, {Filter: Filter{Browser: "%'"}, Limit: 1},
		{After: Cursor{At: time.Now(), UserID: hostile}, Limit: 1}, {UserID: user, Limit: 1},
	} {
		_, err := s.List(ctx, q)
		require.NoError(t, err, "%+v", q)
	}
	_, err = s.ListOnline(ctx, OnlineQuery{Window: time.Minute, Limit: 1, After: Cursor{At: time.Now(), UserID: hostile}})
	require.NoError(t, err)
	_, err = s.Get(ctx, hostile)
	require.ErrorIs(t, err, ErrNotFound)
	for _, sel := range []Selector{IDs(hostile), User(hostile), User(user).Except(hostile)} {
		_, err := s.End(ctx, sel, Ending{Reason: ReasonAdmin})
		require.NoError(t, err)
	}
}

// TestBunStoreFailuresAreUnavailableOrFaults: an outage, a missing table or a missing
// right says nothing about a session, so it never reads as "not found".
func TestBunStoreFailuresAreUnavailableOrFaults(t *testing.T) {
	t.Parallel()
	noTables := bunStoreOver(t, pgtest.Open(t))
	noServer := bunStoreOver(t, pgtest.OpenDSN(t, "postgres://x@127.0.0.1:1/x?sslmode=disable&connect_timeout=2"))
	readOnly := newBunStore(t)
	var database string
	require.NoError(t, readOnly.db.NewRaw("SELECT current_database()").Scan(t.Context(), &database))
	_, err := readOnly.db.ExecContext(t.Context(), "ALTER DATABASE "+database+" SET default_transaction_read_only = on")
	require.NoError(t, err)
	readOnly.db.SetMaxIdleConns(0) // connections from now on
	over, cancel := context.WithCancel(t.Context())
	cancel()

	for name, test := range map[string]struct {
		s     *BunStore
		ctx   context.Context
		reads bool
		kind  error
	}{
		"no tables":   {noTables, t.Context(), true, ErrStoreFault},
		"no server":   {noServer, t.Context(), true, ErrUnavailable},
		"read only":   {readOnly, t.Context(), false, ErrUnavailable},
		"ctx is over": {newBunStore(t), over, true, ErrUnavailable},
	} {
		t.Run(name, func(t *testing.T) {
			for call, err := range callAll(test.ctx, test.s, test.reads) {
				assert.ErrorIs(t, err, test.kind, call)
				assert.NotErrorIs(t, err, ErrNotFound, call)
			}
		})
	}
}

// callAll calls every method and returns its errors.
func callAll(ctx context.Context, s *BunStore, reads bool) map[string]error {
	id, stats := newHandle().id(), StatsQuery{Windows: [3]time.Duration{1, 2, 3}}
	errs := make(map[string]error)
	_, errs["create"] = s.Create(ctx, NewSession{Session: Session{ID: id, UserID: "1"}})
	_, errs["touch"] = s.Touch(ctx, []TouchRecord{{ID: id, At: time.Now()}}, 0)
	errs["describe"] = s.Describe(ctx, []SessionUpdate{{ID: id, Device: &Device{}}})
	_, errs["end"] = s.End(ctx, IDs(id), Ending{Reason: ReasonAdmin})
	_, errs["purge"] = s.Purge(ctx, PurgeOptions{Limit: 1})
	_, _, errs["sample"] = s.Sample(ctx, stats)
	if reads {
		_, errs["get"] = s.Get(ctx, id)
		_, errs["list"] = s.List(ctx, Query{Limit: 1})
		_, errs["ended since"] = s.EndedSince(ctx, time.Now(), 1)
		_, _, errs["count online"] = s.CountOnline(ctx, []time.Duration{1})
		_, errs["list online"] = s.ListOnline(ctx, OnlineQuery{Window: 1, Limit: 1})
		_, errs["count stats"] = s.CountStats(ctx, stats)
	}
	return errs
}

// TestBunStoreKeepsNoSecret dumps the database and looks for every secret that
// was issued, in the spellings that a dump could have.
func TestBunStoreKeepsNoSecret(t *testing.T) {
	t.Parallel()
	dump, err := exec.LookPath("pg_dump")
	dsn := pgtest.DSN(t)
	s := bunStoreOver(t, pgtest.OpenDSN(t, dsn))
	require.NoError(t, s.Migrate(t.Context()))
	var tokens []Token
	for range 5 {
		token := newToken()
		tokens = append(tokens, token)
		bunCreate(t, s, "1", func(n *NewSession) { n.Session.ID, n.SecretHash = token.ID(), token.hash() })
	}
	var text []byte
	if err == nil {
		text, err = exec.CommandContext(t.Context(), dump, "--dbname", dsn).Output()
		require.NoError(t, err)
	} else { // the same, row by row, where there is no client to dump with
		require.NoError(t, s.db.NewRaw("SELECT string_agg(s::text, ' ') FROM user_sessions AS s").Scan(t.Context(), &text))
	}
	for _, token := range tokens {
		assert.Contains(t, string(text), string(token.ID()), "the dump must hold the rows")
		secret := token.Reveal()[idChars+1:]
		assert.NotContains(t, string(text), secret)
		assert.NotContains(t, string(text), hexOf((*token.hidden)[:]))
		record, err := s.Get(t.Context(), token.ID())
		require.NoError(t, err)
		assert.Equal(t, token.hash(), record.SecretHash)
	}
}

func hexOf(b []byte) string {
	const digits = "0123456789abcdef"
	var text strings.Builder
	for _, c := range b {
		text.WriteByte(digits[c>>4])
		text.WriteByte(digits[c&15])
	}
	return text.String()
}

// parallel runs f n times at once and waits.
func parallel(n int, f func(i int)) {
	var wait sync.WaitGroup
	start := make(chan struct{})
	for i := range n {
		wait.Go(func() { <-start; f(i) })
	}
	close(start)
	wait.Wait()
}

// TestBunStoreLimitIsExact logs in at once, from three replicas, over a limit,
// while a sampler looks at every snapshot it can get.
func TestBunStoreLimitIsExact(t *testing.T) {
	t.Parallel()
	dsn := pgtest.DSN(t)
	var replicas [3]*BunStore
	for i := range replicas {
		replicas[i] = bunStoreOver(t, pgtest.OpenDSN(t, dsn))
	}
	require.NoError(t, replicas[0].Migrate(t.Context()))
	for name, test := range map[string]struct {
		policy LimitPolicy
		limit  int
	}{"deny 1": {DenyNew, 1}, "deny 3": {DenyNew, 3}, "oldest 1": {EndOldest, 1}, "oldest 2": {EndOldest, 2}} {
		t.Run(name, func(t *testing.T) {
			const logins = 12
			var denied, ended atomic.Int64
			stop, most := sampleMost(t, replicas[0], name)
			parallel(logins, func(i int) {
				n := NewSession{Session: Session{ID: newHandle().id(), UserID: name}, Limit: test.limit, Policy: test.policy}
				var c CreateResult
				err := patiently(func() (err error) { c, err = replicas[i%3].Create(t.Context(), n); return err })
				if err != nil {
					assert.ErrorIs(t, err, ErrLimit)
					denied.Add(1)
				}
				ended.Add(int64(len(c.Ended)))
			})
			stop()
			page, err := replicas[0].List(t.Context(), Query{UserID: name, Live: true, Limit: 100})
			require.NoError(t, err)
			assert.Len(t, page.Sessions, test.limit)
			assert.Equal(t, test.limit, *most, "no snapshot may show more, and one shows as many")
			assert.EqualValues(t, logins-test.limit, denied.Load()+ended.Load())
		})
	}
}

// sampleMost counts a user's live sessions in a loop until stop, and once more.
func sampleMost(t *testing.T, s *BunStore, user string) (stop func(), most *int) {
	t.Helper()
	most = new(int)
	done, finished := make(chan struct{}), make(chan struct{})
	count := func() {
		var n int
		err := s.db.NewRaw("SELECT count(*) FROM user_sessions WHERE user_id = ? AND logout_at IS NULL",
			user).Scan(t.Context(), &n)
		assert.NoError(t, err)
		*most = max(*most, n)
	}
	go func() {
		defer close(finished)
		for {
			select {
			case <-done:
				count()
				return
			default:
				count()
			}
		}
	}()
	return func() { close(done); <-finished }, most
}
