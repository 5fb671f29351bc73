package redisstore

import (
	"sync/atomic"
	"time"
)

// clock is the durable store's time as far as this process knows it. It is never ahead of
// the store, and never behind a time that the store has answered with, so that activity
// can be held to the store's time without asking for it.
type clock struct {
	started time.Time // with its monotonic reading
	offset  atomic.Int64
	learnt  atomic.Bool
}

func newClock() *clock { return &clock{started: time.Now()} }

// local measures time within this process, in microseconds.
func (c *clock) local() int64 { return int64(time.Since(c.started) / time.Microsecond) }

// now is the store's time in microseconds since 1970.
func (c *clock) now() int64 { return c.offset.Load() + c.local() }

// learn takes a time that the store has answered with a call that began at a local time.
func (c *clock) learn(stamp time.Time, before int64) {
	if stamp.IsZero() {
		return
	}
	least, most := stamp.UnixMicro()-c.local(), stamp.UnixMicro()-before
	for {
		known := c.offset.Load()
		next := max(known, least)
		if !c.learnt.Load() || next > most { // the first answer, or the store's clock was set back
			next = least
		}
		if c.offset.CompareAndSwap(known, next) {
			c.learnt.Store(true)
			return
		}
	}
}

// timeOrZero converts microseconds since 1970, of which 0 is none.
func timeOrZero(us int64) time.Time {
	if us == 0 {
		return time.Time{}
	}
	return timeOf(us)
}

// timeOf converts microseconds since 1970.
func timeOf(us int64) time.Time { return time.UnixMicro(us).UTC() }
