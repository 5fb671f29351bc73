package sessiontrack

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestPurgeRemovesPresenceOfDeletedAccounts: the host deletes accounts with their sessions,
// by SQL. Their presence has nobody else who would remove it.
func TestPurgeRemovesPresenceOfDeletedAccounts(t *testing.T) {
	t.Parallel()
	s, ctx := newBunStore(t), t.Context()
	execute(t, s, "CREATE TABLE users (id text PRIMARY KEY)",
		"INSERT INTO users SELECT 'user-' || n FROM generate_series(1, 10) AS n",
		"ALTER TABLE user_sessions ADD FOREIGN KEY (user_id) REFERENCES users ON DELETE CASCADE")
	stays := bunCreate(t, s, "user-1")
	bunCreate(t, s, "user-2")
	bunCreate(t, s, "user-2")
	execute(t, s, "DELETE FROM users WHERE id <> 'user-1'",
		"INSERT INTO user_presence SELECT 'user-0' || n, now() FROM generate_series(1, 2500) AS n")
	for range 2 { // one looks at 2,000
		_, err := s.Purge(ctx, PurgeOptions{Limit: 10})
		require.NoError(t, err)
	}
	var left []string
	require.NoError(t, s.db.NewRaw("SELECT user_id FROM user_presence").Scan(ctx, &left))
	assert.Equal(t, []string{stays.UserID}, left)
	_, err := s.Purge(ctx, PurgeOptions{Limit: 10})
	require.NoError(t, err, "and begins again")
}
