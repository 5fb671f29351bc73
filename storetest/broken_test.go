package storetest

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sessiontrack/sessiontrack"
)

func named(t *testing.T, name string) testCase {
	t.Helper()
	for _, tc := range cases() {
		if tc.name == name {
			return tc
		}
	}
	require.Failf(t, "no such case", "%q", name)
	return testCase{}
}

func TestEachCaseHasANameAndAReason(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, tc := range cases() {
		assert.False(t, seen[tc.name], "twice: %s", tc.name)
		seen[tc.name] = true
		assert.Contains(t, tc.name, "/")
		assert.Greater(t, len(tc.why), 10, tc.name)
	}
	assert.Greater(t, len(seen), 100)
}

// onlyStore has none of the optional capabilities.
type onlyStore struct{ sessiontrack.Store }

func TestCapabilitiesAreSkippedWhereTheStoreHasNone(t *testing.T) {
	t.Parallel()
	skipped := 0
	for _, tc := range cases() {
		if strings.HasPrefix(tc.name, "race/") {
			continue
		}
		r := record(t.Context(), tc, onlyStore{sessiontrack.NewMemoryStore()})
		assert.Empty(t, r.failures, tc.name)
		if r.skipped != "" {
			skipped++
		}
	}
	assert.Equal(t, len(readCases)+len(feedCases)+len(changeCases)+len(onlineCases)+len(statsCases)+len(historyCases)+len(leaseCases)+
		len(renewCases)+len(presenceCases)+len(auditCases)+1, skipped, "one filter case counts")
}

// A suite that passes every broken store proves nothing. Each of these stores has a bug that some
// library had, and the named cases must find it.
func TestBrokenStoresAreCaught(t *testing.T) {
	t.Parallel()
	for name, broken := range brokenStores {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			require.NotEmpty(t, broken.caught)
			for _, by := range broken.caught {
				tc := named(t, by)
				// A broken store does not lose its race each time, so each case may try five times.
				for attempt := 0; ; attempt++ {
					if r := record(t.Context(), tc, broken.store(sessiontrack.NewMemoryStore())); len(r.failures) > 0 {
						break
					}
					require.Less(t, attempt, 5, "%q does not find the bug", by)
				}
				sound := record(t.Context(), tc, sessiontrack.NewMemoryStore())
				assert.Empty(t, sound.failures, "%q on a sound store", by)
				assert.Empty(t, sound.skipped)
			}
		})
	}
}

type brokenStore struct {
	caught []string
	store  func(m *sessiontrack.MemoryStore) sessiontrack.Store
}

// patched is a MemoryStore that changes some rows when they are read.
type patched struct {
	*sessiontrack.MemoryStore
	mu      sync.Mutex
	patches map[sessiontrack.SessionID]func(*sessiontrack.Record)
	gone    map[sessiontrack.SessionID]bool
}

func newPatched(m *sessiontrack.MemoryStore) *patched {
	return &patched{
		MemoryStore: m,
		patches:     map[sessiontrack.SessionID]func(*sessiontrack.Record){},
		gone:        map[sessiontrack.SessionID]bool{},
	}
}

func (p *patched) patch(id sessiontrack.SessionID, f func(*sessiontrack.Record)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.patches[id] = f
}

func (p *patched) Get(ctx context.Context, id sessiontrack.SessionID) (sessiontrack.Record, error) {
	r, err := p.MemoryStore.Get(ctx, id)
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.gone[id] {
		return sessiontrack.Record{}, sessiontrack.ErrNotFound
	}
	if f := p.patches[id]; f != nil && err == nil {
		f(&r)
	}
	return r, err
}

// touching is a store with another Touch. Each type below replaces one method in this way.
type touching struct {
	*patched
	touch func(p *patched, ctx context.Context, batch []sessiontrack.TouchRecord,
		step time.Duration) ([]sessiontrack.SessionID, error)
}

func (s touching) Touch(ctx context.Context, batch []sessiontrack.TouchRecord,
	step time.Duration) ([]sessiontrack.SessionID, error) {
	return s.touch(s.patched, ctx, batch, step)
}

type describing struct {
	*patched
	describe func(p *patched, f sessiontrack.SessionUpdate)
}

func (s describing) Describe(ctx context.Context, batch []sessiontrack.SessionUpdate) error {
	for _, f := range batch {
		s.describe(s.patched, f)
	}
	return s.MemoryStore.Describe(ctx, batch)
}

type creating struct {
	*patched
	create func(p *patched, ctx context.Context, n sessiontrack.NewSession) (sessiontrack.CreateResult, error)
}

func (s creating) Create(ctx context.Context, n sessiontrack.NewSession) (sessiontrack.CreateResult, error) {
	return s.create(s.patched, ctx, n)
}

type ending struct {
	*patched
	end func(p *patched, ctx context.Context, sel sessiontrack.Selector, e sessiontrack.Ending) (sessiontrack.EndResult,
		error)
}

func (s ending) End(ctx context.Context, sel sessiontrack.Selector, e sessiontrack.Ending) (sessiontrack.EndResult,
	error) {
	return s.end(s.patched, ctx, sel, e)
}

type listing struct {
	*patched
	list func(p *patched, ctx context.Context, q sessiontrack.Query) (sessiontrack.Page, error)
}

func (s listing) List(ctx context.Context, q sessiontrack.Query) (sessiontrack.Page, error) {
	return s.list(s.patched, ctx, q)
}

type feeding struct {
	*patched
	mu   sync.Mutex
	told map[sessiontrack.SessionID]bool
	late time.Duration
}

// EndedSince returns each end only once, or a Now from after it read the rows.
func (s *feeding) EndedSince(ctx context.Context, since time.Time, limit int) (sessiontrack.EndedPage, error) {
	page, err := s.MemoryStore.EndedSince(ctx, since, limit)
	s.mu.Lock()
	defer s.mu.Unlock()
	page.Now = page.Now.Add(s.late)
	if s.told == nil {
		return page, err
	}
	fresh := page.Ended[:0]
	for _, e := range page.Ended {
		if !s.told[e.ID] {
			s.told[e.ID] = true
			fresh = append(fresh, e)
		}
	}
	page.Ended = fresh
	return page, err
}

// lingering counts users who have ever been online.
type lingering struct {
	*patched
	mu   sync.Mutex
	seen map[string]bool
}

func (s *lingering) Create(ctx context.Context, n sessiontrack.NewSession) (sessiontrack.CreateResult, error) {
	created, err := s.MemoryStore.Create(ctx, n)
	s.mu.Lock()
	defer s.mu.Unlock()
	if err == nil {
		s.seen[n.Session.UserID] = true
	}
	return created, err
}

func (s *lingering) CountOnline(ctx context.Context, windows []time.Duration) ([]int, time.Time, error) {
	counts, now, err := s.MemoryStore.CountOnline(ctx, windows)
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range counts {
		counts[i] = len(s.seen)
	}
	return counts, now, err
}

// absent reports an outage as an absence.
type absent struct{ *patched }

func (s absent) Get(ctx context.Context, id sessiontrack.SessionID) (sessiontrack.Record, error) {
	r, err := s.patched.Get(ctx, id)
	if err != nil {
		return r, sessiontrack.ErrNotFound
	}
	return r, nil
}

// forgetting leaves sessions out of an answer that it cannot give.
type forgetting struct{ *patched }

func (s forgetting) Read(ctx context.Context, ids []sessiontrack.SessionID) ([]sessiontrack.Record, error) {
	records, err := s.MemoryStore.Read(ctx, ids)
	if errors.Is(err, sessiontrack.ErrUnavailable) {
		return nil, nil
	}
	return records, err
}

// readingLive reads only what is live.
type readingLive struct{ *patched }

func (s readingLive) Read(ctx context.Context, ids []sessiontrack.SessionID) ([]sessiontrack.Record, error) {
	records, err := s.MemoryStore.Read(ctx, ids)
	return slices.DeleteFunc(records, func(r sessiontrack.Record) bool { return r.Ended() }), err
}

// purging deletes derived sessions as early as the others.
type purging struct{ *patched }

func (s purging) Purge(ctx context.Context, p sessiontrack.PurgeOptions) (int, error) {
	page, err := s.EndedSince(ctx, time.Unix(1, 0), 1000)
	if err != nil {
		return 0, err
	}
	n, err := s.MemoryStore.Purge(ctx, p)
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range page.Ended {
		s.gone[e.ID] = n > 0
	}
	return n, err
}

// sampling takes a sample at each call.
type sampling struct{ *patched }

func (s sampling) Sample(ctx context.Context, q sessiontrack.StatsQuery) (sessiontrack.Sample, bool, error) {
	sample, _, err := s.MemoryStore.Sample(ctx, q)
	return sample, err == nil, err
}
