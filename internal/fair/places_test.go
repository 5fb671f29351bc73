package fair

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func sized(size int) *Places {
	p := &Places{}
	p.Resize(size)
	return p
}

func TestAKeyHasAQuarterOfThePlaces(t *testing.T) {
	t.Parallel()
	p := sized(8)
	require.True(t, p.Try("greedy"))
	require.True(t, p.Try("greedy"))
	require.False(t, p.Try("greedy"), "a quarter of eight is two")
	require.True(t, p.Try("other"))
	for range 5 {
		require.True(t, p.Try(""), "nobody in particular has no share")
	}
	require.False(t, p.Try("third"), "all are taken")
	p.Give("")
	require.True(t, p.Try("third"))
}

// TestWaitersOfOneKeyDoNotHoldUpAnother: a hundred waiters of one key stand in front of
// nobody: another key waits for as long as one place is used.
func TestWaitersOfOneKeyDoNotHoldUpAnother(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const size, use = 8, 20 * time.Millisecond
		p := sized(size)
		var all sync.WaitGroup
		work := func(key string) {
			require.NoError(t, p.Take(t.Context(), key))
			require.LessOrEqual(t, p.Taken(), size)
			time.Sleep(use)
			p.Give(key)
		}
		for range 100 {
			all.Go(func() { work("greedy") })
		}
		synctest.Wait()
		for i := range 6 {
			began := time.Now()
			work(fmt.Sprint("other", i))
			assert.Equal(t, use, time.Since(began))
		}
		all.Wait()
		assert.Zero(t, p.Taken())
		assert.Empty(t, p.claims)
	})
}

func TestWaitersAreServedInTheirOrder(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := sized(1)
		require.True(t, p.Try("first"))
		var mu sync.Mutex
		var order []string
		for _, key := range []string{"a", "b", "a", "c"} {
			go func() {
				require.NoError(t, p.Take(t.Context(), key))
				mu.Lock()
				order = append(order, key)
				mu.Unlock()
				p.Give(key)
			}()
			synctest.Wait()
		}
		p.Give("first")
		synctest.Wait()
		assert.Equal(t, []string{"a", "b", "c", "a"}, order, "the second a waited for a's only share")
	})
}

// TestWhoGivesUpLeavesNothingBehind: in the line and behind a share alike.
func TestWhoGivesUpLeavesNothingBehind(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := sized(1)
		require.True(t, p.Try("a"))
		for _, key := range []string{"a", "b", "b", ""} {
			go func() {
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				assert.ErrorIs(t, p.Take(ctx, key), context.DeadlineExceeded)
			}()
		}
		time.Sleep(2 * time.Second)
		p.Give("a")
		assert.Zero(t, p.Taken())
		assert.Zero(t, p.line.Len())
		assert.Empty(t, p.claims)
		require.True(t, p.Try("b"))
	})
}

func TestMorePlacesServeThoseWhoWait(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := sized(0)
		require.True(t, p.Try(""), "there is always one")
		var served atomic.Int64
		for range 3 {
			go func() {
				require.NoError(t, p.Take(t.Context(), ""))
				served.Add(1)
			}()
		}
		synctest.Wait()
		p.Resize(3)
		synctest.Wait()
		assert.EqualValues(t, 2, served.Load())
		p.Resize(4)
		synctest.Wait()
		assert.EqualValues(t, 3, served.Load())
	})
}
