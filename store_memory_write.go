package sessiontrack

import (
	"context"
	"iter"
	"slices"
	"sort"
	"time"

	"github.com/sessiontrack/sessiontrack/internal/text"
)

// Touch implements [Store].
func (s *MemoryStore) Touch(ctx context.Context, batch []TouchRecord, presenceStep time.Duration) ([]SessionID, error) {
	if err := canceled(ctx, "touch"); err != nil {
		return nil, err
	}
	if err := notNegative("touch", span{"presenceStep", presenceStep}); err != nil {
		return nil, err
	}
	alive := make([]SessionID, 0, len(batch))
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now()
	s.batch++
	for _, t := range batch {
		row := s.liveRow(t.ID)
		if row == nil {
			continue
		}
		s.touch(row, &t, now, presenceStep)
		if row.batch != s.batch {
			row.batch = s.batch
			alive = append(alive, row.ID)
		}
	}
	return alive, nil
}

// touch moves one live row and its user's presence forward.
func (s *MemoryStore) touch(row *memoryRow, t *TouchRecord, now time.Time, step time.Duration) {
	row.LastActivity = laterOf(row.LastActivity, t.At, now)
	row.LastSeen = laterOf(laterOf(row.LastSeen, t.Seen, now), row.LastActivity, now)
	latest := row.LastActivity
	if t.Online {
		latest = row.LastSeen
	}
	if row.ActedBy == "" && time.Duration(latest.UnixMicro()-row.user.seen)*time.Microsecond >= step {
		s.online.see(row.user, latest)
	}
}

// laterOf moves a time forward to at, but not past now.
func laterOf(t, at, now time.Time) time.Time {
	if at.After(now) {
		at = now
	}
	if at = wholeMicros(at); at.After(t) {
		return at
	}
	return t
}

// Renew implements [Renewer].
func (s *MemoryStore) Renew(ctx context.Context, r Renewal) (Session, error) {
	if err := canceled(ctx, "renew"); err != nil {
		return Session{}, err
	}
	if err := r.Check(); err != nil {
		return Session{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	row := s.liveRow(r.ID)
	if row == nil || row.SecretHash != r.OldHash {
		return Session{}, wrapped("renew", ErrNotFound)
	}
	now := s.tick()
	row.SecretHash, row.AuthenticatedAt, row.Methods = r.NewHash, now, slices.Clone(r.Methods)
	s.renewed.add(RenewedSession{row.ID, now})
	return row.Session, nil
}

// renewedRows are the latest renewals in their order, at most feedLimit.
type renewedRows []RenewedSession

func (l *renewedRows) add(r RenewedSession) {
	if *l = append(*l, r); len(*l) > feedLimit {
		*l = (*l)[1:]
	}
}

// since returns the renewals after a time, and whether some may be missing.
func (l renewedRows) since(at time.Time, limit int) (list []RenewedSession, more bool) {
	first := sort.Search(len(l), func(i int) bool { return l[i].At.After(at) })
	later := l[first:]
	return slices.Clone(later[:min(len(later), limit)]), len(later) > limit || first == 0 && len(l) == feedLimit
}

// liveRow returns the live row with that handle, or nil.
func (s *MemoryStore) liveRow(id SessionID) *memoryRow {
	key, ok := parseHandle(id)
	if !ok {
		return nil
	}
	row := s.rows[key]
	if row == nil || row.Ended() {
		return nil
	}
	return row
}

// Describe implements [Store].
func (s *MemoryStore) Describe(ctx context.Context, batch []SessionUpdate) error {
	if err := canceled(ctx, "describe"); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, f := range batch {
		if row := s.liveRow(f.ID); row != nil {
			s.index.remove(row)
			row.describe(f)
			s.index.add(row)
		}
	}
	return nil
}

func (r *memoryRow) describe(f SessionUpdate) {
	if f.Device != nil {
		r.Device = f.Device.storable()
	}
	if f.Network != nil {
		r.Address, r.AddressSource = f.Network.Address, text.Storable(f.Network.Source)
		r.Location = f.Network.Location.storable()
	}
	if until := wholeMicros(f.CredentialUntil); until.After(r.CredentialUntil) {
		r.CredentialUntil = until
	}
}

// End implements [Store].
func (s *MemoryStore) End(ctx context.Context, sel Selector, e Ending) (EndResult, error) {
	if err := canceled(ctx, "end"); err != nil {
		return EndResult{}, err
	}
	c, err := sel.Criteria()
	if err != nil {
		return EndResult{}, err
	}
	if err := e.Check(); err != nil {
		return EndResult{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.tick()
	rows, next := s.selected(c, now)
	if c.UserID != "" {
		s.fences[c.UserID] = fence{now, e.Reason}
	}
	if c.Provider != "" {
		s.fences[providerFence(c.Provider)] = fence{now, e.Reason}
	}
	ended := s.endRows(rows, now, e)
	if e.Audit != nil {
		s.append(e.Audit.counted(len(ended)), now)
	}
	return EndResult{Sessions: ended, At: now, Next: next}, nil
}

// selected returns the live rows that c selects, by Serial, and where a walk continues.
func (s *MemoryStore) selected(c Criteria, now time.Time) (rows []*memoryRow, next int64) {
	switch {
	case c.Walk > 0:
		return s.walk(c, now)
	case len(c.IDs) > 0:
		for _, id := range c.IDs {
			if row := s.liveRow(id); row != nil && (c.Owner == "" || row.UserID == c.Owner) && c.filters(&row.Session, now) {
				rows = append(rows, row)
			}
		}
		slices.SortFunc(rows, oldestFirst)
		return slices.Compact(rows), 0
	case c.UserID != "":
		if u := s.users[c.UserID]; u != nil {
			rows = slices.DeleteFunc(slices.Clone(u.live), func(r *memoryRow) bool { return slices.Contains(c.Except, r.ID) })
		}
		return rows, 0
	}
	candidates := []iter.Seq[*memoryRow]{s.live.All()}
	if c.Filter != nil {
		candidates = (&memoryList{s, c.Filter, c.IdleTimeout, now, c.AsOf}).candidates(Cursor{})
	}
	for _, list := range candidates {
		for row := range list {
			if c.selects(row, now) {
				rows = append(rows, row)
			}
		}
	}
	slices.SortFunc(rows, oldestFirst)
	return rows, 0
}

// walk looks at the next c.Walk live rows behind c.After.
func (s *MemoryStore) walk(c Criteria, now time.Time) (rows []*memoryRow, next int64) {
	probe := &memoryRow{}
	probe.Serial = c.After + 1
	looked := 0
	for row := range s.live.From(probe) {
		if looked == c.Walk {
			return rows, next
		}
		looked, next = looked+1, row.Serial
		if c.selects(row, now) {
			rows = append(rows, row)
		}
	}
	return rows, 0
}

// selects reports whether c, without its walk, selects the live row r.
func (c *Criteria) selects(r *memoryRow, now time.Time) bool {
	switch {
	case len(c.IDs) > 0:
		return slices.Contains(c.IDs, r.ID) && (c.Owner == "" || r.UserID == c.Owner) && c.filters(&r.Session, now)
	case c.Filter != nil:
		return c.filters(&r.Session, now)
	case c.UserID != "":
		return r.UserID == c.UserID && !slices.Contains(c.Except, r.ID)
	case c.Provider != "":
		return r.idp == c.Provider
	case c.Expired:
		return r.expired(now)
	}
	if c.PastIdle {
		return r.idleAt(now, c.IdleFor, c.Slack)
	}
	return now.Sub(r.LastActivity) >= c.IdleFor
}

// endRows ends live rows and returns them as they are now. now comes from tick.
func (s *MemoryStore) endRows(rows []*memoryRow, now time.Time, e Ending) []Session {
	if len(rows) == 0 {
		return nil
	}
	ended := make([]Session, 0, len(rows))
	for _, row := range rows {
		s.index.remove(row)
		row.LogoutAt, row.EndReason, row.EndedBy = now, e.Reason, e.Actor
		s.index.add(row)
		row.user.leaving = true
		ended = append(ended, row.Session)
		s.live.Remove(row)
		s.ended.add(row)
		s.counts.finished(e.Reason)
	}
	for _, row := range rows {
		if row.user.leaving {
			s.moveEnded(row.user)
			s.forgetOldestOf(row.user)
		}
	}
	for s.ended.full > s.maxEnded {
		s.forgetOldest()
	}
	return ended
}

// moveEnded moves the sessions that have ended out of a user's live ones, all at once.
func (s *MemoryStore) moveEnded(u *memoryUser) {
	u.leaving = false
	u.live = slices.DeleteFunc(u.live, func(row *memoryRow) bool {
		if row.Ended() {
			u.ended = insertRow(u.ended, row)
		}
		return row.Ended()
	})
	own := slices.ContainsFunc(u.live, func(row *memoryRow) bool { return row.ActedBy == "" })
	if !own {
		s.online.setOffline(u)
	}
	if !own && len(u.live) > 0 {
		s.online.see(u, unseen)
	}
}

// without removes row from a list by Serial.
func without(list []*memoryRow, row *memoryRow) []*memoryRow {
	if at, ok := slices.BinarySearchFunc(list, row, oldestFirst); ok {
		return slices.Delete(list, at, at+1)
	}
	return list
}

// insertRow adds row to a list by Serial.
func insertRow(list []*memoryRow, row *memoryRow) []*memoryRow {
	at, _ := slices.BinarySearchFunc(list, row, oldestFirst)
	return slices.Insert(list, at, row)
}
