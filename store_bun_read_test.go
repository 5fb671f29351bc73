package sessiontrack

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// TestBunStoreReadsNothingFromAStandby: a standby may not know of an end that the primary has
// acknowledged, so what it says of many sessions confirms none of them (I32).
func TestBunStoreReadsNothingFromAStandby(t *testing.T) {
	t.Parallel()
	s := newBunStore(t)
	s.db.SetMaxOpenConns(1)
	session := bunCreate(t, s, "1")
	for _, statement := range []string{
		"CREATE FUNCTION public.pg_is_in_recovery() RETURNS boolean LANGUAGE sql AS 'SELECT true'",
		"SET search_path = public, pg_catalog",
	} {
		_, err := s.db.ExecContext(t.Context(), statement)
		require.NoError(t, err)
	}
	records, err := s.Read(t.Context(), []SessionID{session.ID})
	require.ErrorIs(t, err, ErrUnavailable)
	require.Empty(t, records)
	records, err = s.Read(t.Context(), []SessionID{session.ID}) // the pool has found another connection
	require.NoError(t, err)
	require.Len(t, records, 1)
}
