package main

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sessiontrack/sessiontrack/internal/pgtest"
)

// dialChat opens the chat as a caller.
func (d *demo) dialChat(c caller, headers ...string) (*websocket.Conn, *http.Response, error) {
	ctx, cancel := context.WithTimeout(d.t.Context(), 20*time.Second)
	defer cancel()
	h := http.Header{}
	if c.bearer != "" {
		h.Set("Authorization", "Bearer "+c.bearer)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		h.Set(headers[i], headers[i+1])
	}
	return websocket.Dial(ctx, strings.Replace(d.base, "http", "ws", 1)+"/chat", &websocket.DialOptions{HTTPHeader: h})
}

func echoes(t *testing.T, conn *websocket.Conn, text string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	require.NoError(t, conn.Write(ctx, websocket.MessageText, []byte(text)))
	_, got, err := conn.Read(ctx)
	require.NoError(t, err)
	assert.Equal(t, text, string(got))
}

// closedBy waits for the close that the server sends.
func closedBy(t *testing.T, conn *websocket.Conn) (code websocket.StatusCode, reason string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	_, _, err := conn.Read(ctx)
	var closed websocket.CloseError
	require.ErrorAs(t, err, &closed)
	return closed.Code, closed.Reason
}

// TestChatClosesWithTheReason: an end on one replica closes a socket on the other.
func TestChatClosesWithTheReason(t *testing.T) {
	t.Parallel()
	dsn := pgtest.DSN(t)
	one, two := startDemo(t, "-fast", "-store", dsn), startDemo(t, "-fast", "-store", dsn)
	memory := startDemo(t, "-fast")
	for name, replicas := range map[string][2]*demo{"postgres": {one, two}, "memory": {memory, memory}} {
		t.Run(name, func(t *testing.T) {
			user, admin := replicas[0].signIn("user1"), replicas[1].signIn("admin")
			conn, _, err := replicas[0].dialChat(user)
			require.NoError(t, err)
			defer conn.CloseNow()
			echoes(t, conn, "hello")
			r := replicas[1].do("POST", "/api/user-sessions/force-logout/"+user.handle, "", as(admin))
			require.Equal(t, 200, r.status)
			code, reason := closedBy(t, conn)
			assert.EqualValues(t, 4401, code)
			assert.Equal(t, "session_ended admin", reason)
		})
	}
}

func TestChatNeedsASession(t *testing.T) {
	t.Parallel()
	d := startDemo(t)
	_, response, err := d.dialChat(caller{})
	require.Error(t, err)
	assert.Equal(t, http.StatusUnauthorized, response.StatusCode)
	_, response, err = d.dialChat(d.signIn("user1"), "Origin", "https://evil.example")
	require.Error(t, err)
	assert.Equal(t, http.StatusForbidden, response.StatusCode)

	cookie, _ := d.signInByForm("user2", "/app")
	conn, _, err := d.dialChat(caller{}, "Cookie", cookie)
	require.NoError(t, err)
	defer conn.CloseNow()
	echoes(t, conn, "by cookie")
}
