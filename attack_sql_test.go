package sessiontrack

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	textpkg "github.com/sessiontrack/sessiontrack/internal/text"

	"github.com/sessiontrack/sessiontrack/internal/pgtest"
)

// long selects the long form of tests that sample in the default run.
var long = os.Getenv("SESSIONTRACK_LONG") != ""

// sqlPieces are the parts of hostile texts.
var sqlPieces = []string{
	"'", "''", `"`, `\`, ";", "--", "-", "/*", "*/", "$1", "$$", "$a$", "?", "??", "?0", "?id", "{", "}", "NULL", "%", "_",
	"(", ")", ",", "::text", "E'\\x00'",
	"\x00", "\xff", "\xc0\x80", "\xed\xa0\x80", "\u202e", "\u0085", "\n", "\r", "\t", "\x1b", "é", "😀", "a", "Z", "5", " ",
	"DROP TABLE user_sessions", "OR 1=1", "pg_sleep(9)", "::", "1e9", "+", "=", "&", "#", "/", "..", ".",
}

func hostileText(r *rand.Rand) string {
	var b strings.Builder
	for range 1 + r.IntN(12) {
		b.WriteString(sqlPieces[r.IntN(len(sqlPieces))])
	}
	if r.IntN(40) == 0 {
		return strings.Repeat(b.String(), 200)
	}
	return b.String()
}

// sqlstate matches a line of the server's log that reports an error.
var sqlstate = regexp.MustCompile(`\b(42601|22021|22P05|22P02|42883|42703|22003|22008)\b`)

// TestNoTextReachesSQL sends hostile texts through every text parameter of HTTP and of the Go API,
// and reads the server's own log (docs/checks.md S27, S29; OWASP ASVS 1.2.4). The log has no syntax
// error, no byte that cannot be stored and no value of a wrong type. No answer is 500 or above.
func TestNoTextReachesSQL(t *testing.T) {
	cluster := pgtest.NewCluster(t)
	store := bunStoreOver(t, cluster.Open())
	require.NoError(t, store.Migrate(t.Context()))
	s := newSite(t, store, siteOptions{tracker: func(o *Options) {
		o.NumericUserIDs, o.StoreTimeout, o.MaxStaleness = false, 30*time.Second, time.Minute
	}})
	s.signInAll(t, adam, bob)
	jwts, err := NewJWTIdentifier(JWTOptions{Secret: outcomesKey})
	require.NoError(t, err)
	byJWT, err := New(store, &Options{Identifier: jwts, StoreTimeout: busyMachine})
	require.NoError(t, err)
	derived := byJWT.Middleware(http.NotFoundHandler())

	texts := 200
	if long {
		texts = 10_000
	}
	random := rand.New(rand.NewPCG(1, 2))
	for i := range texts {
		text := hostileText(random)
		if i == 0 {
			text = hostile
		}
		for _, r := range hostileRequests(t, text) {
			if r.Header.Get(headerName) == "" && r.Header["Cookie"] == nil {
				r.Header.Set(headerName, s.tokens[adam].Reveal())
			}
			w := httptest.NewRecorder()
			s.handler.ServeHTTP(w, r)
			require.Less(t, w.Code, 500, "%s %q: %s", r.Method, r.URL, w.Body)
		}
		w := ask(derived, "GET", "/", "Authorization", bearerOf(t, text, time.Hour, "jti", text, "sid", text))
		require.Less(t, w.Code, 500)
		w = ask(derived, "GET", "/", "Authorization", bearerOf(t, "u"+strconv.Itoa(i), time.Hour, "jti", text, "iss", text))
		require.Less(t, w.Code, 500)
		hostileCalls(t, s, store, text)
	}
	require.Equal(t, 200, s.as(adam, "GET", adminPath+"active-users").Code, "it still works")
	assert.Empty(t, errorsOf(t, cluster), "the server's log")
	t.Logf("figure S27: 0 errors in the server's log for %d texts through %d parameters", texts,
		len(hostileRequests(t, "x"))+12)

	_, err = store.db.ExecContext(t.Context(), "SELEC 'x'")
	require.Error(t, err)
	assert.Len(t, errorsOf(t, cluster), 1, "the log shows an error if there is one")
}

func errorsOf(t *testing.T, cluster *pgtest.Cluster) (lines []string) {
	t.Helper()
	log, err := os.ReadFile(cluster.LogPath())
	require.NoError(t, err)
	for line := range strings.Lines(string(log)) {
		if strings.Contains(line, "ERROR:") && sqlstate.MatchString(line) {
			lines = append(lines, line)
		}
	}
	return lines
}

// hostileRequests returns requests with text in every string that a handler reads.
func hostileRequests(t *testing.T, text string) (all []*http.Request) {
	t.Helper()
	add := func(method, path, query string, headers ...string) {
		r := request(method, "/")
		r.URL = &url.URL{Path: unescapedOr(path), RawPath: path, RawQuery: query}
		for i := 0; i+1 < len(headers); i += 2 {
			r.Header[headers[i]] = []string{headers[i+1]}
		}
		all = append(all, r)
	}
	segment, value := url.PathEscape(text), url.QueryEscape(text)
	for _, name := range []string{"q", "cursor", "device", "within", "limit", text} {
		add("GET", adminPath+"active-users", url.QueryEscape(name)+"="+value)
	}
	foreign := Cursor{At: fromMicros(1), UserID: strings.ToValidUTF8(text, ""), Serial: 3}.String()
	add("GET", adminPath+"active-users", "cursor="+url.QueryEscape(foreign))
	add("GET", onlinePath+"users", "cursor="+url.QueryEscape(foreign))
	add("GET", adminPath+"user/"+segment+"/sessions", "ended=true&cursor="+url.QueryEscape(foreign))
	add("GET", adminPath+"user/"+segment+"/sessions", "ended="+value)
	add("POST", adminPath+"force-logout/"+segment, "")
	add("POST", adminPath+"force-logout-user/x"+segment, "")
	add("DELETE", onlinePath+"sessions/"+segment, "")
	for _, name := range []string{"minutes", "limit", "cursor"} {
		add("GET", onlinePath+"users", name+"="+value)
	}
	add("GET", onlinePath+"count", "minutes="+value)
	add("GET", onlinePath+"history", "from="+value+"&to="+value+"&step="+value+"&tz="+value)
	add("HEAD", onlinePath+"events", "users="+value, "Last-Event-Id", text)
	add("GET", onlinePath+"count", "", headerName, text)
	add("GET", onlinePath+"count", "", "Cookie", "__Host-session="+text)
	add("GET", onlinePath+"count", "", "Authorization", "Bearer "+text)
	add("GET", onlinePath+"count", "", "User-Agent", text)
	add("GET", onlinePath+"count", "", "X-Forwarded-For", text)
	return all
}

// hostileCalls passes text in every string that the Go API takes.
func hostileCalls(t *testing.T, s *site, store *BunStore, text string) {
	t.Helper()
	ctx := t.Context()
	_, _, err := s.Login(httptest.NewRecorder(), request("POST", "/login"), text)
	require.NotErrorIs(t, err, ErrUnavailable)
	r := request("POST", "/login")
	for _, name := range []string{"User-Agent", "X-Forwarded-For", "Sec-Ch-Ua", "Sec-Ch-Ua-Model", "X-Max-Touch-Points"} {
		r.Header[name] = []string{text}
	}
	session, _, err := s.Login(httptest.NewRecorder(), r, "victim")
	require.NoError(t, err)
	got, err := s.Get(ctx, session.ID)
	require.NoError(t, err)
	require.LessOrEqual(t, len(got.UserAgent), maxUserAgent)
	require.Equal(t, textpkg.Storable(got.UserAgent), got.UserAgent)
	_, err = s.Get(ctx, SessionID(text))
	require.ErrorIs(t, err, ErrNotFound)
	for _, q := range []Query{{UserID: text}, {Filter: Filter{Users: []string{text, "x"}}}, {Filter: Filter{Device: DeviceType(text)}},
		{UserID: "victim", After: Cursor{At: session.LoginAt, UserID: text}}} {
		q.Limit = 2
		_, err = s.List(ctx, q)
		require.NotErrorIs(t, err, ErrUnavailable, "%+v", q)
	}
	device := Device{Type: DeviceType(text), Browser: text, OS: text, Model: text, Brand: text, Source: DeviceSource(text)}
	require.NoError(t, store.Describe(ctx, []SessionUpdate{{ID: session.ID, Device: &device,
		Network: &ClientNetwork{Source: text, Location: Location{City: text, Country: text}}},
		{ID: SessionID(text), Device: &device}}))
	_, err = store.Touch(ctx, []TouchRecord{{ID: SessionID(text), At: time.Now()}, {ID: session.ID, At: time.Now()}}, 0)
	require.NoError(t, err)
	for _, selector := range []Selector{IDs(SessionID(text)), User(text), User("victim").Except(SessionID(text))} {
		_, err = s.End(context.WithoutCancel(ctx), selector, Ending{Reason: ReasonAdmin, Actor: text})
		require.NotErrorIs(t, err, ErrUnavailable, fmt.Sprint(selector))
	}
}
