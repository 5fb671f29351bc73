package sessiontrack

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sessiontrack/sessiontrack/internal/pgtest"
	"github.com/sessiontrack/sessiontrack/internal/postgres"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect/pgdialect"
)

func stringArray(ids []SessionID) any { return pgdialect.Array(handles(ids)) }

// TestEndedRowsAreFinal tries by SQL, as a host might, to change a session that
// has ended. Blanking what is personal is all that it bears.
func TestEndedRowsAreFinal(t *testing.T) {
	t.Parallel()
	s, ctx := newBunStore(t), t.Context()
	id := bunCreate(t, s, "1", func(n *NewSession) { n.Session.UserAgent = "agent" }).ID
	_, err := s.db.ExecContext(ctx, "UPDATE user_sessions SET user_agent = 'other', last_activity = now()")
	require.NoError(t, err, "a live row may change")
	_, err = s.End(ctx, IDs(id), Ending{Reason: ReasonAdmin, Actor: "7"})
	require.NoError(t, err)
	before, err := s.Get(ctx, id)
	require.NoError(t, err)
	for _, set := range []string{
		"logout_at = NULL, end_reason = NULL", "logout_at = now() + interval '1 day'", "end_reason = 'user'",
		"last_activity = now() + interval '1 day'", "user_id = '2'", "session_id = 'x'", "derived = true",
		"ended_by = '8'", "credential_until = now()", "ip_address = '192.0.2.1'", "user_agent = '', browser = 'x'",
		"secret_hash = 'x'", "id = DEFAULT",
	} {
		_, err := s.db.ExecContext(ctx, "UPDATE user_sessions SET "+set)
		assert.Error(t, err, set)
	}
	after, err := s.Get(ctx, id)
	require.NoError(t, err)
	assert.Equal(t, before, after)
	_, err = s.db.ExecContext(ctx, "UPDATE user_sessions SET user_id = '', user_agent = '', login_at = NULL, ended_by = ''")
	require.NoError(t, err)
	blank, err := s.Get(ctx, id)
	require.NoError(t, err)
	assert.Equal(t, after.LogoutAt, blank.LogoutAt)
	assert.Equal(t, ReasonAdmin, blank.EndReason)
}

// TestBunStoreEndsOnce: many callers on the same sessions, each end is returned to
// exactly one of them.
func TestBunStoreEndsOnce(t *testing.T) {
	t.Parallel()
	s, ctx := newBunStore(t), t.Context()
	ids := fill(t, s, 3_000, 500)
	var returned atomic.Int64
	parallel(5, func(int) {
		for after, first := int64(0), true; first || after > 0; first = false {
			e, err := s.End(ctx, Idle(time.Second).Walk(after, 200), Ending{Reason: ReasonIdle})
			if !assert.NoError(t, err) {
				return
			}
			returned.Add(int64(len(e.Sessions)))
			after = e.Next
		}
	})
	assert.EqualValues(t, len(ids), returned.Load())
	var online int
	require.NoError(t, s.db.NewRaw("SELECT count(*) FROM user_presence").Scan(ctx, &online))
	assert.Zero(t, online)
}

// TestBunStorePresenceFollowsTheLastSession races the ends of a user's sessions
// against one another and against a sign-in.
func TestBunStorePresenceFollowsTheLastSession(t *testing.T) {
	t.Parallel()
	s, ctx := newBunStore(t), t.Context()
	for round := range 40 {
		user := fmt.Sprint("user", round%4)
		ids := []SessionID{bunCreate(t, s, user).ID, bunCreate(t, s, user).ID, bunCreate(t, s, user).ID}
		login := newHandle().id()
		parallel(4, func(i int) {
			var err error
			switch {
			case i < 3:
				err = patiently(func() error { _, err := s.End(ctx, IDs(ids[i]), Ending{Reason: ReasonUser}); return err })
			case round%2 == 0:
				n := NewSession{Session: Session{ID: login, UserID: user}}
				err = patiently(func() error { _, err := s.Create(ctx, n); return err })
			}
			assert.NoError(t, err)
		})
		assertPresenceIsRight(t, s)
		require.NoError(t, patiently(func() error { _, err := s.End(ctx, User(user), Ending{Reason: ReasonUser}); return err }))
		assertPresenceIsRight(t, s)
	}
}

// TestBunStoreReplacedUserGoesOffline: the session that a sign-in carried may be
// another user's.
func TestBunStoreReplacedUserGoesOffline(t *testing.T) {
	t.Parallel()
	for _, names := range [][2]string{{"a", "b"}, {"b", "a"}} {
		s := newBunStore(t)
		old := bunCreate(t, s, names[0])
		bunCreate(t, s, names[1], func(n *NewSession) { n.Replaces = old.ID })
		var online []string
		require.NoError(t, s.db.NewRaw("SELECT user_id FROM user_presence").Scan(t.Context(), &online))
		assert.Equal(t, []string{names[1]}, online)
	}
}

// endedRow inserts a session that ended some time ago.
func endedRow(t *testing.T, s *BunStore, ago time.Duration, derived bool, until time.Time) SessionID {
	t.Helper()
	id := newHandle().id()
	_, err := s.db.ExecContext(t.Context(), `INSERT INTO user_sessions (session_id, user_id, derived, user_agent,
		ip_address, ended_by, login_at, last_activity, created_at, updated_at, logout_at, end_reason, credential_until)
		SELECT ?, '1', ?, 'agent', '192.0.2.1', '7', at, at, at, at, at, 'admin', ?
		FROM (SELECT now() - ? * interval '1 microsecond' AS at) AS l`, string(id), derived, columnTimeOrNull(until), postgres.Micros(ago))
	require.NoError(t, err)
	return id
}

// TestBunStorePurge: what is deleted, what is blanked, what stays.
func TestBunStorePurge(t *testing.T) {
	t.Parallel()
	s, ctx := newBunStore(t), t.Context()
	const day = 24 * time.Hour
	now := time.Now()
	young := endedRow(t, s, 9*day, false, time.Time{})
	gone := []SessionID{
		endedRow(t, s, 11*day, false, time.Time{}),
		endedRow(t, s, 11*day, true, now.Add(-day)),
		endedRow(t, s, 21*day, true, time.Time{}),
	}
	blank := []SessionID{
		endedRow(t, s, 11*day, true, now.Add(time.Hour)),
		endedRow(t, s, 30*day, true, now.Add(time.Hour)),
		endedRow(t, s, 19*day, true, time.Time{}),
	}
	live := bunCreate(t, s, "1").ID

	changed := 0
	for {
		n, err := s.Purge(ctx, PurgeOptions{Retention: 10 * day, KeepEnded: 20 * day, Limit: 4})
		require.NoError(t, err)
		if changed += n; n < 4 {
			break
		}
	}
	assert.Equal(t, len(gone)+len(blank), changed)
	for _, id := range gone {
		_, err := s.Get(ctx, id)
		assert.ErrorIs(t, err, ErrNotFound)
	}
	for _, id := range blank {
		row, err := s.Get(ctx, id)
		require.NoError(t, err)
		want := Session{Serial: row.Serial, ID: id, Derived: true, LogoutAt: row.LogoutAt, EndReason: ReasonAdmin, CredentialUntil: row.CredentialUntil}
		assert.Equal(t, want, row.Session, "handle, time and reason stay, nothing else")
	}
	for _, id := range []SessionID{young, live} {
		row, err := s.Get(ctx, id)
		require.NoError(t, err)
		assert.Equal(t, "1", row.UserID)
	}
	n, err := s.Purge(ctx, PurgeOptions{Retention: 10 * day, KeepEnded: 20 * day, Limit: 4})
	require.NoError(t, err)
	assert.Zero(t, n, "what is blank is not blanked again")
	n, err = s.Purge(ctx, PurgeOptions{Retention: 10 * day, KeepEnded: 15 * day, Limit: 4})
	require.NoError(t, err)
	assert.Equal(t, 1, n, "the one without a known end is forgotten with KeepEnded")
}

// onCommit runs f before each statement that commits: COMMIT, and a sign-in.
type onCommit func()

func (f onCommit) BeforeQuery(ctx context.Context, e *bun.QueryEvent) context.Context {
	if e.Query == "COMMIT" || strings.Contains(e.Query, "sessiontrack_create(") {
		f()
	}
	return ctx
}

func (f onCommit) AfterQuery(context.Context, *bun.QueryEvent) {}

// TestBunStoreUnknownOutcomeBearsRepetition loses the answer to COMMIT: the call
// fails as unavailable, it has happened all the same, and saying it again harms
// nothing.
func TestBunStoreUnknownOutcomeBearsRepetition(t *testing.T) {
	t.Parallel()
	cluster := pgtest.NewCluster(t)
	direct := bunStoreOver(t, cluster.Open())
	require.NoError(t, direct.Migrate(t.Context()))
	proxy := pgtest.NewProxy(t, cluster.Addr())
	cut := bunStoreOver(t, pgtest.OpenDSN(t, cluster.DSNAt(proxy.Addr())))
	cut.db.DB = cut.db.WithQueryHook(onCommit(func() { proxy.Swallow(true) }))
	heal := func() { proxy.Cut(); proxy.Swallow(false) }
	ctx := t.Context()

	n := NewSession{Session: Session{ID: newHandle().id(), UserID: "1"}}
	_, err := cut.Create(ctx, n)
	require.ErrorIs(t, err, ErrUnavailable)
	heal()
	require.Eventually(t, func() bool { _, err := direct.Get(ctx, n.Session.ID); return err == nil }, time.Minute, 10*time.Millisecond)
	_, err = direct.Create(ctx, n)
	require.ErrorIs(t, err, ErrExists)

	touch := []TouchRecord{{ID: n.Session.ID, At: time.Now().Add(time.Hour)}}
	_, err = cut.Touch(ctx, touch, 0)
	require.ErrorIs(t, err, ErrUnavailable)
	heal()
	alive, err := direct.Touch(ctx, touch, 0)
	require.NoError(t, err)
	require.Len(t, alive, 1)

	_, err = cut.End(ctx, IDs(n.Session.ID), Ending{Reason: ReasonUser})
	require.ErrorIs(t, err, ErrUnavailable)
	heal()
	require.Eventually(t, func() bool { r, err := direct.Get(ctx, n.Session.ID); return err == nil && r.Ended() }, time.Minute, 10*time.Millisecond)
	again, err := direct.End(ctx, IDs(n.Session.ID), Ending{Reason: ReasonAdmin})
	require.NoError(t, err)
	assert.Empty(t, again.Sessions)
	row, err := direct.Get(ctx, n.Session.ID)
	require.NoError(t, err)
	assert.Equal(t, ReasonUser, row.EndReason)
}

// TestBunStoreServerAway: a hanging server costs no more than the caller's
// deadline, and one that comes back is used again without ado.
func TestBunStoreServerAway(t *testing.T) {
	t.Parallel()
	cluster := pgtest.NewCluster(t)
	s := bunStoreOver(t, cluster.Open())
	require.NoError(t, s.Migrate(t.Context()))
	id := bunCreate(t, s, "1").ID
	_, err := s.db.ExecContext(t.Context(), "CHECKPOINT") // the test's server commits without flushing
	require.NoError(t, err)
	get := func(wait time.Duration) error {
		ctx, cancel := context.WithTimeout(t.Context(), wait)
		defer cancel()
		_, err := s.Get(ctx, id)
		return err
	}

	cluster.Freeze()
	require.ErrorIs(t, get(200*time.Millisecond), ErrUnavailable, "while the server is as it is")
	cluster.Thaw()
	require.NoError(t, get(10*time.Second))

	cluster.Stop(pgtest.Immediate)
	require.ErrorIs(t, get(time.Second), ErrUnavailable)
	cluster.Start()
	require.Eventually(t, func() bool { return get(time.Second) == nil }, time.Minute, 20*time.Millisecond)
}

// TestBunStoreEndAfterTheClockWentBack: after a fail-over to a server whose clock is
// behind, activity of before lies in the future. Its end does not come before it, and
// is not taken for the time that it is.
func TestBunStoreEndAfterTheClockWentBack(t *testing.T) {
	t.Parallel()
	s, ctx := newBunStore(t), t.Context()
	a := bunCreate(t, s, "1")
	b := bunCreate(t, s, "2")
	_, err := s.db.ExecContext(ctx, "UPDATE user_sessions SET last_activity = last_activity + interval '1 hour'")
	require.NoError(t, err)
	ended, err := s.End(ctx, IDs(a.ID), Ending{Reason: ReasonAdmin})
	require.NoError(t, err)
	require.Len(t, ended.Sessions, 1)
	assert.Equal(t, ended.Sessions[0].LastActivity, ended.Sessions[0].LogoutAt)
	assert.WithinDuration(t, a.LoginAt, ended.At, time.Minute, "replicas learn the time from it")

	next := NewSession{Session: Session{ID: newHandle().id(), UserID: "2"}, Replaces: b.ID}
	created, err := s.Create(ctx, next)
	require.NoError(t, err)
	require.Len(t, created.Ended, 1)
	assert.Equal(t, created.Ended[0].LastActivity, created.Ended[0].LogoutAt)
	assert.WithinDuration(t, a.LoginAt, created.Session.LoginAt, time.Minute)
}
