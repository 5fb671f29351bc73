package browsertest

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
	_ "time/tzdata"

	"github.com/sessiontrack/sessiontrack/dashboard"
)

// fake is an application of any size that speaks the HTTP API from generated data:
// what a page looks like must not depend on how long a test can wait for traffic.
type fake struct {
	*httptest.Server
	sessions int
	quiet    bool // no history, no figures
	now      time.Time
	zone     *time.Location
	ended    sync.Map // the numbers of the sessions that the page has ended
	used     sync.Map // and of those that have been used since they were first shown

	// windows are those of activity, in minutes; nil: a server that does not tell them.
	windows map[string]int
	// hole is the part of the last hour without samples, in minutes ago.
	hole [2]int

	mu      sync.Mutex
	refusal func(*http.Request) (status int, code string) // nil, or 0: answered
	readers map[chan string]bool
	asked   []string
	ends    []endRequest
}

const fakeToken = "fake-token"

// own is the session that the administrator who looks is using.
const own = 3

// notOurs has the refusal answer with what is no JSON, as something in between may.
const notOurs = "html"

func newFake(t *testing.T, sessions int) *fake {
	return newFakeWith(t, sessions, dashboard.Options{LoginPath: "/login", LogoutPath: "/logout"})
}

func newFakeWith(t *testing.T, sessions int, o dashboard.Options) *fake {
	t.Helper()
	f := &fake{sessions: sessions, quiet: sessions == 0, now: time.Now().UTC(), readers: map[chan string]bool{}}
	f.zone = afternoon(f.now)
	mux := http.NewServeMux()
	mux.Handle("/dashboard/", dashboard.Handler(&o))
	mux.HandleFunc("POST /login", f.login)
	mux.HandleFunc("GET /auth.js", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/javascript")
		fmt.Fprintf(w, "export default async () => ({ token: %q, sessionId: \"handle.secret\" });", fakeToken)
	})
	mux.HandleFunc("GET /load.js", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/javascript")
		fmt.Fprint(w, "export default () => window.load();") // as the test says
	})
	mux.HandleFunc("GET /logo.svg", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "image/svg+xml")
		fmt.Fprint(w, `<svg xmlns="http://www.w3.org/2000/svg" width="24" height="24"><circle cx="12" cy="12" r="11" fill="#0a6b3d"/></svg>`)
	})
	mux.HandleFunc("GET /frame", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprintf(w, `<!doctype html><title>host</title><iframe src=%q width="1200" height="800"></iframe>`, r.URL.Query().Get("to"))
	})
	mux.HandleFunc("POST /logout", f.guarded(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }))
	api := map[string]http.HandlerFunc{
		"GET /api/v1/online/stats":                       f.stats,
		"GET /api/v1/online/sessions":                    f.mine,
		"GET /api/v1/online/history":                     f.history,
		"GET /api/v1/online/events":                      f.events,
		"GET /api/v1/online/active":                      f.active,
		"GET /api/v1/online/now":                         f.nowBy,
		"GET /api/user-sessions/active-users":            f.list,
		"GET /api/user-sessions/sessions":                f.filtered,
		"GET /api/user-sessions/sessions/count":          f.counted,
		"GET /api/user-sessions/sessions/{handle}":       f.one,
		"POST /api/user-sessions/sessions/end":           f.endMany,
		"GET /api/user-sessions/audit":                   f.audit,
		"GET /api/user-sessions/user/{id}/sessions":      f.ofUser,
		"POST /api/user-sessions/force-logout/{handle}":  f.end,
		"POST /api/user-sessions/force-logout-user/{id}": f.endUser,
	}
	for pattern, handler := range api {
		mux.HandleFunc(pattern, f.guarded(handler))
	}
	f.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f.mu.Lock()
		f.asked = append(f.asked, r.URL.RequestURI())
		f.mu.Unlock()
		mux.ServeHTTP(w, r)
	}))
	t.Cleanup(func() {
		f.CloseClientConnections()
		f.Close()
	})
	return f
}

// refuse has the API refuse what the function says, from now on.
func (f *fake) refuse(refusal func(*http.Request) (int, string)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.refusal = refusal
}

// count says how often the page asked for what has a part in its URI.
func (f *fake) count(part string) (n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, uri := range f.asked {
		if strings.Contains(uri, part) {
			n++
		}
	}
	return n
}

func (f *fake) guarded(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		f.mu.Lock()
		refusal := f.refusal
		f.mu.Unlock()
		if refusal != nil {
			if status, code := refusal(r); status != 0 {
				if code == notOurs {
					fmt.Fprint(w, "<!doctype html><p>Somebody else's page.")
					return
				}
				w.Header().Set("Content-Type", "application/problem+json")
				w.WriteHeader(status)
				fmt.Fprintf(w, `{"status":%d,"code":%q}`, status, code)
				return
			}
		}
		cookie, _ := r.Cookie("fake")
		byHeader := r.Header.Get("Authorization") == "Bearer "+fakeToken && r.Header.Get("x-session-id") == "handle.secret"
		if !byHeader && (cookie == nil || cookie.Value != fakeToken) {
			w.Header().Set("Content-Type", "application/problem+json")
			w.WriteHeader(http.StatusUnauthorized)
			fmt.Fprint(w, `{"status":401,"code":"unauthenticated"}`)
			return
		}
		next(w, r)
	}
}

func answer(w http.ResponseWriter, body any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(body)
}

func (f *fake) login(w http.ResponseWriter, r *http.Request) {
	var given struct{ Email, Password string }
	if json.NewDecoder(r.Body).Decode(&given) != nil || given.Password != "demo" {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	answer(w, map[string]any{"token": map[string]string{"token": fakeToken}, "sessionId": "handle.secret"})
}

func (f *fake) ofUser(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	data := []any{}
	ended := r.URL.Query().Get("ended") == "true"
	for i := 0; i < min(f.sessions, 500); i++ {
		if s := f.session(i); fmt.Sprint(s["userId"]) == r.PathValue("id") && (ended || !f.hasEnded(i)) {
			data = append(data, s)
		}
	}
	for i := 0; len(data) > 0 && ended && i < len(endReasons); i++ {
		s := f.past(i)
		s["user"], s["userId"] = data[0].(map[string]any)["user"], data[0].(map[string]any)["userId"]
		data = append(data, s)
	}
	answer(w, map[string]any{"success": true, "data": data})
}

func (f *fake) end(w http.ResponseWriter, r *http.Request) {
	i, known := f.numberOf(r.PathValue("handle"))
	if !known {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	f.ended.Store(i, true)
	s := f.session(i)
	answer(w, map[string]any{"success": true, "message": "The session has been ended.", "data": s})
	f.publish("logout", map[string]any{"session": s})
}

func (f *fake) endUser(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	ended := 0
	for i := range min(f.sessions, 500) {
		if !f.hasEnded(i) && fmt.Sprint(f.session(i)["userId"]) == r.PathValue("id") {
			f.ended.Store(i, true)
			ended++
		}
	}
	f.mu.Unlock()
	answer(w, map[string]any{"success": true, "data": map[string]int{"ended": ended}})
}

// publish sends an event to every open stream.
func (f *fake) publish(kind string, body map[string]any) {
	body["type"], body["id"], body["timestamp"] = kind, strconv.FormatInt(time.Now().UnixNano(), 36), time.Now().UTC()
	text, _ := json.Marshal(body)
	f.mu.Lock()
	defer f.mu.Unlock()
	for reader := range f.readers {
		reader <- fmt.Sprintf("id: %v\nevent: %s\ndata: %s\n\n", body["id"], kind, text)
	}
}

// watchers is how many streams are open.
func (f *fake) watchers() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.readers)
}

func (f *fake) events(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/event-stream")
	messages := make(chan string, 4096)
	f.mu.Lock()
	f.readers[messages] = true
	f.mu.Unlock()
	defer func() {
		f.mu.Lock()
		delete(f.readers, messages)
		f.mu.Unlock()
	}()
	text, _ := json.Marshal(map[string]any{"type": "snapshot", "id": "0", "reason": "start", "timestamp": time.Now().UTC(), "stats": f.figures()})
	fmt.Fprintf(w, "id: 0\nevent: snapshot\ndata: %s\n\n", text)
	flush := http.NewResponseController(w)
	_ = flush.Flush()
	for {
		select {
		case <-r.Context().Done():
			return
		case message := <-messages:
			fmt.Fprint(w, message)
			_ = flush.Flush()
		}
	}
}
