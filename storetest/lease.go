package storetest

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sessiontrack/sessiontrack"
)

var leaseCases = []testCase{
	{"lease/is given to one", "without a lease, five replicas would each do the whole cleanup", func(c *check) {
		store := capability[sessiontrack.Leaser](c)
		var given, failed atomic.Int64
		var group sync.WaitGroup
		for range 8 {
			group.Go(func() {
				mine, err := store.Lease(c.Context(), "cleanup", time.Hour)
				switch {
				case err != nil:
					failed.Add(1)
				case mine:
					given.Add(1)
				}
			})
		}
		group.Wait()
		assert.EqualValues(c, 0, failed.Load())
		assert.EqualValues(c, 1, given.Load())
		mine, err := store.Lease(c.Context(), "another job", time.Hour)
		require.NoError(c, err)
		assert.True(c, mine, "each job has its own lease")
	}},
	{"lease/is given again after its time", "a replica that died must not keep a job for ever", func(c *check) {
		store := capability[sessiontrack.Leaser](c)
		mine, err := store.Lease(c.Context(), "cleanup", time.Hour)
		require.NoError(c, err)
		require.True(c, mine)
		for deadline := time.Now().Add(patience); ; {
			mine, err = store.Lease(c.Context(), "cleanup", time.Millisecond)
			require.NoError(c, err)
			if mine || time.Now().After(deadline) {
				break
			}
		}
		assert.True(c, mine)
	}},
	{"lease/refuses a job without a name", "the error names the bad input", func(c *check) {
		_, err := capability[sessiontrack.Leaser](c).Lease(c.Context(), "", time.Hour)
		assert.ErrorContains(c, err, "job")
	}},
}
