package sessiontrack

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// told is an Options.Refuse that keeps what it was told.
type told struct{ refusals []Refusal }

func (o *told) refuse(w http.ResponseWriter, _ *http.Request, refusal Refusal) {
	o.refusals = append(o.refusals, refusal)
	w.WriteHeader(http.StatusTeapot)
}

func fixedRoles(_ context.Context, user string) ([]string, error) {
	if user == "1" {
		return []string{"admin"}, nil
	}
	return nil, nil
}

func TestRefuseIsAskedForEveryRefusalOfACaller(t *testing.T) {
	t.Parallel()
	var o told
	f := newFixture(t, &Options{Refuse: o.refuse, Roles: fixedRoles, Cookie: &CookieOptions{}})
	_, ended := f.login(t, "1")
	_, err := f.End(t.Context(), User("1"), Ending{Reason: ReasonAdmin})
	require.NoError(t, err)
	_, live := f.login(t, "2")
	mux := http.NewServeMux()
	mux.Handle("/require", f.Require(f.echo()))
	mux.Handle("/role", f.RequireRole(f.echo(), "admin"))
	mux.Handle("/api/user-sessions/", f.AdminHandler(nil))
	mux.HandleFunc("/logout", f.Logout)
	app := f.Middleware(mux)
	for _, tt := range []struct {
		name, method, path string
		headers            []string
		want               Refusal
	}{
		{"middleware", "GET", "/", []string{headerName, ended.Reveal()}, Refusal{401, "session_ended", ReasonAdmin, nil}},
		{"malformed", "GET", "/", []string{headerName, string(live.ID())}, Refusal{Status: 401, Code: "session_invalid"}},
		{"require", "GET", "/require", nil, Refusal{Status: 401, Code: "unauthenticated"}},
		{"role", "GET", "/role", []string{headerName, live.Reveal()}, Refusal{Status: 403, Code: "forbidden"}},
		{"handler", "GET", "/api/user-sessions/active-users", nil, Refusal{Status: 401, Code: "unauthenticated"}},
		{"handler's right", "GET", "/api/user-sessions/active-users", []string{headerName, live.Reveal()},
			Refusal{Status: 403, Code: "forbidden"}},
		{"cross-origin", "POST", "/", []string{"Cookie", cookieOf(live), "Sec-Fetch-Site", "cross-site"},
			Refusal{Status: 403, Code: "cross_origin"}},
		{"logout", "GET", "/logout", nil, Refusal{Status: 405, Code: "method_not_allowed"}},
	} {
		o.refusals = nil
		w := ask(app, tt.method, tt.path, tt.headers...)
		assert.Equal(t, http.StatusTeapot, w.Code, tt.name)
		require.Len(t, o.refusals, 1, tt.name)
		got := o.refusals[0]
		require.Error(t, got.Err, tt.name)
		got.Err = nil
		assert.Equal(t, tt.want, got, tt.name)
	}
	o.refusals = nil
	assert.Equal(t, 404, ask(app, "GET", "/api/user-sessions/nothing", headerName, live.Reveal()).Code)
	assert.Empty(t, o.refusals, "what a request asks for is the handler's to answer")
}

func TestRefuseThatPanicsIsAnsweredAsWithout(t *testing.T) {
	t.Parallel()
	what := any("boom")
	f := newFixture(t, &Options{Refuse: func(http.ResponseWriter, *http.Request, Refusal) { panic(what) }})
	w := f.do("GET", "/", headerName, newToken().Reveal())
	assert.Equal(t, "session_invalid", codeOf(t, w))
	assert.EqualValues(t, 1, f.Counters()["callback.panics"])
	what = http.ErrAbortHandler
	assert.PanicsWithValue(t, http.ErrAbortHandler, func() { f.do("GET", "/", headerName, newToken().Reveal()) })
}

// TestWriteRefusalEqualsTheDefault: an Options.Refuse that calls it changes nothing.
func TestWriteRefusalEqualsTheDefault(t *testing.T) {
	t.Parallel()
	store := newFaultStore()
	plain, written := replica(t, store, nil), replica(t, store, &Options{Refuse: WriteRefusal})
	_, ended := plain.login(t, "1")
	_, err := plain.End(t.Context(), User("1"), Ending{Reason: ReasonPassword})
	require.NoError(t, err)
	for _, value := range []string{"x", ended.Reveal(), newToken().Reveal()} {
		a, b := plain.do("GET", "/", headerName, value), written.do("GET", "/", headerName, value)
		assert.Equal(t, a.Code, b.Code)
		assert.Equal(t, a.Header(), b.Header())
		assert.Equal(t, a.Body.String(), b.Body.String())
	}
}

func TestWriteRefusalOfTheHostsOwn(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		refusal Refusal
		status  int
		code    string
	}{
		{Refusal{Status: 403, Code: "suspended"}, 403, "suspended"},
		{Refusal{Status: 401, Code: "session_invalid", Err: ErrUnavailable}, 401, "session_invalid"},
		{Refusal{Status: 200, Code: "fine"}, 500, "fine"},
		{Refusal{}, 500, ""},
	} {
		w := httptest.NewRecorder()
		WriteRefusal(w, request("GET", "/"), tt.refusal)
		assert.Equal(t, tt.status, w.Code)
		assert.Equal(t, tt.code, codeOf(t, w))
	}
}

func TestTrackerRefuse(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	for err, code := range map[error]string{
		ErrNoCredential: "unauthenticated", &EndedError{Reason: ReasonIdle}: "session_ended", ErrStoreFault: "internal",
		errors.New("password of the database"): "store_unavailable",
	} {
		w := httptest.NewRecorder()
		f.Refuse(w, request("GET", "/"), wrapped("Authenticate", err))
		assert.Equal(t, code, codeOf(t, w))
		assert.NotContains(t, w.Body.String(), "password")
	}
}

func TestRefusalFromContextTellsSignedOutFromAway(t *testing.T) {
	t.Parallel()
	broken := &brokenStore{Store: NewMemoryStore()}
	tracker, err := New(broken, &Options{SessionOptional: SkipPrefixes("/")})
	require.NoError(t, err)
	app := tracker.Middleware(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		refusal, refused := RefusalFromContext(r.Context())
		refusal.Err = nil
		assert.NoError(t, json.NewEncoder(w).Encode(map[string]any{"refused": refused, "refusal": refusal}))
	}))
	login := func() Token {
		_, token, err := tracker.Login(httptest.NewRecorder(), request("POST", "/login"), "1")
		require.NoError(t, err)
		return token
	}
	live, ended := login(), login()
	_, err = tracker.End(t.Context(), IDs(ended.ID()), Ending{Reason: ReasonAdmin})
	require.NoError(t, err)
	said := func(headers ...string) string { return ask(app, "GET", "/", headers...).Body.String() }
	none := `{"refused":false,"refusal":{"Status":0,"Code":"","Reason":"","Err":null}}`
	assert.JSONEq(t, none, said())
	assert.JSONEq(t, none, said(headerName, live.Reveal()))
	assert.JSONEq(t, `{"refused":true,"refusal":{"Status":401,"Code":"session_ended","Reason":"admin","Err":null}}`,
		said(headerName, ended.Reveal()))
	broken.away.Store(true)
	assert.JSONEq(t, `{"refused":true,"refusal":{"Status":503,"Code":"store_unavailable","Reason":"","Err":null}}`,
		said(headerName, live.Reveal()))
}

func TestNewContextAuthenticatesNobody(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	s, token := f.login(t, "1")
	claimed := s
	claimed.UserID = "2"
	r := request("GET", "/", headerName, token.Reveal())
	got, ok := FromContext(NewContext(r.Context(), claimed))
	assert.True(t, ok)
	assert.Equal(t, claimed, got)

	w := httptest.NewRecorder()
	f.Require(f.echo()).ServeHTTP(w, request("GET", "/").WithContext(NewContext(t.Context(), s)))
	assert.Equal(t, http.StatusUnauthorized, w.Code)
	// Between the middleware and Require it does not hide what the middleware has found.
	inside := f.Middleware(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r = r.WithContext(NewContext(r.Context(), claimed))
		assert.NotNil(t, f.door.knows(r))
		f.Require(http.HandlerFunc(sayUser)).ServeHTTP(w, r)
	}))
	w = httptest.NewRecorder()
	inside.ServeHTTP(w, r)
	assert.Equal(t, "2", w.Body.String(), "the innermost")
}

// codeOf returns the code of a problem.
func codeOf(t *testing.T, w *httptest.ResponseRecorder) string {
	t.Helper()
	assert.Equal(t, "application/problem+json", w.Header().Get("Content-Type"))
	var p struct{ Code string }
	require.NoError(t, json.Unmarshal(w.Body.Bytes(), &p))
	return p.Code
}
