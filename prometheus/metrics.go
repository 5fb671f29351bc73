package prometheus

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sessiontrack/sessiontrack"
)

// Metrics collects the figures of one [sessiontrack.Tracker]. It is a [prometheus.Collector] and
// is safe for concurrent use. Make it with [New].
type Metrics struct {
	tracker atomic.Pointer[sessiontrack.Tracker]

	storeCalls   *prometheus.CounterVec
	storeSeconds *prometheus.HistogramVec
	endLearnt    prometheus.Histogram
	adminActions *prometheus.CounterVec
}

var _ prometheus.Collector = (*Metrics)(nil)

const namespace = "sessiontrack"

// New returns metrics that know no Tracker yet. Give [Metrics.Observer] to its options, and the
// Tracker to [Metrics.Watch].
func New() *Metrics {
	return &Metrics{
		storeCalls: prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: namespace, Name: "store_calls_total",
			Help: "Calls of the store, by method and outcome.",
		}, []string{"method", "outcome"}),
		storeSeconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Namespace: namespace, Name: "store_call_seconds",
			Help:    "How long calls of the store took, by method.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2, 5},
		}, []string{"method"}),
		endLearnt: prometheus.NewHistogram(prometheus.HistogramOpts{
			Namespace: namespace, Name: "end_learnt_seconds",
			Help: "How long after the end of a session, made elsewhere, " +
				"this process learnt of it; until then it served the session.",
			Buckets: []float64{.01, .05, .1, .25, .5, .75, 1, 1.5, 2, 3, 5, 10, 30, 60},
		}),
		adminActions: prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: namespace, Name: "admin_actions_total",
			Help: "Attempts of administrators to end sessions or to clean up, by action and outcome.",
		}, []string{"action", "outcome"}),
	}
}

// Observer returns the observer that feeds the durations. Join it with another by
// [sessiontrack.Observer.And].
func (m *Metrics) Observer() sessiontrack.Observer {
	return sessiontrack.Observer{
		AdminAction: func(_ context.Context, a sessiontrack.AdminAction) {
			m.adminActions.WithLabelValues(a.Action, a.Outcome).Inc()
		},
		Store: func(ctx context.Context, c sessiontrack.StoreCall) (context.Context, func(error)) {
			began := time.Now()
			return ctx, func(err error) {
				m.storeSeconds.WithLabelValues(c.Method).Observe(time.Since(began).Seconds())
				m.storeCalls.WithLabelValues(c.Method, sessiontrack.StoreOutcome(err)).Inc()
			}
		},
		EndLearnt: func(late time.Duration) { m.endLearnt.Observe(late.Seconds()) },
	}
}

// Watch sets the Tracker whose counters and gauges are collected. Before it only durations are.
func (m *Metrics) Watch(t *sessiontrack.Tracker) { m.tracker.Store(t) }

// Describe sends nothing: a Tracker of a later version may count more than this package knows.
func (m *Metrics) Describe(chan<- *prometheus.Desc) {}

// Collect sends the figures of this moment, from memory.
func (m *Metrics) Collect(to chan<- prometheus.Metric) {
	m.storeCalls.Collect(to)
	m.storeSeconds.Collect(to)
	m.endLearnt.Collect(to)
	m.adminActions.Collect(to)
	t := m.tracker.Load()
	if t == nil {
		return
	}
	for name, n := range t.Counters() {
		c := counterOf(name)
		to <- prometheus.MustNewConstMetric(c.desc, prometheus.CounterValue, float64(n), c.values...)
	}
	g := t.Gauges()
	for _, gauge := range gauges {
		to <- prometheus.MustNewConstMetric(gauge.desc, prometheus.GaugeValue, gauge.value(g))
	}
	collectHealth(to, g)
	collectSample(to, g)
}
