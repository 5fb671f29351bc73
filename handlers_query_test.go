package sessiontrack

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// everyRoute is one request for each route of both families, that would be answered but for
// its query.
func everyRoute(s *site) []endpoint {
	var routes []endpoint
	for _, f := range []family{s.AdminHandler(nil).(*adminHandler).family, s.UserHandler(nil).(*userHandler).family} {
		for _, e := range f.endpoints {
			e.name = f.prefix + strings.ReplaceAll(strings.Join(e.path, "/"), anyID, "AAAAAAAAAAAAAAAAAAAAAA")
			routes = append(routes, e)
		}
	}
	return routes
}

// TestQueriesOfEveryRoute: no route knows a parameter that it does not list, and each that it
// lists may come once.
func TestQueriesOfEveryRoute(t *testing.T) {
	t.Parallel()
	s := newSite(t, NewMemoryStore(), siteOptions{})
	s.signInAll(t, alice, adam)
	routes := everyRoute(s)
	require.Len(t, routes, 23)
	for _, route := range routes {
		for query, detail := range map[string]string{
			"bogus=1":          "bogus: this path does not know the parameter.",
			"Limit=5":          "Limit: this path does not know the parameter.",
			"=1":               "A name that is not shown: this path does not know the parameter.",
			"%3Cb%3E=1":        "A name that is not shown: this path does not know the parameter.",
			"%zz":              "The query is not of the form name=value&name=value.",
			"bogus=1&bogus=%2": "The query is not of the form name=value&name=value.",
		} {
			w := s.as(adam, route.method, route.name+"?"+query)
			assert.Equal(t, detail, requireProblem(t, w, 400, "bad_request")["detail"], "%s?%s", route.name, query)
		}
		for _, name := range route.query {
			w := s.as(adam, route.method, route.name+"?"+name+"=&"+name+"=")
			assert.Equal(t, name+": give it once.", requireProblem(t, w, 400, "bad_request")["detail"], route.name)
		}
	}
	assert.Equal(t, 403, s.as(alice, "GET", adminPath+"active-users?bogus=1").Code, "who may not ask is told nothing")
	assert.Equal(t, 401, s.as("", "GET", onlinePath+"count?bogus=1").Code)
}

// TestIDsThatCannotBe: an id that nobody and no session can have is not one that is not
// there.
func TestIDsThatCannotBe(t *testing.T) {
	t.Parallel()
	s := newSite(t, NewMemoryStore(), siteOptions{})
	s.signInAll(t, alice, adam)
	for _, id := range []string{"a%00b", "%00", "a%0Ab", "%7F", "%FF", "a%C0%80", strings.Repeat("x", 256)} {
		for _, ask := range [][2]string{
			{"POST", adminPath + "force-logout-user/" + id}, {"POST", adminPath + "force-logout/" + id},
			{"GET", adminPath + "user/" + id + "/sessions"}, {"DELETE", onlinePath + "sessions/" + id},
		} {
			body := requireProblem(t, s.as(adam, ask[0], ask[1]), 400, "bad_request")
			assert.Contains(t, body["detail"], "The id in the path: want", ask[1])
		}
	}
	for _, a := range s.audited() {
		assert.Equal(t, "failed", a.Outcome)
		assert.Empty(t, a.TargetUser+string(a.TargetSession))
	}
	requireProblem(t, s.as(adam, "POST", adminPath+"force-logout/nothing"), 404, "not_found")
	assert.Equal(t, 200, s.as(adam, "POST", adminPath+"force-logout-user/unknown").Code)
}
