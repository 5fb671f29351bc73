package redisstore_test

import (
	"os"
	"strings"
	"testing"

	"github.com/redis/rueidis"
	"github.com/stretchr/testify/require"

	"github.com/sessiontrack/sessiontrack"
	"github.com/sessiontrack/sessiontrack/internal/redistest"
	"github.com/sessiontrack/sessiontrack/redisstore"
	"github.com/sessiontrack/sessiontrack/storetest"
)

// TestActivityNeedsTheRightsOfTheReadme runs the contract as a user who has these and no
// others.
func TestActivityNeedsTheRightsOfTheReadme(t *testing.T) {
	t.Parallel()
	readme, err := os.ReadFile("README.md")
	require.NoError(t, err)
	_, rights, found := strings.Cut(string(readme), "```\n~")
	require.True(t, found)
	rights, _, _ = strings.Cut("~"+rights, "```")
	server := redistest.Start(t)
	admin := dial(t, server.Addr())
	words := append([]string{"ACL", "SETUSER", "app", "on", ">secret"}, strings.Fields(rights)...)
	require.NoError(t, admin.Do(t.Context(), admin.B().Arbitrary(words...).Build()).Error())
	client, err := rueidis.NewClient(rueidis.ClientOption{
		InitAddress: []string{server.Addr()}, Username: "app", Password: "secret", DisableCache: true,
	})
	require.NoError(t, err)
	t.Cleanup(client.Close)
	require.NoError(t, check(t, activityOver(t, sessiontrack.NewMemoryStore(), client, func(
		o *redisstore.ActivityOptions,
	) {
		o.Prefix = "sessiontrack:check"
	})))
	storetest.Run(t, func(t *testing.T) sessiontrack.Store {
		return activityOver(t, sessiontrack.NewMemoryStore(), client, func(o *redisstore.ActivityOptions) {
			o.Prefix = "sessiontrack:" + o.Prefix
		})
	})
}
