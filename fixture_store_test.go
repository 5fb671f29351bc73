package sessiontrack

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// faultStore is a MemoryStore whose calls can be counted, held up and made to fail.
type faultStore struct {
	*MemoryStore
	gets, reads, touches, touched, ends, creates, polls, describes atomic.Int64

	down atomic.Bool // every call fails at once

	mu       sync.Mutex
	afterGet func() // called between the read and its return
}

func newFaultStore() *faultStore { return &faultStore{MemoryStore: NewMemoryStore()} }

func (s *faultStore) fails() error {
	if s.down.Load() {
		return fmt.Errorf("%w: connection refused", ErrUnavailable)
	}
	return nil
}

func (s *faultStore) hook(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.afterGet = f
}

func (s *faultStore) Get(ctx context.Context, id SessionID) (Record, error) {
	s.gets.Add(1)
	if err := s.fails(); err != nil {
		return Record{}, err
	}
	r, err := s.MemoryStore.Get(ctx, id)
	s.mu.Lock()
	hook := s.afterGet
	s.mu.Unlock()
	if hook != nil {
		hook()
	}
	return r, err
}

func (s *faultStore) Read(ctx context.Context, ids []SessionID) ([]Record, error) {
	s.reads.Add(1)
	if err := s.fails(); err != nil {
		return nil, err
	}
	return s.MemoryStore.Read(ctx, ids)
}

func (s *faultStore) Create(ctx context.Context, n NewSession) (CreateResult, error) {
	s.creates.Add(1)
	if err := s.fails(); err != nil {
		return CreateResult{}, err
	}
	return s.MemoryStore.Create(ctx, n)
}

func (s *faultStore) Touch(ctx context.Context, batch []TouchRecord, step time.Duration) ([]SessionID, error) {
	s.touches.Add(1)
	s.touched.Add(int64(len(batch)))
	if err := s.fails(); err != nil {
		return nil, err
	}
	return s.MemoryStore.Touch(ctx, batch, step)
}

func (s *faultStore) Describe(ctx context.Context, batch []SessionUpdate) error {
	s.describes.Add(1)
	if err := s.fails(); err != nil {
		return err
	}
	return s.MemoryStore.Describe(ctx, batch)
}

func (s *faultStore) End(ctx context.Context, sel Selector, e Ending) (EndResult, error) {
	s.ends.Add(1)
	if err := s.fails(); err != nil {
		return EndResult{}, err
	}
	return s.MemoryStore.End(ctx, sel, e)
}

func (s *faultStore) List(ctx context.Context, q Query) (Page, error) {
	if err := s.fails(); err != nil {
		return Page{}, err
	}
	return s.MemoryStore.List(ctx, q)
}

func (s *faultStore) EndedSince(ctx context.Context, since time.Time, limit int) (EndedPage, error) {
	s.polls.Add(1)
	if err := s.fails(); err != nil {
		return EndedPage{}, err
	}
	return s.MemoryStore.EndedSince(ctx, since, limit)
}

// plainStore hides every optional capability.
type plainStore struct{ Store }

func (s *faultStore) ChangesSince(ctx context.Context, q ChangeQuery) (Changes, error) {
	s.polls.Add(1)
	if err := s.fails(); err != nil {
		return Changes{}, err
	}
	return s.MemoryStore.ChangesSince(ctx, q)
}
