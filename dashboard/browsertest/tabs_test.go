package browsertest

import (
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	"github.com/stretchr/testify/require"

	"github.com/sessiontrack/sessiontrack"
)

// A browser opens six connections to a server over HTTP/1.1. Tabs that nobody sees hold
// none of them, and miss nothing.
func TestEightTabs(t *testing.T) {
	t.Parallel()
	d := startDemo(t)
	first := newTab(t, 1360, 900, hideable)
	tabs := []*tab{first}
	for len(tabs) < 8 {
		tabs = append(tabs, first.another(hideable))
	}
	email := "admin@example.com"
	for _, p := range tabs {
		p.open(d.wire.URL+"/dashboard/", email)
		email = "" // the demo's cookie is the profile's, so the other tabs are signed in
		p.says("#connection-text", "Live")
		eval[bool](p, "hide('hidden')")
	}
	d.signIn("user7@example.com", iPhone)
	for _, p := range []*tab{tabs[0], tabs[7]} {
		eval[bool](p, "hide('visible')")
		p.until(`[...document.querySelectorAll(".feed-item.is-login")].filter((e) => /Mobile|iOS/.test(e.textContent)).length === 1`)
		require.Zero(t, eval[int](p, `document.querySelectorAll(".feed-gap").length`), "it goes on where it was")
		p.says("#connection-text", "Live")
		p.clean()
	}
}

// idleApp is an application whose sessions end after a few seconds without activity.
func idleApp(t *testing.T) *realApp {
	t.Helper()
	return newRealApp(t, sessiontrack.Options{IdleTimeout: 8 * time.Second, TouchInterval: time.Second, FlushInterval: 200 * time.Millisecond})
}

// What a timer asks for keeps nobody signed in: an untouched page says that its session
// was idle for too long, whatever it shows. Somebody who works at it stays.
func TestAnUntouchedPageGoesIdle(t *testing.T) {
	t.Parallel()
	for _, view := range []string{"#/", "#/people", "#/sessions", "#/person/1"} {
		t.Run(view, func(t *testing.T) {
			t.Parallel()
			p := idleApp(t).visit(view, hurried)
			p.says("#connection-text", "Live")
			p.says(".gate-why", "Idle too long")
			p.clean()
		})
	}
	t.Run("touched", func(t *testing.T) {
		t.Parallel()
		p := idleApp(t).visit("#/sessions", hurried)
		p.says("#connection-text", "Live")
		for until := time.Now().Add(12 * time.Second); time.Now().Before(until); {
			p.do(chromedp.KeyEvent(kb.Shift))
			eval[bool](p, "new Promise((done) => setTimeout(() => done(true), 500))")
		}
		p.says("#connection-text", "Live")
		p.clean()
	})
}
