package calendar

import (
	"testing"
	"time"
	_ "time/tzdata" // the tests need zones that the machine may not have

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestDay(t *testing.T) {
	t.Parallel()
	for zone, tests := range map[string]map[string]string{
		"America/Sao_Paulo": {"2018-11-04": "2018-11-04T01:00:00-02:00", "2018-02-18": "2018-02-18T00:00:00-03:00"},
		"America/Santiago":  {"2026-09-06": "2026-09-06T01:00:00-03:00"},
		"America/Havana": {
			"2025-11-02": "2025-11-02T00:00:00-04:00", "2025-03-09": "2025-03-09T01:00:00-04:00",
			"2026-03-08": "2026-03-08T01:00:00-04:00",
		},
		"Atlantic/Azores": {"2026-03-29": "2026-03-29T01:00:00Z", "2026-10-25": "2026-10-25T00:00:00Z"},
		"Asia/Kathmandu":  {"2026-01-31": "2026-01-31T00:00:00+05:45"},
		"Europe/Berlin": {
			"2026-03-29": "2026-03-29T00:00:00+01:00", "2026-10-25": "2026-10-25T00:00:00+02:00",
			"2026-10-26": "2026-10-26T00:00:00+01:00",
		},
		"UTC": {"2026-10-26": "2026-10-26T00:00:00Z"},
	} {
		location := load(t, zone)
		for day, want := range tests {
			noon, err := time.ParseInLocation("2006-01-02 15:04", day+" 12:00", location)
			require.NoError(t, err)
			assert.Equal(t, want, Day(noon, location).Format(time.RFC3339), "%s %s", zone, day)
		}
	}
	at := time.Date(2026, 3, 29, 0, 30, 0, 0, time.FixedZone("", 3600))
	assert.Equal(t, "2026-03-28T00:00:00Z", Day(at, nil).Format(time.RFC3339), "no zone is UTC")
}

// TestDaysMeet: for each hour of four years, in zones with every kind of change, the day
// holds the hour, the moment before it does not, and the next day begins where it ends.
func TestDaysMeet(t *testing.T) {
	t.Parallel()
	for _, zone := range []string{
		"America/Santiago", "America/Havana", "Atlantic/Azores", "America/Asuncion", "Asia/Beirut", "Africa/Cairo",
		"Europe/Berlin", "Australia/Lord_Howe", "Asia/Kathmandu", "America/Nuuk", "UTC",
	} {
		t.Run(zone, func(t *testing.T) {
			t.Parallel()
			location := load(t, zone)
			end := time.Date(2028, 1, 1, 0, 0, 0, 0, time.UTC)
			for at := time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC); at.Before(end); at = at.Add(time.Hour) {
				begin, next := Day(at, location), NextDay(at, location)
				require.False(t, at.Before(begin), at)
				require.True(t, at.Before(next), at)
				require.Equal(t, at.In(location).Format(time.DateOnly), begin.Format(time.DateOnly), at)
				before := begin.Add(-time.Nanosecond)
				require.NotEqual(t, begin.Format(time.DateOnly), before.Format(time.DateOnly), at)
				require.True(t, NextDay(before, location).Equal(begin), at)
			}
		})
	}
}

// TestADayThatWasSkipped: Samoa had no 30 December 2011.
func TestADayThatWasSkipped(t *testing.T) {
	t.Parallel()
	apia := load(t, "Pacific/Apia")
	at := time.Date(2011, 12, 29, 12, 0, 0, 0, apia)
	assert.Equal(t, "2011-12-31T00:00:00+14:00", NextDay(at, apia).Format(time.RFC3339))
}

func TestHour(t *testing.T) {
	t.Parallel()
	kathmandu := load(t, "Asia/Kathmandu")
	at := time.Date(2026, 1, 31, 15, 59, 58, 7, kathmandu)
	assert.Equal(t, "2026-01-31T15:00:00+05:45", Hour(at).Format(time.RFC3339Nano))
}

func load(t *testing.T, zone string) *time.Location {
	t.Helper()
	location, err := time.LoadLocation(zone)
	require.NoError(t, err)
	return location
}
