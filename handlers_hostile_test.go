package sessiontrack

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"

	codec "github.com/sessiontrack/sessiontrack/internal/handle"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestNothingThatIsShownAuthenticates presents every string of every answer, and the
// pairs of a handle with another string, as header, cookie and bearer (docs/checks.md S14,
// I13).
func TestNothingThatIsShownAuthenticates(t *testing.T) {
	t.Parallel()
	onEachStore(t, func(t *testing.T, store Store) {
		jwt, err := NewJWTIdentifier(JWTOptions{Secret: []byte(strings.Repeat("k", 32))})
		require.NoError(t, err)
		s := newSite(t, store, siteOptions{tracker: func(o *Options) { o.Identifier, o.SessionAlone = jwt, true }})
		sessions := s.signInAll(t, alice, bob, adam)
		shown := map[string]bool{}
		for _, route := range append(routesUnderTest(sessions[bob].ID), routeUnderTest{"GET", adminPath + "user/2/sessions?ended=true", ""}) {
			w := s.as(adam, route.method, route.path)
			assert.Equal(t, "no-store", w.Header().Get("Cache-Control"), route.path)
			var body any
			require.NoError(t, json.Unmarshal(w.Body.Bytes(), &body))
			gather(body, shown)
		}
		require.True(t, shown[string(sessions[alice].ID)], "the list shows handles")
		require.Greater(t, len(shown), 20)
		for text := range shown {
			for _, other := range []string{"", "." + text, "." + strings.Repeat("A", codec.SecretChars), "." + string(sessions[alice].ID) + strings.Repeat("A", codec.SecretChars-idChars)} {
				for _, headers := range [][]string{
					{headerName, text + other}, {"Cookie", "__Host-session=" + text + other}, {"Authorization", "Bearer " + text + other},
				} {
					w := s.as("", "GET", onlinePath+"count", headers...)
					require.NotEqual(t, http.StatusOK, w.Code, "%q", headers)
					require.Less(t, w.Code, 500, "%q", headers)
				}
			}
		}
		for _, token := range s.issued {
			assert.NotContains(t, s.logs.String(), token[idChars+1:])
		}
	})
}

// gather collects every string of a JSON value, keys too.
func gather(value any, into map[string]bool) {
	switch value := value.(type) {
	case string:
		into[value] = true
	case []any:
		for _, v := range value {
			gather(v, into)
		}
	case map[string]any:
		for k, v := range value {
			into[k] = true
			gather(v, into)
		}
	}
}

// hostileIDs are path segments as they stand in a URL, with the user id that they
// name; "" where they are nobody's name.
var hostileIDs = map[string]string{
	"2": "2", "%32": "2", "02": "", "%202": "", "2%20": "", "2%00": "", "%002": "", "-1": "", "+2": "", "2.0": "", "0x2": "", "%D9%A2": "",
	"2%2F..%2F1": "", "..%2F2": "", "%2e%2e%2f2": "", ".": "", "..%00": "", "%25%32%32": "", "%2532": "", "2%0A": "", "2%0D%0ASet-Cookie:x": "",
	"%FF": "", "%C0%B2": "", "2%FF": "", "2%C2%80": "", "%E2%80%AE2": "", "2;x=1": "", "2'--": "", "2%27%20OR%20%271%27=%271": "", "2%22": "", "?": "", "%3F": "", "-?": "",
	"%7B%7D": "", "null": "", "1e0": "", "2,1": "", "%25": "", "2%5C": "", "%F0%9F%98%80": "", "*": "", "2%23": "", "$1": "", "%3Bselect": "",
	"9999999999999999999999999": "", "10KB": "",
}

// pathsOfNothing are below the admin family's, and name nothing there.
var pathsOfNothing = []string{
	"", "/", "active-users/", "/active-users", "user//sessions", "user/2/../1/sessions", "user/2/sessions/", "user/2/sessions/x", "user",
	"force-logout", "force-logout/", "force-logout/a/b", "force-logout%2Fa", strings.Repeat("a/", 5000),
}

// TestHostilePathIDs: an id in a path is one user or nobody, whatever its bytes: no
// foreign rows, no 5xx, and the next request works (docs/checks.md S17, S29).
func TestHostilePathIDs(t *testing.T) {
	t.Parallel()
	onEachStore(t, func(t *testing.T, store Store) {
		for _, bare := range []bool{false, true} {
			empty(t, store)
			s := newSite(t, store, siteOptions{bare: bare})
			if bare { // no ServeMux in front, which cleans paths
				admin, online := s.AdminHandler(nil), s.UserHandler(nil)
				s.handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					h := online
					if strings.HasPrefix(r.URL.Path, adminPath) {
						h = admin
					}
					h.ServeHTTP(w, r)
				})
			}
			sessions := s.signInAll(t, alice, bob, adam)
			for id, names := range hostileIDs {
				if id == "10KB" {
					id = strings.Repeat("2", 10<<10)
				}
				u, err := url.Parse(adminPath + "user/" + id + "/sessions")
				if err != nil || u.Path == adminPath+"user/" || u.RawQuery != "" || strings.HasSuffix(id, "?") {
					continue // no such request can be made, or it names another path
				}
				w := s.as(adam, "GET", adminPath+"user/"+id+"/sessions?ended=true")
				require.Less(t, w.Code, 500, "%.80q", id)
				if w.Code == 200 {
					want := 0
					if names == bob {
						want = 1
					}
					assert.Len(t, rows(t, decoded(t, w), "data"), want, "%.80q", id)
				}
				for _, ask := range [][2]string{
					{"DELETE", onlinePath + "sessions/" + id}, {"POST", adminPath + "force-logout/" + id},
				} {
					code := s.as(adam, ask[0], ask[1]).Code
					assert.Contains(t, []int{400, 404, 301, 307}, code, "%s %.80q", ask[0], ask[1])
				}
				if names == "" {
					require.Less(t, s.as(adam, "POST", adminPath+"force-logout-user/"+id).Code, 500, "%.80q", id)
				}
			}
			for _, path := range pathsOfNothing {
				if !bare && (strings.Contains(path, "//") || strings.HasPrefix(path, "/") || strings.Contains(path, "..")) {
					continue // the mux redirects
				}
				requireProblem(t, s.as(adam, "POST", adminPath+path), 404, "not_found")
			}
			for user, session := range sessions {
				got, err := s.Get(t.Context(), session.ID)
				require.NoError(t, err)
				assert.False(t, got.Ended(), "user %s", user)
			}
			assert.Equal(t, 200, s.as(adam, "GET", adminPath+"active-users").Code)
		}
	})
}

// TestParametersOutOfBoundsAreRefused: what cannot be meant is 400, and the detail names the
// parameter and its bound.
func TestParametersOutOfBoundsAreRefused(t *testing.T) {
	t.Parallel()
	onEachStore(t, func(t *testing.T, store Store) {
		s := newSite(t, store, siteOptions{})
		s.signInAll(t, alice, adam)
		foreign := Cursor{At: s.signIn(t, bob).LoginAt, UserID: strings.Repeat("z", 200), Serial: 1 << 62}.String()
		for _, test := range []struct {
			path, query, detail string // detail "": 200
		}{
			{adminPath + "active-users", "limit=0", "limit: want a whole number from 1 to 100."},
			{adminPath + "active-users", "limit=101", "limit: want a whole number from 1 to 100."},
			{adminPath + "active-users", "limit=-1", "limit: want a whole number from 1 to 100."},
			{adminPath + "active-users", "limit=%2B5", "limit: want a whole number from 1 to 100."},
			{adminPath + "active-users", "limit=5.0", "limit: want a whole number from 1 to 100."},
			{adminPath + "active-users", "limit=", "limit: the value is empty; leave the parameter out."},
			{adminPath + "active-users", "limit=99999999999999999999", "limit: want a whole number from 1 to 100."},
			{adminPath + "active-users", "cursor=", "cursor: the value is empty; leave the parameter out."},
			{adminPath + "active-users", "state=ended", "state: this path has active sessions only."},
			{adminPath + "active-users", "reason=admin", "state: this path has active sessions only."},
			{adminPath + "active-users", "country=DEU", "country: want the two letters of a country, such as ID."},
			{adminPath + "active-users", "q=x&user=1", "q: it contradicts user; give one of them."},
			{adminPath + "active-users", "q=x&ip=192.0.2.1", "q: it contradicts ip; give one of them."},
			{adminPath + "active-users", "derived=false", "derived: want true; leave it out for every session."},
			{adminPath + "sessions", "state=dead", "state: want one of active, ended, any."},
			{adminPath + "sessions", "state=active&reason=admin", "reason: it contradicts state; sessions that have ended have one."},
			{adminPath + "sessions", "sort=name", "sort: want one of login, activity."},
			{adminPath + "sessions", "sort=activity&state=any",
				"sort: activity contradicts state; want sort=login for sessions that have ended."},
			{adminPath + "sessions", "cursor=" + foreign, "cursor: it is from a list in another order."},
			{adminPath + "sessions", "ip=192.0.2.1/24", "ip: want an address or a prefix without further bits, such as " +
				"203.0.113.0/24 or 2001:db8::/48."},
			{adminPath + "sessions", "login_after=yesterday", "login_after: want a time such as 2026-11-22T00:00:00Z."},
			{adminPath + "sessions", "login_after=2026-01-02T00:00:00Z&login_before=2026-01-01T00:00:00Z",
				"login_after: it contradicts login_before; want an earlier time."},
			{adminPath + "sessions", "idle_for=2", "idle_for: want a duration such as 2h, from 1s to 87600h."},
			{adminPath + "sessions", "seen_within=-1s", "seen_within: want a duration such as 15m, from 1s to 87600h."},
			{adminPath + "sessions", "user=1,,2", "user: want at most 100 user ids with commas between them."},
			{adminPath + "sessions", "reason=Admin", "reason: want at most 16 end reasons with commas between them."},
			{adminPath + "sessions", "user=1,2&device=tv&browser=Chrome&os=Android&country=id&ip=2001:db8::/48&idle_for=2h" +
				"&seen_within=3h&derived=true&login_after=2026-01-02T00:00:00Z&sort=activity", ""},
			{adminPath + "sessions", "reason=admin,idle&limit=1", ""},
			{adminPath + "active-users", "limit=1&limit=2", "limit: give it once."},
			{adminPath + "active-users", "cursor=x", "cursor: want what an earlier answer gave as next."},
			{adminPath + "active-users", "cursor=" + strings.Repeat("A", 3000), "cursor: want what an earlier answer gave as next."},
			{adminPath + "active-users", "cursor=eyJ0IjotMX0", "cursor: want what an earlier answer gave as next."},
			{adminPath + "active-users", "within=59s", "within: want a duration such as 15m, from 1m to 24h."},
			{adminPath + "active-users", "within=24h1s", "within: want a duration such as 15m, from 1m to 24h."},
			{adminPath + "active-users", "within=15", "within: want a duration such as 15m, from 1m to 24h."},
			{adminPath + "active-users", "within=-15m", "within: want a duration such as 15m, from 1m to 24h."},
			{adminPath + "active-users", "within=NaNm", "within: want a duration such as 15m, from 1m to 24h."},
			{adminPath + "active-users", "device=Mobile", "device: want one of desktop, mobile, tablet, bot, tv, console, wearable, other, unknown."},
			{adminPath + "active-users", "device=%00", "device: want one of desktop, mobile, tablet, bot, tv, console, wearable, other, unknown."},
			{adminPath + "active-users", "q=a%00b", "q: want at most 255 bytes of text without control characters."},
			{adminPath + "active-users", "q=%FF", "q: want at most 255 bytes of text without control characters."},
			{adminPath + "active-users", "q=" + strings.Repeat("x", 256), "q: want at most 255 bytes of text without control characters."},
			{adminPath + "active-users", "limit=%zz", "The query is not of the form name=value&name=value."},
			{adminPath + "active-users", "a;b", "The query is not of the form name=value&name=value."},
			{adminPath + "user/1/sessions", "ended=1", "ended: want true or false."},
			{adminPath + "user/1/sessions", "limit=1e2", "limit: want a whole number from 1 to 100."},
			{onlinePath + "count", "minutes=0", "minutes: want a whole number from 1 to 1440."},
			{onlinePath + "count", "minutes=1441", "minutes: want a whole number from 1 to 1440."},
			{onlinePath + "count", "minutes=15m", "minutes: want a whole number from 1 to 1440."},
			{onlinePath + "count", "minutes=", "minutes: the value is empty; leave the parameter out."},
			{onlinePath + "users", "minutes=-5", "minutes: want a whole number from 1 to 1440."},
			{onlinePath + "users", "limit=1000", "limit: want a whole number from 1 to 100."},
			{onlinePath + "sessions", "cursor=!", "cursor: want what an earlier answer gave as next."},

			{adminPath + "active-users", "limit=100&within=1m&device=tv&q=x", ""},
			{adminPath + "active-users", "within=1m&limit=1&device=unknown", ""},
			{adminPath + "active-users", "within=24h", ""},
			{adminPath + "active-users", "cursor=" + foreign, ""},
			{adminPath + "user/1/sessions", "cursor=" + foreign, ""},
			{adminPath + "user/1/sessions", "ended=false&limit=007", ""},
			{onlinePath + "users", "cursor=" + foreign, ""},
			{onlinePath + "count", "minutes=1", ""},
		} {
			w := s.as(adam, "GET", test.path+"?"+test.query)
			if test.detail == "" {
				assert.Equal(t, 200, w.Code, "%s %s", test.query, w.Body)
				continue
			}
			assert.Equal(t, test.detail, requireProblem(t, w, 400, "bad_request")["detail"], test.query)
		}
	})
}

// TestPagesMissNobody walks lists page by page: every row once, in one order, and one call of
// the directory a page.
func TestPagesMissNobody(t *testing.T) {
	t.Parallel()
	onEachStore(t, func(t *testing.T, store Store) {
		s := newSite(t, store, siteOptions{})
		const users, each = 5, 3
		var want []any
		for range each {
			for user := range users {
				s.signIn(t, fmt.Sprint(100+user))
			}
		}
		for user := users - 1; user >= 0; user-- { // the latest activity first
			for range each {
				want = append(want, float64(100+user))
			}
		}
		s.signIn(t, adam)
		want = append([]any{7.0}, want...)
		walk := func(user, path, key, field string) (values []any, pages int) {
			next := ""
			for {
				body := s.json(t, user, "GET", path+next)
				for _, row := range rows(t, body, key) {
					values = append(values, row[field])
				}
				pages++
				cursor, more := body["next"].(string)
				if !more {
					return values, pages
				}
				require.Less(t, pages, 100)
				next = "&cursor=" + url.QueryEscape(cursor)
			}
		}
		for _, limit := range []int{1, 2, 4, 16, 17, 100} {
			s.directory.calls.Store(0)
			got, pages := walk(adam, fmt.Sprintf("%sactive-users?limit=%d", adminPath, limit), "data", "userId")
			assert.Equal(t, want, got, "limit %d", limit)
			assert.Equal(t, (len(want)+limit-1)/limit, pages)
			assert.EqualValues(t, pages, s.directory.calls.Load(), "calls of the directory")
		}
		got, _ := walk(adam, adminPath+"active-users?limit=2&q=103", "data", "userId")
		assert.Equal(t, []any{103.0, 103.0, 103.0}, got)
		got, _ = walk(adam, adminPath+"user/104/sessions?limit=2", "data", "userId")
		assert.Equal(t, []any{104.0, 104.0, 104.0}, got)
		s.directory.calls.Store(0)
		got, pages := walk(adam, onlinePath+"users?limit=2", "online_users", "user_id")
		assert.Equal(t, []any{7.0, 104.0, 103.0, 102.0, 101.0, 100.0}, got)
		assert.EqualValues(t, pages, s.directory.calls.Load())
		got, _ = walk("101", onlinePath+"sessions?limit=2", "sessions", "userId")
		assert.Equal(t, []any{101.0, 101.0, 101.0}, got)
	})
}

// TestHandlersWhileTheStoreIsAway: while the store cannot say, everything is 503 with Retry-After:
// never an empty list, never 401, and none of the store's words (docs/checks.md S25, I18).
func TestHandlersWhileTheStoreIsAway(t *testing.T) {
	t.Parallel()
	broken := &brokenStore{Store: NewMemoryStore()}
	s := newSite(t, broken, siteOptions{bare: true})
	sessions := s.signInAll(t, bob, adam)
	require.Equal(t, 200, s.as(adam, "GET", onlinePath+"stats").Code, "before")
	for _, started := range []bool{false, true} {
		if started {
			broken.away.Store(false)
			start(t, s)
			defer func() { _ = s.Shutdown(t.Context()) }()
			require.Equal(t, 200, s.as(adam, "GET", onlinePath+"count").Code, "cached")
		}
		broken.away.Store(true)
		s.audited()
		attempts := 0
		for _, route := range routesUnderTest(sessions[bob].ID) {
			s.figures.shared.latest = nil
			w := s.as(adam, route.method, route.path)
			requireProblem(t, w, 503, "store_unavailable")
			for _, word := range []string{"pq", "SELECT", "secret", "10.0.0.5", "dial", "password"} {
				assert.NotContains(t, w.Body.String(), word)
			}
			if route.who == "admin" && route.method == "POST" {
				attempts++
			}
		}
		audits := s.audited()
		require.Len(t, audits, attempts)
		for _, a := range audits {
			assert.Equal(t, outcomeFailed, a.Outcome)
		}
	}
}

// TestListsAnswerWhileTheDirectoryIsAway: a list without names is still a list; a search that
// failed is not "nobody".
func TestListsAnswerWhileTheDirectoryIsAway(t *testing.T) {
	t.Parallel()
	s := newSite(t, NewMemoryStore(), siteOptions{})
	s.signInAll(t, alice, adam)
	for _, fail := range []func(bool){s.directory.fail.Store, s.directory.panics.Store} {
		fail(true)
		list := rows(t, s.json(t, adam, "GET", adminPath+"active-users"), "data")
		assert.Equal(t, map[string]any{"id": 7.0, "email": nil, "fullName": nil, "pictureUrl": nil}, list[0]["user"])
		assert.Len(t, rows(t, s.json(t, adam, "GET", onlinePath+"users"), "online_users"), 2)
		fail(false)
	}
	s.directory.fail.Store(true)
	requireProblem(t, s.as(adam, "GET", adminPath+"active-users?q=user"), 503, "store_unavailable")
}

// FuzzHandlerPaths sends any path segment and any query as an admin's. The oracle: no
// 5xx, a problem or JSON, rows of no user but the one that the segment names when
// unescaped once, and nobody else's session ended.
func FuzzHandlerPaths(f *testing.F) {
	for id := range hostileIDs {
		f.Add(id, "limit=1", false)
	}
	f.Add("2", "cursor="+Cursor{At: fromMicros(1), UserID: "2", Serial: 3}.String(), true)
	f.Add("1", "cursor=eyJ0IjoxfQ&limit=2&within=1m&device=tv&q=::1", true)
	f.Fuzz(func(t *testing.T, segment, query string, end bool) {
		s := newSite(t, NewMemoryStore(), siteOptions{})
		handler := s.AdminHandler(nil)
		sessions := s.signInAll(t, alice, bob, adam)
		path := "user/" + segment + "/sessions"
		method := http.MethodGet
		if end {
			path, method = "force-logout-user/"+segment, http.MethodPost
		}
		r := httptest.NewRequest(method, "/", nil)
		r.Header.Set(headerName, s.tokens[adam].Reveal())
		r.URL = &url.URL{Path: adminPath + unescapedOr(path), RawPath: adminPath + path, RawQuery: query}
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		require.Less(t, w.Code, 500)
		require.True(t, json.Valid(w.Body.Bytes()))
		named := unescapedOr(segment)
		for user, session := range sessions {
			got, err := s.Get(t.Context(), session.ID)
			require.NoError(t, err)
			if got.Ended() {
				require.True(t, end && named == user, "%q ended a session of %s", segment, user)
			}
		}
		if w.Code == 200 && !end {
			for _, row := range rows(t, decoded(t, w), "data") {
				require.Equal(t, named, fmt.Sprint(row["userId"]), "%q", segment)
			}
		}
		if w.Code == 400 {
			beginnings := []string{"limit:", "cursor:", "ended:", "The query", "The id in the path"}
			detail := decoded(t, w)["detail"].(string)
			require.True(t, strings.HasSuffix(detail, ": this path does not know the parameter.") ||
				slices.ContainsFunc(beginnings, func(p string) bool { return strings.HasPrefix(detail, p) }), detail)
		}
	})
}

func unescapedOr(s string) string {
	if text, err := url.PathUnescape(s); err == nil {
		return text
	}
	return s
}
