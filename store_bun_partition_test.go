package sessiontrack

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// partitioned is the recipe of docs/postgresql.md: it replaces an empty user_sessions by one
// in four hash partitions.
var partitioned = []string{
	`DROP VIEW sessions_of_users`,
	`ALTER TABLE user_sessions RENAME TO plain`,
	`CREATE TABLE user_sessions (LIKE plain INCLUDING DEFAULTS INCLUDING GENERATED INCLUDING CONSTRAINTS)
		PARTITION BY HASH (session_id)`,
	`CREATE SEQUENCE user_sessions_serial OWNED BY user_sessions.id`,
	`ALTER TABLE user_sessions ALTER id SET DEFAULT nextval('user_sessions_serial')`,
	`DROP TABLE plain`,
	`CREATE UNIQUE INDEX user_sessions_session_id_key ON user_sessions (session_id)`,
	`CREATE INDEX user_sessions_id ON user_sessions (id)`,
	`CREATE INDEX user_sessions_user_id ON user_sessions (user_id, login_at, id)`,
	`CREATE INDEX user_sessions_live_user_id ON user_sessions (user_id, id) WHERE logout_at IS NULL`,
	`CREATE INDEX user_sessions_logout_at ON user_sessions (logout_at, id) WHERE logout_at IS NOT NULL`,
	`CREATE INDEX user_sessions_login_at ON user_sessions (login_at)`,
	`CREATE INDEX user_sessions_live_ip_address ON user_sessions (ip_address) WHERE logout_at IS NULL`,
	`CREATE INDEX user_sessions_live_device_type ON user_sessions (device_type) WHERE logout_at IS NULL`,
	`CREATE INDEX user_sessions_retained ON user_sessions (logout_at) WHERE logout_at IS NOT NULL AND user_id <> ''`,
	`CREATE INDEX user_sessions_remembered ON user_sessions (credential_until, logout_at)
		WHERE logout_at IS NOT NULL AND user_id = ''`,
	`CREATE TRIGGER user_sessions_ended_is_final BEFORE UPDATE ON user_sessions
		FOR EACH ROW WHEN (OLD.logout_at IS NOT NULL) EXECUTE FUNCTION user_sessions_ended_is_final()`,
	`CREATE TABLE user_sessions_0 PARTITION OF user_sessions FOR VALUES WITH (MODULUS 4, REMAINDER 0) WITH (fillfactor = 85)`,
	`CREATE TABLE user_sessions_1 PARTITION OF user_sessions FOR VALUES WITH (MODULUS 4, REMAINDER 1) WITH (fillfactor = 85)`,
	`CREATE TABLE user_sessions_2 PARTITION OF user_sessions FOR VALUES WITH (MODULUS 4, REMAINDER 2) WITH (fillfactor = 85)`,
	`CREATE TABLE user_sessions_3 PARTITION OF user_sessions FOR VALUES WITH (MODULUS 4, REMAINDER 3) WITH (fillfactor = 85)`,
}

// TestPurgeSparesLiveRowsOfOtherPartitions: a row's place is unique in its partition only.
// Rows that were deleted by it took live ones at the same place with them.
func TestPurgeSparesLiveRowsOfOtherPartitions(t *testing.T) {
	t.Parallel()
	s, ctx := newBunStore(t), t.Context()
	execute(t, s, partitioned...)
	live, ended := map[SessionID]bool{}, 0
	for i := range 40 {
		derived := func(n *NewSession) { n.Session.Derived = i%4 > 1 }
		id := bunCreate(t, s, fmt.Sprint(i), derived).ID
		if i%2 == 0 {
			_, err := s.End(ctx, IDs(id), Ending{Reason: ReasonUser})
			require.NoError(t, err)
			ended++
		} else {
			live[id] = true
		}
	}
	changed, err := s.Purge(ctx, PurgeOptions{Limit: 100, KeepEnded: time.Hour})
	require.NoError(t, err)
	assert.Equal(t, ended, changed)
	changed, err = s.Purge(ctx, PurgeOptions{Limit: 100})
	require.NoError(t, err)
	assert.Equal(t, ended/2, changed, "what was remembered for an hour")
	page, err := s.List(ctx, Query{Live: true, Limit: 100})
	require.NoError(t, err)
	require.Len(t, page.Sessions, len(live))
	for _, session := range page.Sessions {
		assert.True(t, live[session.ID])
	}
	var rows int
	require.NoError(t, s.db.NewRaw("SELECT count(*) FROM user_sessions").Scan(ctx, &rows))
	assert.Equal(t, len(live), rows)
}
