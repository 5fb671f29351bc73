// Package storeclock keeps the time of a store as a process knows it, and paces work by
// it. It knows nothing of sessions.
package storeclock

import (
	"sync/atomic"
	"time"
)

// Clock is the store's time: the process's monotonic clock plus an offset that is learnt
// from the store's answers. Replicas whose wall clocks disagree, or jump, so judge limits
// alike. Its methods may be called from any number of goroutines.
type Clock struct {
	started time.Time // with its monotonic reading
	offset  atomic.Int64
	lowest  atomic.Int64 // the least that the offset can be, by the latest answer
	learnt  atomic.Bool

	system  func() time.Time // the system's clock
	wall    atomic.Int64     // the system's offset when an answer was believed last
	doubted atomic.Int64     // local time since which answers are not believed; 0 for none
	ahead   atomic.Int64     // how far ahead the latest of these is
}

const (
	// step is how far ahead of what is known a stamp may be and be believed at once.
	step = int64(time.Minute / time.Microsecond)
	// confirmAfter is how long a clock must stay ahead until that is believed without another
	// clock that says so.
	confirmAfter = int64(10 * time.Minute / time.Microsecond)
)

// Init sets the clock to the system's time.
func (c *Clock) Init() {
	if c.system == nil {
		c.system = time.Now
	}
	c.started = time.Now()
	c.wall.Store(c.system().UnixMicro())
	c.offset.Store(c.started.UnixMicro())
	c.lowest.Store(c.started.UnixMicro())
}

// Local returns microseconds since Init. It measures ages within this process.
func (c *Clock) Local() int64 { return int64(time.Since(c.started) / time.Microsecond) }

// LocalAt converts a reading of the system's clock that has its monotonic part.
func (c *Clock) LocalAt(now time.Time) int64 { return int64(now.Sub(c.started) / time.Microsecond) }

// Now returns the store's time in microseconds since 1970, as known here.
func (c *Clock) Now() int64 { return c.At(c.Local()) }

// At converts a local reading to the store's time.
func (c *Clock) At(local int64) int64 { return c.offset.Load() + local }

// Earliest returns the least that the store's time can be now. It is behind Now by the
// length of the latest round trip at the most.
func (c *Clock) Earliest() int64 { return min(c.lowest.Load(), c.offset.Load()) + c.Local() }

// Learn takes a stamp that the store set at some moment between two local readings. An
// offset that agrees with the stamp stays, so that it does not wander by the length of a
// round trip.
//
// A stamp that is more than a minute ahead of what is known is not believed until it is
// confirmed: the system's clock has made the same step, as after the machine was suspended, or
// the store stays ahead for ten minutes. Until then the time goes on as it was known.
func (c *Clock) Learn(stamp time.Time, before, after int64) {
	if stamp.IsZero() {
		return
	}
	lowest, highest := stamp.UnixMicro()-after, stamp.UnixMicro()-before
	known := c.offset.Load()
	if c.doubts(lowest-known, after) {
		return
	}
	c.lowest.Store(lowest)
	switch {
	case !c.learnt.Swap(true):
		known = lowest + (highest-lowest)/2
	case known < lowest:
		known = lowest
	case known > highest:
		known = highest
	}
	c.offset.Store(known)
}

// doubts reports whether a stamp that is so far ahead must be confirmed first.
func (c *Clock) doubts(ahead, local int64) bool {
	wall := c.system().UnixMicro() - local
	if c.learnt.Load() && ahead > step {
		moved := wall - c.wall.Load()
		since := c.doubted.Load()
		if since == 0 {
			since = max(local, 1)
			c.doubted.Store(since)
		}
		if moved < ahead-step && local-since < confirmAfter {
			c.ahead.Store(ahead)
			return true
		}
	}
	c.doubted.Store(0)
	c.wall.Store(wall)
	return false
}

// Ahead returns how far the store's clock is ahead of what is known of it, and 0 unless that waits
// to be confirmed.
func (c *Clock) Ahead() time.Duration {
	if c.doubted.Load() == 0 {
		return 0
	}
	return time.Duration(c.ahead.Load()) * time.Microsecond
}

// Learnt reports whether the store has told its time yet.
func (c *Clock) Learnt() bool { return c.learnt.Load() }

// AheadOfSystem returns how far the store's time, as known here, is ahead of the system's clock.
func (c *Clock) AheadOfSystem() time.Duration {
	return time.Duration(c.Now()-c.system().UnixMicro()) * time.Microsecond
}
