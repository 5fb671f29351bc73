package sqlite

import (
	"sync/atomic"
	"time"

	"github.com/sessiontrack/sessiontrack/internal/storeclock"
)

// clock is the store's time: the machine's at the start, and the monotonic clock from
// then on, so that it never goes back while the process runs. Processes on one machine
// agree as far as the machine's clock was not set between their starts.
type clock struct {
	started time.Time
	latest  *atomic.Int64 // the latest time that was handed out
	told    *atomic.Int64 // the latest that the feed has answered with
}

func newClock() clock {
	return clock{started: time.Now(), latest: new(atomic.Int64), told: new(atomic.Int64)}
}

func (c clock) micros() int64 {
	return c.started.UnixMicro() + int64(time.Since(c.started)/time.Microsecond)
}

// now is the time of a question.
func (c clock) now() int64 { return storeclock.Raise(c.latest, c.micros()) }

// tick is the time of a change: later than every time that the feed has answered with,
// so that a reader who asks for what ended after that time is told of the change.
func (c clock) tick() int64 { return storeclock.Raise(c.latest, max(c.micros(), c.told.Load()+1)) }

// tell is the time of an answer of the feed.
func (c clock) tell() int64 { return storeclock.Raise(c.told, c.now()) }

// maxMicros is the last microsecond of the year 9999.
const maxMicros = 253402300799999999

// column is t in microseconds, within the years that every store can hold.
func column(t time.Time) int64 { return min(max(t.UnixMicro(), 0), maxMicros) }

// columnOrNull is nil, which becomes NULL, for the zero time.
func columnOrNull(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return column(t)
}

func timeOf(us int64) time.Time { return time.UnixMicro(us).UTC() }

// span is a duration in whole microseconds, rounded up so that no bound becomes none.
func span(d time.Duration) int64 { return int64((d + time.Microsecond - 1) / time.Microsecond) }
