package sessiontrack

import (
	"context"
	"crypto/sha256"
	"errors"
	"sync"
	"time"
)

// refusalKey is what a refused credential is remembered by: a hash of the handle, the
// secret and the user that came with it. So the refusal of one credential says nothing of
// another, and nobody can choose a handle that is remembered in the place of somebody
// else's credential.
func (c *carriers) refusalKey(h handle) (key handle) {
	var room [idBytes + 1 + sha256.Size + maxUserID]byte
	text := append(append(room[:0], h[:]...), 0)
	if c.header || c.cookie {
		hash := c.token.Hash()
		text = append(text, hash[:]...)
		text[idBytes] |= 1
	}
	if c.verified {
		text = append(text, c.identity().UserID...)
		text[idBytes] |= 2
	}
	sum := sha256.Sum256(text)
	copy(key[:], sum[:])
	return key
}

// notGenuine looks again at a credential that does not prove the session it names: another process
// may have changed the secret since e was read. It returns the session as it is now. The credential
// costs as much as an unknown handle: one read of the store that began after the request, and then a
// slot in the cache of refused credentials. So neither the time nor the answer during an outage
// reveals which handles exist.
func (g *gate) notGenuine(ctx context.Context, h handle, c *carriers, e *entry, local int64) (*entry, error) {
	key := c.refusalKey(h)
	if e.confirmed.Load() < local && !g.refused.has(key, g.clock.Local()) {
		if g.backend.away() {
			return nil, errAway
		}
		fresh, err := g.near.readFresh(ctx, h, nil)
		if err == nil && c.proves(fresh) {
			g.near.cache.dropLive(h)
			return fresh, nil
		}
		if err != nil && !errors.Is(err, ErrNotFound) {
			return nil, err
		}
	}
	g.remember(key)
	return nil, ErrInvalidCredential
}

// proves reports whether the secret that came is the session's.
func (c *carriers) proves(e *entry) bool { return (c.header || c.cookie) && c.token.Proves(&e.hash) }

// remember remembers a credential that is not good, and counts it.
func (g *gate) remember(key handle) {
	g.host.count(countUnknown, 1)
	local := g.clock.Local()
	if g.near.life.Running() {
		g.refused.add(key, local)
	}
	if n := g.alarm.add(local); n > 0 {
		g.host.count(countGuessing, 1)
		g.host.log.LogAttrs(context.Background(), warn, "sessiontrack: a client may be guessing session ids", countAttr(n))
	}
}

// refusedCache remembers credentials that were refused, for one to two seconds, so that a
// client which repeats one costs no second read. Two generations bound it.
type refusedCache struct {
	mu       sync.Mutex
	young    map[handle]struct{}
	old      map[handle]struct{}
	turnedAt int64
}

const (
	maxUnknown = 8192 // per generation; at most two generations are kept
	unknownFor = int64(time.Second / time.Microsecond)
)

func (u *refusedCache) add(h handle, local int64) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.turn(local)
	u.young[h] = struct{}{}
}

func (u *refusedCache) has(h handle, local int64) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.turn(local)
	_, young := u.young[h]
	_, old := u.old[h]
	return young || old
}

// turn drops the older generation after its time.
func (u *refusedCache) turn(local int64) {
	if u.young != nil && local-u.turnedAt < unknownFor && len(u.young) < maxUnknown {
		return
	}
	if local-u.turnedAt >= 2*unknownFor {
		u.young = nil
	}
	u.old, u.young, u.turnedAt = u.young, make(map[handle]struct{}), local
}

// guessAlarm counts credentials that were refused, a minute at a time.
type guessAlarm struct {
	mu    sync.Mutex
	since int64
	n     int
}

// guessesAlert is how many within a minute are logged for the operator (OWASP ASVS 6.3.1
// asks for defence against guessing). 256 random bits bear any number of attempts.
const guessesAlert = 1000

// add counts one credential. It returns the count when it should be logged, at most once a minute,
// and 0 otherwise.
func (a *guessAlarm) add(local int64) int {
	a.mu.Lock()
	defer a.mu.Unlock()
	if local-a.since >= time.Minute.Microseconds() {
		a.since, a.n = local, 0
	}
	if a.n++; a.n == guessesAlert {
		return a.n
	}
	return 0
}
