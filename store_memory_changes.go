package sessiontrack

import (
	"context"
	"slices"

	"github.com/sessiontrack/sessiontrack/internal/storeclock"
)

// ChangesSince implements [ChangeFeed].
func (s *MemoryStore) ChangesSince(ctx context.Context, q ChangeQuery) (Changes, error) {
	if err := canceled(ctx, "changes since"); err != nil {
		return Changes{}, err
	}
	if err := q.Check(); err != nil {
		return Changes{}, err
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	c := Changes{Now: s.now()}
	storeclock.Raise(&s.fed, c.Now.UnixMicro())
	if !q.Ended.IsZero() {
		c.Ended, c.MoreEnded = s.endedSince(q)
	}
	if !q.Begun.IsZero() {
		c.Begun, c.MoreBegun = s.begunSince(q)
	}
	if !q.Seen.IsZero() {
		c.Seen = s.seenSince(q)
	}
	for _, id := range sortedCopy(q.Users) {
		if u := s.users[id]; u != nil && u.seen != 0 {
			c.Users = append(c.Users, OnlineUser{UserID: u.id, LastActivity: fromMicros(u.seen), Sessions: len(u.live)})
		}
	}
	return c, nil
}

func sortedCopy(ids []string) []string {
	ids = slices.Clone(ids)
	slices.Sort(ids)
	return slices.Compact(ids)
}

func (s *MemoryStore) endedSince(q ChangeQuery) (ended []Session, more bool) {
	for _, ref := range s.ended.refs[s.ended.after(q.Ended.UnixMicro()):] {
		row, tomb := s.lookup(ref)
		switch {
		case row == nil && !tomb:
		case len(ended) == q.Limit:
			return ended, true
		case tomb:
			ended = append(ended, s.ended.tombs[ref.key].session(ref.key))
		default:
			ended = append(ended, row.Session)
		}
	}
	return ended, false
}

// begunSince takes live sessions from the end of their order, and those of the
// sessions ended since that also began since. Serials are in the order of LoginAt.
func (s *MemoryStore) begunSince(q ChangeQuery) (begun []Session, more bool) {
	for row := range s.live.Backward() {
		if !row.LoginAt.After(q.Begun) {
			break
		}
		begun = append(begun, row.Session)
	}
	return s.begunAndEnded(q, begun)
}

func (s *MemoryStore) begunAndEnded(q ChangeQuery, begun []Session) ([]Session, bool) {
	for _, ref := range s.ended.refs[s.ended.after(q.Begun.UnixMicro()):] {
		if row, _ := s.lookup(ref); row != nil && row.LoginAt.After(q.Begun) {
			begun = append(begun, row.Session)
		}
	}
	slices.SortFunc(begun, func(a, b Session) int { return int(a.Serial - b.Serial) })
	if len(begun) > q.Limit {
		return begun[:q.Limit], true
	}
	return begun, false
}

func (s *MemoryStore) seenSince(q ChangeQuery) (seen []OnlineUser) {
	first := firstUser(q.Before)
	for u := range s.online.From(first) {
		if u.seen <= q.Seen.UnixMicro() || len(seen) == q.Limit {
			break
		}
		if q.Before.IsZero() || byActivity(u, first) != 0 {
			seen = append(seen, OnlineUser{UserID: u.id, LastActivity: fromMicros(u.seen)})
		}
	}
	return seen
}
