package sessiontrack

import (
	"net/netip"
	"sync/atomic"
	"time"
	"unique"
)

// entry is a session as the process caches it. It is compact, because a million of them
// must fit: at most 256 bytes of heap each, the map's share included. Only the atomics
// change; a change of the facts makes a new entry.
type entry struct {
	handle          handle
	hash            [32]byte
	user            string
	serial          int64
	loginAt         int64 // in the store's microseconds, like the two fields below
	expiresAt       int64 // 0: never
	credentialUntil int64
	readAt          int64 // local microseconds at which the read began
	last            atomic.Int64
	queued          atomic.Int64 // latest activity that is in the touch buffer or the store
	ending          atomic.Pointer[ending]
	facts           unique.Handle[facts]
	places          unique.Handle[places]
	address         packedAddr
	derived         bool
}

// facts and places have values that many sessions share. Package unique keeps one copy
// of each.
type facts struct {
	userAgent, hints string
	device           Device
}

type places struct {
	source, loginSource string
	location            Location
	// login is the address of the sign-in, set where moved says that it is not the latest
	// one. That is rare, so only those sessions pay for its room.
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

// ending is the reason why a session is no longer good.
type ending struct {
	at     int64
	reason EndReason
	by     string
}

// packedAddr is a netip.Addr without its zone, in 17 bytes instead of 24.
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

// newEntry converts a row to its cached form. readAt is when the read of the row began.
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

// session converts the entry back to a Session.
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

// fencedEntry stands for the session of a credential that came too late: it has ended
// before it began. Like any other it is cached, unless another credential could name the
// same session and get another answer.
func fencedEntry(h handle, n *NewSession, reason EndReason, readAt int64) *entry {
	e := &entry{
		handle: h, user: n.Session.UserID, derived: true, readAt: readAt,
		facts: unique.Make(facts{}), places: unique.Make(places{}),
	}
	e.ending.Store(&ending{reason: reason})
	return e
}

// fenced reports whether fencedEntry made the entry.
func (e *entry) fenced() bool { return e.loginAt == 0 && e.serial == 0 }

// shared reports whether several credentials may name the session to be made. It is false
// for nil.
func (n *NewSession) shared() bool { return n != nil && !n.oneToken }

// credentialLeeway is added to a credential's expiry. It is the largest leeway of any verifier.
const credentialLeeway = time.Minute
