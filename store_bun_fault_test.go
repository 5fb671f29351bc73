package sessiontrack

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"

	"github.com/sessiontrack/sessiontrack/internal/pgtest"
	"github.com/sessiontrack/sessiontrack/internal/postgres"
)

// application returns an owner's store with its tables, and one over the same database for
// a role with the documented rights.
func application(t *testing.T) (owner, app *BunStore, role string) {
	t.Helper()
	dsn := pgtest.DSN(t)
	owner = bunStoreOver(t, pgtest.OpenDSN(t, dsn))
	require.NoError(t, owner.Migrate(t.Context()))
	role = freshRole(t, owner)
	execute(t, owner, strings.ReplaceAll(grants, "?0", role))
	app = withSettings(t, dsn, pgx.QueryExecModeExec, map[string]string{"role": role})
	require.NoError(t, app.Check(t.Context()))
	return owner, app, role
}

// TestRowLevelSecurityWithoutAPolicyIsNoAbsence: somebody switches it on. Rows are then
// hidden, and live sessions would be refused with 401.
func TestRowLevelSecurityWithoutAPolicyIsNoAbsence(t *testing.T) {
	t.Parallel()
	owner, app, role := application(t)
	ctx, id := t.Context(), bunCreate(t, owner, "1").ID
	execute(t, owner, "ALTER TABLE user_sessions ENABLE ROW LEVEL SECURITY", "ALTER TABLE user_fences ENABLE ROW LEVEL SECURITY")

	err := app.Check(ctx)
	require.ErrorIs(t, err, ErrStoreFault)
	require.ErrorContains(t, err, "row level security of user_fences has no policy for SELECT, INSERT, UPDATE, DELETE by role "+role)
	require.ErrorContains(t, err, "row level security of user_sessions has no policy")
	for _, session := range []SessionID{id, newHandle().id()} {
		_, err = app.Get(ctx, session)
		require.ErrorIs(t, err, ErrStoreFault, "hidden is not missing")
		require.NotErrorIs(t, err, ErrNotFound)
	}
	_, err = app.Create(ctx, NewSession{Session: Session{ID: newHandle().id(), UserID: "1"}})
	require.ErrorIs(t, err, ErrStoreFault)
	_, err = owner.Get(ctx, id)
	require.NoError(t, err, "the owner is not bound by it")

	execute(t, owner, "CREATE POLICY reading ON user_sessions FOR SELECT TO "+role+" USING (true)")
	require.ErrorContains(t, app.Check(ctx), "row level security of user_sessions has no policy for INSERT, UPDATE, DELETE")
	execute(t, owner, "CREATE POLICY all_of_it ON user_sessions USING (true)", "CREATE POLICY all_of_it ON user_fences USING (true)")
	require.NoError(t, app.Check(ctx))
	_, err = app.Get(ctx, newHandle().id())
	require.ErrorIs(t, err, ErrNotFound)
	execute(t, owner, "DELETE FROM user_sessions", "DELETE FROM user_presence")
	assertWorks(t, app)
}

// TestRulesOfTheHostArePermanentFaults: what the database refuses will be refused again,
// and is no outage.
func TestRulesOfTheHostArePermanentFaults(t *testing.T) {
	t.Parallel()
	create := func(s *BunStore) error {
		_, err := s.Create(t.Context(), NewSession{Session: Session{ID: newHandle().id(), UserID: "1"}})
		return err
	}
	for name, rule := range map[string]string{
		"a foreign key": "CREATE TABLE users (id text PRIMARY KEY); " +
			"ALTER TABLE user_sessions ADD FOREIGN KEY (user_id) REFERENCES users ON DELETE CASCADE",
		"a constraint": "ALTER TABLE user_sessions ADD CHECK (user_id <> '1')",
		"a trigger": "CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'no'; END $$; " +
			"CREATE TRIGGER no BEFORE INSERT ON user_sessions FOR EACH ROW EXECUTE FUNCTION no()",
		"a missing table":  "DROP TABLE user_presence",
		"a missing column": "ALTER TABLE user_sessions DROP COLUMN brand CASCADE",
		"a narrow column":  "ALTER TABLE user_presence ALTER user_id TYPE uuid USING gen_random_uuid()",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newBunStore(t)
			require.NoError(t, create(s))
			execute(t, s, "DELETE FROM user_sessions", "DELETE FROM user_presence", rule)
			err := create(s)
			require.ErrorIs(t, err, ErrStoreFault)
			require.NotErrorIs(t, err, ErrUnavailable)
		})
	}
}

// TestUsersNamedLikeWorkAreNotLockedOut: locks of users and of our own work never meet.
func TestUsersNamedLikeWorkAreNotLockedOut(t *testing.T) {
	t.Parallel()
	s, ctx := newBunStore(t), t.Context()
	tx, err := s.db.BeginTx(ctx, nil)
	require.NoError(t, err)
	defer func() { _ = tx.Rollback() }()
	hold := func(tx bun.Tx) {
		require.NoError(t, postgres.LockMigration(ctx, tx, "public"))
		for _, work := range []string{"sample", "rollup"} {
			mine, err := postgres.TryWork(ctx, tx, work)
			require.NoError(t, err)
			require.True(t, mine)
		}
	}
	hold(tx)
	for _, user := range []string{"migrate", "sample", "rollup", "migrate public"} {
		bunCreate(t, s, user, func(n *NewSession) { n.Limit = 3 })
	}
	require.NoError(t, tx.Rollback())

	signIns, err := s.db.BeginTx(ctx, nil)
	require.NoError(t, err)
	defer func() { _ = signIns.Rollback() }()
	for _, user := range []string{"sample", "rollup"} {
		require.NoError(t, postgres.LockID(ctx, signIns, user))
	}
	_, taken, err := s.Sample(ctx, StatsQuery{Windows: [3]time.Duration{1, 2, 3}})
	require.NoError(t, err)
	assert.True(t, taken)
}

// TestCheckNamesRolesThatMayWriteSessions: default privileges of an exposed API give a
// role more than it needs.
func TestCheckNamesRolesThatMayWriteSessions(t *testing.T) {
	t.Parallel()
	owner, app, role := application(t)
	var log bytes.Buffer
	app.logger = slog.New(slog.NewTextHandler(&log, nil))
	require.NoError(t, app.Check(t.Context()))
	assert.Empty(t, log.String(), "its own role and the owner are no others")

	other := freshRole(t, owner)
	execute(t, owner, "GRANT SELECT ON user_sessions TO "+other)
	require.NoError(t, app.Check(t.Context()))
	assert.Empty(t, log.String(), "reading is not writing")
	execute(t, owner, "GRANT INSERT (session_id) ON user_sessions TO "+other, "GRANT DELETE ON user_fences TO "+other)
	require.NoError(t, app.Check(t.Context()))
	assert.Contains(t, log.String(), "level=WARN")
	assert.Contains(t, log.String(), other+" may write user_fences, user_sessions")
	assert.NotContains(t, log.String(), role)
}
