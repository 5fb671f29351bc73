package histories

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/sessiontrack/sessiontrack"
)

// flaky fails one call in 50 before it reaches the store, and loses the reply of one in 50.
type flaky struct {
	store
	mu     sync.Mutex
	random *rand.Rand
}

func flake[V any](s *flaky, f func() (V, error)) (none V, err error) {
	s.mu.Lock()
	n := s.random.IntN(50)
	s.mu.Unlock()
	if n == 0 {
		return none, fmt.Errorf("%w: no connection", sessiontrack.ErrUnavailable)
	}
	v, err := f()
	if n == 1 {
		return none, fmt.Errorf("%w: reply lost", sessiontrack.ErrUnavailable)
	}
	return v, err
}

func (s *flaky) Create(ctx context.Context, n sessiontrack.NewSession) (sessiontrack.CreateResult, error) {
	return flake(s, func() (sessiontrack.CreateResult, error) { return s.store.Create(ctx, n) })
}

func (s *flaky) Get(ctx context.Context, id sessiontrack.SessionID) (sessiontrack.Record, error) {
	return flake(s, func() (sessiontrack.Record, error) { return s.store.Get(ctx, id) })
}

func (s *flaky) End(ctx context.Context, sel sessiontrack.Selector, e sessiontrack.Ending) (sessiontrack.EndResult,
	error) {
	return flake(s, func() (sessiontrack.EndResult, error) { return s.store.End(ctx, sel, e) })
}

func (s *flaky) EndedSince(ctx context.Context, since time.Time, limit int) (sessiontrack.EndedPage, error) {
	return flake(s, func() (sessiontrack.EndedPage, error) { return s.store.EndedSince(ctx, since, limit) })
}

// deaf has a feed that is always empty.
type deaf struct{ store }

func (s deaf) EndedSince(ctx context.Context, since time.Time, limit int) (sessiontrack.EndedPage, error) {
	page, err := s.store.EndedSince(ctx, since, limit)
	page.Ended = nil
	return page, err
}

// behind repeats the first answer to a read in all later reads.
type behind struct {
	store
	mu   sync.Mutex
	seen map[sessiontrack.SessionID]sessiontrack.Record
}

func (s *behind) Get(ctx context.Context, id sessiontrack.SessionID) (sessiontrack.Record, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r, ok := s.seen[id]; ok {
		return r, nil
	}
	r, err := s.store.Get(ctx, id)
	if err == nil {
		s.seen[id] = r
	}
	return r, err
}

// reviving makes a touch revive an ended session, as an upsert does.
type reviving struct {
	store
	mu   sync.Mutex
	back map[sessiontrack.SessionID]bool
}

func (s *reviving) Touch(ctx context.Context, batch []sessiontrack.TouchRecord,
	step time.Duration) ([]sessiontrack.SessionID, error) {
	alive, err := s.store.Touch(ctx, batch, step)
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, t := range batch {
		if err == nil && !slices.Contains(alive, t.ID) {
			s.back[t.ID], alive = true, append(alive, t.ID)
		}
	}
	return alive, err
}

func (s *reviving) Get(ctx context.Context, id sessiontrack.SessionID) (sessiontrack.Record, error) {
	r, err := s.store.Get(ctx, id)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.back[id] {
		r.LogoutAt, r.EndReason = time.Time{}, ""
	}
	return r, err
}

// echoing also returns sessions that had ended before the call.
type echoing struct {
	store
	mu    sync.Mutex
	ended []sessiontrack.Session
}

func (s *echoing) End(ctx context.Context, sel sessiontrack.Selector, e sessiontrack.Ending) (sessiontrack.EndResult,
	error) {
	ended, err := s.store.End(ctx, sel, e)
	c, _ := sel.Criteria()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ended = append(s.ended, ended.Sessions...)
	for _, old := range s.ended {
		if c.UserID == old.UserID || slices.Contains(c.IDs, old.ID) {
			ended.Sessions = append(ended.Sessions, old)
		}
	}
	return ended, err
}
