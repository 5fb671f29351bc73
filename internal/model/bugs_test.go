package model

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sessiontrack/sessiontrack"
)

// plant is one bug: in the shared store, or in one replica's link to it.
type plant struct {
	store func() backing
	link  func(*link)
	// shows reports whether a setting can show the bug; nil means that every setting can.
	shows func(*setting) bool
}

func limited(s *setting) bool { return s.options.MaxSessions > 0 }
func fed(s *setting) bool     { return !s.feedless }

// memory returns a store without a bug.
func memory() backing { return sessiontrack.NewMemoryStore() }

// TestPlantedBugs plants typical bugs of session libraries, one at a time. The scripts must find
// each of them: a model that finds no planted bug proves nothing.
func TestPlantedBugs(t *testing.T) {
	for name, bug := range map[string]struct {
		plant plant
		n     int // the largest number of scripts
	}{
		"a touch that is an upsert": {plant{store: func() backing {
			return &revivingTouch{newReversible()}
		}}, 500},
		"a cache fill that races an end": {plant{link: func(l *link) {
			l.racedFills = true
		}, shows: fed}, 500},
		"age counted from the end of a slow read":          {plant{link: func(l *link) { l.ageFromEnd = true }}, 500},
		"a purge that forgets what a token can still name": {plant{store: func() backing { return newForgetful() }}, 500},
		"a cleanup that ends what was used a moment ago":   {plant{store: func() backing { return eager{memory()} }}, 500},
		"an end that is reported twice": {plant{store: func() backing {
			return &echoing{backing: memory()}
		}}, 500},
		"ending all of a user's sessions spares one": {plant{store: func() backing { return sparing{memory()} }}, 500},
		"a limit that does not hold": {plant{store: func() backing {
			return unlimited{memory()}
		}, shows: limited}, 500},
		"an outage that reads as not found": {plant{link: func(l *link) { l.absent = true }}, 500},
		"a feed that loses what the first page left out": {plant{link: func(l *link) {
			l.forgetful = true
		}, shows: fed}, 500},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for seed := range bug.n {
				s := scripts().Example(seed)
				if bug.plant.shows != nil && !bug.plant.shows(&s.setting) {
					continue
				}
				if problems := run(t, s, bug.plant); len(problems) > 0 {
					t.Logf("found by script %d: %s", seed, problems[0])
					return
				}
			}
			require.Failf(t, "not found", "in %d scripts", bug.n)
		})
	}
}

// reversible is a store that keeps each row as it was before its end.
type reversible struct {
	backing
	before map[sessiontrack.SessionID]sessiontrack.Record
	back   map[sessiontrack.SessionID]bool
}

func newReversible() *reversible {
	return &reversible{
		backing: memory(), before: make(map[sessiontrack.SessionID]sessiontrack.Record),
		back: make(map[sessiontrack.SessionID]bool),
	}
}

func (s *reversible) End(ctx context.Context, sel sessiontrack.Selector, e sessiontrack.Ending) (sessiontrack.EndResult,
	error) {
	ended, err := s.backing.End(ctx, sel, e)
	for _, one := range ended.Sessions {
		if record, err := s.backing.Get(ctx, one.ID); err == nil {
			record.LogoutAt, record.EndReason, record.EndedBy = time.Time{}, "", ""
			s.before[one.ID] = record
		}
	}
	return ended, err
}

func (s *reversible) Get(ctx context.Context, id sessiontrack.SessionID) (sessiontrack.Record, error) {
	if s.back[id] {
		return s.before[id], nil
	}
	return s.backing.Get(ctx, id)
}

// revivingTouch writes the whole row with each touch, also after its end.
type revivingTouch struct{ *reversible }

func (s *revivingTouch) Touch(ctx context.Context, batch []sessiontrack.TouchRecord,
	step time.Duration) ([]sessiontrack.SessionID, error) {
	alive, err := s.backing.Touch(ctx, batch, step)
	for _, touch := range batch {
		if _, ended := s.before[touch.ID]; ended && !slices.Contains(alive, touch.ID) {
			s.back[touch.ID], alive = true, append(alive, touch.ID)
		}
	}
	return alive, err
}

// forgetful purges derived sessions as early as other sessions.
type forgetful struct {
	backing
	derived map[sessiontrack.SessionID]time.Time
}

func newForgetful() *forgetful {
	return &forgetful{backing: memory(), derived: make(map[sessiontrack.SessionID]time.Time)}
}

func (s *forgetful) Create(ctx context.Context, n sessiontrack.NewSession) (sessiontrack.CreateResult, error) {
	derived := n.Session.Derived
	n.Session.Derived = false
	created, err := s.backing.Create(ctx, n)
	if created.Session.Derived = derived; derived && err == nil {
		s.derived[n.Session.ID] = n.Session.CredentialUntil
	}
	return created, err
}

func (s *forgetful) Get(ctx context.Context, id sessiontrack.SessionID) (sessiontrack.Record, error) {
	record, err := s.backing.Get(ctx, id)
	_, record.Derived = s.derived[id]
	return record, err
}

// eager ends idle sessions without a grace for touches that are still buffered.
type eager struct{ backing }

func (s eager) End(ctx context.Context, sel sessiontrack.Selector, e sessiontrack.Ending) (sessiontrack.EndResult,
	error) {
	c, err := sel.Criteria()
	if err == nil && c.IdleFor > 0 {
		sel = sessiontrack.Idle(c.IdleFor-20*time.Second).Walk(c.After, c.Walk)
	}
	return s.backing.End(ctx, sel, e)
}

// echoing also returns sessions that had ended before the call.
type echoing struct {
	backing
	ended []sessiontrack.Session
}

func (s *echoing) End(ctx context.Context, sel sessiontrack.Selector, e sessiontrack.Ending) (sessiontrack.EndResult,
	error) {
	ended, err := s.backing.End(ctx, sel, e)
	c, _ := sel.Criteria()
	for _, old := range s.ended {
		if slices.Contains(c.IDs, old.ID) {
			ended.Sessions = append(ended.Sessions, old)
		}
	}
	s.ended = append(s.ended, ended.Sessions...)
	return ended, err
}

// sparing does not end a user's latest session.
type sparing struct{ backing }

func (s sparing) End(ctx context.Context, sel sessiontrack.Selector, e sessiontrack.Ending) (sessiontrack.EndResult,
	error) {
	if c, err := sel.Criteria(); err == nil && c.UserID != "" {
		page, err := s.List(ctx, sessiontrack.Query{UserID: c.UserID, Live: true, Limit: 100})
		if err == nil && len(page.Sessions) > 1 {
			sel = sel.Except(page.Sessions[0].ID)
		}
	}
	return s.backing.End(ctx, sel, e)
}

// unlimited allows one session more than the limit.
type unlimited struct{ backing }

func (s unlimited) Create(ctx context.Context, n sessiontrack.NewSession) (sessiontrack.CreateResult, error) {
	if n.Limit > 0 {
		n.Limit++
	}
	return s.backing.Create(ctx, n)
}

// misread applies the planted bug of the link to an answer of Get.
func (l *link) misread(start time.Time, r sessiontrack.Record, err error) (sessiontrack.Record, error) {
	if l.absent && errors.Is(err, sessiontrack.ErrUnavailable) {
		return r, sessiontrack.ErrNotFound
	}
	if err != nil {
		return r, err
	}
	l.store.mu.Lock()
	defer l.store.mu.Unlock()
	row := l.store.rows[r.ID]
	if row == nil || !row.Ended() {
		return r, nil
	}
	// The row was read before its end, and the answer came after it. The feed has already reported
	// the end, so without a guard the cache keeps this stale row.
	if l.racedFills && !r.Ended() && !row.committed.Before(start) {
		l.omitted[r.ID] = true
	}
	// The read took as long as MaxStaleness. If its age counts from its end, the row is as old as
	// the start of the read.
	if l.ageFromEnd && time.Since(row.committed) < l.store.options.MaxStaleness {
		r.LogoutAt, r.EndReason, r.EndedBy = time.Time{}, "", ""
	}
	return r, nil
}

// misfeed applies the planted bug of the link to a page of the feed.
func (l *link) misfeed(p sessiontrack.EndedPage) sessiontrack.EndedPage {
	l.store.mu.Lock()
	defer l.store.mu.Unlock()
	first := l.polls%3 != 0
	l.polls++
	p.Ended = slices.DeleteFunc(p.Ended, func(s sessiontrack.EndedSession) bool {
		row := l.store.rows[s.ID]
		late := l.ageFromEnd && row != nil && time.Since(row.committed) < l.store.options.MaxStaleness
		return l.omitted[s.ID] || late || l.forgetful && first
	})
	if l.ageFromEnd {
		p.Now = p.Now.Add(-l.store.options.MaxStaleness)
	}
	return p
}
