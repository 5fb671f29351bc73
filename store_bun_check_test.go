package sessiontrack

import (
	"context"
	"crypto/rand"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/sessiontrack/sessiontrack/internal/pgtest"
	"github.com/sessiontrack/sessiontrack/internal/postgres"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"
)

// freshRole makes a role that may log in, with rights on nothing, gone with the test.
func freshRole(t *testing.T, s *BunStore) string {
	t.Helper()
	role := "sessiontrack_" + strings.ToLower(rand.Text()[:12])
	for _, statement := range []string{"CREATE ROLE " + role + " LOGIN", "GRANT " + role + " TO CURRENT_USER"} {
		_, err := s.db.ExecContext(t.Context(), statement)
		require.NoError(t, err)
	}
	t.Cleanup(func() { // the database, with all that was granted there, is still to be dropped
		for _, statement := range []string{"DROP OWNED BY " + role, "DROP ROLE " + role} {
			_, err := s.db.Exec(statement)
			assert.NoError(t, err)
		}
	})
	return role
}

// withSettings returns a store over a database, whose connections have settings as a
// role's or a database's would give them.
func withSettings(t *testing.T, dsn string, mode pgx.QueryExecMode, settings map[string]string) *BunStore {
	t.Helper()
	config, err := pgx.ParseConfig(dsn)
	require.NoError(t, err)
	config.DefaultQueryExecMode = mode
	for name, value := range settings {
		config.RuntimeParams[name] = value
	}
	db := stdlib.OpenDB(*config)
	t.Cleanup(func() { _ = db.Close() })
	return bunStoreOver(t, db)
}

// grants are the rights of the application's role, as docs/postgresql.md lists them.
const grants = `GRANT SELECT, INSERT, UPDATE, DELETE ON user_sessions, user_presence, user_fences, session_quarters, session_audit TO ?0;
GRANT SELECT, INSERT, UPDATE ON session_leases TO ?0;
GRANT SELECT, INSERT, DELETE ON online_samples, session_minutes TO ?0;
GRANT SELECT ON sessiontrack_migrations TO ?0`

// TestStartNamesTheMissingRight takes one right after another from the application's
// role: Start names it and the table. With the documented rights, and no more,
// everything works.
func TestStartNamesTheMissingRight(t *testing.T) {
	t.Parallel()
	dsn := pgtest.DSN(t)
	owner := bunStoreOver(t, pgtest.OpenDSN(t, dsn))
	ctx := t.Context()
	require.NoError(t, owner.Migrate(ctx))
	role := freshRole(t, owner)
	run := func(statement string) {
		t.Helper()
		_, err := owner.db.ExecContext(ctx, strings.ReplaceAll(statement, "?0", role))
		require.NoError(t, err)
	}
	app := withSettings(t, dsn, pgx.QueryExecModeExec, map[string]string{"role": role})
	require.ErrorContains(t, app.Check(ctx), "role "+role+" lacks SELECT, INSERT, DELETE on online_samples; ")
	run(grants)
	assertWorks(t, app)
	require.NoError(t, app.Migrate(ctx), "with nothing left to apply, reading is enough")

	tables := map[string]string{
		"user_sessions": "SELECT,INSERT,UPDATE,DELETE", "user_presence": "SELECT,INSERT,UPDATE,DELETE",
		"user_fences": "SELECT,INSERT,UPDATE,DELETE", "session_quarters": "SELECT,INSERT,UPDATE,DELETE",
		"session_audit":  "SELECT,INSERT,UPDATE,DELETE",
		"session_leases": "SELECT,INSERT,UPDATE", "online_samples": "SELECT,INSERT,DELETE", "session_minutes": "SELECT,INSERT,DELETE",
	}
	for table, rights := range tables {
		for right := range strings.SplitSeq(rights, ",") {
			run("REVOKE " + right + " ON " + table + " FROM ?0")
			tracker, err := New(app, nil)
			require.NoError(t, err)
			err = tracker.Start(ctx)
			require.ErrorIs(t, err, ErrStoreFault)
			require.ErrorContains(t, err, "role "+role+" lacks "+right+" on "+table)
			run(grants)
		}
	}
	run("REVOKE UPDATE ON user_presence FROM ?0; GRANT UPDATE (last_activity) ON user_presence TO ?0")
	require.NoError(t, app.Check(ctx), "a right on the columns that are written is enough")
	run("DROP TABLE session_leases")
	require.ErrorContains(t, app.Check(ctx), "no table session_leases")
}

// assertWorks makes each kind of call and looks at what comes back.
func assertWorks(t *testing.T, s *BunStore) {
	t.Helper()
	ctx, user := t.Context(), `o'neil\" é`
	require.NoError(t, s.Check(ctx))
	began := time.Now()
	token := newToken()
	row := bunCreate(t, s, user, func(n *NewSession) {
		n.Session.ID, n.SecretHash = token.ID(), token.hash()
		n.Session.UserAgent, n.Lifetime, n.Limit, n.IssuedAt = `back\slash '; --`, time.Hour, 3, time.Now()
	})
	record, err := s.Get(ctx, row.ID)
	require.NoError(t, err)
	assert.Equal(t, user, record.UserID)
	assert.Equal(t, `back\slash '; --`, record.UserAgent)
	assert.Equal(t, token.hash(), record.SecretHash)
	assert.WithinDuration(t, began, record.LoginAt, time.Minute)
	assert.Equal(t, record.LoginAt.Add(time.Hour), record.ExpiresAt)
	alive, err := s.Touch(ctx, []TouchRecord{{ID: row.ID, At: time.Now()}}, 0)
	require.NoError(t, err)
	assert.Equal(t, []SessionID{row.ID}, alive)
	until := time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC)
	require.NoError(t, s.Describe(ctx, []SessionUpdate{{ID: row.ID, Device: &Device{Type: DeviceTV, Model: "a\u2028\\b<"}, CredentialUntil: until}}))
	page, err := s.List(ctx, Query{Limit: 1, IdleTimeout: time.Hour, Filter: Filter{Users: []string{user}, Device: DeviceTV}})
	require.NoError(t, err)
	require.Len(t, page.Sessions, 1)
	assert.Equal(t, "a\u2028\\b<", page.Sessions[0].Device.Model)
	assert.Equal(t, until, page.Sessions[0].CredentialUntil)
	counts, _, err := s.CountOnline(ctx, []time.Duration{time.Minute, time.Hour})
	require.NoError(t, err)
	assert.Equal(t, []int{1, 1}, counts)
	mine, err := s.Lease(ctx, "job", time.Minute)
	require.NoError(t, err)
	assert.True(t, mine)
	require.NoError(t, s.RollUp(ctx, time.Hour))
	ended, err := s.End(ctx, User(user), Ending{Reason: ReasonAdmin})
	require.NoError(t, err)
	require.Len(t, ended.Sessions, 1)
	feed, err := s.EndedSince(ctx, began.Add(-time.Minute), 10)
	require.NoError(t, err)
	require.Len(t, feed.Ended, 1)
	assert.Equal(t, endedSession(ended.Sessions[0]), feed.Ended[0])
	for call, err := range callAll(ctx, s, true) {
		if call != "get" { // asks for a handle that is not there
			require.NoError(t, err, call)
		}
	}
}

// TestBunStoreUnderTheHostsSettings: what a role or a database may have set changes
// nothing, or is refused by name at the start.
func TestBunStoreUnderTheHostsSettings(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		settings map[string]string
		mode     pgx.QueryExecMode
		want     string
	}{
		"repeatable read": {map[string]string{"default_transaction_isolation": "repeatable read"}, pgx.QueryExecModeExec, ""},
		"serializable":    {map[string]string{"default_transaction_isolation": "serializable"}, pgx.QueryExecModeExec, ""},
		"local customs": {map[string]string{
			"TimeZone": "Asia/Kathmandu", "IntervalStyle": "sql_standard", "extra_float_digits": "-5", "array_nulls": "off",
			"transform_null_equals": "on", "lc_messages": "C", "quote_all_identifiers": "on", "plan_cache_mode": "force_generic_plan",
		}, pgx.QueryExecModeExec, ""},
		"short timeouts":       {map[string]string{"statement_timeout": "400ms", "lock_timeout": "100ms", "idle_in_transaction_session_timeout": "400ms"}, pgx.QueryExecModeExec, ""},
		"dates, read as bytes": {map[string]string{"DateStyle": "SQL, DMY", "bytea_output": "escape"}, pgx.QueryExecModeCacheStatement, ""},
		"dates, read as text":  {map[string]string{"DateStyle": "SQL, DMY"}, pgx.QueryExecModeExec, `DateStyle is "SQL, DMY", want ISO`},
		"bytes, read as text":  {map[string]string{"bytea_output": "escape"}, pgx.QueryExecModeExec, `bytea_output is "escape", want hex`},
		"read only":            {map[string]string{"default_transaction_read_only": "on"}, pgx.QueryExecModeExec, "default_transaction_read_only is on"},
		"backslashes":          {map[string]string{"standard_conforming_strings": "off"}, pgx.QueryExecModeExec, "standard_conforming_strings is off"},
		"other encoding":       {map[string]string{"client_encoding": "LATIN1"}, pgx.QueryExecModeExec, "client_encoding is LATIN1, want UTF8"},
		"other schema":         {map[string]string{"search_path": "elsewhere"}, pgx.QueryExecModeExec, "no table online_samples in the search_path"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dsn := pgtest.DSN(t)
			require.NoError(t, bunStoreOver(t, pgtest.OpenDSN(t, dsn)).Migrate(t.Context()))
			s := withSettings(t, dsn, test.mode, test.settings)
			if test.want == "" {
				assertWorks(t, s)
				return
			}
			tracker, err := New(s, nil)
			require.NoError(t, err)
			err = tracker.Start(t.Context())
			kind := ErrStoreFault
			if name == "read only" { // which passes with the fail-over
				kind = ErrUnavailable
			}
			require.ErrorIs(t, err, kind)
			require.ErrorContains(t, err, test.want)
		})
	}
}

// TestTransactionsWaitForTheirTurn: a sign-in and an end wait for the writer before them
// for as long as a transaction may take, whatever lock_timeout the role has.
func TestTransactionsWaitForTheirTurn(t *testing.T) {
	t.Parallel()
	dsn, ctx := pgtest.DSN(t), t.Context()
	first := bunStoreOver(t, pgtest.OpenDSN(t, dsn))
	require.NoError(t, first.Migrate(ctx))
	session := bunCreate(t, first, "1")
	second := withSettings(t, dsn, pgx.QueryExecModeExec, map[string]string{"lock_timeout": "50ms"})
	tx, err := first.db.BeginTx(ctx, nil)
	require.NoError(t, err)
	defer func() { _ = tx.Rollback() }()
	require.NoError(t, postgres.LockID(ctx, tx, "1"))
	_, err = tx.ExecContext(ctx, "SELECT FROM user_sessions WHERE session_id = ? FOR UPDATE", string(session.ID))
	require.NoError(t, err)
	results := make(chan error, 2)
	go func() {
		n := NewSession{Session: Session{ID: newHandle().id(), UserID: "1"}, Limit: 2}
		results <- patiently(func() error { _, err := second.Create(ctx, n); return err })
	}()
	go func() {
		results <- patiently(func() error { _, err := second.End(ctx, IDs(session.ID), Ending{Reason: ReasonUser}); return err })
	}()
	select {
	case err := <-results:
		require.NoError(t, err, "gave up")
		t.Fatal("did not wait for its turn")
	case <-time.After(300 * time.Millisecond):
	}
	require.NoError(t, tx.Rollback())
	require.NoError(t, <-results)
	require.NoError(t, <-results)
}

// TestStartRefusesOtherEncodings: a database that is not in UTF-8 would fail at the
// first name that it cannot hold.
func TestStartRefusesOtherEncodings(t *testing.T) {
	t.Parallel()
	dsn := pgtest.DSN(t)
	admin := pgtest.OpenDSN(t, dsn)
	for _, encoding := range []string{"SQL_ASCII", "LATIN1"} {
		name := "sessiontrack_" + strings.ToLower(rand.Text()[:16])
		_, err := admin.ExecContext(t.Context(), "CREATE DATABASE "+name+" ENCODING '"+encoding+"' TEMPLATE template0 LC_COLLATE 'C' LC_CTYPE 'C'")
		require.NoError(t, err)
		config, err := pgx.ParseConfig(dsn)
		require.NoError(t, err)
		config.Database, config.DefaultQueryExecMode = name, pgx.QueryExecModeExec
		db := stdlib.OpenDB(*config)
		s := bunStoreOver(t, db)
		require.NoError(t, s.Migrate(t.Context()))
		require.ErrorContains(t, s.Check(t.Context()), "the database's encoding is "+encoding+", want UTF8")
		require.NoError(t, db.Close())
		_, err = admin.ExecContext(t.Context(), "DROP DATABASE "+name)
		require.NoError(t, err)
	}
}

// TestMigrateIntoASchemaOfChoice: the schema of search_path has the tables, and another
// application's in another schema are left alone.
func TestMigrateIntoASchemaOfChoice(t *testing.T) {
	t.Parallel()
	dsn, ctx := pgtest.DSN(t), t.Context()
	public := bunStoreOver(t, pgtest.OpenDSN(t, dsn))
	require.NoError(t, public.Migrate(ctx))
	_, err := public.db.ExecContext(ctx, `CREATE SCHEMA "Of Choice"`)
	require.NoError(t, err)
	own := withSettings(t, dsn, pgx.QueryExecModeExec, map[string]string{"search_path": `"Of Choice"`})
	require.NoError(t, own.Migrate(ctx))
	require.NoError(t, own.Migrate(ctx))
	assertWorks(t, own)
	page, err := public.EndedSince(ctx, time.Now().Add(-time.Hour), 10)
	require.NoError(t, err)
	assert.Empty(t, page.Ended)
}

// TestMigrateIsNotBoundByTheRolesTimeouts holds the turn of another replica for longer
// than the role's statements may take.
func TestMigrateIsNotBoundByTheRolesTimeouts(t *testing.T) {
	t.Parallel()
	dsn, ctx := pgtest.DSN(t), t.Context()
	first := bunStoreOver(t, pgtest.OpenDSN(t, dsn))
	tx, err := first.db.BeginTx(ctx, nil)
	require.NoError(t, err)
	defer func() { _ = tx.Rollback() }()
	require.NoError(t, postgres.LockMigration(ctx, tx, "public"))
	second := withSettings(t, dsn, pgx.QueryExecModeExec, map[string]string{"statement_timeout": "150ms", "lock_timeout": "100ms"})
	result := make(chan error, 1)
	go func() { result <- second.Migrate(ctx) }()
	select {
	case err := <-result:
		require.NoError(t, err, "gave up")
		t.Fatal("did not wait for its turn")
	case <-time.After(400 * time.Millisecond):
	}
	require.NoError(t, tx.Rollback())
	require.NoError(t, <-result)
}

// TestBunStoreAcknowledgesWhatIsOnDisk: a host that has traded the durability of its
// own commits for speed has not traded that of ours.
func TestBunStoreAcknowledgesWhatIsOnDisk(t *testing.T) {
	t.Parallel()
	s, ctx := newBunStore(t), t.Context()
	s.db.SetMaxOpenConns(1)
	for set, want := range map[string]string{"off": "on", "local": "local", "on": "on", "remote_apply": "remote_apply"} {
		_, err := s.db.ExecContext(ctx, "SET synchronous_commit = "+set)
		require.NoError(t, err)
		var got string
		require.NoError(t, s.db.Transaction(ctx, transactionTimeout, func(ctx context.Context, tx bun.Tx, _ time.Time) error {
			return tx.NewRaw("SHOW synchronous_commit").Scan(ctx, &got)
		}))
		assert.Equal(t, want, got)
		require.NoError(t, s.db.NewRaw("SHOW synchronous_commit").Scan(ctx, &got))
		assert.Equal(t, set, got, "the host's own")
	}
}
