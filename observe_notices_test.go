package sessiontrack

import (
	"bytes"
	"log/slog"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// logged makes a Tracker whose log can be read.
func logged(t *testing.T, o *Options) (*Tracker, *bytes.Buffer) {
	t.Helper()
	logs := &bytes.Buffer{}
	o.Logger = slog.New(slog.NewTextHandler(&lockedWriter{w: logs}, nil))
	tracker, err := New(NewMemoryStore(), o)
	require.NoError(t, err)
	return tracker, logs
}

// TestNoticeOfAProxyThatNobodyTrusts: one line, and none where a proxy is named or there is
// none.
func TestNoticeOfAProxyThatNobodyTrusts(t *testing.T) {
	t.Parallel()
	named := netip.MustParsePrefix("10.0.0.0/8")
	tests := []struct {
		name     string
		clientIP ClientIP
		header   string
		want     int
	}{
		{"the default", nil, "X-Forwarded-For", 1},
		{"by Forwarded", RemoteAddr(), "Forwarded", 1},
		{"by X-Real-IP", TrustedProxies(), "X-Real-IP", 1},
		{"no proxy", nil, "", 0},
		{"proxies are named", TrustedProxies(named), "X-Forwarded-For", 0},
		{"a header is named", TrustedHeader("X-Real-IP", named), "X-Real-IP", 0},
		{"proxies are counted", TrustedHops(1), "X-Forwarded-For", 0},
		{"the application's own", ClientIPFunc(RemoteAddr().ClientAddress), "X-Forwarded-For", 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			tracker, logs := logged(t, &Options{ClientIP: tt.clientIP})
			for range 3 {
				r := httptest.NewRequest("POST", "/login", nil)
				if tt.header != "" {
					r.Header.Set(tt.header, "203.0.113.7")
				}
				_, _, err := tracker.Login(httptest.NewRecorder(), r, "7")
				require.NoError(t, err)
			}
			assert.Equal(t, tt.want, strings.Count(logs.String(), "trusts nobody"), logs)
			assert.Equal(t, tt.want, strings.Count(logs.String(), "TrustedProxies"), logs)
		})
	}
}

// TestNoticeOfASecureCookieOverPlainHTTP: one line that names the option, and none where TLS
// ends in front.
func TestNoticeOfASecureCookieOverPlainHTTP(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		cookie *CookieOptions
		target string
		header []string
		want   int
	}{
		{"plain", &CookieOptions{}, "http://app.example/login", nil, 1},
		{"a page over plain HTTP", &CookieOptions{}, "http://app.example/login", []string{"Origin", "http://app.example"}, 1},
		{"a proxy without TLS", &CookieOptions{}, "http://app.example/login", []string{"X-Forwarded-Proto", "http"}, 1},
		{"TLS", &CookieOptions{}, "https://app.example/login", nil, 0},
		{"a page over TLS", &CookieOptions{}, "http://app.example/login", []string{"Origin", "https://app.example"}, 0},
		{"a proxy that says so", &CookieOptions{}, "http://app.example/login", []string{"X-Forwarded-Proto", "HTTPS"}, 0},
		{"by Forwarded", &CookieOptions{}, "http://app.example/login", []string{"Forwarded", "for=10.0.0.1;proto=https"}, 0},
		{"insecure by choice", &CookieOptions{InsecureHTTP: true}, "http://app.example/login", nil, 0},
		{"no cookie", nil, "http://app.example/login", nil, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			tracker, logs := logged(t, &Options{Cookie: tt.cookie})
			for range 3 {
				r := httptest.NewRequest("POST", tt.target, nil)
				if tt.header != nil {
					r.Header.Set(tt.header[0], tt.header[1])
				}
				_, _, err := tracker.Login(httptest.NewRecorder(), r, "7")
				require.NoError(t, err)
			}
			assert.Equal(t, tt.want, strings.Count(logs.String(), "InsecureHTTP"), logs)
		})
	}
}

// TestNoticeOfAnotherSite: the line names the origin and the option, once a minute, whatever
// the request is refused by.
func TestNoticeOfAnotherSite(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		tracker, logs := logged(t, &Options{Cookie: &CookieOptions{InsecureHTTP: true}})
		w := httptest.NewRecorder()
		_, _, err := tracker.Login(w, httptest.NewRequest("POST", "/login", nil), "7")
		require.NoError(t, err)
		online := tracker.UserHandler(nil)
		ask := func(method, path string, headers ...string) int {
			r := httptest.NewRequest(method, path, nil)
			r.AddCookie(w.Result().Cookies()[0])
			r.Header.Set("Origin", "https://evil.example\n")
			for i := 0; i+1 < len(headers); i += 2 {
				r.Header.Set(headers[i], headers[i+1])
			}
			answer := httptest.NewRecorder()
			tracker.Middleware(online).ServeHTTP(answer, r)
			return answer.Code
		}
		for range 100 {
			require.Equal(t, 403, ask("POST", onlinePath+"sessions/end-others"))
		}
		assert.Equal(t, 1, strings.Count(logs.String(), "\n"), logs)
		assert.Contains(t, logs.String(), "https://evil.example")
		assert.Contains(t, logs.String(), "option=Options.TrustedOrigins ")
		logs.Reset()
		time.Sleep(time.Minute + time.Second)
		for range 100 {
			require.Equal(t, 403, ask("GET", onlinePath+"events", "Upgrade", "websocket"))
		}
		assert.Equal(t, 1, strings.Count(logs.String(), "\n"), logs)
		assert.Contains(t, logs.String(), `option="Options.TrustedOrigins or UserOptions.Origins"`)
	})
}
