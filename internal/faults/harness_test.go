package faults

import (
	"context"
	"database/sql"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect/pgdialect"

	st "github.com/sessiontrack/sessiontrack"
	"github.com/sessiontrack/sessiontrack/internal/pgtest"
)

const (
	// envLong selects the long form of every test, envSoak sets the length of the soak.
	envLong = "SESSIONTRACK_LONG"
	envSoak = "SESSIONTRACK_SOAK"

	patience  = 30 * time.Second
	pollEvery = 5 * time.Millisecond
)

var (
	long    = os.Getenv(envLong) != ""
	quiet   = slog.New(slog.DiscardHandler)
	byAdmin = st.Ending{Reason: st.ReasonAdmin, Actor: "7"}
)

// scaled returns full in the long form and short otherwise.
func scaled[T any](short, full T) T {
	if long {
		return full
	}
	return short
}

// timely asserts a bound of time in the long form, which has the machine to itself. The
// short form runs beside other tests, and only says how long it took.
func timely(t testing.TB, took, bound time.Duration, what string) {
	t.Helper()
	if long {
		assert.LessOrEqual(t, took, bound, what)
		return
	}
	t.Logf("%s: %v; the bound on a machine at rest is %v", what, took.Round(time.Millisecond), bound)
}

// storeOver returns a store that uses db as its pool.
func storeOver(t testing.TB, db *sql.DB) *st.BunStore {
	t.Helper()
	s, err := st.NewBunStore(bun.NewDB(db, pgdialect.New()), nil)
	require.NoError(t, err)
	return s
}

// replica stands for one process of the application.
type replica struct {
	*st.Tracker
	db      *sql.DB
	store   st.Store
	handler http.Handler
}

// over returns a replica that uses store. It does not start it.
func over(t testing.TB, store st.Store, opts st.Options) *replica {
	t.Helper()
	if opts.Logger == nil {
		opts.Logger = quiet
	}
	tracker, err := st.New(store, &opts)
	require.NoError(t, err)
	r := &replica{Tracker: tracker, store: store}
	r.handler = tracker.Middleware(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	return r
}

// start starts the replica's background work. The test's cleanup shuts it down.
func (r *replica) start(t testing.TB) *replica {
	t.Helper()
	require.NoError(t, r.Start(t.Context()))
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		_ = r.Shutdown(ctx) // a test that checks the result calls Shutdown itself
	})
	return r
}

// replicas starts n of them over one fresh database, each with a pool of its own.
func replicas(t testing.TB, n int, opts st.Options) []*replica {
	t.Helper()
	return replicasAt(t, pgtest.DSN(t), n, opts)
}

func replicasAt(t testing.TB, dsn string, n int, opts st.Options) []*replica {
	t.Helper()
	all := make([]*replica, n)
	for i := range all {
		db := pgtest.OpenDSN(t, dsn)
		store := storeOver(t, db)
		if i == 0 {
			require.NoError(t, store.Migrate(t.Context()))
		}
		all[i] = over(t, store, opts)
		all[i].db = db
		all[i].start(t)
	}
	return all
}

// durable makes each commit wait for the write-ahead log. Test servers switch that wait off, but an
// acknowledged write must survive a crash.
func durable(dsn string) string { return dsn + "&synchronous_commit=on" }

// background disables the background work that could disturb a test.
func background(o st.Options) st.Options {
	o.SampleInterval, o.CleanupInterval = -1, -1
	return o
}

func request(method, path string, headers ...string) *http.Request {
	r := httptest.NewRequest(method, path, nil)
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	return r
}

// get sends one request with the session's token and returns the status.
func (r *replica) get(token string) int {
	w := httptest.NewRecorder()
	r.handler.ServeHTTP(w, request(http.MethodGet, "/", "X-Session-Id", token))
	return w.Code
}

// login signs a user in. Only the test's own goroutine may call it.
func (r *replica) login(t testing.TB, user string) (st.Session, string) {
	t.Helper()
	s, token, err := r.Login(httptest.NewRecorder(), request(http.MethodPost, "/login"), user)
	require.NoError(t, err)
	return s, token.Reveal()
}

// logins signs n users in, a few at a time, and returns their handles and tokens.
func (r *replica) logins(t testing.TB, n int, user func(i int) string) (ids []st.SessionID, tokens []string) {
	t.Helper()
	ids, tokens = make([]st.SessionID, n), make([]string, n)
	const workers = 8
	together(workers, func(w int) {
		for i := w; i < n; i += workers {
			s, token, err := r.Login(httptest.NewRecorder(), request(http.MethodPost, "/login"), user(i))
			if !assert.NoError(t, err) {
				return
			}
			ids[i], tokens[i] = s.ID, token.Reveal()
		}
	})
	require.False(t, t.Failed())
	return ids, tokens
}

// together runs f n times concurrently, starts all calls at one barrier, and waits for them.
func together(n int, f func(i int)) {
	var wait sync.WaitGroup
	start := make(chan struct{})
	for i := range n {
		wait.Go(func() { <-start; f(i) })
	}
	close(start)
	wait.Wait()
}

// eventually polls until ok returns true, and returns how long that took.
func eventually(t testing.TB, bound time.Duration, what string, ok func() bool) time.Duration {
	t.Helper()
	began := time.Now()
	require.Eventually(t, ok, bound, pollEvery, what)
	return time.Since(began)
}

// one returns the single value of a query.
func one[T any](t testing.TB, db *sql.DB, query string, args ...any) (v T) {
	t.Helper()
	require.NoError(t, db.QueryRowContext(context.WithoutCancel(t.Context()), query, args...).Scan(&v))
	return v
}

func execute(t testing.TB, db *sql.DB, query string, args ...any) {
	t.Helper()
	_, err := db.ExecContext(context.WithoutCancel(t.Context()), query, args...)
	require.NoError(t, err)
}

// requireNoDeadlocks reads the server's own counter of deadlocks.
func requireNoDeadlocks(t testing.TB, db *sql.DB) {
	t.Helper()
	require.Zero(t, one[int](t, db, "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"),
		"deadlocks (40P01)")
}

// answers records the responses to a load of requests.
type answers struct {
	mu    sync.Mutex
	codes map[int]int
	took  []time.Duration
	last  map[string]time.Time // start of a token's latest request that got 200
}

func newAnswers() *answers {
	return &answers{codes: make(map[int]int), last: make(map[string]time.Time)}
}

// send makes one request and records its response.
func (a *answers) send(r *replica, token string) int {
	began := time.Now()
	code := r.get(token)
	took := time.Since(began)
	a.mu.Lock()
	defer a.mu.Unlock()
	a.codes[code]++
	a.took = append(a.took, took)
	if code == http.StatusOK {
		a.last[token] = began
	}
	return code
}

// len returns the number of responses so far.
func (a *answers) len() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.took)
}

// quantile returns the q-quantile of the response times so far.
func (a *answers) quantile(q float64) time.Duration {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.took) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(a.took))
	return sorted[min(int(q*float64(len(sorted))), len(sorted)-1)]
}

func (a *answers) String() string {
	p99 := a.quantile(0.99)
	a.mu.Lock()
	defer a.mu.Unlock()
	return fmt.Sprintf("%d answers %v, p99 %v", len(a.took), a.codes, p99.Round(time.Microsecond))
}

// load sends requests with the tokens in turn, rate per second in total, until stop is called.
func load(r *replica, tokens []string, rate int) (a *answers, stop func()) {
	return loadOf(r, func(i int) string { return tokens[i%len(tokens)] }, rate)
}

// loadOf sends requests with the tokens that token returns. It spaces the requests evenly, because
// requests that start at one moment delay each other.
func loadOf(r *replica, token func(i int) string, rate int) (a *answers, stop func()) {
	const workers = 16
	a = newAnswers()
	quit := make(chan struct{})
	var wait sync.WaitGroup
	for w := range workers {
		wait.Go(func() {
			<-time.After(time.Duration(w) * time.Second / time.Duration(rate))
			ticker := time.NewTicker(workers * time.Second / time.Duration(rate))
			defer ticker.Stop()
			for i := w; ; i += workers {
				select {
				case <-quit:
					return
				case <-ticker.C:
					a.send(r, token(i))
				}
			}
		})
	}
	return a, sync.OnceFunc(func() { close(quit); wait.Wait() })
}
