package otel

import (
	"context"
	"strings"

	"go.opentelemetry.io/otel/metric"

	"github.com/sessiontrack/sessiontrack"
)

// Watch has the counters and gauges of a Tracker collected. Call it once.
func (t *Telemetry) Watch(tracker *sessiontrack.Tracker) error {
	w := &watched{tracker: tracker}
	w.makeCounters(t.meter)
	w.makeGauges(t.meter)
	if w.err != nil {
		return w.err
	}
	_, err := t.meter.RegisterCallback(w.observe, w.instruments...)
	return err
}

// watched are the instruments of a Tracker.
type watched struct {
	tracker     *sessiontrack.Tracker
	instruments []metric.Observable
	err         error

	requests metric.Int64ObservableCounter
	counters map[string]metric.Int64ObservableCounter

	health, users, sessions metric.Int64ObservableGauge
	gauges                  []observedGauge
	ages                    []observedAge
}

type observedGauge struct {
	instrument metric.Int64ObservableGauge
	value      func(sessiontrack.Gauges) int
}

type observedAge struct {
	instrument metric.Float64ObservableGauge
	value      func(sessiontrack.Gauges) float64
}

// requestPrefix begins the counters that are one instrument, by their outcome.
const requestPrefix = "request."

// requestOutcomes are the outcomes of a request; each request has one.
var requestOutcomes = map[string]bool{
	"request.tracked": true, "request.refused": true, "request.unavailable": true, "request.failed_open": true,
}

func (w *watched) counter(m metric.Meter, name, unit, help string) metric.Int64ObservableCounter {
	c, err := m.Int64ObservableCounter(name, metric.WithUnit(unit), metric.WithDescription(help))
	w.add(c, err)
	return c
}

func (w *watched) gauge(m metric.Meter, name, unit, help string) metric.Int64ObservableGauge {
	g, err := m.Int64ObservableGauge(name, metric.WithUnit(unit), metric.WithDescription(help))
	w.add(g, err)
	return g
}

func (w *watched) add(i metric.Observable, err error) {
	if err != nil {
		w.err = err
	}
	w.instruments = append(w.instruments, i)
}

// makeCounters makes an instrument for each counter of the Tracker, by its name.
func (w *watched) makeCounters(m metric.Meter) {
	w.requests = w.counter(m, "sessiontrack.requests", "{request}", "Requests with a carrier of a session, by outcome.")
	w.counters = make(map[string]metric.Int64ObservableCounter)
	for name := range w.tracker.Counters() {
		if !requestOutcomes[name] {
			w.counters[name] = w.counter(m, "sessiontrack."+name, "1", "The counter "+name+" of the Tracker.")
		}
	}
}

func (w *watched) makeGauges(m metric.Meter) {
	w.health = w.gauge(m, "sessiontrack.health", "1", "1 for the state that the Tracker is in, else 0.")
	w.users = w.gauge(m, "sessiontrack.online.users", "{user}",
		"Users within each window, by the latest sample; replicas tell the same.")
	w.sessions = w.gauge(m, "sessiontrack.active.sessions", "{session}",
		"Active sessions, by the latest sample; replicas tell the same.")
	for _, g := range []struct {
		name, unit, help string
		value            func(sessiontrack.Gauges) int
	}{
		{"cache.sessions", "{session}", "Sessions that the cache holds.",
			func(g sessiontrack.Gauges) int { return g.CachedSessions }},
		{"cache.size", "{session}", "Sessions that the cache can hold.",
			func(g sessiontrack.Gauges) int { return g.CacheSize }},
		{"touch.held", "{session}", "Sessions whose activity is not written yet.",
			func(g sessiontrack.Gauges) int { return g.TouchesHeld }},
		{"event.readers", "{reader}", "Readers of events.",
			func(g sessiontrack.Gauges) int { return g.Subscribers }},
		{"event.streams", "{stream}", "HTTP streams of events that are open.",
			func(g sessiontrack.Gauges) int { return g.Streams }},
	} {
		w.gauges = append(w.gauges, observedGauge{w.gauge(m, "sessiontrack."+g.name, g.unit, g.help), g.value})
	}
	for _, a := range []struct {
		name, help string
		value      func(sessiontrack.Gauges) float64
	}{
		{"feed.age", "Time since the latest good reading of the feed of ended sessions began.",
			func(g sessiontrack.Gauges) float64 { return g.FeedAge.Seconds() }},
		{"max_staleness", "The promise: how late an end may be learnt (Options.MaxStaleness).",
			func(g sessiontrack.Gauges) float64 { return g.MaxStaleness.Seconds() }},
		{"flush.duration", "How long the latest flush of activity took.",
			func(g sessiontrack.Gauges) float64 { return g.FlushTime.Seconds() }},
	} {
		age, err := m.Float64ObservableGauge("sessiontrack."+a.name, metric.WithUnit("s"), metric.WithDescription(a.help))
		w.add(age, err)
		w.ages = append(w.ages, observedAge{age, a.value})
	}
}

// observe is called when a reader collects. It reads memory only.
func (w *watched) observe(_ context.Context, o metric.Observer) error {
	for name, n := range w.tracker.Counters() {
		if requestOutcomes[name] {
			outcome := outcomeKey.String(strings.TrimPrefix(name, requestPrefix))
			o.ObserveInt64(w.requests, n, metric.WithAttributes(outcome))
		} else {
			o.ObserveInt64(w.counters[name], n)
		}
	}
	g := w.tracker.Gauges()
	for _, gauge := range w.gauges {
		o.ObserveInt64(gauge.instrument, int64(gauge.value(g)))
	}
	for _, age := range w.ages {
		o.ObserveFloat64(age.instrument, age.value(g))
	}
	for _, state := range [...]sessiontrack.HealthState{
		sessiontrack.HealthOK, sessiontrack.HealthStale, sessiontrack.HealthAway,
	} {
		var is int64
		if g.State == state {
			is = 1
		}
		o.ObserveInt64(w.health, is, metric.WithAttributes(stateKey.String(string(state))))
	}
	if s := g.Sample; !s.At.IsZero() {
		o.ObserveInt64(w.users, int64(s.VeryActive), metric.WithAttributes(windowKey.String("very_active")))
		o.ObserveInt64(w.users, int64(s.Online), metric.WithAttributes(windowKey.String("online")))
		o.ObserveInt64(w.users, int64(s.RecentlyActive), metric.WithAttributes(windowKey.String("recently_active")))
		o.ObserveInt64(w.sessions, int64(s.Sessions))
	}
	return nil
}
