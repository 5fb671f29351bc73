package sessiontrack

import (
	"sync/atomic"
	"time"
)

// clock keeps the store's time: the process's monotonic clock plus an offset that
// is learnt from the store's answers. Replicas whose wall clocks disagree, or
// jump, so judge limits alike.
type clock struct {
	started time.Time // with its monotonic reading
	offset  atomic.Int64
	lowest  atomic.Int64 // what the offset is at least, by the latest answer
	learnt  atomic.Bool
}

func newClock() *clock {
	c := &clock{started: time.Now()}
	c.offset.Store(c.started.UnixMicro())
	c.lowest.Store(c.started.UnixMicro())
	return c
}

// local returns microseconds since the clock was made. It measures how old things
// of this process are.
func (c *clock) local() int64 { return int64(time.Since(c.started) / time.Microsecond) }

// localAt converts a reading of the system's clock, which must be one that has its
// monotonic part.
func (c *clock) localAt(now time.Time) int64 { return int64(now.Sub(c.started) / time.Microsecond) }

// now returns the store's time in microseconds since 1970, as known here.
func (c *clock) now() int64 { return c.at(c.local()) }

// at converts a local reading to the store's time.
func (c *clock) at(local int64) int64 { return c.offset.Load() + local }

// earliest returns what the store's time is at least: behind now by the length of the
// latest round trip at the most.
func (c *clock) earliest() int64 { return min(c.lowest.Load(), c.offset.Load()) + c.local() }

// learn takes a stamp that the store set at some moment between two local
// readings. What is known already stays while it agrees with that, so that the
// offset does not wander by the length of a round trip.
func (c *clock) learn(stamp time.Time, before, after int64) {
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

func micros(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMicro()
}

func fromMicros(us int64) time.Time {
	if us == 0 {
		return time.Time{}
	}
	return time.UnixMicro(us).UTC()
}
