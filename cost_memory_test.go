package sessiontrack

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"runtime"
	"strings"
	"testing"
	"time"
	"unsafe"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// heap is what is reachable now.
func heap() uint64 {
	runtime.GC()
	runtime.GC() // what has finalizers or is weakly held goes with the second
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// TestCachedSessionsFitInMemory fills caches of several sizes, because a map's load
// depends on it: a sixteenth of the shards as they are when all are full. Users have
// their own strings, devices and places are shared.
func TestCachedSessionsFitInMemory(t *testing.T) {
	for _, size := range []int{1_000_000, 700_000} {
		before := heap()
		c := newCache(size)
		started := time.Now()
		for i := range size / 16 {
			h := newHandle()
			h[0] &= 15
			r := Record{Session: Session{
				Serial: int64(i), ID: h.id(), UserID: fmt.Sprintf("user-%09d", i),
				Address: netip.AddrFrom4([4]byte{192, 0, byte(i >> 8), byte(i)}), LoginAddress: netip.AddrFrom4([4]byte{192, 0, byte(i >> 8), byte(i)}),
				AddressSource: "peer", LoginAddressSource: "peer",
				UserAgent: fmt.Sprintf("Mozilla/5.0 (version %d)", i%500), Device: Device{Type: DeviceMobile},
				LoginAt: started, LastActivity: started, ExpiresAt: started.Add(time.Hour),
			}}
			e, ok := newEntry(&r, 0)
			assert.True(t, ok)
			c.put(e, 0)
		}
		each := float64(heap()-before) / float64(c.len())
		t.Logf("a sixteenth of %d sessions: %d, entries of %d bytes: %.0f bytes of heap each", size, c.len(), unsafe.Sizeof(entry{}), each)
		assert.LessOrEqual(t, each, 256.0, "%d sessions", size)
		assert.Greater(t, c.len(), size/16*97/100, "shards fill evenly")
		runtime.KeepAlive(c)
	}
}

// spent is what one call of f allocates on the average.
func spent(n int, f func(i int)) (allocs, bytes float64) {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for i := range n {
		f(i)
	}
	runtime.ReadMemStats(&after)
	return float64(after.Mallocs-before.Mallocs) / float64(n), float64(after.TotalAlloc-before.TotalAlloc) / float64(n)
}

// TestStartIsCheap leaves out the user-agent parser, which is made in the background
// and shared by all Trackers of the process.
func TestStartIsCheap(t *testing.T) {
	store := NewMemoryStore()
	defaultClassifier().warm(t.Context())
	best := time.Hour
	_, bytes := spent(5, func(int) {
		began := time.Now()
		tracker, err := New(store, nil)
		require.NoError(t, err)
		start(t, tracker)
		best = min(best, time.Since(began))
		require.NoError(t, tracker.Shutdown(t.Context()))
	})
	t.Logf("start: %v, the fastest of five, %.0f bytes", best, bytes)
	assert.LessOrEqual(t, bytes, float64(1<<20))
}

// TestHostileRequestsCostNoMore compares what hostile requests allocate, and ask of the
// store, with the same requests as honest clients send them.
func TestHostileRequestsCostNoMore(t *testing.T) {
	defaultClassifier().warm(t.Context()) // else its making, in the background, is counted
	identifier, err := NewJWTIdentifier(JWTOptions{Secret: hotSecret})
	require.NoError(t, err)
	f := newFixture(t, &Options{Cookie: &CookieOptions{}, SampleInterval: -1, CleanupInterval: -1}).started(t)
	byJWT := newFixture(t, &Options{Identifier: identifier, SampleInterval: -1, CleanupInterval: -1}).started(t)
	_, token := f.login(t, "1")
	refused := newToken().Reveal()
	megabyte, agent := strings.Repeat("a", 1<<20), "Mozilla/5.0 "+strings.Repeat("(x; ", 225_000)
	for name, test := range map[string]struct {
		handler         http.Handler
		normal, hostile []string
	}{
		"a token of 1 MB":              {f.handler, []string{headerName, refused}, []string{headerName, megabyte}},
		"a cookie of 1 MB":             {f.handler, []string{"Cookie", "__Host-session=" + refused}, []string{"Cookie", "__Host-session=" + megabyte}},
		"a thousand cookies":           {f.handler, []string{"Cookie", "__Host-session=" + refused}, []string{"Cookie", strings.Repeat("__Host-session=x; ", 1000)}},
		"a user agent of 900 KB":       {f.handler, []string{headerName, token.Reveal()}, []string{headerName, token.Reveal(), "User-Agent", agent}},
		"a bearer of 1 MB":             {byJWT.handler, []string{"Authorization", "Bearer a.b.c"}, []string{"Authorization", "Bearer " + megabyte}},
		"a bearer of a thousand parts": {byJWT.handler, []string{"Authorization", "Bearer a.b.c"}, []string{"Authorization", "Bearer " + strings.Repeat("a.", 4000)}},
	} {
		cost := func(headers []string) (allocs, bytes float64) {
			r := request("GET", "/", headers...)
			test.handler.ServeHTTP(httptest.NewRecorder(), r)
			return spent(200, func(int) { test.handler.ServeHTTP(httptest.NewRecorder(), r) })
		}
		allocs, bytes := cost(test.normal)
		hostileAllocs, hostileBytes := cost(test.hostile)
		t.Logf("%s: %.1f allocations of %.0f bytes; normal %.1f of %.0f", name, hostileAllocs, hostileBytes, allocs, bytes)
		assert.LessOrEqual(t, hostileAllocs, 2*allocs, name)
		assert.LessOrEqual(t, hostileBytes, 2*bytes, name)
	}
}

// TestSignInsWithHostileAgentsCostNoMore is about what is looked at when a session
// begins.
func TestSignInsWithHostileAgentsCostNoMore(t *testing.T) {
	f := newFixture(t, &Options{SampleInterval: -1, CleanupInterval: -1})
	login := func(agent string) float64 {
		_, bytes := spent(200, func(int) { f.login(t, "1", "User-Agent", agent) })
		return bytes
	}
	login("warm")
	normal := login("Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0 Safari/537.36")
	assert.LessOrEqual(t, login("Mozilla/5.0 "+strings.Repeat("(x; ", 225_000)), 2*normal+512, "512 bytes of it are kept")
}

// TestRandomHandlesLeaveNothingBehind sends more handles that nobody has minted than
// anything remembers.
func TestRandomHandlesLeaveNothingBehind(t *testing.T) {
	f := newFixture(t, &Options{SampleInterval: -1, CleanupInterval: -1}).started(t)
	const n = 50_000
	send := func(int) {
		r := &http.Request{Method: http.MethodGet, URL: mustURL("/"), Header: http.Header{headerName: {newToken().Reveal()}}}
		f.handler.ServeHTTP(httptest.NewRecorder(), r)
	}
	for range 2 * maxUnknown {
		send(0)
	}
	f.store.gets.Store(0)
	before := heap()
	for i := range n {
		send(i)
	}
	assert.LessOrEqual(t, f.store.gets.Load(), int64(n), "one read each, as a cold session costs")
	assert.Less(t, int64(heap())-int64(before), int64(2<<20), "what is remembered is bounded")
	assert.Empty(t, f.near.flights.pending)
	assert.Equal(t, 0, f.near.cache.len())
}
