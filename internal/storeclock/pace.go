package storeclock

import (
	"context"
	"sync/atomic"
	"time"
)

// Pace spreads work that costs others something: each unit takes the time Each, and
// Ahead of them may be taken before their time.
type Pace struct {
	Each   time.Duration
	Ahead  int
	paidAt int64
}

// Take takes n units and returns how long to wait for them, which may be negative.
func (p *Pace) Take(local int64, n int) time.Duration {
	p.paidAt = max(p.paidAt, local) + (time.Duration(n) * p.Each).Microseconds()
	return time.Duration(p.paidAt-local)*time.Microsecond - time.Duration(p.Ahead)*p.Each
}

// Sleep waits for d or until ctx is done, and reports whether it waited for d.
func Sleep(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return ctx.Err() == nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

// Later returns the later of two times.
func Later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// Raise moves an atomic time forward, never back, and returns where it stands then.
func Raise(a *atomic.Int64, to int64) int64 {
	for {
		now := a.Load()
		if now >= to {
			return now
		}
		if a.CompareAndSwap(now, to) {
			return to
		}
	}
}
