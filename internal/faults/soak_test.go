package faults

import (
	"database/sql"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	st "github.com/sessiontrack/sessiontrack"
	"github.com/sessiontrack/sessiontrack/internal/pgtest"
)

// newServer serves handler on a loopback address until the test ends.
func newServer(t *testing.T, handler http.Handler) (url string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	server := &http.Server{Handler: handler, ReadHeaderTimeout: time.Second}
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(func() { _ = server.Close() })
	return "http://" + listener.Addr().String()
}

// series is a measured value over time.
type series struct {
	at     []time.Duration
	values []float64
}

func (s *series) add(at time.Duration, value int) {
	s.at, s.values = append(s.at, at), append(s.values, float64(value))
}

// slope returns the change per ten minutes as a share of the mean, by least squares.
func (s *series) slope() float64 {
	var x, y, xy, xx float64
	n := float64(len(s.at))
	for i, at := range s.at {
		minutes := at.Minutes()
		x, y, xy, xx = x+minutes, y+s.values[i], xy+minutes*s.values[i], xx+minutes*minutes
	}
	return 10 * (n*xy - x*y) / (n*xx - x*x) / (y / n)
}

// visitor is one client of the soak. It knows which answers are right.
type visitor struct {
	all    []*replica
	random *rand.Rand
	wrong  *atomic.Int64 // 401 for a live session, or 200 for an ended one
	visits *atomic.Int64
}

// live uses one session from its login to its end, and sends one request after the end.
func (v *visitor) live(user string, stop <-chan struct{}) {
	pick := func() *replica { return v.all[v.random.IntN(len(v.all))] }
	s, token, err := pick().Login(httptest.NewRecorder(), request("POST", "/login"), user)
	if err != nil {
		<-time.After(50 * time.Millisecond)
		return
	}
	for range 20 {
		select {
		case <-stop:
			return
		case <-time.After(10 * time.Millisecond):
		}
		v.visits.Add(1)
		if pick().get(token.Reveal()) == http.StatusUnauthorized {
			v.wrong.Add(1)
		}
	}
	ender := pick()
	ctx := request("GET", "/").Context()
	if _, err := ender.End(ctx, st.IDs(s.ID), byAdmin); err == nil && ender.get(token.Reveal()) == http.StatusOK {
		v.wrong.Add(1)
	}
}

// soakTime returns the length of the soak: SESSIONTRACK_SOAK, or the default of the form.
func soakTime(t *testing.T) time.Duration {
	text := os.Getenv(envSoak)
	if !long || text == "" {
		return scaled(5*time.Second, 5*time.Minute)
	}
	lasts, err := time.ParseDuration(text)
	require.NoError(t, err)
	return lasts
}

// TestL08Soak runs three replicas under random faults. Their memory, goroutines and connections do
// not grow, and every promise holds to the end.
func TestL08Soak(t *testing.T) {
	lasts := soakTime(t)
	cluster := pgtest.NewCluster(t)
	admin := cluster.Open()
	require.NoError(t, storeOver(t, admin).Migrate(t.Context()))
	var proxies []*pgtest.Proxy
	var all []*replica
	for range 3 {
		proxy := pgtest.NewProxy(t, cluster.Addr())
		opts := background(st.Options{TouchInterval: 100 * time.Millisecond, FlushInterval: 200 * time.Millisecond,
			Retention: time.Minute, CacheSize: 2_000})
		opts.CleanupInterval = 10 * time.Second
		all = append(all, over(t, storeOver(t, pgtest.OpenDSN(t, cluster.DSNAt(proxy.Addr()))), opts).start(t))
		proxies = append(proxies, proxy)
	}
	stop := make(chan struct{})
	var wrong, visits, faults atomic.Int64
	var wait sync.WaitGroup
	for i := range 12 {
		v := &visitor{all, rand.New(rand.NewPCG(8, uint64(i))), &wrong, &visits}
		wait.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-stop:
					return
				default:
					v.live(fmt.Sprintf("user%d-%d", i, n%50), stop)
				}
			}
		})
	}
	wait.Go(func() { inject(proxies, stop, &faults) })
	held := hold(t, admin, lasts)
	close(stop)
	wait.Wait()
	t.Logf("L08: %v, %d requests, %d faults, %d wrong answers", lasts, visits.Load(), faults.Load(), wrong.Load())
	assert.Zero(t, wrong.Load())
	assert.Positive(t, visits.Load())
	if lasts >= 10*time.Minute { // in a shorter soak the noise of the faults is larger
		for name, s := range held {
			t.Logf("L08: slope of %s %+.1f %% in 10 min", name, 100*s.slope())
			assert.LessOrEqual(t, s.slope(), 0.01, name)
		}
	}
	for _, r := range all {
		require.NoError(t, r.Shutdown(t.Context()))
	}
	requireWhole(t, admin)
}

// hold samples what this process and the server hold. It skips the first fifth of the time.
func hold(t *testing.T, admin *sql.DB, lasts time.Duration) map[string]*series {
	heaps, goroutines, conns := &series{}, &series{}, &series{}
	began, collected := time.Now(), time.Time{}
	for time.Since(began) < lasts {
		<-time.After(250 * time.Millisecond) // faults make both values jump; many samples separate a slope from noise
		if time.Since(began) < lasts/5 {
			continue // warm-up
		}
		goroutines.add(time.Since(began), runtime.NumGoroutine())
		conns.add(time.Since(began), one[int](t, admin, "SELECT count(*) FROM pg_stat_activity"))
		if time.Since(collected) > lasts/200 { // each sample of the heap costs a garbage collection
			heaps.add(time.Since(began), int(heap()))
			collected = time.Now()
		}
	}
	return map[string]*series{"heap": heaps, "goroutines": goroutines, "connections": conns}
}

// requireWhole looks for rows that no committed state may contain (invariants I5 and I23).
func requireWhole(t *testing.T, admin *sql.DB) {
	t.Helper()
	requireNoDeadlocks(t, admin)
	assert.Zero(t, one[int](t, admin, "SELECT count(*) FROM user_sessions WHERE last_activity > coalesce(logout_at, "+
		"clock_timestamp())"), "I5")
	assert.Zero(t, one[int](t, admin, `SELECT count(*) FROM user_presence AS p FULL JOIN
		(SELECT DISTINCT user_id FROM user_sessions WHERE logout_at IS NULL) AS l USING (user_id)
		WHERE p.user_id IS NULL OR l.user_id IS NULL`), "I23")
}

// inject breaks a proxy's connections, and heals them before the grace of the caches ends.
func inject(proxies []*pgtest.Proxy, stop <-chan struct{}, n *atomic.Int64) {
	for {
		p := proxies[rand.IntN(len(proxies))]
		heal := func() {}
		switch rand.IntN(3) {
		case 0:
			p.Cut()
		case 1:
			p.Refuse(true)
			p.Cut()
			heal = func() { p.Refuse(false) }
		case 2:
			p.Swallow(true)
			heal = func() { p.Swallow(false); p.Cut() }
		}
		n.Add(1)
		pause := func(d time.Duration) bool {
			select {
			case <-stop:
				return false
			case <-time.After(d):
				return true
			}
		}
		on := pause(time.Duration(rand.IntN(800)) * time.Millisecond)
		heal()
		if !on || !pause(time.Duration(rand.IntN(1000))*time.Millisecond) {
			return
		}
	}
}
