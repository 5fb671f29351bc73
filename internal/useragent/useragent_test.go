package useragent

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const (
	chromeOnWindows = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36"
	chromeOnMac     = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36"
	chromeFrozen    = "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Mobile Safari/537.36"
	chromeOnGalaxy  = "Mozilla/5.0 (Linux; Android 14; SM-S911B) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.6778.39 Mobile Safari/537.36"
	safariOnMac     = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.5 Safari/605.1.15"
	safariOniOS26   = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_7 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/26.1 Mobile/15E148 Safari/604.1"
	safariOniPhone  = "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.5 Mobile/15E148 Safari/604.1"
	googlebot       = "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)"
)

// headers makes request headers of a user agent and pairs of names and values.
func headers(userAgent string, pairs ...string) http.Header {
	h := http.Header{}
	if userAgent != "" {
		h.Set("User-Agent", userAgent)
	}
	for i := 0; i < len(pairs); i += 2 {
		h.Add(pairs[i], pairs[i+1])
	}
	return h
}

var embedded Classifier

func classify(h http.Header) Result { return embedded.Describe(Clean(h.Get("User-Agent")), Hints(h)) }

func TestDescribe(t *testing.T) {
	t.Parallel()
	brands := `"Google Chrome";v="131", "Chromium";v="131", "Not_A Brand";v="24"`
	for name, tt := range map[string]struct {
		headers http.Header
		want    Result
		label   string
		family  string
	}{
		"nothing": {http.Header{}, Result{Type: Unknown, Source: SourceUserAgent}, "Unknown device", "Unknown device"},
		"Windows that may be 10 or 11": {
			headers(chromeOnWindows),
			Result{Type: Desktop, Browser: "Chrome", BrowserVersion: "131", OS: "Windows", Source: SourceUserAgent},
			"Chrome 131 on Windows", "Chrome on Windows",
		},
		"Windows 11 by its hint": {
			headers(chromeOnWindows, "Sec-CH-UA-Platform", `"Windows"`, "Sec-CH-UA-Platform-Version", `"15.0.0"`),
			Result{Type: Desktop, Browser: "Chrome", BrowserVersion: "131", OS: "Windows", OSVersion: "11", Source: SourceClientHints},
			"Chrome 131 on Windows 11", "Chrome on Windows",
		},
		"Windows 10 by its hint": {
			headers(chromeOnWindows, "Sec-CH-UA-Platform", `"Windows"`, "Sec-CH-UA-Platform-Version", `"10.0.0"`),
			Result{Type: Desktop, Browser: "Chrome", BrowserVersion: "131", OS: "Windows", OSVersion: "10", Source: SourceClientHints},
			"Chrome 131 on Windows 10", "Chrome on Windows",
		},
		"Windows 7 by its agent, whatever the hint": {
			headers(strings.Replace(chromeOnWindows, "10.0", "6.1", 1), "Sec-CH-UA-Platform", `"Windows"`, "Sec-CH-UA-Platform-Version", `"0.1.0"`),
			Result{Type: Desktop, Browser: "Chrome", BrowserVersion: "131", OS: "Windows", OSVersion: "7", Source: SourceUserAgent},
			"Chrome 131 on Windows 7", "Chrome on Windows",
		},
		"a frozen Mac": {
			headers(chromeOnMac),
			Result{Type: Desktop, Browser: "Chrome", BrowserVersion: "131", OS: "Mac OS X", Brand: "Apple", Model: "Mac", Source: SourceUserAgent},
			"Chrome 131 on macOS", "Chrome on macOS",
		},
		"a Mac by its hints": {
			headers(chromeOnMac, "Sec-CH-UA", brands, "Sec-CH-UA-Platform", `"macOS"`, "Sec-CH-UA-Platform-Version", `"14.5.0"`),
			Result{Type: Desktop, Browser: "Chrome", BrowserVersion: "131", OS: "Mac OS X", OSVersion: "14.5", Brand: "Apple", Model: "Mac", Source: SourceClientHints},
			"Chrome 131 on macOS 14", "Chrome on macOS",
		},
		"an old Mac": {
			headers("Mozilla/5.0 (Macintosh; Intel Mac OS X 10_14_6) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/80.0.3987.132 Safari/537.36"),
			Result{Type: Desktop, Browser: "Chrome", BrowserVersion: "80.0.3987", OS: "Mac OS X", OSVersion: "10.14.6", Brand: "Apple", Model: "Mac", Source: SourceUserAgent},
			"Chrome 80 on macOS 10.14", "Chrome on macOS",
		},
		"a Mac, or an iPad in desktop mode": {
			headers(safariOnMac),
			Result{Type: Desktop, Browser: "Safari", BrowserVersion: "17.5", OS: "Mac OS X", Brand: "Apple", Model: "Mac", Source: SourceUserAgent, Ambiguous: true},
			"Safari 17 on macOS", "Safari on macOS",
		},
		"an iPad in desktop mode": {
			headers(safariOnMac, "X-Max-Touch-Points", "5"),
			Result{Type: Tablet, Browser: "Mobile Safari", BrowserVersion: "17.5", OS: "iOS", Brand: "Apple", Model: "iPad", Source: SourceClientHints},
			"Safari 17 on iPadOS (iPad)", "Safari on iPadOS (iPad)",
		},
		"a Mac for certain": {
			headers(safariOnMac, "X-Max-Touch-Points", "0"),
			Result{Type: Desktop, Browser: "Safari", BrowserVersion: "17.5", OS: "Mac OS X", Brand: "Apple", Model: "Mac", Source: SourceClientHints},
			"Safari 17 on macOS", "Safari on macOS",
		},
		"touch points of a phone say nothing new": {
			headers(safariOniPhone, "X-Max-Touch-Points", "5"),
			Result{Type: Mobile, Browser: "Mobile Safari", BrowserVersion: "17.5", OS: "iOS", OSVersion: "17.5", Brand: "Apple", Model: "iPhone", Source: SourceUserAgent},
			"Safari 17 on iOS 17 (iPhone)", "Safari on iOS (iPhone)",
		},
		"iOS 26 says 18.7": {
			headers(safariOniOS26),
			Result{Type: Mobile, Browser: "Mobile Safari", BrowserVersion: "26.1", OS: "iOS", OSVersion: "26.1", Brand: "Apple", Model: "iPhone", Source: SourceUserAgent},
			"Safari 26 on iOS 26 (iPhone)", "Safari on iOS (iPhone)",
		},
		"a frozen Android": {
			headers(chromeFrozen),
			Result{Type: Mobile, Browser: "Chrome Mobile", BrowserVersion: "131", OS: "Android", Source: SourceUserAgent},
			"Chrome 131 on Android", "Chrome on Android",
		},
		"a frozen Android by its hints": {
			headers(chromeFrozen, "Sec-CH-UA", brands, "Sec-CH-UA-Mobile", "?1", "Sec-CH-UA-Platform", `"Android"`, "Sec-CH-UA-Platform-Version", `"14.0.0"`, "Sec-CH-UA-Model", `"SM-S911B"`),
			Result{Type: Mobile, Browser: "Chrome Mobile", BrowserVersion: "131", OS: "Android", OSVersion: "14", Brand: "Samsung", Model: "SM-S911B", Source: SourceClientHints},
			"Chrome 131 on Android 14 (Samsung Galaxy S23)", "Chrome on Android (Samsung Galaxy S23)",
		},
		"an Android phone of before": {
			headers(chromeOnGalaxy),
			Result{Type: Mobile, Browser: "Chrome Mobile", BrowserVersion: "131.0.6778", OS: "Android", OSVersion: "14", Brand: "Samsung", Model: "SM-S911B", Source: SourceUserAgent},
			"Chrome 131 on Android 14 (Samsung Galaxy S23)", "Chrome on Android (Samsung Galaxy S23)",
		},
		"a tablet whose form factor says desktop": {
			headers(strings.Replace(chromeFrozen, "Mobile ", "", 1), "Sec-CH-UA-Mobile", "?0", "Sec-CH-UA-Platform", `"Android"`, "Sec-CH-UA-Form-Factors", `"Desktop"`),
			Result{Type: Tablet, Browser: "Chrome", BrowserVersion: "131", OS: "Android", Source: SourceUserAgent},
			"Chrome 131 on Android", "Chrome on Android",
		},
		"?0 does not change an iPhone": {
			headers(safariOniPhone, "Sec-CH-UA-Mobile", "?0"),
			Result{Type: Mobile, Browser: "Mobile Safari", BrowserVersion: "17.5", OS: "iOS", OSVersion: "17.5", Brand: "Apple", Model: "iPhone", Source: SourceUserAgent},
			"Safari 17 on iOS 17 (iPhone)", "Safari on iOS (iPhone)",
		},
		"Brave poses as Chrome": {
			headers(chromeOnWindows, "Sec-CH-UA", `"Brave";v="131", "Chromium";v="131", "Not_A Brand";v="24"`),
			Result{Type: Desktop, Browser: "Brave", BrowserVersion: "131", OS: "Windows", Source: SourceClientHints},
			"Brave 131 on Windows", "Brave on Windows",
		},
		"a crawler": {
			headers(googlebot),
			Result{Type: Bot, Browser: "Googlebot", BrowserVersion: "2.1", Source: SourceUserAgent},
			"Googlebot 2", "Googlebot",
		},
		"hints do not change a crawler": {
			headers(googlebot, "Sec-CH-UA-Mobile", "?1", "Sec-CH-UA-Model", `"SM-S911B"`, "X-Max-Touch-Points", "5"),
			Result{Type: Bot, Browser: "Googlebot", BrowserVersion: "2.1", Source: SourceUserAgent},
			"Googlebot 2", "Googlebot",
		},
		"a command line": {
			headers("curl/8.5.0"),
			Result{Type: Bot, Browser: "curl", BrowserVersion: "8.5.0", Source: SourceUserAgent},
			"curl 8 (automated)", "curl (automated)",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := classify(tt.headers)
			assert.Equal(t, tt.want, got)
			assert.Equal(t, tt.label, got.Label())
			assert.Equal(t, tt.family, got.Family())
			agent, hints := Clean(tt.headers.Get("User-Agent")), Hints(tt.headers)
			assert.Equal(t, tt.want.Type, Type(agent, hints), "the type at once is the type for good")
		})
	}
}

func TestDeviceNames(t *testing.T) {
	t.Parallel()
	for agent, want := range map[string]string{
		"Go-http-client/2.0":       "Go-http-client",
		"python-requests/2.31.0":   "Python Requests",
		"Wget/1.21.4":              "Wget",
		"PostmanRuntime/7.36.1":    "PostmanRuntime",
		"okhttp/4.12.0":            "okhttp",
		"fetchit/1.2 (contact us)": "fetchit",
		"Mozilla/5.0 (compatible; NobodyKnowsBot/3.1; +a@b.com)": "NobodyKnowsBot",
	} {
		d := classify(headers(agent))
		assert.Equal(t, Bot, d.Type, agent)
		assert.Equal(t, want, d.Browser, agent)
	}
}

func TestDeviceLabel(t *testing.T) {
	t.Parallel()
	for want, d := range map[string]Result{
		"Chrome 131 on Android 14 (Samsung Galaxy S23)": {Browser: "Chrome Mobile", BrowserVersion: "131.0.0", OS: "Android", OSVersion: "14", Brand: "Samsung", Model: "Galaxy S23"},
		"Firefox 128 on Windows 8.1":                    {Browser: "Firefox", BrowserVersion: "128.0", OS: "Windows", OSVersion: "8.1"},
		"Nokia 7.2":                                     {Type: Mobile, Brand: "Nokia", Model: "Nokia 7.2"},
		"Sony":                                          {Type: Mobile, Brand: "Sony"},
		"Android 9 (Sony X)":                            {Type: Mobile, OS: "Android", OSVersion: "9", Brand: "Sony", Model: "X"},
		"Game console":                                  {Type: Console},
		"Unknown device":                                {},
	} {
		assert.Equal(t, want, d.Label())
	}
}

func TestDeviceFamilySurvivesUpdates(t *testing.T) {
	t.Parallel()
	for _, agent := range []string{chromeOnWindows, chromeOnMac, chromeFrozen, chromeOnGalaxy, safariOniPhone} {
		before := classify(headers(agent)).Family()
		for _, update := range []*strings.Replacer{
			strings.NewReplacer("Chrome/131", "Chrome/132", "Version/17.5", "Version/18.0", "OS 17_5", "OS 18_0"),
			strings.NewReplacer("Chrome/131.0.0.0", "Chrome/140.1.2.3", "Android 14", "Android 15", "OS 17_5", "OS 17_6_1"),
			strings.NewReplacer("Chrome/131", "Version/4.0 Chrome/131"),
		} {
			assert.Equal(t, before, classify(headers(update.Replace(agent))).Family(), agent)
		}
	}
}

func TestCleanUserAgent(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct{ in, want string }{
		"empty":                {"", ""},
		"plain":                {"curl/8.5.0", "curl/8.5.0"},
		"control":              {"a\x00b\tc\r\nd\x1b[0m\x7f", "abcd[0m"},
		"C1":                   {"a\u0085b", "ab"},
		"format":               {"a\u202eb\u200bc\ufeffd\U000e0041", "abcd"},
		"invalid":              {"a\xffb\xc3", "ab"},
		"replacement":          {"a\ufffdb", "ab"},
		"scripts":              {"Браузер 浏览器", "Браузер 浏览器"},
		"cut":                  {strings.Repeat("a", 600), strings.Repeat("a", 512)},
		"cut at a rune":        {strings.Repeat("a", 511) + "é", strings.Repeat("a", 511)},
		"cut at a long rune":   {strings.Repeat("a", 509) + "😀", strings.Repeat("a", 509)},
		"cut before the check": {strings.Repeat("a", 512) + "\x00", strings.Repeat("a", 512)},
	} {
		assert.Equal(t, tt.want, Clean(tt.in), name)
	}
}

func TestCleanReadsNoFurtherThanItsLimit(t *testing.T) {
	long := strings.Repeat("\u202e", 300<<10)
	short := long[:600]
	ratio := float64(testing.Benchmark(func(b *testing.B) {
		for b.Loop() {
			Clean(long)
		}
	}).NsPerOp()) / float64(testing.Benchmark(func(b *testing.B) {
		for b.Loop() {
			Clean(short)
		}
	}).NsPerOp())
	assert.Less(t, ratio, 20.0, "900 KB cost as much as 600 B, but for the noise of measuring")
}

func FuzzCleanUserAgent(f *testing.F) {
	for _, seed := range []string{"", chromeOnMac, "a\x00\u202e\xff", strings.Repeat("é", 300), strings.Repeat("\xf0\x9f", 400)} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got := Clean(s)
		assert.LessOrEqual(t, len(got), maxAgentBytes)
		assert.True(t, utf8.ValidString(got))
		assert.NotContains(t, got, "\ufffd")
		assert.False(t, strings.ContainsFunc(got, func(r rune) bool { return unicode.Is(unicode.Cc, r) || unicode.Is(unicode.Cf, r) }))
		assert.Equal(t, got, Clean(got), "cleaning twice changes nothing")
	})
}

func TestClassifierIsSafe(t *testing.T) {
	t.Parallel()
	c, err := New(nil)
	require.NoError(t, err)
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			for k := range 40 {
				agent := fmt.Sprintf("Mozilla/5.0 (Linux; Android %d; SM-S911B) AppleWebKit/537.36 Chrome/%d.0.0.0 Mobile Safari/537.36", 5+k%8, 90+i)
				assert.Equal(t, fmt.Sprint(90+i), c.Describe(agent, "").BrowserVersion)
			}
		})
	}
	all.Go(func() { assert.NoError(t, c.Reload(nil)) })
	all.Wait()
}

func TestClassifierDefinitions(t *testing.T) {
	t.Parallel()
	own := []byte("user_agent_parsers:\n  - regex: '(Ours)/(\\d+)'\nos_parsers:\n  - regex: '(Windows)'\ndevice_parsers:\n  - regex: '(Thing)'\n    brand_replacement: 'Us'\n")
	c, err := New(own)
	require.NoError(t, err)
	agent := "Mozilla/5.0 (Windows NT 10.0) AppleWebKit/537.36 Ours/7 Thing"
	assert.Equal(t, "Ours 7 on Windows (Us Thing)", c.Describe(agent, "").Label())
	for name, bad := range map[string]string{
		"no YAML": "\t:", "no lists": "{}", "no expression": strings.Replace(string(own), "(Ours)/", "(Ours/", 1), "a look-ahead": strings.Replace(string(own), "(Ours)", "(?=Ours)", 1),
	} {
		require.Error(t, c.Reload([]byte(bad)), name)
		_, err := New([]byte(bad))
		require.Error(t, err, name)
	}
	assert.Equal(t, "Ours 7 on Windows (Us Thing)", c.Describe(agent, "").Label(), "bad definitions leave the former in place")
	require.NoError(t, c.Reload(nil))
	assert.NotEqual(t, "Ours", c.Describe(agent, "").Browser, "nothing cached of the former")
}

func TestDeviceCacheIsBounded(t *testing.T) {
	t.Parallel()
	var c cache
	hot := cacheKey{"hot", ""}
	c.put(hot, Result{Model: "hot"})
	for i := range 3 * maxCached {
		c.put(cacheKey{fmt.Sprint(i), ""}, Result{})
		assert.LessOrEqual(t, len(c.young)+len(c.elder), maxCached)
		d, ok := c.get(hot)
		require.True(t, ok, "what is asked for stays")
		assert.Equal(t, "hot", d.Model)
	}
	_, ok := c.get(cacheKey{"0", ""})
	assert.False(t, ok, "what is not asked for goes")
}

func TestDeviceAllocations(t *testing.T) {
	c, err := New(nil)
	require.NoError(t, err)
	hints := Hints(headers("", "Sec-CH-UA-Mobile", "?1", "Sec-CH-UA-Model", `"SM-S911B"`, "X-Max-Touch-Points", "5"))
	c.Describe(chromeFrozen, hints)
	assert.Zero(t, testing.AllocsPerRun(100, func() { c.Describe(chromeFrozen, hints) }), "a cached description")
	assert.Zero(t, testing.AllocsPerRun(100, func() { Type(chromeFrozen, hints) }), "the type at once")
	assert.Zero(t, testing.AllocsPerRun(100, func() { Clean(chromeFrozen) }), "a clean agent")
}

func BenchmarkDeviceType(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		Type(chromeOnGalaxy, "")
	}
}

func BenchmarkDescribe(b *testing.B) {
	c, _ := New(nil)
	e := c.ready()
	for name, f := range map[string]func(){
		"cached": func() { c.Describe(chromeOnGalaxy, "") },
		"anew":   func() { e.families.describe(chromeOnGalaxy, "") },
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				f()
			}
		})
	}
}
