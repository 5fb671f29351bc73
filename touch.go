package sessiontrack

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sessiontrack/sessiontrack/internal/lifecycle"
	"github.com/sessiontrack/sessiontrack/internal/storeclock"
)

const (
	// touchBatch is how many touches one call of the store gets. More do not raise the rows per
	// second, and a transaction must end within 2 s.
	touchBatch = 5000
	// maxFlushBackOff bounds the wait between attempts while the store is unreachable, so that
	// activity is written within seconds of its return.
	maxFlushBackOff = 4 * time.Second
)

// touches records activity: it collects it in a buffer and writes it every FlushInterval.
type touches struct {
	every    int64 // TouchInterval in microseconds
	interval time.Duration
	step     time.Duration // PresenceStep
	// told hears which sessions a flush that began at a local time has found alive. The others
	// have ended elsewhere.
	told func(alive, gone []handle, local int64)

	backend *backend
	host    *host
	life    *lifecycle.Runner
	clock   *storeclock.Clock

	buffer    touchBuffer
	flushing  chan struct{} // taken by the flush in progress
	flushedAt atomic.Int64  // local time
	flushTime atomic.Int64  // of the latest flush that had something to write, in microseconds
	soon      chan struct{}
}

func (u *touches) init(o *Options, told func(alive, gone []handle, local int64), b *backend, h *host,
	life *lifecycle.Runner) {
	u.every, u.interval, u.step = o.TouchInterval.Microseconds(), o.FlushInterval, o.PresenceStep
	u.told, u.backend, u.host, u.life, u.clock = told, b, h, life, b.clock
	u.buffer.init(max(4*o.CacheSize, 100_000))
	u.flushing, u.soon = make(chan struct{}, 1), make(chan struct{}, 1)
}

// touch records that a session was used at a time of the store's clock. After Start it never waits
// for the store; before Start it waits at most StoreTimeout.
//
// It reports whether the touch was queued, which happens once per TouchInterval. That is the time
// to check for other changes.
func (u *touches) touch(ctx context.Context, e *entry, now int64) bool {
	storeclock.Raise(&e.last, now)
	queued := e.queued.Load()
	if now-queued < u.every {
		return false
	}
	if !e.queued.CompareAndSwap(queued, now) {
		return false // another request of this session has just queued it
	}
	u.record(ctx, e.handle, activity{at: now, serial: e.serial})
	return true
}

// see records a sign of life that is no activity, once per TouchInterval: it moves LastSeen. With
// online it also moves the presence of the session's user, and the caller sees to the interval.
func (u *touches) see(ctx context.Context, e *entry, now int64, online bool) {
	seen := e.seen.Load()
	if !online && now-max(seen, e.queued.Load()) < u.every {
		return
	}
	if !e.seen.CompareAndSwap(seen, max(seen, now)) && !online {
		return // another request of this session has just queued it
	}
	u.record(ctx, e.handle, activity{seen: now, online: online, serial: e.serial})
}

// record queues one touch, or writes it before Start.
func (u *touches) record(ctx context.Context, h handle, a activity) {
	run := u.life.Begin()
	if run == nil {
		u.writeNow(ctx, h, a)
		return
	}
	defer run.Done() // the last flush waits for it
	if !u.buffer.add(h, a) {
		u.host.count(countTouchDropped, 1)
	}
}

// writeNow writes one touch at once: what a Tracker does before Start.
func (u *touches) writeNow(ctx context.Context, h handle, a activity) {
	ctx, cancel := u.backend.short(detached(ctx))
	defer cancel()
	_, err := u.backend.touch(ctx, []TouchRecord{a.touch(h)}, u.step)
	if err != nil {
		u.host.count(countTouchDropped, 1)
		u.host.log.LogAttrs(ctx, warn, "sessiontrack: activity was not recorded", sessionAttr(h), errAttr(err))
	}
}

// flush writes the buffer. It returns the number of touches that are still unwritten, and the
// store's error. Flushes run one at a time.
func (u *touches) flush(ctx context.Context) (int, error) {
	if !acquire(ctx, u.flushing) { // a flush that waits for the store delays nobody past ctx
		return u.buffer.len(), ctx.Err()
	}
	defer func() { <-u.flushing }()
	began := u.clock.Local()
	u.flushedAt.Store(began)
	if u.buffer.len() == 0 {
		return 0, nil
	}
	defer func() { u.flushTime.Store(u.clock.Local() - began) }()
	taken := u.buffer.take()
	batch := make([]TouchRecord, 0, len(taken))
	for h, a := range taken {
		batch = append(batch, a.touch(h))
	}
	slices.SortFunc(batch, bySerials) // before it is cut into pieces
	written, err := 0, error(nil)
	for written < len(batch) && err == nil {
		end := min(written+touchBatch, len(batch))
		if err = u.write(ctx, batch[written:end]); err == nil {
			written = end
		}
	}
	u.buffer.done(batch[written:])
	return len(batch) - written, err
}

// acquire takes the place in a channel of one. It returns false if ctx is done first.
func acquire(ctx context.Context, place chan struct{}) bool {
	select {
	case place <- struct{}{}:
		return true
	default:
	}
	select {
	case place <- struct{}{}:
		return true
	case <-ctx.Done():
		return false
	}
}

// write writes one batch, and tells what has become of its sessions.
func (u *touches) write(ctx context.Context, batch []TouchRecord) error {
	began := u.clock.Local()
	returned, err := u.backend.touch(ctx, batch, u.step)
	if err != nil {
		u.host.count(countFlushFailed, 1)
		return err
	}
	u.host.count(countTouches, len(returned))
	here := make(map[handle]struct{}, len(returned))
	for _, id := range returned {
		if h, ok := parseHandle(id); ok {
			here[h] = struct{}{}
		}
	}
	alive, gone := make([]handle, 0, len(here)), []handle(nil)
	for _, touch := range batch {
		h, ok := parseHandle(touch.ID)
		if _, lives := here[h]; ok && lives {
			alive = append(alive, h)
		} else if ok {
			gone = append(gone, h)
		}
	}
	u.told(alive, gone, began)
	return nil
}

// flushBeforeRead writes what this process holds before a question about presence is
// answered, at most once a second. A failed flush is logged; the question is answered
// anyway.
func (u *touches) flushBeforeRead(ctx context.Context) {
	fresh := u.clock.Local()-u.flushedAt.Load() < time.Second.Microseconds()
	if fresh || u.backend.away() {
		return
	}
	ctx, cancel := u.backend.long(detached(ctx))
	defer cancel()
	if _, err := u.flush(ctx); err != nil {
		u.host.log.LogAttrs(ctx, warn, "sessiontrack: the flush before an online question failed", errAttr(err))
	}
}

// flushSoon has the loop flush at once.
func (u *touches) flushSoon() {
	select {
	case u.soon <- struct{}{}:
	default:
	}
}

// run writes touches every FlushInterval until ctx is done.
func (u *touches) run(ctx context.Context) {
	ticker := time.NewTicker(u.interval)
	defer ticker.Stop()
	var wait, retryAt time.Duration
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		case <-u.soon:
			retryAt = 0
		}
		now := time.Duration(u.clock.Local()) * time.Microsecond
		if now < retryAt {
			continue
		}
		left, err := u.flush(ctx)
		if err == nil {
			wait = 0
			continue
		}
		if ctx.Err() != nil {
			return
		}
		if wait == 0 {
			u.host.log.LogAttrs(ctx, warn, "sessiontrack: touches were not written and will be retried", countAttr(left),
				errAttr(err))
		}
		wait = min(max(2*wait, u.interval), maxFlushBackOff)
		retryAt = now + wait
	}
}

// touchBuffer holds activity until it is written. It has one time per session, however many
// requests, so that during an outage it cannot outgrow the number of sessions in use.
type touchBuffer struct {
	mu      sync.Mutex
	pending map[handle]activity
	writing map[handle]activity // taken by the flush in progress
	limit   int
}

// activity is the latest use of a session and the latest other sign of life, 0 for none, and the
// session's Serial.
type activity struct {
	at, seen, serial int64
	online           bool // seen moves the presence of the user
}

// merge returns both as one. The later times count.
func (a activity) merge(b activity) activity {
	return activity{max(a.at, b.at), max(a.seen, b.seen), max(a.serial, b.serial), a.online || b.online}
}

// touch returns the record that a store gets.
func (a activity) touch(h handle) TouchRecord {
	return TouchRecord{
		ID: h.id(), At: fromMicros(a.at), Seen: fromMicros(a.seen), Online: a.online, Serial: a.serial,
	}
}

func (b *touchBuffer) init(limit int) { b.pending, b.limit = make(map[handle]activity), limit }

// add records activity. It returns false if the buffer is full and the activity was dropped.
func (b *touchBuffer) add(h handle, a activity) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	known, ok := b.pending[h]
	if !ok && len(b.pending) >= b.limit {
		return false
	}
	b.pending[h] = known.merge(a)
	return true
}

// latest returns activity of a session that may not be written yet.
func (b *touchBuffer) latest(h handle) int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return max(b.pending[h].at, b.writing[h].at)
}

// take empties the buffer. The caller must pass to done what it could not write. Only the flusher
// calls it.
func (b *touchBuffer) take() map[handle]activity {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.writing, b.pending = b.pending, make(map[handle]activity, len(b.pending)/2)
	return b.writing
}

// done ends the flush that take began, and puts unwritten activity back.
func (b *touchBuffer) done(unwritten []TouchRecord) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.writing = nil
	for _, touch := range unwritten {
		if h, ok := parseHandle(touch.ID); ok {
			b.pending[h] = b.pending[h].merge(activity{micros(touch.At), micros(touch.Seen), touch.Serial, touch.Online})
		}
	}
}

func (b *touchBuffer) len() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.pending) + len(b.writing)
}
