package sessiontrack

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sessiontrack/sessiontrack/internal/openapicheck"
	"github.com/sessiontrack/sessiontrack/openapi"
)

// description is openapi.yaml. Every answer of every site in these tests is held to it.
var description = sync.OnceValue(func() *openapicheck.Document {
	d, err := openapicheck.Parse(openapi.Document(nil))
	if err != nil {
		panic(err)
	}
	return d
})

// holdToDescription holds an answer of a family at its default prefix to the description. A test
// that answers by a function of its own (Options.Refuse) may say what it likes, and the redirects
// of a mux are not the family's.
func (s *site) holdToDescription(r *http.Request, w *httptest.ResponseRecorder) {
	ours := strings.HasPrefix(r.URL.Path, adminPath) || strings.HasPrefix(r.URL.Path, onlinePath)
	redirect := w.Code == http.StatusTemporaryRedirect || w.Code == http.StatusMovedPermanently
	if !ours || redirect || r.Method == http.MethodHead || s.opts.Refuse != nil {
		return
	}
	err := s.described.CheckAnswer(r, w.Code, w.Header(), w.Body.Bytes())
	assert.NoError(s.t, err, "openapi/openapi.yaml and the answer differ")
}

// TestDescriptionListsEveryRoute: the same routes with the same parameters, and the same codes of
// errors.
func TestDescriptionListsEveryRoute(t *testing.T) {
	t.Parallel()
	described := description().Routes()
	routes := routesOfFamilies(t)
	for route, query := range routes {
		assert.Contains(t, described, route, "describe it in openapi/openapi.yaml")
		assert.ElementsMatch(t, query, described[route], "the parameters of %s", route)
	}
	for route := range described {
		assert.Contains(t, routes, route, "openapi/openapi.yaml invents it")
	}
	assert.ElementsMatch(t, codesOfProblems(t), description().Enum("ProblemCode"))
	var types []string
	for _, d := range deviceTypes {
		types = append(types, string(d))
	}
	assert.ElementsMatch(t, types, description().Enum("DeviceType"))
}

// answersOf asks every route, as every role, and holds the answers to a description.
func answersOf(t *testing.T, d *openapicheck.Document) {
	t.Helper()
	newDescribedSite := func(bare bool) *site {
		s := newSite(t, NewMemoryStore(), siteOptions{bare: bare})
		s.described = d
		return s
	}
	for _, caller := range []string{"", alice, adam, ruth} {
		transcript(t, newDescribedSite(false), caller)
	}
	for i, row := range contracts {
		row.run(t, newDescribedSite(i%2 == 1))
	}
	s := newDescribedSite(false)
	s.signInAll(t, adam, ruth, alice, bob)
	for _, route := range routesUnderTest(s.tokens[bob].ID()) {
		s.as(ruth, route.method, route.path)
	}
	s = newDescribedSite(false)
	s.signInAll(t, adam, ruth, alice)
	_, err := s.End(t.Context(), User(alice), Ending{Reason: ReasonUser})
	require.NoError(t, err)
	assert.Equal(t, true, s.json(t, adam, "GET", adminPath+"user/"+ruth+"/sessions")["protected"])
	for range 2 {
		placed := SessionUpdate{ID: s.signIn(t, alice).ID, Network: &ClientNetwork{Location: Location{Region: "West Java"}}}
		require.NoError(t, s.backend.store.Describe(t.Context(), []SessionUpdate{placed}))
	}
	assert.NotEmpty(t, s.json(t, adam, "GET", adminPath+"active-users?limit=1")["next"])
	assert.NotEmpty(t, s.json(t, adam, "GET", adminPath+"sessions?limit=1")["next"])
	s.json(t, adam, "GET", adminPath+"sessions/"+string(s.tokens[alice].ID()))
	_, token := s.counted(t, "user=nobody")
	s.bulk(t, adam, `{"preview":"`+token+`"}`)
	require.Equal(t, 200, s.as(adam, "GET", adminPath+"sessions/export.csv").Code)
	assert.NotEmpty(t, s.json(t, adam, "GET", adminPath+"audit?limit=1")["next"])
	assert.NotEmpty(t, s.json(t, alice, "GET", onlinePath+"users?limit=1")["next"])
	assert.NotEmpty(t, s.json(t, alice, "GET", onlinePath+"sessions?limit=1")["next"])
}

// historyOf asks for the history of a time with something in it.
func historyOf(t *testing.T, d *openapicheck.Document) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, NewMemoryStore(), siteOptions{})
		s.described = d
		start(t, s)
		time.Sleep(30 * time.Second)
		s.signInAll(t, adam, alice)
		time.Sleep(10 * time.Minute)
		_, err := s.End(t.Context(), User(alice), Ending{Reason: ReasonUser})
		require.NoError(t, err)
		time.Sleep(10 * time.Minute)
		require.Equal(t, http.StatusOK, s.as(adam, "GET", onlinePath+"history").Code)
		require.NoError(t, s.Shutdown(t.Context()))
	})
}

// eventsOf reads the stream of an administrator: a snapshot, a sign-in, a user who comes online, an
// end, and the notice of the session's own end. The notice of a limit is as a frame of a WebSocket has
// it.
func eventsOf(t *testing.T, d *openapicheck.Document) {
	t.Helper()
	s := newLiveSite(t, NewMemoryStore(), siteOptions{tracker: quick})
	own := s.signInAll(t, adam)[adam]
	stream := s.stream(t, adam, "")
	require.NoError(t, d.CheckAnswer(httptest.NewRequest("GET", onlinePath+"events", nil), 200,
		http.Header{"Content-Type": {"text/event-stream; charset=utf-8"}}, nil))
	wanted := map[string]bool{"snapshot": true, "login": true, "online": true, "logout": true}
	for len(wanted) > 0 {
		e, err := stream.next()
		require.NoError(t, err)
		data, err := json.Marshal(e.data)
		require.NoError(t, err)
		require.NoError(t, d.CheckSchema("Event", data))
		delete(wanted, e.kind)
		switch e.kind {
		case "snapshot":
			s.signIn(t, alice)
		case "login":
			_, err := s.End(t.Context(), User(alice), Ending{Reason: ReasonUser})
			require.NoError(t, err)
		}
	}
	_, err := s.End(t.Context(), IDs(own.ID), Ending{Reason: ReasonUser})
	require.NoError(t, err)
	e, err := stream.next()
	for ; e.kind != "ended"; e, err = stream.next() {
		require.NoError(t, err)
	}
	ended, err := json.Marshal(e.data)
	require.NoError(t, err)
	require.NoError(t, d.CheckSchema("SessionEnded", ended))
	expiring, err := json.Marshal(struct {
		Type string `json:"type"`
		expiringView
	}{"expiring", expiringView{time.Now().UTC(), ReasonIdle}})
	require.NoError(t, err)
	require.NoError(t, d.CheckSchema("Expiring", expiring))
}

// TestDescriptionInventsNothing: each described operation answers, and each described field is in
// some answer.
func TestDescriptionInventsNothing(t *testing.T) {
	t.Parallel()
	d, err := openapicheck.Parse(openapi.Document(nil))
	require.NoError(t, err)
	answersOf(t, d)
	historyOf(t, d)
	eventsOf(t, d)
	assert.Empty(t, d.Unseen(), "openapi/openapi.yaml describes what no answer has")
}

// TestDescriptionNoticesDifferences plants differences between the description and an answer, one
// at a time. Each must be found.
func TestDescriptionNoticesDifferences(t *testing.T) {
	t.Parallel()
	s := newSite(t, NewMemoryStore(), siteOptions{})
	s.signIn(t, adam)
	r := httptest.NewRequest("GET", adminPath+"active-users", nil)
	w := s.as(adam, "GET", adminPath+"active-users")
	text := openapi.Document(nil)
	for name, planted := range map[string]string{
		"a field of the answer is not described": strings.Replace(text, "        current: {type: boolean}\n", "", 1),
		"a required field is not answered": strings.Replace(text, "        - current\n",
			"        - current\n        - shoeSize\n", 1),
		"a type differs":    strings.Replace(text, "current: {type: boolean}", "current: {type: string}", 1),
		"a word is missing": strings.Replace(text, "enum: [desktop, ", "enum: [", 1),
		"a status is missing": strings.Replace(text, `"200": {$ref: "#/components/responses/AdminSessions"}`,
			`"206": {$ref: "#/components/responses/AdminSessions"}`, 1),
	} {
		require.NotEqual(t, text, planted, name)
		planted = strings.Replace(planted, "        online: {type: boolean}\n",
			"        online: {type: boolean}\n        shoeSize: {type: integer}\n", 1)
		d, err := openapicheck.Parse(planted)
		if err != nil {
			assert.ErrorContains(t, err, "requires current", name)
			continue
		}
		assert.Error(t, d.CheckAnswer(r, w.Code, w.Header(), w.Body.Bytes()), name)
	}
	invented, err := openapicheck.Parse(strings.Replace(text, "        online: {type: boolean}\n",
		"        online: {type: boolean}\n        shoeSize: {type: integer}\n", 1))
	require.NoError(t, err)
	require.NoError(t, invented.CheckAnswer(r, w.Code, w.Header(), w.Body.Bytes()))
	unseen := invented.Unseen()
	assert.Contains(t, unseen, "#/components/schemas/Session/shoeSize")
	assert.NotContains(t, unseen, "#/components/schemas/Session/current")
	assert.Contains(t, unseen, "GET "+onlinePath+"history 200")
	assert.False(t, slices.Contains(unseen, "GET "+adminPath+"active-users 200"))
}
