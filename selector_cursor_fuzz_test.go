package sessiontrack

import (
	"testing"
	"time"

	"github.com/sessiontrack/sessiontrack/internal/text"
	"github.com/stretchr/testify/require"
)

// FuzzParseCursor: what is accepted is a place that a store can be asked about, and
// it survives being written and read again; what Cursor.String writes is accepted.
func FuzzParseCursor(f *testing.F) {
	f.Add("")
	f.Add(Cursor{At: fromMicros(1), UserID: "42", Serial: 7}.String())
	f.Add("eyJ0IjotMX0")
	f.Add("eyJ0IjoxLCJ1IjoiXHUwMDAwIn0")
	f.Add("eyJ0Ijo5OTk5OTk5OTk5OTk5OTk5OTl9")
	store := NewMemoryStore()
	f.Fuzz(func(t *testing.T, input string) {
		c, err := ParseCursor(input)
		if err != nil {
			require.Equal(t, Cursor{}, c)
			return
		}
		require.Equal(t, input == "", c.IsZero())
		require.True(t, text.Valid(c.UserID))
		require.GreaterOrEqual(t, c.Serial, int64(0))
		again, err := ParseCursor(c.String())
		require.NoError(t, err)
		require.Equal(t, c, again)
		for _, q := range []Query{{Live: true, Limit: 1, After: c}, {UserID: "42", Limit: 1, After: c}} {
			_, err = store.List(t.Context(), q)
			require.NoError(t, err)
		}
		_, err = store.ListOnline(t.Context(), OnlineQuery{Window: time.Minute, Limit: 1, After: c})
		require.NoError(t, err)
	})
}
