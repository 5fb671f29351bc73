package stream

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// within bounds how long a client of these tests waits.
const within = 10 * time.Second

func TestSSE(t *testing.T) {
	t.Parallel()
	w := httptest.NewRecorder()
	s, err := NewSSE(w)
	require.NoError(t, err)
	assert.Equal(t, http.Header{
		"Content-Type": {"text/event-stream; charset=utf-8"}, "Cache-Control": {"no-store"},
		"X-Accel-Buffering": {"no"}, "X-Content-Type-Options": {"nosniff"},
	}, w.Header())
	begun := w.Body.String()
	require.Regexp(t, `^retry: [1-4]\d\d\d\n\n$`, begun)

	require.NoError(t, s.Event("a.1", "login", []byte(`{"type":"login"}`)))
	require.NoError(t, s.Event("a.2", "logout", []byte(`{}`)))
	assert.Equal(t, begun, w.Body.String(), "events wait for Flush")
	require.NoError(t, s.Flush())
	require.NoError(t, s.Beat())
	s.Close(Refused, "session_ended")
	assert.Equal(t, "id: a.1\nevent: login\ndata: {\"type\":\"login\"}\n\n"+
		"id: a.2\nevent: logout\ndata: {}\n\n:\n\n: closed session_ended\n\n", strings.TrimPrefix(w.Body.String(), begun))
}

// broken is a client that has left.
type broken struct{ http.ResponseWriter }

func (broken) Write([]byte) (int, error) { return 0, errors.New("the client has left") }

func TestSSEToNobody(t *testing.T) {
	t.Parallel()
	s, err := NewSSE(broken{httptest.NewRecorder()})
	require.ErrorContains(t, err, "the client has left")
	require.ErrorContains(t, s.Beat(), "the client has left")
}

// bounded records the deadline of writes that holds when each is made.
type bounded struct {
	*httptest.ResponseRecorder
	deadline time.Time
	writes   []time.Time
}

func (w *bounded) SetWriteDeadline(at time.Time) error {
	w.deadline = at
	return nil
}

func (w *bounded) Write(p []byte) (int, error) {
	w.writes = append(w.writes, w.deadline)
	return w.ResponseRecorder.Write(p)
}

// TestSSEBoundsWritesAlone: a write has Patience, and between writes there is no deadline.
func TestSSEBoundsWritesAlone(t *testing.T) {
	t.Parallel()
	w := &bounded{ResponseRecorder: httptest.NewRecorder(), deadline: time.Now()} // the server's WriteTimeout
	before := time.Now()
	s, err := NewSSE(w)
	require.NoError(t, err)
	assert.Zero(t, w.deadline)
	require.NoError(t, s.Beat())
	assert.Zero(t, w.deadline)
	require.Len(t, w.writes, 2)
	for _, deadline := range w.writes {
		assert.WithinRange(t, deadline, before.Add(Patience), time.Now().Add(Patience))
	}
}

func TestWebSocket(t *testing.T) {
	t.Parallel()
	codes := map[End]websocket.StatusCode{
		Refused: websocket.StatusPolicyViolation, GoingAway: websocket.StatusGoingAway,
		TryLater: websocket.StatusTryAgainLater,
	}
	for end, code := range codes {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			s, _, err := NewWebSocket(w, r)
			if !assert.NoError(t, err) {
				return
			}
			defer s.CloseNow()
			assert.NoError(t, s.Event("a.1", "login", []byte(`{"id":"a.1"}`)))
			assert.NoError(t, s.Flush())
			s.Close(end, "because")
		}))
		t.Cleanup(server.Close)
		ctx, cancel := context.WithTimeout(t.Context(), within)
		defer cancel()
		conn, _, err := websocket.Dial(ctx, server.URL, nil)
		require.NoError(t, err)
		kind, data, err := conn.Read(ctx)
		require.NoError(t, err)
		assert.Equal(t, websocket.MessageText, kind)
		assert.Equal(t, `{"id":"a.1"}`, string(data))
		_, _, err = conn.Read(ctx)
		assert.Equal(t, code, websocket.CloseStatus(err))
		require.ErrorContains(t, err, "because")
	}
}

// TestWebSocketOfAClientThatLeaves: the context ends, and a ping says so.
func TestWebSocketOfAClientThatLeaves(t *testing.T) {
	t.Parallel()
	left := make(chan error, 1)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s, ctx, err := NewWebSocket(w, r)
		if !assert.NoError(t, err) {
			return
		}
		defer s.CloseNow()
		<-ctx.Done()
		left <- s.Beat()
	}))
	t.Cleanup(server.Close)
	ctx, cancel := context.WithTimeout(t.Context(), within)
	defer cancel()
	conn, _, err := websocket.Dial(ctx, server.URL, nil)
	require.NoError(t, err)
	require.NoError(t, conn.CloseNow())
	select {
	case err := <-left:
		require.Error(t, err)
	case <-ctx.Done():
		require.Fail(t, "the server has not noticed")
	}
}

func TestWebSocketRefusesWhatIsNoHandshake(t *testing.T) {
	t.Parallel()
	w := httptest.NewRecorder()
	_, _, err := NewWebSocket(w, httptest.NewRequest(http.MethodGet, "/events", nil))
	require.Error(t, err)
	assert.Equal(t, http.StatusUpgradeRequired, w.Code)
}
