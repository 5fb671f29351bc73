package sessiontrack

import (
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// newPartitioned returns a store whose user_sessions is in four hash partitions, by the recipe of
// docs/partitions.sql.
func newPartitioned(t *testing.T) *BunStore {
	t.Helper()
	s := newBunStore(t)
	execute(t, s, document(t, "docs/partitions.sql"))
	return s
}

// TestPartitionsHaveWhatTheTableHas: a migration that adds a column, an index or a trigger adds it to
// the recipe, too.
func TestPartitionsHaveWhatTheTableHas(t *testing.T) {
	t.Parallel()
	plain, partitioned := newBunStore(t), newPartitioned(t)
	for what, query := range map[string]string{
		"columns": "SELECT column_name || ' ' || data_type || ' ' || is_nullable FROM information_schema.columns " +
			"WHERE table_name IN ('user_sessions', 'sessions_of_users') ORDER BY table_name, column_name",
		"indexes": "SELECT indexname || replace(replace(substring(indexdef FROM ' USING .*'), ' ONLY', ''), ' UNIQUE', '') " +
			"FROM pg_indexes WHERE tablename = 'user_sessions' ORDER BY indexname",
		"triggers": "SELECT tgname::text FROM pg_trigger WHERE tgrelid = 'user_sessions'::regclass ORDER BY tgname",
		"constraints": "SELECT conname || ' ' || pg_get_constraintdef(oid) FROM pg_constraint " +
			"WHERE conrelid = 'user_sessions'::regclass AND contype = 'c' ORDER BY conname",
	} {
		var want, got []string
		require.NoError(t, plain.db.NewRaw(query).Scan(t.Context(), &want))
		require.NoError(t, partitioned.db.NewRaw(query).Scan(t.Context(), &got))
		require.NotEmpty(t, want, what)
		assert.Equal(t, want, got, what)
	}
	bunCreate(t, plain, "1")
	_, err := plain.db.ExecContext(t.Context(), document(t, "docs/partitions.sql"))
	require.ErrorContains(t, err, "has rows")
}

// TestPartitionsAreReadByIndex: a request looks into the one partition that its handle leads to, and
// nothing that a page or the feed reads walks through a table.
func TestPartitionsAreReadByIndex(t *testing.T) {
	t.Parallel()
	s := newPartitioned(t)
	readsByIndex(t, s, fill(t, s, 60_000, 50_000))
	plan := explain(t, s, "SELECT * FROM user_sessions WHERE session_id = 'AAAAAAAAAAAAAAAAAAAAAA'")
	assert.Equal(t, 1, strings.Count(plan, "Scan"), plan)
}

// TestPartitionsPurgedBesideTraffic: sessions begin, are used and end while others are purged.
func TestPartitionsPurgedBesideTraffic(t *testing.T) {
	t.Parallel()
	s, ctx := newPartitioned(t), t.Context()
	var group sync.WaitGroup
	var purged atomic.Int64
	done := make(chan struct{})
	group.Go(func() {
		for {
			n, err := s.Purge(ctx, PurgeOptions{Limit: 7})
			assert.NoError(t, err)
			purged.Add(int64(n))
			select {
			case <-done:
				return
			default:
			}
		}
	})
	const users, sessions = 4, 25
	var traffic sync.WaitGroup
	var live [users][]SessionID
	for user := range users {
		traffic.Go(func() {
			for i := range sessions {
				created, err := s.Create(ctx, NewSession{Session: Session{ID: newHandle().id(), UserID: fmt.Sprint(user)}})
				if !assert.NoError(t, err) {
					return
				}
				id := created.Session.ID
				alive, err := s.Touch(ctx, []TouchRecord{{ID: id, At: time.Now()}}, 0)
				assert.NoError(t, err)
				assert.Equal(t, []SessionID{id}, alive)
				if i%2 == 1 {
					live[user] = append(live[user], id)
					continue
				}
				ended, err := s.End(ctx, IDs(id), Ending{Reason: ReasonUser})
				assert.NoError(t, err)
				assert.Len(t, ended.Sessions, 1)
			}
		})
	}
	traffic.Wait()
	close(done)
	group.Wait()
	last, err := s.Purge(ctx, PurgeOptions{Limit: 1000})
	require.NoError(t, err)
	want := 0
	for user := range users {
		for _, id := range live[user] {
			got, err := s.Get(ctx, id)
			require.NoError(t, err)
			assert.False(t, got.Ended())
		}
		want += sessions - len(live[user])
	}
	assert.Equal(t, want, int(purged.Load())+last, "each ended session went once, and nothing else")
}

// TestPurgeSparesLiveRowsOfOtherPartitions: a row's place is unique in its partition only.
// Rows that were deleted by it took live ones at the same place with them.
func TestPurgeSparesLiveRowsOfOtherPartitions(t *testing.T) {
	t.Parallel()
	s, ctx := newPartitioned(t), t.Context()
	live, ended := map[SessionID]bool{}, 0
	for i := range 40 {
		derived := func(n *NewSession) { n.Session.Derived = i%4 > 1 }
		id := bunCreate(t, s, fmt.Sprint(i), derived).ID
		if i%2 == 0 {
			_, err := s.End(ctx, IDs(id), Ending{Reason: ReasonUser})
			require.NoError(t, err)
			ended++
		} else {
			live[id] = true
		}
	}
	changed, err := s.Purge(ctx, PurgeOptions{Limit: 100, KeepEnded: time.Hour})
	require.NoError(t, err)
	assert.Equal(t, ended, changed)
	changed, err = s.Purge(ctx, PurgeOptions{Limit: 100})
	require.NoError(t, err)
	assert.Equal(t, ended/2, changed, "what was remembered for an hour")
	page, err := s.List(ctx, Query{Live: true, Limit: 100})
	require.NoError(t, err)
	require.Len(t, page.Sessions, len(live))
	for _, session := range page.Sessions {
		assert.True(t, live[session.ID])
	}
	var rows int
	require.NoError(t, s.db.NewRaw("SELECT count(*) FROM user_sessions").Scan(ctx, &rows))
	assert.Equal(t, len(live), rows)
}
