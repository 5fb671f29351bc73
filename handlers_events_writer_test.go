package sessiontrack

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sessiontrack/sessiontrack/internal/problem"
)

// plainWriter hides what the ResponseWriter in it can do.
type plainWriter struct{ http.ResponseWriter }

// openWriter names it.
type openWriter struct{ plainWriter }

func (w openWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func behindPlain(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { next.ServeHTTP(plainWriter{w}, r) })
}

func behindOpen(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { next.ServeHTTP(openWriter{plainWriter{w}}, r) })
}

func behindTimeout(next http.Handler) http.Handler { return http.TimeoutHandler(next, time.Minute, "") }

// A stream that begins with 200 and ends at once has clients come back every second.
func TestEventsAreRefusedWhereTheWriterCannotStream(t *testing.T) {
	t.Parallel()
	sse := []string{"Accept", "text/event-stream"}
	socket := []string{"Connection", "Upgrade", "Upgrade", "websocket", "Sec-WebSocket-Version", "13", "Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="}
	for name, test := range map[string]struct {
		wrap    func(http.Handler) http.Handler
		headers []string
		status  int
		writer  string // as the log names it
	}{
		"TimeoutHandler":            {behindTimeout, sse, http.StatusInternalServerError, "*http.timeoutWriter"},
		"TimeoutHandler, socket":    {behindTimeout, socket, http.StatusInternalServerError, "*http.timeoutWriter"},
		"without Unwrap":            {behindPlain, sse, http.StatusInternalServerError, "sessiontrack.plainWriter"},
		"without Unwrap, socket":    {behindPlain, socket, http.StatusInternalServerError, "sessiontrack.plainWriter"},
		"with Unwrap":               {behindOpen, sse, http.StatusOK, ""},
		"with Unwrap, socket":       {behindOpen, socket, http.StatusSwitchingProtocols, ""},
		"without Unwrap, HEAD only": {behindPlain, nil, http.StatusOK, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t, NewMemoryStore(), siteOptions{})
			require.NoError(t, s.Start(context.Background()))
			server := httptest.NewServer(test.wrap(s.handler))
			t.Cleanup(server.Close)
			s.signIn(t, adam)
			for range 3 {
				s.watches(t, server.URL, test.headers, test.status)
			}
			server.CloseClientConnections()
			require.NoError(t, s.Shutdown(context.Background())) // nobody logs any more
			if test.writer == "" {
				assert.NotContains(t, s.logs.String(), "cannot stream")
				return
			}
			assert.Equal(t, 1, strings.Count(s.logs.String(), "cannot stream"))
			assert.Contains(t, s.logs.String(), `"writer":"`+test.writer+`"`)
		})
	}
}

// watches asks for the events, or for their headers where it sends none itself.
func (s *site) watches(t *testing.T, url string, headers []string, status int) {
	t.Helper()
	method := http.MethodGet
	if headers == nil {
		method = http.MethodHead
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, method, url+"/api/v1/online/events", nil)
	require.NoError(t, err)
	r.Header.Set(headerName, s.tokens[adam].Reveal())
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	response, err := http.DefaultClient.Do(r)
	require.NoError(t, err)
	defer response.Body.Close()
	require.Equal(t, status, response.StatusCode)
	if status == http.StatusInternalServerError {
		var p problem.Problem
		require.NoError(t, json.NewDecoder(response.Body).Decode(&p))
		assert.Equal(t, problemInternalError, p)
	}
}
