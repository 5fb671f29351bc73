// Package handle reads and writes what names and proves a session: handles of 128
// bits and tokens of handle and secret, in canonical base64url (RFC 4648 §5). It knows
// nothing of sessions.
package handle

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/binary"
)

// Sizes of a token's two parts. 128 bits name a session, 256 bits prove it
// (OWASP ASVS 7.2.3 asks for 128 bits of entropy).
const (
	Bytes       = 16
	Chars       = 22
	SecretBytes = 32
	SecretChars = 43
	TokenChars  = Chars + 1 + SecretChars
)

// ID is a handle's bytes.
type ID [Bytes]byte

// Parse decodes the canonical spelling of a handle without allocating.
func Parse[T ~string](s T) (id ID, ok bool) {
	if len(s) != Chars {
		return id, false
	}
	return id, decode(id[:], string(s))
}

// String returns the canonical spelling.
func (id ID) String() string { return Encoding.EncodeToString(id[:]) }

// New mints a handle from the system's random source.
func New() (id ID) {
	rand.Read(id[:]) // never fails: crypto/rand ends the program instead
	return id
}

// Derive names the session of a credential that carries no handle: the first 128 bits
// of SHA-256 over the four parts, each preceded by its length, so that no two different
// lists of parts read alike. Every replica computes the same handle.
func Derive(issuer, user, key string) (id ID) {
	sum := sha256.New()
	for _, part := range [...]string{"sessiontrack/1", issuer, user, key} {
		var size [8]byte
		binary.BigEndian.PutUint64(size[:], uint64(len(part)))
		sum.Write(size[:])
		sum.Write([]byte(part))
	}
	copy(id[:], sum.Sum(nil))
	return id
}

// Proof is a token as a request carries it. It is a plain value, so that reading one
// allocates nothing.
type Proof struct {
	Handle ID
	Secret [SecretBytes]byte
}

// ParseProof reads "handle.secret". It refuses every spelling but the canonical one.
func ParseProof(s string) (p Proof, ok bool) {
	ok = p.Parse(s)
	return p, ok
}

// Parse is [ParseProof] into p, whose content counts only where Parse reports true. A
// wrong length is refused before anything is decoded.
func (p *Proof) Parse(s string) bool {
	return len(s) == TokenChars && s[Chars] == '.' &&
		decode(p.Handle[:], s[:Chars]) && decode(p.Secret[:], s[Chars+1:])
}

// Hash is what a store keeps in place of the secret. A plain SHA-256 is enough for 256
// random bits, which nobody can guess (OWASP ASVS 11.4.2 asks for slow functions where
// people choose the secret).
func (p *Proof) Hash() [sha256.Size]byte { return sha256.Sum256(p.Secret[:]) }

// Proves reports in constant time whether hash was made of the secret (OWASP ASVS
// 11.2.4).
func (p *Proof) Proves(hash *[sha256.Size]byte) bool {
	sum := p.Hash()
	return subtle.ConstantTimeCompare(sum[:], hash[:]) == 1
}
