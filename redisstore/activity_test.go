package redisstore_test

import (
	"crypto/rand"
	"testing"
	"time"

	"github.com/redis/rueidis"
	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect/pgdialect"

	"github.com/sessiontrack/sessiontrack"
	"github.com/sessiontrack/sessiontrack/internal/pgtest"
	"github.com/sessiontrack/sessiontrack/internal/redistest"
	"github.com/sessiontrack/sessiontrack/redisstore"
	"github.com/sessiontrack/sessiontrack/storetest"
)

// dial returns a client, closed when the test ends.
func dial(t *testing.T, addrs ...string) rueidis.Client {
	t.Helper()
	client, err := rueidis.NewClient(rueidis.ClientOption{InitAddress: addrs, DisableCache: true})
	require.NoError(t, err)
	t.Cleanup(client.Close)
	return client
}

// activityOver returns an Activity with a prefix of its own on a server that tests share.
func activityOver(
	t *testing.T, durable sessiontrack.Store, client rueidis.Client, changes ...func(*redisstore.ActivityOptions),
) sessiontrack.Store {
	t.Helper()
	opts := &redisstore.ActivityOptions{Prefix: rand.Text(), Buckets: 8, Timeout: 10 * time.Second}
	for _, f := range changes {
		f(opts)
	}
	store, err := redisstore.Activity(durable, client, opts)
	require.NoError(t, err)
	return store
}

func postgres(t *testing.T) *sessiontrack.BunStore {
	t.Helper()
	store, err := sessiontrack.NewBunStore(bun.NewDB(pgtest.Open(t), pgdialect.New()), nil)
	require.NoError(t, err)
	require.NoError(t, store.Migrate(t.Context()))
	return store
}

// TestActivityOverMemory holds it against the contract, on one server and on a cluster.
func TestActivityOverMemory(t *testing.T) {
	t.Parallel()
	client := dial(t, redistest.Shared(t))
	storetest.Run(t, func(t *testing.T) sessiontrack.Store {
		return activityOver(t, sessiontrack.NewMemoryStore(), client)
	})
}

func TestActivityOverMemoryOnACluster(t *testing.T) {
	t.Parallel()
	client := dial(t, redistest.SharedCluster(t)...)
	storetest.Run(t, func(t *testing.T) sessiontrack.Store {
		return activityOver(t, sessiontrack.NewMemoryStore(), client)
	})
}

// TestActivityOverPostgreSQL holds it against the contract over the store that it is for.
func TestActivityOverPostgreSQL(t *testing.T) {
	t.Parallel()
	client := dial(t, redistest.Shared(t))
	storetest.Run(t, func(t *testing.T) sessiontrack.Store { return activityOver(t, postgres(t), client) })
}
