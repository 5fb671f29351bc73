package sessiontrack

import (
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// What a page sends by a timer is no activity where this package's own handlers answer it,
// and nowhere else: a session that is used leaves its trace.
func TestTimedRequestsOfAPageDoNotCount(t *testing.T) {
	t.Parallel()
	const list, own = "/api/user-sessions/active-users", "/api/v1/online/stats"
	for name, test := range map[string]struct {
		method, path string
		headers      []string
		bare         bool // without the middleware
		counts       bool
	}{
		"admin family":            {"GET", list, []string{passiveHeader, "true"}, false, false},
		"online family":           {"GET", own, []string{passiveHeader, "true"}, false, false},
		"HEAD":                    {"HEAD", own, []string{passiveHeader, "true"}, false, false},
		"without the middleware":  {"GET", own, []string{passiveHeader, "true"}, true, false},
		"not said":                {"GET", own, nil, false, true},
		"not said, bare":          {"GET", own, nil, true, true},
		"said twice":              {"GET", own, []string{passiveHeader, "true", passiveHeader, "true"}, false, true},
		"said otherwise":          {"GET", own, []string{passiveHeader, "1"}, false, true},
		"time left":               {"GET", "/api/v1/online/me", nil, false, false},
		"time left, bare":         {"GET", "/api/v1/online/me", nil, true, false},
		"time left, HEAD":         {"HEAD", "/api/v1/online/me", nil, false, false},
		"extended":                {"POST", "/api/v1/online/me/extend", nil, false, true},
		"extended, bare":          {"POST", "/api/v1/online/me/extend", nil, true, true},
		"a change":                {"POST", "/api/v1/online/sessions/end-others", []string{passiveHeader, "true"}, false, true},
		"the application's own":   {"GET", "/anything", []string{passiveHeader, "true"}, false, true},
		"a path that is not ours": {"GET", "/api/v1/online/nothing", []string{passiveHeader, "true"}, false, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := newSite(t, NewMemoryStore(), siteOptions{bare: test.bare, tracker: func(o *Options) { o.IdleTimeout = time.Hour }})
				require.NoError(t, s.Start(t.Context()))
				began := s.signIn(t, adam).LastActivity
				time.Sleep(30 * time.Minute)
				require.NotEqual(t, http.StatusUnauthorized, s.as(adam, test.method, test.path, test.headers...).Code)
				require.NoError(t, s.Shutdown(t.Context())) // writes what is held
				session, err := s.Get(t.Context(), s.tokens[adam].ID())
				require.NoError(t, err)
				require.Equal(t, test.counts, session.LastActivity.After(began))
			})
		})
	}
}
