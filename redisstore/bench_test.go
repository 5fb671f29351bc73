package redisstore_test

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/redis/rueidis"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect/pgdialect"

	"github.com/sessiontrack/sessiontrack"
	"github.com/sessiontrack/sessiontrack/internal/pgtest"
	"github.com/sessiontrack/sessiontrack/internal/redistest"
	"github.com/sessiontrack/sessiontrack/redisstore"
)

var benchSessions = flag.Int("sessions", 2000, "how many sessions TestBench has")

// benchBatch is what a Tracker hands to Touch at once.
const benchBatch = 5000

// TestBench prints what activity costs in Redis, for several numbers of buckets, and in
// PostgreSQL beside it. It asserts only that nothing is lost: times are this machine's.
func TestBench(t *testing.T) {
	report := &strings.Builder{}
	table := tabwriter.NewWriter(report, 0, 4, 2, ' ', 0)
	fmt.Fprintln(table, "store\ttouches/s, 1 writer\t2 writers\tcount of 3 windows\tlist of 50 users\tbytes a session")
	for _, buckets := range []int{64, 256, 1024} {
		server := redistest.Start(t)
		client := dial(t, server.Addr())
		store, err := redisstore.Activity(sessiontrack.NewMemoryStore(), client, &redisstore.ActivityOptions{
			Buckets: buckets, Timeout: 10 * time.Second, Owners: 4 * *benchSessions, Follow: time.Hour,
			Logger: slog.New(slog.DiscardHandler),
		})
		require.NoError(t, err)
		require.NoError(t, check(t, store))
		before := usedMemory(t, client)
		all := fill(t, store, *benchSessions)
		size := (usedMemory(t, client) - before) / int64(len(all))
		measure(t, table, fmt.Sprintf("Redis, %d buckets", buckets), store, all, size)
	}
	store, all := filledPostgres(t, *benchSessions)
	measure(t, table, "PostgreSQL", store, all, 0)
	require.NoError(t, table.Flush())
	t.Logf("%d sessions of as many users, batches of %d\n%s", *benchSessions, benchBatch, report)
}

func usedMemory(t *testing.T, client rueidis.Client) int64 {
	t.Helper()
	info, err := client.Do(t.Context(), client.B().Info().Section("memory").Build()).ToString()
	require.NoError(t, err)
	_, rest, _ := strings.Cut(info, "used_memory:")
	text, _, _ := strings.Cut(rest, "\r")
	n, err := strconv.ParseInt(text, 10, 64)
	require.NoError(t, err)
	return n
}

func fill(t *testing.T, store sessiontrack.Store, n int) []sessiontrack.TouchRecord {
	t.Helper()
	all := make([]sessiontrack.TouchRecord, n)
	var group sync.WaitGroup
	const writers = 8
	for w := range writers {
		group.Go(func() {
			for i := w; i < n; i += writers {
				created, err := store.Create(t.Context(), sessiontrack.NewSession{
					Session: sessiontrack.Session{ID: newID(), UserID: fmt.Sprintf("user-%08d", i)},
				})
				if !assert.NoError(t, err) {
					return
				}
				all[i] = sessiontrack.TouchRecord{ID: created.Session.ID, Serial: created.Session.Serial}
			}
		})
	}
	group.Wait()
	return all
}

// filledPostgres inserts the rows by one statement.
func filledPostgres(t *testing.T, n int) (sessiontrack.Store, []sessiontrack.TouchRecord) {
	t.Helper()
	db := bun.NewDB(pgtest.Open(t), pgdialect.New())
	store, err := sessiontrack.NewBunStore(db, nil)
	require.NoError(t, err)
	require.NoError(t, store.Migrate(t.Context()))
	ids, users := make([]string, n), make([]string, n)
	for i := range ids {
		ids[i], users[i] = string(newID()), fmt.Sprintf("user-%08d", i)
	}
	_, err = db.ExecContext(t.Context(), `INSERT INTO user_sessions (session_id, user_id, login_at, last_activity, last_seen,
		created_at, updated_at)
		SELECT v.id, v.name, now(), now(), now(), now(), now() FROM unnest(?::text[], ?::text[]) AS v(id, name)`,
		pgdialect.Array(ids), pgdialect.Array(users))
	require.NoError(t, err)
	_, err = db.ExecContext(t.Context(), "INSERT INTO user_presence (user_id, last_activity) "+
		"SELECT user_id, last_activity FROM user_sessions ON CONFLICT DO NOTHING")
	require.NoError(t, err)
	_, err = db.ExecContext(t.Context(), "VACUUM ANALYZE user_sessions, user_presence")
	require.NoError(t, err)
	all := make([]sessiontrack.TouchRecord, n)
	for i := range all {
		all[i].ID = sessiontrack.SessionID(ids[i])
	}
	return store, all
}

// measure adds a row to the table.
func measure(
	t *testing.T, table *tabwriter.Writer, name string, store sessiontrack.Store,
	all []sessiontrack.TouchRecord, size int64,
) {
	t.Helper()
	one, two := touchRate(t, store, all, 1), touchRate(t, store, all, 2)
	reader := store.(sessiontrack.OnlineReader)
	counting := took(t, func(ctx context.Context) error {
		counts, _, err := reader.CountOnline(ctx, []time.Duration{time.Minute, 15 * time.Minute, time.Hour})
		assert.Equal(t, len(all), counts[2])
		return err
	})
	listing := took(t, func(ctx context.Context) error {
		page, err := reader.ListOnline(ctx, sessiontrack.OnlineQuery{Window: time.Hour, Limit: 50})
		assert.Len(t, page.Users, 50)
		return err
	})
	fmt.Fprintf(table, "%s\t%.0f\t%.0f\t%v\t%v\t%d\n", name, one, two, counting, listing, size)
}

// touchRate touches every session twice, by several writers, and returns touches a second.
func touchRate(t *testing.T, store sessiontrack.Store, all []sessiontrack.TouchRecord, writers int) float64 {
	t.Helper()
	began := time.Now()
	var group sync.WaitGroup
	for w := range writers {
		group.Go(func() {
			for range 2 {
				for at := w * benchBatch; at < len(all); at += writers * benchBatch {
					batch := append([]sessiontrack.TouchRecord{}, all[at:min(at+benchBatch, len(all))]...)
					for i := range batch {
						batch[i].At = time.Now()
					}
					alive, err := store.Touch(t.Context(), batch, 30*time.Second)
					if !assert.NoError(t, err) || !assert.Len(t, alive, len(batch)) {
						return
					}
				}
			}
		})
	}
	group.Wait()
	return float64(2*len(all)) / time.Since(began).Seconds()
}

// took returns the mean of some calls.
func took(t *testing.T, call func(context.Context) error) time.Duration {
	t.Helper()
	const times = 10
	began := time.Now()
	for range times {
		require.NoError(t, call(t.Context()))
	}
	return (time.Since(began) / times).Round(10 * time.Microsecond)
}
