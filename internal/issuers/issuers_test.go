package issuers

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

func TestAhead(t *testing.T) {
	t.Parallel()
	var c Clocks
	now := time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)
	assert.False(t, c.Ahead("a", now, now))
	assert.False(t, c.Ahead("a", now.Add(Tolerance), now), "rounding is no clock that is ahead")
	assert.True(t, c.Ahead("a", now.Add(5*time.Second), now))
	assert.True(t, c.Ahead("a", now.Add(-time.Hour), now), "an older token of the same issuer")
	assert.False(t, c.Ahead("b", now, now), "another issuer")
	assert.True(t, c.Ahead("a", now, now.Add(remember)))
	assert.False(t, c.Ahead("a", now, now.Add(remember+time.Second)), "an issuer whose clock was set right")
}

func TestAheadIsBounded(t *testing.T) {
	t.Parallel()
	var c Clocks
	now := time.Now()
	for i := range 3 * maxIssuers {
		assert.True(t, c.Ahead(fmt.Sprint(i), now.Add(time.Minute), now))
		assert.LessOrEqual(t, len(c.ahead), maxIssuers)
	}
}
