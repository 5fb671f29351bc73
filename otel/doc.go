// Package otel gives the figures of a [sessiontrack.Tracker] to OpenTelemetry, and makes a span of
// each call of the store within a trace of the application.
//
//	telemetry, err := otel.New(meters, traces)
//	if err != nil { … }
//	tracker, err := sessiontrack.New(store, &sessiontrack.Options{Observer: telemetry.Observer()})
//	if err != nil { … }
//	err = telemetry.Watch(tracker)
//
// Figures are read from memory when the meter's reader collects. No attribute holds an id, an
// address or a name, and no span the text of an error.
package otel
