package faults

import (
	"crypto/rand"
	"database/sql"
	"encoding/base64"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	st "github.com/sessiontrack/sessiontrack"
	"github.com/sessiontrack/sessiontrack/internal/pgtest"
)

func newHandle() string {
	b := make([]byte, 16)
	_, _ = rand.Read(b)
	return base64.RawURLEncoding.EncodeToString(b)
}

// backdated inserts n live sessions of one user. Their login and last activity are age ago. It
// writes the rows directly, because no Store method takes a past time.
func backdated(t testing.TB, db *sql.DB, n int, age time.Duration, user string) []st.SessionID {
	t.Helper()
	ids, names := make([]st.SessionID, n), make([]string, n)
	for i := range ids {
		names[i] = newHandle()
		ids[i] = st.SessionID(names[i])
	}
	execute(t, db, `INSERT INTO user_sessions (user_id, session_id, secret_hash, login_at, last_activity,
			created_at, updated_at, expires_at)
		SELECT $1, h, '\x00', at, at, at, at, at + interval '30 days'
		FROM unnest($2::text[]) AS h, (SELECT clock_timestamp() - $3 * interval '1 microsecond' AS at) AS past`,
		user, names, age.Microseconds())
	execute(t, db, `INSERT INTO user_presence SELECT user_id, max(last_activity) FROM user_sessions
		WHERE user_id = $1 AND logout_at IS NULL
		GROUP BY user_id ON CONFLICT (user_id) DO UPDATE SET last_activity = excluded.last_activity`, user)
	require.False(t, t.Failed())
	return ids
}

// migrated returns a pool for a fresh database with all tables.
func migrated(t testing.TB) *sql.DB {
	t.Helper()
	db := pgtest.Open(t)
	require.NoError(t, storeOver(t, db).Migrate(t.Context()))
	return db
}
