package sessiontrack

import (
	"crypto/subtle"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	codec "github.com/sessiontrack/sessiontrack/internal/handle"
)

// headerName is x-session-id in the canonical form that net/http keys by.
const headerName = "X-Session-Id"

// carriers is what a request carries, each part genuine by its form, or refused.
type carriers struct {
	token    codec.Proof // of the header, or the cookie
	shared   *Identity   // of a JWT, as its cache holds it
	own      Identity    // of any other Identifier
	header   bool        // token came by header
	cookie   bool        // token came by cookie; both may be true
	verified bool        // the Identifier has verified identity()
	waited   bool        // a function of the host may have taken its time
	badForm  bool        // the cookie is there and is no token: it can be cleared
}

// identity is what the Identifier found, without a copy.
func (c *carriers) identity() *Identity {
	if c.shared != nil {
		return c.shared
	}
	return &c.own
}

// ours is the handle of the session made by Login that the identity names.
func (c *carriers) ours() (handle, bool) {
	if c.shared != nil {
		return c.shared.ours, true
	}
	return parseHandle(c.own.SessionID)
}

// carriersOf collects the credentials of a request. A carrier that is malformed or
// comes twice is refused whatever the others say: choosing one of two is how
// requests get read differently by two programs (OWASP ASVS 15.3.7).
func (g *gate) carriersOf(r *http.Request, c *carriers, now time.Time) error {
	bad := false
	if values, present := r.Header[headerName]; present && len(values) > 0 {
		c.header = true
		if len(values) != 1 {
			bad = true
		} else if c.token, c.header = codec.ParseProof(values[0]); !c.header {
			bad = true
		}
	}
	if g.cookie != "" {
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

// readCookie adds the cookie's token, and reports false where it is not good.
func (g *gate) readCookie(r *http.Request, c *carriers) bool {
	value, n := cookieValue(r.Header["Cookie"], g.cookie)
	if n == 0 {
		return true
	}
	token, ok := codec.ParseProof(value)
	if n > 1 || !ok {
		c.badForm = n == 1
		return false
	}
	if c.header && (token.Handle != c.token.Handle || subtle.ConstantTimeCompare(token.Secret[:], c.token.Secret[:]) != 1) {
		return false
	}
	c.token, c.cookie = token, true
	return true
}

// cookieValue finds a cookie by its exact name (RFC 6265 §5.4) without allocating,
// and counts how often it comes.
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

// identify asks the host's Identifier. Its panic means that it cannot say. Our own
// has looked at the identity before it kept it.
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

// target is the session that the carriers name, all of them the same one.
func (g *gate) target(c *carriers) (h handle, derived bool, err error) {
	token, id := c.header || c.cookie, c.identity()
	switch {
	case !token && !c.verified:
		return h, false, ErrNoCredential
	case !c.verified:
		if g.identifier != nil && !g.alone {
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
		return h, false, ErrInvalidCredential // two sessions named: the provider's and ours
	case token:
		return handle(c.token.Handle), false, nil
	case g.explicitOnly:
		return h, false, ErrInvalidCredential
	case id.derived != handle{} && (c.shared != nil || id.Key == ""):
		return id.derived, true, nil
	}
	return deriveHandle(id.Issuer, id.UserID, id.Key), true, nil
}
