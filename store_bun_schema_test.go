package sessiontrack

import (
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect/pgdialect"

	"github.com/sessiontrack/sessiontrack/internal/pgtest"
)

// inSchema returns a store over a pool whose tables lie in a schema.
func inSchema(t *testing.T, dsn, schema string) *BunStore {
	t.Helper()
	s, err := NewBunStore(bun.NewDB(pgtest.OpenDSN(t, dsn), pgdialect.New()), &BunOptions{Schema: schema})
	require.NoError(t, err)
	s.db.Slack = busyMachine
	return s
}

func execute(t *testing.T, s *BunStore, statements ...string) {
	t.Helper()
	for _, statement := range statements {
		_, err := s.db.ExecContext(t.Context(), statement)
		require.NoError(t, err, statement)
	}
}

// TestStoresInSchemasOfTheirOwn: two applications share a database, and a table of
// another library's name stands where search_path leads to.
func TestStoresInSchemasOfTheirOwn(t *testing.T) {
	t.Parallel()
	dsn, ctx := pgtest.DSN(t), t.Context()
	one, other := inSchema(t, dsn, "App_1"), inSchema(t, dsn, "other")
	execute(t, one, "CREATE TABLE user_sessions (id text PRIMARY KEY)")
	require.NoError(t, one.Migrate(ctx))
	require.NoError(t, other.Migrate(ctx))
	require.NoError(t, one.Migrate(ctx), "nothing is left to do")
	assertWorks(t, one)
	id := bunCreate(t, one, "1").ID
	for call, err := range callAll(ctx, one, true) {
		if call != "get" { // asks for a handle that is not there
			require.NoError(t, err, call)
		}
	}
	_, err := one.Get(ctx, id)
	require.NoError(t, err)
	_, err = other.Get(ctx, id)
	require.ErrorIs(t, err, ErrNotFound)
	page, err := other.List(ctx, Query{Limit: 1})
	require.NoError(t, err)
	assert.Empty(t, page.Sessions)
}

func TestNewBunStoreRefusesASchemaThatNeedsCare(t *testing.T) {
	t.Parallel()
	db := bun.NewDB(pgtest.Open(t), pgdialect.New())
	for _, schema := range []string{"a.b", `a"b`, "a b", "1a", "a'b", "é", "a23456789012345678901234567890123456789012345678901234567890123x"} {
		_, err := NewBunStore(db, &BunOptions{Schema: schema})
		require.ErrorContains(t, err, "Schema is ", schema)
	}
}

// TestMigrateRefusesASecondSetOfTables: the schema that search_path leads to first has
// none, a later one has: statements would lead to an empty set from then on.
func TestMigrateRefusesASecondSetOfTables(t *testing.T) {
	t.Parallel()
	dsn, ctx := pgtest.DSN(t), t.Context()
	first := bunStoreOver(t, pgtest.OpenDSN(t, dsn))
	require.NoError(t, first.Migrate(ctx))
	id := bunCreate(t, first, "1").ID
	execute(t, first, "CREATE SCHEMA app")
	second := withSettings(t, dsn, pgx.QueryExecModeExec, map[string]string{"search_path": "app, public"})
	err := second.Migrate(ctx)
	require.ErrorIs(t, err, ErrStoreFault)
	require.ErrorContains(t, err, "search_path leads to schema app first")
	require.ErrorContains(t, err, "schema public")
	_, err = second.Get(ctx, id)
	require.NoError(t, err, "nothing was made")

	require.NoError(t, inSchema(t, dsn, "app").Migrate(ctx), "asked for by name")
	require.NoError(t, inSchema(t, dsn, "public").Migrate(ctx))
	require.NoError(t, first.Migrate(ctx))
}

// TestCheckRefusesTablesOfSeveralSchemas: half of a set hides half of another one.
func TestCheckRefusesTablesOfSeveralSchemas(t *testing.T) {
	t.Parallel()
	dsn, ctx := pgtest.DSN(t), t.Context()
	first := bunStoreOver(t, pgtest.OpenDSN(t, dsn))
	require.NoError(t, first.Migrate(ctx))
	execute(t, first, "CREATE SCHEMA app", "CREATE TABLE app.user_fences (LIKE public.user_fences)")
	err := withSettings(t, dsn, pgx.QueryExecModeExec, map[string]string{"search_path": "app, public"}).Check(ctx)
	require.ErrorIs(t, err, ErrStoreFault)
	require.ErrorContains(t, err, "several schemas: app has user_fences; public has online_samples, ")
}

// TestMigrateNamesATableThatIsNotOurs: another library's user_sessions, ours that another
// tool has made, and one that was renamed and has kept the names of its indexes.
func TestMigrateNamesATableThatIsNotOurs(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		before []string
		want   []string
	}{
		"another library's": {
			[]string{"CREATE TABLE user_sessions (id text PRIMARY KEY, user_id int, data jsonb)"},
			[]string{"table user_sessions of schema public is not this library's: it has no column session_id", "rename it", "BunOptions.Schema"},
		},
		"one that was renamed": {
			[]string{"CREATE TABLE user_sessions (session_id text, CONSTRAINT user_sessions_session_id_key UNIQUE (session_id))", "ALTER TABLE user_sessions RENAME TO old_sessions"},
			[]string{"old_sessions has user_sessions_session_id_key", "rename it, with its indexes", "BunOptions.Schema"},
		},
		"a function": {
			[]string{"CREATE FUNCTION user_sessions_ended_is_final() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'"},
			[]string{"a name is taken in schema public", "BunOptions.Schema"},
		},
		"a table that comes later": {
			[]string{"CREATE TABLE session_leases (x int)"},
			[]string{"table session_leases is in schema public, and Migrate has not made it", "BunOptions.Schema"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dsn, ctx := pgtest.DSN(t), t.Context()
			s := bunStoreOver(t, pgtest.OpenDSN(t, dsn))
			execute(t, s, test.before...)
			err := s.Migrate(ctx)
			require.ErrorIs(t, err, ErrStoreFault)
			require.NotErrorIs(t, err, ErrUnavailable)
			for _, want := range test.want {
				assert.ErrorContains(t, err, want)
			}
			var left int
			require.NoError(t, s.db.NewRaw("SELECT count(*) FROM pg_class WHERE relname IN ('user_presence', 'sessiontrack_migrations')").
				Scan(ctx, &left))
			assert.Zero(t, left)
			assert.NoError(t, inSchema(t, dsn, "sessions").Migrate(ctx), "the way out works")
		})
	}
}
