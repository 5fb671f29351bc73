package browsertest

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/assert"

	"github.com/sessiontrack/sessiontrack/dashboard"
)

// The page wears the host's colour, picture, title and links.
func TestTheHostsBrand(t *testing.T) {
	t.Parallel()
	for _, look := range []string{"light", "dark"} {
		t.Run(look, func(t *testing.T) {
			t.Parallel()
			f := newFakeWith(t, 60, dashboard.Options{
				Credentials: "/auth.js", Title: "Acme accounts", Accent: "#0a6b3d", Logo: "/logo.svg", UserURL: "/users/{id}",
				Links: []dashboard.Link{{Text: "Shop", URL: "https://shop.example.com/"}, {Text: "Help", URL: "/help"}},
			})
			p := newTab(t, 1360, 900, scheme(look))
			p.open(f.URL+"/dashboard/", "")
			p.says("#connection-text", "Live")
			p.until("document.title === 'Overview · Acme accounts'")
			p.says(".brand", "Acme accounts")
			p.says(".links a", "Shop")
			p.until("document.querySelector('.brand-logo')?.naturalWidth > 0")
			p.until("document.querySelector('.u-over')")
			p.shoot("brand-" + look)
			p.accessible("brand")
			p.hash("#/person/103")
			p.until("document.querySelector('.person-head a.button')?.pathname === '/users/103'")
			p.clean()
		})
	}
}

// A page that the host names may show the dashboard in a frame, and no other.
func TestInAFrame(t *testing.T) {
	t.Parallel()
	f := newFakeWith(t, 60, dashboard.Options{Credentials: "/auth.js", FrameAncestors: []string{"'self'"}})
	p := newTab(t, 1360, 900, scheme("light"))
	p.open(f.URL+"/frame?to="+f.URL+"/dashboard/", "")
	p.until("frames[0]?.document.querySelector('#connection-text')?.textContent === 'Live'")
	p.shoot("in-a-frame")
	stranger := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprintf(w, `<!doctype html><title>x</title><iframe src=%q onload="window.loaded = true"></iframe>`, f.URL+"/dashboard/")
	}))
	t.Cleanup(stranger.Close)
	q := newTab(t, 800, 600)
	q.open(stranger.URL, "")
	q.until("window.loaded")
	assert.Zero(t, f.count("config.json")-1, "the page was loaded in a stranger's frame")
}

// Whoever is no administrator is led to their own devices.
func TestAPlainUserIsLedToTheirDevices(t *testing.T) {
	t.Parallel()
	f := newFakeWith(t, 60, dashboard.Options{Credentials: "/auth.js", DevicesPage: "/account/devices/"})
	f.refuse(refusing("/user-sessions/", http.StatusForbidden, "forbidden"))
	p := newTab(t, 1360, 900, scheme("light"))
	p.open(f.URL+"/dashboard/", "")
	p.says(".gate h1", "administrators")
	p.until("document.querySelector('.gate a.is-primary')?.pathname === '/account/devices/'")
	p.shoot("plain-user")
	p.accessible("plain user")
	p.clean()
}

// Hands stay on the keyboard, and may say that single keys are not meant.
func TestSingleKeys(t *testing.T) {
	t.Parallel()
	_, p := visit(t, 60, "", scheme("light"))
	typed := func(text string) { p.do(chromedp.KeyEvent(text)) }
	typed("3")
	p.until("document.body.dataset.view === 'sessions' && " + rows + " > 10")
	typed("/")
	p.until(focused + " === 'search'")
	typed("3jx") // in a field they are letters
	p.until("document.querySelector('#search').value.endsWith('3jx')")
	eval[bool](p, "((e) => { e.value = ''; e.dispatchEvent(new Event('input')); e.blur(); return true; })(document.querySelector('#search'))")
	p.until(rows + " > 10")
	typed("j")
	p.until(focused + " === 'Amara Sato'")
	typed("j")
	p.until(focused + " === 'Benedikt Sato'")
	typed("x")
	p.says(".selection", "1 selected")
	typed("k")
	p.until(focused + " === 'Amara Sato'")
	typed("o")
	p.says("#drawer h2", "Chrome 141 on Windows 11")
	p.do(key("Escape"))
	p.until("!document.querySelector('dialog[open]')")
	typed("e")
	p.says("dialog[open] h2", "End this session of Amara Sato?")
	p.do(key("Escape"))
	p.until("!document.querySelector('dialog[open]')")
	typed("?")
	p.says("#help", "next row")
	p.says("#help", "in the last 15 min")
	p.shoot("help")
	p.accessible("help")
	p.click("#help-keys", "")
	p.do(key("Escape"))
	p.until("!document.querySelector('dialog[open]')")
	typed("1")
	p.settled()
	assert.Equal(t, "sessions", eval[string](p, "document.body.dataset.view"))
	p.clean()
}

// On paper there are the rows, and none of the controls.
func TestPrint(t *testing.T) {
	t.Parallel()
	_, p := visit(t, 60, "#/sessions", scheme("light"))
	p.until(rows + " > 10")
	eval[bool](p, "(scrollTo(0, 1e6), true)")
	p.until(loaded + " === 60")
	eval[bool](p, "(dispatchEvent(new Event('beforeprint')), true)")
	assert.Equal(t, 60, eval[int](p, rows))
	eval[bool](p, "(dispatchEvent(new Event('afterprint')), true)")
	assert.Less(t, eval[int](p, rows), 60)
	p.clean()
}
