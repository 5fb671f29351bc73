package redisstore_test

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect/pgdialect"

	"github.com/sessiontrack/sessiontrack"
	"github.com/sessiontrack/sessiontrack/internal/pgtest"
	"github.com/sessiontrack/sessiontrack/internal/redistest"
	"github.com/sessiontrack/sessiontrack/redisstore"
)

func newID() sessiontrack.SessionID {
	var raw [16]byte
	_, _ = rand.Read(raw[:]) // never fails
	return sessiontrack.SessionID(base64.RawURLEncoding.EncodeToString(raw[:]))
}

func signIn(t *testing.T, store sessiontrack.Store, user string) sessiontrack.Session {
	t.Helper()
	created, err := store.Create(t.Context(), sessiontrack.NewSession{
		Session: sessiontrack.Session{ID: newID(), UserID: user},
	})
	require.NoError(t, err)
	return created.Session
}

func use(ctx context.Context, store sessiontrack.Store, s sessiontrack.Session, at time.Time) error {
	_, err := store.Touch(ctx, []sessiontrack.TouchRecord{{ID: s.ID, At: at}}, 0)
	return err
}

func now(t *testing.T, store sessiontrack.Store) time.Time {
	t.Helper()
	page, err := store.List(t.Context(), sessiontrack.Query{Limit: 1})
	require.NoError(t, err)
	return page.Now
}

// lagging returns a session of which the durable store knows less than Redis: it was last
// used `used` ago, and the durable store has `lag` less of it. Two replicas share it.
func lagging(t *testing.T, follow, used, lag time.Duration) (
	s sessiontrack.Session, replicas [2]sessiontrack.Store, durable *sessiontrack.BunStore,
) {
	t.Helper()
	db := bun.NewDB(pgtest.Open(t), pgdialect.New())
	durable, err := sessiontrack.NewBunStore(db, nil)
	require.NoError(t, err)
	require.NoError(t, durable.Migrate(t.Context()))
	client, prefix := dial(t, redistest.Shared(t)), rand.Text()
	for i := range replicas {
		replicas[i] = activityOver(t, durable, client, func(o *redisstore.ActivityOptions) {
			o.Prefix, o.Follow, o.Buckets = prefix, follow, 1
		})
	}
	s = signIn(t, replicas[0], "user-1")
	at := now(t, replicas[0]).Add(-used)
	_, err = db.ExecContext(t.Context(), "UPDATE user_sessions SET login_at = ?0, last_activity = ?0", at.Add(-lag))
	require.NoError(t, err)
	require.NoError(t, client.Do(t.Context(), client.B().Zadd().Key(prefix+":{1.0}:act").ScoreMember().
		ScoreMember(float64(at.UnixMicro()), string(s.ID)+"user-1").Build()).Error())
	require.NoError(t, client.Do(t.Context(), client.B().Hdel().Key(prefix+":{1.0}:state").
		Field("written", "pending").Build()).Error())
	s.LastActivity = at
	return s, replicas, durable
}

// TestActivityDecidesIdlenessByRedis holds every decision about idleness to the activity in
// Redis, at a replica that has never seen the session: for a limit that is short for Follow,
// and for a long one.
func TestActivityDecidesIdlenessByRedis(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct{ follow, used, lag, limit time.Duration }{
		"short": {time.Hour, 5 * time.Minute, 50 * time.Minute, 45 * time.Minute},
		"long":  {time.Minute, 100 * time.Second, 50 * time.Second, 131 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, replicas, durable := lagging(t, test.follow, test.used, test.lag)
			other := replicas[1]
			row, err := durable.List(t.Context(), sessiontrack.Query{
				UserID: "user-1", Live: true, IdleTimeout: test.limit, Limit: 10,
			})
			require.NoError(t, err)
			require.Empty(t, row.Sessions, "the durable row alone looks idle")

			got, err := other.Get(t.Context(), s.ID)
			require.NoError(t, err)
			assert.Equal(t, s.LastActivity, got.LastActivity)
			for _, user := range []string{"user-1", ""} {
				page, err := other.List(t.Context(), sessiontrack.Query{
					UserID: user, Live: true, IdleTimeout: test.limit, Limit: 10,
				})
				require.NoError(t, err)
				require.Len(t, page.Sessions, 1, "user %q", user)
				assert.Equal(t, s.LastActivity, page.Sessions[0].LastActivity)
			}
			within := sessiontrack.Query{Sort: sessiontrack.SortLogin, Within: test.used + time.Minute, Limit: 10}
			page, err := other.List(t.Context(), within)
			require.NoError(t, err)
			assert.Len(t, page.Sessions, 1, "by login")
			count, err := other.(sessiontrack.Counter).Count(t.Context(),
				sessiontrack.CountQuery{IdleTimeout: test.limit, Limit: 10})
			require.NoError(t, err)
			assert.Equal(t, 1, count.N)
			counts, err := other.(sessiontrack.Sampler).CountStats(t.Context(), sessiontrack.StatsQuery{
				Windows: [3]time.Duration{time.Minute, time.Hour, 2 * time.Hour}, IdleTimeout: test.limit,
			})
			require.NoError(t, err)
			assert.Equal(t, 1, counts.Sessions)
			for _, sel := range []sessiontrack.Selector{
				sessiontrack.Idle(test.limit), sessiontrack.Idle(test.limit).Walk(0, 100),
				sessiontrack.PastIdle(test.limit, 0),
				sessiontrack.Matching(sessiontrack.Filter{IdleFor: test.limit}),
			} {
				ended, err := other.End(t.Context(), sel, sessiontrack.Ending{Reason: sessiontrack.ReasonIdle})
				require.NoError(t, err)
				require.Empty(t, ended.Sessions, "a session in use is not idle")
			}
			_, err = other.Create(t.Context(), sessiontrack.NewSession{
				Session: sessiontrack.Session{ID: newID(), UserID: "user-1"},
				Limit:   1, Policy: sessiontrack.DenyNew, IdleTimeout: test.limit,
			})
			require.ErrorIs(t, err, sessiontrack.ErrLimit, "it counts")
			ended, err := other.End(t.Context(), sessiontrack.Idle(test.used),
				sessiontrack.Ending{Reason: sessiontrack.ReasonIdle})
			require.NoError(t, err)
			require.Len(t, ended.Sessions, 1, "by Redis's time it has been idle for that long")
			assert.Equal(t, s.LastActivity, ended.Sessions[0].LastActivity, "the row says when it was last used")
		})
	}
}

// TestActivityFollowsCoarsely counts what the durable store gets of a session in use: one
// touch in each Follow.
func TestActivityFollowsCoarsely(t *testing.T) {
	t.Parallel()
	durable := &counting{MemoryStore: sessiontrack.NewMemoryStore()}
	hourly := func(o *redisstore.ActivityOptions) { o.Follow = time.Hour }
	store := activityOver(t, durable, dial(t, redistest.Shared(t)), hourly)
	s := signIn(t, store, "user-1")
	const touches = 200
	for range touches {
		at := now(t, store)
		require.NoError(t, use(t.Context(), store, s, at))
		got, err := store.Get(t.Context(), s.ID)
		require.NoError(t, err)
		require.Equal(t, at, got.LastActivity)
	}
	assert.LessOrEqual(t, durable.touched.Load(), int64(2), "of %d touches", touches)
}
