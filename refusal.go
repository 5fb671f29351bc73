package sessiontrack

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"sync"
	"time"
)

// refusalKey is what a credential that was refused is remembered by: the handle, the
// secret and the user that came with it. The refusal of one says nothing of another, and
// because all of it goes through one hash nobody can choose a handle that is remembered
// in the place of somebody else's credential.
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

// notGenuine refuses a credential that does not prove the session it names. It costs
// what an unknown handle costs, one read of the store and then a place in the memory
// of what was refused, so that nobody can tell by the time, or by the answer during an
// outage, which handles exist.
func (t *Tracker) notGenuine(ctx context.Context, h handle, c *carriers, hit bool) error {
	key := c.refusalKey(h)
	if hit && !t.unknown.has(key, t.clock.Local()) {
		if t.down.Load() {
			return fmt.Errorf("%w: known to be away", ErrUnavailable)
		}
		if _, err := t.read(ctx, h, nil, false); err != nil && !errors.Is(err, ErrNotFound) {
			return err
		}
	}
	t.refused(key)
	return ErrInvalidCredential
}

// refused remembers a credential that is not good, and counts it.
func (t *Tracker) refused(key handle) {
	t.count(countUnknown, 1)
	local := t.clock.Local()
	if t.life.Running() {
		t.unknown.add(key, local)
	}
	if n := t.guessing.add(local); n > 0 {
		t.count(countGuessing, 1)
		t.opts.Logger.LogAttrs(context.Background(), warn, "sessiontrack: somebody may be guessing session ids", countAttr(n))
	}
}

// unknowns remembers credentials that were refused, for one to two seconds, so that a
// client which repeats one costs no second read. Two generations bound it.
type unknowns struct {
	mu       sync.Mutex
	young    map[handle]struct{}
	old      map[handle]struct{}
	turnedAt int64
}

const (
	maxUnknown = 8192 // a generation; at most two are kept
	unknownFor = int64(time.Second / time.Microsecond)
)

func (u *unknowns) add(h handle, local int64) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.turn(local)
	u.young[h] = struct{}{}
}

func (u *unknowns) has(h handle, local int64) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.turn(local)
	_, young := u.young[h]
	_, old := u.old[h]
	return young || old
}

// turn forgets what is older than one generation.
func (u *unknowns) turn(local int64) {
	if u.young != nil && local-u.turnedAt < unknownFor && len(u.young) < maxUnknown {
		return
	}
	if local-u.turnedAt >= 2*unknownFor {
		u.young = nil
	}
	u.old, u.young, u.turnedAt = u.young, make(map[handle]struct{}), local
}

// guesses counts credentials that were refused, a minute at a time.
type guesses struct {
	mu    sync.Mutex
	since int64
	n     int
}

// guessesAlert is how many within a minute are worth a word to the operator (OWASP ASVS
// 6.3.1 asks for defence against guessing): 256 random bits bear any number, and who
// tries is worth knowing.
const guessesAlert = 1000

// add counts one more, and returns the number at the moment when it is to be reported:
// once a minute at the most.
func (g *guesses) add(local int64) int {
	g.mu.Lock()
	defer g.mu.Unlock()
	if local-g.since >= time.Minute.Microseconds() {
		g.since, g.n = local, 0
	}
	if g.n++; g.n == guessesAlert {
		return g.n
	}
	return 0
}
