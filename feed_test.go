package sessiontrack

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
)

// TestKicksAreFollowedAtOnceButNotForEver floods the feed with kicks.
func TestKicksAreFollowedAtOnceButNotForEver(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, &Options{SampleInterval: -1, CleanupInterval: -1}).started(t)
		synctest.Wait()
		f.store.polls.Store(0)
		for n := range int64(feedBurst) {
			f.PollNow()
			synctest.Wait()
			assert.Equal(t, n+1, f.store.polls.Load(), "read with no wait")
		}
		for range 10_000 {
			f.PollNow()
			time.Sleep(time.Millisecond)
		}
		assert.InDelta(t, 11*feedBurst, f.store.polls.Load(), 15, "for ten seconds of kicks")
		f.PollNow()
		time.Sleep(10 * time.Second)
		f.store.polls.Store(0)
		f.PollNow()
		synctest.Wait()
		assert.EqualValues(t, 1, f.store.polls.Load(), "after a rest at once again")
	})
}
