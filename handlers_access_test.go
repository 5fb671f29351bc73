package sessiontrack

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// routes are all endpoints of both families, with a session of bob's or bob himself as
// what they are aimed at.
type routeUnderTest struct {
	method, path string
	who          string // "admin", "any", or "own": 404 for everybody but bob
}

func routesUnderTest(target SessionID) []routeUnderTest {
	return []routeUnderTest{
		{"GET", adminPath + "active-users", "admin"},
		{"GET", adminPath + "sessions", "admin"},
		{"GET", adminPath + "sessions/count", "admin"},
		{"GET", adminPath + "sessions/" + string(target), "admin"},
		{"GET", adminPath + "user/" + bob + "/sessions", "admin"},
		{"POST", adminPath + "force-logout/" + string(target), "admin"},
		{"POST", adminPath + "force-logout-user/" + bob, "admin"},
		{"POST", adminPath + "cleanup-expired", "admin"},
		{"GET", adminPath + "audit", "admin"},
		{"GET", onlinePath + "count", "any"},
		{"GET", onlinePath + "users", "any"},
		{"GET", onlinePath + "stats", "any"},
		{"GET", onlinePath + "sessions", "any"},
		{"DELETE", onlinePath + "sessions/" + string(target), "own"},
		{"POST", onlinePath + "sessions/end-others", "any"},
		{"POST", onlinePath + "sessions/" + string(target) + "/report", "own"},
		{"GET", onlinePath + "me", "any"},
		{"POST", onlinePath + "me/extend", "any"},
		{"POST", onlinePath + "cleanup", "admin"},
		{"GET", onlinePath + "history", "admin"},
	}
}

var allMethods = []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "QUERY"}

// TestRoleMatrix tries every role on every route with every method (docs/checks.md S16): 405
// before anything else, 401 without a session, 403 without the role.
func TestRoleMatrix(t *testing.T) {
	t.Parallel()
	for _, role := range []string{"anon", "user", "admin", "superadmin", "Admin", "admin ", "", "ADMIN", "admin\x00", "administrator"} {
		t.Run(fmt.Sprintf("%q", role), func(t *testing.T) {
			t.Parallel()
			s := newSite(t, NewMemoryStore(), siteOptions{})
			s.roles[alice] = []string{role}
			s.signIn(t, bob)
			caller := alice
			if role == "anon" {
				caller = ""
			} else {
				s.signIn(t, alice)
			}
			admin := role == "admin" || role == "superadmin"
			for _, route := range routesUnderTest(s.tokens[bob].ID()) {
				for _, method := range allMethods {
					w := s.as(caller, method, route.path)
					label := method + " " + route.path
					switch {
					case method != route.method && !(method == "HEAD" && route.method == "GET"):
						requireProblem(t, w, 405, "method_not_allowed")
						want := strings.Replace(route.method, "GET", "GET, HEAD", 1)
						assert.Equal(t, want, w.Header().Get("Allow"), label)
					case role == "anon":
						requireProblem(t, w, 401, "unauthenticated")
					case route.who == "own":
						requireProblem(t, w, 404, "not_found")
					case route.who == "admin" && !admin:
						requireProblem(t, w, 403, "forbidden")
					default:
						assert.Equal(t, 200, w.Code, label)
					}
				}
			}
			got, err := s.Get(t.Context(), s.tokens[bob].ID())
			require.NoError(t, err)
			assert.Equal(t, admin, got.Ended(), "bob's session")
		})
	}
}

// TestHeadAnswersAsGetWithoutABody: HEAD answers as GET does, without a body, on a real connection.
func TestHeadAnswersAsGetWithoutABody(t *testing.T) {
	t.Parallel()
	s := newSite(t, NewMemoryStore(), siteOptions{})
	s.signInAll(t, adam)
	server := httptest.NewServer(s.handler)
	defer server.Close()
	for _, path := range []string{adminPath + "active-users", onlinePath + "count", onlinePath + "sessions", onlinePath + "nothing"} {
		ask := func(method string) *http.Response {
			r, err := http.NewRequestWithContext(t.Context(), method, server.URL+path, nil)
			require.NoError(t, err)
			r.Header.Set(headerName, s.tokens[adam].Reveal())
			w, err := server.Client().Do(r)
			require.NoError(t, err)
			require.NoError(t, w.Body.Close())
			w.Header.Del("Date")
			return w
		}
		get, head := ask("GET"), ask("HEAD")
		assert.Equal(t, get.StatusCode, head.StatusCode, path)
		for name := range get.Header {
			if name != "Content-Length" { // a timestamp may be a digit shorter
				assert.Equal(t, get.Header[name], head.Header[name], path)
			}
		}
	}
}

// TestHandlersRefuseOtherSites: no unsafe request from another site reaches an action, whatever
// carries its session (docs/checks.md S20); attempts at admin actions are audited.
func TestHandlersRefuseOtherSites(t *testing.T) {
	t.Parallel()
	sites := map[string][]string{
		"cross-site":      {"Sec-Fetch-Site", "cross-site", "Origin", "https://evil.example"},
		"same-site":       {"Sec-Fetch-Site", "same-site", "Origin", "https://other.example.com"},
		"null origin":     {"Origin", "null"},
		"evil origin":     {"Origin", "https://evil.example"},
		"trusted origin":  {"Origin", "https://app.example.org", "Sec-Fetch-Site", "cross-site"},
		"same-origin":     {"Sec-Fetch-Site", "same-origin"},
		"typed by hand":   {"Sec-Fetch-Site", "none"},
		"same host":       {"Origin", "http://example.com"},
		"not from a page": nil,
	}
	allowed := map[string]bool{"trusted origin": true, "same-origin": true, "typed by hand": true, "same host": true, "not from a page": true}
	for name, headers := range sites {
		for _, carrier := range []string{"header", "cookie", "none"} {
			t.Run(name+" by "+carrier, func(t *testing.T) {
				t.Parallel()
				s := newSite(t, NewMemoryStore(), siteOptions{bare: carrier == "none", tracker: func(o *Options) {
					o.TrustedOrigins = []string{"https://app.example.org"}
				}})
				s.signInAll(t, bob, ruth)
				caller, extra := ruth, headers
				if carrier != "header" {
					caller = ""
				}
				if carrier == "cookie" {
					extra = append([]string{"Cookie", "__Host-session=" + s.tokens[ruth].Reveal()}, headers...)
				}
				target := s.signIn(t, ruth).ID // the caller's own other session
				s.tokens[ruth], _ = parseToken(s.issued[1])
				for _, route := range routesUnderTest(target) {
					w := s.as(caller, route.method, route.path, extra...)
					unsafe := route.method != "GET"
					switch {
					case unsafe && !allowed[name]:
						requireProblem(t, w, 403, "cross_origin")
					case carrier == "none":
						requireProblem(t, w, 401, "unauthenticated")
					default:
						assert.Equal(t, 200, w.Code, "%s %s", route.method, route.path)
					}
				}
				got, err := s.Get(t.Context(), target)
				require.NoError(t, err)
				assert.Equal(t, allowed[name] && carrier != "none", got.Ended())
				if !allowed[name] {
					assert.Len(t, s.audited(), 4)
				}
			})
		}
	}
}

// TestSuperadminRule: who has no super role does not end the session of who has one
// (docs/checks.md S18), one by one or all at once; every attempt is one record.
func TestSuperadminRule(t *testing.T) {
	t.Parallel()
	people := []string{alice, adam, ruth, "8"}
	may := map[[2]string]bool{
		{adam, alice}: true, {adam, adam}: true, {adam, "8"}: false, {adam, ruth}: false,
		{ruth, alice}: true, {ruth, adam}: true, {ruth, "8"}: true, {ruth, ruth}: true,
		{"8", alice}: true, {"8", adam}: true, {"8", "8"}: true, {"8", ruth}: true,
	}
	for _, actor := range people {
		for _, target := range people {
			t.Run(actor+" ends "+target, func(t *testing.T) {
				t.Parallel()
				for _, path := range []string{"force-logout/", "force-logout-user/"} {
					s := newSite(t, NewMemoryStore(), siteOptions{})
					s.roles["8"] = []string{"admin", "superadmin"}
					sessions := s.signInAll(t, people...)
					id := string(sessions[target].ID)
					if path == "force-logout-user/" {
						id = target
					}
					w := s.as(actor, "POST", adminPath+path+id)
					want, outcome := may[[2]string{actor, target}], outcomeDone
					if !want {
						outcome = outcomeForbidden
						requireProblem(t, w, 403, "forbidden")
					} else {
						require.Equal(t, 200, w.Code, "%s", w.Body)
					}
					got, err := s.Get(t.Context(), sessions[target].ID)
					require.NoError(t, err)
					assert.Equal(t, want, got.Ended())
					audits := s.audited()
					require.Len(t, audits, 1)
					assert.Equal(t, outcome, audits[0].Outcome)
					assert.Equal(t, actor, audits[0].Actor)
				}
			})
		}
	}
}

// TestListSaysWhoIsProtected: a client need not offer what would be refused.
func TestListSaysWhoIsProtected(t *testing.T) {
	t.Parallel()
	s := newSite(t, NewMemoryStore(), siteOptions{})
	s.signInAll(t, alice, adam, ruth)
	for _, test := range []struct {
		actor, target string
		want          any
	}{{adam, alice, nil}, {adam, ruth, true}, {ruth, ruth, nil}, {ruth, adam, nil}, {adam, "nobody", nil}} {
		assert.Equal(t, test.want, s.json(t, test.actor, "GET", adminPath+"user/"+test.target+"/sessions")["protected"],
			"%s asks about %s", test.actor, test.target)
	}
}

// TestSuperadminRuleSwitchedOff: where nobody is protected, or roles cannot be asked,
// an admin ends everybody's session.
func TestSuperadminRuleSwitchedOff(t *testing.T) {
	t.Parallel()
	s := newSite(t, NewMemoryStore(), siteOptions{admin: &AdminOptions{SuperRoles: []string{}}})
	s.signInAll(t, adam, ruth)
	assert.EqualValues(t, 1, s.json(t, adam, "POST", adminPath+"force-logout-user/9")["data"].(map[string]any)["ended"])

	s = newSite(t, NewMemoryStore(), siteOptions{tracker: func(o *Options) { o.Roles, o.Identifier = nil, byUser }})
	s.signInAll(t, ruth)
	w := s.as("", "POST", adminPath+"force-logout-user/9", "X-User", adam, "X-Role", "admin")
	require.Equal(t, 200, w.Code, w.Body)
	assert.EqualValues(t, 1, decoded(t, w)["data"].(map[string]any)["ended"])
}

// TestRolesAreAskedAnew: a demotion holds at the next request; while nobody can say,
// nobody is let in.
func TestRolesAreAskedAnew(t *testing.T) {
	t.Parallel()
	s := newSite(t, NewMemoryStore(), siteOptions{})
	s.signInAll(t, adam, bob)
	s.json(t, adam, "GET", adminPath+"active-users")
	s.roles[adam] = []string{"user"}
	requireProblem(t, s.as(adam, "GET", adminPath+"active-users"), 403, "forbidden")
	s.down = fmt.Errorf("roles: %w", ErrInvalidCredential)
	w := s.as(adam, "POST", adminPath+"force-logout-user/2")
	requireProblem(t, w, 503, "store_unavailable")
	audits := s.audited()
	require.Len(t, audits, 1)
	assert.Equal(t, outcomeFailed, audits[0].Outcome)
	assert.EqualValues(t, 1, s.json(t, bob, "GET", onlinePath+"sessions")["count"], "bob is still there")
}

// TestAdminIsReadFromTheStore: an admin whose session another process has ended is
// refused at once, though this one's cache still holds it (docs/checks.md S19, I22).
func TestAdminIsReadFromTheStore(t *testing.T) {
	t.Parallel()
	onEachStore(t, func(t *testing.T, store Store) {
		s := newSite(t, store, siteOptions{})
		start(t, s)
		defer func() { require.NoError(t, s.Shutdown(t.Context())) }()
		sessions := s.signInAll(t, adam, bob)
		for _, route := range routesUnderTest(sessions[bob].ID) {
			if route.who != "admin" && route.method == "GET" {
				continue
			}
			s.signIn(t, adam)
			require.Equal(t, 200, s.as(adam, "GET", onlinePath+"count").Code, "cached now")
			_, err := store.End(t.Context(), User(adam), Ending{Reason: ReasonPassword})
			require.NoError(t, err)
			p := requireProblem(t, s.as(adam, route.method, route.path), 401, "session_ended")
			assert.Equal(t, "password", p["reason"])
		}
		got, err := s.Get(t.Context(), sessions[bob].ID)
		require.NoError(t, err)
		assert.False(t, got.Ended())
	})
}

// TestEveryAdminActionIsAudited: one record per attempt, in the log as to the observer, with
// what the caller proved and nothing that authenticates (docs/checks.md S18).
func TestEveryAdminActionIsAudited(t *testing.T) {
	t.Parallel()
	s := newSite(t, NewMemoryStore(), siteOptions{})
	sessions := s.signInAll(t, alice, bob, adam, ruth)
	ended := s.signIn(t, "5")
	_, err := s.End(t.Context(), IDs(ended.ID), Ending{Reason: ReasonUser})
	require.NoError(t, err)
	adamsID := sessions[adam].ID
	token := s.tokens[alice].Reveal()
	for _, test := range []struct {
		user, path string
		status     int
		want       AdminAction
	}{
		{"", "force-logout/" + string(sessions[bob].ID), 401, AdminAction{Action: "force_logout", TargetSession: sessions[bob].ID, Reason: ReasonAdmin, Outcome: "unauthenticated"}},
		{alice, "force-logout/" + string(sessions[bob].ID), 403, AdminAction{Action: "force_logout", Actor: alice, ActorSession: sessions[alice].ID, TargetSession: sessions[bob].ID, Reason: ReasonAdmin, Outcome: "forbidden"}},
		{adam, "force-logout/" + string(sessions[ruth].ID), 403, AdminAction{Action: "force_logout", Actor: adam, ActorSession: adamsID, TargetSession: sessions[ruth].ID, Reason: ReasonAdmin, Outcome: "forbidden"}},
		{adam, "force-logout/" + string(sessions[bob].ID), 200, AdminAction{Action: "force_logout", Actor: adam, ActorSession: adamsID, TargetSession: sessions[bob].ID, Reason: ReasonAdmin, Outcome: "done", Ended: 1}},
		{adam, "force-logout/" + string(ended.ID), 200, AdminAction{Action: "force_logout", Actor: adam, ActorSession: adamsID, TargetSession: ended.ID, Reason: ReasonAdmin, Outcome: "already_ended"}},
		{adam, "force-logout/AAAAAAAAAAAAAAAAAAAAAA", 404, AdminAction{Action: "force_logout", Actor: adam, ActorSession: adamsID, TargetSession: "AAAAAAAAAAAAAAAAAAAAAA", Reason: ReasonAdmin, Outcome: "not_found"}},
		{adam, "force-logout/" + token, 404, AdminAction{Action: "force_logout", Actor: adam, ActorSession: adamsID, Reason: ReasonAdmin, Outcome: "not_found"}},
		{adam, "force-logout-user/" + alice, 200, AdminAction{Action: "force_logout_user", Actor: adam, ActorSession: adamsID, TargetUser: alice, Reason: ReasonAdmin, Outcome: "done", Ended: 1}},
		{adam, "force-logout-user/a%00b", 400, AdminAction{
			Action: "force_logout_user", Actor: adam, ActorSession: adamsID, Reason: ReasonAdmin, Outcome: "failed",
		}},
		{adam, "force-logout/a%00b", 400, AdminAction{
			Action: "force_logout", Actor: adam, ActorSession: adamsID, Reason: ReasonAdmin, Outcome: "failed",
		}},
		{adam, "cleanup-expired?dry=true", 400, AdminAction{
			Action: "cleanup", Actor: adam, ActorSession: adamsID, Outcome: "failed",
		}},
		{adam, "cleanup-expired", 200, AdminAction{Action: "cleanup", Actor: adam, ActorSession: adamsID, Outcome: "done"}},
	} {
		s.logs.Reset()
		require.Equal(t, test.status, s.as(test.user, "POST", adminPath+test.path).Code, test.path)
		assert.Equal(t, []AdminAction{test.want}, s.audited(), test.path)
		lines := strings.Split(strings.TrimSpace(s.logs.String()), "\n")
		require.Len(t, lines, 1, "records for %s", test.path)
		var record map[string]any
		require.NoError(t, json.Unmarshal([]byte(lines[0]), &record))
		assert.Equal(t, test.want.Action, record["action"])
		assert.Equal(t, test.want.Actor, record["actor.id"])
		assert.Equal(t, string(test.want.TargetSession), record["session.id"])
		assert.Equal(t, test.want.Outcome, record["outcome"])
		assert.NotContains(t, lines[0], token[23:], "the secret")
	}
	require.Equal(t, 405, s.as(adam, "GET", adminPath+"force-logout/x").Code)
	s.signIn(t, bob)
	require.Equal(t, 403, s.as(bob, "POST", onlinePath+"cleanup").Code)
	audits := s.audited()
	require.Len(t, audits, 1, "a wrong method attempts nothing")
	assert.Equal(t, "cleanup", audits[0].Action)
}

// TestCleanupCounts: what the endpoint says is what it ended.
func TestCleanupCounts(t *testing.T) {
	t.Parallel()
	onEachStore(t, func(t *testing.T, store Store) {
		s := newSite(t, store, siteOptions{})
		for range 3 { // past their lifetime as soon as they are there
			_, err := store.Create(t.Context(), NewSession{Session: Session{ID: newHandle().id(), UserID: bob}, Lifetime: time.Microsecond})
			require.NoError(t, err)
		}
		s.signIn(t, adam)
		assert.Equal(t, map[string]any{"cleaned": 3.0}, s.json(t, adam, "POST", adminPath+"cleanup-expired")["data"])
		assert.EqualValues(t, 0, s.json(t, adam, "POST", onlinePath+"cleanup")["cleaned_sessions"])
		audits := s.audited()
		require.Len(t, audits, 2)
		assert.Equal(t, []int{3, 0}, []int{audits[0].Ended, audits[1].Ended})
	})
}

// TestEndThatFails: what was not acknowledged is 503 and "failed", though the caller
// and the target were found.
func TestEndThatFails(t *testing.T) {
	t.Parallel()
	broken := &brokenStore{Store: NewMemoryStore()}
	s := newSite(t, broken, siteOptions{})
	sessions := s.signInAll(t, bob, adam)
	broken.cannot.Store(true)
	for _, path := range []string{"force-logout/" + string(sessions[bob].ID), "force-logout-user/" + bob, "cleanup-expired"} {
		requireProblem(t, s.as(adam, "POST", adminPath+path), 503, "store_unavailable")
		audits := s.audited()
		require.Len(t, audits, 1)
		assert.Equal(t, []any{outcomeFailed, 0}, []any{audits[0].Outcome, audits[0].Ended})
	}
	requireProblem(t, s.as(bob, "POST", onlinePath+"sessions/end-others"), 503, "store_unavailable")
	w := s.as(bob, "DELETE", onlinePath+"sessions/"+string(sessions[bob].ID))
	requireProblem(t, w, 503, "store_unavailable")
	assert.Empty(t, w.Header().Get("Set-Cookie"), "the session lives")
	requireProblem(t, s.as(adam, "POST", onlinePath+"cleanup"), 503, "store_unavailable")
	assert.Empty(t, s.as(bob, "GET", onlinePath+"count").Header().Get("Retry-After"), "bob is still signed in")
}

// namesOnly is a directory that cannot search.
type namesOnly struct{ UserDirectory }

// TestSearchWithoutASearcher finds ids and addresses only.
func TestSearchWithoutASearcher(t *testing.T) {
	t.Parallel()
	s := newSite(t, NewMemoryStore(), siteOptions{tracker: func(o *Options) { o.Directory = namesOnly{o.Directory} }})
	s.signInAll(t, alice, adam)
	for q, want := range map[string]int{"user1": 0, "1": 1, "192.0.2.1": 2} {
		assert.Len(t, s.json(t, adam, "GET", adminPath+"active-users?q="+q)["data"], want, q)
	}
}
