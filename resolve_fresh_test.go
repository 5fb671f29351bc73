package sessiontrack

import (
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestFreshReadTellsTheCache: once this process has answered that a session has ended,
// it never answers that it has not, though its cache has not learnt of the end by any
// other way (TRUST I4).
func TestFreshReadTellsTheCache(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil).started(t)
	_, token := f.login(t, "42")
	require.Equal(t, 200, f.get(token).Code)
	_, err := f.store.End(t.Context(), IDs(token.ID()), Ending{Reason: ByAdmin}) // by another process
	require.NoError(t, err)

	r := httptest.NewRequest("POST", "/", nil)
	r.Header.Set("X-Session-Id", token.Reveal())
	_, err = f.caller(r, true)
	require.ErrorIs(t, err, ErrEnded)
	assert.Equal(t, 401, f.get(token).Code)
}
