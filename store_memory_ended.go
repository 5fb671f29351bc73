package sessiontrack

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"sort"
	"time"

	"github.com/sessiontrack/sessiontrack/internal/storeclock"
)

// tombstone is the rest of an ended derived session whose credential may still be valid: enough to
// refuse it, without personal data.
type tombstone struct {
	serial  int64
	endedAt int64 // in microseconds, like until
	until   int64 // the credential's expiry; zero if unknown
	reason  EndReason
}

func (t tombstone) session(key handle) Session {
	s := Session{Serial: t.serial, ID: key.id(), Derived: true, LogoutAt: fromMicros(t.endedAt), EndReason: t.reason}
	if t.until != 0 {
		s.CredentialUntil = fromMicros(t.until)
	}
	return s
}

// endedRef is a position in the order of ends. Its row or tombstone may be gone. The handle is then
// free, or belongs to another serial.
type endedRef struct {
	at, serial int64
	key        handle
}

func (a endedRef) compare(b endedRef) int {
	return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(a.serial, b.serial))
}

// endedRows holds the ended sessions in the order of their ends.
type endedRows struct {
	refs   []endedRef
	gone   int // refs without a row or tombstone
	full   int // complete ended rows
	oldest int // no ref before this one has a complete row
	tombs  map[handle]tombstone
	// next is where Purge continues, so that several bounded calls do not look at the same refs.
	next int
}

// remembers reports whether a handle was a session's of which only a tombstone is left.
func (e *endedRows) remembers(key handle) bool {
	_, ok := e.tombs[key]
	return ok
}

// add appends a row that has just ended. Rows of one microsecond are ordered by their serials.
func (e *endedRows) add(row *memoryRow) {
	e.refs = append(e.refs, endedRef{row.LogoutAt.UnixMicro(), row.Serial, row.key})
	e.full++
	for i := len(e.refs) - 1; i > e.oldest && i > e.next && e.refs[i].compare(e.refs[i-1]) < 0; i-- {
		e.refs[i], e.refs[i-1] = e.refs[i-1], e.refs[i]
	}
}

// after returns the index of the first ref that ended later than at.
func (e *endedRows) after(at int64) int {
	return sort.Search(len(e.refs), func(i int) bool { return e.refs[i].at > at })
}

// compact drops refs without a row or tombstone when they are the majority.
func (s *MemoryStore) compact() {
	e := &s.ended
	if e.gone < s.maxEnded/64 || e.gone <= len(e.refs)/2 {
		return
	}
	kept := make([]endedRef, 0, len(e.refs)-e.gone)
	oldest, next := 0, 0
	for i, ref := range e.refs {
		if i == e.oldest {
			oldest = len(kept)
		}
		if i == e.next {
			next = len(kept)
		}
		if row, tomb := s.lookup(ref); row != nil || tomb {
			kept = append(kept, ref)
		}
	}
	if e.oldest == len(e.refs) {
		oldest = len(kept)
	}
	e.refs, e.gone, e.oldest, e.next = kept, 0, oldest, next
}

// lookup returns the rest of an ended session: its row, a tombstone, or neither.
func (s *MemoryStore) lookup(ref endedRef) (row *memoryRow, tomb bool) {
	if row := s.rows[ref.key]; row != nil && row.Serial == ref.serial {
		return row, false
	}
	return nil, s.ended.tombs[ref.key].serial == ref.serial
}

// forgetOldest drops the complete row that ended first. It leaves a tombstone if the handle must be
// remembered.
func (s *MemoryStore) forgetOldest() {
	e := &s.ended
	for ; e.oldest < len(e.refs); e.oldest++ {
		if row, _ := s.lookup(e.refs[e.oldest]); row != nil {
			e.oldest++
			s.forget(row, row.Derived)
			s.compact()
			return
		}
	}
}

// forgetOldestOf drops the oldest ended rows of one user beyond their number, in the order
// of the sign-ins.
func (s *MemoryStore) forgetOldestOf(u *memoryUser) {
	if len(u.ended) <= maxEndedOfUser {
		return
	}
	for len(u.ended) > maxEndedOfUser {
		s.forget(u.ended[0], u.ended[0].Derived)
	}
	s.compact()
}

// forget drops an ended row, and leaves a tombstone if remember is true.
func (s *MemoryStore) forget(row *memoryRow, remember bool) {
	delete(s.rows, row.key)
	s.index.remove(row)
	u := row.user
	u.ended = without(u.ended, row)
	if len(u.live) == 0 && len(u.ended) == 0 {
		delete(s.users, u.id)
	}
	s.ended.full--
	if !remember {
		s.ended.gone++
		return
	}
	t := tombstone{serial: row.Serial, endedAt: row.LogoutAt.UnixMicro(), reason: row.EndReason}
	if !row.CredentialUntil.IsZero() {
		t.until = row.CredentialUntil.UnixMicro()
	}
	s.ended.tombs[row.key] = t
}

// Purge implements [Store].
func (s *MemoryStore) Purge(ctx context.Context, p PurgeOptions) (int, error) {
	if err := canceled(ctx, "purge"); err != nil {
		return 0, err
	}
	if err := p.Check(); err != nil {
		return 0, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	now, e := s.now().UnixMicro(), &s.ended
	due, changed := e.after(now-p.Retention.Microseconds()), 0
	for i, first := 0, e.next; i < due; i++ {
		at := (first + i) % due
		if changed == p.Limit {
			e.next = at
			return changed, nil
		}
		if s.purge(e.refs[at], p, now) {
			changed++
		}
	}
	e.next = 0
	s.compact()
	// This runs once per round of calls, because it scans every fence.
	maps.DeleteFunc(s.fences, func(_ string, f fence) bool { return now-micros(f.at) > p.KeepEnded.Microseconds() })
	return changed, nil
}

// purge deletes or blanks one ended session past its retention, and reports whether it changed
// anything.
func (s *MemoryStore) purge(ref endedRef, p PurgeOptions, now int64) bool {
	row, tomb := s.lookup(ref)
	switch {
	case row != nil:
		until := int64(0)
		if !row.CredentialUntil.IsZero() {
			until = row.CredentialUntil.UnixMicro()
		}
		s.forget(row, row.Derived && now < p.keepUntil(ref.at, until))
		return true
	case tomb && now >= p.keepUntil(ref.at, s.ended.tombs[ref.key].until):
		delete(s.ended.tombs, ref.key)
		s.ended.gone++
		return true
	}
	return false
}

// keepUntil returns the time, in microseconds, until which the handle of a derived session is
// remembered. The session ended at endedAt and is past its retention.
func (p PurgeOptions) keepUntil(endedAt, until int64) int64 {
	if until != 0 {
		return until
	}
	return endedAt + max(p.KeepEnded, p.Retention).Microseconds()
}

// EndedSince implements [EndedFeed].
func (s *MemoryStore) EndedSince(ctx context.Context, since time.Time, limit int) (EndedPage, error) {
	if err := canceled(ctx, "ended since"); err != nil {
		return EndedPage{}, err
	}
	if limit < 1 {
		return EndedPage{}, fmt.Errorf("sessiontrack: ended since: limit is %d: want 1 or more", limit)
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	page := EndedPage{Now: s.now()}
	storeclock.Raise(&s.times.fed, page.Now.UnixMicro())
	if since.IsZero() {
		return page, nil
	}
	page.Renewed, page.More = s.renewed.since(since, limit)
	for _, ref := range s.ended.refs[s.ended.after(since.UnixMicro()):] {
		row, tomb := s.lookup(ref)
		switch {
		case row == nil && !tomb:
			continue
		case len(page.Ended) == limit:
			page.More = true
			return page, nil
		case tomb:
			page.Ended = append(page.Ended, endedSession(s.ended.tombs[ref.key].session(ref.key)))
		default:
			page.Ended = append(page.Ended, endedSession(row.Session))
		}
	}
	return page, nil
}

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
	storeclock.Raise(&s.times.fed, c.Now.UnixMicro())
	if !q.Ended.IsZero() {
		var more bool
		c.Ended, c.MoreEnded = s.endedSince(q)
		c.Renewed, more = s.renewed.since(q.Ended, q.Limit)
		c.MoreEnded = c.MoreEnded || more
	}
	if !q.Begun.IsZero() {
		c.Begun, c.MoreBegun = s.begunSince(q)
	}
	if !q.Seen.IsZero() {
		c.Seen = s.seenSince(q)
	}
	for _, id := range sortedCopy(q.Users) {
		if u := s.users[id]; u != nil && u.seen != 0 {
			c.Users = append(c.Users, OnlineUser{UserID: u.id, LastActivity: fromMicros(u.seen), Sessions: u.entry().Sessions})
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

// begunSince returns live sessions from the end of their order, and sessions that ended since and
// also began since. Serials are in the order of LoginAt.
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
