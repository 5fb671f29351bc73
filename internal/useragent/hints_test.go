package useragent

import (
	"net/http"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
)

func TestDeviceHints(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 10_000)
	for name, tt := range map[string]struct {
		headers http.Header
		want    string
	}{
		"none": {headers(chromeOnMac), ""},
		"all": {
			headers("", "Sec-CH-UA", `"Google Chrome";v="131", ")Not;A=Brand";v="8", "Chromium";v="131"`, "Sec-CH-UA-Mobile", "?1", "Sec-CH-UA-Platform", `"Android"`,
				"Sec-CH-UA-Platform-Version", `"14.0.0"`, "Sec-CH-UA-Model", `"SM-S911B"`, "Sec-CH-UA-Form-Factors", `"Mobile", "Tablet"`, "X-Max-Touch-Points", "5"),
			"b=Google Chrome/131,Chromium/131|m=1|p=Android|v=14.0.0|d=SM-S911B|f=Mobile, Tablet|t=5",
		},
		"without quotes":       {headers("", "Sec-CH-UA-Platform", "Windows", "Sec-CH-UA-Mobile", "0"), "m=0|p=Windows"},
		"empty":                {headers("", "Sec-CH-UA", "", "Sec-CH-UA-Model", `""`, "Sec-CH-UA-Mobile", "?2", "X-Max-Touch-Points", "-1"), ""},
		"not a number":         {headers("", "X-Max-Touch-Points", "5; DROP"), ""},
		"many touch points":    {headers("", "X-Max-Touch-Points", "99999"), "t=255"},
		"several lines":        {headers("", "Sec-CH-UA", `"Chromium";v="131"`, "Sec-CH-UA", `"Brave";v="131"`), "b=Chromium/131,Brave/131"},
		"separators":           {headers("", "Sec-CH-UA-Model", `"a|t=5"`), "d=at=5"},
		"control and format":   {headers("", "Sec-CH-UA-Model", "\"a\x00\u202eb\xff\""), "d=ab"},
		"long":                 {headers("", "Sec-CH-UA-Model", long), "d=" + long[:96]},
		"brands with a comma":  {headers("", "Sec-CH-UA", `"A, B";v="1"`), "b=A B/1"},
		"brands without quote": {headers("", "Sec-CH-UA", `Google Chrome";v="111", "Chromium`), "b=Google Chrome/111, Chromium"},
	} {
		assert.Equal(t, tt.want, Hints(tt.headers), name)
	}
}

func FuzzDeviceHints(f *testing.F) {
	f.Add(`"Google Chrome";v="131"`, "?1", `"Android"`, `"14"`, `"SM"`, `"Tablet"`, "5")
	f.Add(strings.Repeat(`"a";v="1",`, 900), "?", "|", "=", "\x00", "\u202e", "1e9")
	f.Add(`"|t=5"`, "1", "t=5", strings.Repeat("é", 900), strings.Repeat("|", 900), "XR", "255")
	f.Fuzz(func(t *testing.T, brands, mobile, platform, version, model, factors, touch string) {
		h := http.Header{}
		for i, value := range []string{brands, mobile, platform, version, model, factors, touch} {
			h.Set(hintFields[i].header, value)
		}
		hints := Hints(h)
		assert.LessOrEqual(t, len(hints), 512)
		assert.True(t, utf8.ValidString(hints))
		assert.False(t, strings.ContainsFunc(hints, func(r rune) bool { return unicode.Is(unicode.Cc, r) || unicode.Is(unicode.Cf, r) }))
		for i, field := range hintFields {
			alone := http.Header{}
			alone.Set(field.header, h.Get(field.header))
			want, _ := hintOf(Hints(alone), field.key)
			got, _ := hintOf(hints, field.key)
			assert.Equal(t, want, got, "header %d does not reach another", i)
		}
	})
}

func TestAcceptedHints(t *testing.T) {
	t.Parallel()
	for _, field := range hintFields {
		if field.header != touchPointsHeader {
			assert.Contains(t, AcceptedHints, field.header)
		}
	}
}
