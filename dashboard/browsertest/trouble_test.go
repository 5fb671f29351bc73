package browsertest

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sessiontrack/sessiontrack/dashboard"
)

// before runs a script in the page before the page's own.
func before(script string) func(context.Context) error {
	return with(page.AddScriptToEvaluateOnNewDocument, page.AddScriptToEvaluateOnNewDocumentParams{Source: script})
}

// unrefreshed keeps lists as they are: on a slow machine the next refresh would take
// away an ended row before it is looked at.
var unrefreshed = before(`{
	const real = setInterval;
	setInterval = (run, wait, ...rest) => real(run, wait === 10000 ? 1e9 : wait, ...rest);
}`)

// hideable lets a test hide the page and show it again, as another tab before it does.
var hideable = before(`window.hide = (state) => {
	Object.defineProperty(document, "visibilityState", { value: state, configurable: true });
	document.dispatchEvent(new Event("visibilitychange"));
	return true;
};`)

func (p *tab) point(x, y float64) {
	p.t.Helper()
	require.NoError(p.t, with(input.DispatchMouseEvent, input.DispatchMouseEventParams{Type: input.DispatchMouseEventTypeMouseMoved, X: x, Y: y})(p.ctx))
}

// refusing answers requests whose path has a part.
func refusing(part string, status int, code string) func(*http.Request) (int, string) {
	return func(r *http.Request) (int, string) {
		if strings.Contains(r.URL.Path, part) {
			return status, code
		}
		return 0, ""
	}
}

// What the page says of time does not follow the viewer's clock.
func TestTheViewersClockIsWrong(t *testing.T) {
	t.Parallel()
	for _, hours := range []int{-1, 1, 26} {
		t.Run(fmt.Sprint(hours), func(t *testing.T) {
			t.Parallel()
			f := newFakeWith(t, 60, dashboard.Options{Credentials: "/auth.js"})
			p := newTab(t, 1360, 900, before(fmt.Sprintf(`{
				const real = Date, off = %d * 3600000;
				Date = class extends real {
					constructor(...given) { given.length ? super(...given) : super(real.now() + off); }
					static now() { return real.now() + off; }
				};
			}`, hours)))
			p.open(f.URL+"/dashboard/#/people", "")
			p.until(rows + " > 20")
			assert.Regexp(t, `^(just now|\d+s ago|1m ago)$`, eval[string](p, "document.querySelector('td.col-last time').textContent"))
			p.until("document.querySelector('td.col-last .dot.is-very_active')")
			assert.Regexp(t, `h ago$`, eval[string](p, "[...document.querySelectorAll('td.col-since time')].at(-1).textContent"))

			p.hash("#/")
			p.until("document.querySelector('.plot').ariaLabel?.includes('highest')")
			f.mu.Lock()
			defer f.mu.Unlock()
			for _, uri := range f.asked {
				if at, err := url.Parse(uri); err == nil && strings.HasSuffix(at.Path, "/history") {
					to, err := time.Parse(time.RFC3339, at.Query().Get("to"))
					require.NoError(t, err)
					assert.WithinDuration(t, time.Now(), to, 2*time.Minute, uri)
				}
			}
		})
	}
}

// The feed holds still under the pointer, and goes on once that is elsewhere, also
// where the page was left by a click on somebody's name.
func TestTheFeedGoesOn(t *testing.T) {
	t.Parallel()
	f, p := visit(t, 60, "", scheme("light"))
	p.says("#connection-text", "Live")
	f.script()
	p.until("document.querySelectorAll('.feed-item').length === 8")
	at := eval[struct{ X, Y float64 }](p, `((box) => ({X: box.x + 8, Y: box.y + 8}))(document.querySelector('.feed-list .name').getBoundingClientRect())`)
	p.point(at.X, at.Y)
	f.publish("login", map[string]any{"session": f.session(1)})
	p.says(".feed-held", "1 new")
	p.focus(".feed-list .name")
	p.do(chromedp.KeyEvent(kb.Enter))
	p.until("document.body.dataset.view === 'person'")
	p.point(2, 2)
	p.hash("#/")
	p.until("document.querySelectorAll('.feed-item').length === 9")
	f.publish("login", map[string]any{"session": f.session(2)})
	p.until("document.querySelectorAll('.feed-item').length === 10")
	p.clean()
}

// A page that nobody sees asks for nothing and gathers nothing, and is up to date as
// soon as it is looked at.
func TestAHiddenPageRests(t *testing.T) {
	t.Parallel()
	f := newFakeWith(t, 300, dashboard.Options{Credentials: "/auth.js"})
	p := newTab(t, 1360, 900, scheme("light"), hurried, hideable)
	rests := func(part string) {
		t.Helper()
		require.Eventually(t, func() bool { return f.count(part) > 4 }, patience, 20*time.Millisecond, "it is not asked every so often")
		eval[bool](p, "hide('hidden')")
		before := -1
		require.Eventually(t, func() bool { // what was on its way may still come
			last := before
			before = f.count(part)
			return before == last
		}, patience, 700*time.Millisecond, "it goes on asking")
	}
	p.open(f.URL+"/dashboard/", "")
	p.says("#connection-text", "Live")
	rests("/history")
	eval[bool](p, "hide('visible')")
	before := f.count("/history")
	require.Eventually(t, func() bool { return f.count("/history") > before }, patience, 20*time.Millisecond)

	p.hash("#/sessions")
	p.until(rows + " > 10")
	rests("/user-sessions/sessions?")
	require.Eventually(t, func() bool { return f.watchers() == 0 }, patience, 20*time.Millisecond, "nor does it keep its stream")
	eval[bool](p, "hide('visible')")
	p.says("#connection-text", "Live")
	figures := f.figures()
	figures["online_users"] = 4321
	f.publish("stats", map[string]any{"stats": figures})
	p.says(".is-online .tile-value", "4,321")
	p.clean()
}

// A list that could not be loaded is asked for again when the connection is back.
func TestAListComesBack(t *testing.T) {
	t.Parallel()
	f, p := visit(t, 60, "", scheme("light"))
	p.says("#connection-text", "Live")
	for _, view := range []string{"#/sessions", "#/person/103"} {
		f.refuse(refusing("/user-sessions/", http.StatusServiceUnavailable, "store_unavailable"))
		p.hash(view)
		p.says(".table-note", "cannot reach its database")
		f.refuse(nil)
		f.CloseClientConnections()
		p.until(rows + " > 1")
		p.until("!document.querySelector('.table-note.is-error')")
	}
	p.clean()
}

// Another range that cannot be had is not drawn as the one before it.
func TestARangeThatCannotBeHad(t *testing.T) {
	t.Parallel()
	f, p := visit(t, 60, "", scheme("light"))
	p.until("document.querySelector('.u-over')")
	f.refuse(refusing("/history", http.StatusServiceUnavailable, "store_unavailable"))
	p.click(".choice button", "Week")
	p.says(".plot-note", "cannot reach its database")
	p.until("document.querySelector('.plot').hidden && document.querySelector('.plot-readout').textContent === ''")
	f.refuse(nil)
	p.click(".choice button", "Day")
	p.until("!document.querySelector('.plot').hidden")
	p.clean()
}

// Whoever is thrown out is told why, also by a server that does not know the session.
func TestTheSignInIsNoLongerKnown(t *testing.T) {
	t.Parallel()
	for code, says := range map[string]string{"session_invalid": "no longer valid", "token_expired": "has expired", "session_ended": "has ended"} {
		t.Run(code, func(t *testing.T) {
			t.Parallel()
			f := newFake(t, 60)
			p := newTab(t, 1360, 900, scheme("light"))
			p.open(f.URL+"/dashboard/#/sessions", "admin@example.com")
			p.click(".rows .col-action button", "End")
			p.until("document.querySelector('dialog[open]')")
			f.refuse(refusing("/", http.StatusUnauthorized, code))
			f.CloseClientConnections()
			p.says(".gate-why", says)
			p.until("!document.querySelector('dialog[open]')")
			p.until("document.activeElement.id === 'email'")
			f.refuse(nil)
			p.typeIn("#email", "admin@example.com")
			p.typeIn("#password", "demo")
			p.do(chromedp.KeyEvent(kb.Enter))
			p.until(rows + " > 10") // where it was
			p.clean()
		})
	}
}

// A sign-in whose session is then refused, as where a cookie is not kept, says so.
func TestASignInThatDoesNotHold(t *testing.T) {
	t.Parallel()
	f := newFake(t, 3)
	p := newTab(t, 1360, 900)
	p.open(f.URL+"/dashboard/", "")
	f.refuse(refusing("/", http.StatusUnauthorized, "unauthenticated"))
	p.typeIn("#email", "admin@example.com")
	p.typeIn("#password", "demo")
	p.click("button", "Sign in")
	p.says(".gate-error", "does not accept its session")
}

// The session that the question is about ends while it is asked.
func TestASessionEndsWhileItIsAskedAbout(t *testing.T) {
	t.Parallel()
	f, p := visit(t, 60, "#/sessions", scheme("light"), unrefreshed)
	p.focus(".rows .col-action button")
	p.press(kb.Enter, "Cancel")
	p.says("dialog[open]", "Amara Sato")
	f.publish("logout", map[string]any{"session": f.over(1, "idle")}) // somebody else's
	f.publish("logout", map[string]any{"session": f.over(0, "logout")})
	p.says("dialog[open] .warning", "already ended: Signed out")
	assert.True(t, eval[bool](p, "document.querySelector('#confirm-do').disabled && document.activeElement.value === 'cancel'"))
	p.shoot("ended-meanwhile")
	p.do(chromedp.KeyEvent(kb.Escape))
	p.says(".is-over", "Signed out")
	// The button is gone; who came by keyboard goes on from the same row.
	p.until("document.activeElement.matches('.is-over .name')")
	p.click(".rows .col-action button", "End")
	p.until("document.querySelector('dialog[open]') && !document.querySelector('#confirm-do').disabled && document.querySelector('#confirm-warning').hidden")
	p.clean()
}

// over is the i-th session, ended.
func (f *fake) over(i int, reason string) map[string]any {
	s := f.session(i)
	s["logoutAt"], s["isActive"], s["endReason"] = time.Now().UTC(), false, reason
	return s
}

// The focus is never lost with what had it.
func TestTheFocusStaysNearWhatEnded(t *testing.T) {
	t.Parallel()
	f := newFakeWith(t, 60, dashboard.Options{Credentials: "/auth.js"})
	p := newTab(t, 1360, 900, scheme("light"), unrefreshed)
	end := func(button string) {
		t.Helper()
		p.focus(button)
		p.press(kb.Enter, "Cancel")
		p.press(kb.Tab, "confirm-do")
		p.do(chromedp.KeyEvent(kb.Enter))
		p.says(".toast", "ended")
	}
	p.open(f.URL+"/dashboard/#/sessions", "")
	end(".rows .col-action button")
	p.says(".is-over", "Ended by an administrator")
	p.until("document.activeElement.closest('tr.is-over')")
	p.hash("#/person/103")
	end(".rows .col-action button")
	p.until("document.querySelector('.person-head .button').disabled")
	p.until("document.activeElement.closest('.rows')")
	p.hash("#/person/102")
	end(".person-head .button:not(:disabled)")
	p.until("document.querySelector('.person-head .button').disabled")
	p.until("document.activeElement.id === 'person-title'")
	p.clean()
}

// Views have titles of their own, and keep their filters while somebody looks at a
// person.
func TestViewsKeepTheirPlace(t *testing.T) {
	t.Parallel()
	_, p := visit(t, 60, "", scheme("light"))
	p.until("document.title === 'Overview · Sessions'")
	p.hash("#/people")
	p.until("document.title === 'People online · Sessions'")
	p.typeIn("#search", "Sato")
	eval[bool](p, `((s) => { s.value = "mobile"; s.dispatchEvent(new Event("change")); return true; })(document.querySelector("#filter-device"))`)
	const found = rows + " > 0 && [...document.querySelectorAll('.rows tbody tr:not(.spacer)')].every((row) => row.textContent.includes('Sato') && row.textContent.includes('Mobile'))"
	p.until(found)
	name := eval[string](p, "document.querySelector('.rows .name').textContent")
	p.click(".rows .name", "Sato")
	p.until("document.title === " + quoted(name+" · Sessions"))
	p.says(".back", "People online")
	p.click(".back", "")
	p.until("document.querySelector('#search')?.value === 'Sato' && document.querySelector('#filter-device').value === 'mobile'")
	p.until(found)
	p.hash("#/sessions")
	p.until("document.querySelector('#search').value === '' && " + rows + " > 10")
	p.clean()
}

// While the server cannot reach its sessions the page does not call itself live, with
// the stream open.
func TestTheStoreIsAway(t *testing.T) {
	t.Parallel()
	f, p := visit(t, 60, "", scheme("light"))
	p.says("#connection-text", "Live")
	p.until("document.querySelector('.u-over')")
	f.refuse(refusing("/", http.StatusServiceUnavailable, "store_unavailable"))
	p.click(".choice button", "Day")
	p.says("#connection-text", "Out of date")
	p.says("#banner", "cannot reach its database")
	p.shoot("store-away")
	f.refuse(nil)
	p.click("#banner-retry", "Try now")
	p.says("#connection-text", "Live")
	p.until("document.querySelector('#banner').hidden && !document.querySelector('.plot').hidden")
	p.says(".toast", "is back")

	// More people than at any sample of today are today's peak.
	figures := f.figures()
	figures["online_users"] = 4321
	f.publish("stats", map[string]any{"stats": figures})
	p.says(".is-peak .tile-value", "4,321")
	p.says(".is-peak .tile-note", "right now")
	p.clean()
}

// The device and the place of a sign-in are told as soon as a list knows them.
func TestTheFeedLearnsDevices(t *testing.T) {
	t.Parallel()
	f, p := visit(t, 60, "", scheme("light"))
	p.says("#connection-text", "Live")
	s := f.session(1)
	want := fmt.Sprintf("%s on %s", s["browser"], s["os"])
	s["browser"], s["os"], s["device"], s["location"] = "", "", "", nil
	f.publish("login", map[string]any{"session": s})
	p.says(".feed-item .detail", "Desktop")
	p.says(".feed-item .detail", want)
	p.clean()
}

// A language that is written from right to left turns the page, and nothing sticks out.
func TestFromRightToLeft(t *testing.T) {
	t.Parallel()
	for _, width := range []int64{360, 820, 1360} {
		t.Run(fmt.Sprint(width), func(t *testing.T) {
			t.Parallel()
			f := newFakeWith(t, 260, dashboard.Options{Language: "ar", Credentials: "/auth.js", Messages: map[string]string{
				"nav.overview": "نظرة عامة", "nav.people": "المتصلون الآن", "nav.sessions": "الجلسات", "column.person": "الشخص", "column.device": "الجهاز",
			}})
			p := newTab(t, width, 900, scheme("light"))
			p.open(f.URL+"/dashboard/", "")
			p.until("document.querySelector('.u-over')")
			assert.Equal(t, "rtl", eval[string](p, "document.documentElement.dir"))
			p.shootAll(fmt.Sprintf("rtl-%d-overview", width))
			for _, view := range []string{"#/people", "#/person/103"} {
				p.hash(view)
				p.until(rows + " > 1")
				p.shoot(fmt.Sprintf("rtl-%d-%s", width, view[2:8]))
				assert.LessOrEqual(t, eval[int](p, "document.documentElement.scrollWidth"), int(width), view)
				assert.Less(t, eval[float64](p, "innerWidth - document.querySelector('h1').getBoundingClientRect().right"), 200.0)
			}
			p.clean()
		})
	}
}
