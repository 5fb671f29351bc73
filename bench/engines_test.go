package bench

import (
	"crypto/rand"
	"database/sql"
	"encoding/base64"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sessiontrack/sessiontrack"
	"github.com/sessiontrack/sessiontrack/sqlite"
)

var otherStore = flag.String("store", "", "with sqlite: SQLite beside PostgreSQL in one run")

// beside skips a test of PostgreSQL alone where two engines are compared.
func beside(t *testing.T) {
	t.Helper()
	if *otherStore != "" {
		t.Skip("-store compares two engines instead")
	}
}

// engine is a store with many sessions.
type engine struct {
	name  string
	store measured
	ids   []sessiontrack.SessionID
	rows  []string // of the table, as TestEngines prints them
}

// measured is what is compared of a store.
type measured interface {
	sessiontrack.Store
	sessiontrack.OnlineReader
}

// callers is how many goroutines sign in and read at the same time.
const callers = 8

// figures are what is measured, in the order of the table. Those that change the sessions for good
// come last.
var figures = []struct {
	name string
	take func(t *testing.T, e *engine) string
}{
	{"touches in batches, rows/s", touches},
	{"sign-ins, durable, 8 at once, /s", signIns},
	{"reads of a session, 8 at once, /s", reads},
	{"online users in three windows", counts},
	{"first page of online users", func(t *testing.T, e *engine) string { return pageAt(t, e, 0) }},
	{"page 100", func(t *testing.T, e *engine) string { return pageAt(t, e, 99) }},
	{"first page of sessions", sessionsPage},
	{"ends by a cleanup's walk, /s", cleanup},
	{"purge of ended sessions, /s", purge},
}

// TestEngines compares the stores on the same sessions. Figures are printed; what the two answer must
// be equal.
func TestEngines(t *testing.T) {
	sessions := 2_000
	switch {
	case *long && *otherStore == "":
		t.Skip("-store sqlite compares it with PostgreSQL")
	case *otherStore != "" && *otherStore != "sqlite":
		t.Fatalf("-store is %q: want sqlite", *otherStore)
	case *long:
		sessions = *sessionCount
	}
	say("\n%d sessions on PostgreSQL and on SQLite (-sessions)", sessions)
	filled := fillDatabase(t, sessions)
	postgres := &engine{name: "PostgreSQL", store: filled.store, ids: filled.ids}
	file := fillFile(t, filled.ids)
	for _, figure := range figures {
		for _, e := range []*engine{postgres, file} {
			e.rows = append(e.rows, figure.take(t, e))
		}
	}
	table := tabwriter.NewWriter(os.Stdout, 2, 0, 2, ' ', tabwriter.AlignRight)
	if *long {
		fmt.Fprintf(table, "\t%s\t%s\t\n", postgres.name, file.name)
		for i, figure := range figures {
			fmt.Fprintf(table, "%s\t%s\t%s\t\n", figure.name, postgres.rows[i], file.rows[i])
		}
	}
	require.NoError(t, table.Flush())
}

// fillFile returns the sessions of fillDatabase in a SQLite file.
func fillFile(t *testing.T, ids []sessiontrack.SessionID) *engine {
	t.Helper()
	path := filepath.Join(t.TempDir(), "sessions.db")
	store, err := sqlite.Open(path, &sqlite.Options{BusyTimeout: time.Minute})
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, store.Close()) })
	require.NoError(t, store.Migrate(t.Context()))
	db, err := sql.Open("sqlite3", "file:"+path+"?_pragma=busy_timeout(60000)")
	require.NoError(t, err)
	defer func() { require.NoError(t, db.Close()) }()
	execute := func(statement string, args ...any) {
		_, err := db.ExecContext(t.Context(), statement, args...)
		require.NoError(t, err)
	}
	began := time.Now()
	for first := 0; first < len(ids); first += fillBatch {
		last := min(first+fillBatch, len(ids))
		batch, err := json.Marshal(ids[first:last])
		require.NoError(t, err)
		execute(`INSERT INTO user_sessions (session_id, user_id, user_agent, device_type, device_source, ip_address,
				login_at, last_activity, expires_at)
			SELECT id, 'user' || (1 + i * 7919 % ?3), 'Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/' || i % 140,
				CASE i % 4 WHEN 3 THEN 'desktop' WHEN 0 THEN 'mobile' WHEN 1 THEN 'tablet' ELSE 'tv' END, 'user_agent',
				'192.0.' || i / 250 % 250 || '.' || i % 250, at - 3600000000, at, at + 2592000000000
			FROM (SELECT value AS id, key + ?2 AS i, ?4 - abs(random() % 7200000000) AS at FROM json_each(?1))`,
			string(batch), first+1, max(1, len(ids)*3/10), time.Now().UnixMicro())
		say("  filled %d of %d sessions, %v", last, len(ids), time.Since(began).Round(time.Second))
	}
	execute("INSERT INTO user_presence SELECT user_id, max(last_activity) FROM user_sessions GROUP BY user_id")
	execute("PRAGMA wal_checkpoint(TRUNCATE)")
	stat, err := os.Stat(path)
	require.NoError(t, err)
	say("  %d sessions, %d MB", len(ids), stat.Size()>>20)
	return &engine{name: "SQLite", store: store, ids: ids}
}

// aSecond formats a number a second.
func aSecond(n int, took time.Duration) string { return fmt.Sprintf("%.0f", float64(n)/took.Seconds()) }

func touches(t *testing.T, e *engine) string {
	batch := min(flushBatch, len(e.ids)/20)
	f := filled{ids: e.ids}
	took := time.Duration(0)
	for range flushes {
		sample := f.sample(batch)
		began := time.Now()
		alive, err := e.store.Touch(t.Context(), sample, day)
		took += time.Since(began)
		require.NoError(t, err)
		require.Len(t, alive, batch)
	}
	return aSecond(flushes*batch, took)
}

// atOnce calls f n times from several goroutines, and returns the calls a second.
func atOnce(t *testing.T, n int, f func(i int) error) string {
	t.Helper()
	var next atomic.Int64
	var group sync.WaitGroup
	began := time.Now()
	for range callers {
		group.Go(func() {
			for i := int(next.Add(1)); i <= n; i = int(next.Add(1)) {
				if !assert.NoError(t, f(i)) {
					return
				}
			}
		})
	}
	group.Wait()
	return aSecond(n, time.Since(began))
}

func signIns(t *testing.T, e *engine) string {
	return atOnce(t, min(5_000, len(e.ids)/10), func(i int) error {
		var handle [16]byte
		_, _ = rand.Read(handle[:]) // never fails
		id := sessiontrack.SessionID(base64.RawURLEncoding.EncodeToString(handle[:]))
		_, err := e.store.Create(t.Context(), sessiontrack.NewSession{
			Session: sessiontrack.Session{ID: id, UserID: fmt.Sprint("new", i)}, SecretHash: [32]byte{1}, Limit: 5,
		})
		return err
	})
}

func reads(t *testing.T, e *engine) string {
	return atOnce(t, min(50_000, len(e.ids)), func(i int) error {
		_, err := e.store.Get(t.Context(), e.ids[i*7919%len(e.ids)])
		return err
	})
}

func counts(t *testing.T, e *engine) string {
	return typicalOf(t, func() error {
		got, _, err := e.store.CountOnline(t.Context(), []time.Duration{5 * time.Minute, 15 * time.Minute, day})
		if err == nil && got[2] < len(e.ids)*3/10 {
			err = fmt.Errorf("%d users are online within a day", got[2])
		}
		return err
	})
}

func typicalOf(t *testing.T, f func() error) string {
	t.Helper()
	return typical(t, 11, f).Round(10 * time.Microsecond).String()
}

// pageAt measures a page of the online users that so many pages precede.
func pageAt(t *testing.T, e *engine, before int) string {
	const limit = 50
	var after sessiontrack.Cursor
	page := func(cursor sessiontrack.Cursor) (sessiontrack.OnlinePage, error) {
		return e.store.ListOnline(t.Context(), sessiontrack.OnlineQuery{Window: day, Limit: limit, After: cursor})
	}
	for range min(before, len(e.ids)*3/10/limit-1) {
		got, err := page(after)
		require.NoError(t, err)
		require.Len(t, got.Users, limit)
		after = got.Next
	}
	return typicalOf(t, func() error { _, err := page(after); return err })
}

func sessionsPage(t *testing.T, e *engine) string {
	return typicalOf(t, func() error {
		got, err := e.store.List(t.Context(), sessiontrack.Query{Live: true, Limit: 50})
		if err == nil && len(got.Sessions) != 50 {
			err = fmt.Errorf("%d sessions on a page", len(got.Sessions))
		}
		return err
	})
}

// cleanup ends what has been idle for an hour, in steps of 500 rows without the rests of a Tracker.
// It stops after a minute.
func cleanup(t *testing.T, e *engine) string {
	ended, after := 0, int64(0)
	began := time.Now()
	for time.Since(began) < time.Minute {
		got, err := e.store.End(t.Context(), sessiontrack.Idle(time.Hour).Walk(after, 500),
			sessiontrack.Ending{Reason: sessiontrack.ReasonIdle})
		require.NoError(t, err)
		ended += len(got.Sessions)
		if after = got.Next; after == 0 {
			break
		}
	}
	require.Positive(t, ended)
	return aSecond(ended, time.Since(began))
}

// purge deletes what cleanup has ended, for at most a minute.
func purge(t *testing.T, e *engine) string {
	changed := 0
	began := time.Now()
	for time.Since(began) < time.Minute {
		n, err := e.store.Purge(t.Context(), sessiontrack.PurgeOptions{Limit: 1000})
		require.NoError(t, err)
		if changed += n; n < 1000 {
			break
		}
	}
	require.Positive(t, changed)
	return aSecond(changed, time.Since(began))
}
