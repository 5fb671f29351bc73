package sessiontrack

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
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
		e, last := sseEvent{}, error(nil)
		for e.kind != "ended" {
			e, last = c.next()
			require.NoError(t, last)
		}
		require.Equal(t, map[string]any{"reason": "admin"}, e.data)
		c.wantEnd("session_ended")
		for err == nil {
			_, _, err = socket.Read(t.Context())
		}
		require.Equal(t, websocket.StatusCode(4401), websocket.CloseStatus(err))
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

// TestStreamAnnouncesLimits: a stream tells its user once that the session is about to end, by what
// every replica knows of its activity, and why it has ended.
func TestStreamAnnouncesLimits(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		o    Options
		want []string
	}{
		"idle, a tenth": {Options{IdleTimeout: 30 * time.Minute},
			[]string{"01:27:00 expiring idle 01:30:00", "01:55:00 expiring idle 01:58:00", "01:58:00 ended idle"}},
		"idle, at most ten minutes": {Options{IdleTimeout: 3 * time.Hour},
			[]string{"03:50:00 expiring idle 04:00:00", "04:00:00 ended idle"}},
		"lifetime": {Options{Lifetime: 5 * time.Hour, IdleTimeout: -1},
			[]string{"04:50:00 expiring lifetime 05:00:00", "05:00:00 ended lifetime"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				store := newFaultStore()
				f, other := replica(t, store, &test.o).started(t), replica(t, store, &test.o).started(t)
				began := time.Now()
				s, token := f.login(t, "42")
				written := &clockedWriter{ResponseRecorder: httptest.NewRecorder(), began: began}
				over := make(chan struct{})
				go func() {
					defer close(over)
					r := request("GET", "/api/v1/online/events", "Accept", "text/event-stream", headerName, token.Reveal())
					f.UserHandler(nil).ServeHTTP(written, r.WithContext(t.Context()))
				}()
				for _, after := range []time.Duration{20, 40, 60} { // the user is busy elsewhere
					time.Sleep(after*time.Minute - time.Since(began))
					require.NoError(t, other.Touch(t.Context(), s.ID))
				}
				if test.o.IdleTimeout == 30*time.Minute {
					time.Sleep(28 * time.Minute)
					require.NoError(t, other.Touch(t.Context(), s.ID))
				}
				<-over
				assert.Equal(t, test.want, written.notices)
				require.NoError(t, f.Shutdown(t.Context()))
				require.NoError(t, other.Shutdown(t.Context()))
			})
		})
	}
}

// clockedWriter notes when it is told of a limit, and what.
type clockedWriter struct {
	*httptest.ResponseRecorder
	began   time.Time
	notices []string
}

func (w *clockedWriter) Write(p []byte) (int, error) {
	event, data, _ := strings.Cut(strings.TrimPrefix(string(p), "event: "), "\ndata: ")
	if event == "expiring" || event == "ended" {
		var notice struct {
			At          time.Time
			Why, Reason string
		}
		if err := json.Unmarshal([]byte(data), &notice); err != nil {
			return 0, err
		}
		clock := func(at time.Time) string {
			return time.Time{}.Add(at.Sub(w.began).Round(time.Minute)).Format("15:04:05")
		}
		text := clock(time.Now()) + " " + event + " " + notice.Why + notice.Reason
		if event == "expiring" {
			text += " " + clock(notice.At)
		}
		w.notices = append(w.notices, text)
	}
	return w.ResponseRecorder.Write(p)
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
	require.Equal(t, "session_ended admin", closed.Reason)
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
