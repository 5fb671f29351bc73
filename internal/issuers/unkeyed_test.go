package issuers

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

func TestUnkeyedTellsOnceOfAThirdSessionInAnHour(t *testing.T) {
	t.Parallel()
	var u Unkeyed
	assert.False(t, u.Add("a", 0))
	assert.False(t, u.Add("a", 40*time.Minute))
	assert.False(t, u.Add("b", 50*time.Minute), "another user")
	assert.False(t, u.Add("a", time.Hour), "an hour has passed: counted anew")
	assert.False(t, u.Add("a", time.Hour+time.Minute))
	assert.True(t, u.Add("a", time.Hour+2*time.Minute))
	for i := range 10 {
		assert.False(t, u.Add("b", time.Hour+time.Duration(i)*time.Second), "once")
	}
	assert.Nil(t, u.users, "nothing is kept behind the warning")
}

func TestUnkeyedIsBounded(t *testing.T) {
	t.Parallel()
	var u Unkeyed
	for i := range 3 * maxUnkeyed {
		assert.False(t, u.Add(fmt.Sprint(i), 0))
		assert.LessOrEqual(t, len(u.users), maxUnkeyed)
	}
}
