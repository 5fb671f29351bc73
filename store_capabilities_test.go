package sessiontrack

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

type (
	statsHalf = interface {
		CountStats(context.Context, StatsQuery) (StatsCounts, error)
	}
	sampleHalf = interface {
		Sample(context.Context, StatsQuery) (Sample, bool, error)
	}
	historyBoth = interface {
		RollUp(context.Context, time.Duration) error
		ReadHistory(context.Context, HistoryQuery) (HistoryData, error)
	}
)

// TestHalfACapabilityIsNone: a store that has one half of what is right together only
// gets the answers of one that has neither.
func TestHalfACapabilityIsNone(t *testing.T) {
	t.Parallel()
	m := NewMemoryStore
	for name, store := range map[string]func() Store{
		"neither": func() Store { return plainStore{m()} },
		"statistics, no samples": func() Store {
			s := m()
			return struct {
				Store
				statsHalf
			}{s, s}
		},
		"samples, no statistics": func() Store {
			s := m()
			return struct {
				Store
				sampleHalf
			}{s, s}
		},
		"history, and no samples": func() Store {
			s := m()
			return struct {
				Store
				historyBoth
			}{s, s}
		},
		"all": func() Store { return m() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				tracker, err := New(store(), nil)
				require.NoError(t, err)
				(&fixture{Tracker: tracker}).started(t).login(t, "user-1")
				time.Sleep(2*time.Minute + time.Second)
				stats, err := tracker.OnlineStats(t.Context())
				require.NoError(t, err)
				assert.Equal(t, 1, stats.PeakUsers)
				history, err := tracker.History(t.Context(), HistoryRange{})
				require.NoError(t, err)
				assert.NotEmpty(t, history.Points)
				assert.NoError(t, tracker.Shutdown(t.Context()))
			})
		})
	}
}
