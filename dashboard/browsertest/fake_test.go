package browsertest

import (
	"encoding/json"
	"fmt"
	"math"
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
}

const fakeToken = "fake-token"

// own is the session that the administrator who looks is using.
const own = 3

// notOurs has the refusal answer with what is no JSON, as something in between may.
const notOurs = "html"

var (
	firstNames = []string{"Amara", "Benedikt", "Chiara", "Dewi", "Emeka", "Freya", "Gustavo", "Hana", "Ingrid", "Jun", "Katarzyna", "Lucía", "Mateo", "Nkechi", "Oscar", "Priya", "Quentin", "Rania", "Sofie", "Tomás"}
	lastNames  = []string{"Okafor", "Lindqvist", "Moretti", "Wijaya", "Haddad", "Brandt", "Fernández", "Sato", "Nowak", "Dubois", "Osei", "Kovács", "Silva"}
	machines   = []struct{ kind, browser, os, device string }{
		{"desktop", "Chrome 141", "Windows 11", ""}, {"mobile", "Safari 26", "iOS 26.1", "Apple iPhone"},
		{"desktop", "Firefox 145", "Linux", ""}, {"mobile", "Chrome 141", "Android 16", "Samsung Galaxy S25"},
		{"desktop", "Edge 141", "Windows 11", ""}, {"desktop", "Safari 26", "macOS 26", ""},
		{"tablet", "Safari 26", "iPadOS 26", "Apple iPad"}, {"mobile", "Samsung Internet 29", "Android 15", "Samsung Galaxy A56"},
	}
	places = []struct{ code, country, city string }{
		{"ID", "Indonesia", "Jakarta"}, {"DE", "Germany", "Hamburg"}, {"BR", "Brazil", "São Paulo"}, {"NG", "Nigeria", "Lagos"},
		{"JP", "Japan", "Osaka"}, {"PL", "Poland", "Kraków"}, {"FR", "France", "Lyon"}, {"US", "United States", "Portland"}, {"", "", ""},
	}
)

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
	mux.HandleFunc("POST /logout", f.guarded(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }))
	api := map[string]http.HandlerFunc{
		"GET /api/v1/online/stats":                       f.stats,
		"GET /api/v1/online/sessions":                    f.mine,
		"GET /api/v1/online/history":                     f.history,
		"GET /api/v1/online/events":                      f.events,
		"GET /api/user-sessions/active-users":            f.list,
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

// afternoon is a time zone in which it is afternoon or nearly so: what the page
// looks like must not depend on when it is looked at.
func afternoon(now time.Time) *time.Location {
	best, distance := time.UTC, 24
	for _, name := range []string{"America/Los_Angeles", "America/New_York", "America/Sao_Paulo", "Europe/Berlin", "Asia/Dubai", "Asia/Kolkata", "Asia/Jakarta", "Asia/Tokyo", "Pacific/Auckland"} {
		zone, err := time.LoadLocation(name)
		if away := now.In(zone).Hour() - 15; err == nil && max(away, -away) < distance {
			best, distance = zone, max(away, -away)
		}
	}
	return best
}

// wave is a day's rhythm with a little noise.
func (f *fake) wave(at time.Time) int {
	top := math.Max(40, float64(f.sessions)*0.8)
	at = at.In(f.zone)
	hours := float64(at.Hour()) + float64(at.Minute())/60
	rhythm := 0.55 - 0.4*math.Cos((hours-3)/24*2*math.Pi)
	if day := at.Weekday(); day == time.Saturday || day == time.Sunday {
		rhythm *= 0.6
	}
	noise := math.Sin(float64(at.Unix())/437) + math.Sin(float64(at.Unix())/1871)
	return int(top * (rhythm + 0.02*noise))
}

func (f *fake) figures() map[string]any {
	if f.quiet {
		return map[string]any{
			"timestamp": time.Now().UTC(), "very_active_users": 0, "online_users": 0, "recently_active_users": 0,
			"total_active_sessions": 0, "peak_hour_today": nil, "peak_users_today": 0, "status": "success",
		}
	}
	online := f.wave(f.now)
	return map[string]any{
		"windows": f.windows, "timestamp": time.Now().UTC(), "very_active_users": online * 2 / 5, "online_users": online, "recently_active_users": online * 14 / 10,
		"total_active_sessions": online * 5 / 2, "peak_hour_today": f.now.In(f.zone).Add(-time.Hour).Hour(), "peak_users_today": online + 7, "status": "success",
	}
}

// mine are the sessions of the administrator who looks.
func (f *fake) mine(w http.ResponseWriter, _ *http.Request) {
	sessions := []any{}
	if f.sessions > own {
		sessions = append(sessions, f.session(own))
	}
	answer(w, map[string]any{"sessions": sessions, "count": len(sessions)})
}

func (f *fake) stats(w http.ResponseWriter, _ *http.Request) { answer(w, f.figures()) }

func (f *fake) history(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	from, _ := time.Parse(time.RFC3339, query.Get("from"))
	to, _ := time.Parse(time.RFC3339, query.Get("to"))
	step := map[string]time.Duration{"1m": time.Minute, "1h": time.Hour, "1d": 24 * time.Hour}[query.Get("step")]
	if step == 0 || from.IsZero() || !to.After(from) {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	series, hours := []map[string]any{}, [7][24]int{}
	for at := from.Truncate(step); at.Before(to) && !f.quiet; at = at.Add(step) {
		if ago := int(to.Sub(at).Minutes()); ago >= f.hole[0] && ago < f.hole[1] {
			continue
		}
		online := f.wave(at)
		series = append(series, map[string]any{"at": at, "online_users": online, "peak_online_users": online, "active_sessions": online * 5 / 2, "logins": 3, "ends": 2})
		for hour := at; hour.Before(at.Add(step)); hour = hour.Add(time.Hour) {
			local := hour.In(f.zone)
			hours[(int(local.Weekday())+6)%7][local.Hour()] += f.wave(hour) / 20
		}
	}
	body := map[string]any{
		"from": from, "to": to, "step": query.Get("step"), "time_zone": f.zone.String(), "timestamp": to, "status": "success",
		"series": series, "peaks": []any{}, "durations": map[string]any{"count": 0, "median_seconds": nil, "p90_seconds": nil}, "sign_ins_by_hour": hours,
		"shares": map[string]any{"device": []any{}, "browser": []any{}, "os": []any{}, "country": []any{}},
	}
	if !f.quiet {
		body["durations"] = map[string]any{"count": 1204, "median_seconds": 1284, "p90_seconds": 8040}
		body["shares"] = map[string]any{
			"device":  shares("desktop", 612, "mobile", 441, "tablet", 83, "bot", 12, "unknown", 4),
			"browser": shares("Chrome", 540, "Safari", 301, "Firefox", 122, "Edge", 98, "Samsung Internet", 51, "Opera", 20, "Vivaldi", 9),
			"os":      shares("Windows", 471, "iOS", 260, "Android", 231, "macOS", 130, "Linux", 60),
			"country": shares("ID", 402, "DE", 233, "BR", 171, "NG", 120, "JP", 88, "PL", 51, "FR", 40, "US", 21),
		}
	}
	answer(w, body)
}

func shares(pairs ...any) []map[string]any {
	var out []map[string]any
	for i := 0; i < len(pairs); i += 2 {
		out = append(out, map[string]any{"name": pairs[i], "count": pairs[i+1]})
	}
	return out
}

func (f *fake) user(id int) map[string]any {
	first, last := firstNames[id%len(firstNames)], lastNames[id/3%len(lastNames)]
	return map[string]any{"id": id, "email": fmt.Sprintf("%s.%s%d@example.com", strings.ToLower(first[:1]), strings.ToLower(last), id), "fullName": first + " " + last}
}

// session is the i-th in the order of latest activity. Every fifth is of the
// person before.
func (f *fake) session(i int) map[string]any {
	userID := 100 + i - i/5
	machine, place := machines[(i*5+i/7)%len(machines)], places[(i*3+i/4)%len(places)]
	var location any
	if place.code != "" {
		location = map[string]string{"countryCode": place.code, "country": place.country, "city": place.city}
	}
	last := f.now.Add(-time.Duration(i*i/3+i*4) * time.Second)
	if i > 200 {
		last = f.now.Add(-time.Duration(3+i%20) * time.Hour)
	}
	if f.wasUsed(i) {
		last = time.Now().UTC()
	}
	s := map[string]any{
		"id": i + 1, "userId": userID, "sessionId": fmt.Sprintf("h%021d", i), "ipAddress": fmt.Sprintf("192.0.2.%d", i%254+1), "userAgent": "Mozilla/5.0",
		"deviceType": machine.kind, "browser": machine.browser, "os": machine.os, "device": machine.device, "location": location, "isActive": true,
		"lastActivity": last, "loginAt": last.Add(-time.Duration(i%47*13+5) * time.Minute), "logoutAt": nil, "endReason": nil, "endedBy": nil,
		"online": true, "current": i == own, "user": f.user(userID),
	}
	if f.hasEnded(i) {
		s["isActive"], s["logoutAt"], s["endReason"], s["endedBy"] = false, time.Now().UTC(), "admin", 1
	}
	return s
}

// wasUsed reports whether the i-th session is used now, and so comes before the others.
func (f *fake) wasUsed(i int) bool {
	_, used := f.used.Load(i)
	return used
}

// hasEnded reports whether the page has ended the i-th session.
func (f *fake) hasEnded(i int) bool {
	_, ended := f.ended.Load(i)
	return ended
}

func (f *fake) list(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	query := r.URL.Query()
	limit, _ := strconv.Atoi(query.Get("limit"))
	at, _ := strconv.Atoi(query.Get("cursor"))
	data := []any{}
	if at == 0 {
		for i := range min(f.sessions, 500) {
			if f.wasUsed(i) {
				data = append(data, f.session(i))
			}
		}
	}
	for ; at < f.sessions && len(data) < limit; at++ {
		if f.wasUsed(at) {
			continue
		}
		s := f.session(at)
		name := s["user"].(map[string]any)["fullName"].(string)
		device, part := query.Get("device"), query.Get("q")
		if f.hasEnded(at) || device != "" && device != s["deviceType"] || !strings.Contains(name, part) {
			continue
		}
		data = append(data, s)
	}
	body := map[string]any{"success": true, "data": data}
	if at < f.sessions {
		body["next"] = strconv.Itoa(at)
	}
	answer(w, body)
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
	if len(data) > 0 && ended {
		for i, reason := range []string{"logout", "idle", "limit", "admin", "password", "replaced"} {
			s := f.session(i + 7)
			s["user"], s["userId"] = data[0].(map[string]any)["user"], data[0].(map[string]any)["userId"]
			begun := f.now.Add(-time.Duration(i*31+20) * time.Hour)
			s["sessionId"], s["isActive"], s["endReason"], s["current"] = fmt.Sprintf("e%021d", i), false, reason, false
			s["loginAt"], s["lastActivity"], s["logoutAt"] = begun, begun.Add(50*time.Minute), begun.Add(51*time.Minute)
			data = append(data, s)
		}
	}
	answer(w, map[string]any{"success": true, "data": data})
}

func (f *fake) end(w http.ResponseWriter, r *http.Request) {
	i, err := strconv.Atoi(strings.TrimLeft(strings.TrimPrefix(r.PathValue("handle"), "h"), "0") + "")
	if r.PathValue("handle") == "h"+strings.Repeat("0", 21) {
		i, err = 0, nil
	}
	if err != nil || i >= f.sessions {
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
