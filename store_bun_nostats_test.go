package sessiontrack

import (
	"context"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"
)

// TestBunStoreNeedsNoStatistics loads tables that are never analyzed, as after a
// restore or an upgrade of the server, when the planner takes one session in 200 for
// live: nothing that a request, a flush or the feed sends reads more blocks than what
// it asks for is worth. Of the 60,000 sessions two in three are live.
func TestBunStoreNeedsNoStatistics(t *testing.T) {
	t.Parallel()
	s, ctx := newBunStore(t), t.Context()
	_, err := s.db.ExecContext(ctx, `ALTER TABLE user_sessions SET (autovacuum_enabled = off);
		ALTER TABLE user_presence SET (autovacuum_enabled = off)`)
	require.NoError(t, err)
	ids := load(t, s, 60_000, 50_000)
	touches, facts, few := make([]TouchRecord, 200), make([]SessionUpdate, 200), make([]SessionID, 200)
	for i := range touches {
		id := ids[i*150]
		touches[i], facts[i], few[i] = TouchRecord{ID: id, At: time.Now()}, SessionUpdate{ID: id, Device: &Device{}}, id
	}
	const table = 1200 // fewer blocks than those of all sessions, or of the live ones
	hook := watch(s)
	calls := readsOf(s, ids[0], Cursor{At: time.Now().Add(-time.Hour), UserID: "user9", Serial: 1}, Cursor{At: time.Now(), UserID: "user9"})
	delete(calls, "list, by device") // without statistics nobody knows how rare one is
	delete(calls, "stats")           // before the first sample all are counted
	calls["touch"] = func(ctx context.Context) error { _, err := s.Touch(ctx, touches, time.Second); return err }
	calls["describe"] = func(ctx context.Context) error { return s.Describe(ctx, facts) }
	calls["changes"] = func(ctx context.Context) error {
		since := time.Now().Add(-10 * time.Second)
		_, err := s.ChangesSince(ctx, ChangeQuery{Ended: since, Begun: since, Seen: since, Users: []string{"user1"}, Limit: 10_000})
		return err
	}
	calls["end"] = func(ctx context.Context) error {
		_, err := s.End(ctx, IDs(few...), Ending{Reason: ReasonAdmin})
		return err
	}
	calls["end a user's"] = func(ctx context.Context) error {
		_, err := s.End(ctx, User("user7"), Ending{Reason: ReasonAdmin})
		return err
	}
	calls["end, a walk"] = func(ctx context.Context) error {
		_, err := s.End(ctx, Idle(time.Hour).Walk(10_000, 500), Ending{Reason: ReasonIdle})
		return err
	}
	calls["create"] = func(ctx context.Context) error {
		_, err := s.Create(ctx, NewSession{Session: Session{ID: newHandle().id(), UserID: "user9"}, Limit: 1, Replaces: ids[100]})
		return err
	}
	for name, call := range calls {
		t.Run(name, func(t *testing.T) {
			for _, statement := range statementsOf(t, s, hook, call) {
				blocks, plan := blocksOf(t, s, statement)
				if !strings.Contains(statement, string(few[100])) { // a batch visits blocks for each of its rows
					assert.Less(t, blocks, table, "%s\n%s", statement, plan)
				}
				assert.NotContains(t, plan, "Seq Scan on user_sessions", statement)
				assert.NotContains(t, plan, "user_sessions_live_device_type", "reads all live sessions: %s", statement)
			}
			hook.take()
		})
	}
	blocks, _ := blocksOf(t, s, "SELECT count(*) FROM user_sessions")
	assert.Greater(t, blocks, table, "the bound would notice a table that is read")
}

// statementsOf makes a call and returns what it sent, but for what frames it.
func statementsOf(t *testing.T, s *BunStore, hook *statements, call func(context.Context) error) (out []string) {
	t.Helper()
	hook.take()
	require.NoError(t, call(t.Context()))
	for _, statement := range hook.take() {
		verb, _, _ := strings.Cut(statement, " ")
		if verb != "BEGIN" && verb != "COMMIT" && !strings.Contains(statement, "set_config") {
			out = append(out, statement)
		}
	}
	require.NotEmpty(t, out)
	return out
}

var blocksPattern = regexp.MustCompile(`Buffers: shared(?: hit=(\d+))?(?: read=(\d+))?`)

// blocksOf runs a statement in a transaction that is rolled back, and returns how many
// blocks it looked at, with its plan.
func blocksOf(t *testing.T, s *BunStore, statement string) (int, string) {
	t.Helper()
	var lines []string
	tx, err := s.db.BeginTx(t.Context(), nil)
	require.NoError(t, err)
	defer func(tx bun.Tx) { _ = tx.Rollback() }(tx)
	require.NoError(t, tx.NewRaw("EXPLAIN (ANALYZE, BUFFERS) "+statement).Scan(t.Context(), &lines))
	plan := strings.Join(lines, "\n")
	total := 0
	if found := blocksPattern.FindStringSubmatch(plan); found != nil { // the first is the whole plan's
		for _, n := range found[1:] {
			blocks, _ := strconv.Atoi(n) // empty where there were none
			total += blocks
		}
	}
	return total, fmt.Sprint(total, " blocks\n", plan)
}
