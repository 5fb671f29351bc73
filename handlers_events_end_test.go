package sessiontrack

import (
	"context"
	"encoding/json"
	"net/http"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestStreamEndsWithTheRight: a role that is lost, and a function of the host that
// refuses, end the stream within MaxStaleness.
func TestStreamEndsWithTheRight(t *testing.T) {
	t.Parallel()
	s := newLiveSite(t, NewMemoryStore(), siteOptions{tracker: quick})
	s.signInAll(t, adam)
	c := s.stream(t, adam, "")
	c.want("snapshot")
	began := time.Now()
	s.mu.Lock()
	s.roles[adam] = []string{"user"}
	s.mu.Unlock()
	c.wantEnd("forbidden")
	require.Less(t, time.Since(began), 2*time.Second+busyMachine, "MaxStaleness")
}

// TestStreamEndsEverywhere: the watcher's session is ended at one replica, and the
// streams that it holds open at another end with it, and say nothing more.
func TestStreamEndsEverywhere(t *testing.T) {
	t.Parallel()
	onEachStore(t, func(t *testing.T, store Store) {
		here, there := newLiveSite(t, store, siteOptions{tracker: quick}), newLiveSite(t, store, siteOptions{tracker: quick})
		here.signInAll(t, adam)
		there.tokens[adam] = here.tokens[adam]
		c, socket := there.stream(t, adam, ""), there.socket(t, adam, "")
		c.want("snapshot")
		began := time.Now()
		_, err := here.End(t.Context(), User(adam), Ending{Reason: ReasonAdmin})
		require.NoError(t, err)
		c.wantEnd("session_ended")
		for err == nil {
			_, _, err = socket.Read(t.Context())
		}
		require.Equal(t, websocket.StatusPolicyViolation, websocket.CloseStatus(err))
		assert.Less(t, time.Since(began), 2*time.Second+busyMachine, "MaxStaleness")
		require.Equal(t, 401, there.get(t, adam, "/api/v1/online/events").StatusCode)
	})
}

// TestStreamEndsWithItsLimits: a session past its lifetime holds no stream open.
func TestStreamEndsWithItsLimits(t *testing.T) {
	t.Parallel()
	s := newLiveSite(t, NewMemoryStore(), siteOptions{tracker: func(o *Options) {
		quick(o)
		o.TouchInterval, o.Lifetime = -1, 1300*time.Millisecond
	}})
	s.signInAll(t, alice)
	c := s.stream(t, alice, "")
	c.want("snapshot")
	c.wantEnd("session_ended")
}

// TestShutdownEndsStreams: Shutdown returns when the last one has gone; EndStreams
// before that, for the HTTP server's sake.
func TestShutdownEndsStreams(t *testing.T) {
	t.Parallel()
	s := newLiveSite(t, NewMemoryStore(), siteOptions{})
	s.signInAll(t, alice)
	for _, end := range []func(){s.EndStreams, func() { require.NoError(t, s.Shutdown(t.Context())) }} {
		c, socket := s.stream(t, alice, ""), s.socket(t, alice, "")
		c.want("snapshot")
		_, _, err := socket.Read(t.Context())
		require.NoError(t, err)
		end()
		c.wantEnd("shutdown")
		_, _, err = socket.Read(t.Context())
		require.Equal(t, websocket.StatusGoingAway, websocket.CloseStatus(err))
	}
	require.False(t, s.events.hub.streams.any())
	requireProblem(t, s.as(alice, "GET", "/api/v1/online/events"), 503, "store_unavailable")
}

func (s *liveSite) dial(t *testing.T, user, query, origin string) (*websocket.Conn, *http.Response, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	h := http.Header{}
	if user != "" {
		h.Set("Cookie", "__Host-session="+s.tokens[user].Reveal())
	}
	if origin != "" {
		h.Set("Origin", origin)
	}
	return websocket.Dial(ctx, s.url+"/api/v1/online/events"+query, &websocket.DialOptions{HTTPHeader: h})
}

func (s *liveSite) socket(t *testing.T, user, query string) *websocket.Conn {
	t.Helper()
	conn, _, err := s.dial(t, user, query, s.url)
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.CloseNow() })
	return conn
}

func TestWebSocketCarriesTheSameEvents(t *testing.T) {
	t.Parallel()
	s := newLiveSite(t, NewMemoryStore(), siteOptions{tracker: quick, online: &UserOptions{Origins: []string{"https://app.example.com"}}})
	s.signInAll(t, adam)
	socket, c := s.socket(t, adam, "?users=2"), s.stream(t, adam, "?users=2")
	read := func() (e map[string]any) {
		t.Helper()
		for {
			kind, data, err := socket.Read(t.Context())
			require.NoError(t, err)
			require.Equal(t, websocket.MessageText, kind)
			e = nil
			require.NoError(t, json.Unmarshal(data, &e))
			if e["type"] != "stats" {
				return e
			}
		}
	}
	require.Equal(t, "snapshot", read()["type"])
	c.want("snapshot")
	s.signIn(t, bob)
	require.Equal(t, c.want("login").data, read())
	require.Equal(t, c.want("online").data, read())
	for origin, status := range map[string]int{
		"https://evil.example": 403, "null": 403, "http://127.0.0.1:1": 403, s.url + ".evil.example": 403, "https://app.example.com.evil": 403,
		"https://app.example.com": 101, "": 101,
	} {
		conn, response, err := s.dial(t, adam, "", origin)
		require.Equal(t, status, response.StatusCode, origin)
		require.Equal(t, status == 101, err == nil)
		if conn != nil {
			_ = conn.CloseNow()
		}
	}
	_, response, err := s.dial(t, "", "", s.url)
	require.Error(t, err)
	require.Equal(t, 401, response.StatusCode)
	_, err = s.End(t.Context(), User(adam), Ending{Reason: ReasonAdmin})
	require.NoError(t, err)
	for err == nil {
		_, _, err = socket.Read(t.Context())
	}
	var closed websocket.CloseError
	require.ErrorAs(t, err, &closed)
	require.Equal(t, "session_ended", closed.Reason)
}

// TestOneUserCannotHoldAllStreams: with one account nobody can hold all the places, by however
// many of its sessions; and what is closed is given back.
func TestOneUserCannotHoldAllStreams(t *testing.T) {
	t.Parallel()
	s := newLiveSite(t, NewMemoryStore(), siteOptions{tracker: func(o *Options) { o.MaxSubscribers = 4 * fairStreams }})
	s.signInAll(t, bob, adam, alice)
	var last *sseClient
	for i := range fairStreams {
		if i == fairStreams/2 {
			s.signIn(t, alice)
		}
		last = s.stream(t, alice, "")
		last.want("snapshot")
	}
	requireProblem(t, s.as(alice, "GET", "/api/v1/online/events"), 503, "too_many_streams")
	s.stream(t, bob, "").want("snapshot")
	for range fairStreams + 1 {
		s.stream(t, adam, "").want("snapshot")
	}
	require.NoError(t, last.body.Close())
	require.Eventually(t, func() bool { return s.get(t, alice, "/api/v1/online/events").StatusCode == 200 }, patience, 10*time.Millisecond)
}
