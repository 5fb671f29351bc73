package sessiontrack

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestCursorOfAnyUser: a list can be paged through whatever its users are called, and
// no cursor names somebody who cannot exist.
func TestCursorOfAnyUser(t *testing.T) {
	t.Parallel()
	for _, id := range []string{
		strings.Repeat("<", maxUserID), strings.Repeat(`"`, maxUserID), strings.Repeat("\u2028", maxUserID/3), strings.Repeat("x", maxUserID), "é&",
	} {
		require.True(t, validUserID(id))
		c := Cursor{At: fromMicros(maxMicros), UserID: id, Serial: 1<<63 - 1}
		got, err := ParseCursor(c.String())
		require.NoError(t, err, "%.10q", id)
		assert.Equal(t, c, got)
	}
	_, err := ParseCursor(Cursor{At: fromMicros(1), UserID: strings.Repeat("x", maxUserID+1)}.String())
	assert.Error(t, err)
}
