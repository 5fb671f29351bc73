package browsertest

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sessiontrack/sessiontrack"
	"github.com/sessiontrack/sessiontrack/dashboard"
)

const chrome = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0.0.0 Safari/537.36"

// Somebody who is signed in is shown so, however many of their sessions have ended since.
func TestSignedInSessionsComeFirst(t *testing.T) {
	t.Parallel()
	a := newRealApp(t, sessiontrack.Options{})
	a.signIn("7", iPhone, "203.0.113.7")
	a.signIn("7", firefox, "203.0.113.8")
	for range 60 {
		a.end(a.signIn("7", chrome, "198.51.100.9"), sessiontrack.Ending{Reason: sessiontrack.ReasonLogout, Actor: "7"})
	}
	p := a.visit("#/person/7")
	p.says(".person-facts", "signed in with 2 sessions")
	p.says(".person-facts", "Online")
	assert.Equal(t, []string{"Signed in", "Signed in", "Signed out"},
		eval[[]string](p, "[...document.querySelectorAll('.rows .badge')].slice(0, 3).map((e) => e.textContent)"))
	p.shoot("truth-person")
	p.click(".button.is-danger", "End all sessions")
	p.says("dialog[open]", "2 sessions")
	p.click("dialog button", "End all sessions")
	p.says(".toast", "2 sessions ended")
	p.says(".person-facts", "signed in with 0 sessions")
	p.clean()
}

// The question says what its answer ends, whatever the list shows.
func TestTheQuestionAsksTheServer(t *testing.T) {
	t.Parallel()
	a := newRealApp(t, sessiontrack.Options{})
	a.signIn("7", iPhone, "203.0.113.7")
	for range 3 {
		a.signIn("7", firefox, "203.0.113.8")
	}
	p := a.visit("#/people")
	p.says(".rows", "Person 7")
	p.says(".rows", "Firefox") // the latest devices have their names
	eval[bool](p, "((e) => { e.value = 'mobile'; e.dispatchEvent(new Event('change')); return true; })(document.querySelector('#filter-device'))")
	p.until(rows + " === 1")
	p.says(".rows", "Safari") // the other one, too
	p.click(".rows button", "End all sessions of Person 7")
	p.says("dialog[open]", "4 sessions")
	p.until("document.querySelectorAll('dialog .ending li').length === 4")
	p.says("dialog .ending", "Firefox")
	assert.True(t, eval[bool](p, "document.querySelector('#confirm-warning').hidden"))
	p.shoot("truth-question")
	p.accessible("question")
	p.click("dialog button", "End all sessions")
	p.says(".toast", "4 sessions ended")
	p.clean()
}

// Your own are marked, and the warning comes, where the filter hides the session in use.
func TestYourOwnSessionsAreMarked(t *testing.T) {
	t.Parallel()
	a := newRealApp(t, sessiontrack.Options{})
	a.signIn("1", iPhone, "203.0.113.7")
	a.signIn("7", iPhone, "203.0.113.8")
	p := a.visit("#/people")
	p.says(".rows", "Person 7")
	eval[bool](p, "((e) => { e.value = 'mobile'; e.dispatchEvent(new Event('change')); return true; })(document.querySelector('#filter-device'))")
	p.until(rows + " === 2")
	assert.Equal(t, []string{"Person 1"}, eval[[]string](p, "[...document.querySelectorAll('.person .tag')].map((e) => e.closest('.person').querySelector('.name').textContent)"))
	p.click(".rows button", "End all sessions of Person 1")
	p.says("dialog[open] .warning", "signed out yourself")
	p.says("dialog .ending", "this session")
	p.shoot("truth-own")
	p.click("dialog button", "Cancel")
	p.hash("#/sessions")
	p.until("document.querySelectorAll('.rows .col-device .tag').length === 1")
	p.clean()
}

// Rows that are on the screen are as fresh as the header says, also those of somebody who
// has become active and belongs further up by now.
func TestRowsFurtherDownStayFresh(t *testing.T) {
	t.Parallel()
	for _, view := range []string{"people", "sessions"} {
		t.Run(view, func(t *testing.T) {
			t.Parallel()
			f, p := visit(t, 300, "#/"+view, scheme("light"), hurried)
			p.until(rows + " > 10")
			for n := 50; n < 200; n += 50 {
				eval[bool](p, "(scrollTo(0, document.documentElement.scrollHeight), true)")
				p.until(fmt.Sprintf("%s > %d", loaded, n*4/5))
			}
			eval[bool](p, "(scrollTo(0, 120 * 48), true)")
			f.used.Store(125, true)
			f.used.Store(135, true)
			if view == "people" { // every fifth session is a person's second, and the rows are fewer
				f.used.Delete(125)
				f.used.Store(154, true)
				eval[bool](p, "(scrollTo(0, 118 * 48), true)")
			}
			p.until(`[...document.querySelectorAll(".rows tbody tr:not(.spacer)")].some((row) => row.getBoundingClientRect().top > 100 &&
				row.getBoundingClientRect().bottom < innerHeight && /now|^\d+s ago/.test(row.querySelector(".col-last time").textContent))`)
			p.clean()
		})
	}
}

// Every number of the axis is whole.
func TestTheAxisFitsItsNumbers(t *testing.T) {
	t.Parallel()
	for language, want := range map[string]string{"en": "200K", "de": "200.000"} {
		t.Run(language, func(t *testing.T) {
			t.Parallel()
			f := newFakeWith(t, 300_000, dashboard.Options{Credentials: "/auth.js", Language: language})
			p := newTab(t, 1360, 900, scheme("light"), before(`{
				const real = CanvasRenderingContext2D.prototype.fillText;
				window.labels = [];
				CanvasRenderingContext2D.prototype.fillText = function (text, x, y, ...rest) {
					if (this.textAlign === "right") labels.push({ text, left: x - this.measureText(text).width });
					return real.call(this, text, x, y, ...rest);
				};
			}`))
			p.open(f.URL+"/dashboard/", "")
			p.until("labels.some(({ text }) => text === " + quoted(want) + ")")
			assert.Empty(t, eval[[]string](p, "labels.filter(({ left }) => left < 0).map(({ text }) => text)"))
			p.shoot("truth-axis-" + language)
		})
	}
}

// The windows are the host's, in figures, lists and dots alike.
func TestTheWindowsAreTheHosts(t *testing.T) {
	t.Parallel()
	f := newFakeWith(t, 260, dashboard.Options{Credentials: "/auth.js"})
	f.windows = map[string]int{"very_active": 60, "online": 240, "recently_active": 480}
	p := newTab(t, 1360, 900, scheme("light"))
	p.open(f.URL+"/dashboard/#/people", "")
	p.says(".is-online .tile-note", "in the last 4 hr")
	p.says("#filter-within", "Last 8 hr")
	require.Eventually(t, func() bool { return f.count("within=240m") > 0 }, patience, 20*time.Millisecond)
	p.hash("#/person/200") // whose latest activity is an hour and a half ago
	p.says(".person-facts", "Online")
	p.clean()
}

// The chart ends with what the tiles say, and tells nothing of a moment that it has no
// sample of.
func TestTheChartSaysWhatTheTilesSay(t *testing.T) {
	t.Parallel()
	f := newFakeWith(t, 260, dashboard.Options{Credentials: "/auth.js"})
	f.hole = [2]int{20, 40}
	p := newTab(t, 1360, 900, scheme("light"))
	p.open(f.URL+"/dashboard/", "")
	p.says("#connection-text", "Live")
	p.until("document.querySelector('.u-over')")
	figures := f.figures()
	figures["online_users"], figures["total_active_sessions"] = 4321, 8765
	f.publish("stats", map[string]any{"stats": figures})
	p.says(".is-online .tile-value", "4,321")
	p.says(".plot-readout", "4,321")
	p.says(".plot-readout", "8,765")
	p.until("document.querySelector('.plot').ariaLabel.includes('latest 4,321')")

	at := eval[struct{ X, Y float64 }](p, `((box) => ({X: box.x + box.width / 2, Y: box.y + box.height / 2}))(document.querySelector('.u-over').getBoundingClientRect())`)
	p.point(at.X, at.Y)
	p.until("document.querySelector('.plot-readout').textContent.includes('–')")
	shown := eval[string](p, "document.querySelector('.readout-when').textContent")
	pointed := time.Now().Add(-30 * time.Minute).In(f.zone)
	near := []string{pointed.Add(-time.Minute).Format("15:04"), pointed.Format("15:04"), pointed.Add(time.Minute).Format("15:04")}
	assert.Contains(t, near, shown)
	p.shoot("truth-chart")
	p.clean()
}

// Who ended a session has a name and a page, and people have their pictures.
func TestNamesAndPictures(t *testing.T) {
	t.Parallel()
	a := newRealApp(t, sessiontrack.Options{})
	a.end(a.signIn("7", iPhone, "203.0.113.7"), sessiontrack.Ending{Reason: sessiontrack.ReasonAdmin, Actor: "2"})
	a.end(a.signIn("7", iPhone, "203.0.113.7"), sessiontrack.Ending{Reason: sessiontrack.ReasonLogout, Actor: "7"})
	a.signIn("2", firefox, "203.0.113.9")
	p := a.visit("#/person/7")
	p.says(".rows", "by Person 2")
	assert.Equal(t, 1, eval[int](p, "[...document.querySelectorAll('.col-state')].filter((e) => e.textContent.includes(' by ')).length"), "one's own sign-out goes without saying")
	p.until("document.querySelector('.person-head .avatar img')?.naturalWidth > 0")
	p.shoot("truth-names")
	p.click(".rows .name", "Person 2")
	p.says("h1", "Person 2")
	p.hash("#/sessions")
	p.until("document.querySelector('.rows .avatar img')?.naturalWidth > 0")
	p.clean()
}

// cut is whether any text of a selector is not to be seen in full.
const cut = `((selector) => [...document.querySelectorAll(selector)].filter((node) => {
	const cell = node.closest("td, th, header").getBoundingClientRect();
	const range = document.createRange();
	range.selectNodeContents(node);
	return [...range.getClientRects()].some((box) => box.left < cell.left - 1 || box.right > cell.right + 1 || box.top < cell.top - 1 || box.bottom > cell.bottom + 1) ||
		node.scrollWidth > node.clientWidth + 1;
}).map((node) => node.textContent))`

// Addresses and devices are whole at every width: a title is for a mouse alone.
func TestAddressesAndDevicesAreWhole(t *testing.T) {
	t.Parallel()
	a := newRealApp(t, sessiontrack.Options{})
	a.signIn("7", iPhone, "2001:db8:1234:5678:9abc:def0:1234:5678")
	a.signIn("7", chrome, "198.51.100.200")
	for _, width := range []int64{1360, 820, 390} {
		t.Run(fmt.Sprint(width), func(t *testing.T) {
			t.Parallel()
			p := a.visitAt(width, 900, "#/sessions")
			p.says(".rows", "5678:9abc")
			p.says(".rows", "Chrome 141")
			p.shoot(fmt.Sprintf("truth-whole-%d", width))
			assert.Empty(t, eval[[]string](p, cut+"('.address')"), "addresses")
			assert.Empty(t, eval[[]string](p, cut+"('.col-device .main')"), "devices")
			p.clean()
		})
	}
}

// A button is as wide as its text, in any language.
func TestButtonsAreWhole(t *testing.T) {
	t.Parallel()
	f := newFakeWith(t, 60, dashboard.Options{Language: "ar", Credentials: "/auth.js", Messages: map[string]string{
		"action.end": "تسجيل الخروج من هذه الجلسة", "action.endAll": "تسجيل الخروج من كل الأجهزة",
	}})
	p := newTab(t, 1360, 900, scheme("light"))
	for _, view := range []string{"#/people", "#/sessions", "#/person/103"} {
		p.open(f.URL+"/dashboard/"+view, "")
		p.until(rows + " > 1")
		p.until("document.querySelector('.rows .button')")
		assert.Empty(t, eval[[]string](p, cut+"('.rows .button')"), view)
	}
	p.shoot("truth-arabic")
}

// Many ends are told once.
func TestManyEndsAreOneMessage(t *testing.T) {
	t.Parallel()
	_, p := visit(t, 60, "#/sessions", scheme("light"), unrefreshed)
	for n := 1; n <= 5; n++ {
		p.click(".rows button", "End session")
		p.until("document.querySelector('dialog[open]')")
		p.click("dialog button", "End session")
		p.until(fmt.Sprintf("document.querySelectorAll('.is-over').length === %d", n))
	}
	p.says(".toast", "5 sessions")
	assert.Equal(t, 1, eval[int](p, "document.querySelectorAll('.toast').length"))
	p.clean()
}

// A storm of events can be read: it comes in gulps that stay for a while, and says how many
// did not fit. It can be held.
func TestAStormCanBeRead(t *testing.T) {
	t.Parallel()
	f, p := visit(t, 260, "", scheme("light"))
	p.says("#connection-text", "Live")
	eval[bool](p, `(window.tops = new Set(), new MutationObserver(() => tops.add(document.querySelector(".feed-list").firstChild)).observe(document.querySelector(".feed-list"), { childList: true }), true)`)
	for turn := range 40 { // 200 a second, for four seconds
		for i := range 20 {
			f.publish("login", map[string]any{"session": f.session(turn*5 + i)})
		}
		eval[bool](p, "new Promise((done) => setTimeout(() => done(true), 100))")
	}
	assert.LessOrEqual(t, eval[int](p, "tops.size"), 4)
	p.until("document.querySelector('.feed-list').textContent.includes('more')")
	p.shoot("truth-storm")
	p.click(".feed button", "Pause")
	before := eval[string](p, "document.querySelector('.feed-list').firstChild.textContent")
	for i := range 30 {
		f.publish("login", map[string]any{"session": f.session(i)})
	}
	p.says(".feed-held", "new")
	assert.Equal(t, before, eval[string](p, "document.querySelector('.feed-list').firstChild.textContent"))
	p.click(".feed button", "Resume")
	p.until("document.querySelector('.feed-held').hidden")
	p.clean()
}

// Before the first minute has been counted, the panels tell of those who are here.
func TestTheFirstMinute(t *testing.T) {
	t.Parallel()
	a := newRealApp(t, sessiontrack.Options{})
	for i := range 20 {
		a.signIn(fmt.Sprint(10+i), iPhone, "203.0.113.7")
	}
	p := a.visit("", hurried)
	p.says(".shares", "iOS")
	p.says(".panel-note", "the latest 21 sessions")
	p.until("!document.querySelector('.plot').hidden")
	p.says(".plot-readout", "21")
	p.shoot("truth-first-minute")
	p.clean()
}

// What the server would refuse is not offered: the sessions of a superadministrator to an
// administrator.
func TestWhatWouldBeRefusedIsNotOffered(t *testing.T) {
	t.Parallel()
	a := newRealApp(t, sessiontrack.Options{})
	a.signIn("2", iPhone, "203.0.113.7")
	p := a.visit("#/sessions")
	p.click(".rows button", "End session of Person 2")
	p.says("dialog[open] .warning", "You may not end this person's sessions")
	assert.True(t, eval[bool](p, "document.querySelector('#confirm-do').disabled"))
	p.click("dialog button", "Cancel")
	p.hash("#/person/2")
	p.says(".person-head", "You may not end this person's sessions")
	p.says(".person-facts", "signed in with 1 session")
	assert.Zero(t, eval[int](p, "document.querySelectorAll('.list .is-row, .list .is-danger').length"))
	p.shoot("truth-protected")
	p.accessible("protected")
	p.clean()
}
