package model

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/sessiontrack/sessiontrack"
)

// credential is what an identity provider gave to a user, independent of the store.
type credential struct {
	id       sessiontrack.SessionID // of the session derived from it
	user     string
	key      string
	issuer   string
	issuedAt time.Time
	expires  time.Time // zero: no end that could be known
	jwt      string
}

// derive computes the handle of a derived session, independently of the library's own code.
func derive(parts ...string) sessiontrack.SessionID {
	var text []byte
	for _, part := range append([]string{"sessiontrack/1"}, parts...) {
		text = binary.BigEndian.AppendUint64(text, uint64(len(part)))
		text = append(text, part...)
	}
	sum := sha256.Sum256(text)
	return sessiontrack.SessionID(base64.RawURLEncoding.EncodeToString(sum[:16]))
}

func userName(n int) string { return "user-" + strconv.Itoa(n) }

// mint makes a credential: a key of the provider's, without an end that the library
// could know; a JWT; or one that names the user only, for an issuer of its own.
func (m *machine) mint(s step) {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := time.Now()
	c := credential{user: userName(s.user), issuedAt: now, issuer: fmt.Sprint("issuer-", len(m.credentials))}
	switch s.n % 3 {
	case 0:
		c.key = fmt.Sprint("key-", s.n)
	case 1:
		c.key, c.expires = fmt.Sprint("jti-", s.n), now.Add(m.setting.lives[s.n%len(m.setting.lives)]).Truncate(time.Second)
		c.jwt = signed(&c)
	case 2:
		c.expires = now.Add(m.setting.lives[s.n%len(m.setting.lives)])
	}
	c.id = derive(c.issuer, c.user, c.key)
	m.credentials = append(m.credentials, c)
}

var jwtSecret = []byte("a secret of tests, 32 bytes long")

func signed(c *credential) string {
	text, err := jwt.NewWithClaims(jwt.SigningMethodHS256, jwt.MapClaims{
		"iss": c.issuer, "sub": c.user, "jti": c.key, "iat": c.issuedAt.Unix(), "exp": c.expires.Unix(),
	}).SignedString(jwtSecret)
	if err != nil {
		panic(err)
	}
	return text
}

// renew makes a later credential of the same derived session.
func (m *machine) renew(s step) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.credentials) == 0 {
		return
	}
	c := m.credentials[s.n%len(m.credentials)]
	if c.jwt != "" {
		return // each is its own session
	}
	if c.issuedAt = time.Now(); !c.expires.IsZero() {
		c.expires = c.issuedAt.Add(m.setting.lives[len(m.setting.lives)-1])
	}
	m.credentials = append(m.credentials, c)
}

// lives reports whether the token that a derived session was made of is still good,
// and a replica was shown it. The machine's lock is not held.
func (m *machine) lives(id sessiontrack.SessionID, now time.Time) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	for i, c := range m.credentials {
		if c.id == id && c.jwt != "" && m.seen[i] && now.Before(c.expires) {
			return true
		}
	}
	return false
}

// identify is the host's Identifier: "Bearer N" is credential N, "Bearer user=U" names
// a user, and anything else is a JWT.
func (m *machine) identify(r *http.Request) (sessiontrack.Identity, error) {
	text, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if !ok {
		return sessiontrack.Identity{}, sessiontrack.ErrNoCredential
	}
	if user, ok := strings.CutPrefix(text, "user="); ok {
		return sessiontrack.Identity{UserID: user}, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		return m.jwt.Identify(r)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	c := m.credentials[n]
	if !c.expires.IsZero() && !time.Now().Before(c.expires) {
		return sessiontrack.Identity{}, sessiontrack.ErrExpiredCredential
	}
	return sessiontrack.Identity{UserID: c.user, Key: c.key, Issuer: c.issuer, IssuedAt: c.issuedAt, ExpiresAt: c.expires}, nil
}
