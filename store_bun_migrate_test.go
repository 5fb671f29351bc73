package sessiontrack

import (
	"testing"

	"github.com/sessiontrack/sessiontrack/internal/pgtest"
	"github.com/sessiontrack/sessiontrack/migrations"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestMigrateFromSeveralReplicasAtOnce starts from nothing on many connections:
// each returns without error, and every step is applied once.
func TestMigrateFromSeveralReplicasAtOnce(t *testing.T) {
	t.Parallel()
	s := bunStoreOver(t, pgtest.Open(t))
	parallel(8, func(int) { assert.NoError(t, s.Migrate(t.Context())) })
	require.NoError(t, s.Migrate(t.Context()), "and again at the next start")

	steps, err := migrations.FS.ReadDir("postgres")
	require.NoError(t, err)
	var applied []string
	require.NoError(t, s.db.NewRaw("SELECT name FROM sessiontrack_migrations ORDER BY version").Scan(t.Context(), &applied))
	require.Len(t, applied, len(steps))
	for i, step := range steps {
		assert.Equal(t, step.Name(), applied[i]+".sql")
	}
	bunCreate(t, s, "1")
}

func TestMigrateLeavesADatabaseThatIsAhead(t *testing.T) {
	t.Parallel()
	s := newBunStore(t)
	_, err := s.db.ExecContext(t.Context(), "INSERT INTO sessiontrack_migrations (version, name) VALUES (999, 'later')")
	require.NoError(t, err)
	require.NoError(t, s.Migrate(t.Context()))
}

// TestMigrateIsAllOrNothing: a step that fails leaves nothing of those before it.
func TestMigrateIsAllOrNothing(t *testing.T) {
	t.Parallel()
	s := bunStoreOver(t, pgtest.Open(t))
	_, err := s.db.ExecContext(t.Context(), "CREATE TABLE online_samples (x int)")
	require.NoError(t, err)
	require.Error(t, s.Migrate(t.Context()))
	var left int
	require.NoError(t, s.db.NewRaw(`SELECT count(*) FROM pg_class WHERE relname IN
		('user_sessions', 'user_presence', 'sessiontrack_migrations')`).Scan(t.Context(), &left))
	assert.Zero(t, left)
}
