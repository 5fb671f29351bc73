package drivers

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sessiontrack/sessiontrack"
	"github.com/sessiontrack/sessiontrack/internal/pgtest"
	"github.com/sessiontrack/sessiontrack/storetest"
)

// TestStoreThroughPgBouncer holds the store to the whole contract through a pooler that gives each
// transaction any of four connections.
func TestStoreThroughPgBouncer(t *testing.T) {
	t.Parallel()
	dsn := pgtest.NewCluster(t).NewPooler("transaction").DSN()
	storetest.Run(t, func(t *testing.T) sessiontrack.Store { return open(t, drivers["pgx exec"], dsn, schema()) })
}

// TestReplicasThroughPgBouncer: two replicas behind one pooler are one application, whichever driver
// they use: limits are exact, and ends are refused by both.
func TestReplicasThroughPgBouncer(t *testing.T) {
	t.Parallel()
	dsn := pgtest.NewCluster(t).NewPooler("transaction").DSN()
	for _, name := range unprepared {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			options := schema()
			replicas := [2]*sessiontrack.Tracker{
				start(t, open(t, drivers[name], dsn, options)), start(t, open(t, drivers[name], dsn, options)),
			}
			limitIsExact(t, replicas)
			endIsRefusedByBoth(t, replicas)
		})
	}
}

const limit = 3

// start returns a replica. A machine that runs all tests at once may need long for one statement.
func start(t *testing.T, store sessiontrack.Store) *sessiontrack.Tracker {
	t.Helper()
	tracker, err := sessiontrack.New(store, &sessiontrack.Options{
		MaxSessions: limit, StoreTimeout: 5 * time.Second, MaxStaleness: 20 * time.Second, FlushInterval: 100 * time.Millisecond,
	})
	require.NoError(t, err)
	require.NoError(t, tracker.Start(t.Context()))
	t.Cleanup(func() { assert.NoError(t, tracker.Shutdown(context.WithoutCancel(t.Context()))) })
	return tracker
}

func signIn(t *testing.T, tracker *sessiontrack.Tracker, user string) (sessiontrack.Session, *http.Request) {
	r := httptest.NewRequest(http.MethodPost, "/login", nil)
	s, token, err := tracker.Login(httptest.NewRecorder(), r, user)
	assert.NoError(t, err)
	r = httptest.NewRequest(http.MethodGet, "/", nil)
	r.Header.Set("x-session-id", token.Reveal())
	return s, r
}

// limitIsExact signs one user in many times, through both replicas at once.
func limitIsExact(t *testing.T, replicas [2]*sessiontrack.Tracker) {
	t.Helper()
	var group sync.WaitGroup
	for i := range 20 {
		group.Go(func() { signIn(t, replicas[i%2], "42") })
	}
	group.Wait()
	page, err := replicas[0].List(t.Context(), sessiontrack.Query{UserID: "42", Live: true, Limit: 100})
	require.NoError(t, err)
	require.Len(t, page.Sessions, limit)
}

// endIsRefusedByBoth ends through one replica what the other one has cached, and has used.
func endIsRefusedByBoth(t *testing.T, replicas [2]*sessiontrack.Tracker) {
	t.Helper()
	s, request := signIn(t, replicas[0], "43")
	for _, replica := range replicas {
		_, err := replica.Authenticate(request)
		require.NoError(t, err)
	}
	ended, err := replicas[0].End(t.Context(), sessiontrack.IDs(s.ID), sessiontrack.Ending{Reason: sessiontrack.ReasonAdmin})
	require.NoError(t, err)
	require.Len(t, ended, 1)
	_, err = replicas[0].Authenticate(request)
	require.ErrorIs(t, err, sessiontrack.ErrEnded, "at once where it was ended")
	acknowledged := time.Now()
	require.Eventually(t, func() bool {
		_, err := replicas[1].Authenticate(request)
		return errors.Is(err, sessiontrack.ErrEnded)
	}, 30*time.Second, 10*time.Millisecond)
	t.Logf("refused by the other replica after %v", time.Since(acknowledged).Round(time.Millisecond))
}
