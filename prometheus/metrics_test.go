package prometheus_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	client "github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/prometheus/client_golang/prometheus/testutil"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sessiontrack/sessiontrack"
	"github.com/sessiontrack/sessiontrack/prometheus"
)

// replica is a Tracker with its metrics, an application behind it, and /metrics.
type replica struct {
	*sessiontrack.Tracker
	app, metrics http.Handler
}

func newReplica(t *testing.T, store sessiontrack.Store, o sessiontrack.Options) *replica {
	t.Helper()
	metrics := prometheus.New()
	o.Observer = metrics.Observer().And(o.Observer)
	tracker, err := sessiontrack.New(store, &o)
	require.NoError(t, err)
	require.NoError(t, tracker.Start(t.Context()))
	t.Cleanup(func() { _ = tracker.Shutdown(context.Background()) })
	metrics.Watch(tracker)
	registry := client.NewRegistry()
	registry.MustRegister(metrics)
	return &replica{
		tracker,
		tracker.Middleware(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})),
		promhttp.HandlerFor(registry, promhttp.HandlerOpts{ErrorHandling: promhttp.HTTPErrorOnError}),
	}
}

// get makes a request with a token and returns the status.
func (r *replica) get(token sessiontrack.Token) int {
	request := httptest.NewRequest("GET", "/", nil)
	request.Header.Set("x-session-id", token.Reveal())
	w := httptest.NewRecorder()
	r.app.ServeHTTP(w, request)
	return w.Code
}

// text is what /metrics answers.
func (r *replica) text(t *testing.T) string {
	t.Helper()
	w := httptest.NewRecorder()
	r.metrics.ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	require.Equal(t, 200, w.Code, w.Body)
	return w.Body.String()
}

// families reads /metrics with Prometheus's own parser.
func (r *replica) families(t *testing.T) map[string]*dto.MetricFamily {
	t.Helper()
	parser := expfmt.NewTextParser(model.LegacyValidation)
	found, err := parser.TextToMetricFamilies(strings.NewReader(r.text(t)))
	require.NoError(t, err)
	return found
}

// value is the value of one series of a counter or a gauge, or the count of a histogram.
func value(t *testing.T, families map[string]*dto.MetricFamily, name string, labels ...string) float64 {
	t.Helper()
	require.Contains(t, families, name)
	for _, m := range families[name].Metric {
		if slices.Equal(labelsOf(m), labels) {
			return m.GetCounter().GetValue() + m.GetGauge().GetValue() + float64(m.GetHistogram().GetSampleCount())
		}
	}
	require.Fail(t, "no such series", "%s %v", name, labels)
	return 0
}

func labelsOf(m *dto.Metric) (labels []string) {
	for _, l := range m.Label {
		labels = append(labels, l.GetName()+"="+l.GetValue())
	}
	return labels
}

// series are the names and labels of all series, those of a histogram one by one.
func series(families map[string]*dto.MetricFamily) (all []string) {
	for name, family := range families {
		for _, m := range family.Metric {
			all = append(all, fmt.Sprint(name, labelsOf(m)))
			for _, bucket := range m.GetHistogram().GetBucket() {
				all = append(all, fmt.Sprint(name, labelsOf(m), bucket.GetUpperBound()))
			}
		}
	}
	slices.Sort(all)
	return all
}

// live has users sign in and out, an administrator end sessions, and credentials refused.
func live(t *testing.T, r *replica, users int) {
	t.Helper()
	for i := range users {
		user := fmt.Sprintf("user-%d", i)
		request := httptest.NewRequest("POST", "/login", nil)
		request.RemoteAddr = fmt.Sprintf("203.0.113.%d:4000", i%250)
		s, token, err := r.Login(httptest.NewRecorder(), request, user)
		require.NoError(t, err)
		require.Equal(t, 200, r.get(token))
		if i%3 == 0 {
			_, err = r.End(t.Context(), sessiontrack.IDs(s.ID), sessiontrack.Ending{Reason: "admin", Actor: "root"})
			require.NoError(t, err)
			require.Equal(t, 401, r.get(token))
		}
	}
	w := httptest.NewRecorder()
	r.AdminHandler(nil).ServeHTTP(w, httptest.NewRequest("POST", "/api/user-sessions/cleanup-expired", nil))
	require.Equal(t, 401, w.Code)
	time.Sleep(2 * time.Minute)
}

// TestMetricsAreBounded: however many users there are, the series are the same, and none of them
// names anybody.
func TestMetricsAreBounded(t *testing.T) {
	t.Parallel()
	var counted [2][]string
	for i, users := range []int{10, 500} {
		synctest.Test(t, func(t *testing.T) {
			r := newReplica(t, sessiontrack.NewMemoryStore(), sessiontrack.Options{})
			live(t, r, users)
			counted[i] = series(r.families(t))
			text := r.text(t)
			for _, secret := range []string{"user-", "203.0.113", "root"} {
				assert.NotContains(t, text, secret)
			}
		})
	}
	assert.Equal(t, counted[0], counted[1])
	t.Logf("%d series", len(counted[1]))
	assert.Less(t, len(counted[1]), 250)
}

// TestMetricsTellWhatHappened compares figures with what was done.
func TestMetricsTellWhatHappened(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newReplica(t, sessiontrack.NewMemoryStore(), sessiontrack.Options{})
		live(t, r, 30)
		found := r.families(t)
		for name, want := range map[string]float64{
			"sessiontrack_sessions_made_total": 30, "sessiontrack_sessions_ended_total": 10,
			"sessiontrack_cached_sessions": 30, "sessiontrack_cache_size": 100_096, "sessiontrack_touches_held": 0,
			"sessiontrack_active_sessions": 20, "sessiontrack_max_staleness_seconds": 5, "sessiontrack_feed_age_seconds": 0,
			"sessiontrack_panics_total": 0, "sessiontrack_streams": 0, "sessiontrack_end_learnt_seconds": 0,
		} {
			assert.InDelta(t, want, value(t, found, name), 1e-9, name)
		}
		assert.EqualValues(t, 30, value(t, found, "sessiontrack_requests_total", "outcome=tracked"))
		assert.EqualValues(t, 11, value(t, found, "sessiontrack_requests_total", "outcome=refused"))
		assert.EqualValues(t, 30, value(t, found, "sessiontrack_store_calls_total", "method=Create", "outcome=ok"))
		assert.EqualValues(t, 30, value(t, found, "sessiontrack_store_call_seconds", "method=Create"))
		assert.EqualValues(t, 10, value(t, found, "sessiontrack_store_calls_total", "method=End", "outcome=ok"))
		assert.EqualValues(t, 1,
			value(t, found, "sessiontrack_admin_actions_total", "action=cleanup", "outcome=unauthenticated"))
		assert.EqualValues(t, 1, value(t, found, "sessiontrack_health", "state=ok"))
		assert.EqualValues(t, 0, value(t, found, "sessiontrack_health", "state=away"))
		assert.EqualValues(t, 20, value(t, found, "sessiontrack_online_users", "window=online"))
	})
}

// TestEveryCounterIsAMetric: what the Tracker counts is collected, also what this package has no
// name of its own for.
func TestEveryCounterIsAMetric(t *testing.T) {
	t.Parallel()
	tracker, err := sessiontrack.New(sessiontrack.NewMemoryStore(), nil)
	require.NoError(t, err)
	metrics := prometheus.New()
	before := testutil.CollectAndCount(metrics)
	metrics.Watch(tracker)
	const gauges, health = 8, 3
	assert.Equal(t, before+len(tracker.Counters())+gauges+health, testutil.CollectAndCount(metrics))
	problems, err := testutil.CollectAndLint(metrics)
	require.NoError(t, err)
	assert.Empty(t, problems)
}

// awayStore has a feed that fails once it is away.
type awayStore struct {
	*sessiontrack.MemoryStore
	away atomic.Bool
}

func (s *awayStore) EndedSince(ctx context.Context, since time.Time, n int) (sessiontrack.EndedPage, error) {
	if s.away.Load() {
		return sessiontrack.EndedPage{}, errors.New("connection refused by db.example")
	}
	return s.MemoryStore.EndedSince(ctx, since, n)
}

// TestMetricsOfAnOutage: the state, the age of the feed and the outcome of calls say what is wrong.
func TestMetricsOfAnOutage(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := &awayStore{MemoryStore: sessiontrack.NewMemoryStore()}
		r := newReplica(t, store, sessiontrack.Options{})
		store.away.Store(true)
		time.Sleep(20 * time.Second)
		found := r.families(t)
		assert.EqualValues(t, 1, value(t, found, "sessiontrack_health", "state=away"))
		assert.EqualValues(t, 20, value(t, found, "sessiontrack_feed_age_seconds"))
		failed := value(t, found, "sessiontrack_store_calls_total", "method=EndedSince", "outcome=unavailable")
		assert.Greater(t, failed, 50.0, "tried four times a second")
		assert.Equal(t, failed, value(t, found, "sessiontrack_feed_failures_total"))
		assert.NotContains(t, r.text(t), "db.example")
	})
}

// TestEndsElsewhereMoveTheHistogram: sessions that one replica ends while both serve them move the
// histogram of the other one only. It prints the 99th percentile beside the promise.
func TestEndsElsewhereMoveTheHistogram(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const ends = 2000
		store := sessiontrack.NewMemoryStore()
		// Without a flush, which would learn of some ends before the feed does.
		o := sessiontrack.Options{FlushInterval: time.Minute}
		a, b := newReplica(t, store, o), newReplica(t, store, o)
		tokens := map[sessiontrack.SessionID]sessiontrack.Token{}
		for i := range ends {
			s, token, err := a.Login(httptest.NewRecorder(), httptest.NewRequest("POST", "/login", nil), fmt.Sprint(i))
			require.NoError(t, err)
			tokens[s.ID] = token
		}
		random := rand.New(rand.NewPCG(1, 2))
		for _, id := range slices.Sorted(maps.Keys(tokens)) {
			require.Equal(t, 200, b.get(tokens[id]))
			time.Sleep(time.Duration(random.IntN(20)) * time.Millisecond)
			_, err := a.End(t.Context(), sessiontrack.IDs(id), sessiontrack.Ending{Reason: "user"})
			require.NoError(t, err)
		}
		time.Sleep(2 * time.Second)
		assert.Zero(t, value(t, a.families(t), "sessiontrack_end_learnt_seconds"), "it knows its own ends at once")
		found := b.families(t)
		assert.EqualValues(t, ends, value(t, found, "sessiontrack_end_learnt_seconds"))
		histogram := found["sessiontrack_end_learnt_seconds"].Metric[0].Histogram
		p99 := percentile(histogram, .99)
		t.Logf("%d ends: 99 of 100 learnt within %v s, the promise is 5 s", ends, p99)
		assert.LessOrEqual(t, p99, 1.0, "by the feed, once a second")
	})
}

// percentile is the bound of the bucket that holds a quantile.
func percentile(h *dto.Histogram, q float64) float64 {
	for _, bucket := range h.Bucket {
		if float64(bucket.GetCumulativeCount()) >= q*float64(h.GetSampleCount()) {
			return bucket.GetUpperBound()
		}
	}
	return -1
}

// TestScrapeAsksNoStore: collecting makes no call of the store.
func TestScrapeAsksNoStore(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		calls := make(chan string, 1000)
		r := newReplica(t, sessiontrack.NewMemoryStore(), sessiontrack.Options{Observer: sessiontrack.Observer{
			Store: func(ctx context.Context, c sessiontrack.StoreCall) (context.Context, func(error)) {
				calls <- c.Method
				return ctx, nil
			},
		}})
		synctest.Wait()
		before := len(calls)
		for range 100 {
			require.True(t, bytes.Contains([]byte(r.text(t)), []byte("sessiontrack_feed_age_seconds")))
		}
		assert.Len(t, calls, before)
	})
}
