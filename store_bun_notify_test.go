package sessiontrack

import (
	"context"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/sessiontrack/sessiontrack/internal/pgtest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestBunStoreNotifiesOnlyWhenSessionsEnd counts what a listener receives: a NOTIFY
// takes one lock for the whole cluster at commit, so it must not come with touches.
func TestBunStoreNotifiesOnlyWhenSessionsEnd(t *testing.T) {
	t.Parallel()
	dsn := pgtest.DSN(t)
	s := bunStoreOver(t, pgtest.OpenDSN(t, dsn))
	require.NoError(t, s.Migrate(t.Context()))
	conn, err := pgx.Connect(t.Context(), dsn)
	require.NoError(t, err)
	defer conn.Close(context.Background())
	_, err = conn.Exec(t.Context(), "LISTEN "+NotifyChannel)
	require.NoError(t, err)
	received := func() (n int) {
		_, err := conn.Exec(t.Context(), "NOTIFY "+NotifyChannel+", 'mark'")
		require.NoError(t, err)
		for {
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			got, err := conn.WaitForNotification(ctx)
			cancel()
			require.NoError(t, err)
			if got.Payload == "mark" {
				return n
			}
			assert.Empty(t, got.Payload, "a bare kick tells nothing")
			n++
		}
	}
	limited := func(n *NewSession) { n.Limit, n.Policy = 1, EndOldest }
	first := bunCreate(t, s, "1")
	bunCreate(t, s, "1")
	_, err = s.Touch(t.Context(), []TouchRecord{{ID: first.ID, At: time.Now()}}, 0)
	require.NoError(t, err)
	require.NoError(t, s.Describe(t.Context(), []SessionUpdate{{ID: first.ID, Device: &Device{Type: "mobile"}}}))
	assert.Zero(t, received(), "sign-ins, touches and facts end nothing")

	third := bunCreate(t, s, "1", limited)
	assert.Equal(t, 1, received(), "two sessions evicted by one sign-in")
	for _, test := range []struct {
		id   SessionID
		want int
	}{{first.ID, 0}, {third.ID, 1}, {third.ID, 0}, {newHandle().id(), 0}} {
		_, err = s.End(t.Context(), IDs(test.id), Ending{Reason: ReasonLogout})
		require.NoError(t, err)
		assert.Equal(t, test.want, received())
	}
	for range 3 {
		bunCreate(t, s, "2")
	}
	_, err = s.End(t.Context(), User("2"), Ending{Reason: ReasonAdmin})
	require.NoError(t, err)
	assert.Equal(t, 1, received(), "three sessions in one transaction")

	bunCreate(t, s, "3")
	past, err := s.End(t.Context(), Idle(time.Microsecond).Walk(0, 100), Ending{Reason: ReasonIdle})
	require.NoError(t, err)
	assert.NotEmpty(t, past.Sessions)
	assert.Zero(t, received(), "a limit of time is each request's own to judge")
	_, err = s.End(t.Context(), IDs(bunCreate(t, s, "3").ID), Ending{Reason: ReasonIdle})
	require.NoError(t, err)
	assert.Equal(t, 1, received(), "a session of choice, whatever the reason says")
}
