package model

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/sessiontrack/sessiontrack"
)

// backing lists the capabilities that the model needs.
type backing interface {
	sessiontrack.Store
	sessiontrack.EndedFeed
}

// clockEps is how far the store's clock may be ahead of the bubble's. The store advances it by a
// microsecond where two stamps must differ.
const clockEps = time.Millisecond

// row is the model's copy of a session.
type row struct {
	sessiontrack.Session
	committed time.Time // the time of the commit of the end
	gone      bool      // purged
	blanked   bool
	again     bool // an earlier session with this id ended, and was purged in time
	// acked holds the number of the event at which a replica learned of the end. The numbers give
	// an order to events of the same instant.
	acked map[*replica]int64
	// lateTouch means that a touch had a time that no Tracker sends: from the future, or later than
	// the idle limit can wait for.
	lateTouch bool
}

// fence is the latest time at which all of a user's sessions ended.
type fence struct {
	at     time.Time
	unsure bool // a purge came so close to the fence's expiry that it may have removed it
}

// ledger wraps the store that all replicas share. It carries each call out and compares the answer
// with the model. Its lock puts all calls into one order.
type ledger struct {
	mu       sync.Mutex
	store    backing
	options  sessiontrack.Options
	rows     map[sessiontrack.SessionID]*row
	fences   map[string]fence
	refused  []time.Time // all fences so far, because replicas remember refusals
	lastEnd  time.Time
	problems []string
	tokens   func(id sessiontrack.SessionID, now time.Time) bool // whether a seen credential is valid
}

func newLedger(store backing, o sessiontrack.Options) *ledger {
	return &ledger{
		store: store, options: o, rows: make(map[sessiontrack.SessionID]*row), fences: make(map[string]fence),
		tokens: func(sessiontrack.SessionID, time.Time) bool { return false },
	}
}

// fail records a violation. The caller holds the lock.
func (l *ledger) fail(invariant, format string, args ...any) {
	if len(l.problems) < 5 {
		l.problems = append(l.problems, fmt.Sprintf("%s at %s: ", invariant, stamp(time.Now()))+fmt.Sprintf(format, args...))
	}
}

// found returns the violations so far.
func (l *ledger) found() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.problems)
}

func stamp(t time.Time) string { return t.UTC().Format("02T15:04:05.000000") }

func (l *ledger) live(id sessiontrack.SessionID) *row {
	if r := l.rows[id]; r != nil && !r.gone && !r.Ended() {
		return r
	}
	return nil
}

// sorted returns the rows in the order of their serials.
func (l *ledger) sorted(keep func(*row) bool) []*row {
	var found []*row
	for r := range maps.Values(l.rows) {
		if keep(r) {
			found = append(found, r)
		}
	}
	slices.SortFunc(found, func(a, b *row) int { return int(a.Serial - b.Serial) })
	return found
}

// within reports whether a live row is within its time limits.
func within(r *row, idle time.Duration, now time.Time) bool {
	return (r.ExpiresAt.IsZero() || now.Before(r.ExpiresAt)) && (idle == 0 || now.Sub(r.LastActivity) < idle)
}

// room returns the sessions that a Create must end, and whether it must be denied.
func (l *ledger) room(n *sessiontrack.NewSession, now time.Time) (replaced, over []sessiontrack.SessionID,
	denied bool) {
	if r := l.live(n.Replaces); r != nil {
		replaced = append(replaced, r.ID)
	}
	if n.Limit == 0 {
		return replaced, nil, false
	}
	active := l.sorted(func(r *row) bool {
		return !r.gone && !r.Ended() && r.UserID == n.Session.UserID && r.ID != n.Replaces && within(r, n.IdleTimeout, now)
	})
	excess := len(active) + 1 - n.Limit
	if excess <= 0 {
		return replaced, nil, false
	}
	if n.Policy == sessiontrack.DenyNew {
		return nil, nil, true
	}
	for _, r := range active[:excess] {
		over = append(over, r.ID)
	}
	return replaced, over, false
}

func (l *ledger) Create(ctx context.Context, n sessiontrack.NewSession) (sessiontrack.CreateResult, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	created, err := l.store.Create(ctx, n)
	if errors.Is(err, sessiontrack.ErrUnavailable) {
		return created, err
	}
	now := time.Now()
	old := l.rows[n.Session.ID]
	if taken := old != nil && !old.gone; taken != errors.Is(err, sessiontrack.ErrExists) {
		l.fail("I2", "create of %s, taken %t: %v", n.Session.ID, taken, err)
		return created, err
	} else if taken {
		return created, err
	}
	f := l.fences[n.Session.UserID]
	fenced := !n.IssuedAt.IsZero() && !f.at.IsZero() && !n.IssuedAt.Truncate(time.Second).After(f.at)
	if f.unsure && fenced {
		fenced = errors.Is(err, sessiontrack.ErrEnded)
	}
	if fenced != errors.Is(err, sessiontrack.ErrEnded) {
		l.fail("I16", "create for %s issued at %s, fence %s: %v", n.Session.UserID, stamp(n.IssuedAt), stamp(f.at), err)
		return created, err
	} else if fenced {
		return created, err
	}
	if err != nil {
		_, _, denied := l.room(&n, now)
		_, _, deniedSoon := l.room(&n, now.Add(clockEps))
		if !errors.Is(err, sessiontrack.ErrLimit) || !denied && !deniedSoon {
			l.fail("I10", "create refused: %v", err)
		}
		return created, err
	}
	replaced, over, denied := l.room(&n, created.Session.LoginAt)
	if denied {
		l.fail("I10", "create of %s passed the limit %d", n.Session.ID, n.Limit)
	}
	l.expectEnded("I15", created.Ended, append(slices.Clone(replaced), over...), now)
	l.rows[n.Session.ID] = &row{Session: created.Session, again: old != nil, acked: make(map[*replica]int64)}
	s := created.Session
	if s.LoginAt.Before(now.Truncate(time.Microsecond)) || s.LoginAt.After(now.Add(clockEps)) || s.Ended() ||
		s.UserID != n.Session.UserID ||
		n.Lifetime > 0 && !s.ExpiresAt.Equal(s.LoginAt.Add(n.Lifetime)) {
		l.fail("I5", "created %+v", s)
	}
	return created, nil
}

// expectEnded compares the ends that a call returned with the ends that the model expects, and
// records them.
func (l *ledger) expectEnded(invariant string, ended []sessiontrack.Session, want []sessiontrack.SessionID,
	now time.Time) {
	got := make([]sessiontrack.SessionID, 0, len(ended))
	for _, s := range ended {
		got = append(got, s.ID)
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		l.fail(invariant, "ended now %v, want %v", got, want)
	}
	for _, s := range ended {
		r := l.rows[s.ID]
		if r == nil || r.Ended() || r.gone {
			l.fail("I1", "%s ended twice", s.ID)
			continue
		}
		if s.LogoutAt.Before(now.Truncate(time.Microsecond)) || s.LogoutAt.After(now.Add(clockEps)) || s.EndReason == "" ||
			s.UserID != r.UserID {
			l.fail("I1", "ended as %+v", s)
		}
		r.LogoutAt, r.EndReason, r.EndedBy, r.committed = s.LogoutAt, s.EndReason, s.EndedBy, now
		l.lastEnd = s.LogoutAt
	}
}

func (l *ledger) Get(ctx context.Context, id sessiontrack.SessionID) (sessiontrack.Record, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.store.Get(ctx, id)
}

func (l *ledger) List(ctx context.Context, q sessiontrack.Query) (sessiontrack.Page, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.store.List(ctx, q)
}

func (l *ledger) Touch(ctx context.Context, batch []sessiontrack.TouchRecord,
	step time.Duration) ([]sessiontrack.SessionID, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	alive, err := l.store.Touch(ctx, batch, step)
	if err != nil {
		return alive, err
	}
	now := time.Now()
	var want []sessiontrack.SessionID
	for _, touch := range batch {
		r := l.live(touch.ID)
		if r == nil {
			continue
		}
		if !slices.Contains(want, touch.ID) {
			want = append(want, touch.ID)
		}
		l.touched(ctx, r, touch.At, now)
	}
	got := slices.Clone(alive)
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		l.fail("I2", "touch answered %v, alive are %v", got, want)
	}
	return alive, nil
}

// touched checks a live row after a touch: its activity moves only forward, and never past the
// store's time.
func (l *ledger) touched(ctx context.Context, r *row, at, now time.Time) {
	record, err := l.store.Get(ctx, r.ID)
	if err != nil {
		l.fail("I2", "%s lost by a touch: %v", r.ID, err)
		return
	}
	last := record.LastActivity
	want := r.LastActivity
	if at.After(want) && !at.After(now) {
		want = at
	}
	switch {
	case last.Before(want), last.After(now.Add(clockEps)), !at.After(now) && !last.Equal(want):
		l.fail("I5", "%s touched at %s: activity moved from %s to %s, want %s", r.ID, stamp(at), stamp(r.LastActivity),
			stamp(last), stamp(want))
	}
	// Only a buffered request from before the limit may touch an idle row, and only a short time
	// after. A Tracker whose clock is ahead refuses such a request itself.
	lag := l.options.TouchInterval + l.options.FlushInterval + time.Second
	if !within(r, l.options.IdleTimeout, now) && (at.After(now) || now.Sub(at) > lag) {
		r.lateTouch = true
	}
	r.LastActivity = last
}

func (l *ledger) Describe(ctx context.Context, batch []sessiontrack.SessionUpdate) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	err := l.store.Describe(ctx, batch)
	if err != nil {
		return err
	}
	for _, f := range batch {
		if r := l.live(f.ID); r != nil && f.CredentialUntil.After(r.CredentialUntil) {
			r.CredentialUntil = f.CredentialUntil
		}
	}
	return nil
}

func (l *ledger) End(ctx context.Context, sel sessiontrack.Selector, e sessiontrack.Ending) (sessiontrack.EndResult,
	error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	ended, err := l.store.End(ctx, sel, e)
	if err != nil {
		return ended, err
	}
	c, err := sel.Criteria()
	if err != nil {
		return ended, err
	}
	now := time.Now()
	var want []sessiontrack.SessionID
	for _, r := range l.sorted(func(r *row) bool { return !r.gone && !r.Ended() && selects(&c, r, ended.At) }) {
		want = append(want, r.ID)
		if floor := l.options.IdleTimeout + l.options.TouchInterval + l.options.FlushInterval +
			time.Second; e.Reason == sessiontrack.ReasonIdle && now.Sub(r.LastActivity) < floor-clockEps {
			l.fail("I9", "%s ended as idle after %v", r.ID, now.Sub(r.LastActivity))
		}
	}
	invariant := "I15"
	if c.UserID != "" {
		invariant = "I16"
		l.fences[c.UserID] = fence{at: ended.At}
		l.refused = append(l.refused, ended.At)
	}
	l.expectEnded(invariant, ended.Sessions, want, now)
	return ended, nil
}

// selects is the model's own implementation of a selector. Walks are longer than any script.
func selects(c *sessiontrack.Criteria, r *row, now time.Time) bool {
	switch {
	case c.Walk > 0 && r.Serial <= c.After:
		return false
	case len(c.IDs) > 0:
		return slices.Contains(c.IDs, r.ID)
	case c.UserID != "":
		return r.UserID == c.UserID && !slices.Contains(c.Except, r.ID)
	case c.Expired:
		return !r.ExpiresAt.IsZero() && !now.Before(r.ExpiresAt)
	}
	return now.Sub(r.LastActivity) >= c.IdleFor
}

func (l *ledger) Purge(ctx context.Context, p sessiontrack.PurgeOptions) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	n, err := l.store.Purge(ctx, p)
	if err != nil {
		return n, err
	}
	now := time.Now().Add(clockEps)
	for user, f := range l.fences {
		if age := now.Sub(f.at) - p.KeepEnded; age > 2*clockEps {
			delete(l.fences, user)
		} else if age > 0 {
			l.fences[user] = fence{at: f.at, unsure: true}
		}
	}
	for _, r := range l.sorted(func(r *row) bool {
		return !r.gone && r.Ended() &&
			!now.Before(r.LogoutAt.Add(p.Retention))
	}) {
		l.purged(ctx, r, p, now)
	}
	return n, nil
}

// purged checks a row that is past its retention after a purge.
func (l *ledger) purged(ctx context.Context, r *row, p sessiontrack.PurgeOptions, now time.Time) {
	record, err := l.store.Get(ctx, r.ID)
	switch {
	case errors.Is(err, sessiontrack.ErrNotFound):
		until := r.CredentialUntil
		if until.IsZero() {
			until = r.LogoutAt.Add(max(p.KeepEnded, p.Retention))
		}
		if r.Derived && now.Before(until) {
			l.fail("I2", "%s forgotten at %s, credentials live until %s", r.ID, stamp(now), stamp(until))
		}
		if r.Derived && l.tokens(r.ID, now.Add(-clockEps)) {
			l.fail("I2", "%s forgotten while a credential that was seen still lives", r.ID)
		}
		r.gone = true
	case err != nil:
		l.fail("store", "get: %v", err)
	case record.UserID == "":
		r.blanked = true
	}
}

func (l *ledger) EndedSince(ctx context.Context, since time.Time, limit int) (sessiontrack.EndedPage, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.store.EndedSince(ctx, since, limit)
}
