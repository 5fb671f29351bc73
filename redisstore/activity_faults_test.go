package redisstore_test

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/rueidis"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sessiontrack/sessiontrack"
	"github.com/sessiontrack/sessiontrack/internal/pgtest"
	"github.com/sessiontrack/sessiontrack/internal/redistest"
	"github.com/sessiontrack/sessiontrack/redisstore"
)

// load is two replicas whose sessions are used all the time, one of which also ends some.
type load struct {
	t        *testing.T
	durable  *sessiontrack.MemoryStore
	replicas [2]sessiontrack.Store
	stop     atomic.Bool
	running  sync.WaitGroup

	mu     sync.Mutex
	used   []sessiontrack.Session
	over   []sessiontrack.Session
	pause  time.Duration // the longest time without a touch that was recorded
	latest time.Time
}

const (
	loadUsers  = 60
	loadFollow = time.Minute
	// loadIdle is longer than 2 × loadFollow and the slack, as IdleTimeout should be.
	loadIdle = 3 * time.Minute
)

// startLoad begins to use sessions. Each client has a short timeout, so that a call meets
// the fault and goes on.
func startLoad(t *testing.T, client func() rueidis.Client) *load {
	t.Helper()
	l := &load{t: t, durable: sessiontrack.NewMemoryStore(), latest: time.Now()}
	for i := range l.replicas {
		l.replicas[i] = activityOver(t, l.durable, client(), func(o *redisstore.ActivityOptions) {
			o.Prefix, o.Follow, o.Timeout = "load", loadFollow, time.Second
		})
	}
	for i := range loadUsers {
		l.used = append(l.used, signIn(t, l.replicas[0], fmt.Sprintf("user-%02d", i)))
	}
	for i := range l.replicas {
		l.running.Go(func() { l.use(i) })
	}
	l.running.Go(l.clean)
	return l
}

func clientsOf(t *testing.T, cluster *redistest.Cluster) func() rueidis.Client {
	return func() rueidis.Client { return dial(t, cluster.Addrs()...) }
}

// use touches and reads one session after the other.
func (l *load) use(replica int) {
	store := l.replicas[replica]
	for k := replica; !l.stop.Load(); k++ {
		l.mu.Lock()
		s := l.used[k%len(l.used)]
		l.mu.Unlock()
		alive, err := store.Touch(l.t.Context(), []sessiontrack.TouchRecord{{ID: s.ID, At: time.Now()}}, 0)
		if err == nil {
			l.recorded()
			assert.True(l.t, len(alive) == 1 || l.ended(s.ID), "a session in use is alive")
		} else if !assert.ErrorIs(l.t, err, sessiontrack.ErrUnavailable) {
			return
		}
		got, err := store.Get(l.t.Context(), s.ID)
		if !assert.NoError(l.t, err, "requests go on") ||
			!assert.True(l.t, !got.Ended() || l.ended(s.ID), "nobody is signed out") ||
			!assert.Less(l.t, time.Since(got.LastActivity), loadFollow, "no activity is forgotten beyond Follow") {
			return
		}
	}
}

// recorded notes that a touch was recorded.
func (l *load) recorded() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.pause = max(l.pause, time.Since(l.latest))
	l.latest = time.Now()
}

func (l *load) ended(id sessiontrack.SessionID) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, s := range l.over {
		if s.ID == id {
			return true
		}
	}
	return false
}

// clean ends what is idle, which is nobody.
func (l *load) clean() {
	for !l.stop.Load() {
		ended, err := l.replicas[1].End(l.t.Context(), sessiontrack.PastIdle(loadIdle, 0).Walk(0, 1000),
			sessiontrack.Ending{Reason: sessiontrack.ReasonIdle})
		if err != nil && !assert.ErrorIs(l.t, err, sessiontrack.ErrUnavailable) ||
			!assert.Empty(l.t, ended.Sessions, "no session in use is called idle") {
			return
		}
	}
}

// end ends the session of one user, and asks the other replica.
func (l *load) end() {
	l.t.Helper()
	l.mu.Lock()
	s := l.used[0]
	l.used, l.over = l.used[1:], append(l.over, s)
	l.mu.Unlock()
	ended, err := l.replicas[0].End(l.t.Context(), sessiontrack.IDs(s.ID), byAdmin)
	require.NoError(l.t, err, "ends do not wait for redis")
	require.Len(l.t, ended.Sessions, 1)
	got, err := l.replicas[1].Get(l.t.Context(), s.ID)
	require.NoError(l.t, err)
	require.True(l.t, got.Ended(), "an end is known at once")
}

// recover waits until presence is right again, and ends the load.
func (l *load) recover(within time.Duration) {
	l.t.Helper()
	began, users := time.Now(), loadUsers-len(l.over)
	require.Eventually(l.t, func() bool {
		for _, store := range l.replicas { // as each Tracker does every second
			_, err := store.(sessiontrack.EndedFeed).EndedSince(l.t.Context(), began.Add(-time.Minute), 1000)
			require.NoError(l.t, err)
		}
		counts, _, err := l.replicas[1].(sessiontrack.OnlineReader).CountOnline(l.t.Context(), []time.Duration{time.Hour})
		return err == nil && counts[0] == users
	}, within, 10*time.Millisecond, "presence is right again")
	right := time.Since(began)
	l.stop.Store(true)
	l.running.Wait()
	l.t.Logf("presence was right %v after the fault; the longest pause without a recorded touch was %v",
		right.Round(time.Millisecond), l.pause.Round(time.Millisecond))
	for _, s := range l.over {
		for _, store := range l.replicas {
			alive, err := store.Touch(l.t.Context(), []sessiontrack.TouchRecord{{ID: s.ID, At: time.Now()}}, 0)
			require.NoError(l.t, err)
			require.Empty(l.t, alive, "an ended session is not alive")
		}
	}
}

// masterOf returns the place among the nodes of the master of a bucket's slot.
func masterOf(t *testing.T, cluster *redistest.Cluster, slot int64) int {
	t.Helper()
	for i, n := range cluster.Nodes {
		client, err := rueidis.NewClient(rueidis.ClientOption{
			InitAddress: []string{n.Addr()}, DisableCache: true, ForceSingleClient: true,
		})
		require.NoError(t, err)
		n, err := client.Do(t.Context(), client.B().Arbitrary("CLUSTER", "COUNTKEYSINSLOT").
			Args(fmt.Sprint(slot)).Build()).AsInt64()
		role, err2 := client.Do(t.Context(), client.B().Role().Build()).ToArray()
		client.Close()
		require.NoError(t, errors.Join(err, err2))
		if kind, _ := role[0].ToString(); n > 0 && kind == "master" {
			return i
		}
	}
	require.Fail(t, "no master has the slot")
	return 0
}

func slotOf(t *testing.T, client rueidis.Client, key string) int64 {
	t.Helper()
	slot, err := client.Do(t.Context(), client.B().ClusterKeyslot().Key(key).Build()).AsInt64()
	require.NoError(t, err)
	return slot
}

// TestActivitySurvivesAMaster kills and freezes masters of a cluster under load.
func TestActivitySurvivesAMaster(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]func(*redistest.Server) (after func()){
		"killed": func(s *redistest.Server) func() { s.Kill(); return func() {} },
		"frozen": func(s *redistest.Server) func() { s.Freeze(); return s.Thaw },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cluster := redistest.StartCluster(t, 1)
			l := startLoad(t, clientsOf(t, cluster))
			l.end()
			master := masterOf(t, cluster, slotOf(t, dial(t, cluster.Addrs()...), "load:{8.0}:act"))
			after := fault(cluster.Nodes[master])
			l.end()
			l.recover(time.Minute)
			after()
		})
	}
}

// TestActivityWithAFrozenReplica freezes a replica: nobody waits for it.
func TestActivityWithAFrozenReplica(t *testing.T) {
	t.Parallel()
	cluster := redistest.StartCluster(t, 1)
	l := startLoad(t, clientsOf(t, cluster))
	cluster.Nodes[5].Freeze()
	l.end()
	l.recover(time.Minute)
	cluster.Nodes[5].Thaw()
}

// TestActivityMovesWithItsSlot moves a bucket to another node, key by key, under load, and
// flushes the scripts of all nodes.
func TestActivityMovesWithItsSlot(t *testing.T) {
	t.Parallel()
	cluster := redistest.StartCluster(t, 0)
	l := startLoad(t, clientsOf(t, cluster))
	client := dial(t, cluster.Addrs()...)
	for bucket := range 8 {
		slot := slotOf(t, client, fmt.Sprintf("load:{8.%d}:act", bucket))
		from := masterOf(t, cluster, slot)
		moveSlot(t, cluster, slot, from, (from+1)%3)
	}
	for _, n := range cluster.Nodes {
		node := dial1(t, n.Addr())
		require.NoError(t, node.Do(t.Context(), node.B().ScriptFlush().Build()).Error())
	}
	l.end()
	l.recover(time.Minute)
}

func dial1(t *testing.T, addr string) rueidis.Client {
	t.Helper()
	client, err := rueidis.NewClient(rueidis.ClientOption{
		InitAddress: []string{addr}, DisableCache: true, ForceSingleClient: true,
	})
	require.NoError(t, err)
	t.Cleanup(client.Close)
	return client
}

// moveSlot does what redis-cli --cluster reshard does with one slot.
func moveSlot(t *testing.T, cluster *redistest.Cluster, slot int64, from, to int) {
	t.Helper()
	source, target := dial1(t, cluster.Nodes[from].Addr()), dial1(t, cluster.Nodes[to].Addr())
	do := func(client rueidis.Client, words ...string) rueidis.RedisResult {
		return client.Do(t.Context(), client.B().Arbitrary(words...).Build())
	}
	name := func(client rueidis.Client) string {
		id, err := do(client, "CLUSTER", "MYID").ToString()
		require.NoError(t, err)
		return id
	}
	number := fmt.Sprint(slot)
	require.NoError(t, do(target, "CLUSTER", "SETSLOT", number, "IMPORTING", name(source)).Error())
	require.NoError(t, do(source, "CLUSTER", "SETSLOT", number, "MIGRATING", name(target)).Error())
	host, port, _ := strings.Cut(cluster.Nodes[to].Addr(), ":")
	for {
		keys, err := do(source, "CLUSTER", "GETKEYSINSLOT", number, "1").AsStrSlice()
		require.NoError(t, err)
		if len(keys) == 0 {
			break
		}
		require.NoError(t, do(source, "MIGRATE", host, port, keys[0], "0", "5000").Error())
	}
	for _, client := range []rueidis.Client{target, source} {
		require.NoError(t, do(client, "CLUSTER", "SETSLOT", number, "NODE", name(target)).Error())
	}
}

// TestActivityWithSentinel kills the master that a sentinel watches.
func TestActivityWithSentinel(t *testing.T) {
	t.Parallel()
	watched := redistest.StartSentinel(t)
	l := startLoad(t, func() rueidis.Client {
		client, err := rueidis.NewClient(rueidis.ClientOption{
			InitAddress: []string{watched.Addr}, DisableCache: true,
			Sentinel: rueidis.SentinelOption{MasterSet: redistest.SentinelMaster},
		})
		require.NoError(t, err)
		t.Cleanup(client.Close)
		return client
	})
	require.NoError(t, check(t, l.replicas[0]))
	l.end()
	watched.Master.Kill()
	l.end()
	l.recover(time.Minute)
}

// TestActivityBehindAPartition cuts one of two replicas off from Redis: first its answers
// are lost, then its connections. What it alone sees in that time, the other one knows from
// the durable store.
func TestActivityBehindAPartition(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	proxy := pgtest.NewProxy(t, server.Addr())
	addrs := []string{server.Addr(), proxy.Addr()}
	l := startLoad(t, func() rueidis.Client {
		client := dial(t, addrs[0])
		addrs = addrs[1:]
		return client
	})
	l.end()
	alone := signIn(t, l.replicas[1], "user-alone")
	for _, fault := range []func(){
		func() { proxy.Swallow(true) },
		func() { proxy.Refuse(true); proxy.Swallow(false); proxy.Cut() },
	} {
		fault()
		require.Eventually(t, func() bool {
			return use(t.Context(), l.replicas[1], alone, time.Now()) != nil
		}, time.Minute, 10*time.Millisecond, "the replica notices")
		l.end()
		there, err := l.replicas[0].Get(t.Context(), alone.ID)
		require.NoError(t, err)
		require.Less(t, time.Since(there.LastActivity), loadFollow)
	}
	_, err := l.replicas[0].End(t.Context(), sessiontrack.IDs(alone.ID), byAdmin)
	require.NoError(t, err)
	proxy.Refuse(false)
	l.recover(time.Minute)
}
