package sessiontrack

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestHandlerOptionsThatCannotWork(t *testing.T) {
	t.Parallel()
	tracker, err := New(NewMemoryStore(), nil)
	require.NoError(t, err)
	admin := func(o AdminOptions) func() { return func() { tracker.AdminHandler(&o) } }
	online := func(o UserOptions) func() { return func() { tracker.UserHandler(&o) } }
	for want, make := range map[string]func(){
		`sessiontrack: AdminOptions.Prefix is "api/": want a path that begins and ends with a slash`:     admin(AdminOptions{Prefix: "api/"}),
		`sessiontrack: AdminOptions.Prefix is "/api": want a path that begins and ends with a slash`:     admin(AdminOptions{Prefix: "/api"}),
		`sessiontrack: AdminOptions.Prefix is "/a/../b/": want a path that begins and ends with a slash`: admin(AdminOptions{Prefix: "/a/../b/"}),
		`sessiontrack: AdminOptions.Roles has an empty role: want names of roles`:                        admin(AdminOptions{Roles: []string{"a", ""}}),
		`sessiontrack: AdminOptions.SuperRoles has an empty role: want names of roles`:                   admin(AdminOptions{SuperRoles: []string{""}}),
		`sessiontrack: AdminOptions.Online is -1s: want more than 0 and at most 24h0m0s`:                 admin(AdminOptions{Online: -time.Second}),
		`sessiontrack: AdminOptions.Online is 25h0m0s: want more than 0 and at most 24h0m0s`:             admin(AdminOptions{Online: 25 * time.Hour}),
		`sessiontrack: UserOptions.Prefix is "//": want a path that begins and ends with a slash`:        online(UserOptions{Prefix: "//"}),
		`sessiontrack: UserOptions.Roles has an empty role: want names of roles`:                         online(UserOptions{Roles: []string{""}}),
		`sessiontrack: UserOptions.VeryActive is -1s: want more than 0`:                                  online(UserOptions{VeryActive: -time.Second}),
		`sessiontrack: UserOptions.Online is 5m0s: want more than VeryActive (5m0s)`:                     online(UserOptions{Online: 5 * time.Minute}),
		`sessiontrack: UserOptions.RecentlyActive is 15m0s: want more than Online (15m0s)`:               online(UserOptions{RecentlyActive: 15 * time.Minute}),
		`sessiontrack: UserOptions.RecentlyActive is 24h0m1s: want at most 24h0m0s`:                      online(UserOptions{RecentlyActive: 24*time.Hour + time.Second}),
	} {
		t.Run(want, func(t *testing.T) {
			t.Parallel()
			assert.PanicsWithValue(t, want, make)
		})
	}
}

// TestHandlersAnswerUnderAnyPrefix: a prefix is cut where it is there; a path without it counts as
// stripped.
func TestHandlersAnswerUnderAnyPrefix(t *testing.T) {
	t.Parallel()
	s := newSite(t, NewMemoryStore(), siteOptions{})
	session := s.signIn(t, adam)
	id := string(session.ID)
	for _, test := range []struct {
		prefix, pattern, strip, path string
		status                       int
	}{
		{"", "/", "", "/api/user-sessions/active-users", 200},
		{"", "/", "", "/active-users", 200},
		{"", "/monitor/", "/monitor", "/monitor/active-users", 200},
		{"", "/monitor/", "/monitor/", "/monitor/user/7/sessions", 200},
		{"", "/monitor/", "/monitor", "/monitor/user/a%2Fb/sessions", 200},
		{"", "/monitor/", "", "/monitor/active-users", 404},
		{"/monitor/", "/", "", "/monitor/active-users", 200},
		{"/monitor/", "/", "", "/api/user-sessions/active-users", 404},
		{"/mön itor/", "/", "", "/m%C3%B6n%20itor/active-users", 200},
		{"/", "/", "", "/active-users", 200},
		{"/", "/", "", "/", 404},
		{"", "/", "", "/api/user-sessions/active%2Dusers", 200},
	} {
		mux := http.NewServeMux()
		handler := s.AdminHandler(&AdminOptions{Prefix: test.prefix})
		if test.strip != "" {
			handler = http.StripPrefix(test.strip, handler)
		}
		mux.Handle(test.pattern, handler)
		r := httptest.NewRequest("GET", test.path, nil)
		r.Header.Set(headerName, s.tokens[adam].Reveal())
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, r)
		assert.Equal(t, test.status, w.Code, "%+v", test)
	}
	s.handler = s.UserHandler(&UserOptions{Prefix: "/o/"})
	assert.Equal(t, 200, s.as(adam, "DELETE", "/o/sessions/"+id).Code)
}

// TestOptionsAreCopied: what becomes of the caller's struct later changes nothing.
func TestOptionsAreCopied(t *testing.T) {
	t.Parallel()
	roles := []string{"auditor"}
	s := newSite(t, NewMemoryStore(), siteOptions{admin: &AdminOptions{Roles: roles}})
	roles[0] = "user"
	s.roles[bob] = []string{"auditor"}
	s.signInAll(t, alice, bob, adam)
	assert.Equal(t, 200, s.as(bob, "GET", adminPath+"active-users").Code)
	for _, user := range []string{alice, adam} {
		requireProblem(t, s.as(user, "GET", adminPath+"active-users"), 403, "forbidden")
	}
}

// TestRolesOfTheCredential: without Options.Roles the verified credential's hold, and
// nobody is protected.
func TestRolesOfTheCredential(t *testing.T) {
	t.Parallel()
	s := newSite(t, NewMemoryStore(), siteOptions{tracker: func(o *Options) {
		o.Roles = nil
		o.Identifier = IdentifierFunc(func(r *http.Request) (Identity, error) {
			user := r.Header.Get("X-User")
			if user == "" {
				return Identity{}, ErrNoCredential
			}
			return Identity{UserID: user, Key: "k" + user, Roles: r.Header.Values("X-Role")}, nil
		})
	}})
	assert.Equal(t, 200, s.as("", "GET", onlinePath+"count", "X-User", ruth, "X-Role", "superadmin").Code)
	requireProblem(t, s.as("", "GET", adminPath+"active-users", "X-User", adam, "X-Role", "user"), 403, "forbidden")
	w := s.as("", "POST", adminPath+"force-logout-user/"+ruth, "X-User", adam, "X-Role", "user", "X-Role", "admin")
	require.Equal(t, 200, w.Code)
	assert.Equal(t, map[string]any{"ended": 1.0}, decoded(t, w)["data"])
}

// TestAuthorizeDecidesAboutEveryRoute: one function decides about every route of the online family.
func TestAuthorizeDecidesAboutEveryRoute(t *testing.T) {
	t.Parallel()
	var asked []string
	var failure error
	s := newSite(t, NewMemoryStore(), siteOptions{online: &UserOptions{Authorize: func(ctx context.Context, a UserAccess) (bool, error) {
		asked = append(asked, a.Route+" "+a.Session.UserID+" "+fmt.Sprint(a.Roles))
		session, ok := FromContext(ctx)
		if a.Route == "stats" {
			panic("stats")
		}
		return ok && session.ID == a.Session.ID && slices.Contains(a.Roles, "user") && a.Route != "count", failure
	}}})
	id := string(s.signInAll(t, alice, adam)[alice].ID)
	for _, test := range []struct {
		user, method, path string
		status             int
		want               string
	}{
		{alice, "GET", "count", 403, "count 1 [user]"}, {alice, "GET", "users", 200, "users 1 [user]"}, {adam, "GET", "users", 403, "users 7 [admin]"},
		{alice, "GET", "stats", 503, "stats 1 [user]"}, {alice, "GET", "sessions", 200, "sessions 1 [user]"},
		{alice, "POST", "sessions/end-others", 200, "end-others 1 [user]"}, {alice, "POST", "cleanup", 200, "cleanup 1 [user]"},
		{adam, "POST", "cleanup", 403, "cleanup 7 [admin]"}, {alice, "GET", "me", 200, "me 1 [user]"}, {adam, "GET", "me", 403, "me 7 [admin]"},
		{alice, "POST", "me/extend", 200, "extend 1 [user]"}, {adam, "POST", "sessions/" + id + "/report", 403, "report 7 [admin]"},
		{alice, "DELETE", "sessions/" + id, 200, "end 1 [user]"},
	} {
		asked = nil
		assert.Equal(t, test.status, s.as(test.user, test.method, onlinePath+test.path).Code, test.want)
		assert.Equal(t, []string{test.want}, asked)
	}
	s.signIn(t, alice)
	failure = errors.New("policy away")
	requireProblem(t, s.as(alice, "GET", onlinePath+"users"), 503, "store_unavailable")
	failure = ErrNotFound
	requireProblem(t, s.as(alice, "GET", onlinePath+"users"), 503, "store_unavailable")
	asked = nil
	requireProblem(t, s.as("", "GET", onlinePath+"users"), 401, "unauthenticated")
	assert.Empty(t, asked, "nobody is signed in")
}

// TestVisibleNarrowsLists: a narrowed list fills its pages, misses nobody and shows nobody twice,
// on both stores.
func TestVisibleNarrowsLists(t *testing.T) {
	t.Parallel()
	onEachStore(t, func(t *testing.T, store Store) {
		const users = 130
		viewers := map[string]bool{}
		see := func(id string) bool { n, _ := strconv.Atoi(id); return n%3 == 0 }
		s := newSite(t, store, siteOptions{online: &UserOptions{Visible: func(_ context.Context, viewer string, ids []string) ([]string, error) {
			viewers[viewer] = true
			assert.LessOrEqual(t, len(ids), maxPage)
			return append(slices.DeleteFunc(slices.Clone(ids), func(id string) bool { return !see(id) }), "999999", ids[0][:0]), nil
		}}})
		var want []any
		for i := range users {
			id := strconv.Itoa(1000 + i)
			s.signIn(t, id)
			if see(id) {
				want = append([]any{float64(1000 + i)}, want...)
			}
		}
		for _, limit := range []int{1, 7, 10, 42, 100} {
			var got []any
			next, pages := "", 0
			s.directory.calls.Store(0)
			for {
				body := s.json(t, "1000", "GET", fmt.Sprintf("%susers?limit=%d%s", onlinePath, limit, next))
				page := field(rows(t, body, "online_users"), "user_id")
				assert.EqualValues(t, len(page), body["count"])
				got, pages = append(got, page...), pages+1
				cursor, more := body["next"].(string)
				if !more {
					break
				}
				require.Len(t, page, limit, "a page that another follows is full")
				next = "&cursor=" + cursor
			}
			assert.Equal(t, want, got, "limit %d", limit)
			assert.LessOrEqual(t, s.directory.calls.Load(), int64(pages), "calls of the directory")
		}
		assert.Equal(t, map[string]bool{"1000": true}, viewers)
		assert.EqualValues(t, users, s.json(t, "1000", "GET", onlinePath+"count")["online_count"], "counts are of everybody")
	})
}

// TestVisibleIsBounded: a viewer who may see nobody costs a bounded number of pages,
// and gets the cursor to go on from.
func TestVisibleIsBounded(t *testing.T) {
	t.Parallel()
	calls := 0
	var failure error
	s := newSite(t, NewMemoryStore(), siteOptions{online: &UserOptions{Visible: func(context.Context, string, []string) ([]string, error) {
		calls++
		return nil, failure
	}}})
	for i := range 1200 {
		s.signIn(t, strconv.Itoa(1000+i))
	}
	body := s.json(t, "1000", "GET", onlinePath+"users?limit=10")
	assert.Equal(t, []any{[]any{}, 0.0}, []any{body["online_users"], body["count"]})
	assert.Equal(t, maxVisiblePages, calls)
	body = s.json(t, "1000", "GET", onlinePath+"users?limit=10&cursor="+body["next"].(string))
	assert.NotContains(t, body, "next")
	failure = errors.New("friends away")
	requireProblem(t, s.as("1000", "GET", onlinePath+"users"), 503, "store_unavailable")
}

// TestStatusAndCountsFollowTheWindows: a user's status and the counts follow the windows, their
// own ones where the handler has them.
func TestStatusAndCountsFollowTheWindows(t *testing.T) {
	t.Parallel()
	for _, own := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			o := siteOptions{}
			unit := time.Minute
			if own {
				unit = 2 * time.Minute
				o.online = &UserOptions{VeryActive: 10 * time.Minute, Online: 30 * time.Minute, RecentlyActive: 2 * time.Hour}
				o.admin = &AdminOptions{Online: 30 * time.Minute}
			}
			s := newSite(t, NewMemoryStore(), o)
			s.signIn(t, alice)
			time.Sleep(60*unit - time.Microsecond)
			s.signIn(t, adam)
			check := func(status string, online bool, counts ...int) {
				t.Helper()
				s.figures.shared.latest = nil
				body := s.json(t, adam, "GET", onlinePath+"stats")
				got := []any{body["very_active_users"], body["online_users"], body["recently_active_users"]}
				assert.Equal(t, []any{float64(counts[0]), float64(counts[1]), float64(counts[2])}, got)
				list := rows(t, s.json(t, adam, "GET", onlinePath+"users?minutes=1440"), "online_users")
				assert.Equal(t, status, list[len(list)-1]["status"])
				body = s.json(t, adam, "GET", onlinePath+"count")
				assert.Equal(t, []any{float64(counts[1]), (15 * unit).Minutes()}, []any{body["online_count"], body["threshold_minutes"]})
				rowsOf := rows(t, s.json(t, adam, "GET", adminPath+"user/1/sessions"), "data")
				assert.Equal(t, []any{online, true}, []any{rowsOf[0]["online"], rowsOf[0]["isActive"]})
			}
			check("recently_active", false, 1, 1, 2)
			time.Sleep(time.Microsecond)
			check("offline", false, 1, 1, 1)
			s.signIn(t, alice)
			check("very_active", true, 2, 2, 2)
			time.Sleep(5*unit - time.Microsecond)
			check("very_active", true, 2, 2, 2)
			time.Sleep(time.Microsecond)
			check("online", true, 1, 2, 2) // adam's own requests keep him very active
		})
	}
}

// TestSearchUnderAMask: what is kept of addresses is what a search can find.
func TestSearchUnderAMask(t *testing.T) {
	t.Parallel()
	key := []byte(addressKey)
	for mode, want := range map[AddressMode]struct{ same, near int }{
		AddressFull: {2, 0}, AddressTruncated: {2, 2}, AddressNone: {0, 0}, AddressHashed: {2, 0},
	} {
		s := newSite(t, NewMemoryStore(), siteOptions{tracker: func(o *Options) {
			if o.AddressMode = mode; mode == AddressHashed {
				o.AddressKey = key
			}
		}})
		s.signInAll(t, alice, adam)
		found := func(q string) []map[string]any {
			return rows(t, s.json(t, adam, "GET", adminPath+"active-users?q="+q), "data")
		}
		assert.Len(t, found("192.0.2.1"), want.same, "%v", mode)
		assert.Len(t, found("192.0.2.200"), want.near, "%v", mode)
		if mode == AddressHashed {
			shown := found("192.0.2.1")[0]["ipAddress"].(string)
			assert.Equal(t, hashAddress(netip.MustParseAddr("192.0.2.1"), key).String(), shown)
			assert.Len(t, found(shown), 2, "as it is shown")
		}
	}
	s := newSite(t, NewMemoryStore(), siteOptions{})
	s.signInAll(t, adam, "2001:db8::1")
	list := rows(t, s.json(t, adam, "GET", adminPath+"active-users?q=2001:db8::1"), "data")
	assert.Equal(t, []any{"2001:db8::1"}, field(list, "userId"), "a user id that looks like an address")
}

// TestUserIDsAreStringsByDefault: every user id of an answer is written the same way.
func TestUserIDsAreStringsByDefault(t *testing.T) {
	t.Parallel()
	s := newSite(t, NewMemoryStore(), siteOptions{tracker: func(o *Options) { o.NumericUserIDs = false }})
	s.signInAll(t, alice, adam)
	data := s.json(t, adam, "POST", adminPath+"force-logout/"+string(s.tokens[alice].ID()))["data"].(map[string]any)
	assert.Equal(t, []any{"1", "7", "1"}, []any{data["userId"], data["endedBy"], data["user"].(map[string]any)["id"]})
	assert.Equal(t, "7", rows(t, s.json(t, adam, "GET", onlinePath+"users"), "online_users")[0]["user_id"])
}

// TestEndingTheCurrentSession clears its cookie; ending another one does not.
func TestEndingTheCurrentSession(t *testing.T) {
	t.Parallel()
	s := newSite(t, NewMemoryStore(), siteOptions{})
	first := s.signIn(t, alice)
	current := s.signIn(t, alice)
	cookie := "__Host-session=" + s.tokens[alice].Reveal()
	for _, test := range []struct {
		session Session
		reason  EndReason
		cleared bool
	}{{first, ReasonUser, false}, {current, ReasonLogout, true}} {
		w := s.as("", "DELETE", onlinePath+"sessions/"+string(test.session.ID), "Cookie", cookie)
		require.Equal(t, 200, w.Code)
		assert.Equal(t, test.cleared, w.Header().Get("Set-Cookie") != "")
		got, err := s.Get(t.Context(), test.session.ID)
		require.NoError(t, err)
		assert.Equal(t, []any{test.reason, alice}, []any{got.EndReason, got.EndedBy})
	}
}
