package browsertest

import (
	_ "embed"
	"fmt"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sessiontrack/sessiontrack/dashboard"
)

//go:embed testdata/axe/axe.min.js
var axe string

// accessible runs axe-core over the page as it stands.
func (p *tab) accessible(state string) {
	p.t.Helper()
	_, err := chromedp.Run(p.ctx, chromedp.Evaluate[chromedp.Void](axe))
	require.NoError(p.t, err)
	violations := eval[[]string](p, `axe.run(document, {resultTypes: ["violations"]}).then((result) => result.violations.map((v) =>
		v.id + ": " + v.help + " " + v.nodes.map((n) => n.target.join(" ") + " " + n.failureSummary).join("; ")))`)
	assert.Empty(p.t, violations, state)
}

// hash goes to a view.
func (p *tab) hash(hash string) {
	p.t.Helper()
	eval[bool](p, "(location.hash = "+quoted(hash)+", true)")
	view, _, _ := strings.Cut(strings.Split(hash, "/")[1], "?")
	if view == "" {
		view = "overview"
	}
	p.until("document.body.dataset.view === " + quoted(view))
}

// loaded is how many rows have been loaded, in the document or not.
const loaded = "Math.round(document.querySelector('.rows tbody').offsetHeight / 48)"

const rows = "document.querySelectorAll('.rows tbody tr:not(.spacer)').length"

func TestAxeFindsNothing(t *testing.T) {
	t.Parallel()
	for _, form := range []struct {
		scheme        string
		width, height int64
		sessions      int
	}{{"light", 1360, 900, 260}, {"dark", 1360, 900, 260}, {"light", 390, 844, 260}, {"dark", 390, 844, 0}} {
		t.Run(fmt.Sprintf("%s %d, %d sessions", form.scheme, form.width, form.sessions), func(t *testing.T) {
			t.Parallel()
			f := newFake(t, form.sessions)
			p := newTab(t, form.width, form.height, scheme(form.scheme))
			p.open(f.URL+"/dashboard/", "")
			p.says("h1", "Sign in")
			p.accessible("sign-in")
			p.open(f.URL+"/dashboard/", "admin@example.com")
			p.says(".panel-note", "last four weeks")
			p.accessible("overview, nothing happened")
			if form.sessions > 0 {
				f.script()
				p.says(".feed-list", "went away")
				p.accessible("overview")
			}
			for _, view := range []string{"#/people", "#/sessions", "#/person/103"} {
				p.hash(view)
				if form.sessions > 0 {
					p.until(rows + " > 1")
				} else {
					p.until("document.querySelector('.table-note.is-empty')")
				}
				p.accessible(view)
			}
			if form.sessions > 0 {
				p.hash("#/history")
				p.until("document.querySelectorAll('.u-over').length === 2")
				p.accessible("history")
				p.hash("#/trail")
				p.until(rows + " > 1")
				p.accessible("trail")
				p.click(".rows button", "Session")
				p.says("#drawer", "Handle")
				p.accessible("drawer")
				p.do(key("Escape"))
				p.hash("#/person/103")
				p.until(rows + " > 1")
				p.click(".button.is-danger", "End all sessions")
				p.until("document.querySelector('dialog[open]')")
				p.accessible("confirmation")
				p.click("dialog button", "Cancel")
			}
			f.CloseClientConnections()
			f.Listener.Close()
			p.says("#banner", "Connection lost")
			p.accessible("connection lost")
		})
	}
}

func TestNobodyIsThere(t *testing.T) {
	t.Parallel()
	f := newFake(t, 0)
	p := newTab(t, 1360, 900, scheme("light"))
	p.open(f.URL+"/dashboard/", "admin@example.com")
	p.says(".is-online .tile-value", "0")
	p.says(".is-peak .tile-note", "no sample yet today")
	p.says(".plot-note", "No samples in this range yet.")
	p.says(".shares", "No sign-ins in this range.")
	p.says(".durations", "No session ended")
	assert.Equal(t, []string{"–", "–"}, eval[[]string](p, "[...document.querySelectorAll('.durations dd')].map((e) => e.textContent)"))
	p.says(".feed-empty", "appear here")
	p.shoot("empty-overview")
	p.hash("#/people")
	p.says(".table-note", "Nobody is online")
	p.shoot("empty-people")
	p.hash("#/sessions")
	p.says(".table-note", "No sessions")
	p.typeIn("#search", "nobody")
	p.says(".table-note", "Nothing found")
	p.hash("#/person/12")
	p.says("h1", "User 12")
	p.says(".table-note", "This person has no session")
	p.clean()
}

// A hundred thousand sessions are asked for a page at a time, and only the rows near
// the screen are in the document.
func TestAHundredThousandSessions(t *testing.T) {
	t.Parallel()
	f := newFake(t, 100_000)
	p := newTab(t, 1360, 900, scheme("light"), unrefreshed)
	p.open(f.URL+"/dashboard/#/sessions", "admin@example.com")
	p.until(rows + " > 10")
	for n := 50; n < 2000; n += 50 {
		eval[bool](p, "(scrollTo(0, document.documentElement.scrollHeight), true)")
		p.until(fmt.Sprintf("%s > %d", loaded, n))
		require.Less(t, eval[int](p, rows), 100)
	}
	eval[bool](p, "(scrollTo(0, document.documentElement.scrollHeight / 2), true)")
	p.until("document.querySelector('.rows tbody tr:not(.spacer)').ariaRowIndex > 500")
	// Rows stand in their order, and what stands in a row is what belongs there: its
	// address follows from its place.
	shown := eval[[]struct {
		Index   int
		Address string
	}](p, "[...document.querySelectorAll('.rows tbody tr:not(.spacer)')].map((row) => ({Index: Number(row.ariaRowIndex), Address: row.querySelector('.address').textContent}))")
	for i, row := range shown {
		require.Equal(t, shown[0].Index+i, row.Index)
		require.Equal(t, fmt.Sprintf("192.0.2.%d", (row.Index-2)%254+1), row.Address)
	}
	f.mu.Lock()
	asked := map[string]int{}
	for _, uri := range f.asked {
		if strings.Contains(uri, "cursor=") {
			asked[uri]++
		}
	}
	f.mu.Unlock()
	require.Greater(t, len(asked), 35)
	for uri, times := range asked {
		require.Equal(t, 1, times, uri)
	}
	p.shoot("many-sessions")
	p.clean()
}

// A storm of sign-ins neither moves what is read, nor fills the page.
func TestManyEvents(t *testing.T) {
	t.Parallel()
	f := newFake(t, 300)
	p := newTab(t, 1360, 900, scheme("light"))
	p.open(f.URL+"/dashboard/#/sessions", "admin@example.com")
	p.until(rows + " > 10")
	eval[bool](p, "(scrollTo(0, 1400), true)")
	p.until("document.querySelector('.rows tbody tr:not(.spacer)').ariaRowIndex > 3")
	const first = "[...document.querySelectorAll('.rows tbody tr:not(.spacer)')].find((row) => row.getBoundingClientRect().top > 200).textContent"
	before := eval[string](p, "[...document.querySelectorAll('.rows tbody tr:not(.spacer)')].find((row) => row.getBoundingClientRect().top > 200).querySelector('.address').textContent")
	for i := range 1000 {
		s := f.session(i % 300)
		s["sessionId"] = fmt.Sprintf("n%021d", i)
		f.publish("login", map[string]any{"session": s})
	}
	p.says(".is-new-rows", "Show 1,000 new")
	require.Contains(t, eval[string](p, first), before)
	p.click(".is-new-rows", "Show")
	p.until("scrollY === 0 && document.querySelector('.is-new-rows').hidden")
	p.hash("#/")
	p.until("document.querySelectorAll('.feed-item').length === 100")
	p.clean()
}

func TestKeyboard(t *testing.T) {
	t.Parallel()
	_, p := visit(t, 60, "#/sessions", scheme("light"))
	p.until(rows + " > 10")
	const button = "End session of Amara Sato, Chrome 141 on Windows 11"
	for _, step := range []struct{ key, focus string }{
		{kb.Tab, "skip"}, {kb.Enter, "content"},
		{kb.Tab, "Online now"}, {kb.Tab, "Very active"}, {kb.Tab, "Recently active"}, {kb.Tab, "Sessions"}, {kb.Tab, "Peak today"}, {kb.Tab, "Signed in"}, {kb.Tab, "Ended"}, {kb.Tab, "All"}, {kb.Tab, "Saved views"}, {kb.Tab, "search"}, {kb.Tab, "filter-device"}, {kb.Tab, "filter-within"}, {kb.Tab, "filter-more"},
		{kb.Tab, "Select all rows loaded so far"}, {kb.Tab, "Signed in"}, {kb.Tab, "Last activity"},
		{kb.Tab, "Select the session of Amara Sato, Chrome 141 on Windows 11"}, {kb.Tab, "Amara Sato"}, {kb.Tab, "Chrome 141 on Windows 11"}, {kb.Tab, button},
		{kb.Enter, "Cancel"}, // what Enter does at first is harmless
	} {
		p.press(step.key, step.focus)
	}
	p.says("dialog[open]", "End this session of Amara Sato?")
	p.says("dialog[open]", "192.0.2.1")
	p.press(kb.Escape, button) // the focus returns
	p.until("!document.querySelector('dialog[open]')")

	p.press(kb.Enter, "Cancel")
	p.press(kb.Tab, "confirm-do")
	p.do(chromedp.KeyEvent(kb.Enter))
	p.says(".toast", "A session of Amara Sato was ended.")
	p.says(".is-over", "Ended by an administrator")
	p.clean()
}

// The parser is given one stream in every way of cutting it in two.
func TestStreamParser(t *testing.T) {
	t.Parallel()
	f := newFake(t, 0)
	p := newTab(t, 800, 600)
	p.open(f.URL+"/dashboard/", "")
	got := eval[[]string](p, `(async () => {
		const { Parser } = await import(new URL("stream.js", document.querySelector("script[src]").src));
		const text = "\uFEFF: hello\r\nid: 1\r\nevent: login\r\ndata: {\"a\":\r\ndata: 1}\r\n\r\nretry: 500\rdata:x\r\rid: a\0b\nid\ndata\n\nevent: never\n\ndata: cut off";
		const seen = new Set();
		for (let at = 0; at <= text.length; at++) {
			const parser = new Parser();
			const events = [...parser.push(text.slice(0, at)), ...parser.push(text.slice(at))];
			seen.add(JSON.stringify({ events, retry: parser.retry }));
		}
		return [...seen];
	})()`)
	require.Equal(t, []string{`{"events":[{"type":"login","data":"{\"a\":\n1}","id":"1"},{"type":"message","data":"x","id":"1"},{"type":"message","data":"","id":""}],"retry":500}`}, got)
}

// Tokens come from the host's module, or from a window of the same origin; they are
// in headers only.
func TestCredentialsFromTheHost(t *testing.T) {
	t.Parallel()
	t.Run("by a module", func(t *testing.T) {
		t.Parallel()
		f := newFakeWith(t, 40, dashboard.Options{Credentials: "../auth.js"})
		p := newTab(t, 1360, 900)
		p.open(f.URL+"/dashboard/", "")
		p.says("#connection-text", "Live")
		f.leaksNothing(t, p)
	})
	t.Run("by a message", func(t *testing.T) {
		t.Parallel()
		f := newFakeWith(t, 40, dashboard.Options{SignInPage: "/sign-in"})
		p := newTab(t, 1360, 900)
		p.open(f.URL+"/dashboard/", "")
		p.says("h1", "Sign in")
		p.says("a", "Go to sign-in")
		// Another origin is not listened to.
		eval[bool](p, fmt.Sprintf(`(dispatchEvent(new MessageEvent("message", {origin: "https://evil.example", data: {type: "sessiontrack:credentials", token: %q, sessionId: "handle.secret"}})), true)`, fakeToken))
		p.handOver("wrong")
		p.says("h1", "Sign in")
		p.handOver(fakeToken)
		p.says("#connection-text", "Live")
		f.leaksNothing(t, p)
	})
	t.Run("not at all", func(t *testing.T) {
		t.Parallel()
		f := newFakeWith(t, 40, dashboard.Options{})
		p := newTab(t, 1360, 900)
		p.open(f.URL+"/dashboard/", "")
		p.says(".gate", "Sign in to the application as an administrator")
		p.clean()
	})
}

// handOver gives the page credentials as a window of its own origin does.
func (p *tab) handOver(token string) {
	p.t.Helper()
	eval[bool](p, fmt.Sprintf(`(postMessage({type: "sessiontrack:credentials", token: %q, sessionId: "handle.secret"}, location.origin), true)`, token))
}

func (f *fake) leaksNothing(t *testing.T, p *tab) {
	t.Helper()
	p.hash("#/sessions")
	p.until(rows + " > 10")
	f.mu.Lock()
	for _, uri := range f.asked {
		assert.NotContains(t, uri, fakeToken)
		assert.NotContains(t, uri, "handle.secret")
	}
	f.mu.Unlock()
	assert.Empty(t, eval[string](p, "document.cookie"))
	assert.NotContains(t, eval[string](p, "location.href + document.documentElement.outerHTML"), fakeToken)
	p.clean()
}

// A host brings its own language, plural forms of its own included.
func TestAnotherLanguage(t *testing.T) {
	t.Parallel()
	f := newFakeWith(t, 3, dashboard.Options{Language: "pl", Credentials: "/auth.js", Messages: map[string]string{
		"nav.sessions": "Sesje", "list.sessions.one": "{n} sesja", "list.sessions.few": "{n} sesje", "list.sessions.many": "{n} sesji", "list.sessions.other": "{n} sesji",
	}})
	p := newTab(t, 1360, 900)
	p.open(f.URL+"/dashboard/#/sessions", "")
	p.says("h1", "Sesje")
	p.says(".list-count", "3 sesje")
	p.says(".rows", "temu")
	assert.Equal(t, "pl", eval[string](p, "document.documentElement.lang"))
	p.clean()
}
