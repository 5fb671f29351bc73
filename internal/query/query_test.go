package query

import (
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var table = []string{"text", "n", "d", "at", "tz", "flag", "word", "list", "ip"}

func TestParseRefusesWhatIsNotOneKnownValue(t *testing.T) {
	t.Parallel()
	for raw, detail := range map[string]string{
		"bogus=1":       "bogus: this path does not know the parameter.",
		"%3Cb%3E=1":     "A name that is not shown: this path does not know the parameter.",
		"=1":            "A name that is not shown: this path does not know the parameter.",
		"n=1&n=1":       "n: give it once.",
		"text=":         "text: the value is empty; leave the parameter out.",
		"text":          "text: the value is empty; leave the parameter out.",
		"n=%zz":         "The query is not of the form name=value&name=value.",
		"n=1;text=2":    "The query is not of the form name=value&name=value.",
		"bogus=1&n=&n=": "bogus: this path does not know the parameter.",
	} {
		_, err := Parse(raw, table)
		require.EqualError(t, err, detail, raw)
	}
	v, err := Parse("n=3&more=x", table, []string{"more"})
	require.NoError(t, err)
	assert.Equal(t, 3, v.Number("n", 3))
	assert.Equal(t, "x", v.Text("more", 9))
	assert.True(t, v.Has("more"))
	assert.NoError(t, v.Err())
}

func TestValuesNameWhatIsWrong(t *testing.T) {
	t.Parallel()
	even := func(s string) bool { return len(s)%2 == 0 && s != "" }
	for raw, c := range map[string]struct {
		read   func(v *Values) any
		want   any
		detail string
	}{
		"text=a%00b":       {func(v *Values) any { return v.Text("text", 9) }, "", "text: want at most 9 bytes of text without control characters."},
		"text=äö":          {func(v *Values) any { return v.Text("text", 4) }, "äö", ""},
		"n=4":              {func(v *Values) any { return v.Number("n", 3) }, 0, "n: want a whole number from 1 to 3."},
		"n=%2B3":           {func(v *Values) any { return v.Number("n", 3) }, 0, "n: want a whole number from 1 to 3."},
		"d=90s":            {func(v *Values) any { return v.Duration("d", 1, time.Hour, "w") }, 90 * time.Second, ""},
		"d=2h":             {func(v *Values) any { return v.Duration("d", 1, time.Hour, "w") }, time.Duration(0), "d: w."},
		"at=1969-01-01":    {func(v *Values) any { return v.Time("at") }, time.Time{}, "at: want a time such as 2026-11-22T00:00:00Z."},
		"tz=Local":         {func(v *Values) any { return v.Zone("tz") }, (*time.Location)(nil), "tz: want an IANA time zone such as Asia/Jakarta."},
		"flag=1":           {func(v *Values) any { return v.Flag("flag") }, false, "flag: want true or false."},
		"word=c":           {func(v *Values) any { return v.OneOf("word", "a", "b") }, "", "word: want one of a, b."},
		"list=aa,bb":       {func(v *Values) any { return v.List("list", 2, even, "w") }, []string{"aa", "bb"}, ""},
		"list=aa,bb,cc":    {func(v *Values) any { return v.List("list", 2, even, "w") }, []string(nil), "list: w."},
		"list=aa,,bb":      {func(v *Values) any { return v.List("list", 5, even, "w") }, []string(nil), "list: w."},
		"ip=192.0.2.1":     {func(v *Values) any { return v.Prefix("ip") }, netip.MustParsePrefix("192.0.2.1/32"), ""},
		"ip=2001:db8::/48": {func(v *Values) any { return v.Prefix("ip") }, netip.MustParsePrefix("2001:db8::/48"), ""},
		"flag=true&word=a": {func(v *Values) any { v.Exclude("flag", "word"); return 1 }, 1, "flag: it contradicts word; give one of them."},
		"n=9&d=x":          {func(v *Values) any { v.Number("n", 1); return v.Duration("d", 1, 2, "w") }, time.Duration(0), "n: want a whole number from 1 to 1."},
		"at=2026-01-01T00:00:00%2B07:00": {func(v *Values) any { return v.Time("at") },
			time.Date(2025, 12, 31, 17, 0, 0, 0, time.UTC), ""},
	} {
		v, err := Parse(raw, table)
		require.NoError(t, err, raw)
		assert.Equal(t, c.want, c.read(v), raw)
		if c.detail == "" {
			assert.NoError(t, v.Err(), raw)
		} else {
			assert.EqualError(t, v.Err(), c.detail, raw)
		}
	}
	for _, raw := range []string{"ip=fe80::1%25eth0", "ip=192.0.2.1/24", "ip=x", "ip=1.2.3.4/33"} {
		v, err := Parse(raw, table)
		require.NoError(t, err)
		assert.False(t, v.Prefix("ip").IsValid(), raw)
		assert.Error(t, v.Err(), raw)
	}
}
