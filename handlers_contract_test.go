package sessiontrack

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// contract is one row of the two families' tables: what is asked, by whom, and what
// the answer must be.
type contract struct {
	name   string
	user   string
	method string
	path   func(sessions map[string]Session) string
	check  func(t *testing.T, s *site, before map[string]Session, body map[string]any)
	status int // of a problem, with code; zero: 200
	code   string
}

func at(path string) func(map[string]Session) string {
	return func(map[string]Session) string { return path }
}

func handleIn(path, user string) func(map[string]Session) string {
	return func(sessions map[string]Session) string { return fmt.Sprintf(path, sessions[user].ID) }
}

const (
	adminPath  = "/api/user-sessions/"
	onlinePath = "/api/v1/online/"
)

var contracts = []contract{
	{name: "active users", user: adam, method: "GET", path: at(adminPath + "active-users"),
		check: func(t *testing.T, s *site, before map[string]Session, body map[string]any) {
			list := rows(t, body, "data")
			assert.Equal(t, true, body["success"])
			assert.NotContains(t, body, "next")
			assert.Equal(t, []any{9.0, 7.0, 2.0, 1.0}, field(list, "userId"), "by the user's latest activity")
			assert.Equal(t, []any{false, true, false, false}, field(list, "current"))
			assert.Equal(t, []any{true, true, true, true}, field(list, "online"))
			assert.Equal(t, []any{true, true, true, true}, field(list, "isActive"))
			assert.Equal(t, map[string]any{"id": 1.0, "email": "user1@example.com", "fullName": "User <1>", "pictureUrl": "https://example.com/1.png"}, list[3]["user"])
			assert.Equal(t, map[string]any{"id": 2.0, "email": nil, "fullName": nil, "pictureUrl": nil}, list[2]["user"], "not in the directory")
			assert.Equal(t, string(before[alice].ID), list[3]["sessionId"])
			assert.Equal(t, "192.0.2.1", list[3]["ipAddress"])
			assert.EqualValues(t, 1, s.directory.calls.Load(), "calls of the directory for a page")
		}},
	{name: "active users by superadmin", user: ruth, method: "GET", path: at(adminPath + "active-users"),
		check: func(t *testing.T, _ *site, _ map[string]Session, body map[string]any) {
			assert.Len(t, body["data"], 4)
		}},
	{name: "active users of an id", user: adam, method: "GET", path: at(adminPath + "active-users?q=2"),
		check: wantUsers(2)},
	{name: "active users of a name", user: adam, method: "GET", path: at(adminPath + "active-users?q=user"),
		check: wantUsers(9, 7, 2, 1)},
	{name: "active users of an address", user: adam, method: "GET", path: at(adminPath + "active-users?q=192.0.2.1"),
		check: wantUsers(9, 7, 2, 1)},
	{name: "active users of an address in another spelling", user: adam, method: "GET", path: at(adminPath + "active-users?q=%3A%3Affff%3A192.0.2.1"),
		check: wantUsers(9, 7, 2, 1)},
	{name: "active users of another address", user: adam, method: "GET", path: at(adminPath + "active-users?q=192.0.2.2"),
		check: wantUsers()},
	{name: "active users of nobody", user: adam, method: "GET", path: at(adminPath + "active-users?q=nobody%27--"),
		check: wantUsers()},
	{name: "active users of a device type", user: adam, method: "GET", path: at(adminPath + "active-users?device=tv"),
		check: wantUsers(1)},
	{name: "active users of a device type and an id", user: adam, method: "GET", path: at(adminPath + "active-users?device=tv&q=2"),
		check: wantUsers()},
	{name: "active users within", user: adam, method: "GET", path: at(adminPath + "active-users?within=1m"),
		check: wantUsers(9, 7, 2, 1)},

	{name: "sessions of a user", user: adam, method: "GET", path: at(adminPath + "user/1/sessions"),
		check: func(t *testing.T, s *site, before map[string]Session, body map[string]any) {
			list := rows(t, body, "data")
			require.Len(t, list, 1)
			assert.Equal(t, string(before[alice].ID), list[0]["sessionId"])
			assert.EqualValues(t, 1, s.directory.calls.Load())
		}},
	{name: "sessions of a user, ended ones too", user: adam, method: "GET", path: at(adminPath + "user/1/sessions?ended=true"),
		check: func(t *testing.T, _ *site, _ map[string]Session, body map[string]any) {
			list := rows(t, body, "data")
			assert.Equal(t, []any{true, false}, field(list, "isActive"))
			assert.Equal(t, []any{nil, "password"}, field(list, "endReason"))
			assert.Equal(t, []any{nil, 7.0}, field(list, "endedBy"))
			assert.Equal(t, []any{nil, "User <7>"}, field(list, "endedByName"))
			assert.Equal(t, []any{true, false}, field(list, "online"))
			assert.Nil(t, list[0]["logoutAt"])
			assert.NotNil(t, list[1]["logoutAt"])
		}},
	{name: "sessions of an unknown user", user: adam, method: "GET", path: at(adminPath + "user/404/sessions?ended=true"),
		check: func(t *testing.T, s *site, _ map[string]Session, body map[string]any) {
			assert.Equal(t, map[string]any{"success": true, "data": []any{}}, body)
			assert.Zero(t, s.directory.calls.Load())
		}},

	{name: "force-logout", user: adam, method: "POST", path: handleIn(adminPath+"force-logout/%s", alice),
		check: func(t *testing.T, s *site, before map[string]Session, body map[string]any) {
			data := body["data"].(map[string]any)
			assert.Equal(t, "The session has been ended.", body["message"])
			assert.Equal(t, string(before[alice].ID), data["sessionId"])
			assert.Equal(t, []any{false, "admin", 7.0, false}, []any{data["isActive"], data["endReason"], data["endedBy"], data["online"]})
			p := requireProblem(t, s.as(alice, "GET", onlinePath+"count"), 401, "session_ended")
			assert.Equal(t, "admin", p["reason"])
			assert.Len(t, rows(t, s.json(t, adam, "GET", adminPath+"active-users"), "data"), 3, "offline at once")
			again := s.json(t, adam, "POST", adminPath+"force-logout/"+string(before[alice].ID))
			assert.Equal(t, "The session had ended before.", again["message"])
			assert.Equal(t, data["logoutAt"], again["data"].(map[string]any)["logoutAt"])
		}},
	{name: "force-logout of an unknown handle", user: adam, method: "POST", path: at(adminPath + "force-logout/AAAAAAAAAAAAAAAAAAAAAA"),
		status: 404, code: "not_found"},
	{name: "force-logout of no handle", user: adam, method: "POST", path: at(adminPath + "force-logout/1"),
		status: 404, code: "not_found"},
	{name: "force-logout of one's own session", user: adam, method: "POST", path: handleIn(adminPath+"force-logout/%s", adam),
		check: func(t *testing.T, s *site, _ map[string]Session, body map[string]any) {
			assert.Equal(t, true, body["data"].(map[string]any)["current"])
			requireProblem(t, s.as(adam, "GET", adminPath+"active-users"), 401, "session_ended")
		}},

	{name: "force-logout-user", user: adam, method: "POST", path: at(adminPath + "force-logout-user/1"),
		check: func(t *testing.T, s *site, _ map[string]Session, body map[string]any) {
			assert.Equal(t, map[string]any{"ended": 1.0}, body["data"])
			assert.Equal(t, true, body["success"])
			again := s.json(t, adam, "POST", adminPath+"force-logout-user/1")
			assert.Equal(t, map[string]any{"ended": 0.0}, again["data"])
		}},
	{name: "force-logout-user of an unknown user", user: adam, method: "POST", path: at(adminPath + "force-logout-user/404"),
		check: func(t *testing.T, _ *site, _ map[string]Session, body map[string]any) {
			assert.Equal(t, map[string]any{"ended": 0.0}, body["data"])
		}},
	{name: "force-logout-user of oneself", user: adam, method: "POST", path: at(adminPath + "force-logout-user/7"),
		check: func(t *testing.T, s *site, _ map[string]Session, body map[string]any) {
			assert.Equal(t, map[string]any{"ended": 1.0}, body["data"])
			requireProblem(t, s.as(adam, "GET", adminPath+"active-users"), 401, "session_ended")
		}},

	{name: "cleanup-expired", user: adam, method: "POST", path: at(adminPath + "cleanup-expired"),
		check: func(t *testing.T, _ *site, _ map[string]Session, body map[string]any) {
			assert.Equal(t, true, body["success"])
			assert.Equal(t, map[string]any{"cleaned": 0.0}, body["data"])
		}},

	{name: "count", user: alice, method: "GET", path: at(onlinePath + "count"),
		check: func(t *testing.T, _ *site, _ map[string]Session, body map[string]any) {
			assert.Equal(t, []any{4.0, 15.0}, []any{body["online_count"], body["threshold_minutes"]})
		}},
	{name: "count of a window", user: alice, method: "GET", path: at(onlinePath + "count?minutes=1440"),
		check: func(t *testing.T, _ *site, _ map[string]Session, body map[string]any) {
			assert.Equal(t, []any{4.0, 1440.0}, []any{body["online_count"], body["threshold_minutes"]})
		}},

	{name: "users", user: alice, method: "GET", path: at(onlinePath + "users?minutes=5"),
		check: func(t *testing.T, s *site, _ map[string]Session, body map[string]any) {
			list := rows(t, body, "online_users")
			assert.Equal(t, []any{4.0, 5.0}, []any{body["count"], body["threshold_minutes"]})
			assert.NotContains(t, body, "next")
			assert.Equal(t, []any{9.0, 7.0, 2.0, 1.0}, field(list, "user_id"))
			assert.Equal(t, []any{"user9", "user7", nil, "user1"}, field(list, "username"))
			assert.Equal(t, "User № 1", list[3]["display_name"])
			assert.Equal(t, "https://example.com/1.png", list[3]["avatar_url"])
			assert.Equal(t, []any{"very_active", "very_active", "very_active", "very_active"}, field(list, "status"))
			assert.Equal(t, []any{1.0, 1.0, 1.0, 1.0}, field(list, "session_count"))
			assert.EqualValues(t, 1, s.directory.calls.Load())
		}},

	{name: "stats", user: alice, method: "GET", path: at(onlinePath + "stats"),
		check: func(t *testing.T, s *site, _ map[string]Session, body map[string]any) {
			at, err := time.Parse(time.RFC3339Nano, body["timestamp"].(string))
			require.NoError(t, err)
			assert.Equal(t, time.UTC, at.Location())
			delete(body, "timestamp")
			assert.Equal(t, map[string]any{
				"very_active_users": 4.0, "online_users": 4.0, "recently_active_users": 4.0, "total_active_sessions": 4.0,
				"peak_hour_today": nil, "peak_users_today": 0.0, "status": "success",
				"exact": true, "max_staleness_seconds": 48.0,
				"windows": map[string]any{"very_active": 5.0, "online": 15.0, "recently_active": 60.0},
			}, body)
			s.figures.sample(t.Context())
			s.figures.shared.latest = nil // the answer is shared for a second
			body = s.json(t, alice, "GET", onlinePath+"stats")
			assert.EqualValues(t, 4, body["peak_users_today"])
			assert.IsType(t, 0.0, body["peak_hour_today"])
		}},

	{name: "own sessions", user: alice, method: "GET", path: at(onlinePath + "sessions"),
		check: func(t *testing.T, s *site, before map[string]Session, body map[string]any) {
			list := rows(t, body, "sessions")
			assert.EqualValues(t, 1, body["count"])
			assert.Equal(t, []any{string(before[alice].ID)}, field(list, "sessionId"))
			assert.Equal(t, []any{true}, field(list, "current"))
			assert.NotContains(t, list[0], "user")
			assert.Zero(t, s.directory.calls.Load())
		}},
	{name: "end one of one's own", user: alice, method: "DELETE", path: handleIn(onlinePath+"sessions/%s", alice),
		check: func(t *testing.T, s *site, before map[string]Session, body map[string]any) {
			assert.Equal(t, map[string]any{"ended": 1.0}, body)
			requireProblem(t, s.as(alice, "GET", onlinePath+"count"), 401, "session_ended")
			s.signIn(t, alice)
			body = s.json(t, alice, "DELETE", onlinePath+"sessions/"+string(before[alice].ID))
			assert.Equal(t, map[string]any{"ended": 0.0}, body)
		}},
	{name: "report one of one's own", user: alice, method: "POST", path: handleIn(onlinePath+"sessions/%s/report", alice),
		check: func(t *testing.T, s *site, _ map[string]Session, body map[string]any) {
			assert.Equal(t, map[string]any{"ended": 1.0}, body)
			p := requireProblem(t, s.as(alice, "GET", onlinePath+"count"), 401, "session_ended")
			assert.Equal(t, "reported", p["reason"])
		}},
	{name: "end somebody else's", user: alice, method: "DELETE", path: handleIn(onlinePath+"sessions/%s", bob),
		status: 404, code: "not_found"},
	{name: "end somebody else's, as an admin", user: adam, method: "DELETE", path: handleIn(onlinePath+"sessions/%s", bob),
		status: 404, code: "not_found"},
	{name: "end an unknown one", user: alice, method: "DELETE", path: at(onlinePath + "sessions/AAAAAAAAAAAAAAAAAAAAAA"),
		status: 404, code: "not_found"},
	{name: "end others", user: alice, method: "POST", path: at(onlinePath + "sessions/end-others"),
		check: func(t *testing.T, s *site, before map[string]Session, body map[string]any) {
			assert.Equal(t, map[string]any{"ended": 0.0}, body)
			s.signIn(t, alice)
			body = s.json(t, alice, "POST", onlinePath+"sessions/end-others")
			assert.Equal(t, map[string]any{"ended": 1.0}, body)
			ended, err := s.Get(t.Context(), before[alice].ID)
			require.NoError(t, err)
			assert.Equal(t, []any{ReasonUser, alice}, []any{ended.EndReason, ended.EndedBy})
			assert.Len(t, rows(t, s.json(t, alice, "GET", onlinePath+"sessions"), "sessions"), 1, "the caller's stays")
			assert.EqualValues(t, 4, s.json(t, alice, "GET", onlinePath+"count")["online_count"], "nobody else's ended")
		}},
	{name: "cleanup", user: ruth, method: "POST", path: at(onlinePath + "cleanup"),
		check: func(t *testing.T, _ *site, _ map[string]Session, body map[string]any) {
			assert.Equal(t, []any{0.0, "success"}, []any{body["cleaned_sessions"], body["status"]})
			assert.NotEmpty(t, body["timestamp"])
		}},
	{name: "cleanup by an ordinary user", user: alice, method: "POST", path: at(onlinePath + "cleanup"),
		status: 403, code: "forbidden"},
}

func wantUsers(ids ...float64) func(*testing.T, *site, map[string]Session, map[string]any) {
	want := make([]any, len(ids))
	for i, id := range ids {
		want[i] = id
	}
	return func(t *testing.T, _ *site, _ map[string]Session, body map[string]any) {
		t.Helper()
		assert.Equal(t, want, field(rows(t, body, "data"), "userId"))
	}
}

// TestHTTPContract checks every row on both stores, behind the middleware and without
// it. Alice has an ended session besides her live one, which is a television's.
func TestHTTPContract(t *testing.T) {
	t.Parallel()
	onEachStore(t, func(t *testing.T, store Store) {
		for i, row := range contracts {
			t.Run(row.name, func(t *testing.T) {
				empty(t, store)
				row.run(t, newSite(t, store, siteOptions{bare: i%2 == 1}))
			})
		}
	})
}

// run asks, and checks the answer.
func (row contract) run(t *testing.T, s *site) {
	t.Helper()
	s.signIn(t, alice)
	_, err := s.End(t.Context(), User(alice), Ending{Reason: ReasonPassword, Actor: adam})
	require.NoError(t, err)
	before := s.signInAll(t, alice, bob, adam, ruth)
	tv := SessionUpdate{ID: before[alice].ID, Device: &Device{Type: DeviceTV}}
	require.NoError(t, s.backend.store.Describe(t.Context(), []SessionUpdate{tv}))
	w := s.as(row.user, row.method, row.path(before))
	if row.status != 0 {
		requireProblem(t, w, row.status, row.code)
		return
	}
	require.Equal(t, http.StatusOK, w.Code, "%s", w.Body)
	assert.Equal(t, "no-store", w.Header().Get("Cache-Control"))
	row.check(t, s, before, decoded(t, w))
}

// empty takes everything out of a store, for the next row of a table.
func empty(t *testing.T, store Store) {
	switch store := store.(type) {
	case *MemoryStore:
		fresh := NewMemoryStore()
		store.rows, store.users, store.live, store.online = fresh.rows, fresh.users, fresh.live, fresh.online
		store.ended, store.counts, store.index = fresh.ended, fresh.counts, fresh.index
	case interface{ Empty(t testing.TB) }:
		store.Empty(t)
	case *BunStore:
		_, err := store.db.ExecContext(t.Context(), "TRUNCATE user_sessions, user_presence, online_samples")
		require.NoError(t, err)
	}
}
