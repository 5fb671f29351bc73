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
	loginAt         int64 // in the store's microseconds, like the field below
	credentialUntil int64
	confirmed       atomic.Int64 // local microseconds at which the session is known to have been alive
	last            atomic.Int64
	queued          atomic.Int64 // latest activity that is in the touch buffer or the store
	seen            atomic.Int64 // latest sign of life that is in the touch buffer or the store
	ending          atomic.Pointer[ending]
	shared
	address       packedAddr
	derived       bool
	authenticated offset // since loginAt
}

// shared are values that many sessions share.
type shared struct {
	facts  unique.Handle[facts]
	places unique.Handle[places]
	traits unique.Handle[traits]
}

// facts, places and traits have values that many sessions share. Package unique keeps one copy
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

// traits are what the application said of the session at the sign-in, and how the user
// authenticated.
type traits struct {
	client, tenant, actedBy string
	methods                 string        // words with spaces between
	idle                    time.Duration // as Session.IdleTimeout
	lifetime                int64         // ExpiresAt - LoginAt in microseconds; 0 for none
	remember                bool
}

func traitsOf(s *Session) traits {
	t := traits{s.Client, s.Tenant, s.ActedBy, methodsColumn(s.Methods), s.IdleTimeout, 0, s.Remember}
	if !s.ExpiresAt.IsZero() {
		t.lifetime = micros(s.ExpiresAt) - micros(s.LoginAt)
	}
	return t
}

// offset is a time relative to another one, in microseconds, in 48 bits: up to four years, which
// fill what would else be padding. The least value stands for an unknown time.
type offset [6]byte

const unknownOffset = -1 << 47

func offsetOf(at, from int64) (o offset) {
	d := int64(unknownOffset)
	if at != 0 {
		d = min(max(at-from, unknownOffset+1), 1<<47-1)
	}
	for i := range o {
		o[i] = byte(d >> (8 * i))
	}
	return o
}

// after returns the time, 0 for an unknown one.
func (o offset) after(from int64) int64 {
	d := int64(int8(o[5]))
	for i := 4; i >= 0; i-- {
		d = d<<8 | int64(o[i])
	}
	if d == unknownOffset {
		return 0
	}
	return from + d
}

// authenticatedAt returns when the user proved who they are, 0 if unknown.
func (e *entry) authenticatedAt() int64 { return e.authenticated.after(e.loginAt) }

// expiresAt returns when the session's lifetime ends, 0 for never.
func (e *entry) expiresAt() int64 {
	if lifetime := e.traits.Value().lifetime; lifetime != 0 {
		return e.loginAt + lifetime
	}
	return 0
}

// idleLimit returns the idle limit of the session in microseconds, zero for none. usual is the one
// of sessions without their own.
func (e *entry) idleLimit(usual int64) int64 {
	switch own := e.traits.Value().idle; {
	case own < 0:
		return 0
	case own > 0:
		return own.Microseconds()
	}
	return usual
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
		loginAt: micros(r.LoginAt), credentialUntil: micros(r.CredentialUntil),
		derived: r.Derived, address: packAddr(r.Address),
		authenticated: offsetOf(micros(r.AuthenticatedAt), micros(r.LoginAt)),
	}
	p := places{source: r.AddressSource, loginSource: r.LoginAddressSource, location: r.Location}
	p.signedInFrom(packAddr(r.LoginAddress), e.address)
	e.shared = shared{
		unique.Make(facts{r.UserAgent, r.ClientHints, r.Device}), unique.Make(p), unique.Make(traitsOf(&r.Session)),
	}
	e.confirmed.Store(readAt)
	e.last.Store(micros(r.LastActivity))
	e.queued.Store(micros(r.LastActivity))
	e.seen.Store(max(micros(r.LastSeen), micros(r.LastActivity)))
	if r.Ended() {
		e.ending.Store(&ending{micros(r.LogoutAt), r.EndReason, r.EndedBy})
	}
	return e, true
}

// session converts the entry back to a Session.
func (e *entry) session() Session {
	f, p, a := e.facts.Value(), e.places.Value(), e.traits.Value()
	s := Session{
		Serial: e.serial, ID: e.handle.id(), UserID: e.user, Derived: e.derived,
		Client: a.client, Tenant: a.tenant, ActedBy: a.actedBy, Methods: methodsOf(a.methods),
		IdleTimeout: a.idle, Remember: a.remember,
		AuthenticatedAt: fromMicros(e.authenticatedAt()), LastSeen: fromMicros(max(e.seen.Load(), e.last.Load())),
		Address: e.address.addr(), AddressSource: p.source, Location: p.location,
		LoginAddress: e.loginAddress().addr(), LoginAddressSource: p.loginSource,
		UserAgent: f.userAgent, ClientHints: f.hints, Device: f.device,
		LoginAt: fromMicros(e.loginAt), LastActivity: fromMicros(e.last.Load()),
		ExpiresAt: fromMicros(e.expiresAt()), CredentialUntil: fromMicros(e.credentialUntil),
	}
	if end := e.ending.Load(); end != nil {
		s.LogoutAt, s.EndReason, s.EndedBy = fromMicros(end.at), end.reason, end.by
	}
	return s
}

// seconds converts local microseconds.
func seconds(local int64) int32 { return int32(local / time.Second.Microseconds()) }

// described returns a copy of the entry with new facts.
func (e *entry) described(f SessionUpdate) *entry {
	c := &entry{
		handle: e.handle, hash: e.hash, user: e.user, serial: e.serial, loginAt: e.loginAt,
		credentialUntil: max(e.credentialUntil, micros(f.CredentialUntil)), derived: e.derived,
		shared: e.shared, address: e.address, authenticated: e.authenticated,
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
	c.confirmed.Store(e.confirmed.Load())
	c.last.Store(e.last.Load())
	c.queued.Store(e.queued.Load())
	c.seen.Store(e.seen.Load())
	c.ending.Store(e.ending.Load())
	return c
}

// fencedEntry stands for the session of a credential that came too late: it has ended
// before it began. Like any other it is cached, unless another credential could name the
// same session and get another answer.
func fencedEntry(h handle, n *NewSession, reason EndReason, readAt int64) *entry {
	e := &entry{
		handle: h, user: n.Session.UserID, derived: true,
		shared: shared{unique.Make(facts{}), unique.Make(places{}), unique.Make(traits{})},
	}
	e.confirmed.Store(readAt)
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
