package redisstore_test

import (
	"log/slog"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sessiontrack/sessiontrack"
	"github.com/sessiontrack/sessiontrack/internal/redistest"
	"github.com/sessiontrack/sessiontrack/redisstore"
)

// The sets of capabilities that a durable store may have.
type (
	plain struct{ sessiontrack.Store }
	ended struct {
		plain
		sessiontrack.EndedFeed
	}
	changed struct {
		plain
		sessiontrack.ChangeFeed
	}
	sampled struct {
		plain
		sessiontrack.Sampler
	}
	told struct {
		plain
		sessiontrack.Historian
	}
	endedAndSampled struct {
		ended
		sessiontrack.Sampler
	}
	changedAndTold struct {
		changed
		sessiontrack.Historian
	}
	renewing struct {
		plain
		sessiontrack.Renewer
	}
	changedAndRenewing struct {
		changed
		sessiontrack.Renewer
	}
)

// TestActivityHasWhatTheDurableStoreHas finds each capability by type assertion, as a
// Tracker does.
func TestActivityHasWhatTheDurableStoreHas(t *testing.T) {
	t.Parallel()
	m := sessiontrack.NewMemoryStore()
	p := plain{m}
	client := dial(t, redistest.Shared(t))
	for name, durable := range map[string]sessiontrack.Store{
		"none": p, "ended": ended{p, m}, "changed": changed{p, m}, "sampled": sampled{p, m}, "told": told{p, m},
		"ended and sampled": endedAndSampled{ended{p, m}, m}, "changed and told": changedAndTold{changed{p, m}, m},
		"renewing": renewing{p, m}, "changed and renewing": changedAndRenewing{changed{p, m}, m}, "all": m,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			store := activityOver(t, durable, client)
			assert.Equal(t, has[sessiontrack.EndedFeed](durable), has[sessiontrack.EndedFeed](store), "EndedFeed")
			assert.Equal(t, has[sessiontrack.ChangeFeed](durable), has[sessiontrack.ChangeFeed](store), "ChangeFeed")
			assert.Equal(t, has[sessiontrack.Sampler](durable), has[sessiontrack.Sampler](store), "Sampler")
			assert.Equal(t, has[sessiontrack.Historian](durable), has[sessiontrack.Historian](store), "Historian")
			assert.Equal(t, has[sessiontrack.Renewer](durable), has[sessiontrack.Renewer](store), "Renewer")
			assert.True(t, has[sessiontrack.Counter](store), "Counter")
			assert.True(t, has[sessiontrack.OnlineReader](store), "OnlineReader")
			assert.True(t, has[sessiontrack.Leaser](store), "Leaser")
			assert.True(t, has[sessiontrack.Checker](store), "Checker")
		})
	}
}

func has[T any](store sessiontrack.Store) bool {
	_, ok := store.(T)
	return ok
}

func check(t *testing.T, store sessiontrack.Store) error {
	t.Helper()
	return store.(sessiontrack.Checker).Check(t.Context())
}

// TestActivityChecksTheServer names what cannot work.
func TestActivityChecksTheServer(t *testing.T) {
	t.Parallel()
	evicting := redistest.Start(t, "maxmemory 100mb", "maxmemory-policy allkeys-lru")
	err := check(t, activityOver(t, sessiontrack.NewMemoryStore(), dial(t, evicting.Addr())))
	require.ErrorIs(t, err, redisstore.ErrUnfit)
	require.ErrorIs(t, err, sessiontrack.ErrStoreFault)
	assert.ErrorContains(t, err, "allkeys-lru")

	server := redistest.Start(t)
	client := dial(t, server.Addr())
	store := activityOver(t, sessiontrack.NewMemoryStore(), client)
	require.NoError(t, check(t, store))
	left, err := client.Do(t.Context(), client.B().Keys().Pattern("*check*").Build()).AsStrSlice()
	require.NoError(t, err)
	assert.Empty(t, left, "the check takes its keys away")
	require.NoError(t, client.Do(t.Context(),
		client.B().Arbitrary("ACL", "SETUSER", "default", "-zadd").Build()).Error())
	err = check(t, store)
	require.ErrorIs(t, err, redisstore.ErrUnfit)
	assert.ErrorContains(t, err, "right")

	server.Kill()
	require.ErrorIs(t, check(t, store), sessiontrack.ErrUnavailable)
}

// TestActivityOptions names the field and its bound.
func TestActivityOptions(t *testing.T) {
	t.Parallel()
	client := dial(t, redistest.Shared(t))
	for want, opts := range map[string]redisstore.ActivityOptions{
		"Prefix":  {Prefix: "a{b}"},
		"Buckets": {Buckets: 5000},
		"Follow":  {Follow: time.Millisecond},
		"Timeout": {Timeout: time.Minute},
		"Owners":  {Owners: 1},
	} {
		_, err := redisstore.Activity(sessiontrack.NewMemoryStore(), client, &opts)
		require.ErrorContains(t, err, want)
	}
	_, err := redisstore.Activity(nil, client, nil)
	require.ErrorContains(t, err, "durable")
	_, err = redisstore.Activity(sessiontrack.NewMemoryStore(), nil, nil)
	require.ErrorContains(t, err, "client")
	_, err = redisstore.Activity(sessiontrack.NewMemoryStore(), client,
		&redisstore.ActivityOptions{Logger: slog.New(slog.DiscardHandler)})
	require.NoError(t, err)
}
