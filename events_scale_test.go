package sessiontrack

import (
	"context"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect/pgdialect"

	"github.com/sessiontrack/sessiontrack/internal/pgtest"
)

// quiet drops what is logged.
var quiet = slog.New(slog.DiscardHandler)

// readOnline reads until the end, and returns how many came online.
func readOnline(sub *Subscription) (n int) {
	for {
		e, err := sub.Next(context.Background())
		switch {
		case err != nil:
			return n
		case e.Type == EventOnline:
			n++
		}
	}
}

// TestManyReadersSomeOfThemStalled: 10,000 readers of whom 1,000 never read, 1,000
// events a second for two of them. Publishing waits for nobody,
// the stalled are gone in ten seconds, and the others miss nothing.
func TestManyReadersSomeOfThemStalled(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const readers, stalled, seconds, burst = 10_000, 1_000, 12, 250
		f := newFixture(t, nil).started(t)
		f.opts.Logger = quiet
		const bursts, full = 2 * 4, 2
		var wg sync.WaitGroup
		var missed, told atomic.Int64
		for i := range readers {
			// One in a hundred of those that read sees all; each of the others one user.
			w := SubscribeOptions{Types: []EventType{EventOnline}, Users: []string{fmt.Sprint(i % burst)}}
			want := bursts
			if i%100 == 0 {
				w.Users, want = nil, bursts*burst
			}
			sub, err := f.Subscribe(t.Context(), w)
			require.NoError(t, err)
			if i >= readers-stalled {
				continue
			}
			wg.Go(func() {
				n := readOnline(sub)
				missed.Add(int64(want - n))
				told.Add(int64(n))
			})
		}
		synctest.Wait()
		events := make([]Event, burst)
		for i := range events {
			events[i] = Event{Type: EventOnline, User: OnlineUser{UserID: fmt.Sprint(i)}}
		}
		for second := range seconds {
			for range 4 {
				if second >= full { // enough has been shown: the stalled have something to read
					time.Sleep(time.Second / 4)
					continue
				}
				began := time.Now()
				f.events.hub.publish(events, nil)
				require.Zero(t, time.Since(began), "publishing never waits")
				time.Sleep(time.Second / 4)
			}
			if second == 10 {
				require.EqualValues(t, stalled, f.Counters()["event.readers_stalled"], "gone within ten seconds")
			}
		}
		shutDown(t, f)
		wg.Wait()
		assert.Zero(t, missed.Load())
		assert.Positive(t, told.Load())
		assert.Empty(t, f.events.hub.list())
	})
}

// TestOrderOfEvents has three replicas make and end sessions at random, with feeds that
// overlap, and holds what each of them tells against the rule: one login, then one
// logout, nothing twice and nothing after it.
func TestOrderOfEvents(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := newFaultStore()
		var all []*fixture
		var readers []*reader
		for range 3 {
			f := replica(t, store, nil).started(t)
			all = append(all, f)
			readers = append(readers, f.watch(t, SubscribeOptions{Types: []EventType{EventLogin, EventLogout}}))
		}
		time.Sleep(time.Second)
		var live []SessionID
		const sessions = 3000
		for i := range sessions {
			s, _ := all[i%3].login(t, fmt.Sprint(i%700))
			live = append(live, s.ID)
			if i%2 == 1 {
				at := (i * 7919) % len(live)
				_, err := all[(i+1)%3].End(t.Context(), IDs(live[at]), Ending{Reason: ReasonUser})
				require.NoError(t, err)
				live = slices.Delete(live, at, at+1)
			}
			time.Sleep(time.Duration(i%7) * time.Millisecond)
		}
		time.Sleep(10 * time.Second)
		synctest.Wait()
		for i, r := range readers {
			state := map[SessionID]EventType{}
			for len(r.events) > 0 {
				e := <-r.events
				switch e.Type {
				case EventLogin:
					require.Empty(t, state[e.Session.ID], "replica %d: login first, and once", i)
					require.False(t, e.Session.Ended())
				case EventLogout:
					require.Equal(t, EventLogin, state[e.Session.ID], "replica %d: logout after login, and once", i)
					require.Equal(t, ReasonUser, e.Session.EndReason)
				default:
					require.Equal(t, SnapshotStart, e.Reason)
					continue
				}
				state[e.Session.ID] = e.Type
			}
			require.Len(t, state, sessions, "replica %d: nothing is missing", i)
		}
		shutDown(t, all...)
	})
}

// TestEventsOverPostgres: what happens at one of three replicas over one database
// reaches a reader at another within two seconds, at one statement a reading.
func TestEventsOverPostgres(t *testing.T) {
	t.Parallel()
	db := pgtest.Open(t)
	stores := make([]*BunStore, 3)
	trackers := make([]*Tracker, 3)
	for i := range stores {
		var err error
		stores[i], err = NewBunStore(bun.NewDB(db, pgdialect.New()), nil)
		require.NoError(t, err)
		require.NoError(t, stores[i].Migrate(t.Context()))
		trackers[i], err = New(stores[i], &Options{Logger: quiet})
		require.NoError(t, err)
		require.NoError(t, trackers[i].Start(context.Background()))
		t.Cleanup(func() { require.NoError(t, trackers[i].Shutdown(context.Background())) })
	}
	sub, err := trackers[2].Subscribe(t.Context(), SubscribeOptions{Types: []EventType{EventLogin, EventLogout, EventOnline}})
	require.NoError(t, err)
	next := func(want EventType) (Event, time.Duration) {
		t.Helper()
		began := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		e, err := sub.Next(ctx)
		require.NoError(t, err)
		require.Equal(t, want, e.Type)
		return e, time.Since(began)
	}
	next(EventSnapshot)
	var slowest time.Duration
	for i := range 2 {
		user := fmt.Sprint(i)
		s, _, err := trackers[0].Login(httptest.NewRecorder(), request("POST", "/login"), user)
		require.NoError(t, err)
		e, took := next(EventLogin)
		slowest = max(slowest, took)
		require.Equal(t, s.ID, e.Session.ID)
		require.Equal(t, s.LoginAt, e.Session.LoginAt)
		e, took = next(EventOnline)
		slowest = max(slowest, took)
		require.Equal(t, OnlineUser{UserID: user, LastActivity: s.LoginAt, Sessions: 1}, e.User)
		_, err = trackers[1].End(t.Context(), IDs(s.ID), Ending{Reason: ReasonAdmin, Actor: "7"})
		require.NoError(t, err)
		e, took = next(EventLogout)
		slowest = max(slowest, took)
		ended, err := trackers[0].Get(t.Context(), s.ID)
		require.NoError(t, err)
		require.Equal(t, ended, e.Session)
	}
	if slowest > 2*time.Second {
		t.Errorf("an event took %v, want at most 2s", slowest)
	}
	t.Logf("slowest event %v", slowest)
}

// TestFeedCostsOneStatement: a replica that is watched asks one statement a reading,
// as does one that is not; and begun sessions are asked for only while it is.
func TestFeedCostsOneStatement(t *testing.T) {
	t.Parallel()
	store := newBunStore(t)
	seen := watch(store)
	tracker, err := New(store, &Options{Logger: quiet})
	require.NoError(t, err)
	prepare, err := tracker.probeStore(t.Context())
	require.NoError(t, err)
	prepare()
	seen.take()
	require.NoError(t, tracker.near.poll(t.Context()))
	idle := seen.take()
	require.Len(t, idle, 1)
	require.NotContains(t, idle[0], "login_at >")
	tracker.events.hub.request.Store(&feedRequest{since: time.Now().Add(-time.Minute), ask: []string{"1", "2"}})
	require.NoError(t, tracker.near.poll(t.Context()))
	watched := seen.take()
	require.Len(t, watched, 1)
	require.Contains(t, watched[0], "login_at")
	require.Contains(t, watched[0], "user_presence")

	fill(t, store, 20_000, 5_000)
	var plan []string
	require.NoError(t, store.db.NewRaw("EXPLAIN "+strings.ReplaceAll(watched[0], "?", "\\?")).Scan(t.Context(), &plan))
	text := strings.Join(plan, "\n")
	for _, index := range []string{"user_sessions_logout_at", "user_presence_last_activity"} {
		require.Contains(t, text, index)
	}
	require.NotContains(t, text, "Seq Scan on user_sessions", text)
}
