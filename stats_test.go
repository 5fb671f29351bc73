package sessiontrack

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
	_ "time/tzdata" // the tests need zones that the machine may not have

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestTodayOfADayWithoutAMidnight: where clocks skip midnight, what was sampled in the
// last hour of the day before is not today's, and the history says the same.
func TestTodayOfADayWithoutAMidnight(t *testing.T) {
	t.Parallel()
	for zone, begins := range map[string]string{
		"America/Santiago": "2026-09-06T01:00:00-03:00",
		"America/Havana":   "2026-03-08T01:00:00-04:00",
		"Atlantic/Azores":  "2026-03-29T01:00:00Z",
	} {
		for name, store := range map[string]Store{"MemoryStore": NewMemoryStore(), "samples of the process": plainStore{NewMemoryStore()}} {
			t.Run(zone+"/"+name, func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					begin, err := time.Parse(time.RFC3339, begins)
					require.NoError(t, err)
					f := &fixture{}
					f.Tracker, err = New(store, &Options{TimeZone: zone})
					require.NoError(t, err)
					at := func(moment time.Time, users ...string) {
						time.Sleep(time.Until(moment))
						for _, user := range users {
							f.login(t, user)
						}
						f.figures.sample(t.Context())
					}
					at(begin.Add(-30*time.Minute), "1", "2", "3")
					at(begin.Add(30*time.Minute), "4")
					stats, err := f.OnlineStats(t.Context())
					require.NoError(t, err)
					assert.Equal(t, []int{1, 1}, []int{stats.PeakUsers, stats.PeakHour})
					history, err := f.History(t.Context(), HistoryRange{From: begin.Add(-time.Hour), To: begin.Add(time.Hour)})
					require.NoError(t, err)
					require.Len(t, history.Peaks, 2)
					assert.Equal(t, []int{3, 1}, []int{history.Peaks[0].Users, history.Peaks[1].Users})
					assert.True(t, begin.Equal(history.Peaks[1].Day), history.Peaks[1].Day)
				})
			})
		}
	}
}

// hangingStats is a store whose figures never come.
type hangingStats struct {
	*MemoryStore
	asked atomic.Int64
}

func (s *hangingStats) CountStats(ctx context.Context, _ StatsQuery) (StatsCounts, error) {
	s.asked.Add(1)
	<-ctx.Done()
	return StatsCounts{}, unavailable("count stats", ctx.Err())
}

// TestStatsHoldNobodyUp: however many ask for figures that do not come, they wait for
// one question together, for no longer than it may take or than they want to; and what
// was told last can be had at once.
func TestStatsHoldNobodyUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := &hangingStats{MemoryStore: NewMemoryStore()}
		tracker, err := New(store, nil)
		require.NoError(t, err)
		start(t, tracker)
		began := time.Now()
		var group sync.WaitGroup
		for range 100 {
			group.Go(func() {
				_, err := tracker.OnlineStats(t.Context())
				assert.ErrorIs(t, err, ErrUnavailable)
				assert.Equal(t, 2*time.Second, time.Since(began))
			})
		}
		group.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
			defer cancel()
			_, err := tracker.OnlineStats(ctx)
			assert.ErrorIs(t, err, ErrUnavailable)
			assert.Equal(t, 100*time.Millisecond, time.Since(began))
		})
		synctest.Wait()
		assert.Zero(t, tracker.figures.shared.last())
		assert.Zero(t, time.Since(began))
		group.Wait()
		assert.EqualValues(t, 1, store.asked.Load())
		require.NoError(t, tracker.Shutdown(t.Context()))
	})
}
