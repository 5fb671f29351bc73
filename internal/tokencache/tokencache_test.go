package tokencache

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestBounds fills a small cache many times over.
func TestBounds(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_800_000_000, 0)
	for _, size := range []int{1, 3, 16, 40, 100} {
		c := New[int](size, time.Hour)
		for i := range 1000 {
			token := fmt.Sprint("token ", i)
			c.Put(token, i, now, now.Add(time.Minute), c.Era())
			found := c.Get(token, now)
			require.NotNil(t, found, "the latest is always there")
			require.Equal(t, i, *found)
		}
		kept := 0
		for i := range 1000 {
			if c.Get(fmt.Sprint("token ", i), now) != nil {
				kept++
			}
		}
		assert.LessOrEqual(t, kept, size)
		assert.LessOrEqual(t, len(c.slots), size)
		assert.NotZero(t, kept)
	}
}

// TestForgets looks whether bearers stay in memory past their time: each token stored clears a set.
func TestForgets(t *testing.T) {
	t.Parallel()
	c := New[int](64, time.Minute)
	now := time.Unix(1_800_000_000, 0)
	store := func(n int, at time.Time) {
		for i := range n {
			c.Put(fmt.Sprint(at.Unix(), i), i, at, at.Add(time.Hour), c.Era())
		}
	}
	store(64, now)
	later := now.Add(time.Minute)
	store(4, later)
	for i := range c.slots {
		if e := c.slots[i].Load(); e != nil {
			assert.True(t, later.Before(e.until), e.token)
		}
	}
}

// TestSameTag has two tokens of one tag: each is found as itself.
func TestSameTag(t *testing.T) {
	t.Parallel()
	c := New[string](16, time.Minute)
	now := time.Unix(1_800_000_000, 0)
	end := now.Add(time.Minute)
	tag, first := c.places("mine")
	c.slots[first].Store(&entry[string]{token: "other", value: "other", until: end})
	c.tags[first].Store(tag)
	require.Nil(t, c.Get("mine", now), "a hash alone is nobody")
	c.Put("mine", "mine", now, end, c.Era())
	found := c.Get("mine", now)
	require.NotNil(t, found)
	assert.Equal(t, "mine", *found)
	c.Put("mine", "again", now, end, c.Era())
	same := 0
	for i := range c.tags {
		if c.tags[i].Load() == tag {
			same++
		}
	}
	assert.Equal(t, 2, same, "a token has one place")
}

// TestOff: a nil cache keeps nothing and answers.
func TestOff(t *testing.T) {
	t.Parallel()
	var c *Cache[int]
	now := time.Now()
	c.Put("token", 1, now, now.Add(time.Minute), c.Era())
	assert.Nil(t, c.Get("token", now))
	c.Reset()
}

// TestReset: what was verified before a Reset is neither found nor kept afterwards.
func TestReset(t *testing.T) {
	t.Parallel()
	c := New[int](16, time.Minute)
	now := time.Now()
	end := now.Add(time.Minute)
	before := c.Era()
	c.Put("kept", 1, now, end, before)
	require.NotNil(t, c.Get("kept", now))
	c.Reset()
	assert.Nil(t, c.Get("kept", now))
	c.Put("late", 2, now, end, before)
	assert.Nil(t, c.Get("late", now))
	c.Put("new", 3, now, end, c.Era())
	assert.NotNil(t, c.Get("new", now))
}
