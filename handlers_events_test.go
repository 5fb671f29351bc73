package sessiontrack

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// patience bounds every wait of these tests; nothing sleeps for it.
const patience = 10 * time.Second

// liveSite is a site behind a real server.
type liveSite struct {
	*site
	url string
}

func newLiveSite(t *testing.T, store Store, o siteOptions) *liveSite {
	t.Helper()
	s := newSite(t, store, o)
	require.NoError(t, s.Start(context.Background()))
	server := httptest.NewServer(s.handler)
	t.Cleanup(func() {
		server.CloseClientConnections()
		_ = s.Shutdown(context.Background())
		server.Close()
	})
	return &liveSite{s, server.URL}
}

// quick makes what takes seconds take a fifth of them.
func quick(o *Options) {
	o.FeedInterval, o.MaxStaleness, o.FlushInterval = 200*time.Millisecond, 2*time.Second, 200*time.Millisecond
}

// sseClient reads a stream as a browser does.
type sseClient struct {
	t    *testing.T
	body io.ReadCloser
	rows *bufio.Reader
}

// sseEvent is one event; over is the comment that ends a stream.
type sseEvent struct {
	id, kind, over string
	data           map[string]any
}

func (s *liveSite) get(t *testing.T, user, path string, headers ...string) *http.Response {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	r, err := http.NewRequestWithContext(ctx, "GET", s.url+path, nil)
	require.NoError(t, err)
	if user != "" {
		r.Header.Set(headerName, s.tokens[user].Reveal())
	}
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Add(headers[i], headers[i+1])
	}
	response, err := http.DefaultClient.Do(r)
	require.NoError(t, err)
	t.Cleanup(func() { _ = response.Body.Close() })
	return response
}

func (s *liveSite) stream(t *testing.T, user, query string, headers ...string) *sseClient {
	t.Helper()
	response := s.get(t, user, "/api/v1/online/events"+query, headers...)
	require.Equal(t, 200, response.StatusCode)
	h := response.Header
	assert.Equal(t, "text/event-stream; charset=utf-8", h.Get("Content-Type"))
	assert.Equal(t, "no-store", h.Get("Cache-Control"))
	assert.Equal(t, "no", h.Get("X-Accel-Buffering"))
	return &sseClient{t, response.Body, bufio.NewReader(response.Body)}
}

// next returns the next event; io.EOF is a stream that has ended.
func (c *sseClient) next() (e sseEvent, err error) {
	for {
		line, err := c.rows.ReadString('\n')
		if err != nil {
			return e, err
		}
		name, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ": ")
		switch {
		case name == "" && strings.HasPrefix(value, "closed "):
			e.over = strings.TrimPrefix(value, "closed ")
			return e, nil
		case name == "id":
			e.id = value
		case name == "event":
			e.kind = value
		case name == "data":
			require.NoError(c.t, json.Unmarshal([]byte(value), &e.data))
			schema := map[string]string{"expiring": "Expiring", "ended": "SessionEnded"}[e.kind]
			assert.NoError(c.t, description().CheckSchema(cmp.Or(schema, "Event"), []byte(value)))
		case line == "\n" && e.kind != "":
			return e, nil
		}
	}
}

// want reads on to the next event that is none of the figures, and checks its type.
func (c *sseClient) want(kind string) sseEvent {
	c.t.Helper()
	for {
		e, err := c.next()
		require.NoError(c.t, err)
		if e.kind == "stats" && kind != "stats" {
			continue
		}
		require.Equal(c.t, kind, e.kind+e.over)
		return e
	}
}

// wantEnd reads on to the end, which comes with a reason, and nothing after it.
func (c *sseClient) wantEnd(reason string) {
	c.t.Helper()
	for {
		e, err := c.next()
		require.NoError(c.t, err)
		if e.over != "" {
			require.Equal(c.t, reason, e.over)
			break
		}
	}
	_, err := c.next()
	require.ErrorIs(c.t, err, io.EOF)
}

func TestStreamOfAnAdministrator(t *testing.T) {
	t.Parallel()
	onEachStore(t, func(t *testing.T, store Store) {
		s := newLiveSite(t, store, siteOptions{tracker: quick})
		s.signIn(t, adam)
		c := s.stream(t, adam, "?users=1")
		first := c.want("snapshot")
		require.Equal(t, "start", first.data["reason"])
		require.EqualValues(t, 1, first.data["stats"].(map[string]any)["online_users"])

		session := s.signIn(t, alice)
		login := c.want("login")
		online := c.want("online")
		_, err := s.End(t.Context(), IDs(session.ID), Ending{Reason: ReasonAdmin, Actor: adam})
		require.NoError(t, err)
		logout := c.want("logout")
		for name, e := range map[string]sseEvent{"login": login, "online": online, "logout": logout} {
			require.Equal(t, e.id, e.data["id"], name)
			require.Equal(t, e.kind, e.data["type"], name)
			goldenEvent(t, name, e.data)
		}
		text, err := json.Marshal([]any{first.data, login.data, online.data, logout.data})
		require.NoError(t, err)
		for _, token := range s.issued {
			assert.NotContains(t, string(text), token[idChars+1:], "no secret")
		}
		again := s.stream(t, adam, "?users=1", "Last-Event-ID", online.id)
		require.Equal(t, logout.id, again.want("logout").id, "resumed")
		gap := s.stream(t, adam, "", "Last-Event-ID", "other.7")
		require.Equal(t, "gap", gap.want("snapshot").data["reason"])
	})
}

// goldenEvent compares an event with what administrators are to see of it, times and ids
// apart.
func goldenEvent(t *testing.T, name string, data map[string]any) {
	t.Helper()
	want := map[string]string{
		"login": `{"type":"login","session":{"actedBy":null,"addressSource":"remote_addr","ambiguous":false,"client":"","derived":false,` +
			`"loginAddress":"192.0.2.1","methods":[],"rememberMe":false,"tenant":"","userId":1,"ipAddress":"192.0.2.1","isActive":true,"online":true,"current":false,` +
			`"logoutAt":null,"endReason":null,"endedBy":null,"endedByName":null,"location":null,"user":{"id":1,"email":null,"fullName":"User <1>","pictureUrl":"https://example.com/1.png"}}}`,
		"logout": `{"type":"logout","session":{"idleExpiresAt":null,"actedBy":null,"addressSource":"remote_addr","ambiguous":false,"client":"","derived":false,` +
			`"loginAddress":"192.0.2.1","methods":[],"rememberMe":false,"tenant":"","userId":1,"ipAddress":"192.0.2.1","isActive":false,"online":false,"current":false,` +
			`"endReason":"admin","endedBy":7,"endedByName":null,"location":null,"user":{"id":1,"email":null,"fullName":"User <1>","pictureUrl":"https://example.com/1.png"}}}`,
		"online": `{"type":"online","user":{"user_id":1,"username":"user1","display_name":"User № 1","avatar_url":"https://example.com/1.png","session_count":1,"status":"very_active"}}`,
	}[name]
	for _, key := range []string{"id", "timestamp"} {
		require.NotEmpty(t, data[key])
	}
	shown := map[string]any{}
	for key, value := range data {
		shown[key] = value
	}
	delete(shown, "id")
	delete(shown, "timestamp")
	for _, part := range []string{"session", "user"} {
		object, ok := shown[part].(map[string]any)
		if !ok {
			continue
		}
		moving := map[string]any{}
		for key, value := range object {
			switch key {
			case "id", "sessionId", "loginAt", "lastActivity", "expiresAt", "userAgent", "deviceType", "browser", "os", "device", "last_seen",
				"authenticatedAt", "lastSeen", "deviceFacts", "deviceSource":
				require.NotNil(t, value, key)
				continue
			case "logoutAt", "idleExpiresAt":
				if value != nil {
					continue
				}
			}
			moving[key] = value
		}
		shown[part] = moving
	}
	text, err := json.Marshal(shown)
	require.NoError(t, err)
	require.JSONEq(t, want, string(text))
}

// TestStreamOfAUser: others see who comes and goes, of those they name and may see.
func TestStreamOfAUser(t *testing.T) {
	t.Parallel()
	onEachStore(t, func(t *testing.T, store Store) {
		s := newLiveSite(t, store, siteOptions{tracker: quick, online: &UserOptions{
			Visible: func(_ context.Context, viewer string, ids []string) ([]string, error) {
				if viewer != alice {
					return nil, errors.New("asked for somebody else")
				}
				return []string{bob, "11"}, nil
			},
		}})
		s.signIn(t, alice)
		named := s.stream(t, alice, "?users=2,9,11")
		own := s.stream(t, alice, "")
		named.want("snapshot")
		own.want("snapshot")
		s.signIn(t, ruth) // named, and not visible
		s.signIn(t, adam)
		s.signIn(t, bob)
		e := named.want("online")
		require.Len(t, e.data, 4)
		user := e.data["user"].(map[string]any)
		require.EqualValues(t, 2, user["user_id"])
		require.Len(t, user, 7, "no device, no place, no address, no e-mail")
		for _, key := range []string{"username", "display_name", "avatar_url", "last_seen", "session_count", "status"} {
			require.Contains(t, user, key)
		}
		_, err := s.End(t.Context(), User(alice), Ending{Reason: ReasonPassword})
		require.NoError(t, err)
		own.wantEnd("session_ended")
		named.wantEnd("session_ended")
	})
}

// TestStreamNeedsTheRight walks the roles over the stream's forms.
func TestStreamNeedsTheRight(t *testing.T) {
	t.Parallel()
	s := newLiveSite(t, NewMemoryStore(), siteOptions{})
	s.signInAll(t, alice, adam, ruth)
	s.roles["3"], s.roles["4"] = []string{"Admin", "admin ", ""}, nil
	s.signInAll(t, "3", "4")
	for _, path := range []string{"/api/v1/online/events", "/api/v1/online/events?users=2"} {
		requireProblem(t, s.as("", "GET", path), 401, "unauthenticated")
		requireProblem(t, s.as("", "HEAD", path), 401, "unauthenticated")
		requireProblem(t, s.as("", "GET", path, headerName, "forged"), 401, "session_invalid")
		requireProblem(t, s.as(adam, "POST", path), 405, "method_not_allowed")
		require.Equal(t, 200, s.as(alice, "HEAD", path).Code)
	}
	for _, query := range []string{"?users=" + strings.Repeat("1,", 100) + "1", "?users=1,,2", "?users=%00", "?users=1&users=2"} {
		requireProblem(t, s.as(alice, "GET", "/api/v1/online/events"+query), 400, "bad_request")
	}
	for user, all := range map[string]bool{alice: false, "3": false, "4": false, adam: true, ruth: true} {
		c := s.stream(t, user, "")
		c.want("snapshot")
		_, err := s.End(t.Context(), User("77"), Ending{Reason: ReasonUser})
		require.NoError(t, err)
		s.signIn(t, "77")
		for seen := !all; !seen; {
			e, err := c.next()
			require.NoError(t, err)
			seen = e.kind == "login" && e.data["session"].(map[string]any)["userId"] == 77.0
		}
		_, err = s.End(t.Context(), User(user), Ending{Reason: ReasonAdmin})
		require.NoError(t, err)
		for {
			e, err := c.next()
			require.NoError(t, err)
			if e.over != "" {
				break
			}
			require.True(t, all || e.kind != "login" && e.kind != "logout" && e.kind != "stats", "%s sees %s", user, e.kind)
		}
	}
}

// TestStreamAsksAuthorize: the host's one function decides about everything, about
// coming and going, or refuses.
func TestStreamAsksAuthorize(t *testing.T) {
	t.Parallel()
	s := newLiveSite(t, NewMemoryStore(), siteOptions{online: &UserOptions{
		Authorize: func(_ context.Context, a UserAccess) (bool, error) {
			return a.Route == "events-all" && a.Session.UserID == alice || a.Route == "events" && a.Session.UserID != bob, nil
		},
	}})
	s.signInAll(t, alice, bob, adam)
	all, own := s.stream(t, alice, ""), s.stream(t, adam, "?users=77")
	all.want("snapshot")
	own.want("snapshot")
	require.Equal(t, 403, s.get(t, bob, "/api/v1/online/events").StatusCode)
	s.signIn(t, "77")
	all.want("login")
	own.want("online")
}

func TestStreamsAreBounded(t *testing.T) {
	t.Parallel()
	s := newLiveSite(t, NewMemoryStore(), siteOptions{tracker: func(o *Options) { o.MaxSubscribers = 1 }})
	s.signInAll(t, alice)
	c := s.stream(t, alice, "")
	c.want("snapshot")
	requireProblem(t, s.as(alice, "GET", "/api/v1/online/events"), 503, "too_many_streams")
	require.NoError(t, c.body.Close())
	require.Eventually(t, func() bool { return s.get(t, alice, "/api/v1/online/events").StatusCode == 200 }, patience, 10*time.Millisecond)
}

// TestStreamIsNoActivity: a page that is open, and that opens its stream again and
// again, keeps no session alive.
func TestStreamIsNoActivity(t *testing.T) {
	t.Parallel()
	for _, bare := range []bool{true, false} {
		s := newLiveSite(t, NewMemoryStore(), siteOptions{bare: bare, tracker: func(o *Options) { quick(o); o.TouchInterval = -1 }})
		before := s.signIn(t, alice)
		for range 3 {
			c := s.stream(t, alice, "", "Accept", "text/event-stream")
			c.want("snapshot")
		}
		require.NoError(t, s.Shutdown(t.Context()))
		after, err := s.Get(t.Context(), before.ID)
		require.NoError(t, err)
		require.Equal(t, before.LastActivity, after.LastActivity)
	}
}

// TestStreamThatIsNotReadIsClosed: a client that stops reading is let go when its
// buffers are full, and holds up nobody.
func TestStreamThatIsNotReadIsClosed(t *testing.T) {
	t.Parallel()
	s := newLiveSite(t, NewMemoryStore(), siteOptions{tracker: quick})
	s.signInAll(t, adam)
	good := s.stream(t, adam, "")
	good.want("snapshot")
	conn, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
	require.NoError(t, err)
	defer func() { _ = conn.Close() }()
	_, err = io.WriteString(conn, "GET /api/v1/online/events HTTP/1.1\r\nHost: x\r\nX-Session-Id: "+s.tokens[adam].Reveal()+"\r\n\r\n")
	require.NoError(t, err)
	require.Eventually(t, func() bool { return s.events.hub.streams.count.Load() == 2 }, patience, 10*time.Millisecond)

	large := Event{Type: EventLogin, Session: Session{UserID: bob, UserAgent: strings.Repeat("x", 64<<10)}}
	read := make(chan int, 1)
	go func() {
		n := 0
		for ; ; n++ {
			if e, err := good.next(); err != nil || e.over != "" {
				read <- n
				return
			}
		}
	}()
	began := time.Now()
	for time.Since(began) < patience && s.events.hub.streams.count.Load() == 2 {
		s.events.hub.publish([]Event{large}, nil)
		time.Sleep(time.Millisecond)
	}
	require.EqualValues(t, 1, s.events.hub.streams.count.Load(), "gone within ten seconds")
	s.EndStreams()
	require.Greater(t, <-read, 100)
}
