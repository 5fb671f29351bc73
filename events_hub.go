package sessiontrack

import (
	"crypto/rand"
	"encoding/base64"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sessiontrack/sessiontrack/internal/storeclock"
)

// events tells subscribers and streams of what happens. One goroutine makes events of
// what the feed brings; the hub hands them to the readers.
type events struct {
	most     int           // Options.MaxSubscribers
	interval time.Duration // FeedInterval
	online   time.Duration // the window of who counts as online
	idle     time.Duration

	backend *backend
	near    *near
	figures *figures
	host    *host
	clock   *storeclock.Clock

	hub hub
}

func (v *events) init(o *Options, n *near, f *figures) {
	v.most, v.interval, v.online, v.idle = o.MaxSubscribers, o.FeedInterval, o.Online, o.IdleTimeout
	v.backend, v.near, v.figures, v.host, v.clock = n.backend, n, f, n.host, n.clock
	v.hub.init()
}

const (
	// logSize is how many events are kept, for readers that are behind and for those
	// that come back. At about 1 KB an event, 4 MB at the most.
	logSize = 4096
	// stallAfter is how long a reader may be away with something to read; looked at
	// once a second, it is gone within ten.
	stallAfter = 8 * time.Second
	// lingerFor is how long events are still collected after the last reader has
	// left: a page that is loaded anew goes on where it was.
	lingerFor = time.Minute
	// clockDoubt is how much the store's clock may be behind what its latest answer
	// shows: a login at the moment of the first subscription is told rather than lost.
	clockDoubt = 20 * time.Millisecond
)

// hub hands events to their readers. It is one log with a place for each reader in
// place of a buffer for each: publishing costs the same for one reader and for ten
// thousand, waits for none of them, and needs no lock; a reader that comes back goes
// on in the same log. Only the goroutine of runEvents publishes.
type hub struct {
	slots [logSize]atomic.Pointer[logEntry]
	next  atomic.Uint64 // the place of the next event; the first is 1
	wake  atomic.Pointer[chan struct{}]
	epoch string // of this process, in every id

	mu      sync.Mutex
	open    bool // between Start and Shutdown
	readers map[*Subscription]struct{}
	leftAt  int64 // local time at which the last reader left
	since   int64 // the store's time from which on events are wanted; 0: nobody is there
	started chan struct{}

	request  atomic.Pointer[feedRequest] // nil while nobody needs the feed's help
	arrivals chan feedBatch
	missed   atomic.Bool // an arrival did not fit
	nudges   chan struct{}
	streams  streams
}

// logEntry is one place of the log.
type logEntry struct {
	seq    uint64
	event  Event
	people map[string]UserInfo // of the event's user, shared by a batch
	once   sync.Once
	json   []byte // made once, by the first reader by HTTP
}

func (h *hub) init() {
	var name [6]byte
	rand.Read(name[:])
	h.epoch = base64.RawURLEncoding.EncodeToString(name[:])
	h.next.Store(1)
	wake := make(chan struct{})
	h.wake.Store(&wake)
	h.readers = make(map[*Subscription]struct{})
	h.started = make(chan struct{}, 1)
	h.arrivals = make(chan feedBatch, 64)
	h.nudges = make(chan struct{}, 1)
	h.streams.init()
}

// id names a place: ids of another process, or of before a restart, differ in their
// first part and so lead to a snapshot.
func (h *hub) id(seq uint64) string { return h.epoch + "." + strconv.FormatUint(seq, 10) }

// resume returns the place behind an id, where the log still has what follows it.
func (h *hub) resume(after string) (uint64, bool) {
	number, ours := strings.CutPrefix(after, h.epoch+".")
	if !ours {
		return 0, false
	}
	seq, err := strconv.ParseUint(number, 10, 64)
	if err != nil || seq == 1<<64-1 || strconv.FormatUint(seq, 10) != number {
		return 0, false
	}
	_, state := h.at(seq + 1)
	return seq + 1, state == placeTaken || state == placeEmpty && seq+1 == h.next.Load()
}

// What at finds at a place.
const (
	placeTaken = iota
	placeEmpty // not yet written
	placeLost  // overwritten
)

// at reads a place of the log.
func (h *hub) at(seq uint64) (*logEntry, int) {
	if seq >= h.next.Load() {
		return nil, placeEmpty
	}
	r := h.slots[seq%logSize].Load()
	if r == nil || r.seq != seq {
		return nil, placeLost
	}
	return r, placeTaken
}

// publish appends events and wakes who waits. It never waits itself.
func (h *hub) publish(events []Event, people map[string]UserInfo) {
	if len(events) == 0 {
		return
	}
	for _, e := range events {
		seq := h.next.Load()
		e.ID = h.id(seq)
		h.slots[seq%logSize].Store(&logEntry{seq: seq, event: e, people: people})
		h.next.Store(seq + 1)
	}
	wake := make(chan struct{})
	close(*h.wake.Swap(&wake))
}

// forget makes every id of before unknown: for when nobody has been watching.
func (h *hub) forget() {
	for i := range h.slots {
		h.slots[i].Store(nil)
	}
	h.next.Add(logSize)
}

func (h *hub) add(s *Subscription, limit int) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case !h.open:
		return errNotRunning
	case len(h.readers) >= limit:
		return errTooMany
	}
	h.readers[s] = struct{}{}
	if h.since == 0 {
		h.since = s.events.clock.Earliest() - clockDoubt.Microseconds()
	}
	select {
	case h.started <- struct{}{}:
	default:
	}
	return nil
}

func (h *hub) remove(s *Subscription) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.reading(s) {
		return
	}
	delete(h.readers, s)
	if s.unbind != nil {
		s.unbind()
	}
	if len(h.readers) == 0 {
		h.leftAt = s.events.clock.Local()
	}
}

// bind has unbind called when the reader leaves.
func (h *hub) bind(s *Subscription, unbind func() bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if s.unbind = unbind; !h.reading(s) {
		unbind()
	}
}

// reading reports whether s has not left. The caller holds the lock.
func (h *hub) reading(s *Subscription) bool {
	_, ok := h.readers[s]
	return ok
}

// deserted reports that nobody has been reading for lingerFor; the next reader
// begins anew.
func (h *hub) deserted(local int64) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.readers) > 0 || local-h.leftAt < lingerFor.Microseconds() {
		return false
	}
	h.since = 0
	return true
}

func (h *hub) watchedSince() int64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.since
}

// nudge asks for a reading of the feed out of turn, while somebody is watching.
func (h *hub) nudge() {
	if h.request.Load() == nil {
		return
	}
	select {
	case h.nudges <- struct{}{}:
	default:
	}
}

// hand gives changes to the eventBuilder and never waits: what does not fit becomes a gap.
func (h *hub) hand(a feedBatch) {
	select {
	case h.arrivals <- a:
	default:
		h.missed.Store(true)
	}
}

// list copies the readers, so that they can be ended, which takes the lock.
func (h *hub) list() []*Subscription {
	h.mu.Lock()
	defer h.mu.Unlock()
	all := make([]*Subscription, 0, len(h.readers))
	for s := range h.readers {
		all = append(all, s)
	}
	return all
}

// endStalled closes the readers that have been away for too long with something to
// read.
func (h *hub) endStalled(local int64) (n int) {
	next := h.next.Load()
	for _, s := range h.list() {
		away := s.away.Load()
		if away != 0 && local-away > stallAfter.Microseconds() && s.read.Load() < next {
			s.end(errStalled)
			n++
		}
	}
	return n
}

// setOpen lets subscriptions begin, or ends all.
func (h *hub) setOpen(open bool) {
	h.mu.Lock()
	h.open = open
	if !open {
		h.since = 0
	}
	h.mu.Unlock()
	if !open {
		for _, s := range h.list() {
			s.end(errShutDown)
		}
	}
}

// The four methods of a feedListener.

func (v *events) feedRequest() *feedRequest { return v.hub.request.Load() }

func (v *events) feedBrought(b feedBatch) { v.hub.hand(b) }

func (v *events) sessionEnded(h handle) { v.hub.streams.end(h) }

func (v *events) endsMissed() { v.hub.streams.doubtAll() }
