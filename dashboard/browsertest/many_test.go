package browsertest

import (
	"fmt"
	"net/http"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sessiontrack/sessiontrack"
	"github.com/sessiontrack/sessiontrack/dashboard"
)

// tick clicks the box of the n-th row, with shift or without.
func (p *tab) tick(n int, shift bool) {
	p.t.Helper()
	modifier := "false"
	if shift {
		modifier = "true"
	}
	p.until(`((box) => box && (box.dispatchEvent(new MouseEvent("click", { bubbles: true, shiftKey: ` + modifier + ` })), true))(
		document.querySelector('.rows tr[aria-rowindex="` + fmt.Sprint(n+1) + `"] input'))`)
}

// Ten rows are selected in a range and ended by four clicks.
func TestSelectedSessionsEnd(t *testing.T) {
	t.Parallel()
	f, p := visit(t, 60, "#/sessions", scheme("light"), unrefreshed)
	p.until(rows + " > 10")
	p.tick(1, false)
	p.says(".selection", "1 selected")
	p.tick(10, true)
	p.says(".selection", "10 selected")
	p.shoot("many-selected")
	p.accessible("selection")
	p.click(".selection button", "End these sessions")
	p.says("dialog[open] h2", "End 10 sessions?")
	p.says("dialog[open]", "cannot be undone")
	p.says("dialog[open]", "Indonesia")
	p.says("dialog[open] .warning", "signed out yourself") // the fourth row is one's own
	p.choose("dialog select", "password")
	p.shoot("many-question")
	p.accessible("many")
	p.click("dialog button", "End these sessions")
	p.says(".toast", "10 sessions ended.")
	p.until("document.querySelector('.selection').hidden")
	p.says(".list-count", "50 sessions")
	require.Len(t, f.ends, 1)
	assert.Len(t, f.ends[0].IDs, 10)
	assert.Equal(t, "password", f.ends[0].Reason)
	p.clean()
}

// All that match end, also those that are not loaded: what the preview showed.
func TestAllThatMatchEnd(t *testing.T) {
	t.Parallel()
	f, p := visit(t, 260, "#/sessions?device=mobile", scheme("light"), unrefreshed)
	p.says(".list-count", "sessions of")
	total := eval[int](p, "parseInt(document.querySelector('.list-count').textContent)")
	require.Greater(t, total, 50)
	p.click("th input", "")
	p.click(".selection button", "Select all "+fmt.Sprint(total)+" that match")
	p.says(".selection", "All "+fmt.Sprint(total)+" that match")
	p.click(".selection button", "End these sessions")
	p.says("dialog[open] h2", "End "+fmt.Sprint(total)+" sessions?")
	p.until("!document.querySelector('#confirm-do').disabled")
	p.says("dialog[open]", "Mobile")
	p.shoot("many-all")
	p.click("dialog button", "End these sessions")
	p.says(".toast", fmt.Sprint(total)+" sessions ended.")
	p.says(".table-note", "Nothing found")
	require.Greater(t, len(f.ends), 1) // the server asked for more
	for _, end := range f.ends {
		assert.Equal(t, "device=mobile", end.Preview)
	}
	p.clean()
}

// A box that is cleared after all were selected keeps the others.
func TestSelectionFollowsTheList(t *testing.T) {
	t.Parallel()
	f, p := visit(t, 60, "#/sessions", scheme("light"), unrefreshed)
	p.until(rows + " > 10")
	p.tick(1, false)
	p.tick(3, false)
	f.publish("logout", map[string]any{"session": f.over(0, "logout")})
	p.says(".selection", "1 selected")
	p.click(".selection button", "Clear selection")
	p.until("document.querySelector('.selection').hidden && document.activeElement.type === 'checkbox'")
	p.tick(3, false)
	p.click(".tabs a", "Ended")
	p.until("document.querySelector('.selection').hidden")
	assert.Equal(t, "none", eval[string](p, "getComputedStyle(document.querySelector('.col-select')).display"))
	p.clean()
}

// What a server does not offer is not offered: one that cannot count a filter ends nothing
// by it.
func TestAServerThatCannotCount(t *testing.T) {
	t.Parallel()
	f := newFakeWith(t, 60, dashboard.Options{Credentials: "/auth.js"})
	f.refuse(refusing("/sessions/count", http.StatusNotFound, "not_found"))
	p := newTab(t, 1360, 900, scheme("light"))
	p.open(f.URL+"/dashboard/#/sessions", "")
	p.says(".list-count", "50 sessions so far")
	p.until("getComputedStyle(document.querySelector('.col-select')).display === 'none'")
	p.clean()
}

// The library's own handlers take every filter that the page can ask for, and end what its
// preview showed.
func TestTheLibraryTakesEveryFilter(t *testing.T) {
	t.Parallel()
	a := newRealApp(t, sessiontrack.Options{})
	for i := range 12 {
		a.signIn(fmt.Sprint(10+i%4), iPhone, fmt.Sprintf("203.0.113.%d", i+1))
	}
	keep := a.signIn("10", firefox, "198.51.100.7")
	a.end(a.signIn("20", iPhone, "203.0.113.99"), sessiontrack.Ending{Reason: sessiontrack.ReasonAdmin, Actor: "1"})
	p := a.visit("#/sessions?device=mobile")
	p.says(".list-count", "12 sessions")
	for _, filters := range []string{
		"os=iOS", "browser=Safari", "ip=203.0.113.0/24", "user=11", "q=11", "seen_within=online", "idle_for=1h", "derived=true", "country=BR",
		"login_after=2026-01-01T00:00:00Z&login_before=2096-01-01T00:00:00.000Z", "state=any", "reason=admin", "sort=login", "within=online",
	} {
		p.hash("#/sessions?" + filters)
		p.until("document.querySelector('.table-note.is-end, .table-note.is-empty')")
		p.hash("#/people?" + filters)
		p.until("document.querySelector('.table-note.is-end, .table-note.is-empty')")
	}
	p.hash("#/sessions?reason=admin")
	p.says(".rows", "Ended by an administrator")
	p.hash("#/sessions?ip=203.0.113.0/24")
	p.says(".list-count", "12 sessions")
	p.click("th input", "")
	p.says(".selection", "12 selected")
	p.click(".selection button", "End these sessions")
	p.says("dialog[open] h2", "End 12 sessions?")
	p.click("dialog button", "End these sessions")
	p.says(".toast", "12 sessions ended.")
	p.says(".table-note", "Nothing found")

	for i := range 120 {
		a.signIn(fmt.Sprint(30+i), iPhone, "203.0.113.7")
	}
	p.hash("#/sessions?ip=203.0.113.7")
	p.says(".list-count", "120 sessions of 120 people")
	p.click("th input", "")
	p.click(".selection button", "Select all 120 that match")
	p.click(".selection button", "End these sessions")
	p.says("dialog[open] h2", "End 120 sessions?")
	p.click("#confirm-do:not(:disabled)", "")
	p.says(".toast", "120 sessions ended.")
	s, err := a.tracker.Get(t.Context(), keep)
	require.NoError(t, err)
	assert.False(t, s.Ended())
	p.clean()
}
