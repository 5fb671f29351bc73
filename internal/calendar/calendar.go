// Package calendar finds where days and hours begin in a time zone, on days too on which
// clocks change.
package calendar

import (
	"cmp"
	"time"
)

// changeSpan is more than any change of clocks for daylight saving time takes.
const changeSpan = 3 * time.Hour

// Day returns the first moment of the day in which at lies, in zone; nil is UTC.
//
// That is not always midnight: where clocks go forward at midnight the day begins at
// 01:00, and where they go back to midnight it is the earlier of two.
func Day(at time.Time, zone *time.Location) time.Time {
	year, month, day := at.In(cmp.Or(zone, time.UTC)).Date()
	return first(year, month, day, cmp.Or(zone, time.UTC))
}

// NextDay returns the first moment of the day behind the one in which at lies.
func NextDay(at time.Time, zone *time.Location) time.Time {
	year, month, day := at.In(cmp.Or(zone, time.UTC)).Date()
	return first(year, month, day+1, cmp.Or(zone, time.UTC))
}

// first is the first moment of a day. Noon names it: no clock skips noon, unless it skips
// the whole day.
func first(year int, month time.Month, day int, zone *time.Location) time.Time {
	noon := time.Date(year, month, day, 12, 0, 0, 0, zone)
	at := time.Date(noon.Year(), noon.Month(), noon.Day(), 0, 0, 0, 0, zone)
	if at.Day() != noon.Day() { // clocks skip midnight: at is on the day before
		_, at = at.ZoneBounds()
	}
	changed, _ := at.ZoneBounds()
	if changed.IsZero() || at.Sub(changed) > changeSpan {
		return at
	}
	_, after := at.Zone()
	_, before := changed.Add(-time.Nanosecond).In(zone).Zone()
	earlier := at.Add(time.Duration(after-before) * time.Second)
	if before > after && earlier.Before(changed) { // clocks show midnight twice
		return earlier
	}
	return at
}

// Hour returns the beginning of the hour on at's own clock.
func Hour(at time.Time) time.Time {
	within := time.Duration(at.Minute())*time.Minute + time.Duration(at.Second())*time.Second
	return at.Add(-within - time.Duration(at.Nanosecond()))
}
