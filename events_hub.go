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
	// logSize is how many events are kept for readers that are behind or that come back. With about
	// 1 KB per event this is at most 4 MB.
	logSize = 4096
	// stallAfter is how long a reader may stay out of Next while events wait. This is checked once
	// a second, so the reader is closed within ten seconds.
	stallAfter = 8 * time.Second
	// lingerFor is how long events are collected after the last reader has left, so that a reloaded
	// page can resume.
	lingerFor = time.Minute
	// clockDoubt is how much the store's clock may be behind its latest answer. A login at the
	// moment of the first subscription may be announced twice rather than lost.
	clockDoubt = 20 * time.Millisecond
)

// hub distributes events to readers. It is one log, a ring buffer, in which each reader has a
// position; readers have no buffers of their own. So publishing costs the same for one reader and
// ten thousand, waits for none of them and takes no lock, and a reader that comes back resumes in
// the same log. Only the goroutine of events.run publishes.
type hub struct {
	slots [logSize]atomic.Pointer[logEntry]
	next  atomic.Uint64 // the position of the next event; the first is 1
	wake  atomic.Pointer[chan struct{}]
	epoch string // names this process in every id

	mu      sync.Mutex
	open    bool // from Start until Shutdown
	readers map[*Subscription]struct{}
	leftAt  int64 // local time at which the last reader left
	since   int64 // the store's time from which readers want events; 0 means no reader
	started chan struct{}

	request  atomic.Pointer[feedRequest] // nil while no reader needs the feed
	arrivals chan feedBatch
	missed   atomic.Bool // an arrival did not fit into the channel
	nudges   chan struct{}
	streams  streams
}

// logEntry is one place of the log.
type logEntry struct {
	seq    uint64
	event  Event
	people map[string]UserInfo // the event's user, in a map that a batch shares
	once   sync.Once
	json   []byte // encoded once, by the first HTTP reader
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

// id returns the id of a position. An id of another process, or from before a restart, has another
// epoch and leads to a snapshot.
func (h *hub) id(seq uint64) string { return h.epoch + "." + strconv.FormatUint(seq, 10) }

// resume returns the position after an id, if the log still has the events after it.
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

// These are the results of at.
const (
	placeTaken = iota
	placeEmpty // not yet written
	placeLost  // overwritten
)

// at reads one slot of the log.
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

// publish appends events and wakes the waiting readers. It never waits.
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

// forget invalidates all earlier event ids, because events were not collected for a while.
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

// bind sets the function that is called when the reader leaves.
func (h *hub) bind(s *Subscription, unbind func() bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if s.unbind = unbind; !h.reading(s) {
		unbind()
	}
}

// reading reports whether s is still a reader. The caller holds the lock.
func (h *hub) reading(s *Subscription) bool {
	_, ok := h.readers[s]
	return ok
}

// deserted reports whether there has been no reader for lingerFor. Then collecting stops and the
// next reader gets a snapshot.
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

// nudge asks for an immediate poll of the feed if there are readers.
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

// subscribers counts the readers.
func (h *hub) subscribers() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.readers)
}

// list copies the list of readers, because closing a reader takes the lock.
func (h *hub) list() []*Subscription {
	h.mu.Lock()
	defer h.mu.Unlock()
	all := make([]*Subscription, 0, len(h.readers))
	for s := range h.readers {
		all = append(all, s)
	}
	return all
}

// endStalled closes the readers that have left events unread for too long.
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

// setOpen allows subscriptions, or closes all of them.
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

// The two methods of a feedListener.

func (v *events) feedRequest() *feedRequest { return v.hub.request.Load() }

func (v *events) feedBrought(b feedBatch) { v.hub.hand(b) }

// streamOver is the reason why a stream closes. word is sent to the client.
type streamOver struct{ word string }

func (e *streamOver) Error() string { return "sessiontrack: the stream is over: " + e.word }

// Unwrap makes it match ErrSubscriptionClosed.
func (e *streamOver) Unwrap() error { return ErrSubscriptionClosed }

// These are the reasons why a stream closes.
var (
	overExpired     = &streamOver{"token_expired"}
	overForbidden   = &streamOver{"forbidden"}
	overUnavailable = &streamOver{"store_unavailable"}
	overShutDown    = &streamOver{"shutdown"}
	overStalled     = &streamOver{"stalled"}
)

// streams are the readers of events by HTTP.
type streams struct {
	count  atomic.Int64
	used   atomic.Bool // whether there was a stream since watching began
	mu     sync.Mutex
	open   map[*Subscription]struct{}
	byUser map[string]int // streams per user, without those of administrators
}

func (a *streams) init() {
	a.open, a.byUser = make(map[*Subscription]struct{}), make(map[string]int)
}

// fairStreams is how many streams one user may always have, whatever Options.MaxSubscribers is.
const fairStreams = 16

// admit reserves one of a user's places. A user gets at most a quarter of all places, so that one
// account cannot lock the others out, administrators above all.
func (a *streams) admit(user string, all int) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.byUser[user] >= max(all/4, fairStreams) {
		return false
	}
	a.byUser[user]++
	return true
}

// release gives a place of the user back.
func (a *streams) release(user string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.byUser[user]--; a.byUser[user] == 0 {
		delete(a.byUser, user)
	}
}

// any reports whether anybody reads by HTTP.
func (a *streams) any() bool { return a.count.Load() > 0 }

func (a *streams) add(s *Subscription) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.open[s] = struct{}{}
	a.count.Add(1)
	a.used.Store(true)
}

func (a *streams) remove(s *Subscription) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.open, s)
	a.count.Add(-1)
}

// list returns a copy of the list of streams.
func (a *streams) list() []*Subscription {
	a.mu.Lock()
	defer a.mu.Unlock()
	list := make([]*Subscription, 0, len(a.open))
	for s := range a.open {
		list = append(list, s)
	}
	return list
}
