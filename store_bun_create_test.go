package sessiontrack

import (
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sessiontrack/sessiontrack/internal/pgtest"
)

// TestSignInIsOneStatement: a database 480 ms away answers a sign-in with a limit and a
// session to replace within the two seconds that it has, because it is asked once.
func TestSignInIsOneStatement(t *testing.T) {
	t.Parallel()
	s := newBunStore(t)
	old := bunCreate(t, s, "other")
	hook := watch(s)
	for range 3 {
		bunCreate(t, s, "1", func(n *NewSession) {
			n.Limit, n.Policy, n.Replaces, n.IdleTimeout = 2, EndOldest, old.ID, time.Hour
		})
		assert.Len(t, hook.take(), 1)
	}
	bunCreate(t, s, "1", func(n *NewSession) { n.Session.Derived, n.IssuedAt = true, time.Now() })
	assert.Len(t, hook.take(), 1)
}

// TestSignInBringsItsOwnBounds: whatever the host has set, a sign-in is READ COMMITTED and
// on disk when it is acknowledged, waits for no lock longer than it may take, and leaves
// the connection as it was.
func TestSignInBringsItsOwnBounds(t *testing.T) {
	t.Parallel()
	dsn, ctx := pgtest.DSN(t), t.Context()
	owner := bunStoreOver(t, pgtest.OpenDSN(t, dsn))
	require.NoError(t, owner.Migrate(ctx))
	for _, isolation := range []string{"read committed", "repeatable read", "serializable"} {
		t.Run(isolation, func(t *testing.T) {
			s := withSettings(t, dsn, pgx.QueryExecModeExec, map[string]string{
				"default_transaction_isolation": isolation, "synchronous_commit": "off", "lock_timeout": "77ms",
			})
			s.db.SetMaxOpenConns(1)
			tx, err := s.db.BeginTx(ctx, nil)
			require.NoError(t, err)
			var settings []string
			require.NoError(t, tx.NewRaw("SELECT unnest(ARRAY[current_setting('synchronous_commit'), current_setting('lock_timeout')])").
				Scan(ctx, &settings))
			assert.Equal(t, []string{"off", "77ms"}, settings)
			require.NoError(t, tx.Rollback())

			made := make([]error, 8) // at once: three of them at most may be left
			parallel(len(made), func(i int) {
				n := NewSession{Session: Session{ID: newHandle().id(), UserID: isolation}, Limit: 3}
				_, made[i] = s.Create(ctx, n)
			})
			for _, err := range made {
				require.NoError(t, err)
			}
			page, err := s.List(ctx, Query{UserID: isolation, Live: true, Limit: 10})
			require.NoError(t, err)
			assert.Len(t, page.Sessions, 3)
			require.NoError(t, s.db.NewRaw("SELECT unnest(ARRAY[current_setting('synchronous_commit'), current_setting('lock_timeout')])").
				Scan(ctx, &settings))
			assert.Equal(t, []string{"off", "77ms"}, settings)
		})
	}
	// Within the transaction of a call the settings are the function's own.
	tx, err := owner.db.BeginTx(ctx, nil)
	require.NoError(t, err)
	defer func() { _ = tx.Rollback() }()
	var durable, wait string
	require.NoError(t, tx.NewRaw("SELECT set_config('synchronous_commit', 'off', true)").Scan(ctx, &durable))
	_, err = tx.ExecContext(ctx, `SELECT * FROM sessiontrack_create('{"session_id": "x", "user_id": "1", "derived": false, "ip_address": "",
		"ip_source": "", "country_code": "", "country": "", "region": "", "city": "", "login_ip_address": "", "login_ip_source": "",
		"user_agent": "", "client_hints": "", "device_type": "", "device_source": "", "device_ambiguous": false, "browser": "",
		"browser_version": "", "os": "", "os_version": "", "brand": "", "model": "", "client": "", "tenant": "", "acted_by": "",
		"methods": "", "idle_timeout": 0, "remember": false}', 0, '', '{}', 0, 'oldest', 0, NULL, 0, 0, 1234)`)
	require.NoError(t, err)
	require.NoError(t, tx.NewRaw("SELECT current_setting('synchronous_commit'), current_setting('lock_timeout')").Scan(ctx, &durable, &wait))
	assert.Equal(t, []string{"on", "1234ms"}, []string{durable, wait})
}

// TestSignInGivesUpAtALock: somebody holds what it needs; nothing of it has happened then.
func TestSignInGivesUpAtALock(t *testing.T) {
	t.Parallel()
	s, ctx := newBunStore(t), t.Context()
	old := bunCreate(t, s, "other")
	tx, err := s.db.BeginTx(ctx, nil)
	require.NoError(t, err)
	defer func() { _ = tx.Rollback() }()
	_, err = tx.ExecContext(ctx, "SELECT FROM user_presence WHERE user_id = 'other' FOR UPDATE")
	require.NoError(t, err)
	s.db.Slack = 0
	_, err = s.Create(ctx, NewSession{Session: Session{ID: newHandle().id(), UserID: "1"}, Replaces: old.ID})
	require.ErrorIs(t, err, ErrUnavailable)
	require.NoError(t, tx.Rollback())
	row, err := s.Get(ctx, old.ID)
	require.NoError(t, err)
	assert.False(t, row.Ended())
	page, err := s.List(ctx, Query{UserID: "1", Limit: 10})
	require.NoError(t, err)
	assert.Empty(t, page.Sessions)
}

// TestViewOfSessionsWithAUser: the application casts user_id, and a session whose user was
// blanked has none.
func TestViewOfSessionsWithAUser(t *testing.T) {
	t.Parallel()
	s, ctx := newBunStore(t), t.Context()
	bunCreate(t, s, "7")
	blanked := bunCreate(t, s, "8", func(n *NewSession) { n.Session.Derived = true })
	_, err := s.End(ctx, IDs(blanked.ID), Ending{Reason: ReasonUser})
	require.NoError(t, err)
	n, err := s.Purge(ctx, PurgeOptions{KeepEnded: time.Hour, Limit: 10})
	require.NoError(t, err)
	require.Equal(t, 1, n)
	_, err = s.db.ExecContext(ctx, "SELECT FROM user_sessions WHERE user_id::bigint > 0")
	require.ErrorContains(t, err, "invalid input syntax")
	var users []int64
	require.NoError(t, s.db.NewRaw("SELECT user_id::bigint FROM sessions_of_users WHERE user_id::bigint > 0 AND is_active").Scan(ctx, &users))
	assert.Equal(t, []int64{7}, users)
}
