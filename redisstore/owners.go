package redisstore

import (
	"sync"

	"github.com/sessiontrack/sessiontrack"
)

// owner is what a touch needs to know of a session and its record does not say.
type owner struct {
	user string
	// acted says that an administrator acts in the session: its use moves no presence.
	acted bool
	// first says that every touch goes to the durable store first: the session has an idle
	// limit of its own that is too short for anything else.
	first bool
	// durable is the latest activity that the durable store is known to have, in
	// microseconds.
	durable int64
}

// owners remembers the users of the sessions that this process deals with. Beyond their
// number the older half is forgotten.
type owners struct {
	most int

	mu          sync.Mutex
	recent, old map[sessiontrack.SessionID]owner
}

func newOwners(most int) *owners {
	return &owners{most: most / 2, recent: make(map[sessiontrack.SessionID]owner)}
}

// of returns what is known of a session.
func (o *owners) of(id sessiontrack.SessionID) (owner, bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if known, ok := o.recent[id]; ok {
		return known, true
	}
	known, ok := o.old[id]
	if ok {
		o.keep(id, known)
	}
	return known, ok
}

// learn notes a live session as the durable store has it.
func (o *owners) learn(s *sessiontrack.Session, first bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	known := o.recent[s.ID]
	o.keep(s.ID, owner{s.UserID, s.ActedBy != "", first, max(known.durable, s.LastActivity.UnixMicro())})
}

// wrote notes activity that the durable store has taken.
func (o *owners) wrote(id sessiontrack.SessionID, at int64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if known, ok := o.recent[id]; ok {
		known.durable = max(known.durable, at)
		o.recent[id] = known
	}
}

// keep is called with the lock held.
func (o *owners) keep(id sessiontrack.SessionID, known owner) {
	if len(o.recent) >= o.most {
		o.old, o.recent = o.recent, make(map[sessiontrack.SessionID]owner)
	}
	o.recent[id] = known
}

// forget drops a session that has ended.
func (o *owners) forget(id sessiontrack.SessionID) {
	o.mu.Lock()
	defer o.mu.Unlock()
	delete(o.recent, id)
	delete(o.old, id)
}
