package sessiontrack

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	codec "github.com/sessiontrack/sessiontrack/internal/handle"
)

// carrierNames are the names of the carriers of a token, empty for none.
type carrierNames struct{ header, cookie string }

// carriers are the credentials of a request. The form of each part has been checked.
type carriers struct {
	token    codec.Proof // from the header or the cookie
	shared   *Identity   // of a JWT; shared with its cache
	own      Identity    // of any other Identifier
	header   bool        // token came by header
	cookie   bool        // token came by cookie; both may be true
	verified bool        // the Identifier has verified identity()
	waited   bool        // a function of the host has run and may have taken long
	badForm  bool        // the cookie is not a token, so it can be cleared
	foreign  bool        // the header is there and of another program
}

// identity returns the Identifier's result without a copy.
func (c *carriers) identity() *Identity {
	if c.shared != nil {
		return c.shared
	}
	return &c.own
}

// ours returns the handle of the session made by Login that the identity names.
func (c *carriers) ours() (handle, bool) {
	if c.shared != nil {
		return c.shared.ours, true
	}
	return parseHandle(c.own.SessionID)
}

// carriersOf collects the credentials of a request. It refuses a request with a repeated carrier
// or a malformed cookie, whatever the other carriers say: two programs could choose different ones
// (OWASP ASVS 15.3.7).
func (g *gate) carriersOf(r *http.Request, c *carriers, now time.Time) error {
	bad := !g.readHeader(r, c)
	if g.names.cookie != "" {
		bad = !g.readCookie(r, c) || bad
	}
	if bad {
		return ErrInvalidCredential
	}
	if g.identifier == nil {
		return nil
	}
	err := g.identify(r, c, now)
	switch {
	case err == nil:
		c.verified = true
		return nil
	case errors.Is(err, ErrNoCredential):
		return nil
	}
	return err
}

// readHeader adds the header's token. It returns false if a value is of this package's form and
// not a token that comes alone: it may be damaged, a handle without its secret, or repeated. A
// header without such a value is of another program that uses the name: it says nothing here.
func (g *gate) readHeader(r *http.Request, c *carriers) bool {
	if g.names.header == "" {
		return true
	}
	values := r.Header[g.names.header]
	if len(values) == 1 {
		c.header = c.token.Parse(values[0])
	}
	if c.header || len(values) == 0 {
		return true
	}
	c.foreign = !slices.ContainsFunc(values, ours)
	return c.foreign
}

// ours reports whether a value, or a part of it where a proxy has joined several by commas, begins
// as a token does: with a handle. An empty value is of nobody else: it is a client's mistake.
func ours(value string) bool {
	if value == "" {
		return true
	}
	for part := range strings.SplitSeq(value, ",") {
		id, _, _ := strings.Cut(strings.TrimSpace(part), ".")
		if _, ok := parseHandle(SessionID(id)); ok {
			return true
		}
	}
	return false
}

// readCookie adds the cookie's token. It returns false if the cookie is not valid.
func (g *gate) readCookie(r *http.Request, c *carriers) bool {
	value, n := cookieValue(r.Header["Cookie"], g.names.cookie)
	if n == 0 {
		return true
	}
	var token codec.Proof
	if ok := token.Parse(value); n > 1 || !ok {
		c.badForm = n == 1
		return false
	}
	if c.header && (token.Handle != c.token.Handle || subtle.ConstantTimeCompare(token.Secret[:],
		c.token.Secret[:]) != 1) {
		return false
	}
	c.token, c.cookie = token, true
	return true
}

// cookieValue finds a cookie by its exact name (RFC 6265 §5.4) without allocating. n is how often
// the name occurs.
func cookieValue(lines []string, name string) (value string, n int) {
	for _, line := range lines {
		for line != "" {
			var pair string
			pair, line, _ = strings.Cut(line, ";")
			for pair != "" && blank(pair[0]) {
				pair = pair[1:]
			}
			if len(pair) <= len(name) || pair[len(name)] != '=' || pair[:len(name)] != name {
				continue
			}
			for value, n = pair[len(name)+1:], n+1; value != "" && blank(value[len(value)-1]); {
				value = value[:len(value)-1]
			}
		}
	}
	return value, n
}

func blank(c byte) bool { return c == ' ' || c == '\t' }

// identify calls the host's Identifier. After its panic the request gets 503. The library's own
// identifier has already checked the identities in its cache.
func (g *gate) identify(r *http.Request, c *carriers, now time.Time) (err error) {
	defer func() {
		if p := recover(); p != nil {
			if p == http.ErrAbortHandler {
				panic(p)
			}
			g.host.count(countPanics, 1)
			err = fmt.Errorf("%w: the identifier panicked", ErrUnavailable)
		}
	}()
	if g.jwt != nil {
		if c.shared = g.jwt.remembered(r, now); c.shared != nil {
			return nil
		}
	}
	c.waited = true
	if g.jwt != nil {
		c.shared, err = g.jwt.identifyAt(r, now)
		return err
	}
	c.own, err = g.identifier.Identify(r)
	if err == nil && !c.own.valid() {
		return ErrInvalidCredential
	}
	return err
}

// target returns the session that all carriers name. It fails if they name different sessions.
func (g *gate) target(c *carriers) (h handle, derived bool, err error) {
	token, id := c.header || c.cookie, c.identity()
	switch {
	case !token && !c.verified && c.foreign:
		return h, false, errForeignHeader
	case !token && !c.verified:
		return h, false, ErrNoCredential
	case !c.verified:
		if g.identifier != nil && !g.alone && !(c.cookie && g.cookieAlone) {
			return h, false, ErrInvalidCredential
		}
		return handle(c.token.Handle), false, nil
	case id.SessionID != "":
		h, ok := c.ours()
		if !ok || token && h != handle(c.token.Handle) {
			return h, false, ErrInvalidCredential
		}
		return h, false, nil
	case token && id.Key != "":
		return h, false, ErrInvalidCredential // the carriers name two sessions: the provider's and ours
	case token:
		return handle(c.token.Handle), false, nil
	case g.explicitOnly:
		return h, false, ErrInvalidCredential
	case id.derived != handle{} && (c.shared != nil || id.Key == ""):
		return id.derived, true, nil
	}
	return deriveHandle(id.Issuer, id.UserID, id.Key), true, nil
}

// refusalKey is what a refused credential is remembered by: a hash of the handle, the
// secret and the user that came with it. So the refusal of one credential says nothing of
// another, and nobody can choose a handle that is remembered in the place of somebody
// else's credential.
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

// notGenuine looks again at a credential that does not prove the session it names: another process
// may have changed the secret since e was read. It returns the session as it is now. The credential
// costs as much as an unknown handle: one read of the store that began after the request, and then a
// slot in the cache of refused credentials. So neither the time nor the answer during an outage
// reveals which handles exist.
func (g *gate) notGenuine(ctx context.Context, h handle, c *carriers, e *entry, local int64) (*entry, error) {
	key := c.refusalKey(h)
	if e.confirmed.Load() < local && !g.refused.has(key, g.clock.Local()) {
		if g.backend.away() {
			return nil, errAway
		}
		fresh, err := g.near.readFresh(ctx, h, nil)
		if err == nil && c.proves(fresh) {
			g.near.cache.dropLive(h)
			return fresh, nil
		}
		if err != nil && !errors.Is(err, ErrNotFound) {
			return nil, err
		}
	}
	g.remember(key)
	return nil, ErrInvalidCredential
}

// proves reports whether the secret that came is the session's.
func (c *carriers) proves(e *entry) bool { return (c.header || c.cookie) && c.token.Proves(&e.hash) }

// remember remembers a credential that is not good, and counts it.
func (g *gate) remember(key handle) {
	g.host.count(countUnknown, 1)
	local := g.clock.Local()
	if g.near.life.Running() {
		g.refused.add(key, local)
	}
	if n := g.alarm.add(local); n > 0 {
		g.host.count(countGuessing, 1)
		g.host.log.LogAttrs(context.Background(), warn, "sessiontrack: a client may be guessing session ids", countAttr(n))
	}
}

// refusedCache remembers credentials that were refused, for one to two seconds, so that a
// client which repeats one costs no second read. Two generations bound it.
type refusedCache struct {
	mu       sync.Mutex
	young    map[handle]struct{}
	old      map[handle]struct{}
	turnedAt int64
}

const (
	maxUnknown = 8192 // per generation; at most two generations are kept
	unknownFor = int64(time.Second / time.Microsecond)
)

func (u *refusedCache) add(h handle, local int64) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.turn(local)
	u.young[h] = struct{}{}
}

func (u *refusedCache) has(h handle, local int64) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.turn(local)
	_, young := u.young[h]
	_, old := u.old[h]
	return young || old
}

// turn drops the older generation after its time.
func (u *refusedCache) turn(local int64) {
	if u.young != nil && local-u.turnedAt < unknownFor && len(u.young) < maxUnknown {
		return
	}
	if local-u.turnedAt >= 2*unknownFor {
		u.young = nil
	}
	u.old, u.young, u.turnedAt = u.young, make(map[handle]struct{}), local
}

// guessAlarm counts credentials that were refused, a minute at a time.
type guessAlarm struct {
	mu    sync.Mutex
	since int64
	n     int
}

// guessesAlert is how many within a minute are logged for the operator (OWASP ASVS 6.3.1
// asks for defence against guessing). 256 random bits bear any number of attempts.
const guessesAlert = 1000

// add counts one credential. It returns the count when it should be logged, at most once a minute,
// and 0 otherwise.
func (a *guessAlarm) add(local int64) int {
	a.mu.Lock()
	defer a.mu.Unlock()
	if local-a.since >= time.Minute.Microseconds() {
		a.since, a.n = local, 0
	}
	if a.n++; a.n == guessesAlert {
		return a.n
	}
	return 0
}
