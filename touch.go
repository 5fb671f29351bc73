package sessiontrack

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/sessiontrack/sessiontrack/internal/storeclock"
)

// touchBatch is how many touches one call of the store gets: where rows per second
// level off, and short of the 2 s that a transaction may last.
const touchBatch = 5000

// touchBuffer holds activity until it is written: one time per session, however
// many requests, so that an outage cannot make it grow beyond the sessions that are
// being used.
type touchBuffer struct {
	mu      sync.Mutex
	pending map[handle]activity
	writing map[handle]activity // what the flush under way has taken
	limit   int
}

// activity is the latest use of a session, and the session's Serial.
type activity struct{ at, serial int64 }

func newTouchBuffer(limit int) *touchBuffer {
	return &touchBuffer{pending: make(map[handle]activity), limit: limit}
}

// add records activity; false means that the buffer is full and it was dropped.
func (b *touchBuffer) add(h handle, a activity) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	known, ok := b.pending[h]
	if !ok && len(b.pending) >= b.limit {
		return false
	}
	b.pending[h] = activity{max(known.at, a.at), a.serial}
	return true
}

// latest returns the activity of a session that the store may not have yet.
func (b *touchBuffer) latest(h handle) int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return max(b.pending[h].at, b.writing[h].at)
}

// take empties the buffer into the caller's hands, who gives back what it could not
// write. Calls are serialised by the flusher.
func (b *touchBuffer) take() map[handle]activity {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.writing, b.pending = b.pending, make(map[handle]activity, len(b.pending)/2)
	return b.writing
}

// done ends the flush that take began; what is unwritten goes back.
func (b *touchBuffer) done(unwritten []TouchRecord) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.writing = nil
	for _, touch := range unwritten {
		if h, ok := parseHandle(touch.ID); ok {
			b.pending[h] = activity{max(b.pending[h].at, micros(touch.At)), touch.Serial}
		}
	}
}

func (b *touchBuffer) len() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.pending) + len(b.writing)
}

// touch records that a session was used at a moment of the store's time. It never
// waits for the store once Start has run, and at most StoreTimeout before.
//
// It reports whether the touch was queued, which happens once in TouchInterval: the
// moment to look at what else may have changed.
func (t *Tracker) touch(ctx context.Context, e *entry, now int64) bool {
	storeclock.Raise(&e.last, now)
	queued := e.queued.Load()
	if now-queued < t.touchEvery {
		return false
	}
	if !e.queued.CompareAndSwap(queued, now) {
		return false // another request of this session has just queued it
	}
	run := t.life.Begin()
	if run == nil {
		t.touchNow(ctx, e, now)
		return true
	}
	defer run.Done() // the last flush waits for it
	if !t.touches.add(e.handle, activity{now, e.serial}) {
		t.count(countTouchDropped, 1)
	}
	return true
}

// touchNow writes one touch at once: what a Tracker without Start does.
func (t *Tracker) touchNow(ctx context.Context, e *entry, now int64) {
	ctx, cancel := t.requestContext(ctx)
	defer cancel()
	_, err := t.touchStore(ctx, []TouchRecord{{e.handle.id(), fromMicros(now), e.serial}})
	if err != nil {
		t.count(countTouchDropped, 1)
		t.opts.Logger.LogAttrs(ctx, warn, "sessiontrack: activity not recorded", sessionAttr(e.handle), errAttr(err))
	}
}

func (t *Tracker) touchStore(ctx context.Context, batch []TouchRecord) (alive []SessionID, err error) {
	err = t.withStore(func() error {
		alive, err = t.store.Touch(ctx, batch, t.opts.PresenceStep)
		return err
	})
	return alive, err
}

// flush writes what the buffer holds. It returns the number of touches that are
// still unwritten, with the store's error. Flushes run one at a time.
func (t *Tracker) flush(ctx context.Context) (int, error) {
	if !acquire(ctx, t.flushing) { // a flush that waits for the store holds nobody up past ctx
		return t.touches.len(), ctx.Err()
	}
	defer func() { <-t.flushing }()
	t.flushedAt.Store(t.clock.Local())
	if t.touches.len() == 0 {
		return 0, nil
	}
	taken := t.touches.take()
	batch := make([]TouchRecord, 0, len(taken))
	for h, a := range taken {
		batch = append(batch, TouchRecord{h.id(), fromMicros(a.at), a.serial})
	}
	slices.SortFunc(batch, bySerials) // before it is cut: see Touch.Serial
	written, err := 0, error(nil)
	for written < len(batch) && err == nil {
		end := min(written+touchBatch, len(batch))
		if err = t.writeTouches(ctx, batch[written:end]); err == nil {
			written = end
		}
	}
	t.touches.done(batch[written:])
	return len(batch) - written, err
}

// acquire takes the place in a channel of one, and reports false where ctx is done
// before it is free.
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

// writeTouches writes one batch and forgets the sessions that it did not bring
// back: they have ended elsewhere.
func (t *Tracker) writeTouches(ctx context.Context, batch []TouchRecord) error {
	ctx, cancel := context.WithTimeout(ctx, writePatience*t.opts.StoreTimeout)
	defer cancel()
	alive, err := t.touchStore(ctx, batch)
	if err != nil {
		t.count(countFlushFailed, 1)
		return err
	}
	t.count(countTouches, len(alive))
	if len(alive) == len(batch) {
		return nil
	}
	here := make(map[SessionID]struct{}, len(alive))
	for _, id := range alive {
		here[id] = struct{}{}
	}
	for _, touch := range batch {
		if _, ok := here[touch.ID]; ok {
			continue
		}
		if h, ok := parseHandle(touch.ID); ok {
			t.cache.drop(h)
		}
	}
	return nil
}

// settle writes what this process holds before an online question is answered, at
// most once a second. That it could not is no reason not to answer.
func (t *Tracker) settle(ctx context.Context) {
	fresh := t.clock.Local()-t.flushedAt.Load() < time.Second.Microseconds()
	if fresh || t.down.Load() {
		return
	}
	ctx, cancel := t.writeContext(ctx)
	defer cancel()
	if _, err := t.flush(ctx); err != nil {
		t.opts.Logger.LogAttrs(ctx, warn, "sessiontrack: flush before an online question failed", errAttr(err))
	}
}

// maxFlushBackOff bounds the wait between attempts while the store is away, so
// that activity is written within seconds of its return.
const maxFlushBackOff = 4 * time.Second

// runFlusher writes touches and descriptions every FlushInterval until ctx is done.
func (t *Tracker) runFlusher(ctx context.Context) {
	ticker := time.NewTicker(t.opts.FlushInterval)
	defer ticker.Stop()
	var wait, retryAt time.Duration
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		case <-t.flushKick:
			retryAt = 0
		}
		now := time.Duration(t.clock.Local()) * time.Microsecond
		if now < retryAt {
			continue
		}
		left, err := t.flush(ctx)
		if err == nil {
			wait = 0
			continue
		}
		if ctx.Err() != nil {
			return
		}
		if wait == 0 {
			t.opts.Logger.LogAttrs(ctx, warn, "sessiontrack: touches not written, will be tried again", countAttr(left), errAttr(err))
		}
		wait = min(max(2*wait, t.opts.FlushInterval), maxFlushBackOff)
		retryAt = now + wait
	}
}
