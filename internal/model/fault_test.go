package model

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/sessiontrack/sessiontrack"
)

// mode is the fault of a replica's calls of the store.
type mode int

const (
	healthy mode = iota
	cut          // the call fails and has no effect
	lost         // the call takes effect, but fails
	hanging      // the call has no effect and fails when its context ends
	dead         // the process was killed
)

// link is one replica's connection to the store. It can be cut, lose replies, hang, or delay the
// store's answers. Its clock differs from the store's by skew.
type link struct {
	store *ledger
	skew  time.Duration
	owner *replica

	mu        sync.Mutex
	mode      mode
	slowReads time.Duration // delay of an answer of Get
	slowRest  time.Duration // delay of every other answer
	faultyAt  time.Time     // the end of the latest fault
	begunAt   time.Time     // the start of the present fault
	slowest   time.Duration // the longest delay so far

	pollStart  time.Time // of the latest successful poll of the feed
	pollFailed bool      // since pollStart
	readStart  map[sessiontrack.SessionID]time.Time
	readDone   map[sessiontrack.SessionID]time.Time
	readFailed time.Time
	told       map[*row]bool // ends whose answer reached the replica

	// Planted bugs and their data. The ledger's mu guards omitted and polls.
	racedFills, ageFromEnd, absent, forgetful bool

	omitted map[sessiontrack.SessionID]bool
	polls   int
}

func newLink(l *ledger, owner *replica, skew time.Duration) *link {
	return &link{
		store: l, owner: owner, skew: skew, told: make(map[*row]bool), omitted: make(map[sessiontrack.SessionID]bool),
		readStart: make(map[sessiontrack.SessionID]time.Time), readDone: make(map[sessiontrack.SessionID]time.Time),
	}
}

// set changes the fault and the delays.
func (l *link) set(m mode, reads, rest time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.mode == dead {
		return
	}
	now := time.Now()
	if l.wrong() {
		l.faultyAt = now
	} else if m != healthy || reads > 0 || rest > 0 {
		l.begunAt = now
	}
	l.mode, l.slowReads, l.slowRest = m, reads, rest
	l.slowest = max(l.slowest, reads, rest)
}

func (l *link) wrong() bool { return l.mode != healthy || l.slowReads > 0 || l.slowRest > 0 }

// sound reports whether there has been no fault since the given time, and the replica has had time
// to notice that.
func (l *link) sound(since time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return !l.wrong() && (l.faultyAt.IsZero() || since.After(l.faultyAt.Add(l.owner.settle)))
}

// eps bounds the error of this replica's estimate of the store's time.
func (l *link) eps() time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.slowest + clockEps
}

func away(cause string) error { return fmt.Errorf("%w: %s", sessiontrack.ErrUnavailable, cause) }

// call runs f with the present fault and delay.
func call[V any](ctx context.Context, l *link, read bool, f func() (V, error)) (v V, err error) {
	l.mu.Lock()
	m, slow := l.mode, l.slowRest
	if read {
		slow = l.slowReads
	}
	l.mu.Unlock()
	switch m {
	case dead, cut:
		return v, away("no connection")
	case hanging:
		<-ctx.Done()
		return v, away("no answer")
	}
	answer, err := f()
	if slow > 0 {
		timer := time.NewTimer(slow)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
			return v, away("answered too late")
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if m == lost || l.mode == dead {
		return v, away("reply lost")
	}
	return answer, err
}

// out converts a session's stamps from the store's clock to the replica's.
func (l *link) out(s *sessiontrack.Session) {
	for _, at := range [...]*time.Time{&s.LoginAt, &s.LastActivity, &s.ExpiresAt, &s.LogoutAt} {
		if !at.IsZero() {
			*at = at.Add(l.skew)
		}
	}
}

func (l *link) outAll(sessions []sessiontrack.Session) []sessiontrack.Session {
	shifted := make([]sessiontrack.Session, len(sessions))
	for i, s := range sessions {
		l.out(&s)
		shifted[i] = s
	}
	return shifted
}

func (l *link) Create(ctx context.Context, n sessiontrack.NewSession) (sessiontrack.CreateResult, error) {
	start := time.Now()
	c, err := call(ctx, l, false, func() (sessiontrack.CreateResult, error) { return l.store.Create(ctx, n) })
	if err != nil {
		return c, err
	}
	l.arrived(c.Ended)
	l.mu.Lock()
	l.readStart[c.Session.ID], l.readDone[c.Session.ID] = start, time.Now()
	l.mu.Unlock()
	c.Ended = l.outAll(c.Ended)
	l.out(&c.Session)
	return c, nil
}

// arrived records ends whose answer reached the replica. Its hooks must report them.
func (l *link) arrived(ended []sessiontrack.Session) {
	l.store.mu.Lock()
	defer l.store.mu.Unlock()
	for _, s := range ended {
		if r := l.store.rows[s.ID]; r != nil {
			l.told[r] = true
		}
	}
}

func (l *link) Get(ctx context.Context, id sessiontrack.SessionID) (sessiontrack.Record, error) {
	start := time.Now()
	r, err := call(ctx, l, true, func() (sessiontrack.Record, error) { return l.store.Get(ctx, id) })
	r, err = l.misread(start, r, err)
	l.mu.Lock()
	if err == nil {
		l.readStart[id], l.readDone[id] = start, time.Now()
	} else {
		l.readFailed = time.Now()
	}
	l.mu.Unlock()
	l.out(&r.Session)
	return r, err
}

func (l *link) List(ctx context.Context, q sessiontrack.Query) (sessiontrack.Page, error) {
	p, err := call(ctx, l, false, func() (sessiontrack.Page, error) { return l.store.List(ctx, q) })
	if err == nil {
		p.Sessions, p.Now = l.outAll(p.Sessions), p.Now.Add(l.skew)
	}
	return p, err
}

func (l *link) Touch(ctx context.Context, batch []sessiontrack.TouchRecord,
	step time.Duration) ([]sessiontrack.SessionID, error) {
	shifted := make([]sessiontrack.TouchRecord, len(batch))
	for i, t := range batch {
		shifted[i] = sessiontrack.TouchRecord{ID: t.ID, At: t.At.Add(-l.skew)}
	}
	return call(ctx, l, false, func() ([]sessiontrack.SessionID, error) { return l.store.Touch(ctx, shifted, step) })
}

func (l *link) Describe(ctx context.Context, batch []sessiontrack.SessionUpdate) error {
	_, err := call(ctx, l, false, func() (struct{}, error) { return struct{}{}, l.store.Describe(ctx, batch) })
	return err
}

func (l *link) End(ctx context.Context, sel sessiontrack.Selector, e sessiontrack.Ending) (sessiontrack.EndResult,
	error) {
	ended, err := call(ctx, l, false, func() (sessiontrack.EndResult, error) { return l.store.End(ctx, sel, e) })
	if err == nil {
		l.arrived(ended.Sessions)
		ended.Sessions, ended.At = l.outAll(ended.Sessions), ended.At.Add(l.skew)
	}
	return ended, err
}

func (l *link) Purge(ctx context.Context, p sessiontrack.PurgeOptions) (int, error) {
	return call(ctx, l, false, func() (int, error) { return l.store.Purge(ctx, p) })
}

func (l *link) EndedSince(ctx context.Context, since time.Time, limit int) (sessiontrack.EndedPage, error) {
	start := time.Now()
	if !since.IsZero() {
		since = since.Add(-l.skew)
	}
	p, err := call(ctx, l, false, func() (sessiontrack.EndedPage, error) { return l.store.EndedSince(ctx, since, limit) })
	l.mu.Lock()
	if err == nil {
		l.pollStart, l.pollFailed = start, false
	} else {
		l.pollFailed = true
	}
	l.mu.Unlock()
	if err == nil {
		p = l.misfeed(p)
		p.Ended, p.Now = slices.Clone(p.Ended), p.Now.Add(l.skew)
		for i := range p.Ended {
			p.Ended[i].LogoutAt = p.Ended[i].LogoutAt.Add(l.skew)
		}
	}
	return p, err
}

// feedless hides the store's feed.
type feedless struct{ sessiontrack.Store }
