package faults

import (
	"context"
	"crypto/rand"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	st "github.com/sessiontrack/sessiontrack"
)

// host is an application whose functions panic on demand.
type host struct {
	panics atomic.Value // the panic value (any); "" means that nothing panics
	at     string       // the name of the function that panics
	calls  atomic.Int64
	later  atomic.Int64 // hook calls that did not panic
}

func (h *host) call(name string) {
	if name != h.at {
		return
	}
	h.calls.Add(1)
	if v := h.panics.Load(); v != nil && v != any("") {
		panic(v)
	}
	h.later.Add(1)
}

func (h *host) Users(context.Context, []string) (map[string]st.UserInfo, error) {
	h.call("Directory")
	return nil, nil
}

func (h *host) Locate(context.Context, netip.Addr) (st.Location, error) {
	h.call("Locator")
	return st.Location{City: "Bandung"}, nil
}

func (h *host) asked(name string) func(*http.Request) bool {
	return func(*http.Request) bool { h.call(name); return false }
}

// options sets every function of the host. An Identifier reads the user from a header.
func (h *host) options() st.Options {
	hook := func(name string) func(context.Context, st.Session) {
		return func(context.Context, st.Session) { h.call(name) }
	}
	return background(st.Options{
		Logger: quiet, SessionAlone: true, TouchInterval: -1,
		Identifier: st.IdentifierFunc(func(*http.Request) (st.Identity, error) {
			h.call("Identifier")
			return st.Identity{}, st.ErrNoCredential
		}),
		Roles: func(context.Context, string) ([]string, error) { h.call("Roles"); return []string{"admin"}, nil },
		ClientIP: st.ClientIPFunc(func(*http.Request) st.ClientAddress {
			h.call("ClientIP")
			return st.ClientAddress{Addr: netip.MustParseAddr("93.184.216.34")}
		}),
		Directory: h, Locator: h,
		Skip: h.asked("Skip"), SessionOptional: h.asked("SessionOptional"), Passive: h.asked("Passive"),
		Hooks: st.Hooks{Login: hook("Hooks.Login"), End: hook("Hooks.End"), NewDevice: hook("Hooks.NewDevice")},
		Observer: st.Observer{Count: func(string, int) {
			h.call("Observer.Count")
		}, AdminAction: func(context.Context, st.AdminAction) { h.call("Observer.AdminAction") }},
	})
}

// TestF14PanicsOfTheHost panics in each function of the host, one after another. The request is
// answered as if the function had returned its zero value. The panic is counted, no lock stays
// held, and the next call works.
func TestF14PanicsOfTheHost(t *testing.T) {
	t.Parallel()
	const unavailable = http.StatusServiceUnavailable
	for at, want := range map[string]int{ // status of a tracked request; 0 means that the admin list fails
		"Identifier": unavailable, "Roles": 0, "Directory": 0, "ClientIP": 200, "Locator": 200,
		"Skip": 200, "SessionOptional": 200, "Passive": 200, "Hooks.Login": 200, "Hooks.End": 200, "Hooks.NewDevice": 200,
		"Observer.Count": 200, "Observer.AdminAction": 200, "Visible": 0, "Authorize": 0,
	} {
		t.Run(at, func(t *testing.T) {
			t.Parallel()
			h := &host{at: at}
			r := over(t, st.NewMemoryStore(), h.options()).start(t)
			_, token := r.login(t, "1")
			admin := r.AdminHandler(nil)
			online := r.UserHandler(&st.UserOptions{
				Visible:   func(_ context.Context, _ string, ids []string) ([]string, error) { h.call("Visible"); return ids, nil },
				Authorize: func(context.Context, st.UserAccess) (bool, error) { h.call("Authorize"); return true, nil },
			})
			use := func() map[string]int {
				send := func(handler http.Handler, method, path string) int {
					w := httptest.NewRecorder()
					handler.ServeHTTP(w, request(method, path, "X-Session-Id", token, "User-Agent",
						"Mozilla/5.0 (X11; Linux x86_64) Firefox/140.0"))
					return w.Code
				}
				user := rand.Text()
				for _, agent := range []string{"Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:140.0) Gecko/20100101 Firefox/140.0",
					"curl/8.5.0"} {
					_, _, err := r.Login(httptest.NewRecorder(), request("POST", "/login", "User-Agent", agent), user)
					require.NoError(t, err)
				}
				s, dead := r.login(t, user)
				codes := map[string]int{"request": send(r.handler, "GET", "/"),
					"list": send(admin, "GET", "/api/user-sessions/active-users")}
				codes["users"] = send(online, "GET", "/api/v1/online/users")
				codes["end"] = send(admin, "POST", "/api/user-sessions/force-logout/"+string(s.ID))
				codes["ended"] = r.get(dead)
				return codes
			}
			good := use()
			require.Equal(t, 200, good["request"])
			require.Equal(t, 200, good["list"], "%v", good)
			eventually(t, patience, "the function is called", func() bool { use(); return h.calls.Load() > 0 })
			before, calls := r.Counters()["callback.panics"], h.calls.Load()
			h.panics.Store(any("boom"))
			bad := use()
			if want != 0 {
				assert.Equal(t, want, bad["request"])
			}
			eventually(t, patience, "called and counted", func() bool {
				use()
				return h.calls.Load() > calls && r.Counters()["callback.panics"] > before
			})
			h.panics.Store(any(""))
			later := h.later.Load()
			eventually(t, patience, "called again", func() bool { use(); return h.later.Load() > later })
			assert.Equal(t, good, use(), "the panic has no lasting effect")
			t.Logf("F14 %s: %v, panicking %v", at, good, bad)
		})
	}
}
