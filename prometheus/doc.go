// Package prometheus exposes the figures of a [sessiontrack.Tracker] to Prometheus.
//
//	metrics := prometheus.New()
//	tracker, err := sessiontrack.New(store, &sessiontrack.Options{Observer: metrics.Observer()})
//	if err != nil { … }
//	metrics.Watch(tracker)
//	registry.MustRegister(metrics)
//
// A scrape reads memory only. No label holds an id, an address or a name: the number of series
// does not depend on the number of users. README.md lists the metrics; grafana.json is a dashboard
// and alerts.yml are rules over them.
package prometheus
