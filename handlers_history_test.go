package sessiontrack

import (
	"encoding/json"
	"net/url"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// TestHistoryAnswer holds the whole answer against what a small day was.
func TestHistoryAnswer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, NewMemoryStore(), siteOptions{tracker: func(o *Options) { o.TimeZone = "Asia/Kathmandu" }})
		start(t, s)
		time.Sleep(30 * time.Second) // samples come at half past
		s.signInAll(t, adam, alice)
		time.Sleep(10 * time.Minute)
		_, err := s.End(t.Context(), User(alice), Ending{Reason: ReasonUser})
		require.NoError(t, err)
		time.Sleep(50 * time.Minute)

		w := s.as(adam, "GET", "/api/v1/online/history?step=1h&to=2000-01-01T01:00:00Z&from=2000-01-01T00:00:00Z")
		require.Equal(t, 200, w.Code, w.Body.String())
		require.Equal(t, "no-store", w.Header().Get("Cache-Control"))
		got := decoded(t, w)
		require.NotEmpty(t, got["timestamp"])
		delete(got, "timestamp")
		// 00:00 UTC is 05:45 in Kathmandu: a Saturday.
		signIns := got["sign_ins_by_hour"].([]any)
		require.Len(t, signIns, 7)
		require.Len(t, signIns[0], 24)
		require.EqualValues(t, 2, signIns[5].([]any)[5])
		delete(got, "sign_ins_by_hour")
		text, err := json.Marshal(got)
		require.NoError(t, err)
		require.JSONEq(t, `{"from":"2000-01-01T00:00:00Z","to":"2000-01-01T01:00:00Z","step":"1h","time_zone":"Asia/Kathmandu","status":"success",
			"series":[
				{"at":"1999-12-31T23:15:00Z","online_users":2,"peak_online_users":2,"active_sessions":2,"logins":2,"ends":1,"devices":{"desktop":2}},
				{"at":"2000-01-01T00:15:00Z","online_users":0,"peak_online_users":1,"active_sessions":1,"logins":0,"ends":0,"devices":{"desktop":1}}],
			"peaks":[{"date":"2000-01-01","users":2,"at":"2000-01-01T00:01:00Z"}],
			"durations":{"count":1,"median_seconds":558,"p90_seconds":558},
			"shares":{"device":[{"name":"desktop","count":2}],"browser":[{"name":"Firefox","count":2}],"os":[{"name":"Linux","count":2}],"country":[{"name":"unknown","count":2}]}}`, string(text))
		require.NoError(t, s.Shutdown(t.Context()))
	})
}

func TestHistoryIsForAdministrators(t *testing.T) {
	t.Parallel()
	s := newSite(t, NewMemoryStore(), siteOptions{})
	s.signInAll(t, alice, adam, ruth)
	const path = "/api/v1/online/history"
	requireProblem(t, s.as("", "GET", path), 401, "unauthenticated")
	requireProblem(t, s.as(alice, "GET", path), 403, "forbidden")
	requireProblem(t, s.as(adam, "POST", path), 405, "method_not_allowed")
	for _, user := range []string{adam, ruth} {
		body := s.json(t, user, "GET", path)
		require.Equal(t, map[string]any{"count": 0.0, "median_seconds": nil, "p90_seconds": nil}, body["durations"])
		require.Equal(t, []any{}, body["series"])
		require.Equal(t, []any{}, body["peaks"])
	}
	for name, query := range map[string]string{
		"step":     "step=5m",
		"zone":     "tz=Mars/Olympus",
		"Local":    "tz=Local",
		"path":     "tz=" + url.QueryEscape("../../etc/passwd"),
		"time":     "from=yesterday",
		"old":      "from=0001-01-01T00:00:00Z",
		"backward": "from=2026-01-02T00:00:00Z&to=2026-01-01T00:00:00Z",
		"much":     "from=2020-01-01T00:00:00Z&to=2026-01-01T00:00:00Z&step=1h",
		"endless":  "from=1970-01-02T00:00:00Z&to=9999-01-01T00:00:00Z&step=1m",
		"twice":    "step=1h&step=1d",
	} {
		requireProblem(t, s.as(adam, "GET", path+"?"+query), 400, "bad_request")
		_ = name
	}
}

// TestHistoryOverAPlainStore: without the capability, the process's own samples are
// told.
func TestHistoryOverAPlainStore(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		tracker, err := New(plainStore{NewMemoryStore()}, nil)
		require.NoError(t, err)
		f := &fixture{Tracker: tracker}
		f.started(t)
		f.login(t, "1")
		time.Sleep(10 * time.Minute)
		h, err := f.History(t.Context(), HistoryRange{Step: StepMinute})
		require.NoError(t, err)
		require.Len(t, h.Points, 9) // the latest was taken in the minute that begins now
		require.Equal(t, 1, h.Points[0].OnlineUsers)
		require.Equal(t, 1, h.Points[0].ActiveSessions)
		require.Zero(t, h.Points[0].Devices)
		shutDown(t, f)
	})
}
