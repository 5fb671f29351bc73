package faults

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	st "github.com/sessiontrack/sessiontrack"
	"github.com/sessiontrack/sessiontrack/internal/pgtest"
)

// TestF14AbortPassesThrough: a panic of the application's handler reaches the server. So does
// http.ErrAbortHandler from any function of the host, because it means "close the connection".
func TestF14AbortPassesThrough(t *testing.T) {
	t.Parallel()
	abort := func(*http.Request) bool { panic(http.ErrAbortHandler) }
	for name, test := range map[string]struct {
		opts    st.Options
		handler any // the value that the handler panics with
		want    any
	}{
		"handler aborts": {st.Options{}, http.ErrAbortHandler, http.ErrAbortHandler},
		"handler panics": {st.Options{}, "boom", "boom"},
		"skip aborts":    {st.Options{Skip: abort}, nil, http.ErrAbortHandler},
		"identifier aborts": {st.Options{SessionAlone: true, Identifier: st.IdentifierFunc(func(*http.Request) (st.Identity,
			error) {
			panic(http.ErrAbortHandler)
		})}, nil, http.ErrAbortHandler},
	} {
		t.Run(name, func(t *testing.T) {
			opts := background(test.opts)
			r := over(t, st.NewMemoryStore(), opts).start(t)
			handler := r.Middleware(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
				if test.handler != nil {
					panic(test.handler)
				}
			}))
			plain := over(t, r.store, background(st.Options{}))
			_, token := plain.login(t, "1")
			for range 3 {
				require.PanicsWithValue(t, test.want, func() {
					handler.ServeHTTP(httptest.NewRecorder(), request("GET", "/", "X-Session-Id", token))
				})
			}
			assert.Zero(t, r.Counters()["callback.panics"])
			require.NoError(t, r.Shutdown(t.Context()), "no lock is held")
		})
	}
}

// TestC15HooksCallBack calls each kind of Tracker method from inside a hook.
func TestC15HooksCallBack(t *testing.T) {
	t.Parallel()
	var r *replica
	done := make(chan error, 4)
	opts := background(st.Options{})
	opts.Hooks.Login = func(ctx context.Context, s st.Session) {
		_, err := r.List(ctx, st.Query{UserID: s.UserID})
		done <- err
		_, err = r.End(ctx, st.IDs(s.ID), byAdmin)
		done <- err
	}
	opts.Hooks.End = func(ctx context.Context, s st.Session) {
		_, err := r.OnlineStats(ctx)
		done <- err
		done <- r.Shutdown(ctx)
	}
	r = over(t, storeOver(t, migrated(t)), opts).start(t)
	r.login(t, "1")
	began := time.Now()
	for range cap(done) {
		select {
		case err := <-done:
			require.NoError(t, err)
		case <-time.After(patience):
			t.Fatal("a hook that calls the Tracker never returns")
		}
	}
	timely(t, time.Since(began), time.Second, "C15: List, End, OnlineStats and Shutdown from hooks")
}

// TestC16EventsInOrder subscribes at three replicas while sessions begin and end at each of them.
// Each session's login comes before its logout, and each comes at most once. An event is missing
// only where a snapshot replaces it.
func TestC16EventsInOrder(t *testing.T) {
	t.Parallel()
	dsn := pgtest.DSN(t)
	all := replicasAt(t, dsn, 3, background(st.Options{}))
	n := scaled(300, 10_000)
	ctx, cancel := context.WithTimeout(t.Context(), scaled(2*patience, time.Hour))
	defer cancel()
	var over atomic.Bool
	type watched struct{ logins, logouts, gaps, wrong int }
	told := make([]watched, len(all))
	watchers := make([]*st.Subscription, len(all))
	for i, r := range all {
		var err error
		watchers[i], err = r.Subscribe(ctx, st.SubscribeOptions{Types: []st.EventType{st.EventLogin, st.EventLogout}})
		require.NoError(t, err)
	}
	// A subscription starts at the replica's estimate of the store's time. The estimate may be off
	// by half the duration of a slow answer, so the sessions below begin one second later.
	<-time.After(time.Second)
	together(len(all)+1, func(i int) {
		if i == len(all) {
			for start := 0; start < n; start += 100 { // stay below the rate at which events become one snapshot
				ids, _ := all[start/100%3].logins(t, 100, func(j int) string { return fmt.Sprint("user", j) })
				_, err := all[(start/100+1)%3].End(ctx, st.IDs(ids...), byAdmin)
				assert.NoError(t, err)
				<-time.After(scaled(0, 100*time.Millisecond))
			}
			over.Store(true)
			return
		}
		state := map[st.SessionID]st.EventType{}
		for told[i].logouts < n && told[i].gaps < 2 {
			e, err := watchers[i].Next(ctx)
			if err != nil {
				return
			}
			switch before := state[e.Session.ID]; {
			case e.Type == st.EventSnapshot:
				told[i].gaps++ // the first snapshot is the start
			case e.Type == st.EventLogin && before == "":
				told[i].logins++
				state[e.Session.ID] = e.Type
			case e.Type == st.EventLogout && before == st.EventLogin:
				told[i].logouts++
				state[e.Session.ID] = e.Type
			default:
				told[i].wrong++
			}
		}
	})
	for i, w := range told {
		assert.Zero(t, w.wrong, "replica %d", i)
		if w.gaps == 1 {
			assert.Equal(t, watched{n, n, 1, 0}, w, "replica %d", i)
		}
	}
	t.Logf("C16: %d sessions, events at three replicas: %+v", n, told)
}

// TestF16ShutdownWhileReconnecting shuts a replica and its listener down during an outage of the
// database. Both stop in time, and no goroutine stays behind.
func TestF16ShutdownWhileReconnecting(t *testing.T) {
	t.Parallel()
	cluster := pgtest.NewCluster(t)
	r := replicasAt(t, cluster.DSN(), 1, background(st.Options{}))[0]
	l := listen(t, r, cluster.DSN())
	r.login(t, "1")
	cluster.Stop(pgtest.Immediate)
	eventually(t, patience, "listener and feed report the outage", func() bool {
		return !l.Healthy() && r.Counters()["feed.failed"] > 0
	})
	began := time.Now()
	require.NoError(t, r.Shutdown(t.Context()), "there is nothing to write")
	require.NoError(t, l.Shutdown(t.Context()))
	timely(t, time.Since(began), 5*time.Second, "F16: shut down during an outage")
}
