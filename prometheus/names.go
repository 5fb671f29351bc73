package prometheus

import (
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sessiontrack/sessiontrack"
)

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc(namespace+"_"+name, help, labels, nil)
}

// counted is a metric for one of the Tracker's counters.
type counted struct {
	desc   *prometheus.Desc
	values []string
}

var requests = desc("requests_total", "Requests with a carrier of a session, by outcome.", "outcome")

// counters are the metrics by the names of [sessiontrack.Tracker.Counters].
var counters = map[string]counted{
	"request.tracked":     {requests, []string{"tracked"}},
	"request.refused":     {requests, []string{"refused"}},
	"request.unavailable": {requests, []string{"unavailable"}},
	"request.failed_open": {requests, []string{"failed_open"}},

	"request.unknown_session": {desc: desc("unknown_sessions_total",
		"Credentials that name no session, or prove none.")},
	"request.guessing": {desc: desc("guessing_alarms_total",
		"Minutes with 1,000 credentials that name no session.")},
	"store.reads": {desc: desc("cache_misses_total",
		"Reads of the store that requests caused.")},
	"touch.written":         {desc: desc("touches_written_total", "Sessions whose activity was written.")},
	"touch.dropped":         {desc: desc("touches_dropped_total", "Activity that found no room, or no store.")},
	"touch.flush_failed":    {desc: desc("flush_failures_total", "Writes of activity that failed.")},
	"feed.failed":           {desc: desc("feed_failures_total", "Reads of the feed of ended sessions that failed.")},
	"callback.panics":       {desc: desc("panics_total", "Panics of the host's functions and of the store, contained.")},
	"session.logins":        {desc: desc("sessions_made_total", "Sessions made here, by a sign-in or from a credential.")},
	"session.ended":         {desc: desc("sessions_ended_total", "Sessions ended here.")},
	"session.purged":        {desc: desc("sessions_purged_total", "Ended sessions deleted or blanked.")},
	"event.dropped":         {desc: desc("events_dropped_total", "Events above the rate that subscriptions are told.")},
	"audit.failed":          {desc: desc("audit_failed_total", "Records of the audit trail that could not be written.")},
	"event.readers_stalled": {desc: desc("subscribers_stalled_total", "Subscriptions closed because nobody read them.")},
	"hook.dropped":          {desc: desc("hook_calls_dropped_total", "Calls of hooks that found no room.")},
	"describe.dropped":      {desc: desc("descriptions_dropped_total", "Devices and places to be looked up again later.")},
}

// counterOf returns the metric of a counter. One that is not in the list gets its own name.
func counterOf(name string) counted {
	if c, ok := counters[name]; ok {
		return c
	}
	plain := strings.NewReplacer(".", "_", "-", "_").Replace(name)
	return counted{desc: desc(plain+"_total", "The counter "+name+" of the Tracker.")}
}

// gauge is a metric for one of the Tracker's gauges.
type gauge struct {
	desc  *prometheus.Desc
	value func(sessiontrack.Gauges) float64
}

var gauges = []gauge{
	{desc("cached_sessions", "Sessions that the cache holds."),
		func(g sessiontrack.Gauges) float64 { return float64(g.CachedSessions) }},
	{desc("cache_size", "Sessions that the cache can hold."),
		func(g sessiontrack.Gauges) float64 { return float64(g.CacheSize) }},
	{desc("touches_held", "Sessions whose activity is not written yet."),
		func(g sessiontrack.Gauges) float64 { return float64(g.TouchesHeld) }},
	{desc("flush_seconds", "How long the latest flush of activity took."),
		func(g sessiontrack.Gauges) float64 { return g.FlushTime.Seconds() }},
	{desc("feed_age_seconds", "Time since the latest good reading of the feed of ended sessions began."),
		func(g sessiontrack.Gauges) float64 { return g.FeedAge.Seconds() }},
	{desc("max_staleness_seconds", "The promise: how late an end may be learnt (Options.MaxStaleness)."),
		func(g sessiontrack.Gauges) float64 { return g.MaxStaleness.Seconds() }},
	{desc("subscribers", "Readers of events."),
		func(g sessiontrack.Gauges) float64 { return float64(g.Subscribers) }},
	{desc("streams", "HTTP streams of events that are open."),
		func(g sessiontrack.Gauges) float64 { return float64(g.Streams) }},
}

var health = desc("health", "1 for the state that the Tracker is in, else 0.", "state")

// collectHealth sends a series for each state, so that alerts need not know the others.
func collectHealth(to chan<- prometheus.Metric, g sessiontrack.Gauges) {
	states := [...]sessiontrack.HealthState{sessiontrack.HealthOK, sessiontrack.HealthStale, sessiontrack.HealthAway}
	for _, state := range states {
		value := 0.0
		if g.State == state {
			value = 1
		}
		to <- prometheus.MustNewConstMetric(health, prometheus.GaugeValue, value, string(state))
	}
}

var (
	onlineUsers = desc("online_users",
		"Users within each window, by the latest sample; replicas tell the same.", "window")
	activeSessions = desc("active_sessions", "Active sessions, by the latest sample; replicas tell the same.")
	sampledAt      = desc("sample_timestamp_seconds", "Time of the latest sample, by the store's clock.")
)

// collectSample sends the figures of the latest sample, once there is one.
func collectSample(to chan<- prometheus.Metric, g sessiontrack.Gauges) {
	s := g.Sample
	if s.At.IsZero() {
		return
	}
	for window, n := range map[string]int{
		"very_active": s.VeryActive, "online": s.Online, "recently_active": s.RecentlyActive,
	} {
		to <- prometheus.MustNewConstMetric(onlineUsers, prometheus.GaugeValue, float64(n), window)
	}
	to <- prometheus.MustNewConstMetric(activeSessions, prometheus.GaugeValue, float64(s.Sessions))
	to <- prometheus.MustNewConstMetric(sampledAt, prometheus.GaugeValue, float64(s.At.Unix()))
}
