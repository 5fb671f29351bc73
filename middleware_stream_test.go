package sessiontrack

import (
	"bytes"
	"context"
	"io"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestStreamsOfOthersAreActivity: opening one of our streams is no activity, whatever its
// path; a stream of the application is, also where its path ends in /events.
func TestStreamsOfOthersAreActivity(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, path string
		wrap       func(*Tracker, http.Handler) http.Handler
		activity   bool
		headers    []string
	}{
		{"the application's", "/orders/events", (*Tracker).Middleware, true, []string{"Accept", "text/event-stream"}},
		{"a socket of the application's", "/orders/events", (*Tracker).Middleware, true, []string{"Upgrade", "websocket"}},
		{"behind Require", "/orders/events", (*Tracker).Require, true, []string{"Accept", "text/event-stream"}},
		{"ours", "/api/v1/online/events", (*Tracker).Middleware, false, []string{"Accept", "text/event-stream"}},
		{"ours elsewhere", "/moved/events", (*Tracker).Middleware, false, []string{"Accept", "text/event-stream"}},
		{"ours behind Require", "/api/v1/online/events", (*Tracker).Require, false, []string{"Accept", "text/event-stream"}},
		{"passive", "/poll", (*Tracker).Middleware, false, []string{"Accept", "text/event-stream"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				f := newFixture(t, &Options{
					TouchInterval: -1, Passive: func(r *http.Request) bool { return r.URL.Path == "/poll" },
				}).started(t)
				s, token := f.login(t, "42")
				mux := http.NewServeMux()
				online := f.UserHandler(nil)
				mux.Handle("/api/v1/online/", online)
				mux.Handle("/moved/", http.StripPrefix("/moved", online))
				wait := func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }
				mux.HandleFunc("/orders/events", wait)
				mux.HandleFunc("/poll", wait)
				time.Sleep(time.Hour)
				opened := time.Now()
				ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
				defer cancel()
				r := request("GET", test.path, append(test.headers, headerName, token.Reveal())...).WithContext(ctx)
				w := httptest.NewRecorder()
				test.wrap(f.Tracker, mux).ServeHTTP(w, r)
				require.Equal(t, 200, w.Code)
				require.Equal(t, 5*time.Second, time.Since(opened), "it streamed")
				require.NoError(t, f.Shutdown(t.Context()))
				stored, err := f.store.Get(t.Context(), s.ID)
				require.NoError(t, err)
				if test.activity {
					assert.WithinDuration(t, opened, stored.LastActivity, 10*time.Millisecond, "as of its beginning")
				} else {
					assert.Equal(t, stored.LoginAt, stored.LastActivity)
				}
			})
		})
	}
}

// TestShortStreamIsActivityAtOnce: the activity of a request that ends soon waits for
// nothing.
func TestShortStreamIsActivityAtOnce(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	_, token := f.login(t, "42")
	require.Equal(t, 200, f.do("GET", "/", "Accept", "text/event-stream", headerName, token.Reveal()).Code)
	require.EqualValues(t, 0, f.store.touches.Load(), "within TouchInterval of the sign-in")
	g := newFixture(t, &Options{TouchInterval: -1})
	_, token = g.login(t, "42")
	require.Equal(t, 200, g.do("GET", "/", "Accept", "text/event-stream", headerName, token.Reveal()).Code)
	require.EqualValues(t, 1, g.store.touches.Load())
}

// TestKnownBehindAnotherTracker: where the middlewares of two Trackers lie around a
// handler, each Tracker knows the session that its own has found.
func TestKnownBehindAnotherTracker(t *testing.T) {
	t.Parallel()
	outer, inner := newFixture(t, nil), newFixture(t, nil)
	s, token := outer.login(t, "42")
	other, second := inner.login(t, "7")
	called := false
	handler := inner.Middleware(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		called = true
		assert.Equal(t, s.ID, outer.door.knows(r).entry.handle.id())
		assert.Equal(t, other.ID, inner.door.knows(r).entry.handle.id())
	}))
	outer.handler = outer.Middleware(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Header.Set(headerName, second.Reveal())
		handler.ServeHTTP(w, r)
	}))
	require.Equal(t, 200, outer.get(token).Code)
	require.True(t, called)
}

// TestUploadLeavesNoFile: net/http removes the temporary files of a form by way of the
// request that it made, so the form must reach that one from the handler's copy.
func TestUploadLeavesNoFile(t *testing.T) {
	folder := t.TempDir()
	t.Setenv("TMPDIR", folder)
	f := newFixture(t, nil)
	_, token := f.login(t, "42")
	files := func() int {
		list, err := os.ReadDir(folder)
		require.NoError(t, err)
		return len(list)
	}
	var pattern string
	mux := http.NewServeMux()
	mux.HandleFunc("POST /upload/{what}", func(w http.ResponseWriter, r *http.Request) {
		require.NoError(t, r.ParseMultipartForm(1<<10))
		require.Positive(t, files(), "the file is on the disk")
		if r.PathValue("what") == "panic" {
			panic(http.ErrAbortHandler)
		}
		_, _ = io.WriteString(w, r.FormValue("name"))
	})
	tracked := f.Middleware(f.Require(mux))
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			pattern = r.Pattern
			if p := recover(); p != nil {
				w.WriteHeader(http.StatusTeapot)
			}
		}()
		tracked.ServeHTTP(w, r)
	}))
	defer server.Close()
	for _, what := range []string{"file", "panic"} {
		var body bytes.Buffer
		form := multipart.NewWriter(&body)
		require.NoError(t, form.WriteField("name", "report"))
		part, err := form.CreateFormFile("file", "report.pdf")
		require.NoError(t, err)
		_, err = part.Write(make([]byte, 20<<20))
		require.NoError(t, err)
		require.NoError(t, form.Close())
		r, err := http.NewRequestWithContext(t.Context(), "POST", server.URL+"/upload/"+what, &body)
		require.NoError(t, err)
		r.Header.Set("Content-Type", form.FormDataContentType())
		r.Header.Set(headerName, token.Reveal())
		response, err := server.Client().Do(r)
		require.NoError(t, err)
		_, err = io.Copy(io.Discard, response.Body)
		require.NoError(t, err)
		require.NoError(t, response.Body.Close())
		require.Equal(t, map[string]int{"file": 200, "panic": 418}[what], response.StatusCode)
		assert.Eventually(t, func() bool { return files() == 0 }, patience, 10*time.Millisecond, what)
		assert.Equal(t, "POST /upload/{what}", pattern, "outer middlewares read it")
	}
}
