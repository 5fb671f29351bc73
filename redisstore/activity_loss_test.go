package redisstore_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sessiontrack/sessiontrack"
	"github.com/sessiontrack/sessiontrack/internal/redistest"
	"github.com/sessiontrack/sessiontrack/redisstore"
)

// counting counts the touches that reach a store.
type counting struct {
	*sessiontrack.MemoryStore
	touched atomic.Int64
}

func (c *counting) Touch(
	ctx context.Context, batch []sessiontrack.TouchRecord, step time.Duration,
) ([]sessiontrack.SessionID, error) {
	c.touched.Add(int64(len(batch)))
	return c.MemoryStore.Touch(ctx, batch, step)
}

const windows = time.Hour

func online(t *testing.T, store sessiontrack.Store) int {
	t.Helper()
	counts, _, err := store.(sessiontrack.OnlineReader).CountOnline(t.Context(), []time.Duration{windows})
	require.NoError(t, err)
	return counts[0]
}

// TestActivityForgetsEverything flushes all of Redis while replicas use sessions: nobody is
// signed out, nobody is called idle, and presence is right again with the next touches.
func TestActivityForgetsEverything(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	client, durable := dial(t, server.Addr()), sessiontrack.NewMemoryStore()
	var replicas [2]sessiontrack.Store
	for i := range replicas {
		replicas[i] = activityOver(t, durable, client, func(o *redisstore.ActivityOptions) { o.Prefix = "p" })
	}
	const users = 50
	all := make([]sessiontrack.Session, users)
	for i := range all {
		all[i] = signIn(t, replicas[0], fmt.Sprintf("user-%02d", i))
	}
	var stop atomic.Bool
	var load sync.WaitGroup
	for i, store := range replicas {
		load.Go(func() {
			for k := i; !stop.Load(); k = (k + 1) % users {
				before := time.Now()
				alive, err := store.Touch(t.Context(), []sessiontrack.TouchRecord{{ID: all[k].ID, At: before}}, 0)
				if !assert.NoError(t, err) || !assert.Len(t, alive, 1, "a session in use is alive") {
					return
				}
				got, err := store.Get(t.Context(), all[k].ID)
				if !assert.NoError(t, err) || !assert.False(t, got.Ended()) ||
					!assert.Less(t, before.Sub(got.LastActivity), time.Second, "activity is not forgotten") {
					return
				}
			}
		})
	}
	for range 20 {
		require.NoError(t, client.Do(t.Context(), client.B().Flushall().Build()).Error())
		assert.Equal(t, users, online(t, replicas[1]), "the durable store knows who is there")
		ended, err := replicas[1].End(t.Context(), sessiontrack.Idle(time.Minute),
			sessiontrack.Ending{Reason: sessiontrack.ReasonIdle})
		require.NoError(t, err)
		require.Empty(t, ended.Sessions)
	}
	stop.Store(true)
	load.Wait()
	offline, err := replicas[0].End(t.Context(), sessiontrack.User("user-00"), byAdmin)
	require.NoError(t, err)
	require.Len(t, offline.Sessions, 1)
	assert.Equal(t, users-1, online(t, replicas[1]))
}

// TestActivityIsNotIdleAfterALoss loses activity that the durable store did not have yet:
// what it can have been counts.
func TestActivityIsNotIdleAfterALoss(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	client, durable := dial(t, server.Addr()), sessiontrack.NewMemoryStore()
	opts := func(o *redisstore.ActivityOptions) { o.Prefix, o.Follow = "p", time.Hour }
	store := activityOver(t, durable, client, opts)
	s := signIn(t, store, "user-1")
	require.NoError(t, use(t.Context(), store, s, now(t, store)))
	require.NoError(t, client.Do(t.Context(), client.B().Flushall().Build()).Error())

	restarted := activityOver(t, durable, client, opts)
	ended, err := restarted.End(t.Context(), sessiontrack.Idle(time.Microsecond),
		sessiontrack.Ending{Reason: sessiontrack.ReasonIdle})
	require.NoError(t, err)
	assert.Empty(t, ended.Sessions, "it may have been used within Follow")
	got, err := restarted.Get(t.Context(), s.ID)
	require.NoError(t, err)
	row, err := durable.Get(t.Context(), s.ID)
	require.NoError(t, err)
	assert.True(t, got.LastActivity.After(row.LastActivity), "the latest that it can have been")
	assert.False(t, got.LastActivity.After(now(t, restarted)))
}

var byAdmin = sessiontrack.Ending{Reason: sessiontrack.ReasonAdmin, Actor: "admin-7"}

// TestActivityGoesOnWithoutRedis kills Redis and starts it again, empty.
func TestActivityGoesOnWithoutRedis(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	durable := &counting{MemoryStore: sessiontrack.NewMemoryStore()}
	store := activityOver(t, durable, dial(t, server.Addr()))
	kept, gone := signIn(t, store, "kept"), signIn(t, store, "gone")
	require.Equal(t, 2, online(t, store))
	server.Kill()

	got, err := store.Get(t.Context(), kept.ID)
	require.NoError(t, err)
	assert.False(t, got.LastActivity.Before(kept.LastActivity))
	made := signIn(t, store, "made")
	ended, err := store.End(t.Context(), sessiontrack.IDs(gone.ID), byAdmin)
	require.NoError(t, err)
	require.Len(t, ended.Sessions, 1)
	page, err := store.(sessiontrack.EndedFeed).EndedSince(t.Context(), kept.LoginAt, 10)
	require.NoError(t, err)
	assert.Len(t, page.Ended, 1)
	changes, err := store.(sessiontrack.ChangeFeed).ChangesSince(t.Context(), sessiontrack.ChangeQuery{
		Seen: kept.LoginAt.Add(-time.Hour), Limit: 10,
	})
	require.NoError(t, err)
	assert.Len(t, changes.Seen, 2, "presence is the durable store's")
	require.ErrorIs(t, use(t.Context(), store, kept, now(t, durable)), sessiontrack.ErrUnavailable)
	_, _, err = store.(sessiontrack.OnlineReader).CountOnline(t.Context(), []time.Duration{windows})
	require.ErrorIs(t, err, sessiontrack.ErrUnavailable)
	_, err = store.End(t.Context(), sessiontrack.Idle(time.Hour), sessiontrack.Ending{Reason: sessiontrack.ReasonIdle})
	require.ErrorIs(t, err, sessiontrack.ErrUnavailable, "who is idle is not known")

	server.Restart()
	require.Eventually(t, func() bool {
		return use(t.Context(), store, made, now(t, durable)) == nil
	}, 20*time.Second, 20*time.Millisecond)
	assert.Equal(t, 2, online(t, store), "who has ended meanwhile is offline, who has come is online")
	users, err := store.(sessiontrack.OnlineReader).ListOnline(t.Context(),
		sessiontrack.OnlineQuery{Window: windows, Limit: 10})
	require.NoError(t, err)
	assert.Len(t, users.Users, 2)
}

// TestActivityFollowsWhileRedisIsAway holds the durable store to Follow without Redis.
func TestActivityFollowsWhileRedisIsAway(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	durable := &counting{MemoryStore: sessiontrack.NewMemoryStore()}
	often := func(o *redisstore.ActivityOptions) { o.Follow = time.Second }
	store := activityOver(t, durable, dial(t, server.Addr()), often)
	s := signIn(t, store, "user-1")
	server.Kill()
	require.Eventually(t, func() bool {
		at := now(t, durable)
		assert.ErrorIs(t, use(t.Context(), store, s, at), sessiontrack.ErrUnavailable)
		row, err := durable.Get(t.Context(), s.ID)
		require.NoError(t, err)
		return row.LastActivity.After(s.LoginAt) && at.Sub(row.LastActivity) < 2*time.Second
	}, 20*time.Second, time.Millisecond)
}

// TestActivityHealsWhatOthersEnd ends a session in the durable store alone, as another
// program does.
func TestActivityHealsWhatOthersEnd(t *testing.T) {
	t.Parallel()
	durable := sessiontrack.NewMemoryStore()
	store := activityOver(t, durable, dial(t, redistest.Shared(t)))
	s := signIn(t, store, "user-1")
	_, err := durable.End(t.Context(), sessiontrack.IDs(s.ID), byAdmin)
	require.NoError(t, err)
	require.Equal(t, 1, online(t, store), "nobody has told Redis")
	_, err = store.(sessiontrack.EndedFeed).EndedSince(t.Context(), s.LoginAt, 10)
	require.NoError(t, err)
	assert.Zero(t, online(t, store))
	alive, err := store.Touch(t.Context(), []sessiontrack.TouchRecord{{ID: s.ID, At: now(t, store)}}, 0)
	require.NoError(t, err)
	assert.Empty(t, alive)
}
