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

// credential is issued by an identity provider, which does not know the store.
type credential struct {
	id       sessiontrack.SessionID // the session that is derived from it
	user     string
	key      string
	issuer   string
	issuedAt time.Time
	expires  time.Time // zero if the library cannot know it
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

// mint creates a credential of one of three kinds: a key without an expiry that the library can
// know, a JWT, or a credential that names only the user, with its own issuer.
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

// renew creates a later credential of the same derived session.
func (m *machine) renew(s step) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.credentials) == 0 {
		return
	}
	c := m.credentials[s.n%len(m.credentials)]
	if c.jwt != "" {
		return // each of these has its own session
	}
	if c.issuedAt = time.Now(); !c.expires.IsZero() {
		c.expires = c.issuedAt.Add(m.setting.lives[len(m.setting.lives)-1])
	}
	m.credentials = append(m.credentials, c)
}

// lives reports whether a replica has seen a credential of this derived session that has not
// expired. The caller must not hold the machine's lock.
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
	return sessiontrack.Identity{UserID: c.user, Key: c.key, Issuer: c.issuer, IssuedAt: c.issuedAt, ExpiresAt: c.expires},
		nil
}
