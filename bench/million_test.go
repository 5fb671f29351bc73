package bench

import (
	"context"
	"database/sql"
	"flag"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect/pgdialect"

	"github.com/sessiontrack/sessiontrack"
	"github.com/sessiontrack/sessiontrack/internal/pgtest"
)

var sessionCount = flag.Int("sessions", 1_000_000, "sessions of the database with -long; three users in ten sessions")

const (
	fillBatch  = 50_000
	flushBatch = 50_000
	flushes    = 10
	day        = 24 * time.Hour
)

// filled is a database with many sessions.
type filled struct {
	db    *bun.DB
	store *sessiontrack.BunStore
	ids   []sessiontrack.SessionID
}

// say prints a line in the long form.
func say(format string, args ...any) {
	if *long {
		fmt.Printf(format+"\n", args...)
	}
}

func storeOver(t testing.TB, db *bun.DB) *sessiontrack.BunStore {
	t.Helper()
	store, err := sessiontrack.NewBunStore(db, nil)
	require.NoError(t, err)
	return store
}

// openDatabase returns a database on a durable private server if it can start one, so that a single
// commit costs what it costs in production.
func openDatabase(t *testing.T) *sql.DB {
	if !*long || os.Getenv(pgtest.EnvDSN) != "" {
		return pgtest.Open(t)
	}
	return pgtest.NewCluster(t, "fsync=on", "synchronous_commit=on", "shared_buffers=256MB", "max_wal_size=4GB").Open()
}

// fillDatabase creates live sessions whose latest activity is spread over two hours, and their
// users' presence. It prints its progress.
func fillDatabase(t *testing.T, sessions int) *filled {
	t.Helper()
	f := &filled{db: bun.NewDB(openDatabase(t), pgdialect.New())}
	f.store = storeOver(t, f.db)
	require.NoError(t, f.store.Migrate(t.Context()))
	began := time.Now()
	for first := 1; first <= sessions; first += fillBatch {
		last := min(first+fillBatch-1, sessions)
		f.exec(t, `INSERT INTO user_sessions (session_id, user_id, user_agent, device_type, device_source, ip_address,
				login_at, last_activity,
				created_at, updated_at, expires_at)
			SELECT translate(rtrim(encode(substring(sha256(i::text::bytea) FOR 16), 'base64'), '='), '+/', '-_'),
				'user' || 1 + (i * 7919::bigint) % ?2, 'Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/' || i % 140,
				(ARRAY['desktop', 'mobile', 'tablet', 'tv'])[1 + i % 4], 'user_agent', '192.0.' || i / 250 % 250 || '.' || i % 250,
				at - interval '1 hour', at, at, at, at + interval '30 days'
			FROM generate_series(?0, ?1) AS i,
				LATERAL (SELECT now() - random() * interval '2 hours' + i * interval '0') AS l(at)`,
			first, last, max(1, sessions*3/10))
		say("  filled %d of %d sessions, %v", last, sessions, time.Since(began).Round(time.Second))
	}
	f.exec(t, "INSERT INTO user_presence SELECT user_id, max(last_activity) FROM user_sessions GROUP BY user_id")
	f.exec(t, "VACUUM ANALYZE user_sessions, user_presence")
	require.NoError(t, f.db.NewRaw("SELECT session_id FROM user_sessions ORDER BY id").Scan(t.Context(), &f.ids))
	say("  %d sessions of %d users, %s", len(f.ids), f.number(t, "SELECT count(*) FROM user_presence"),
		f.text(t, "SELECT pg_size_pretty(pg_total_relation_size('user_sessions'))"))
	return f
}

func (f *filled) exec(t testing.TB, statement string, args ...any) {
	t.Helper()
	_, err := f.db.ExecContext(t.Context(), statement, args...)
	require.NoError(t, err)
}

func (f *filled) number(t testing.TB, query string) (n int64) {
	t.Helper()
	require.NoError(t, f.db.NewRaw(query).Scan(t.Context(), &n))
	return n
}

func (f *filled) text(t testing.TB, query string) (s string) {
	t.Helper()
	require.NoError(t, f.db.NewRaw(query).Scan(t.Context(), &s))
	return s
}

// TestMillion tests a million sessions: goals 6 and 7, the plans of the handlers, and cleanup and
// purge beside live traffic.
func TestMillion(t *testing.T) {
	beside(t)
	sessions := 5_000
	if *long {
		sessions = *sessionCount
	}
	say("\n%d sessions on PostgreSQL (-sessions)", sessions)
	f := fillDatabase(t, sessions)
	for _, part := range []struct {
		name string
		run  func(*testing.T, *filled)
	}{
		{"flush", testFlush}, {"overlap", testOverlap}, {"online", testOnline}, {"plans", testPlans},
		{"cleanup", testCleanup},
	} {
		t.Run(part.name, func(t *testing.T) { part.run(t, f) })
	}
}

// sample returns touches of n random sessions with the present time.
func (f *filled) sample(n int) []sessiontrack.TouchRecord {
	touches := make([]sessiontrack.TouchRecord, 0, n)
	for _, i := range rand.Perm(len(f.ids))[:n] {
		// a Tracker also sends the serial
		touches = append(touches, sessiontrack.TouchRecord{ID: f.ids[i], At: time.Now(), Serial: int64(i + 1)})
	}
	return touches
}

// testFlush tests goal 6. It switches full-page images off if it may, because they depend on
// checkpoints and not on the writes. It also switches vacuum off, whose log records would count. So
// only the flushes themselves keep the table from growing.
func testFlush(t *testing.T, f *filled) {
	f.exec(t, "ALTER TABLE user_sessions SET (autovacuum_enabled = off)")
	defer f.exec(t, "ALTER TABLE user_sessions RESET (autovacuum_enabled)")
	_, imagesErr := f.db.ExecContext(t.Context(), "ALTER SYSTEM SET full_page_writes = off")
	if imagesErr == nil {
		f.exec(t, "SELECT pg_reload_conf()")
		f.exec(t, "CHECKPOINT") // makes the checkpointer process read the new setting
		defer func() { f.exec(t, "ALTER SYSTEM RESET full_page_writes"); f.exec(t, "SELECT pg_reload_conf()") }()
	}
	batch := min(flushBatch, len(f.ids)/20)
	const (
		wal     = "SELECT (pg_current_wal_insert_lsn() - '0/0')::bigint"
		size    = "SELECT pg_relation_size('user_sessions')"
		updated = "SELECT pg_stat_get_tuples_updated('user_sessions'::regclass)"
		hot     = "SELECT pg_stat_get_tuples_hot_updated('user_sessions'::regclass)"
	)
	walBefore, sizeBefore, updatedBefore, hotBefore := f.number(t, wal), f.number(t, size), f.number(t, updated),
		f.number(t, hot)
	took := time.Duration(0)
	for range flushes {
		touches := f.sample(batch)
		began := time.Now()
		alive := f.flush(t, touches, day) // presence does not move: its cost is measured separately
		took += time.Since(began)
		require.Equal(t, batch, alive)
	}
	rows := int64(flushes * batch)
	walRow := float64(f.number(t, wal)-walBefore) / float64(rows)
	growth := 100 * float64(f.number(t, size)-sizeBefore) / float64(sizeBefore)
	require.Eventually(t, func() bool { return f.number(t, updated)-updatedBefore >= rows }, time.Minute,
		100*time.Millisecond)
	hotShare := 100 * float64(f.number(t, hot)-hotBefore) / float64(f.number(t, updated)-updatedBefore)
	rate := float64(rows) / took.Seconds()

	walBefore = f.number(t, wal)
	f.flush(t, f.sample(batch), time.Millisecond)
	withPresence := float64(f.number(t, wal)-walBefore) / float64(batch)

	single := f.singleUpdates(t, min(1000, batch))
	say("\ngoal 6: %d flushes of %d touches\n  %.0f rows/s, %.0f single UPDATEs/s: %.0f times\n  HOT %.1f %%, %.0f "+
		"bytes of WAL a row (%.0f when every user's presence moves too), growth %.1f %%",
		flushes, batch, rate, single, rate/single, hotShare, walRow, withPresence, growth)
	if imagesErr != nil {
		say("  full-page images are among the bytes: %v", imagesErr)
	}
	assert.GreaterOrEqual(t, hotShare, 95.0, "HOT")
	if *long {
		assert.LessOrEqual(t, growth, 5.0, "growth")
		if batch == flushBatch { // in a smaller batch the fixed cost of a call weighs more
			atLeast("against single UPDATEs", rate/single, 10)
		}
		if imagesErr == nil {
			assert.LessOrEqual(t, walRow, 200.0, "WAL")
		}
	}
}

// flush writes touches and returns how many sessions are alive. Like a Tracker it repeats a flush
// that failed because the machine was busy.
func (f *filled) flush(t *testing.T, touches []sessiontrack.TouchRecord, step time.Duration) int {
	for try := 1; ; try++ {
		alive, err := f.store.Touch(t.Context(), touches, step)
		if err == nil {
			return len(alive)
		}
		say("  a flush is tried again: %v", err)
		if !assert.Less(t, try, 5) {
			return 0
		}
	}
}

// singleUpdates returns how many touches per second a replica writes with one UPDATE each.
func (f *filled) singleUpdates(t *testing.T, n int) float64 {
	began := time.Now()
	for _, touch := range f.sample(n) {
		f.exec(t, "UPDATE user_sessions SET last_activity = now() WHERE session_id = ?", string(touch.ID))
	}
	return float64(n) / time.Since(began).Seconds()
}

// testOverlap makes two replicas write the same sessions, each in its own order.
func testOverlap(t *testing.T, f *filled) {
	const deadlocks = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
	before := f.number(t, deadlocks)
	touches := f.sample(min(5000, len(f.ids)/2))
	began := time.Now()
	var wait sync.WaitGroup
	for range 2 {
		wait.Go(func() {
			for range 20 {
				mine := slices.Clone(touches)
				rand.Shuffle(len(mine), func(i, j int) { mine[i], mine[j] = mine[j], mine[i] })
				for batch := range slices.Chunk(mine, 1000) {
					f.flush(t, batch, 0)
				}
			}
		})
	}
	wait.Wait()
	say("  40 flushes of the same %d sessions by 2 replicas: %v, no deadlock", len(touches),
		time.Since(began).Round(time.Millisecond))
	assert.Equal(t, before, f.number(t, deadlocks))
}

// typical returns the median duration of f.
func typical(t *testing.T, n int, f func() error) time.Duration {
	t.Helper()
	took := make([]time.Duration, n)
	for i := range took {
		began := time.Now()
		require.NoError(t, f())
		took[i] = time.Since(began)
	}
	slices.Sort(took)
	return took[n/2]
}

// testOnline tests goal 7.
func testOnline(t *testing.T, f *filled) {
	ctx, n := t.Context(), 11
	scan := func(query string) func() error {
		return func() error {
			rows, err := f.db.QueryContext(ctx, query)
			if err != nil {
				return err
			}
			defer rows.Close()
			for rows.Next() {
			}
			return rows.Err()
		}
	}
	f.exec(t, "VACUUM ANALYZE user_sessions, user_presence")
	counted := typical(t, n, func() error {
		_, _, err := f.store.CountOnline(ctx, []time.Duration{15 * time.Minute})
		return err
	})
	distinct := typical(t, 5, scan(
		"SELECT count(DISTINCT user_id) FROM user_sessions WHERE logout_at IS NULL AND last_activity > now() - interval "+
			"'15 minutes'"))

	const limit = 50
	pages := min(1000, len(f.ids)*3/10/limit)
	page := func(after sessiontrack.Cursor) (next sessiontrack.Cursor, err error) {
		got, err := f.store.ListOnline(ctx, sessiontrack.OnlineQuery{Window: day, Limit: limit, After: after})
		return got.Next, err
	}
	var last, cursor sessiontrack.Cursor
	for range pages - 1 {
		var err error
		cursor, err = page(cursor)
		require.NoError(t, err)
		require.False(t, cursor.IsZero(), "there must be %d pages", pages)
	}
	last = cursor
	first := typical(t, n, func() error { _, err := page(sessiontrack.Cursor{}); return err })
	thousandth := typical(t, n, func() error { _, err := page(last); return err })
	offset := typical(t, 3, scan(fmt.Sprintf(`SELECT user_id, max(last_activity), count(*) FROM user_sessions
		WHERE logout_at IS NULL AND last_activity > now() - interval '1 day' GROUP BY user_id
		ORDER BY 2 DESC, 1 LIMIT %d OFFSET %d`, limit, limit*(pages-1))))
	say("\ngoal 7: online users\n  count %v, count(distinct) %v; page 1 %v, page %d %v; aggregate and OFFSET %v",
		counted, distinct, first, pages, thousandth, offset)
	atLeast("count(distinct) against the count", float64(distinct)/float64(counted), 5)
	atMost("page 1,000 against page 1", float64(thousandth)/float64(first), 2)
	atLeast("aggregate and OFFSET against page 1,000", float64(offset)/float64(thousandth), 50)
}

// recorder records the statements that a store sends.
type recorder struct {
	mu   sync.Mutex
	sent []string
}

func (r *recorder) BeforeQuery(ctx context.Context, e *bun.QueryEvent) context.Context {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.sent = append(r.sent, e.Query)
	return ctx
}

func (r *recorder) AfterQuery(context.Context, *bun.QueryEvent) {}

func (r *recorder) take() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	sent := r.sent
	r.sent = nil
	return sent
}

// explainable reports whether a statement has a plan.
func explainable(statement string) bool {
	for _, verb := range []string{"SELECT", "WITH", "INSERT", "UPDATE", "DELETE"} {
		if strings.HasPrefix(statement, verb) {
			return true
		}
	}
	return false
}

var discard = slog.New(slog.DiscardHandler)
