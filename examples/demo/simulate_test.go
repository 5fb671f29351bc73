package main

import (
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sessiontrack/sessiontrack/internal/pgtest"
)

// sessionsOf lists the active sessions, as administrators see them.
func sessionsOf(t *testing.T, d *demo, admin caller) []map[string]any {
	t.Helper()
	r := d.get("/api/user-sessions/active-users?limit=100", as(admin))
	require.Equal(t, 200, r.status, "%s", r)
	var list []map[string]any
	for _, item := range r.field("data").([]any) {
		if session := item.(map[string]any); session["current"] != true {
			list = append(list, session)
		}
	}
	return list
}

func TestSimulatedUsersComeFromManyPlacesAndDevices(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		args []string
		from string
	}{
		"directly":       {nil, "127.0.0.0/8"},
		"behind a proxy": {[]string{"-trusted-proxies", "127.0.0.0/8", "-store", pgtest.DSN(t)}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := startDemo(t, append(test.args, "-fast", "-simulate", "20")...)
			admin := d.signIn("admin")
			var list []map[string]any
			eventually(t, 30*time.Second, "fifteen have come", func() bool {
				list = sessionsOf(t, d, admin)
				return len(list) >= 15
			})
			types := map[string]bool{}
			addresses, agents, people := map[string]bool{}, map[string]bool{}, map[string]bool{}
			for _, session := range list {
				address := session["ipAddress"].(string)
				addresses[address] = true
				agents[session["userAgent"].(string)] = true
				types[session["deviceType"].(string)] = true
				email := session["user"].(map[string]any)["email"].(string)
				people[email] = true
				assert.Regexp(t, `^sim\d+@example\.com$`, email)
				assert.Equal(t, test.from != "", netip.MustParsePrefix("127.0.0.0/8").Contains(netip.MustParseAddr(address)), address)
			}
			assert.GreaterOrEqual(t, len(addresses), 15)
			assert.GreaterOrEqual(t, len(people), 12)
			assert.GreaterOrEqual(t, len(agents), 8)
			assert.True(t, types["desktop"] && types["mobile"], "%v", types)
		})
	}
}

// Somebody who was thrown out stays away, so that it can be seen.
func TestSimulatedUserIsThrownOut(t *testing.T) {
	t.Parallel()
	d := startDemo(t, "-fast", "-simulate", "3")
	admin := d.signIn("admin")
	var list []map[string]any
	eventually(t, 30*time.Second, "somebody has come", func() bool {
		list = sessionsOf(t, d, admin)
		return len(list) > 0
	})
	handle := list[0]["sessionId"].(string)
	require.Equal(t, 200, d.do("POST", "/api/user-sessions/force-logout/"+handle, "", as(admin)).status)
	for _, session := range sessionsOf(t, d, admin) {
		assert.NotEqual(t, handle, session["sessionId"])
	}
}

func TestSimulationIsTheSameInEachRun(t *testing.T) {
	t.Parallel()
	addresses := map[netip.Addr]bool{}
	devices := 0
	for n := range maxSimulated {
		for device := range devicesOf(n) {
			devices++
			source, claimed := sourceOf(n, device), claimedOf(n, device)
			assert.True(t, source.IsLoopback() && source.Is4())
			assert.NotEqual(t, netip.MustParseAddr("127.0.0.1"), source)
			assert.False(t, claimed.IsLoopback() || claimed.IsPrivate())
			addresses[source] = true
			assert.NotEmpty(t, agentOf(n, device).userAgent)
		}
	}
	assert.Len(t, addresses, devices, "each device has an address of its own")
	assert.Equal(t, newVisitor(nil, 7, 1).random.Uint64(), newVisitor(nil, 7, 1).random.Uint64())
}

func TestPeopleHaveNamesOfTheirOwn(t *testing.T) {
	t.Parallel()
	u := newUsers()
	ids, err := u.SearchUsers(t.Context(), "SIM12", 5)
	require.NoError(t, err)
	require.Len(t, ids, 5)
	found, err := u.Users(t.Context(), append(ids, "0", "nobody"))
	require.NoError(t, err)
	assert.Len(t, found, 5)
	assert.Equal(t, "sim12@example.com", found[ids[0]].Email)
	byName, err := u.SearchUsers(t.Context(), "anggraini", 10)
	require.NoError(t, err)
	assert.Equal(t, []string{"1"}, byName)
	none, err := u.SearchUsers(t.Context(), "  ", 10)
	require.NoError(t, err)
	assert.Empty(t, none)
	names := map[string]bool{}
	for n := range 1000 {
		names[personName(n)] = true
	}
	assert.Greater(t, len(names), 900)
	roles, err := u.Roles(t.Context(), "unknown")
	require.NoError(t, err)
	assert.Empty(t, roles)
}
