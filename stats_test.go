package sessiontrack

import (
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
