package otel_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	metricnoop "go.opentelemetry.io/otel/metric/noop"
	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	oteltrace "go.opentelemetry.io/otel/trace"

	"github.com/sessiontrack/sessiontrack"
	"github.com/sessiontrack/sessiontrack/otel"
)

// replica is a Tracker with its telemetry and an application behind it.
type replica struct {
	*sessiontrack.Tracker
	app    http.Handler
	reader *metric.ManualReader
	spans  *tracetest.SpanRecorder
	traces *trace.TracerProvider
}

func newReplica(t *testing.T, store sessiontrack.Store) *replica {
	t.Helper()
	r := &replica{reader: metric.NewManualReader(), spans: tracetest.NewSpanRecorder()}
	r.traces = trace.NewTracerProvider(trace.WithSpanProcessor(r.spans))
	telemetry, err := otel.New(metric.NewMeterProvider(metric.WithReader(r.reader)), r.traces)
	require.NoError(t, err)
	r.Tracker, err = sessiontrack.New(store, &sessiontrack.Options{Observer: telemetry.Observer()})
	require.NoError(t, err)
	require.NoError(t, r.Start(t.Context()))
	t.Cleanup(func() { _ = r.Shutdown(context.Background()) })
	require.NoError(t, telemetry.Watch(r.Tracker))
	r.app = r.Middleware(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	return r
}

func (r *replica) get(ctx context.Context, token sessiontrack.Token) int {
	request := httptest.NewRequestWithContext(ctx, "GET", "/", nil)
	request.Header.Set("x-session-id", token.Reveal())
	w := httptest.NewRecorder()
	r.app.ServeHTTP(w, request)
	return w.Code
}

func (r *replica) login(t *testing.T, user string) (sessiontrack.Session, sessiontrack.Token) {
	t.Helper()
	s, token, err := r.Login(httptest.NewRecorder(), httptest.NewRequest("POST", "/login", nil), user)
	require.NoError(t, err)
	return s, token
}

// figures collects every series: its name and attributes, with its value or its count.
func (r *replica) figures(t *testing.T) map[string]float64 {
	t.Helper()
	var collected metricdata.ResourceMetrics
	require.NoError(t, r.reader.Collect(t.Context(), &collected))
	found := map[string]float64{}
	add := func(name string, set attribute.Set, value float64) {
		for _, kv := range set.ToSlice() {
			name += " " + kv.Value.AsString()
		}
		found[name] = value
	}
	for _, scope := range collected.ScopeMetrics {
		for _, m := range scope.Metrics {
			assert.NotEmpty(t, m.Unit, m.Name)
			assert.NotEmpty(t, m.Description, m.Name)
			switch data := m.Data.(type) {
			case metricdata.Sum[int64]:
				for _, p := range data.DataPoints {
					add(m.Name, p.Attributes, float64(p.Value))
				}
			case metricdata.Gauge[int64]:
				for _, p := range data.DataPoints {
					add(m.Name, p.Attributes, float64(p.Value))
				}
			case metricdata.Gauge[float64]:
				for _, p := range data.DataPoints {
					add(m.Name, p.Attributes, p.Value)
				}
			case metricdata.Histogram[float64]:
				for _, p := range data.DataPoints {
					add(m.Name, p.Attributes, float64(p.Count))
				}
			default:
				require.Fail(t, "no such data", "%s: %T", m.Name, data)
			}
		}
	}
	return found
}

// TestTelemetryTellsWhatHappened compares figures with what was done, and the figures of few users
// with those of many: their names and attributes are the same.
func TestTelemetryTellsWhatHappened(t *testing.T) {
	t.Parallel()
	var series [2][]string
	for i, users := range []int{4, 200} {
		synctest.Test(t, func(t *testing.T) {
			r := newReplica(t, sessiontrack.NewMemoryStore())
			for n := range users {
				s, token := r.login(t, fmt.Sprint("user-", n))
				require.Equal(t, 200, r.get(t.Context(), token))
				if n%2 == 0 {
					_, err := r.End(t.Context(), sessiontrack.IDs(s.ID), sessiontrack.Ending{Reason: "admin"})
					require.NoError(t, err)
					require.Equal(t, 401, r.get(t.Context(), token))
				}
			}
			w := httptest.NewRecorder()
			r.AdminHandler(nil).ServeHTTP(w, httptest.NewRequest("POST", "/api/user-sessions/cleanup-expired", nil))
			require.Equal(t, 401, w.Code)
			time.Sleep(2 * time.Minute)
			found, n := r.figures(t), float64(users)
			for name, want := range map[string]float64{
				"sessiontrack.requests tracked": n, "sessiontrack.requests refused": n/2 + 1,
				"sessiontrack.session.logins": n, "sessiontrack.session.ended": n / 2,
				"sessiontrack.store.call.duration ok Create": n, "sessiontrack.active.sessions": n / 2,
				"sessiontrack.online.users online": n / 2, "sessiontrack.cache.sessions": n, "sessiontrack.touch.held": 0,
				"sessiontrack.health ok": 1, "sessiontrack.health away": 0, "sessiontrack.max_staleness": 5,
				"sessiontrack.admin.actions cleanup unauthenticated": 1, "sessiontrack.callback.panics": 0,
			} {
				got, ok := found[name]
				assert.True(t, ok, name)
				assert.InDelta(t, want, got, 1e-9, name)
			}
			for name := range found {
				series[i] = append(series[i], name)
				assert.NotContains(t, name, "user-")
			}
			slices.Sort(series[i])
			assert.Empty(t, r.spans.Ended(), "there was no trace")
		})
	}
	assert.Equal(t, series[0], series[1])
}

// TestEndsElsewhereMoveTheHistogram: of two replicas the one that did not end the session learns
// of it late.
func TestEndsElsewhereMoveTheHistogram(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := sessiontrack.NewMemoryStore()
		a, b := newReplica(t, store), newReplica(t, store)
		s, token := a.login(t, "7")
		require.Equal(t, 200, b.get(t.Context(), token))
		_, err := a.End(t.Context(), sessiontrack.IDs(s.ID), sessiontrack.Ending{Reason: "user"})
		require.NoError(t, err)
		time.Sleep(1500 * time.Millisecond)
		assert.NotContains(t, a.figures(t), "sessiontrack.end.learnt")
		assert.EqualValues(t, 1, b.figures(t)["sessiontrack.end.learnt"])
	})
}

// brokenStore fails each Get, with an error that names a person.
type brokenStore struct {
	*sessiontrack.MemoryStore
	seen context.Context
}

func (s *brokenStore) Get(ctx context.Context, _ sessiontrack.SessionID) (sessiontrack.Record, error) {
	s.seen = ctx
	return sessiontrack.Record{}, errors.New("connection of alice@db.example refused")
}

// TestSpansOfStoreCalls: a request within a trace has a span of each call of the store below its
// own, the store gets it in its context, and a failure is told by its outcome alone.
func TestSpansOfStoreCalls(t *testing.T) {
	t.Parallel()
	store := &brokenStore{MemoryStore: sessiontrack.NewMemoryStore()}
	r := newReplica(t, store)
	ctx, parent := r.traces.Tracer("application").Start(t.Context(), "GET /")
	_, err := r.Get(ctx, "no handle")
	require.ErrorIs(t, err, sessiontrack.ErrNotFound, "no call is made for it")
	s, _ := r.login(t, "7")
	_, err = r.Get(ctx, s.ID)
	require.ErrorIs(t, err, sessiontrack.ErrUnavailable)
	_, err = r.List(ctx, sessiontrack.Query{UserID: "7", Live: true})
	require.NoError(t, err)
	parent.End()

	ended := r.spans.Ended()
	require.Len(t, ended, 3, "two calls and their parent")
	for i, want := range []struct {
		name, method, outcome string
		status                codes.Code
	}{
		{"sessiontrack.store Get", "Get", "unavailable", codes.Error},
		{"sessiontrack.store List", "List", "ok", codes.Unset},
	} {
		span := ended[i]
		assert.Equal(t, want.name, span.Name())
		assert.Equal(t, parent.SpanContext().SpanID(), span.Parent().SpanID())
		assert.Equal(t, want.status, span.Status().Code)
		assert.ElementsMatch(t, []attribute.KeyValue{
			attribute.String("sessiontrack.store.method", want.method),
			attribute.String("sessiontrack.outcome", want.outcome),
		}, span.Attributes())
		assert.NotContains(t, span.Status().Description, "alice")
		assert.Empty(t, span.Events())
	}
	assert.Equal(t, ended[0].SpanContext(), oteltrace.SpanContextFromContext(store.seen))
}

// TestNewWantsBothProviders: nil is refused, and noop providers switch one half off.
func TestNewWantsBothProviders(t *testing.T) {
	t.Parallel()
	_, err := otel.New(nil, trace.NewTracerProvider())
	require.ErrorContains(t, err, "MeterProvider")
	_, err = otel.New(metricnoop.NewMeterProvider(), nil)
	require.ErrorContains(t, err, "TracerProvider")
	telemetry, err := otel.New(metricnoop.NewMeterProvider(), trace.NewTracerProvider())
	require.NoError(t, err)
	tracker, err := sessiontrack.New(sessiontrack.NewMemoryStore(), &sessiontrack.Options{Observer: telemetry.Observer()})
	require.NoError(t, err)
	require.NoError(t, telemetry.Watch(tracker))
}
