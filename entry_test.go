package sessiontrack

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

func TestOffsetsKeepTimesNearALogin(t *testing.T) {
	t.Parallel()
	login := time.Date(2026, 3, 1, 12, 0, 0, 123_000, time.UTC).UnixMicro()
	year := 365 * 24 * time.Hour.Microseconds()
	for _, d := range []int64{0, 1, -1, 255, -256, year, -year, 4 * year, -4 * year} {
		assert.Equal(t, login+d, offsetOf(login+d, login).after(login), "%d", d)
	}
	assert.Zero(t, offsetOf(0, login).after(login), "unknown stays unknown")
	assert.Equal(t, login-1<<47+1, offsetOf(1, login).after(login), "what is further away is cut")
}
