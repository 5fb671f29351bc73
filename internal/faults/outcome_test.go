package faults

import (
	"context"
	"database/sql"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect/pgdialect"

	st "github.com/sessiontrack/sessiontrack"
	"github.com/sessiontrack/sessiontrack/internal/pgtest"
)

// TestF08ShutdownWithoutDatabase: Shutdown writes every touch. If it cannot, it returns in time and
// its error says how many touches were not written.
func TestF08ShutdownWithoutDatabase(t *testing.T) {
	t.Parallel()
	cluster := pgtest.NewCluster(t)
	n := scaled(200, 5_000)
	opts := background(st.Options{TouchInterval: -1, FlushInterval: time.Minute})
	r := replicasAt(t, cluster.DSN(), 1, opts)[0]
	_, tokens := r.logins(t, n, func(int) string { return "1" })
	use := func() time.Time {
		began := time.Now()
		for _, token := range tokens {
			require.Equal(t, http.StatusOK, r.get(token))
		}
		return began
	}
	used := use()
	require.NoError(t, r.Shutdown(t.Context()))
	// The database uses this machine's clock.
	require.Equal(t, n, one[int](t, r.db, "SELECT count(*) FROM user_sessions WHERE last_activity >= $1",
		used.Add(-time.Millisecond)))

	require.NoError(t, r.Start(t.Context()))
	use()
	cluster.Freeze()
	const patience = 300 * time.Millisecond
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	began := time.Now()
	err := r.Shutdown(ctx)
	took := time.Since(began)
	cluster.Thaw()
	require.ErrorIs(t, err, st.ErrUnavailable)
	require.ErrorContains(t, err, scaled("200 touches not written", "5000 touches not written"))
	t.Logf("F08: %d of %d flushed; without the database %v after %v: %v", n, n, patience, took.Round(time.Millisecond),
		err)
	timely(t, took, patience+100*time.Millisecond, "Shutdown with a context that ends")
}

// commitHook calls its function before each statement that commits: COMMIT, and a
// sign-in, which is one statement.
type commitHook func()

func (f commitHook) BeforeQuery(ctx context.Context, e *bun.QueryEvent) context.Context {
	if strings.EqualFold(e.Query, "COMMIT") || strings.Contains(e.Query, "sessiontrack_create(") {
		f()
	}
	return ctx
}

func (f commitHook) AfterQuery(context.Context, *bun.QueryEvent) {}

// replyLoss is a replica. A proxy can withhold the database's answer to COMMIT.
type replyLoss struct {
	*replica
	direct *sql.DB
	proxy  *pgtest.Proxy
	armed  atomic.Bool
	ends   atomic.Int64 // calls of the End hook
}

func newReplyLoss(t *testing.T) *replyLoss {
	t.Helper()
	cluster := pgtest.NewCluster(t)
	l := &replyLoss{proxy: pgtest.NewProxy(t, cluster.Addr()), direct: cluster.Open()}
	db := bun.NewDB(pgtest.OpenDSN(t, cluster.DSNAt(l.proxy.Addr())), pgdialect.New()).WithQueryHook(commitHook(func() {
		if l.armed.CompareAndSwap(true, false) {
			l.proxy.Swallow(true)
		}
	}))
	store, err := st.NewBunStore(db, nil)
	require.NoError(t, err)
	require.NoError(t, store.Migrate(t.Context()))
	opts := background(st.Options{FeedInterval: 30 * time.Second, MaxStaleness: time.Minute, IdleTimeout: time.Hour,
		TouchInterval: -1})
	opts.Hooks.End = func(context.Context, st.Session) { l.ends.Add(1) }
	l.replica = over(t, store, opts).start(t)
	return l
}

// lose makes one call and drops the answer to its COMMIT.
func (l *replyLoss) lose(t *testing.T, call func() error) {
	t.Helper()
	l.armed.Store(true)
	assert.ErrorIs(t, call(), st.ErrUnavailable, "an unknown outcome is not acknowledged")
	require.False(t, l.armed.Load(), "the call reached COMMIT")
	l.proxy.Swallow(false)
	l.proxy.Cut()
}

// TestF09ReplyLost drops the answer to COMMIT and repeats each call, as the application must. Each
// session ends once and is reported at most once. A repeated login creates no second session that
// anyone holds a token for.
func TestF09ReplyLost(t *testing.T) {
	t.Parallel()
	rounds := scaled(1, 20)
	for round := range rounds {
		t.Run(fmt.Sprint("round ", round), func(t *testing.T) {
			l := newReplyLoss(t) // a new one each round: its feed is read after 30 s and must not lose an answer
			s, token := l.loginAgain(t)
			l.ends.Store(0)
			require.Equal(t, http.StatusOK, l.get(token))
			l.touchAgain(t, s.ID)
			l.endAgain(t, s.ID)
			require.Equal(t, http.StatusUnauthorized, l.get(token))
			l.cleanUpAgain(t, 50)
			require.LessOrEqual(t, l.ends.Load(), int64(51), "at most one event for each")
		})
	}
	t.Logf("F09: %d rounds of create, touch, end and cleanup with the answer lost, each repeated", rounds)
}

func (l *replyLoss) loginAgain(t *testing.T) (st.Session, string) {
	t.Helper()
	l.lose(t, func() error {
		_, _, err := l.Login(httptest.NewRecorder(), request("POST", "/login"), "1")
		return err
	})
	s, token := l.login(t, "1")
	_, err := l.End(t.Context(), st.User("1").Except(s.ID), byAdmin)
	require.NoError(t, err, "the row of the lost answer exists, but nobody has its token")
	require.LessOrEqual(t, one[int](t, l.direct, "SELECT count(*) FROM user_sessions"), 2)
	return s, token
}

func (l *replyLoss) touchAgain(t *testing.T, id st.SessionID) {
	t.Helper()
	const stored = "SELECT last_activity FROM user_sessions WHERE session_id = $1"
	before := one[time.Time](t, l.direct, stored, string(id))
	touch := []st.TouchRecord{{ID: id, At: time.Now()}}
	l.lose(t, func() error { _, err := l.store.Touch(t.Context(), touch, 0); return err })
	_, err := l.store.Touch(t.Context(), touch, 0)
	require.NoError(t, err)
	require.False(t, one[time.Time](t, l.direct, stored, string(id)).Before(before))
}

func (l *replyLoss) endAgain(t *testing.T, id st.SessionID) {
	t.Helper()
	l.lose(t, func() error { _, err := l.End(t.Context(), st.IDs(id), byAdmin); return err })
	ended := rowOf(t, l.direct, id)
	again, err := l.End(t.Context(), st.IDs(id), st.Ending{Reason: st.ReasonUser})
	require.NoError(t, err)
	require.LessOrEqual(t, len(again), 1)
	if ended != "" {
		require.Empty(t, again)
		require.Equal(t, ended, rowOf(t, l.direct, id), "a repeated end changes nothing")
	}
}

func (l *replyLoss) cleanUpAgain(t *testing.T, idle int) {
	t.Helper()
	backdated(t, l.direct, idle, 2*time.Hour, "idle")
	l.lose(t, func() error { _, err := l.Cleanup(t.Context()); return err })
	rest, err := l.Cleanup(t.Context())
	require.NoError(t, err)
	require.LessOrEqual(t, rest, idle)
	require.Zero(t, one[int](t, l.direct,
		"SELECT count(*) FROM user_sessions WHERE user_id = 'idle' AND logout_at IS NULL"))
}

// rowOf returns how a session ended, as stored. It is empty while the session is live.
func rowOf(t testing.TB, db *sql.DB, id st.SessionID) string {
	t.Helper()
	return one[string](t, db, "SELECT coalesce(logout_at || ' ' || end_reason || ' ' || ended_by || ' ' || "+
		"last_activity, '') "+
		"FROM user_sessions WHERE session_id = $1", string(id))
}
