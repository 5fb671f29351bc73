package sessiontrack

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sessiontrack/sessiontrack/internal/storeclock"
)

const (
	// confirmAfter is how long a session is served or held on the word of the feed alone. A
	// reading of its row confirms it, and so does a flush that finds it alive. The feed can miss
	// an end: a COMMIT that came late, an UPDATE of the host's own with an old stamp, a DELETE.
	confirmAfter = 45 * time.Second
	// confirmWait bounds how long a session in doubt waits for a flush to confirm it, before it
	// is read. Those that are used are flushed anyway.
	confirmWait = 5 * time.Second
	// confirmLate is how far the readings may be behind before requests no longer wait for them:
	// each reads its own session then.
	confirmLate = 30 * time.Second
	// confirmReads is how many statements a second read what is in doubt.
	confirmReads = 25
)

// unconfirmed reports whether nothing has confirmed the session for confirmAfter.
func (e *entry) unconfirmed(local int64) bool {
	return local-e.confirmed.Load() >= confirmAfter.Microseconds()
}

// holder hears of the sessions that are held open outside of requests.
type holder interface {
	// sessionEnded is told of each end, here or elsewhere.
	sessionEnded(handle, *ending)
	// sessionRead is told what a reading of a session in doubt has brought: not an end.
	sessionRead(*entry)
	// sessionGone is told that no session has the handle any more.
	sessionGone(handle)
	// sessionInDoubt is told that a flush did not find the session alive.
	sessionInDoubt(handle)
	// endsMissed is told that ends may have been missed.
	endsMissed()
}

// doubts are the sessions that nothing has confirmed lately and that somebody uses. They are
// read anew, many in one statement.
type doubts struct {
	wait int64 // how long a flush may take to confirm, in microseconds
	late atomic.Bool

	mu      sync.Mutex
	pending map[handle]doubt
}

// doubt says when a session is to be read, in local time. must says that only a reading
// settles it: a flush tells that a session is alive, and not when it was last used.
type doubt struct {
	asked, from int64
	must        bool
}

func (d *doubts) init(flush time.Duration) {
	d.wait = min(flush+time.Second, confirmWait).Microseconds()
	d.pending = make(map[handle]doubt)
}

// add has a session read, unless a flush confirms it before. It keeps the earlier of two
// doubts.
func (d *doubts) add(h handle, local int64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if _, known := d.pending[h]; !known {
		d.pending[h] = doubt{asked: local, from: local + d.wait}
	}
}

// demand has a session read at the next turn, whatever a flush says.
func (d *doubts) demand(h handle, local int64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.pending[h] = doubt{asked: local, from: local, must: true}
}

// settle takes back the doubts of sessions that were alive at a local time.
func (d *doubts) settle(alive []handle, local int64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.pending) == 0 {
		return
	}
	for _, h := range alive {
		if k, ok := d.pending[h]; ok && !k.must && k.asked <= local {
			delete(d.pending, h)
		}
	}
}

// take takes at most n of those that are due, and notes whether any has waited too long.
func (d *doubts) take(local int64, n int) map[handle]doubt {
	d.mu.Lock()
	defer d.mu.Unlock()
	due, late := make(map[handle]doubt, min(n, len(d.pending))), false
	for h, k := range d.pending {
		late = late || local-k.from > confirmLate.Microseconds()
		if k.from <= local && len(due) < n {
			due[h] = k
			delete(d.pending, h)
		}
	}
	d.late.Store(late)
	return due
}

// back puts back what could not be read.
func (d *doubts) back(taken map[handle]doubt) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for h, k := range taken {
		if _, again := d.pending[h]; !again {
			d.pending[h] = k
		}
	}
}

func (d *doubts) clear() {
	d.mu.Lock()
	defer d.mu.Unlock()
	clear(d.pending)
	d.late.Store(false)
}

// stands reports whether a cached entry may be served that nothing has confirmed for
// confirmAfter. It has the session read, together with others.
func (n *near) stands(e *entry, local int64) bool {
	if e.ending.Load() != nil {
		return true
	}
	if n.doubts.late.Load() {
		return false
	}
	n.doubts.add(e.handle, local)
	return true
}

// runDoubts reads what is in doubt, once a second, until ctx is done.
func (n *near) runDoubts(ctx context.Context) {
	defer n.doubts.clear()
	ticker := time.NewTicker(min(time.Second, n.interval))
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			n.readDoubts(ctx)
		}
	}
}

// readDoubts reads what is due, in at most confirmReads statements. It does not wait for a store
// that is away: then the feed says how long sessions are served.
func (n *near) readDoubts(ctx context.Context) {
	for range confirmReads {
		if n.backend.strained() {
			return
		}
		local := n.clock.Local()
		due := n.doubts.take(local, n.backend.readBatch())
		if len(due) == 0 {
			return
		}
		if err := n.readMany(ctx, due, local); err != nil {
			n.doubts.back(due)
			return
		}
	}
}

// readMany reads sessions with one statement and learns what has become of each.
func (n *near) readMany(ctx context.Context, due map[handle]doubt, local int64) error {
	ids := make([]SessionID, 0, len(due))
	for h := range due {
		ids = append(ids, h.id())
	}
	records, err := n.backend.read(ctx, ids)
	if err != nil {
		return err
	}
	for i := range records {
		h, ok := parseHandle(records[i].ID)
		if _, asked := due[h]; !ok || !asked {
			continue
		}
		e, err := n.entryOf(&records[i], h, local)
		if err != nil {
			return err
		}
		delete(due, h)
		n.learn(e)
	}
	for h := range due {
		n.cache.drop(h)
		n.holder.sessionGone(h)
	}
	return nil
}

// learn takes what a reading says of a session that is in use.
func (n *near) learn(e *entry) {
	if end := e.ending.Load(); end != nil {
		n.takeOut(e.handle, EndedSession{LogoutAt: fromMicros(end.at), EndReason: end.reason, EndedBy: end.by})
		return
	}
	n.cache.confirm(e)
	n.holder.sessionRead(e)
}

// flushSecond is taken off the time of a flush, which says nothing of the secret: a request that
// is judged now must not take the flush for a reading that began after it; see notGenuine.
const flushSecond = time.Second

// told learns from a flush that began at a local time which sessions are alive. What the flush
// did not bring back has ended elsewhere.
func (n *near) told(alive, gone []handle, local int64) {
	for _, h := range alive {
		if e := n.cache.get(h); e != nil {
			storeclock.Raise(&e.confirmed, local-flushSecond.Microseconds())
		}
	}
	n.doubts.settle(alive, local)
	for _, h := range gone {
		n.cache.drop(h)
		n.holder.sessionInDoubt(h)
	}
}
