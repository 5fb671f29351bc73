package otel

import (
	"context"
	"errors"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"

	"github.com/sessiontrack/sessiontrack"
)

// scope names this package to meters and tracers.
const scope = "github.com/sessiontrack/sessiontrack/otel"

// These are the keys of all attributes.
const (
	methodKey  = attribute.Key("sessiontrack.store.method")
	outcomeKey = attribute.Key("sessiontrack.outcome")
	actionKey  = attribute.Key("sessiontrack.action")
	stateKey   = attribute.Key("sessiontrack.state")
	windowKey  = attribute.Key("sessiontrack.window")
	itemsKey   = attribute.Key("sessiontrack.items")
)

// Telemetry gives the figures of one [sessiontrack.Tracker] to a meter, and spans to a tracer. It
// is safe for concurrent use. Make it with [New].
type Telemetry struct {
	meter  metric.Meter
	tracer trace.Tracer

	storeSeconds metric.Float64Histogram
	endLearnt    metric.Float64Histogram
	adminActions metric.Int64Counter
}

// New returns telemetry over the application's providers, both of which must be given; those of
// the packages noop switch one half off. Give [Telemetry.Observer] to the options of the Tracker,
// and the Tracker to [Telemetry.Watch].
func New(meters metric.MeterProvider, traces trace.TracerProvider) (*Telemetry, error) {
	if meters == nil || traces == nil {
		return nil, errors.New("otel: New: want a MeterProvider and a TracerProvider, got nil")
	}
	t := &Telemetry{meter: meters.Meter(scope), tracer: traces.Tracer(scope)}
	var errs [3]error
	t.storeSeconds, errs[0] = t.meter.Float64Histogram("sessiontrack.store.call.duration", metric.WithUnit("s"),
		metric.WithDescription("How long calls of the store took, by method and outcome."),
		metric.WithExplicitBucketBoundaries(.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2, 5))
	t.endLearnt, errs[1] = t.meter.Float64Histogram("sessiontrack.end.learnt", metric.WithUnit("s"),
		metric.WithDescription("How long after the end of a session, made elsewhere, this process learnt of it; "+
			"until then it served the session."),
		metric.WithExplicitBucketBoundaries(.01, .05, .1, .25, .5, .75, 1, 1.5, 2, 3, 5, 10, 30, 60))
	t.adminActions, errs[2] = t.meter.Int64Counter("sessiontrack.admin.actions", metric.WithUnit("{action}"),
		metric.WithDescription("Attempts of administrators to end sessions or to clean up, by action and outcome."))
	return t, errors.Join(errs[:]...)
}

// Observer returns the observer that feeds durations and spans. Join it with another by
// [sessiontrack.Observer.And].
func (t *Telemetry) Observer() sessiontrack.Observer {
	return sessiontrack.Observer{
		AdminAction: func(ctx context.Context, a sessiontrack.AdminAction) {
			t.adminActions.Add(ctx, 1, metric.WithAttributes(actionKey.String(a.Action), outcomeKey.String(a.Outcome)))
		},
		Store: t.store,
		EndLearnt: func(late time.Duration) {
			t.endLearnt.Record(context.Background(), late.Seconds())
		},
	}
}

// store measures one call of the store, and makes a span of it within a trace. Calls of the
// background, such as the feed's each second, have no trace and begin none.
func (t *Telemetry) store(ctx context.Context, c sessiontrack.StoreCall) (context.Context, func(error)) {
	began := time.Now()
	var span trace.Span
	if trace.SpanContextFromContext(ctx).IsValid() {
		ctx, span = t.tracer.Start(ctx, "sessiontrack.store "+c.Method,
			trace.WithSpanKind(trace.SpanKindInternal), trace.WithAttributes(methodKey.String(c.Method)))
		if c.Items > 0 {
			span.SetAttributes(itemsKey.Int(c.Items))
		}
	}
	return ctx, func(err error) {
		outcome := outcomeKey.String(sessiontrack.StoreOutcome(err))
		t.storeSeconds.Record(ctx, time.Since(began).Seconds(),
			metric.WithAttributes(methodKey.String(c.Method), outcome))
		if span == nil {
			return
		}
		span.SetAttributes(outcome)
		if failed(err) {
			span.SetStatus(codes.Error, outcome.Value.AsString())
		}
		span.End()
	}
}

// failed reports whether an error is a failure and no answer of the store.
func failed(err error) bool {
	switch sessiontrack.StoreOutcome(err) {
	case "ok", "not_found", "exists", "limit", "ended":
		return false
	}
	return true
}
