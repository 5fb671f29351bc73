package issuers

import (
	"sync"
	"time"
)

const (
	// unkeyedTokens is how many tokens of one user within unkeyedFor look like one client that
	// refreshes its token, and not like a user with that many devices.
	unkeyedTokens = 3
	unkeyedFor    = time.Hour
	// maxUnkeyed bounds the memory. Who is forgotten is counted anew.
	maxUnkeyed = 1024
)

// Unkeyed counts the sessions that users get from tokens which name nothing that lasts longer than
// the token. Its zero value is ready, and it may be used from many goroutines.
type Unkeyed struct {
	mu    sync.Mutex
	users map[string]unkeyed
	told  bool
}

type unkeyed struct {
	since time.Duration
	n     int
}

// Add counts a session of a user, by a clock that only moves forward. It reports true once, with
// the first user who gets a third session within an hour.
func (u *Unkeyed) Add(user string, now time.Duration) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.told {
		return false
	}
	seen, known := u.users[user]
	if !known || now-seen.since >= unkeyedFor {
		seen = unkeyed{since: now}
	}
	if seen.n++; seen.n >= unkeyedTokens {
		u.users, u.told = nil, true
		return true
	}
	if u.users == nil || !known && len(u.users) >= maxUnkeyed {
		u.users = make(map[string]unkeyed)
	}
	u.users[user] = seen
	return false
}
