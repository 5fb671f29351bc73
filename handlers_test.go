package sessiontrack

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sessiontrack/sessiontrack/internal/openapicheck"
)

// storesUnderTest are the stores that every path of the HTTP API is checked on.
var storesUnderTest = []struct {
	name string
	open func(t testing.TB) Store
}{
	{"memory", func(testing.TB) Store { return NewMemoryStore() }},
	{"postgres", func(t testing.TB) Store { return newBunStore(t) }},
}

// StoreUnderTest names the store of a module whose requirements the root does not take, in place of
// the others. A file of that module, laid over this package, calls it. Each store has a method Empty
// that takes all rows out.
func StoreUnderTest(name string, open func(t testing.TB) Store) {
	storesUnderTest = storesUnderTest[:1]
	storesUnderTest[0].name, storesUnderTest[0].open = name, open
}

// onEachStore runs a test once per store, each with a fresh one.
func onEachStore(t *testing.T, test func(t *testing.T, store Store)) {
	t.Helper()
	for _, s := range storesUnderTest {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			test(t, s.open(t))
		})
	}
}

// The users of a site: numbers, as the original systems have them.
const (
	alice = "1" // an ordinary user
	bob   = "2" // another
	adam  = "7" // admin
	ruth  = "9" // superadmin
)

// site is an application with both families behind its middleware.
type site struct {
	*Tracker
	t         testing.TB
	described *openapicheck.Document // every answer is held to it
	handler   http.Handler
	directory *testDirectory
	logs      *bytes.Buffer

	mu     sync.Mutex
	roles  map[string][]string
	down   error // what Options.Roles answers
	audits []AdminAction
	tokens map[string]Token
	issued []string
}

type siteOptions struct {
	tracker func(*Options)
	admin   *AdminOptions
	online  *UserOptions
	bare    bool // without the middleware
}

func newSite(t *testing.T, store Store, o siteOptions) *site {
	t.Helper()
	s := &site{
		t: t, described: description(),
		directory: &testDirectory{}, logs: &bytes.Buffer{}, tokens: map[string]Token{},
		roles: map[string][]string{alice: {"user"}, bob: {"user"}, adam: {"admin"}, ruth: {"superadmin"}},
	}
	opts := &Options{
		NumericUserIDs: true, Directory: s.directory, Roles: s.rolesOfUser,
		Logger:   slog.New(slog.NewJSONHandler(&lockedWriter{w: s.logs}, nil)),
		Observer: Observer{AdminAction: s.record},
		Cookie:   &CookieOptions{},
	}
	if o.tracker != nil {
		o.tracker(opts)
	}
	if opts.StoreTimeout == 0 {
		opts.StoreTimeout = busyMachine
	}
	if opts.MaxStaleness > 0 {
		opts.StoreTimeout = min(opts.StoreTimeout, opts.MaxStaleness)
	}
	var err error
	s.Tracker, err = New(store, opts)
	require.NoError(t, err)
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("what the tracker logged:\n%s", s.logs)
		}
	})
	mux := http.NewServeMux()
	mux.Handle("/api/user-sessions/", s.AdminHandler(o.admin))
	mux.Handle("/api/v1/online/", s.UserHandler(o.online))
	if s.handler = mux; !o.bare {
		s.handler = s.Middleware(mux)
	}
	return s
}

func (s *site) rolesOfUser(_ context.Context, user string) ([]string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.roles[user], s.down
}

func (s *site) record(_ context.Context, a AdminAction) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.audits = append(s.audits, a)
}

// audited returns the records since the last call.
func (s *site) audited() []AdminAction {
	s.mu.Lock()
	defer s.mu.Unlock()
	records := s.audits
	s.audits = nil
	return records
}

// signIn makes a session; the latest of a user is the one that the user calls with.
func (s *site) signIn(t testing.TB, user string) Session {
	t.Helper()
	r := httptest.NewRequest("POST", "/login", nil)
	r.Header.Set("User-Agent", "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0")
	session, token, err := s.Login(httptest.NewRecorder(), r, user)
	require.NoError(t, err)
	s.tokens[user] = token
	s.issued = append(s.issued, token.Reveal())
	return session
}

// signInAll makes one session for each user, in the order given.
func (s *site) signInAll(t testing.TB, users ...string) map[string]Session {
	t.Helper()
	sessions := make(map[string]Session, len(users))
	for _, user := range users {
		sessions[user] = s.signIn(t, user)
	}
	return sessions
}

// as sends a request with a user's session, "" for none. headers are names and values.
func (s *site) as(user, method, path string, headers ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, path, nil)
	if user != "" {
		r.Header.Set("X-Session-Id", s.tokens[user].Reveal())
	}
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Add(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	s.handler.ServeHTTP(w, r)
	s.holdToDescription(r, w)
	return w
}

// send sends a request with a body.
func (s *site) send(user, method, path, body string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	if user != "" {
		r.Header.Set("X-Session-Id", s.tokens[user].Reveal())
	}
	w := httptest.NewRecorder()
	s.handler.ServeHTTP(w, r)
	s.holdToDescription(r, w)
	return w
}

// json sends a request that must be answered with 200, and returns the answer.
func (s *site) json(t testing.TB, user, method, path string) map[string]any {
	t.Helper()
	w := s.as(user, method, path)
	require.Equal(t, http.StatusOK, w.Code, "%s %s: %s", method, path, w.Body)
	assert.Equal(t, "application/json; charset=utf-8", w.Header().Get("Content-Type"))
	assert.Equal(t, "no-store", w.Header().Get("Cache-Control"))
	return decoded(t, w)
}

func decoded(t testing.TB, w *httptest.ResponseRecorder) map[string]any {
	t.Helper()
	var body map[string]any
	require.NoError(t, json.Unmarshal(w.Body.Bytes(), &body), "%s", w.Body)
	return body
}

// requireProblem checks an error answer whole: status, code, and the headers that
// belong to it.
func requireProblem(t testing.TB, w *httptest.ResponseRecorder, status int, code string) map[string]any {
	t.Helper()
	require.Equal(t, status, w.Code, "%s", w.Body)
	h := w.Header()
	assert.Equal(t, "application/problem+json", h.Get("Content-Type"))
	assert.Equal(t, "no-store", h.Get("Cache-Control"))
	assert.Equal(t, status == 401, h.Get("WWW-Authenticate") != "")
	assert.Equal(t, status == 405, h.Get("Allow") != "")
	assert.Equal(t, status == 503, h.Get("Retry-After") != "")
	p := decoded(t, w)
	assert.Equal(t, code, p["code"])
	assert.EqualValues(t, status, p["status"])
	assert.Equal(t, http.StatusText(status), p["title"])
	assert.NotEmpty(t, p["detail"])
	return p
}

// rows returns a list of objects in an answer.
func rows(t testing.TB, body map[string]any, key string) []map[string]any {
	t.Helper()
	list, ok := body[key].([]any)
	require.True(t, ok, "%s is %T", key, body[key])
	out := make([]map[string]any, len(list))
	for i, row := range list {
		out[i] = row.(map[string]any)
	}
	return out
}

// field returns one field of each row.
func field(rows []map[string]any, key string) []any {
	out := make([]any, len(rows))
	for i, row := range rows {
		out[i] = row[key]
	}
	return out
}

// lockedWriter lets goroutines log into one buffer.
type lockedWriter struct {
	mu sync.Mutex
	w  *bytes.Buffer
}

func (l *lockedWriter) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(p)
}

func (l *lockedWriter) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.String()
}

// testDirectory knows people by "user<id>", and everything about them but for user 2,
// whom it does not know.
type testDirectory struct {
	calls    atomic.Int64
	searches atomic.Int64
	fail     atomic.Bool
	panics   atomic.Bool
}

func (d *testDirectory) Users(_ context.Context, ids []string) (map[string]UserInfo, error) {
	d.calls.Add(1)
	if d.panics.Load() {
		panic("directory")
	}
	if d.fail.Load() {
		return nil, errors.New("directory away")
	}
	out := make(map[string]UserInfo, len(ids))
	for _, id := range ids {
		if id == bob || slices.Contains(ids[:slices.Index(ids, id)], id) {
			continue
		}
		out[id] = UserInfo{
			ID: id, Email: "user" + id + "@example.com", FullName: "User <" + id + ">",
			Username: "user" + id, DisplayName: "User № " + id, AvatarURL: "https://example.com/" + id + ".png",
		}
	}
	return out, nil
}

func (d *testDirectory) SearchUsers(_ context.Context, query string, limit int) ([]string, error) {
	d.searches.Add(1)
	if d.fail.Load() {
		return nil, ErrNotFound // an outage of the directory's, whatever it wraps
	}
	var found []string
	for _, id := range []string{alice, bob, adam, ruth, "a\x00b"} {
		if strings.Contains("user"+id, query) && len(found) < limit {
			found = append(found, id)
		}
	}
	return found, nil
}

// brokenStore fails every call, with a text that no client may see, once it is away.
// It has no optional capability, so that its site uses the fallbacks.
type brokenStore struct {
	Store
	away   atomic.Bool
	cannot atomic.Bool // end: everything else works
}

var errSecretive = errors.New(`pq: SELECT secret_hash FROM user_sessions: dial tcp 10.0.0.5:5432: password authentication failed for user "app"`)

func (b *brokenStore) err() error {
	if b.away.Load() {
		return errSecretive
	}
	return nil
}

func (b *brokenStore) Create(ctx context.Context, n NewSession) (CreateResult, error) {
	if err := b.err(); err != nil {
		return CreateResult{}, err
	}
	return b.Store.Create(ctx, n)
}

func (b *brokenStore) Get(ctx context.Context, id SessionID) (Record, error) {
	if err := b.err(); err != nil {
		return Record{}, err
	}
	return b.Store.Get(ctx, id)
}

func (b *brokenStore) List(ctx context.Context, q Query) (Page, error) {
	if err := b.err(); err != nil {
		return Page{}, err
	}
	return b.Store.List(ctx, q)
}

func (b *brokenStore) End(ctx context.Context, sel Selector, e Ending) (EndResult, error) {
	if err := b.err(); err != nil || b.cannot.Load() {
		return EndResult{}, errSecretive
	}
	return b.Store.End(ctx, sel, e)
}
