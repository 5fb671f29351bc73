package sessiontrack

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestAAL2SetsItsLimits(t *testing.T) {
	t.Parallel()
	assert.Equal(t, Options{IdleTimeout: 30 * time.Minute, Lifetime: 12 * time.Hour, StaleGrace: -1}, Options{InsecureFailOpen: true}.AAL2())
	assert.Equal(t, Options{IdleTimeout: time.Minute, Lifetime: time.Hour, StaleGrace: -1}, Options{IdleTimeout: time.Minute, Lifetime: time.Hour}.AAL2())
	assert.Equal(t, 30*time.Minute, Options{IdleTimeout: -1}.AAL2().IdleTimeout, "no limit is not a shorter one")
	synctest.Test(t, func(t *testing.T) {
		o := Options{}.AAL2()
		f := newFixture(t, &o).started(t)
		_, token := f.login(t, "42")
		f.store.down.Store(true)
		time.Sleep(4 * time.Second)
		require.Equal(t, 200, f.get(token).Code)
		time.Sleep(2 * time.Second)
		require.Equal(t, 503, f.get(token).Code, "no grace")
		f.store.down.Store(false)
		time.Sleep(30 * time.Minute)
		require.Contains(t, f.get(token).Body.String(), `"reason":"idle"`)
		require.NoError(t, f.Shutdown(t.Context()))
	})
}
