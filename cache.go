package sessiontrack

import (
	"crypto/subtle"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/sessiontrack/sessiontrack/internal/storeclock"
)

const shardCount = 256 // indexed by a handle's first byte; handles are random

// cache is the near cache. It is bounded and sharded. Each shard has a generation, and every
// invalidation increments it. A read of the store is kept only if the generation is the same as
// before the read. So a read that races an end can never bring the session back.
type cache struct {
	shards   [shardCount]cacheShard
	perShard int
}

type cacheShard struct {
	mu         sync.RWMutex
	requests   atomic.Int64 // with a good session; one counter for all shards would hold the cores up
	generation uint64
	entries    map[handle]*entry
}

func newCache(size int) *cache {
	c := &cache{perShard: (size + shardCount - 1) / shardCount}
	for i := range c.shards {
		c.shards[i].entries = make(map[handle]*entry)
	}
	return c
}

func (c *cache) shard(h handle) *cacheShard { return &c.shards[h[0]] }

func (c *cache) get(h handle) *entry {
	s := c.shard(h)
	s.mu.RLock()
	e := s.entries[h]
	s.mu.RUnlock()
	return e
}

// generation must be read before the store is read. Pass it to put.
func (c *cache) generation(h handle) uint64 {
	s := c.shard(h)
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.generation
}

// put stores an entry whose read began at the given generation, unless the shard has been
// invalidated since then. It never replaces an end.
func (c *cache) put(e *entry, generation uint64) {
	if c.perShard <= 0 {
		return
	}
	s := c.shard(e.handle)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.generation != generation {
		return
	}
	if old := s.entries[e.handle]; old != nil {
		storeclock.Raise(&e.last, old.last.Load())
		storeclock.Raise(&e.queued, old.queued.Load())
		storeclock.Raise(&e.seen, old.seen.Load())
		if old.ending.Load() != nil {
			return
		}
	} else if len(s.entries) >= c.perShard {
		s.evict()
	}
	s.entries[e.handle] = e
}

// evict drops the least recently used of a few entries, which the map returns in random order.
// Unwritten touches are in the touch buffer, so none is lost.
func (s *cacheShard) evict() {
	var oldest *entry
	seen := 0
	for _, e := range s.entries {
		if oldest == nil || e.last.Load() < oldest.last.Load() {
			oldest = e
		}
		if seen++; seen == 8 {
			break
		}
	}
	if oldest != nil {
		delete(s.entries, oldest.handle)
	}
}

// confirm moves the times of a cached session forward that a reading has brought. It drops the
// session where the secret has changed since.
func (c *cache) confirm(read *entry) {
	s := c.shard(read.handle)
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.entries[read.handle]
	switch {
	case e == nil:
	case subtle.ConstantTimeCompare(e.hash[:], read.hash[:]) == 0:
		s.generation++
		delete(s.entries, read.handle)
	default:
		storeclock.Raise(&e.last, read.last.Load())
		storeclock.Raise(&e.queued, read.queued.Load())
		storeclock.Raise(&e.confirmed, read.confirmed.Load())
	}
}

// describe replaces an entry by a copy with new facts.
func (c *cache) describe(h handle, f SessionUpdate) {
	s := c.shard(h)
	s.mu.Lock()
	defer s.mu.Unlock()
	if e := s.entries[h]; e != nil {
		s.entries[h] = e.described(f)
	}
}

// end marks a session as ended and increments the generation. Goroutines that hold the entry see
// the end too. It reports whether the session was here, and live until now.
func (c *cache) end(h handle, end *ending) bool {
	s := c.shard(h)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.generation++
	e := s.entries[h]
	return e != nil && e.ending.CompareAndSwap(nil, end)
}

// drop removes a session; the next request reads it from the store.
func (c *cache) drop(h handle) {
	s := c.shard(h)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.generation++
	delete(s.entries, h)
}

// dropLive removes a session unless it is known to have ended.
func (c *cache) dropLive(h handle) {
	s := c.shard(h)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.generation++
	if e := s.entries[h]; e != nil && e.ending.Load() == nil {
		delete(s.entries, h)
	}
}

// dropUser forgets a user's sessions that are not known to have ended, except those in
// except. It looks at every entry, which takes 3 ms for 100,000: people end all sessions
// of a user, requests do not, and an index by user would cost memory at every login.
func (c *cache) dropUser(user string, except []SessionID) {
	for i := range c.shards {
		s := &c.shards[i]
		s.mu.Lock()
		s.generation++
		for h, e := range s.entries {
			if e.user == user && e.ending.Load() == nil && !slices.Contains(except, h.id()) {
				delete(s.entries, h)
			}
		}
		s.mu.Unlock()
	}
}

// clear removes all entries.
func (c *cache) clear() {
	for i := range c.shards {
		s := &c.shards[i]
		s.mu.Lock()
		s.generation++
		clear(s.entries)
		s.mu.Unlock()
	}
}

// tracked returns the sum of the shards' requests.
func (c *cache) tracked() (n int64) {
	for i := range c.shards {
		n += c.shards[i].requests.Load()
	}
	return n
}

// size is how many entries there can be.
func (c *cache) size() int { return max(shardCount*c.perShard, 0) }

// len counts the entries.
func (c *cache) len() int {
	n := 0
	for i := range c.shards {
		c.shards[i].mu.RLock()
		n += len(c.shards[i].entries)
		c.shards[i].mu.RUnlock()
	}
	return n
}
