package browsertest

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sessiontrack/sessiontrack"
	"github.com/sessiontrack/sessiontrack/dashboard"
)

// realApp is an application of the library's own handlers. Its administrator is user 1.
type realApp struct {
	*httptest.Server
	t       *testing.T
	tracker *sessiontrack.Tracker
}

// people are the application's users: who is called what, and looks like what.
type people struct{}

func (people) Users(_ context.Context, ids []string) (map[string]sessiontrack.UserInfo, error) {
	out := map[string]sessiontrack.UserInfo{}
	for _, id := range ids {
		out[id] = sessiontrack.UserInfo{ID: id, FullName: "Person " + id, AvatarURL: "/picture.svg"}
	}
	return out, nil
}

func newRealApp(t *testing.T, o sessiontrack.Options) *realApp {
	t.Helper()
	o.Cookie = &sessiontrack.CookieOptions{InsecureHTTP: true}
	o.Directory = people{}
	o.ClientIP = sessiontrack.TrustedProxies(netip.MustParsePrefix("127.0.0.0/8"))
	o.Roles = func(_ context.Context, id string) ([]string, error) {
		return map[string][]string{"1": {"admin"}, "2": {"superadmin"}}[id], nil
	}
	tracker, err := sessiontrack.New(sessiontrack.NewMemoryStore(), &o)
	require.NoError(t, err)
	require.NoError(t, tracker.Start(t.Context()))
	mux := http.NewServeMux()
	mux.Handle("/api/user-sessions/", tracker.AdminHandler(nil))
	mux.Handle("/api/v1/online/", tracker.UserHandler(nil))
	mux.Handle("GET /dashboard/", dashboard.Handler(nil))
	mux.HandleFunc("GET /enter", func(w http.ResponseWriter, r *http.Request) {
		if _, _, err := tracker.Login(w, r, "1"); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
		}
	})
	mux.HandleFunc("GET /picture.svg", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "image/svg+xml")
		fmt.Fprint(w, `<svg xmlns="http://www.w3.org/2000/svg" width="48" height="48"><rect width="48" height="48" fill="#357"/></svg>`)
	})
	a := &realApp{httptest.NewServer(tracker.Middleware(mux)), t, tracker}
	t.Cleanup(func() {
		a.CloseClientConnections()
		a.Close()
		_ = tracker.Shutdown(context.Background())
	})
	return a
}

// signIn signs a user in from elsewhere.
func (a *realApp) signIn(user, agent, address string) sessiontrack.SessionID {
	a.t.Helper()
	r := httptest.NewRequest(http.MethodPost, "/login", nil)
	r.RemoteAddr = "127.0.0.1:1"
	r.Header.Set("User-Agent", agent)
	r.Header.Set("X-Forwarded-For", address)
	session, _, err := a.tracker.Login(httptest.NewRecorder(), r, user)
	require.NoError(a.t, err)
	return session.ID
}

// end ends a session as somebody's doing.
func (a *realApp) end(id sessiontrack.SessionID, e sessiontrack.Ending) {
	a.t.Helper()
	_, err := a.tracker.End(a.t.Context(), sessiontrack.IDs(id), e)
	require.NoError(a.t, err)
}

// visit opens the page for the administrator.
func (a *realApp) visit(place string, set ...func(context.Context) error) *tab {
	a.t.Helper()
	return a.visitAt(1360, 900, place, set...)
}

func (a *realApp) visitAt(width, height int64, place string, set ...func(context.Context) error) *tab {
	a.t.Helper()
	p := newTab(a.t, width, height, append(set, scheme("light"))...)
	p.open(a.URL+"/enter", "")
	p.open(a.URL+"/dashboard/"+place, "")
	return p
}
