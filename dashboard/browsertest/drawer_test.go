package browsertest

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/sessiontrack/sessiontrack/dashboard"
)

// A session tells all that is known of it, where that came from, and what happened to it.
func TestASessionsDrawer(t *testing.T) {
	t.Parallel()
	f := newFakeWith(t, 60, dashboard.Options{Credentials: "/auth.js", UserURL: "/admin/users/{id}"})
	p := newTab(t, 1360, 900, scheme("light"), before(`Object.defineProperty(navigator, "clipboard", { value: { writeText: async (text) => { window.copied = text; } } });`))
	p.open(f.URL+"/dashboard/#/sessions", "")
	p.click(".rows button.main", "Safari 26 on macOS 26")
	p.says("#drawer h2", "Safari 26 on macOS 26")
	p.says("#drawer", "192.0.2.2")
	p.says("#drawer", "the proxy's header")
	p.says("#drawer", "203.0.113.9") // at sign-in
	p.says("#drawer", "h000000000000000000001")
	p.says("#drawer .timeline", "Signed in")
	p.says("#drawer .timeline", "Last activity")
	p.until("document.querySelector('#drawer').contains(document.activeElement)")
	p.shoot("drawer-light")
	p.accessible("drawer")
	p.click("#drawer button", "Copy the handle")
	p.says(".toast", "copied")
	assert.Equal(t, "h000000000000000000001", eval[string](p, "window.copied"))
	assert.Equal(t, "/admin/users/101", eval[string](p, "[...document.querySelectorAll('#drawer a')].find((a) => a.textContent === 'Open the user').pathname"))
	p.click("#drawer button", "End session")
	p.says("dialog[open] h2", "End this session of Benedikt Sato?")
	p.click("#confirm button", "End session")
	p.says("#drawer", "Ended by an administrator")
	p.says("#drawer .timeline", "Ended by an administrator")
	p.do(key("Escape"))
	p.until("!document.querySelector('dialog[open]') && document.activeElement.textContent.includes('Safari 26')")
	p.says(".is-over", "Benedikt Sato")
	p.clean()
}

// Who ended this, and when, is two clicks away.
func TestTheTrail(t *testing.T) {
	t.Parallel()
	f, p := visit(t, 60, "", scheme("light"))
	p.click("#nav a", "Trail")
	p.says(".rows", "Ended what matched")
	p.says(".rows", "47 sessions")
	p.says(".rows", "refused: not allowed")
	p.shoot("trail-light")
	p.accessible("trail")
	p.choose("#trail-action", "end_sessions")
	p.until(every("Ended what matched"))
	assert.Equal(t, "#/trail?action=end_sessions", eval[string](p, "location.hash"))
	p.click(".rows a.name", "country=BR")
	p.until("location.hash.startsWith('#/sessions?country=BR')")
	p.until(every("Brazil"))
	eval[bool](p, "(history.back(), true)")
	p.until("document.querySelector('#trail-action')?.value === 'end_sessions'")
	p.choose("#trail-action", "force_logout")
	p.until(every("Ended a session"))
	p.click(".rows button", "Session")
	p.says("#drawer .timeline", "by ")
	p.says("#drawer .timeline", "Ended a session")
	p.click("#drawer a", "Trail")
	p.until("!document.querySelector('dialog[open]') && document.querySelector('#trail-user').value !== ''")
	p.until(rows + " > 0")
	assert.Positive(t, f.count("/audit?limit=50&user="))
	p.clean()
}
