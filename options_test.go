package sessiontrack

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestOptionsRefused(t *testing.T) {
	t.Parallel()
	for field, o := range map[string]Options{
		"FlushInterval":   {FlushInterval: 3 * time.Minute},
		"PresenceStep":    {PresenceStep: time.Hour},
		"TouchInterval":   {TouchInterval: time.Hour},
		"IdleTimeout":     {IdleTimeout: 10 * time.Second},
		"Lifetime":        {Lifetime: time.Second},
		"MaxStaleness":    {MaxStaleness: time.Millisecond},
		"StoreTimeout":    {StoreTimeout: time.Minute},
		"Online":          {Online: time.Minute},
		"RecentlyActive":  {RecentlyActive: 25 * time.Hour},
		"KeepEnded":       {KeepEnded: time.Hour},
		"TimeZone":        {TimeZone: "Mars/Olympus"},
		"MaxSessions":     {MaxSessions: -1},
		"LimitPolicy":     {LimitPolicy: 7},
		"TrustedOrigins":  {TrustedOrigins: []string{"example.com"}},
		"Header":          {Header: "Authorization"},
		"Cookie.Name":     {Cookie: &CookieOptions{Name: "sid"}},
		"Cookie.SameSite": {Cookie: &CookieOptions{SameSite: 4}},
		"AddressMode":     {AddressMode: 9},
		"UserAgentMode":   {UserAgentMode: 9},
		"SampleInterval":  {SampleInterval: time.Hour},
		"Retention":       {Retention: time.Second},
	} {
		_, err := New(NewMemoryStore(), &o)
		require.Error(t, err, field)
		assert.ErrorContains(t, err, field)
	}
	_, err := New(nil, nil)
	require.Error(t, err)
}
