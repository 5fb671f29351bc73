package sessiontrack

import (
	"net/http"
	"net/http/httptest"
	"regexp"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sessiontrack/sessiontrack/internal/pgtest"
)

// adonis is the table of the system that docs/moving.md leaves, with 10,000 sessions of 100 users.
const adonis = `
CREATE TABLE user_sessions (
	id serial PRIMARY KEY, user_id integer NOT NULL, session_id varchar(255) NOT NULL UNIQUE, ip_address varchar(45),
	user_agent text, device_type varchar(50), is_active boolean DEFAULT true, last_activity timestamptz,
	login_at timestamptz, logout_at timestamptz, created_at timestamptz, updated_at timestamptz
);
INSERT INTO user_sessions (user_id, session_id, ip_address, user_agent, device_type, is_active, last_activity, login_at, logout_at)
SELECT n % 100, md5(n::text), '192.0.2.' || n % 250, CASE WHEN n % 7 > 0 THEN repeat('é', 600) END,
	(ARRAY['desktop', 'mobile', 'tablet', NULL])[n % 4 + 1], n % 3 = 0, now() - n * interval '1 second',
	now() - n * interval '2 seconds', CASE WHEN n % 3 > 0 THEN now() - n * interval '1 second' END
FROM generate_series(1, 10000) AS n`

// TestDocsMoveAnotherTable does what docs/moving.md says, statement by statement.
func TestDocsMoveAnotherTable(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	s := bunStoreOver(t, pgtest.Open(t))
	_, err := s.db.ExecContext(ctx, adonis)
	require.NoError(t, err)
	require.Error(t, s.Migrate(ctx), "another program's table is in the way")

	steps := regexp.MustCompile("(?s)```sql\n(.*?)```").FindAllStringSubmatch(document(t, "docs/moving.md"), -1)
	require.Len(t, steps, 2)
	_, err = s.db.ExecContext(ctx, steps[0][1])
	require.NoError(t, err)
	require.NoError(t, s.Migrate(ctx))
	for range 2 { // the second time adds nothing
		_, err = s.db.ExecContext(ctx, steps[1][1])
		require.NoError(t, err)
	}

	tracker, err := New(s, nil)
	require.NoError(t, err)
	require.NoError(t, tracker.Start(ctx))
	t.Cleanup(func() { _ = tracker.Shutdown(t.Context()) })
	page, err := tracker.List(ctx, Query{UserID: "42", Limit: 100})
	require.NoError(t, err)
	require.Len(t, page.Sessions, 100, "the user's whole history")
	moved := 0
	for _, session := range page.Sessions {
		_, err := ParseSessionID(string(session.ID))
		require.NoError(t, err)
		assert.True(t, session.Ended())
		assert.True(t, session.Address.IsValid())
		if session.EndReason == "moved" {
			moved++
		}
	}
	assert.Equal(t, 34, moved, "what was active, ended by the move")
	live, err := tracker.List(ctx, Query{Live: true, Limit: 10})
	require.NoError(t, err)
	assert.Empty(t, live.Sessions)
}

// TestDocsMoveOverWithoutSigningOut runs the handler of docs/moving.md: the old cookie becomes a
// session of ours, once.
func TestDocsMoveOverWithoutSigningOut(t *testing.T) {
	t.Parallel()
	tracker, err := New(NewMemoryStore(), &Options{Cookie: &CookieOptions{}})
	require.NoError(t, err)
	old := map[string]string{"secret": "42"}
	oldUser := func(r *http.Request) (string, bool) {
		c, err := r.Cookie("adonis")
		if err != nil {
			return "", false
		}
		user, ok := old[c.Value]
		delete(old, c.Value)
		return user, ok
	}
	app := tracker.Middleware(moveOver(tracker, oldUser, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s, _ := FromContext(r.Context())
		_, _ = w.Write([]byte(s.UserID))
	})))
	ask := func(cookies ...*http.Cookie) *httptest.ResponseRecorder {
		r, w := httptest.NewRequest(http.MethodGet, "/page?x=1", nil), httptest.NewRecorder()
		for _, c := range cookies {
			r.AddCookie(c)
		}
		app.ServeHTTP(w, r)
		return w
	}
	first := ask(&http.Cookie{Name: "adonis", Value: "secret"})
	assert.Equal(t, http.StatusSeeOther, first.Code)
	assert.Equal(t, "/page?x=1", first.Header().Get("Location"))
	require.Len(t, first.Result().Cookies(), 1)
	assert.Equal(t, "42", ask(first.Result().Cookies()[0]).Body.String())
	assert.Empty(t, ask(&http.Cookie{Name: "adonis", Value: "secret"}).Body.String(), "the old cookie worked once")
	assert.Contains(t, document(t, "docs/moving.md"), "func moveOver(tracker *sessiontrack.Tracker,")
}

// moveOver is the function of docs/moving.md.
func moveOver(tracker *Tracker, oldUser func(*http.Request) (string, bool), next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, ok := FromContext(r.Context()); !ok && r.Method == http.MethodGet {
			if user, ok := oldUser(r); ok {
				if _, _, err := tracker.Login(w, r, user); err == nil {
					http.Redirect(w, r, r.URL.RequestURI(), http.StatusSeeOther)
					return
				}
			}
		}
		next.ServeHTTP(w, r)
	})
}
