package browsertest

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/page"
	"github.com/stretchr/testify/require"

	"github.com/sessiontrack/sessiontrack"
	"github.com/sessiontrack/sessiontrack/dashboard"
)

// hostile are strings that have run as script somewhere, or turned a page around.
var hostile = []string{
	`<script>alert(1)</script>`,
	`</script><script>alert(2)</script>`,
	`<img src=x onerror=alert(3)>`,
	`<svg onload=alert(4)>`,
	`<svg><script>alert(5)</script></svg>`,
	`<svg><animate onbegin=alert(6) attributeName=x dur=1s>`,
	`"><img src=x onerror=alert(7)>`,
	`' onmouseover='alert(8)`,
	`" autofocus onfocus="alert(9)`,
	`<iframe srcdoc="<script>alert(10)</script>">`,
	`<iframe src=javascript:alert(11)>`,
	`<body onload=alert(12)>`,
	`<details open ontoggle=alert(13)>`,
	`<video><source onerror=alert(14)>`,
	`<math><mtext></form><form><mglyph><style></math><img src onerror=alert(15)>`,
	`<a href="javascript:alert(16)">x</a>`,
	`javascript:alert(17)`,
	`data:text/html,<script>alert(18)</script>`,
	`<base href="//evil.example/">`,
	`<meta http-equiv="refresh" content="0;url=//evil.example">`,
	`<link rel=stylesheet href=//evil.example/x.css>`,
	`<style>@import '//evil.example/x.css';</style>`,
	`<form action=//evil.example><input name=q autofocus></form>`,
	`<object data=//evil.example/x.swf>`,
	`<template><script>alert(25)</script></template>`,
	`<noscript><p title="</noscript><img src=x onerror=alert(26)>">`,
	`<!--><img src=x onerror=alert(27)-->`,
	`<![CDATA[<img src=x onerror=alert(28)>]]>`,
	`&lt;script&gt;alert(29)&lt;/script&gt;`,
	`&#60;img src=x onerror=alert(30)&#62;`,
	`{{constructor.constructor('alert(31)')()}}`,
	`${alert(32)}`,
	`<%= alert(33) %>`,
	`__proto__`,
	`constructor`,
	"line\u2028separator\u2029alert(36)",
	"\u202Egnp.evil\u202C right to left",
	"\u2066isolate\u2069 \u200Bzero\u200Dwidth \uFEFFmark",
	`{name} {n} {zone}`,
	`%3Cscript%3Ealert(40)%3C/script%3E/../../#/people`,
}

// hostileApp is an application of the library's own handlers whose directory and
// locator answer with such strings, and whose visitors send them.
type hostileApp struct{}

func (hostileApp) Users(_ context.Context, ids []string) (map[string]sessiontrack.UserInfo, error) {
	out := map[string]sessiontrack.UserInfo{}
	for _, id := range ids {
		var i int
		if _, err := fmt.Sscanf(id, "h%d-", &i); err == nil {
			text := hostile[i]
			out[id] = sessiontrack.UserInfo{ID: id, Email: text, FullName: text, Username: text, DisplayName: text, AvatarURL: text}
		}
	}
	return out, nil
}

func (hostileApp) Locate(_ context.Context, address netip.Addr) (sessiontrack.Location, error) {
	text := hostile[int(address.As4()[3])%len(hostile)]
	return sessiontrack.Location{CountryCode: text, Country: text, Region: text, City: text}, nil
}

func startHostile(t *testing.T) (*httptest.Server, *sessiontrack.Tracker) {
	t.Helper()
	tracker, err := sessiontrack.New(sessiontrack.NewMemoryStore(), &sessiontrack.Options{
		Cookie:    &sessiontrack.CookieOptions{},
		Directory: hostileApp{},
		Locator:   hostileApp{},
		ClientIP:  sessiontrack.TrustedProxies(netip.MustParsePrefix("127.0.0.0/8")),
		Roles: func(_ context.Context, userID string) ([]string, error) {
			return map[string][]string{"admin": {"admin"}}[userID], nil
		},
	})
	require.NoError(t, err)
	require.NoError(t, tracker.Start(t.Context()))
	mux := http.NewServeMux()
	mux.Handle("/api/user-sessions/", tracker.AdminHandler(nil))
	mux.Handle("/api/v1/online/", tracker.UserHandler(nil))
	mux.Handle("/dashboard/", dashboard.Handler(nil))
	mux.HandleFunc("GET /enter", func(w http.ResponseWriter, r *http.Request) {
		_, _, err := tracker.Login(w, r, r.URL.Query().Get("user"))
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
		}
	})
	server := httptest.NewServer(tracker.Middleware(mux))
	t.Cleanup(func() {
		server.CloseClientConnections()
		server.Close()
		require.NoError(t, tracker.Shutdown(context.Background()))
	})
	return server, tracker
}

// enterHostile signs somebody in whose id, agent, address and name are hostile.
func enterHostile(t *testing.T, server *httptest.Server, i int) {
	t.Helper()
	r, err := http.NewRequest(http.MethodGet, server.URL+"/enter", nil)
	require.NoError(t, err)
	query := r.URL.Query()
	query.Set("user", fmt.Sprintf("h%d-%s", i, strings.Map(printable, hostile[i])))
	r.URL.RawQuery = query.Encode()
	r.Header.Set("User-Agent", strings.Map(printable, hostile[i])+" Chrome/141.0.0.0")
	r.Header.Set("X-Forwarded-For", fmt.Sprintf("192.0.2.%d", i))
	answer, err := http.DefaultClient.Do(r)
	require.NoError(t, err)
	require.NoError(t, answer.Body.Close())
	require.Equal(t, http.StatusOK, answer.StatusCode, hostile[i])
}

func printable(c rune) rune {
	if c == '\u2028' || c == '\u2029' || c == '\u202E' || c == '\u202C' || c > 0xFFF {
		return '?'
	}
	return c
}

// Names, agents, places and ids are only ever text (docs/checks.md S24): with the page's
// policy, and without it.
func TestHostileStringsAreText(t *testing.T) {
	t.Parallel()
	require.Len(t, hostile, 40)
	for _, bypass := range []bool{false, true} {
		t.Run(fmt.Sprintf("policy bypassed %v", bypass), func(t *testing.T) {
			t.Parallel()
			server, _ := startHostile(t)
			p := newTab(t, 1360, 4000, scheme("light"), with(page.SetBypassCSP, page.SetBypassCSPParams{Enabled: bypass}))
			p.open(server.URL+"/enter?user=admin", "") // the host's own sign-in, with its cookie
			p.open(server.URL+"/dashboard/", "")
			p.says("#connection-text", "Live")
			for i := range 20 {
				enterHostile(t, server, i)
			}
			p.until("document.querySelectorAll('.feed-item.is-login').length >= 20")
			p.hash("#/sessions")
			p.until(rows + " >= 21")
			for i := 20; i < 40; i++ {
				enterHostile(t, server, i)
			}
			p.until(rows + " === 41")
			p.shoot(fmt.Sprintf("hostile-%v", bypass))

			names := eval[[]string](p, "[...document.querySelectorAll('.rows .name')].map((a) => a.textContent)")
			require.ElementsMatch(t, append([]string{"User admin"}, hostile...), names)
			// Places follow a moment later; a user agent is told on hover.
			p.until("[...document.querySelectorAll('td.col-place span')].filter((place) => place.textContent.includes('alert(')).length > 20")
			agents := eval[[]string](p, "[...document.querySelectorAll('td.col-device .with-icon')].map((device) => device.title)")
			require.Subset(t, agents, []string{hostile[0] + " Chrome/141.0.0.0", hostile[39] + " Chrome/141.0.0.0"})
			p.hash("#/people")
			p.until("document.querySelector('#list-title').textContent === 'People online' && " + rows + " === 41")
			p.hash("#/")
			p.until("document.querySelectorAll('.feed-item.is-login').length >= 40")

			// Every person's page, and the question before one is logged out.
			p.hash("#/sessions")
			p.until(rows + " === 41")
			links := eval[[]string](p, "[...document.querySelectorAll('.rows .name')].map((a) => a.getAttribute('href'))")
			for i, link := range links {
				require.True(t, strings.HasPrefix(link, "#/person/"), link)
				p.hash(link)
				p.until("document.querySelector('.person-head h1')?.textContent === " + quoted(names[i]) + " && " + rows + " >= 1")
				if i%8 == 0 {
					p.click(".button.is-danger", "End all sessions")
					p.says("dialog[open] h2", names[i])
					p.click("dialog button", "Cancel")
				}
			}
			require.Zero(t, eval[int](p, "document.querySelectorAll('main script, main iframe, main style, main object, main base, main meta, main form:not([role=search]), main math, main video, main [onerror], main [onload], main img').length"))
			require.Equal(t, server.URL+"/dashboard/", eval[string](p, "location.origin + location.pathname"))
			p.clean()
		})
	}
}
