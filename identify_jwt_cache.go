package sessiontrack

import (
	"hash/maphash"
	"math/bits"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// tokenWays is how many places a token may be kept at: two cache lines of tags.
const tokenWays = 16

// tokenCache remembers tokens that were found genuine, and nothing else, so that
// no amount of garbage evicts one. It is set-associative: a token's hash says
// which few places it may have, reading takes no lock and allocates nothing.
//
// It keeps whole tokens and compares them. A cache of SHA-256 sums would keep no
// bearer in memory, but summing the token costs more than all the rest of a
// request: 0.6 µs for an RS256 token against 0.1 µs here, where the request's own
// floor is 0.2 to 0.4 µs. A 64-bit hash by itself would let whoever finds a collision be
// somebody else. A token leaves when its time is up, at the latest a little
// after, by the sweep.
//
// A nil cache is one that is switched off.
type tokenCache struct {
	seed  maphash.Seed
	keep  time.Duration
	ways  int
	sets  uint64
	tags  []atomic.Uint64 // hash of the token in the same place, 0 for none
	slots []atomic.Pointer[cachedToken]

	mu         sync.Mutex // held to write
	generation uint64     // guarded by mu: how often the cache was emptied
	swept      uint64     // guarded by mu: the set that is swept next
}

// cachedToken is immutable once it is in its slot.
type cachedToken struct {
	token    string
	identity Identity
	until    time.Time
}

func newTokenCache(size int, keep time.Duration) *tokenCache {
	ways := min(size, tokenWays)
	sets := size / ways
	return &tokenCache{
		seed: maphash.MakeSeed(), keep: keep, ways: ways, sets: uint64(sets),
		tags: make([]atomic.Uint64, sets*ways), slots: make([]atomic.Pointer[cachedToken], sets*ways),
	}
}

// places returns a token's tag and the first of its places. The end of the signature is as good as random, so that it is
// all that need be hashed; that the rest is the same too, get compares.
func (c *tokenCache) places(token string) (tag uint64, first int) {
	const tail = 64
	tag = maphash.String(c.seed, token[max(0, len(token)-tail):])
	set, _ := bits.Mul64(tag, c.sets)
	return tag | 1, int(set) * c.ways
}

// get returns what is known of a token, nil if nothing is, or not any more.
func (c *tokenCache) get(token string, now time.Time) *cachedToken {
	if c == nil {
		return nil
	}
	tag, first := c.places(token)
	tags := c.tags[first : first+c.ways]
	for i := range tags {
		if tags[i].Load() != tag {
			continue
		}
		if found := c.slots[first+i].Load(); found != nil && found.token == token && now.Before(found.until) {
			return found
		}
	}
	return nil
}

// era returns the generation for put, to be asked for before the token is
// verified: what was verified with a key that is withdrawn meanwhile is not kept.
func (c *tokenCache) era() uint64 {
	if c == nil {
		return 0
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.generation
}

// put remembers a genuine token until its exp, or for as long as tokens are kept.
// The leeway is not used up: an expired token is looked at each time.
func (c *tokenCache) put(token string, identity Identity, now time.Time, generation uint64) {
	if c == nil {
		return
	}
	until := now.Round(0).Add(c.keep) // by the wall clock, as exp is
	if identity.ExpiresAt.Before(until) {
		until = identity.ExpiresAt
	}
	if !now.Before(until) {
		return
	}
	entry := &cachedToken{token: strings.Clone(token), identity: identity, until: until}
	tag, first := c.places(token)
	c.mu.Lock()
	defer c.mu.Unlock()
	if generation != c.generation {
		return
	}
	c.sweep(now)
	place := c.victim(tag, first, token, now)
	c.slots[place].Store(entry)
	c.tags[place].Store(tag)
}

// victim chooses a place: the token's own, else a free one, else the one whose
// time is up first.
func (c *tokenCache) victim(tag uint64, first int, token string, now time.Time) int {
	place := first
	var least time.Time
	for i := first; i < first+c.ways; i++ {
		entry := c.slots[i].Load()
		if entry != nil && c.tags[i].Load() == tag && entry.token == token {
			return i
		}
		var until time.Time // zero for what is free or over
		if entry != nil && now.Before(entry.until) {
			until = entry.until
		}
		if i == first || until.Before(least) {
			place, least = i, until
		}
	}
	return place
}

// sweep drops what is over in one set, a different one with each call.
func (c *tokenCache) sweep(now time.Time) {
	first := int(c.swept%c.sets) * c.ways
	c.swept++
	for i := first; i < first+c.ways; i++ {
		if entry := c.slots[i].Load(); entry != nil && !now.Before(entry.until) {
			c.tags[i].Store(0)
			c.slots[i].Store(nil)
		}
	}
}

// reset empties the cache.
func (c *tokenCache) reset() {
	if c == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.generation++
	for i := range c.slots {
		c.tags[i].Store(0)
		c.slots[i].Store(nil)
	}
}
