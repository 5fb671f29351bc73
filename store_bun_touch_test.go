package sessiontrack

import (
	"context"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sessiontrack/sessiontrack/internal/pgtest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// verbs returns the first words of statements, those of the transaction apart.
func verbs(statements []string) (verbs []string) {
	for _, statement := range statements {
		switch verb := strings.ToUpper(strings.Fields(statement)[0]); {
		case verb == "BEGIN", verb == "COMMIT", strings.Contains(statement, "set_config"):
		case verb == "WITH" && strings.Contains(statement, "UPDATE user_sessions"):
			verbs = append(verbs, "UPDATE user_sessions")
		default:
			verbs = append(verbs, verb)
		}
	}
	return verbs
}

// TestBunStoreTouchIsOneUpdate: whatever the batch, sessions are written by one
// statement and presence by one.
func TestBunStoreTouchIsOneUpdate(t *testing.T) {
	t.Parallel()
	s := newBunStore(t)
	ids := fill(t, s, 1_000, 300)
	hook := watch(s)
	batch := make([]TouchRecord, len(ids))
	for i, id := range ids {
		batch[i] = TouchRecord{ID: id, At: time.Now()}
	}
	alive, err := s.Touch(t.Context(), batch, 0)
	require.NoError(t, err)
	assert.Len(t, alive, len(ids))
	assert.Equal(t, []string{"UPDATE user_sessions", "INSERT"}, verbs(hook.take()))

	_, err = s.Touch(t.Context(), []TouchRecord{{ID: newHandle().id(), At: time.Now()}}, 0)
	require.NoError(t, err)
	assert.Equal(t, []string{"UPDATE user_sessions"}, verbs(hook.take()), "nobody alive, no presence")

	alive, err = s.Touch(t.Context(), nil, 0)
	require.NoError(t, err)
	assert.Empty(t, alive)
	assert.Empty(t, hook.take(), "an empty batch is no statement")

	s.touchBatch = 100
	alive, err = s.Touch(t.Context(), batch, 0)
	require.NoError(t, err)
	assert.ElementsMatch(t, ids, alive)
	assert.Len(t, verbs(hook.take()), 2*((len(ids)+99)/100))
}

// TestBunStorePresenceMovesInSteps counts the writes of presence rows.
func TestBunStorePresenceMovesInSteps(t *testing.T) {
	t.Parallel()
	s, ctx := newBunStore(t), t.Context()
	row := bunCreate(t, s, "1")
	version := func() (v string) {
		require.NoError(t, s.db.NewRaw("SELECT xmin::text || ctid::text FROM user_presence").Scan(ctx, &v))
		return v
	}
	before := version()
	_, err := s.Touch(ctx, []TouchRecord{{ID: row.ID, At: time.Now()}}, 30*time.Second)
	require.NoError(t, err)
	assert.Equal(t, before, version(), "less than a step behind: the row is neither written nor locked")

	_, err = s.db.ExecContext(ctx, "UPDATE user_presence SET last_activity = last_activity - interval '31 seconds'")
	require.NoError(t, err)
	_, err = s.Touch(ctx, []TouchRecord{{ID: row.ID, At: time.Now()}}, 30*time.Second)
	require.NoError(t, err)
	touched, err := s.Get(ctx, row.ID)
	require.NoError(t, err)
	var seen time.Time
	require.NoError(t, s.db.NewRaw("SELECT last_activity FROM user_presence").Scan(ctx, &seen))
	assert.True(t, seen.Equal(touched.LastActivity), "it moves to what the touch returned")
}

// TestBunStoreTouchIsHeapOnly counts what PostgreSQL counts: the share of
// heap-only updates and the bytes of write-ahead log, when each flush touches one
// session in twenty, as a flush of a large site does.
func TestBunStoreTouchIsHeapOnly(t *testing.T) {
	t.Parallel()
	s := bunStoreOver(t, pgtest.NewCluster(t).Open()) // alone: the log is the whole server's
	ctx := t.Context()
	require.NoError(t, s.Migrate(ctx))
	ids := fill(t, s, 20_000, 10_000)
	for _, statement := range []string{
		"ALTER TABLE user_sessions SET (autovacuum_enabled = off)",
		"UPDATE user_presence SET last_activity = now()", // so that no flush moves it
	} {
		_, err := s.db.ExecContext(ctx, statement)
		require.NoError(t, err)
	}

	const flushes = 20
	size := len(ids) / 20
	flush := func() {
		batch := make([]TouchRecord, size)
		for i, at := range rand.Perm(len(ids))[:size] {
			batch[i] = TouchRecord{ID: ids[at], At: time.Now()}
		}
		_, err := s.Touch(ctx, batch, time.Hour)
		require.NoError(t, err)
	}
	wal := func() (bytes int64) {
		require.NoError(t, s.db.NewRaw("SELECT pg_current_wal_insert_lsn() - '0/0'").Scan(ctx, &bytes))
		return bytes
	}
	counts := func() (updates, heapOnly, pages int) {
		require.NoError(t, s.db.NewRaw("SELECT n_tup_upd, n_tup_hot_upd, pg_relation_size(relid) / 8192 "+
			"FROM pg_stat_user_tables WHERE relname = 'user_sessions'").Scan(ctx, &updates, &heapOnly, &pages))
		return updates, heapOnly, pages
	}
	for range flushes { // pages have been written whole once since the checkpoint
		flush()
	}
	_, _, pagesBefore := counts()
	before := wal()
	for range flushes {
		flush()
	}
	perRow := (wal() - before) / int64(flushes*size)
	var updates, heapOnly, pages int
	require.Eventually(t, func() bool {
		updates, heapOnly, pages = counts()
		return updates >= 2*flushes*size // the server's statistics come late
	}, 30*time.Second, 50*time.Millisecond)
	share := float64(heapOnly) / float64(updates)
	t.Logf("heap-only %.1f %%, %d bytes of log a row, %d to %d pages", 100*share, perRow, pagesBefore, pages)
	assert.GreaterOrEqual(t, share, 0.95)
	assert.LessOrEqual(t, perRow, int64(200))
	assert.LessOrEqual(t, float64(pages), 1.05*float64(pagesBefore))
}

// TestBunStoreOverlappingWritersDoNotDeadlock lets three replicas flush the same
// sessions in different orders while others sign in, describe and end them.
func TestBunStoreOverlappingWritersDoNotDeadlock(t *testing.T) {
	t.Parallel()
	dsn := pgtest.DSN(t)
	var replicas [3]*BunStore
	for i := range replicas {
		replicas[i] = bunStoreOver(t, pgtest.OpenDSN(t, dsn))
	}
	require.NoError(t, replicas[0].Migrate(t.Context()))
	ids := fill(t, replicas[0], 1_500, 200)
	ctx, began := t.Context(), time.Now()
	var lost atomic.Int64
	parallel(9, func(i int) {
		s, random := replicas[i%3], rand.New(rand.NewPCG(1, uint64(i)))
		for range 12 {
			var err error
			switch i / 3 {
			case 0:
				var alive []SessionID
				batch := shuffled(random, ids, began.Add(time.Hour))
				err = patiently(func() (err error) { alive, err = s.Touch(ctx, batch, 0); return err })
				lost.Add(int64(len(ids) - len(alive)))
			case 1:
				some := shuffled(random, ids, began)[:20]
				err = patiently(func() error {
					return s.Describe(ctx, []SessionUpdate{{ID: some[0].ID, Device: &Device{}}, {ID: some[1].ID, Device: &Device{}}})
				})
				if err == nil {
					err = patiently(func() error {
						_, err := s.End(ctx, IDs(some[2].ID, some[3].ID, some[4].ID, some[5].ID), Ending{Reason: ReasonAdmin})
						return err
					})
				}
			case 2:
				n := NewSession{
					Session:  Session{ID: newHandle().id(), UserID: "user" + string(rune('1'+random.IntN(9)))},
					Replaces: ids[random.IntN(len(ids))], Limit: 2,
				}
				err = patiently(func() error { _, err := s.Create(ctx, n); return err })
			}
			if !assert.NoError(t, err) {
				return
			}
		}
	})
	assert.Positive(t, lost.Load(), "touches learn of the ends")
	var behind int
	require.NoError(t, replicas[0].db.NewRaw(`SELECT count(*) FROM user_sessions
		WHERE logout_at IS NULL AND session_id IN (SELECT unnest(?::text[])) AND last_activity < ?`,
		stringArray(ids), began).Scan(ctx, &behind))
	assert.Zero(t, behind, "no touch of a live session is lost")
	assertPresenceIsRight(t, replicas[0])
}

// TestBunStoreUsersAreLockedInOrder lets three replicas flush different sessions of
// the same users: they share no row but those of presence.
func TestBunStoreUsersAreLockedInOrder(t *testing.T) {
	t.Parallel()
	s := newBunStore(t)
	const users = 200
	var sessions [3][]SessionID
	for i, id := range fill(t, s, 3*3*users/2, users) {
		sessions[i%3] = append(sessions[i%3], id)
	}
	parallel(3, func(i int) {
		random := rand.New(rand.NewPCG(2, uint64(i)))
		for range 40 {
			batch := shuffled(random, sessions[i], time.Now().Add(time.Hour))
			err := patiently(func() error { _, err := s.Touch(t.Context(), batch, 0); return err })
			if !assert.NoError(t, err) {
				return
			}
		}
	})
}

// shuffled returns a touch of each session, in random order.
func shuffled(random *rand.Rand, ids []SessionID, at time.Time) []TouchRecord {
	batch := make([]TouchRecord, len(ids))
	for i, j := range random.Perm(len(ids)) {
		batch[i] = TouchRecord{ID: ids[j], At: at}
	}
	return batch
}

// assertPresenceIsRight: a user has a presence row while there is a live session.
func assertPresenceIsRight(t *testing.T, s *BunStore) {
	t.Helper()
	var wrong []string
	require.NoError(t, s.db.NewRaw(`SELECT coalesce(p.user_id, l.user_id) FROM user_presence AS p
		FULL JOIN (SELECT DISTINCT user_id FROM user_sessions WHERE logout_at IS NULL) AS l USING (user_id)
		WHERE p.user_id IS NULL OR l.user_id IS NULL`).Scan(context.WithoutCancel(t.Context()), &wrong))
	assert.Empty(t, wrong, "users with presence and no live session, or the other way round")
}

// TestBunStoreLateTouchRevivesNothing hammers sessions with touches while they are
// ended: from the moment an end has returned, its row does not change and no
// touch returns it.
func TestBunStoreLateTouchRevivesNothing(t *testing.T) {
	t.Parallel()
	s, ctx := newBunStore(t), t.Context()
	for range 40 {
		id := bunCreate(t, s, "1").ID
		var over atomic.Bool
		var ended Record
		parallel(5, func(i int) {
			if i == 0 {
				e, err := s.End(ctx, IDs(id), Ending{Reason: ReasonAdmin, Actor: "7"})
				assert.NoError(t, err)
				assert.Len(t, e.Sessions, 1)
				over.Store(true)
				ended, err = s.Get(ctx, id)
				assert.NoError(t, err)
				return
			}
			for more := 2; more > 0; {
				late := over.Load()
				alive, err := s.Touch(ctx, []TouchRecord{{ID: id, At: time.Now().Add(time.Hour)}}, 0)
				if !assert.NoError(t, err) {
					return
				}
				if late {
					more--
					assert.Empty(t, alive)
				}
			}
		})
		after, err := s.Get(ctx, id)
		require.NoError(t, err)
		require.Equal(t, ended, after)
		require.False(t, after.LastActivity.After(after.LogoutAt), "no touch passes the clock")
	}
	assertPresenceIsRight(t, s)
}
