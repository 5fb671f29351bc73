package sessiontrack

import (
	"context"
	"maps"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestObserverIsToldWhatIsCounted compares what an observer was told with the counters:
// logins, refusals and a host's panics here, but for the one that moves with every
// request.
func TestObserverIsToldWhatIsCounted(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	told := map[string]int64{}
	f := newFixture(t, &Options{
		Hooks: Hooks{Login: func(context.Context, Session) { panic("contained") }},
		Observer: Observer{Count: func(name string, n int) {
			mu.Lock()
			defer mu.Unlock()
			told[name] += int64(n)
		}},
	}).started(t)
	_, token := f.login(t, "1")
	require.Equal(t, 200, f.get(token).Code)
	require.Equal(t, 401, f.get(newToken()).Code)
	require.NoError(t, f.Shutdown(t.Context()))

	counted := f.Counters()
	maps.DeleteFunc(counted, func(name string, n int64) bool { return n == 0 || name == counterNames[countRequests] })
	require.Contains(t, counted, "callback.panics")
	require.Contains(t, counted, "request.unknown_session")
	assert.Equal(t, counted, told)
}

// TestObserverMayPanic: it is not called about that, again and again.
func TestObserverMayPanic(t *testing.T) {
	t.Parallel()
	f := newFixture(t, &Options{Observer: Observer{Count: func(string, int) { panic("contained") }}})
	f.login(t, "1")
	assert.EqualValues(t, 1, f.Counters()["callback.panics"])
	assert.EqualValues(t, 1, f.Counters()["session.logins"])
}
