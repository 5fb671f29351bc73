package sessiontrack

import (
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sessiontrack/sessiontrack/internal/pgtest"
	"github.com/sessiontrack/sessiontrack/migrations"
)

// TestMigrateFromSeveralReplicasAtOnce starts from nothing on many connections:
// each returns without error, and every step is applied once.
func TestMigrateFromSeveralReplicasAtOnce(t *testing.T) {
	t.Parallel()
	s := bunStoreOver(t, pgtest.Open(t))
	parallel(8, func(int) { assert.NoError(t, s.Migrate(t.Context())) })
	require.NoError(t, s.Migrate(t.Context()), "and again at the next start")

	steps, err := readMigrations(migrations.FS, migrationsFolder)
	require.NoError(t, err)
	var applied []string
	require.NoError(t, s.db.NewRaw("SELECT name FROM sessiontrack_migrations ORDER BY version").Scan(t.Context(), &applied))
	require.Len(t, applied, len(steps))
	for i, step := range steps {
		assert.Equal(t, step.name, applied[i])
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

func TestReadMigrationsWantsConsecutiveNumbers(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		files []string
		want  string
	}{
		"in order":  {[]string{"0001_a.sql", "0002_b.sql"}, ""},
		"gap":       {[]string{"0001_a.sql", "0003_b.sql"}, "want number 0002"},
		"twice":     {[]string{"0001_a.sql", "0001_b.sql"}, "want number 0002"},
		"no number": {[]string{"a.sql"}, "want number 0001"},
	} {
		t.Run(name, func(t *testing.T) {
			files := fstest.MapFS{}
			for _, file := range test.files {
				files["pg/"+file] = &fstest.MapFile{Data: []byte("SELECT 1")}
			}
			steps, err := readMigrations(files, "pg")
			if test.want != "" {
				require.ErrorContains(t, err, test.want)
				return
			}
			require.NoError(t, err)
			assert.Len(t, steps, len(test.files))
		})
	}
}
