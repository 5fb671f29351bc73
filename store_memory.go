package sessiontrack

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/sessiontrack/sessiontrack/internal/ordered"
	"github.com/sessiontrack/sessiontrack/internal/text"
)

// The bounds of the ended sessions that a MemoryStore keeps in full: of all users, and of
// one, so that an account which signs in all day does not displace everybody else's.
const (
	maxEndedInMemory = 100_000
	maxEndedOfUser   = 1_000
)

// MemoryStore is a [Store] in the memory of one process: for tests, and for
// applications of one process that may sign everybody out when they restart. It
// has every optional capability but [Leaser] and [Checker], which one process needs
// not. A session takes about 1 KB, so that hundreds of thousands are comfortable.
//
// With the process it forgets what has ended, too: a credential of the application's own
// that was ended as a derived session, or refused by a fence, works again after a restart
// until it ends by itself. Use Login with [Options.ExplicitOnly], or a [BunStore].
//
// It keeps at most 100,000 ended sessions in full, and 1,000 of one user. Beyond that the
// oldest go first, before their retention is over. Of an ended derived session handle,
// time and reason stay until its credential's end, because the credential would otherwise
// work again. They take about 100 bytes each and do not count towards these numbers: how
// many there are is bounded by the credentials that are ended and still valid.
//
// Its clock is the system's, in whole microseconds, and never goes back: where
// the system's is set back, it stands until that time is reached again.
//
// A MemoryStore is made by [NewMemoryStore]. It may be used from many goroutines
// at once and starts none of its own.
type MemoryStore struct {
	memoryAudit

	maxEnded int
	times    memoryClock

	// mu guards the fields below. It is never held while code of the caller runs.
	mu     sync.RWMutex
	serial int64
	batch  uint64
	rows   map[handle]*memoryRow
	users  map[string]*memoryUser
	live   ordered.List[*memoryRow] // not ended, by Serial
	online memoryPresence           // with a live session, latest activity first, then by id

	index   memoryIndex
	ended   endedRows
	renewed renewedRows
	counts  memoryCounts

	history rolledUp
	fences  map[string]fence
}

// fence is the latest time at which all of a user's sessions ended, and the reason.
type fence struct {
	at     time.Time
	reason EndReason
}

// refuses reports whether a credential was issued before the fence. The fence's own second counts
// as before.
func (f fence) refuses(issuedAt time.Time) bool {
	return !issuedAt.IsZero() && !issuedAt.Truncate(time.Second).After(f.at)
}

// memoryRow is a session, live or ended, in full.
type memoryRow struct {
	Record
	key   handle
	user  *memoryUser
	idp   string // NewSession.ProviderID
	batch uint64 // the latest Touch that returned it
}

// memoryUser is a user with at least one row. Both lists are ordered by Serial. That is also the
// order of LoginAt, because serials are assigned under the lock and the clock never goes back.
type memoryUser struct {
	id    string
	seen  int64 // presence in microseconds; zero if offline and not on the list
	live  []*memoryRow
	ended []*memoryRow
	// leaving says that live contains rows that have just ended. It is never true between two
	// calls.
	leaving bool
}

// NewMemoryStore returns an empty MemoryStore.
func NewMemoryStore() *MemoryStore {
	s := &MemoryStore{
		maxEnded: maxEndedInMemory,
		rows:     make(map[handle]*memoryRow),
		users:    make(map[string]*memoryUser),
		live:     ordered.New(oldestFirst),
		online:   memoryPresence{ordered.New(byActivity)},
		index:    memoryIndex{lists: make(map[memoryFact]*ordered.List[*memoryRow])},
		ended:    endedRows{tombs: make(map[handle]tombstone)},
		fences:   make(map[string]fence),
	}
	s.memoryAudit.times = &s.times
	return s
}

func oldestFirst(a, b *memoryRow) int { return cmp.Compare(a.Serial, b.Serial) }

func byActivity(a, b *memoryUser) int {
	return cmp.Or(cmp.Compare(b.seen, a.seen), cmp.Compare(a.id, b.id))
}

// wholeMicros converts t to UTC and cuts it to whole microseconds.
func wholeMicros(t time.Time) time.Time {
	if t.IsZero() {
		return time.Time{}
	}
	return t.UTC().Truncate(time.Microsecond)
}

// now returns the store's time.
func (s *MemoryStore) now() time.Time { return s.times.now() }

// tick returns the time of an end. The caller holds the write lock, so the feed cannot answer
// meanwhile.
func (s *MemoryStore) tick() time.Time { return s.times.tick() }

// Get implements [Store].
func (s *MemoryStore) Get(ctx context.Context, id SessionID) (Record, error) {
	if err := canceled(ctx, "get"); err != nil {
		return Record{}, err
	}
	key, ok := parseHandle(id)
	if !ok {
		return Record{}, wrapped("get", ErrNotFound)
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	if row, ok := s.rows[key]; ok {
		return row.Record, nil
	}
	if t, ok := s.ended.tombs[key]; ok {
		return Record{Session: t.session(key)}, nil
	}
	return Record{}, wrapped("get", ErrNotFound)
}

// Read implements [Reader].
func (s *MemoryStore) Read(ctx context.Context, ids []SessionID) ([]Record, error) {
	if err := checkRead(ids); err != nil {
		return nil, err
	}
	asked := make(map[SessionID]struct{}, len(ids))
	records := make([]Record, 0, len(ids))
	for _, id := range ids {
		if _, again := asked[id]; again {
			continue
		}
		asked[id] = struct{}{}
		switch r, err := s.Get(ctx, id); {
		case err == nil:
			records = append(records, r)
		case !errors.Is(err, ErrNotFound):
			return nil, err
		}
	}
	return records, nil
}

// Create implements [Store].
func (s *MemoryStore) Create(ctx context.Context, n NewSession) (CreateResult, error) {
	if err := canceled(ctx, "create"); err != nil {
		return CreateResult{}, err
	}
	if err := n.Check(); err != nil {
		return CreateResult{}, err
	}
	key, _ := parseHandle(n.Session.ID)
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, taken := s.rows[key]; taken || s.ended.remembers(key) {
		return CreateResult{}, wrapped("create", ErrExists)
	}
	if f, ok := s.fences[n.Session.UserID]; ok && f.refuses(n.IssuedAt) {
		return CreateResult{}, wrapped("create", &EndedError{Reason: f.reason})
	}
	if f, ok := s.fences[providerFence(n.ProviderID)]; ok && n.ProviderID != "" {
		return CreateResult{}, wrapped("create", &EndedError{Reason: f.reason})
	}
	now := s.tick()
	room, err := s.makeRoom(&n, now)
	if err != nil {
		return CreateResult{}, err
	}
	ended := s.endRows(room.replaced, now, Ending{Reason: ReasonReplacement})
	ended = append(ended, s.endRows(room.chosen, now, Ending{Reason: ReasonUser, Actor: n.Session.UserID})...)
	ended = append(ended, s.endRows(room.over, now, Ending{Reason: ReasonLimit})...)
	row := s.insert(key, &n, now)
	return CreateResult{Session: row.Session, Ended: ended}, nil
}

// memoryRoom is what Create ends before it inserts.
type memoryRoom struct{ replaced, chosen, over []*memoryRow }

// makeRoom returns what Create must end before it inserts. It changes nothing.
func (s *MemoryStore) makeRoom(n *NewSession, now time.Time) (room memoryRoom, err error) {
	if row := s.liveRow(n.Replaces); row != nil {
		room.replaced = []*memoryRow{row}
	}
	user := s.users[n.Session.UserID]
	if user == nil || n.Limit == 0 && len(n.Ends) == 0 {
		return room, nil
	}
	var active []*memoryRow
	for _, row := range user.live {
		switch {
		case slices.Contains(room.replaced, row):
		case slices.Contains(n.Ends, row.ID):
			room.chosen = append(room.chosen, row)
		case row.ActedBy == "" && row.active(now, n.IdleTimeout):
			active = append(active, row)
		}
	}
	excess := len(active) + 1 - n.Limit
	switch {
	case n.Limit == 0 || excess <= 0:
		return room, nil
	case n.Policy == DenyNew:
		return memoryRoom{}, wrapped("create", ErrLimit)
	case n.Policy == EndLeastActive:
		slices.SortStableFunc(active, func(a, b *memoryRow) int { return a.LastActivity.Compare(b.LastActivity) })
	}
	room.over = active[:excess]
	return room, nil
}

// active reports whether the row is within both time limits.
func (r *memoryRow) active(now time.Time, idle time.Duration) bool {
	return !r.expired(now) && !r.idleAt(now, idle, 0)
}

func (r *memoryRow) expired(now time.Time) bool {
	return !r.ExpiresAt.IsZero() && !now.Before(r.ExpiresAt)
}

// insert adds the row of n. The handle must be free.
func (s *MemoryStore) insert(key handle, n *NewSession, now time.Time) *memoryRow {
	s.serial++
	row := &memoryRow{key: key, idp: strings.Clone(n.ProviderID)}
	row.Record = Record{Session: n.Session, SecretHash: n.SecretHash}
	row.Serial, row.LoginAt, row.LastActivity, row.LastSeen = s.serial, now, now, now
	row.AuthenticatedAt = authenticatedAt(&n.Session, now)
	row.ExpiresAt, row.LogoutAt, row.EndReason, row.EndedBy = time.Time{}, time.Time{}, "", ""
	row.CredentialUntil = wholeMicros(n.Session.CredentialUntil)
	if n.Lifetime > 0 {
		row.ExpiresAt = wholeMicros(now.Add(n.Lifetime))
	}
	row.ID = key.id()
	row.clean()
	row.user = s.user(row.UserID)
	row.UserID = row.user.id // one copy for all sessions of the user
	s.rows[key] = row
	s.live.Insert(row)
	s.index.add(row)
	row.user.live = append(row.user.live, row)
	if row.ActedBy == "" {
		s.online.see(row.user, now)
	} else {
		s.online.see(row.user, unseen)
	}
	s.counts.begun()
	return row
}

// unseen is the presence of a user who has sessions and uses none of them: administrators act
// in them. Lists have the user, and no window.
var unseen = time.UnixMicro(1).UTC()

// authenticatedAt is when the user of a new session proved who they are.
func authenticatedAt(s *Session, now time.Time) time.Time {
	if s.AuthenticatedAt.IsZero() && !s.Derived || s.AuthenticatedAt.After(now) {
		return now
	}
	return wholeMicros(s.AuthenticatedAt)
}

// clean makes the texts of a row fit every store, and copies them: a user agent may be part of a
// large string.
func (r *memoryRow) clean() {
	r.UserAgent = strings.Clone(text.Storable(r.UserAgent))
	r.ClientHints = strings.Clone(text.Storable(r.ClientHints))
	r.AddressSource, r.LoginAddressSource = text.Storable(r.AddressSource), text.Storable(r.LoginAddressSource)
	r.Location, r.Device = r.Location.storable(), r.Device.storable()
	r.Client, r.Tenant, r.ActedBy = strings.Clone(r.Client), strings.Clone(r.Tenant), strings.Clone(r.ActedBy)
	r.Methods = slices.Clone(r.Methods)
}

// user returns the entry of a user, and creates it if it is missing.
func (s *MemoryStore) user(id string) *memoryUser {
	u, ok := s.users[id]
	if !ok {
		u = &memoryUser{id: strings.Clone(id)}
		s.users[u.id] = u
	}
	return u
}

// memoryPresence is the list of users with presence.
type memoryPresence struct{ ordered.List[*memoryUser] }

// see moves a user's presence forward to at, or creates it.
func (p *memoryPresence) see(u *memoryUser, at time.Time) {
	seen := at.UnixMicro()
	if seen <= u.seen {
		return
	}
	p.setOffline(u)
	u.seen = seen
	p.Insert(u)
}

// setOffline removes a user from the list.
func (p *memoryPresence) setOffline(u *memoryUser) {
	if u.seen != 0 {
		p.Remove(u)
		u.seen = 0
	}
}
