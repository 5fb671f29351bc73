package sessiontrack

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"log/slog"
)

// Sizes of a token's two parts. 128 bits name a session, 256 bits prove it
// (OWASP ASVS 7.2.3 asks for 128 bits of entropy).
const (
	handleBytes = 16
	handleChars = 22
	secretBytes = 32
	secretChars = 43
	tokenChars  = handleChars + 1 + secretChars
)

// rawURL refuses what is not canonical: padding, line breaks and trailing bits
// that are not zero, so that one value has one spelling.
var rawURL = base64.RawURLEncoding.Strict()

// SessionID is a session's handle: 128 random bits as 22 characters of base64url
// (RFC 4648 §5, canonical). It names a session in lists, paths, logs, events and
// a JWT's sid claim, and it authenticates nobody.
type SessionID string

// ParseSessionID returns s as a handle, or [ErrInvalidCredential] where s is not
// 22 characters of canonical base64url.
func ParseSessionID(s string) (SessionID, error) {
	if _, ok := parseHandle(s); !ok {
		return "", fmt.Errorf("%w: a session id is %d characters of canonical base64url", ErrInvalidCredential, handleChars)
	}
	return SessionID(s), nil
}

// handle is a SessionID's bytes: what the process keys its maps by.
type handle [handleBytes]byte

// parseHandle decodes the canonical spelling of a handle without allocating.
func parseHandle[T ~string](s T) (h handle, ok bool) {
	if len(s) != handleChars {
		return h, false
	}
	return h, decodeRaw(h[:], string(s))
}

func (h handle) id() SessionID { return SessionID(rawURL.EncodeToString(h[:])) }

// newHandle mints a handle from the system's random source.
func newHandle() (h handle) {
	rand.Read(h[:]) // never fails: crypto/rand ends the program instead
	return h
}

// proof is a token as a request carries it: a plain value, so that reading one
// allocates nothing. It never leaves this package.
type proof struct {
	handle handle
	secret [secretBytes]byte
}

// parseProof reads "handle.secret". Anything but the one canonical spelling is
// refused, before anything is decoded where the length says so already.
func parseProof(s string) (p proof, ok bool) {
	if len(s) != tokenChars || s[handleChars] != '.' {
		return p, false
	}
	ok = decodeRaw(p.handle[:], s[:handleChars]) && decodeRaw(p.secret[:], s[handleChars+1:])
	return p, ok
}

// hash is what the store keeps in place of the secret. A plain SHA-256 is enough
// for 256 random bits: there is nothing to guess (OWASP ASVS 11.4.2 asks for
// slow functions where people choose the secret).
func (p *proof) hash() [sha256.Size]byte { return sha256.Sum256(p.secret[:]) }

// proves reports whether the secret is the one that hash was made of, in constant
// time (OWASP ASVS 11.2.4).
func (p *proof) proves(hash *[sha256.Size]byte) bool {
	sum := p.hash()
	return subtle.ConstantTimeCompare(sum[:], hash[:]) == 1
}

// Token is what the client of a session holds: the handle and the secret that
// proves it. It prints, logs and marshals as its handle, also inside a struct of
// the host's; only [Token.Reveal] gives the secret away.
type Token struct {
	handle handle
	// hidden is the secret. Package fmt calls no method of a value in an unexported
	// field and would print the bytes; it follows one pointer where a verb does not
	// fit, and never two.
	hidden **[secretBytes]byte
}

func newToken() Token {
	secret := new([secretBytes]byte)
	rand.Read(secret[:])
	return Token{newHandle(), &secret}
}

// proof is what the client will carry; the zero Token's proves nothing.
func (t Token) proof() proof {
	p := proof{handle: t.handle}
	if t.hidden != nil {
		p.secret = **t.hidden
	}
	return p
}

// ID returns the token's handle.
func (t Token) ID() SessionID { return t.handle.id() }

// Reveal returns the whole token, "handle.secret", to be given to the client and
// to nobody else: whoever holds it is the session.
func (t Token) Reveal() string {
	p := t.proof()
	return string(p.handle.id()) + "." + rawURL.EncodeToString(p.secret[:])
}

// String returns the handle.
func (t Token) String() string { return string(t.ID()) }

// GoString returns the handle.
func (t Token) GoString() string { return "sessiontrack.Token(" + t.String() + ")" }

// Format prints the handle, whatever the verb, so that no verb reaches the bytes.
func (t Token) Format(f fmt.State, verb rune) {
	if verb == 'v' && f.Flag('#') {
		_, _ = f.Write([]byte(t.GoString()))
		return
	}
	fmt.Fprintf(f, fmt.FormatString(f, verbFor(verb)), t.String())
}

func verbFor(verb rune) rune {
	switch verb {
	case 'q', 'x', 'X', 's':
		return verb
	}
	return 's'
}

// MarshalText returns the handle; JSON and other encoders use it.
func (t Token) MarshalText() ([]byte, error) { return []byte(t.ID()), nil }

// LogValue returns the handle.
func (t Token) LogValue() slog.Value { return slog.StringValue(t.String()) }

// deriveHandle names the session of a credential that carries none of ours: the
// first 128 bits of SHA-256 over the four parts, each preceded by its length, so
// that no two different lists of parts read alike. Every replica agrees on it.
func deriveHandle(issuer, user, key string) (h handle) {
	sum := sha256.New()
	for _, part := range [...]string{"sessiontrack/1", issuer, user, key} {
		var size [8]byte
		binary.BigEndian.PutUint64(size[:], uint64(len(part)))
		sum.Write(size[:])
		sum.Write([]byte(part))
	}
	copy(h[:], sum.Sum(nil))
	return h
}

// sextet maps a byte to its value in base64url, 0xFF where it has none.
var sextet = func() (t [256]byte) {
	for i := range t {
		t[i] = 0xFF
	}
	for i, c := range []byte("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_") {
		t[c] = byte(i)
	}
	return t
}()

// decodeRaw decodes canonical unpadded base64url into dst, whose length must fit
// src exactly. It exists beside encoding/base64 because that package skips line
// breaks inside the text, which gives one value several spellings, and takes
// bytes, which would cost the request a copy.
func decodeRaw(dst []byte, src string) bool {
	var bits uint32
	var have uint
	at := 0
	for ; len(src) >= 4 && len(dst)-at >= 3; src, at = src[4:], at+3 {
		a, b, c, d := sextet[src[0]], sextet[src[1]], sextet[src[2]], sextet[src[3]]
		if (a|b|c|d)&0xC0 != 0 {
			return false
		}
		group := uint32(a)<<18 | uint32(b)<<12 | uint32(c)<<6 | uint32(d)
		dst[at], dst[at+1], dst[at+2] = byte(group>>16), byte(group>>8), byte(group)
	}
	for i := 0; i < len(src); i++ {
		v := sextet[src[i]]
		if v == 0xFF {
			return false
		}
		bits, have = bits<<6|uint32(v), have+6
		if have >= 8 {
			have -= 8
			if at == len(dst) {
				return false
			}
			dst[at] = byte(bits >> have)
			at++
		}
	}
	return at == len(dst) && bits&(1<<have-1) == 0
}
