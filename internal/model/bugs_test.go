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

// plant is a bug: of the store that all replicas share, or of the way in which a
// replica uses it.
type plant struct {
	store func() backing
	link  func(*link)
	// shows tells the settings in which it can be seen; nil stands for all.
	shows func(*setting) bool
}

func limited(s *setting) bool { return s.options.MaxSessions > 0 }
func fed(s *setting) bool     { return !s.feedless }

// memory is the store without a bug.
func memory() backing { return sessiontrack.NewMemoryStore() }

// TestPlantedBugs plants the bugs that this kind of library is known for, one at a
// time, and requires the scripts to find each: a model that finds nothing anywhere
// proves nothing.
func TestPlantedBugs(t *testing.T) {
	for name, bug := range map[string]struct {
		plant plant
		n     int // scripts, at most
	}{
		"a touch that is an upsert":                        {plant{store: func() backing { return &revivingTouch{newReversible()} }}, 500},
		"a cache fill that races an end":                   {plant{link: func(l *link) { l.racedFills = true }, shows: fed}, 500},
		"age counted from the end of a slow read":          {plant{link: func(l *link) { l.ageFromEnd = true }}, 500},
		"a purge that forgets what a token can still name": {plant{store: func() backing { return newForgetful() }}, 500},
		"a cleanup that ends what was used a moment ago":   {plant{store: func() backing { return eager{memory()} }}, 500},
		"an end that is told twice":                        {plant{store: func() backing { return &echoing{backing: memory()} }}, 500},
		"ending all of a user's sessions spares one":       {plant{store: func() backing { return sparing{memory()} }}, 500},
		"a limit that does not hold":                       {plant{store: func() backing { return unlimited{memory()} }, shows: limited}, 500},
		"an outage that reads as not found":                {plant{link: func(l *link) { l.absent = true }}, 500},
		"a feed that loses what it did not tell at once":   {plant{link: func(l *link) { l.forgetful = true }, shows: fed}, 500},
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

// reversible is a store that knows what its rows were before their end.
type reversible struct {
	backing
	before map[sessiontrack.SessionID]sessiontrack.Record
	back   map[sessiontrack.SessionID]bool
}

func newReversible() *reversible {
	return &reversible{
		backing: memory(), before: make(map[sessiontrack.SessionID]sessiontrack.Record), back: make(map[sessiontrack.SessionID]bool),
	}
}

func (s *reversible) End(ctx context.Context, sel sessiontrack.Selector, e sessiontrack.Ending) (sessiontrack.EndResult, error) {
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

// revivingTouch writes the whole row with each touch.
type revivingTouch struct{ *reversible }

func (s *revivingTouch) Touch(ctx context.Context, batch []sessiontrack.TouchRecord, step time.Duration) ([]sessiontrack.SessionID, error) {
	alive, err := s.backing.Touch(ctx, batch, step)
	for _, touch := range batch {
		if _, ended := s.before[touch.ID]; ended && !slices.Contains(alive, touch.ID) {
			s.back[touch.ID], alive = true, append(alive, touch.ID)
		}
	}
	return alive, err
}

// forgetful does not remember derived sessions longer than others.
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

// eager ends idle sessions without the grace for activity on its way.
type eager struct{ backing }

func (s eager) End(ctx context.Context, sel sessiontrack.Selector, e sessiontrack.Ending) (sessiontrack.EndResult, error) {
	c, err := sel.Criteria()
	if err == nil && c.IdleFor > 0 {
		sel = sessiontrack.Idle(c.IdleFor-20*time.Second).Walk(c.After, c.Walk)
	}
	return s.backing.End(ctx, sel, e)
}

// echoing answers with what had ended before, too.
type echoing struct {
	backing
	ended []sessiontrack.Session
}

func (s *echoing) End(ctx context.Context, sel sessiontrack.Selector, e sessiontrack.Ending) (sessiontrack.EndResult, error) {
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

// sparing leaves a user's latest session out.
type sparing struct{ backing }

func (s sparing) End(ctx context.Context, sel sessiontrack.Selector, e sessiontrack.Ending) (sessiontrack.EndResult, error) {
	if c, err := sel.Criteria(); err == nil && c.UserID != "" {
		page, err := s.List(ctx, sessiontrack.Query{UserID: c.UserID, Live: true, Limit: 100})
		if err == nil && len(page.Sessions) > 1 {
			sel = sel.Except(page.Sessions[0].ID)
		}
	}
	return s.backing.End(ctx, sel, e)
}

// unlimited inserts one more than the limit.
type unlimited struct{ backing }

func (s unlimited) Create(ctx context.Context, n sessiontrack.NewSession) (sessiontrack.CreateResult, error) {
	if n.Limit > 0 {
		n.Limit++
	}
	return s.backing.Create(ctx, n)
}

// misread is what a planted bug makes of an answer that a replica gets for its read.
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
	// The row was read before its end, the answer came after it: without a guard this
	// is what the cache holds from then on, since the feed has told of the end already.
	if l.racedFills && !r.Ended() && !row.committed.Before(start) {
		l.omitted[r.ID] = true
	}
	// A read that took as long as MaxStaleness, whose age is counted from its end, is
	// an answer as of then.
	if l.ageFromEnd && time.Since(row.committed) < l.store.options.MaxStaleness {
		r.LogoutAt, r.EndReason, r.EndedBy = time.Time{}, "", ""
	}
	return r, nil
}

// misfeed does so for the feed.
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
