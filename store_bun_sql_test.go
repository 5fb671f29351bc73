package sessiontrack

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/sessiontrack/sessiontrack/internal/pgtest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"
)

// TestBunStoreBuildsNoSQLFromText reads the store's source: statements are
// constants, and values reach them as arguments only (OWASP ASVS 1.2.4). A minus
// before an argument could begin a comment.
func TestBunStoreBuildsNoSQLFromText(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("store_bun*.go")
	require.NoError(t, err)
	inner, err := filepath.Glob("internal/postgres/*.go")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	require.NotEmpty(t, inner)
	files = append(files, inner...)
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		source, err := os.ReadFile(file)
		require.NoError(t, err)
		for _, risky := range []string{"Sprintf", "bun.Safe", "-?", "strings.Join", "strings.Builder", "Replace("} {
			assert.NotContains(t, string(source), risky, file)
		}
	}
}

// TestBunStoreTransactionsBringTheirOwnBounds: whatever the host has set, they are
// READ COMMITTED and short, and leave the connection as it was.
func TestBunStoreTransactionsBringTheirOwnBounds(t *testing.T) {
	t.Parallel()
	s, ctx := newBunStore(t), t.Context()
	s.db.Slack = 0
	s.db.SetMaxOpenConns(1)
	_, err := s.db.ExecContext(ctx, "SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL SERIALIZABLE")
	require.NoError(t, err)
	settings := func(db bun.IDB) (values []string) {
		require.NoError(t, db.NewRaw("SELECT current_setting(name) FROM unnest(?::text[]) WITH ORDINALITY AS n(name, place) ORDER BY place",
			"{transaction_isolation,statement_timeout,idle_in_transaction_session_timeout}").Scan(ctx, &values))
		return values
	}
	require.NoError(t, s.db.Transaction(ctx, transactionTimeout, func(ctx context.Context, tx bun.Tx, now time.Time) error {
		assert.Equal(t, []string{"read committed", "2s", "1s"}, settings(tx))
		return nil
	}))
	assert.Equal(t, []string{"serializable", "0", "0"}, settings(s.db))
}

// TestBunStoreTransactionIsNotCommittedLate: an end that became visible long after
// its stamp would be missed by the feed.
func TestBunStoreTransactionIsNotCommittedLate(t *testing.T) {
	t.Parallel()
	s, ctx := newBunStore(t), t.Context()
	id := bunCreate(t, s, "1").ID
	s.db.Slack = 0
	const limit = 100 * time.Millisecond
	err := s.db.Transaction(ctx, limit, func(ctx context.Context, tx bun.Tx, _ time.Time) error {
		_, err := tx.ExecContext(context.WithoutCancel(ctx), "UPDATE user_sessions SET logout_at = now(), end_reason = 'user'")
		require.NoError(t, err)
		<-ctx.Done()
		return nil
	})
	require.Error(t, err)
	row, err := s.Get(ctx, id)
	require.NoError(t, err)
	assert.False(t, row.Ended())
}

// TestBunStoreWorksInEveryQueryMode: the pool is the host's, and so is its driver's
// way to send statements.
func TestBunStoreWorksInEveryQueryMode(t *testing.T) {
	t.Parallel()
	for _, mode := range []pgx.QueryExecMode{
		pgx.QueryExecModeExec, pgx.QueryExecModeSimpleProtocol, pgx.QueryExecModeCacheStatement,
		pgx.QueryExecModeCacheDescribe, pgx.QueryExecModeDescribeExec,
	} {
		t.Run(mode.String(), func(t *testing.T) {
			config, err := pgx.ParseConfig(pgtest.DSN(t))
			require.NoError(t, err)
			config.DefaultQueryExecMode = mode
			db := stdlib.OpenDB(*config)
			t.Cleanup(func() { _ = db.Close() })
			s, ctx := bunStoreOver(t, db), t.Context()
			require.NoError(t, s.Migrate(ctx))
			old := bunCreate(t, s, "1")
			row := bunCreate(t, s, "1", func(n *NewSession) { n.Replaces, n.Limit = old.ID, 1 })
			alive, err := s.Touch(ctx, []TouchRecord{{ID: old.ID, At: time.Now()}, {ID: row.ID, At: time.Now()}}, 0)
			require.NoError(t, err)
			assert.Equal(t, []SessionID{row.ID}, alive)
			require.NoError(t, s.Describe(ctx, []SessionUpdate{{ID: row.ID, Device: &Device{Type: DeviceTV}}}))
			for call, err := range callAll(ctx, s, true) {
				if call != "get" { // asks for a handle that is not there
					require.NoError(t, err, call)
				}
			}
		})
	}
}

// FuzzBunStoreText sends any text through every parameter that takes one: it comes
// back cleaned and otherwise as it was, and no statement fails for it.
func FuzzBunStoreText(f *testing.F) {
	for _, seed := range []string{"plain", hostile, `'; DROP TABLE user_sessions; --`, `{"a",NULL}`, "?0 ?? $1 \\", "\xff\xfe", "/* -- */ E'\\''"} {
		f.Add(seed, seed)
	}
	s := bunStoreOver(f, pgtest.Open(f))
	require.NoError(f, s.Migrate(f.Context()))
	f.Fuzz(func(t *testing.T, user, text string) {
		ctx := t.Context()
		_, err := s.List(ctx, Query{Limit: 1, Filter: Filter{Users: []string{user, text}, Device: DeviceType(text)}})
		require.NotErrorIs(t, err, ErrUnavailable)
		n := NewSession{Session: Session{
			ID: newHandle().id(), UserID: user, UserAgent: text, ClientHints: text, AddressSource: text,
			Location: Location{City: text}, Device: Device{Browser: text},
		}}
		created, err := s.Create(ctx, n)
		if !validUserID(user) {
			require.Error(t, err)
			require.NotErrorIs(t, err, ErrUnavailable, "refused before it reaches the database")
			return
		}
		require.NoError(t, err)
		row := created.Session
		require.Equal(t, user, row.UserID)
		require.Equal(t, column(text, maxUserAgent), row.UserAgent)
		require.Equal(t, shortColumn(text), row.Location.City)

		alive, err := s.Touch(ctx, []TouchRecord{{ID: SessionID(text), At: time.Now()}, {ID: row.ID, At: time.Now()}}, 0)
		require.NoError(t, err)
		require.Contains(t, alive, row.ID)
		require.NoError(t, s.Describe(ctx, []SessionUpdate{{ID: row.ID, Device: &Device{Model: text}, Network: &ClientNetwork{Source: text}}}))
		described, err := s.Get(ctx, row.ID)
		require.NoError(t, err)
		require.Equal(t, shortColumn(text), described.Device.Model)
		page, err := s.List(ctx, Query{UserID: user, Within: time.Hour, Limit: 1, After: Cursor{At: row.LoginAt.Add(time.Hour), UserID: text}})
		require.NoError(t, err)
		require.Len(t, page.Sessions, 1)
		ended, err := s.End(ctx, User(user), Ending{Reason: ReasonAdmin, Actor: user})
		require.NoError(t, err)
		require.Len(t, ended.Sessions, 1)
	})
}
