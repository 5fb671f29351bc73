package sessiontrack

import (
	"context"
	"errors"
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestErrorsWearOneCoat: what an exported method returns is one of the three kinds, says
// "sessiontrack:" once, and names the method.
func TestErrorsWearOneCoat(t *testing.T) {
	t.Parallel()
	strange := errors.New("sessiontrack: get: sessiontrack: disk full")
	for _, fault := range []struct {
		fault any
		kind  error
	}{
		{strange, ErrUnavailable}, {"boom", ErrUnavailable}, {context.DeadlineExceeded, ErrUnavailable},
		{ErrStoreFault, ErrStoreFault}, {ErrUnavailable, ErrUnavailable},
	} {
		tracker := mustTracker(t, &badStore{MemoryStore: NewMemoryStore(), fault: fault.fault})
		for name, err := range everyMethod(t, tracker) {
			require.ErrorIs(t, err, fault.kind, name)
			for _, other := range []error{ErrUnavailable, ErrStoreFault, ErrInvalidArgument} {
				assert.Equal(t, other == fault.kind, errors.Is(err, other), "%s: %v", name, err)
			}
			requireOneCoat(t, name, err)
		}
	}
}

func requireOneCoat(t *testing.T, name string, err error) {
	t.Helper()
	assert.True(t, strings.HasPrefix(err.Error(), "sessiontrack: "+name+": "), "%s: %v", name, err)
	assert.Equal(t, 1, strings.Count(err.Error(), "sessiontrack:"), "%s: %v", name, err)
}

// everyMethod calls every exported method that asks the store.
func everyMethod(t *testing.T, tracker *Tracker) map[string]error {
	t.Helper()
	ctx, failures := t.Context(), map[string]error{}
	failures["Start"] = tracker.Start(ctx)
	_, failures["End"] = tracker.End(ctx, User("42"), Ending{Reason: ReasonAdmin})
	_, failures["Get"] = tracker.Get(ctx, newHandle().id())
	_, failures["List"] = tracker.List(ctx, Query{})
	_, failures["Cleanup"] = tracker.Cleanup(ctx)
	_, _, failures["CountOnline"] = tracker.CountOnline(ctx, time.Hour)
	_, failures["OnlineUsers"] = tracker.OnlineUsers(ctx, OnlineQuery{Window: time.Hour})
	_, failures["OnlineStats"] = tracker.OnlineStats(ctx)
	_, failures["History"] = tracker.History(ctx, HistoryRange{})
	_, _, failures["Login"] = tracker.Login(httptest.NewRecorder(), request("POST", "/login"), "42")
	return failures
}

// TestMistakesOfTheCaller: an argument outside of its bounds is the caller's mistake, is
// no outage, and reaches no store.
func TestMistakesOfTheCaller(t *testing.T) {
	t.Parallel()
	tracker := mustTracker(t, &badStore{MemoryStore: NewMemoryStore(), fault: "asked"})
	ctx, good := t.Context(), Ending{Reason: ReasonAdmin}
	now := time.Now()
	for _, test := range []struct {
		name string
		call func() error
	}{
		{"List", func() error {
			_, err := tracker.List(ctx, Query{UserID: "1", Filter: Filter{Users: []string{"2"}}})
			return err
		}},
		{"List", func() error { _, err := tracker.List(ctx, Query{Limit: 101}); return err }},
		{"List", func() error { _, err := tracker.List(ctx, Query{Within: -1}); return err }},
		{"End", func() error { _, err := tracker.End(ctx, User("1"), Ending{}); return err }},
		{"End", func() error { _, err := tracker.End(ctx, Selector{}, good); return err }},
		{"End", func() error { _, err := tracker.End(ctx, Idle(-1), good); return err }},
		{"CountOnline", func() error { _, _, err := tracker.CountOnline(ctx, time.Second); return err }},
		{"OnlineUsers", func() error { _, err := tracker.OnlineUsers(ctx, OnlineQuery{}); return err }},
		{"OnlineUsers", func() error {
			_, err := tracker.OnlineUsers(ctx, OnlineQuery{Window: time.Hour, Limit: -1})
			return err
		}},
		{"History", func() error { _, err := tracker.History(ctx, HistoryRange{From: now, To: now}); return err }},
		{"History", func() error { _, err := tracker.History(ctx, HistoryRange{Step: "2h"}); return err }},
		{"Subscribe", func() error {
			_, err := tracker.Subscribe(ctx, SubscribeOptions{Types: []EventType{"signin"}})
			return err
		}},
		{"Login", func() error {
			_, _, err := tracker.Login(httptest.NewRecorder(), request("POST", "/login"), "")
			return err
		}},
	} {
		err := test.call()
		require.ErrorIs(t, err, ErrInvalidArgument, test.name)
		assert.NotErrorIs(t, err, ErrUnavailable, test.name)
		requireOneCoat(t, test.name, err)
	}
	assert.Zero(t, tracker.Counters()["callback.panics"], "the store was not asked")
	_, err := NewMemoryStore().Get(ctx, newHandle().id())
	require.ErrorIs(t, err, ErrNotFound)
	requireOneCoat(t, "get", err)
	_, err = NewMemoryStore().List(ctx, Query{Limit: 1, UserID: "1", Filter: Filter{Users: []string{"2"}}})
	require.ErrorIs(t, err, ErrInvalidArgument)
	requireOneCoat(t, "list", err)
}

func TestStoreOutcome(t *testing.T) {
	t.Parallel()
	for want, err := range map[string]error{
		"ok": nil, "not_found": ErrNotFound, "exists": ErrExists, "limit": ErrLimit, "ended": &EndedError{ReasonAdmin},
		"fault": fmt.Errorf("create: %w", ErrStoreFault), "invalid": mistake("a"), "unavailable": errBusy,
		"other": errors.New("disk full"),
	} {
		assert.Equal(t, want, StoreOutcome(err))
	}
	assert.Equal(t, "unavailable", StoreOutcome(classified(ErrNotFound, nil)), "what a call cannot answer is no answer")
}
