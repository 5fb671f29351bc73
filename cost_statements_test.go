package sessiontrack

import (
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sessiontrack/sessiontrack/internal/pgtest"
)

// count returns how many of the statements contain a text.
func count(statements []string, text string) (n int) {
	for _, s := range statements {
		if strings.Contains(s, text) {
			n++
		}
	}
	return n
}

// besidesFeed returns the beginnings of the statements that do not read the feed.
func besidesFeed(statements []string) (others []string) {
	for _, s := range statements {
		if !strings.Contains(s, readsFeed) {
			others = append(others, s[:min(len(s), 80)])
		}
	}
	return others
}

const (
	updatesSessions = "UPDATE user_sessions"
	writesPresence  = "INSERT INTO user_presence"
	readsSession    = "s.secret_hash FROM user_sessions"
	readsFeed       = "AS g ON true"
)

// overPostgres is a started Tracker on PostgreSQL, with what it sends.
func overPostgres(t *testing.T, s *BunStore, o Options) (*fixture, *statements) {
	t.Helper()
	hook := watch(s)
	o.SampleInterval, o.CleanupInterval = -1, -1
	tracker, err := New(s, &o)
	require.NoError(t, err)
	f := &fixture{Tracker: tracker}
	f.handler = tracker.Middleware(f.echo())
	f.started(t)
	return f, hook
}

// TestStatementsOfWarmAndColdRequests counts what 10,000 requests over 100 sessions
// send to PostgreSQL.
func TestStatementsOfWarmAndColdRequests(t *testing.T) {
	t.Parallel()
	const sessions, requests, firsts = 100, 10_000, 32
	s := newBunStore(t)
	maker, err := New(bunStoreOver(t, s.db.DB.DB), nil)
	require.NoError(t, err)
	tokens := make([]Token, sessions)
	for i := range tokens {
		var session Session
		session, tokens[i], err = maker.Login(httptest.NewRecorder(), request("POST", "/login"), "user"+string(rune('a'+i%26)))
		require.NoError(t, err)
		device := Device{Type: DeviceUnknown, Source: "user_agent"} // else the first touch has it named
		require.NoError(t, s.Describe(t.Context(), []SessionUpdate{{ID: session.ID, Device: &device}}))
	}
	// No flush of its own within the test; every request is activity.
	f, hook := overPostgres(t, s, Options{TouchInterval: -1, FlushInterval: time.Minute, PresenceStep: -1})
	hook.take()
	for _, token := range tokens {
		var wait sync.WaitGroup
		for range firsts {
			wait.Go(func() { assert.Equal(t, 200, f.get(token).Code) })
		}
		wait.Wait()
	}
	assert.LessOrEqual(t, count(hook.take(), readsSession), sessions, "one read a session, whoever waits for it")
	for i := range requests {
		require.Equal(t, 200, f.get(tokens[i%sessions]).Code)
	}
	sent := hook.take()
	assert.Empty(t, besidesFeed(sent), "no request sends anything")

	left, err := f.touches.flush(t.Context())
	require.NoError(t, err)
	assert.Zero(t, left)
	sent = hook.take()
	assert.Equal(t, 1, count(sent, updatesSessions))
	assert.Equal(t, 1, count(sent, writesPresence))
	assert.Zero(t, count(sent, readsSession))
}

// TestStatementsOfAnIdleReplica counts what a replica sends that nobody uses.
func TestStatementsOfAnIdleReplica(t *testing.T) {
	t.Parallel()
	s := bunStoreOver(t, pgtest.Open(t))
	require.NoError(t, s.Migrate(t.Context()))
	const interval = 100 * time.Millisecond
	_, hook := overPostgres(t, s, Options{FeedInterval: interval, FlushInterval: interval})
	hook.take()
	began := time.Now()
	seen := 0
	require.Eventually(t, func() bool {
		sent := hook.take()
		assert.Empty(t, besidesFeed(sent))
		seen += len(sent)
		return seen >= 20
	}, time.Minute, interval)
	assert.LessOrEqual(t, seen, int(time.Since(began)/interval)+2, "one at each end may be late")
}
