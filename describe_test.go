package sessiontrack

import (
	"net/http"
	"net/http/httptest"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestNoRequestWaitsForTheParser keeps the user-agent parser from ever being made, as
// if its construction took for ever: Start returns, people sign in, are served and
// sign out, and the type of their device, which needs no parser, is known at once. The
// names follow when it is there. Without it, Start costs less than 1 MB.
func TestNoRequestWaitsForTheParser(t *testing.T) { // alone: it counts what is allocated
	classifier := new(Classifier)
	classifier.engine.Building.Lock()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	tracker, err := New(NewMemoryStore(), &Options{Classifier: classifier, FlushInterval: 10 * time.Millisecond, TouchInterval: time.Second})
	require.NoError(t, err)
	start(t, tracker)
	runtime.ReadMemStats(&after)
	assert.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(1<<20))

	request := func(method, token string) *http.Request {
		r := httptest.NewRequest(method, "/", nil)
		r.Header.Set("User-Agent", "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.5 Mobile/15E148 Safari/604.1")
		if token != "" {
			r.Header.Set("x-session-id", token)
		}
		return r
	}
	var kept Session
	served := make(chan struct{})
	go func() {
		defer close(served)
		handler := tracker.Middleware(tracker.Require(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			s, _ := FromContext(r.Context())
			assert.Equal(t, DeviceMobile, s.Device.Type)
		})))
		for i := range 20 {
			s, token, err := tracker.Login(httptest.NewRecorder(), request("POST", ""), "1")
			if !assert.NoError(t, err) {
				return
			}
			for range 20 {
				w := httptest.NewRecorder()
				handler.ServeHTTP(w, request("GET", token.Reveal()))
				assert.Equal(t, http.StatusOK, w.Code)
			}
			w := httptest.NewRecorder()
			if i == 0 {
				kept = s
			} else {
				tracker.Middleware(http.HandlerFunc(tracker.Logout)).ServeHTTP(w, request("POST", token.Reveal()))
				assert.Equal(t, http.StatusNoContent, w.Code)
			}
		}
	}()
	select {
	case <-served:
	case <-time.After(30 * time.Second):
		t.Error("a request waits for the parser")
	}
	classifier.engine.Building.Unlock()
	<-served
	require.Eventually(t, func() bool {
		s, err := tracker.Get(t.Context(), kept.ID)
		return err == nil && s.Device.Browser != ""
	}, 30*time.Second, 5*time.Millisecond, "named in the background")
	require.NoError(t, tracker.Shutdown(t.Context()))
}
