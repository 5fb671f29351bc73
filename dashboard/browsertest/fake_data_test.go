package browsertest

import (
	"fmt"
	"math"
	"net/http"
	"strings"
	"time"
)

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
	zone := f.zone
	if name := query.Get("tz"); name != "" {
		zone, _ = time.LoadLocation(name)
	}
	series, hours, peaks := []map[string]any{}, [7][24]int{}, []map[string]any{}
	for at := from.Truncate(step); at.Before(to) && !f.quiet; at = at.Add(step) {
		if ago := int(to.Sub(at).Minutes()); ago >= f.hole[0] && ago < f.hole[1] {
			continue
		}
		online := f.wave(at)
		if day := at.Truncate(24 * time.Hour); at.Sub(day) < step {
			peaks = append(peaks, map[string]any{"date": day.Format(time.DateOnly), "users": online + 30, "at": day.Add(15 * time.Hour)})
		}
		series = append(series, map[string]any{"at": at, "online_users": online, "peak_online_users": online, "active_sessions": online * 5 / 2, "logins": 3, "ends": 2})
		for hour := at; hour.Before(at.Add(step)); hour = hour.Add(time.Hour) {
			local := hour.In(f.zone)
			hours[(int(local.Weekday())+6)%7][local.Hour()] += f.wave(hour) / 20
		}
	}
	body := map[string]any{
		"from": from, "to": to, "step": query.Get("step"), "time_zone": zone.String(), "timestamp": to, "status": "success",
		"series": series, "peaks": peaks, "endsByReason": map[string]int{"logout": 211, "idle": 640, "admin": 12}, "durations": map[string]any{"count": 0, "median_seconds": nil, "p90_seconds": nil}, "sign_ins_by_hour": hours,
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
		"addressSource": "forwarded", "deviceSource": "hints", "loginAddress": "203.0.113.9", "methods": []string{"password", "otp"},
		"authenticatedAt": last.Add(-4 * time.Minute), "lastSeen": last.Add(time.Second), "expiresAt": f.now.Add(9 * time.Hour), "idleExpiresAt": f.now.Add(30 * time.Minute),
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

// active is how many people came by day, week and month.
func (f *fake) active(w http.ResponseWriter, _ *http.Request) {
	answer(w, map[string]any{"daily": f.sessions, "weekly": f.sessions * 3, "monthly": f.sessions * 7, "error": 0.02, "timestamp": time.Now().UTC(), "days": []any{}})
}
