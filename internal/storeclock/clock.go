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
}

// Init sets the clock to the system's time.
func (c *Clock) Init() {
	c.started = time.Now()
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
func (c *Clock) Learn(stamp time.Time, before, after int64) {
	if stamp.IsZero() {
		return
	}
	lowest, highest := stamp.UnixMicro()-after, stamp.UnixMicro()-before
	c.lowest.Store(lowest)
	known := c.offset.Load()
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
