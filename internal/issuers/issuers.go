// Package issuers remembers which issuers of tokens have a clock that is ahead.
package issuers

import (
	"sync"
	"time"
)

const (
	// Tolerance is how far a token may seem to come from the future by rounding: the
	// store's time is known to within half a round trip.
	Tolerance = time.Second
	// remember is how long an issuer counts as ahead after the latest token that has shown
	// it.
	remember = 24 * time.Hour
	// maxIssuers bounds the memory. An application accepts few issuers; what is forgotten is
	// learnt again from the next token.
	maxIssuers = 1024
)

// Clocks remembers issuers by name. Its zero value is ready, and it may be used from many
// goroutines.
type Clocks struct {
	mu    sync.Mutex
	ahead map[string]time.Time // when a token has shown it last
}

// Ahead takes in that a token was seen at now and says that it was issued at iat, and
// reports whether its issuer's clock is known to be ahead. Nobody sees a token before it
// is issued, so one from the future shows it. An issuer that is on time never does.
func (c *Clocks) Ahead(issuer string, iat, now time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if iat.Sub(now) > Tolerance {
		if c.ahead == nil || len(c.ahead) >= maxIssuers {
			c.ahead = make(map[string]time.Time)
		}
		c.ahead[issuer] = now
		return true
	}
	shown, known := c.ahead[issuer]
	if known && now.Sub(shown) > remember {
		delete(c.ahead, issuer)
		return false
	}
	return known
}
