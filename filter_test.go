package sessiontrack

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestFilterTextComesBack: the text of a filter is the same filter, whatever is in it: a preview and
// the audit keep it so.
func TestFilterTextComesBack(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 11, 22, 8, 30, 0, 123_456_000, time.UTC)
	for _, f := range []Filter{
		{},
		{Users: []string{"a&b=c", "äö"}, Device: DeviceTV, Browser: "Chrome?", OS: "iOS", Country: "ID", Derived: true},
		{State: StateEnded, Reasons: []EndReason{"admin", "idle"}, Address: netip.MustParsePrefix("2001:db8::/48")},
		{Tenant: "a,b", Client: "web", ActedBy: "7", FreshBefore: at},
		{State: StateAny, LoginAfter: at, LoginBefore: at.Add(time.Microsecond), IdleFor: 90 * time.Minute, SeenWithin: time.Second},
	} {
		text := f.String()
		got, err := ParseFilter(text)
		require.NoError(t, err, text)
		assert.Equal(t, f, got, text)
		assert.Equal(t, text == "", f.IsZero())
	}
	for text, want := range map[string]string{
		"bogus=1": "bogus: this path", "state=active&reason=admin": "reason: it contradicts", "country=Indonesia": "country: want",
		"country=": "country: the value is empty",
	} {
		_, err := ParseFilter(text)
		require.ErrorIs(t, err, ErrInvalidArgument, text)
		assert.ErrorContains(t, err, want)
	}
}

func TestFilterRefusesWhatIsOutOfBounds(t *testing.T) {
	t.Parallel()
	at := time.UnixMicro(5)
	for field, f := range map[string]Filter{
		"Users":       {Users: []string{"a\x00"}},
		"State":       {State: "dead"},
		"Reasons is":  {Reasons: []EndReason{"admin"}},
		"Reasons:":    {State: StateEnded, Reasons: []EndReason{"Admin"}},
		"Browser":     {Browser: strings.Repeat("x", 256)},
		"Country":     {Country: "\xff"},
		"Address":     {Address: netip.MustParsePrefix("192.0.2.1/24")},
		"LoginBefore": {LoginAfter: at, LoginBefore: at},
		"IdleFor":     {IdleFor: -1},
		"SeenWithin":  {SeenWithin: -1},
	} {
		err := f.Check()
		require.ErrorIs(t, err, ErrInvalidArgument, field)
		assert.ErrorContains(t, err, field)
	}
	many := Filter{Users: make([]string, 101)}
	for i := range many.Users {
		many.Users[i] = "u"
	}
	assert.ErrorContains(t, many.Check(), "at most 100")
}
