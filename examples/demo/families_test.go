package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestWhoMayCallWhat(t *testing.T) {
	t.Parallel()
	onEachStore(t, func(t *testing.T, d *demo) {
		people := map[string]caller{"user": d.signIn("user1"), "admin": d.signIn("admin"), "superadmin": d.signIn("root")}
		everybody, admins := []string{"user", "admin", "superadmin"}, []string{"admin", "superadmin"}
		for _, route := range []struct {
			method, path string
			may          []string
		}{
			{"GET", "/api/user-sessions/active-users", admins},
			{"GET", "/api/user-sessions/user/3/sessions", admins},
			{"GET", "/api/user-sessions/user/99999/sessions", admins},
			{"POST", "/api/user-sessions/force-logout-user/99999", admins},
			{"POST", "/api/user-sessions/cleanup-expired", admins},
			{"POST", "/api/v1/online/cleanup", admins},
			{"GET", "/api/v1/online/count?minutes=15", everybody},
			{"GET", "/api/v1/online/users?limit=10", everybody},
			{"GET", "/api/v1/online/stats", everybody},
			{"GET", "/api/v1/online/sessions", everybody},
			{"POST", "/api/v1/online/sessions/end-others", everybody},
		} {
			requireProblem(t, d.do(route.method, route.path, ""), http.StatusUnauthorized, "unauthenticated")
			for role, c := range people {
				r := d.do(route.method, route.path, "", as(c))
				if slices.Contains(route.may, role) {
					assert.Equal(t, http.StatusOK, r.status, "%s %s as %s: %s", route.method, route.path, role, r)
				} else {
					requireProblem(t, r, http.StatusForbidden, "forbidden")
				}
			}
		}
	})
}

func TestAdministratorsEndSessions(t *testing.T) {
	t.Parallel()
	onEachStore(t, func(t *testing.T, d *demo) {
		admin, root := d.signIn("admin"), d.signIn("root")
		a, b := d.signIn("user1"), d.signIn("user1")
		forceLogout := func(c caller, handle string) reply {
			return d.do(http.MethodPost, "/api/user-sessions/force-logout/"+handle, "", as(c))
		}
		r := forceLogout(admin, a.handle)
		require.Equal(t, http.StatusOK, r.status, "%s", r)
		assert.Equal(t, "admin", r.field("data", "endReason"))
		assert.EqualValues(t, 1, r.field("data", "endedBy"))
		requireEnded(t, d.get("/api/me", as(a)), "admin")
		assert.Equal(t, http.StatusOK, forceLogout(admin, a.handle).status, "it had ended before")

		requireProblem(t, forceLogout(admin, root.handle), http.StatusForbidden, "forbidden")
		requireProblem(t, d.do(http.MethodPost, "/api/user-sessions/force-logout-user/2", "", as(admin)), http.StatusForbidden, "forbidden")
		assert.Equal(t, http.StatusOK, d.get("/api/me", as(root)).status, "nothing was ended")
		requireProblem(t, forceLogout(admin, b.token), http.StatusNotFound, "not_found")

		r = d.do(http.MethodPost, fmt.Sprintf("/api/user-sessions/force-logout-user/%d", b.userID), "", as(root))
		assert.EqualValues(t, 1, r.field("data", "ended"), "%s", r)
		requireEnded(t, d.get("/api/me", as(b)), "admin")
		assert.NotContains(t, string(d.get("/api/v1/online/users", as(admin)).body), `"user1"`, "offline at once")
		assert.EqualValues(t, 2, d.get("/api/v1/online/count", as(admin)).field("online_count"))

		c := d.signIn("user1")
		assert.Contains(t, string(d.get("/api/v1/online/users", as(c)).body), `"username":"user1"`, "online at once")
		assert.EqualValues(t, 3, d.get("/api/v1/online/count", as(c)).field("online_count"))
	})
}

// Nothing that is shown to anybody signs anybody in.
func TestNothingShownAuthenticates(t *testing.T) {
	t.Parallel()
	onEachStore(t, func(t *testing.T, d *demo) {
		root, other := d.signIn("root"), d.signIn("user1")
		seen := map[string]bool{}
		for _, path := range []string{
			"/api/me", "/api/user-sessions/active-users", fmt.Sprintf("/api/user-sessions/user/%d/sessions?ended=true", other.userID),
			"/api/v1/online/users", "/api/v1/online/sessions", "/api/v1/online/stats",
		} {
			var body any
			r := d.get(path, as(root))
			require.Equal(t, http.StatusOK, r.status, "%s", r)
			require.NoError(t, json.Unmarshal(r.body, &body))
			collect(body, seen)
		}
		require.True(t, seen[other.handle] && seen[root.handle], "the handles are among them")
		for text := range seen {
			for _, carrier := range []change{
				with("X-Session-Id", text), byBearer(text), with("Cookie", "__Host-session="+text), with("Cookie", "session="+text),
				with("X-Session-Id", text+"."+strings.Repeat("A", 43)),
			} {
				r, err := d.try(t.Context(), http.MethodGet, "/api/me", "", carrier)
				if err != nil {
					continue // a value that no header can hold
				}
				require.Equal(t, http.StatusUnauthorized, r.status, "%q", text)
			}
		}
	})
}

// collect gathers all strings of a JSON value.
func collect(value any, into map[string]bool) {
	switch value := value.(type) {
	case string:
		into[value] = true
	case []any:
		for _, item := range value {
			collect(item, into)
		}
	case map[string]any:
		for _, item := range value {
			collect(item, into)
		}
	}
}

// A stream is no reason for a slow end.
func TestEndsAtOnceWithAStreamOpen(t *testing.T) {
	t.Parallel()
	d := startDemo(t, "-fast")
	admin := d.signIn("admin")
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, d.base+"/api/v1/online/events", nil)
	require.NoError(t, err)
	as(admin)(request)
	response, err := (&http.Client{Transport: httpClient.Transport}).Do(request)
	require.NoError(t, err)
	defer response.Body.Close()
	require.Equal(t, http.StatusOK, response.StatusCode)
	lines := bufio.NewScanner(response.Body)
	for lines.Scan() && !strings.HasPrefix(lines.Text(), "event: snapshot") {
	}
	require.NoError(t, lines.Err())
	begin := time.Now()
	d.stop()
	assert.Less(t, time.Since(begin), patience/2)
}
