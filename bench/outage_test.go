package bench

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"flag"
	mathrand "math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect/pgdialect"

	"github.com/sessiontrack/sessiontrack"
	"github.com/sessiontrack/sessiontrack/internal/pgtest"
)

var (
	duration = flag.Duration("duration", 10*time.Minute,
		"how long the load of TestOutage lasts with -long; PostgreSQL is away for a tenth of it")
	requestRate = flag.Int("rate", 5000, "requests a second of TestOutage with -long")
	used        = flag.Int("used", 50_000, "sessions of TestOutage with -long")
	flushFor    = flag.Duration("flush", time.Minute, "how long two replicas flush the same sessions with -long")
)

// storeTimeout is the Tracker's default. slack is how late the machine may schedule a request that
// waits only for the CPU.
const (
	storeTimeout = 500 * time.Millisecond
	slack        = 500 * time.Millisecond
)

// population holds many sessions and their clients' requests.
type population struct {
	ids      []string
	requests []*http.Request
	last     []atomic.Int64 // the latest answered request, in microseconds
}

// populate creates sessions with known secrets.
func populate(t *testing.T, f *filled, n int) *population {
	t.Helper()
	p := &population{ids: make([]string, n), requests: make([]*http.Request, n), last: make([]atomic.Int64, n)}
	hashes := make([][]byte, n)
	for i := range n {
		var secret [48]byte
		_, _ = rand.Read(secret[:])
		hash := sha256.Sum256(secret[16:])
		p.ids[i], hashes[i] = base64.RawURLEncoding.EncodeToString(secret[:16]), hash[:]
		p.requests[i] = newRequest()
		p.requests[i].Header.Set("X-Session-Id", p.ids[i]+"."+base64.RawURLEncoding.EncodeToString(secret[16:]))
	}
	for first := 0; first < n; first += fillBatch {
		last := min(first+fillBatch, n)
		f.exec(t, `INSERT INTO user_sessions (session_id, user_id, secret_hash, device_source, login_at,
				last_activity, created_at, updated_at, expires_at)
			SELECT id, 'user' || place / 2, hash, 'user_agent', now(), now(), now(), now(), now() + interval '1 day'
			FROM unnest(?::text[], ?::bytea[]) WITH ORDINALITY AS v(id, hash, place)`,
			pgdialect.Array(p.ids[first:last]), pgdialect.Array(hashes[first:last]))
	}
	f.exec(t, "INSERT INTO user_presence SELECT user_id, max(last_activity) FROM user_sessions GROUP BY user_id")
	f.exec(t, "VACUUM ANALYZE user_sessions, user_presence")
	return p
}

// outcome counts the results of a load.
type outcome struct {
	sent, refused atomic.Int64
	worst         atomic.Int64
}

// send makes one request of session i.
func (p *population) send(h http.Handler, i int, o *outcome) {
	w := httptest.NewRecorder()
	began := time.Now()
	h.ServeHTTP(w, p.requests[i])
	took := int64(time.Since(began))
	o.sent.Add(1)
	for worst := o.worst.Load(); took > worst && !o.worst.CompareAndSwap(worst, took); worst = o.worst.Load() {
	}
	if w.Code != http.StatusNoContent {
		o.refused.Add(1)
		return
	}
	p.last[i].Store(began.UnixMicro())
}

// press sends rate requests per second of random sessions for the time d.
func (p *population) press(h http.Handler, rate int, d time.Duration) *outcome {
	o, workers := new(outcome), 8
	began := time.Now()
	var wait sync.WaitGroup
	for range workers {
		wait.Go(func() {
			tick := time.NewTicker(10 * time.Millisecond)
			defer tick.Stop()
			for sent := 0; time.Since(began) < d; <-tick.C {
				due := int(float64(rate) / float64(workers) * time.Since(began).Seconds())
				for ; sent < due; sent++ {
					p.send(h, mathrand.IntN(len(p.requests)), o)
				}
			}
		})
	}
	wait.Wait()
	return o
}

// heapInUse returns the bytes that are reachable now.
func heapInUse() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// TestOutage stops PostgreSQL during a steady load. The long form runs ten minutes of 5,000
// requests a second over 50,000 sessions, one minute of them without PostgreSQL. The outage is
// shorter than StaleGrace, so no session may be refused.
func TestOutage(t *testing.T) {
	beside(t)
	sessions, rate, d, away := 1000, 500, 6*time.Second, time.Second
	o := sessiontrack.Options{TouchInterval: time.Second, FlushInterval: 500 * time.Millisecond}
	if *long {
		sessions, rate, d, away = *used, *requestRate, *duration, *duration/10
		o = sessiontrack.Options{StaleGrace: away + 10*time.Second}
	}
	cluster := pgtest.NewCluster(t)
	f := &filled{db: bun.NewDB(cluster.Open(), pgdialect.New())}
	f.store = storeOver(t, f.db)
	require.NoError(t, f.store.Migrate(t.Context()))
	p := populate(t, f, sessions)
	o.Logger, o.SampleInterval, o.CleanupInterval = discard, -1, -1
	tracker, err := sessiontrack.New(f.store, &o)
	require.NoError(t, err)
	require.NoError(t, tracker.Start(t.Context()))
	t.Cleanup(func() { _ = tracker.Shutdown(context.Background()) })
	handler := tracker.Middleware(inner)

	warm := new(outcome)
	for i := range p.requests {
		p.send(handler, i, warm)
	}
	require.Zero(t, warm.refused.Load())
	before := heapInUse()
	say("\noutage: %d requests/s over %d sessions for %v, PostgreSQL stopped for %v of them", rate, sessions, d, away)

	var met *outcome
	var load sync.WaitGroup
	load.Go(func() { met = p.press(handler, rate, d) })
	time.Sleep(d / 3)
	cluster.Stop(pgtest.Fast)
	time.Sleep(away)
	during := heapInUse()
	cluster.Start()
	load.Wait()
	require.NoError(t, tracker.Shutdown(t.Context()))
	after := heapInUse()

	touch := o.TouchInterval
	if touch == 0 {
		touch = 15 * time.Second
	}
	wrong := p.wrong(t, f, touch)
	say("  %d requests, %d refused, slowest %v (store timeout %v)\n  heap %.1f MB before, %.1f MB at the end of the "+
		"outage, %.1f MB after\n  sessions whose last activity is wrong: %d; touches dropped: %d",
		met.sent.Load(), met.refused.Load(), time.Duration(met.worst.Load()).Round(time.Microsecond), storeTimeout,
		float64(before)/1e6, float64(during)/1e6, float64(after)/1e6, wrong, tracker.Counters()["touch.dropped"])
	assert.Zero(t, met.refused.Load(), "every session is cached")
	atMost("seconds of the slowest request", time.Duration(met.worst.Load()).Seconds(), (storeTimeout + slack).Seconds())
	assert.Less(t, during-before, int64(16<<20+400*sessions), "one touch per session is buffered")
	assert.Zero(t, wrong)
	assert.Zero(t, tracker.Counters()["touch.dropped"])
	atLeast("share of the load that was sent", float64(met.sent.Load())/(float64(rate)*d.Seconds()), 0.9)
}

// wrong counts sessions whose stored activity is not their latest request. It allows for the touch
// interval and one second of clock difference.
func (p *population) wrong(t *testing.T, f *filled, touch time.Duration) (wrong int) {
	t.Helper()
	var rows []struct {
		SessionID    string
		LastActivity time.Time
	}
	require.NoError(t, f.db.NewRaw(
		"SELECT session_id, last_activity FROM user_sessions WHERE logout_at IS NULL").Scan(t.Context(), &rows))
	stored := make(map[string]time.Time, len(rows))
	for _, row := range rows {
		stored[row.SessionID] = row.LastActivity
	}
	for i, id := range p.ids {
		lag := time.UnixMicro(p.last[i].Load()).Sub(stored[id])
		if lag > touch+time.Second || lag < -time.Second {
			wrong++
		}
	}
	return wrong
}

// TestOverlappingReplicas lets two replicas flush the same sessions without a pause while some of
// the sessions end. Then it reads the server's log.
func TestOverlappingReplicas(t *testing.T) {
	beside(t)
	sessions, d := 300, 2*time.Second
	if *long {
		sessions, d = 2000, *flushFor
	}
	cluster := pgtest.NewCluster(t)
	f := &filled{db: bun.NewDB(cluster.Open(), pgdialect.New())}
	f.store = storeOver(t, f.db)
	require.NoError(t, f.store.Migrate(t.Context()))
	p := populate(t, f, sessions)
	until := time.Now().Add(d)
	var wait sync.WaitGroup
	var trackers []*sessiontrack.Tracker
	for range 2 {
		tracker := f.trackerOver(t, storeOver(t, bun.NewDB(cluster.Open(), pgdialect.New())), sessiontrack.Options{
			TouchInterval: -1, FlushInterval: 20 * time.Millisecond, PresenceStep: -1,
		})
		trackers = append(trackers, tracker)
		handler := tracker.Middleware(inner)
		wait.Go(func() {
			for o := new(outcome); time.Now().Before(until); time.Sleep(10 * time.Millisecond) {
				for _, i := range mathrand.Perm(len(p.requests)) {
					p.send(handler, i, o)
				}
			}
		})
	}
	wait.Go(func() {
		for i := 0; time.Now().Before(until) && i < sessions/2; i += 10 {
			ids := make([]sessiontrack.SessionID, 0, 10)
			for _, id := range p.ids[i : i+10] {
				ids = append(ids, sessiontrack.SessionID(id))
			}
			slices.Reverse(ids)
			_, err := trackers[i/10%2].End(t.Context(), sessiontrack.IDs(ids...),
				sessiontrack.Ending{Reason: sessiontrack.ReasonAdmin})
			if err != nil { // with two permanent writers, an end may time out
				assert.ErrorIs(t, err, sessiontrack.ErrUnavailable)
				i -= 10
			}
			time.Sleep(d / time.Duration(sessions/10))
		}
	})
	wait.Wait()
	log, err := os.ReadFile(cluster.LogPath())
	require.NoError(t, err)
	assert.NotContains(t, string(log), "deadlock detected")
	written := trackers[0].Counters()["touch.written"] + trackers[1].Counters()["touch.written"]
	say("\noverlap: two replicas flushed the same %d sessions for %v, %d touches written, no deadlock in the server's log",
		sessions, d, written)
	assert.Positive(t, written)
}
