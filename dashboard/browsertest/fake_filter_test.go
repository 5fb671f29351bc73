package browsertest

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// endReasons are those of the sessions that have ended before the test began.
var endReasons = []string{"logout", "idle", "limit", "admin", "password", "replaced"}

// past is the i-th of the sessions that had ended before.
func (f *fake) past(i int) map[string]any {
	s := f.session(i + 7)
	begun := f.now.Add(-time.Duration(i*31+20) * time.Hour)
	s["sessionId"], s["isActive"], s["endReason"], s["current"] = fmt.Sprintf("e%021d", i), false, endReasons[i%len(endReasons)], false
	s["loginAt"], s["lastActivity"], s["logoutAt"] = begun, begun.Add(50*time.Minute), begun.Add(51*time.Minute)
	return s
}

// numberOf is the number of a session by its handle.
func (f *fake) numberOf(handle string) (int, bool) {
	i, err := strconv.Atoi(strings.TrimPrefix(handle, "h"))
	return i, err == nil && i < f.sessions
}

// filterNames are the parameters of a filter; any other is a mistake of the page.
var filterNames = []string{
	"user", "q", "state", "reason", "device", "browser", "os", "country", "ip", "login_after", "login_before", "idle_for", "seen_within", "derived",
}

// strict answers 400 to what no route takes, as the library does.
func strict(w http.ResponseWriter, query url.Values, further ...string) bool {
	for name, values := range query {
		if len(values) != 1 || values[0] == "" || !slices.Contains(append(further, filterNames...), name) {
			w.Header().Set("Content-Type", "application/problem+json")
			w.WriteHeader(http.StatusBadRequest)
			fmt.Fprintf(w, `{"status":400,"code":"bad_request","detail":%q}`, name)
			return false
		}
	}
	return true
}

func base(name any) string {
	text, _ := name.(string)
	return strings.TrimRight(text, " 0123456789.")
}

// matches reports whether a session is one of a filter's.
func (f *fake) matches(s map[string]any, query url.Values) bool {
	location, _ := s["location"].(map[string]string)
	for name, fact := range map[string]string{
		"device": fmt.Sprint(s["deviceType"]), "browser": base(s["browser"]), "os": base(s["os"]), "country": location["countryCode"],
		"user": fmt.Sprint(s["userId"]), "reason": fmt.Sprint(s["endReason"]),
	} {
		if want := query.Get(name); want != "" && !slices.Contains(strings.Split(want, ","), fact) {
			return false
		}
	}
	if prefix, err := netip.ParsePrefix(query.Get("ip")); err == nil && !prefix.Contains(netip.MustParseAddr(fmt.Sprint(s["ipAddress"]))) {
		return false
	}
	login, last := s["loginAt"].(time.Time), s["lastActivity"].(time.Time)
	if after, err := time.Parse(time.RFC3339, query.Get("login_after")); err == nil && login.Before(after) {
		return false
	}
	if before, err := time.Parse(time.RFC3339, query.Get("login_before")); err == nil && !login.Before(before) {
		return false
	}
	if idle, err := time.ParseDuration(query.Get("idle_for")); err == nil && time.Since(last) < idle {
		return false
	}
	if within, err := time.ParseDuration(query.Get("seen_within")); err == nil && time.Since(last) >= within {
		return false
	}
	return strings.Contains(s["user"].(map[string]any)["fullName"].(string), query.Get("q"))
}

// state is what a query asks for: active, ended or any.
func state(query url.Values) string {
	if query.Get("reason") != "" {
		return "ended"
	}
	if state := query.Get("state"); state != "" {
		return state
	}
	return "active"
}

// after yields the sessions of a filter from a place on, and the place behind each.
func (f *fake) after(query url.Values, at int, yield func(next int, s map[string]any) bool) {
	past := 0
	if f.sessions > len(endReasons)+7 {
		past = 4 * len(endReasons)
	}
	for ; at < f.sessions+past; at++ {
		var s map[string]any
		if at >= f.sessions {
			s = f.past(at - f.sessions)
		} else if !f.wasUsed(at) {
			s = f.session(at)
		}
		if s == nil || state(query) != "any" && (s["logoutAt"] == nil) != (state(query) == "active") || !f.matches(s, query) {
			continue
		}
		if !yield(at+1, s) {
			return
		}
	}
}

// page answers with the sessions of a filter from the cursor on. Those that are used now
// come first.
func (f *fake) page(w http.ResponseWriter, query url.Values) {
	f.mu.Lock()
	defer f.mu.Unlock()
	limit, _ := strconv.Atoi(query.Get("limit"))
	from, _ := strconv.Atoi(query.Get("cursor"))
	data := []any{}
	for i := 0; from == 0 && i < min(f.sessions, 500); i++ {
		if f.wasUsed(i) {
			data = append(data, f.session(i))
		}
	}
	body := map[string]any{"success": true}
	f.after(query, from, func(next int, s map[string]any) bool {
		if len(data) >= limit {
			body["next"] = strconv.Itoa(next - 1)
			return false
		}
		data = append(data, s)
		return true
	})
	body["data"] = data
	answer(w, body)
}

func (f *fake) list(w http.ResponseWriter, r *http.Request) {
	if query := r.URL.Query(); strict(w, query, "limit", "cursor", "within") {
		f.page(w, query)
	}
}

func (f *fake) filtered(w http.ResponseWriter, r *http.Request) {
	if query := r.URL.Query(); strict(w, query, "limit", "cursor", "sort") {
		f.page(w, query)
	}
}

// counted counts; above ten thousand it tells an estimate.
func (f *fake) counted(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	if !strict(w, query) {
		return
	}
	data := map[string]any{"asOf": time.Now().UTC(), "preview": query.Encode()}
	n, users := 0, map[any]bool{}
	if f.sessions > 10_000 {
		data["exact"], data["count"], data["users"] = false, f.sessions, f.sessions*4/5
	} else {
		f.after(query, 0, func(_ int, s map[string]any) bool {
			n, users[s["userId"]] = n+1, true
			return true
		})
		data["exact"], data["count"], data["users"] = true, n, len(users)
	}
	answer(w, map[string]any{"success": true, "data": data})
}

func (f *fake) one(w http.ResponseWriter, r *http.Request) {
	handle := r.PathValue("handle")
	if i, err := strconv.Atoi(strings.TrimPrefix(handle, "e")); err == nil {
		answer(w, map[string]any{"success": true, "data": f.past(i)})
		return
	}
	i, known := f.numberOf(handle)
	if !known {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	answer(w, map[string]any{"success": true, "data": f.session(i)})
}

// nowBy is who is online by a fact.
func (f *fake) nowBy(w http.ResponseWriter, r *http.Request) {
	by := r.URL.Query().Get("by")
	counts := map[string]int{}
	for i := range min(f.sessions, 200) {
		s := f.session(i)
		location, _ := s["location"].(map[string]string)
		name := map[string]string{"country": location["countryCode"], "device": fmt.Sprint(s["deviceType"]), "browser": base(s["browser"]), "os": base(s["os"])}[by]
		counts[name]++
	}
	online := []map[string]any{}
	for name, users := range counts {
		if name != "" {
			online = append(online, map[string]any{"name": name, "users": users})
		}
	}
	slices.SortFunc(online, func(a, b map[string]any) int { return b["users"].(int) - a["users"].(int) })
	answer(w, map[string]any{"by": by, "online": online, "unknown": counts[""], "timestamp": time.Now().UTC()})
}

// endRequest is what the page asks to end.
type endRequest struct {
	Preview, Reason string
	IDs             []string
}

// endMany ends at most 40 at a call, or more of very many, and says whether there are more.
func (f *fake) endMany(w http.ResponseWriter, r *http.Request) {
	var asked endRequest
	if json.NewDecoder(r.Body).Decode(&asked) != nil || (asked.Preview == "") == (len(asked.IDs) == 0) {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.ends = append(f.ends, asked)
	ended, skipped, more := 0, 0, false
	for _, handle := range asked.IDs {
		if i, known := f.numberOf(handle); known && !f.hasEnded(i) {
			f.ended.Store(i, true)
			ended++
		} else {
			skipped++
		}
	}
	if asked.Preview != "" {
		query, _ := url.ParseQuery(asked.Preview)
		f.after(query, 0, func(next int, _ map[string]any) bool {
			if more = ended == max(40, f.sessions/100); !more {
				f.ended.Store(next-1, true)
				ended++
			}
			return !more
		})
	}
	answer(w, map[string]any{"success": true, "data": map[string]any{"ended": ended, "skipped": skipped, "more": more}})
}

// audit is a trail of 120 records, the newest first.
func (f *fake) audit(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	at, _ := strconv.Atoi(query.Get("cursor"))
	limit, _ := strconv.Atoi(query.Get("limit"))
	person := func(id int) map[string]any { return map[string]any{"id": id, "name": f.user(id)["fullName"]} }
	data, body := []any{}, map[string]any{"success": true}
	for ; at < 120 && !f.quiet; at++ {
		actor, user := person(100+at%3), person(103+at%9)
		record := map[string]any{
			"at": f.now.Add(-time.Duration(at*at+3) * time.Minute), "action": []string{"force_logout", "end_sessions", "step_up", "force_logout_user"}[at%4],
			"outcome": []string{"done", "done", "done", "done", "forbidden"}[at%5], "actor": actor, "user": user, "ipAddress": fmt.Sprintf("192.0.2.%d", at+1),
			"sessionId": nil, "reason": "admin", "count": 1, "filter": nil,
		}
		switch at % 4 {
		case 0:
			record["sessionId"] = fmt.Sprintf("h%021d", at%9+3)
		case 1:
			record["user"], record["count"], record["filter"] = nil, 47, "country=BR&seen_within=24h0m0s"
		}
		kept := func(name string, one any) bool {
			id, _ := one.(map[string]any)
			return query.Get(name) == "" || query.Get(name) == fmt.Sprint(id["id"])
		}
		if !kept("actor", record["actor"]) || !kept("user", record["user"]) || query.Get("action") != "" && query.Get("action") != record["action"] {
			continue
		}
		if len(data) == limit {
			body["next"] = strconv.Itoa(at)
			break
		}
		data = append(data, record)
	}
	body["data"] = data
	answer(w, body)
}
