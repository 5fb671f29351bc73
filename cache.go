package sessiontrack

import (
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"unique"

	"github.com/sessiontrack/sessiontrack/internal/storeclock"
)

// entry is a session as the process caches it: compact, because a million of them
// must fit (at most 256 bytes of heap each, the map's share included). All but the
// atomics is immutable; a change of facts makes a new entry.
type entry struct {
	handle          handle
	hash            [32]byte
	user            string
	serial          int64
	loginAt         int64 // store's microseconds, as are those below
	expiresAt       int64 // 0: never
	credentialUntil int64
	readAt          int64 // local microseconds at which the read began
	last            atomic.Int64
	queued          atomic.Int64 // latest activity handed to the touch buffer, or in the store
	ending          atomic.Pointer[ending]
	facts           unique.Handle[facts]
	places          unique.Handle[places]
	address         packedAddr
	derived         bool
}

// facts and places are what many sessions share; unique keeps one copy of each.
type facts struct {
	userAgent, hints string
	device           Device
}

type places struct {
	source, loginSource string
	location            Location
	// login is the address of the sign-in where moved says that it is not the latest:
	// the rare case pays for its room.
	login packedAddr
	moved bool
}

// signedInFrom sets the address of the sign-in.
func (p *places) signedInFrom(login, latest packedAddr) {
	p.login, p.moved = packedAddr{}, login != latest
	if p.moved {
		p.login = login
	}
}

func (e *entry) loginAddress() packedAddr {
	if p := e.places.Value(); p.moved {
		return p.login
	}
	return e.address
}

// ending is why a session is no longer good.
type ending struct {
	at     int64
	reason EndReason
	by     string
}

// packedAddr is a netip.Addr without its zone, in 17 bytes in place of 24.
type packedAddr struct {
	bytes [16]byte
	kind  uint8 // 0 none, 4, 6
}

func packAddr(a netip.Addr) packedAddr {
	switch {
	case a.Is4():
		return packedAddr{a.As16(), 4}
	case a.Is6():
		return packedAddr{a.As16(), 6}
	}
	return packedAddr{}
}

func (p packedAddr) addr() netip.Addr {
	switch p.kind {
	case 4:
		return netip.AddrFrom16(p.bytes).Unmap()
	case 6:
		return netip.AddrFrom16(p.bytes)
	}
	return netip.Addr{}
}

// newEntry makes the cached form of a row whose read began at readAt.
func newEntry(r *Record, readAt int64) (*entry, bool) {
	h, ok := parseHandle(r.ID)
	if !ok {
		return nil, false
	}
	e := &entry{
		handle: h, hash: r.SecretHash, user: r.UserID, serial: r.Serial,
		loginAt: micros(r.LoginAt), expiresAt: micros(r.ExpiresAt), credentialUntil: micros(r.CredentialUntil),
		readAt: readAt, derived: r.Derived,
		facts:   unique.Make(facts{r.UserAgent, r.ClientHints, r.Device}),
		address: packAddr(r.Address),
	}
	p := places{source: r.AddressSource, loginSource: r.LoginAddressSource, location: r.Location}
	p.signedInFrom(packAddr(r.LoginAddress), e.address)
	e.places = unique.Make(p)
	e.last.Store(micros(r.LastActivity))
	e.queued.Store(micros(r.LastActivity))
	if r.Ended() {
		e.ending.Store(&ending{micros(r.LogoutAt), r.EndReason, r.EndedBy})
	}
	return e, true
}

// session expands the entry.
func (e *entry) session() Session {
	f, p := e.facts.Value(), e.places.Value()
	s := Session{
		Serial: e.serial, ID: e.handle.id(), UserID: e.user, Derived: e.derived,
		Address: e.address.addr(), AddressSource: p.source, Location: p.location,
		LoginAddress: e.loginAddress().addr(), LoginAddressSource: p.loginSource,
		UserAgent: f.userAgent, ClientHints: f.hints, Device: f.device,
		LoginAt: fromMicros(e.loginAt), LastActivity: fromMicros(e.last.Load()),
		ExpiresAt: fromMicros(e.expiresAt), CredentialUntil: fromMicros(e.credentialUntil),
	}
	if end := e.ending.Load(); end != nil {
		s.LogoutAt, s.EndReason, s.EndedBy = fromMicros(end.at), end.reason, end.by
	}
	return s
}

// described returns a copy of the entry with new facts.
func (e *entry) described(f SessionUpdate) *entry {
	c := &entry{
		handle: e.handle, hash: e.hash, user: e.user, serial: e.serial, loginAt: e.loginAt, expiresAt: e.expiresAt,
		credentialUntil: max(e.credentialUntil, micros(f.CredentialUntil)), readAt: e.readAt, derived: e.derived,
		facts: e.facts, places: e.places, address: e.address,
	}
	if f.Device != nil {
		now := c.facts.Value()
		now.device = *f.Device
		c.facts = unique.Make(now)
	}
	if f.Network != nil {
		now := c.places.Value()
		now.source, now.location = f.Network.Source, f.Network.Location
		c.address = packAddr(f.Network.Address)
		now.signedInFrom(e.loginAddress(), c.address)
		c.places = unique.Make(now)
	}
	c.last.Store(e.last.Load())
	c.queued.Store(e.queued.Load())
	c.ending.Store(e.ending.Load())
	return c
}

const shardCount = 256 // a handle's first byte chooses; handles are random

// cache is the near cache: bounded, sharded, with a generation per shard that every
// invalidation moves on. A read of the store keeps its result only if the generation
// is still the one from before the read, so that a fill which races an end can never
// bring the session back.
type cache struct {
	shards   [shardCount]cacheShard
	perShard int
}

type cacheShard struct {
	mu         sync.RWMutex
	requests   atomic.Int64 // tracked ones; here, for one counter would be every core's bottleneck
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

// generation is read before the store is, and given back to put.
func (c *cache) generation(h handle) uint64 {
	s := c.shard(h)
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.generation
}

// put keeps an entry whose read began at the given generation, unless something in
// its shard has been invalidated since. It never replaces an end.
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
		if old.ending.Load() != nil {
			return
		}
	} else if len(s.entries) >= c.perShard {
		s.evict()
	}
	s.entries[e.handle] = e
}

// evict drops the least recently used of a few entries that the map's random order
// offers. Unwritten touches are in the touch buffer, not here, and none is lost.
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

// describe replaces an entry by one with new facts.
func (c *cache) describe(h handle, f SessionUpdate) {
	s := c.shard(h)
	s.mu.Lock()
	defer s.mu.Unlock()
	if e := s.entries[h]; e != nil {
		s.entries[h] = e.described(f)
	}
}

// end marks a session ended and moves the generation on. Whoever holds the entry
// sees the end too.
func (c *cache) end(h handle, end *ending) {
	s := c.shard(h)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.generation++
	if e := s.entries[h]; e != nil {
		e.ending.CompareAndSwap(nil, end)
	}
}

// drop forgets a session; the next request reads it from the store.
func (c *cache) drop(h handle) {
	s := c.shard(h)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.generation++
	delete(s.entries, h)
}

// dropLive forgets a session unless it is known to have ended.
func (c *cache) dropLive(h handle) {
	s := c.shard(h)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.generation++
	if e := s.entries[h]; e != nil && e.ending.Load() == nil {
		delete(s.entries, h)
	}
}

// dropUser does so for a user's sessions but those excepted. It looks at every entry,
// 3 ms for 100,000, shard by shard: all of a user's sessions are ended by people, not by
// requests, and an index by user would cost memory at every login.
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

// clear forgets everything.
func (c *cache) clear() {
	for i := range c.shards {
		s := &c.shards[i]
		s.mu.Lock()
		s.generation++
		clear(s.entries)
		s.mu.Unlock()
	}
}

// tracked sums the shards' requests.
func (c *cache) tracked() (n int64) {
	for i := range c.shards {
		n += c.shards[i].requests.Load()
	}
	return n
}

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
