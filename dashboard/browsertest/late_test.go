package browsertest

import (
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sessiontrack/sessiontrack/dashboard"
)

// hurried does ten times a second what the page does every so often.
var hurried = before(`for (const name of ["setTimeout", "setInterval"]) {
	const real = window[name];
	window[name] = (run, wait, ...rest) => real(run, wait >= 10000 && wait <= 120000 && wait !== 40000 ? 100 : wait, ...rest);
}`)

// settled gives answers that are on their way the time to do harm.
func (p *tab) settled() {
	p.t.Helper()
	eval[bool](p, "new Promise((done) => setTimeout(() => done(true), 400))")
}

// holding stops requests that a function is for, until the channel is closed. Each says
// when it has come.
func holding(is func(*http.Request) bool, status int, code string) (refuse func(*http.Request) (int, string), came chan struct{}, release func()) {
	came, released := make(chan struct{}, 100), make(chan struct{})
	return func(r *http.Request) (int, string) {
		if !is(r) {
			return 0, ""
		}
		came <- struct{}{}
		<-released
		return status, code
	}, came, func() { close(released) }
}

// Whoever cannot be asked at first and is nobody afterwards is asked to sign in.
func TestARefusalAfterAnOutage(t *testing.T) {
	t.Parallel()
	f := newFake(t, 3)
	f.refuse(refusing("/", http.StatusServiceUnavailable, "store_unavailable"))
	p := newTab(t, 1360, 900)
	p.open(f.URL+"/dashboard/", "")
	p.says(".gate", "cannot reach its database")
	f.refuse(refusing("/", http.StatusUnauthorized, "session_invalid"))
	p.click(".gate button", "Try again")
	p.until("document.activeElement.id === 'email'")
}

// An administrator who is none any longer sees nobody's data any longer, while the stream
// goes on with what everybody may see.
func TestADemotedAdministrator(t *testing.T) {
	t.Parallel()
	for _, view := range []string{"", "#/sessions", "#/person/101"} {
		t.Run(view, func(t *testing.T) {
			t.Parallel()
			f, p := visit(t, 60, view, scheme("light"), hurried)
			p.says("#connection-text", "Live")
			f.refuse(func(r *http.Request) (int, string) {
				if r.Method == "GET" && (strings.Contains(r.URL.Path, "/user-sessions/") || strings.HasSuffix(r.URL.Path, "/history")) {
					return http.StatusForbidden, "forbidden"
				}
				return 0, ""
			})
			p.says(".gate h1", "administrators")
			assert.NotContains(t, eval[string](p, "document.body.innerText"), "@example.com")
		})
	}
}

// refusedEnd confirms the end of a session, which the server refuses.
func refusedEnd(t *testing.T, status int, code string) *tab {
	t.Helper()
	f, p := visit(t, 60, "#/sessions", scheme("light"), unrefreshed)
	f.refuse(refusing("/force-logout", status, code))
	p.click(".rows .col-action button", "End")
	p.click("dialog button", "End")
	return p
}

// That one session may not be ended takes nothing else away.
func TestASessionThatMayNotBeEnded(t *testing.T) {
	t.Parallel()
	p := refusedEnd(t, http.StatusForbidden, "forbidden")
	p.says(".toast.is-error", "may not")
	p.says("#connection-text", "Live")
	p.until(rows + " > 10")
}

// A refusal of credentials that have been replaced meanwhile signs nobody out.
func TestLateRefusalsOfEarlierCredentials(t *testing.T) {
	t.Parallel()
	f := newFakeWith(t, 40, dashboard.Options{SignInPage: "/sign-in"})
	refuse, came, release := holding(func(r *http.Request) bool { return r.Header.Get("Authorization") == "Bearer wrong" }, http.StatusUnauthorized, "unauthenticated")
	f.refuse(refuse)
	p := newTab(t, 1360, 900)
	p.open(f.URL+"/dashboard/", "")
	p.says("h1", "Sign in")
	p.handOver("wrong")
	for range 2 { // the figures and the list
		<-came
	}
	p.handOver(fakeToken)
	p.says("#connection-text", "Live")
	eval[bool](p, "(window.before = document.querySelector('#view > *')) !== null")
	asked := func() int { return f.count("/stats") + f.count("/active-users") }
	before := asked()
	release()
	require.Eventually(t, func() bool { return asked() == before+2 }, patience, 20*time.Millisecond, "both are asked again, with what is right")
	p.settled()
	p.says("#connection-text", "Live")
	assert.True(t, eval[bool](p, "before.isConnected"), "the view is not built anew under the reader")
	p.clean()
}

// All requests that meet the end of a token wait for one new one: hosts that allow a
// refresh once give a second caller nothing.
func TestOneLoadServesAll(t *testing.T) {
	t.Parallel()
	f := newFakeWith(t, 40, dashboard.Options{Credentials: "/load.js"})
	p := newTab(t, 1360, 900, before(`window.loads = 0;
	window.load = async () => {
		const load = ++loads;
		await new Promise((done) => setTimeout(done, 100));
		return [{ token: "old" }, { token: "`+fakeToken+`", sessionId: "handle.secret" }][load - 1] ?? null;
	};`))
	p.open(f.URL+"/dashboard/", "")
	p.says("#connection-text", "Live")
	p.settled()
	p.says("#connection-text", "Live")
	assert.Equal(t, 2, eval[int](p, "loads"))
	p.clean()
}

// What a slow module brings does not replace what was handed over meanwhile.
func TestALateLoadReplacesNothing(t *testing.T) {
	t.Parallel()
	f := newFakeWith(t, 40, dashboard.Options{Credentials: "/load.js"})
	p := newTab(t, 1360, 900, before(`let loads = 0;
	window.load = () => (++loads === 1 ? new Promise((done) => { window.bring = done; }) : Promise.resolve(null));`))
	p.open(f.URL+"/dashboard/", "")
	p.until("window.bring")
	p.handOver(fakeToken)
	p.says("#connection-text", "Live")
	eval[bool](p, "(bring(null), true)")
	p.settled()
	p.says("#connection-text", "Live")
	p.clean()
}

// A refusal from before a cookie was there does not sign out whom the cookie signs in.
func TestALateRefusalWithoutTheCookie(t *testing.T) {
	t.Parallel()
	f := newFakeWith(t, 40, dashboard.Options{})
	p := newTab(t, 1360, 900)
	p.open(f.URL+"/dashboard/", "")
	p.says(".gate", "Sign in to the application")
	refuse, came, release := holding(func(r *http.Request) bool {
		_, err := r.Cookie("fake")
		return err != nil
	}, http.StatusUnauthorized, "unauthenticated")
	f.refuse(refuse)
	p.click(".gate button", "Try again")
	<-came
	<-came
	eval[bool](p, "(document.cookie = 'fake="+fakeToken+"; path=/', true)")
	p.click(".gate button", "Try again")
	p.says("#connection-text", "Live")
	release()
	p.settled()
	p.says("#connection-text", "Live")
	p.clean()
}

// signedIn is somebody who has signed in by the page's own form.
func signedIn(t *testing.T) (*fake, *tab) {
	t.Helper()
	f := newFake(t, 60)
	p := newTab(t, 1360, 900, scheme("light"))
	p.open(f.URL+"/dashboard/", "admin@example.com")
	return f, p
}

// Signing out is done once, and takes nothing from whoever has signed in meanwhile.
func TestSigningOutTwice(t *testing.T) {
	t.Parallel()
	f, p := signedIn(t)
	refuse, came, release := holding(func(r *http.Request) bool { return r.URL.Path == "/logout" }, http.StatusUnauthorized, "session_ended")
	f.refuse(refuse)
	p.click("#sign-out", "")
	<-came
	p.click("#sign-out", "")
	p.handOver(fakeToken + "-of-another")
	p.says(".gate", "Sign in") // which is no good
	f.refuse(nil)
	p.handOver(fakeToken)
	p.says("#connection-text", "Live")
	before := f.count("/logout")
	release()
	p.settled()
	p.says("#connection-text", "Live")
	assert.Equal(t, 1, before)
	assert.Equal(t, 1, f.count("/logout"), "nobody else is signed out")

	p.click("#sign-out", "")
	p.until("document.activeElement.id === 'email'")
	p.clean()
}

// Whoever signs in next sees nothing of what was shown before.
func TestTheNextUserBeginsAnew(t *testing.T) {
	t.Parallel()
	f, p := signedIn(t)
	f.publish("logout", map[string]any{"session": f.over(0, "logout")})
	p.says(".feed-item", "Amara Sato")
	p.until("document.querySelector('.heat').getAttribute('aria-label').includes('Busiest')")
	p.click("#sign-out", "")
	p.until("document.activeElement.id === 'email'")
	f.refuse(refusing("/history", http.StatusForbidden, "forbidden"))
	p.typeIn("#email", "admin@example.com")
	p.typeIn("#password", "demo")
	p.do(chromedp.KeyEvent(kb.Enter))
	p.says("#connection-text", "Live")
	p.until("document.activeElement.tagName === 'H1'")
	assert.False(t, eval[bool](p, "Boolean(document.querySelector('.feed-item'))"))
	assert.NotContains(t, eval[string](p, "document.querySelector('.heat').getAttribute('aria-label')"), "Busiest")
	p.says(".feed-empty", "")
}

// poorer is what an event tells of the i-th session before it has been described.
func (f *fake) poorer(i int) map[string]any {
	s := f.session(i)
	s["browser"], s["os"], s["device"], s["location"], s["current"] = nil, nil, nil, nil, false
	s["user"] = map[string]any{"id": s["userId"], "fullName": f.user(s["userId"].(int))["fullName"], "email": nil}
	return s
}

// An event tells less of a session than the list that told of it first.
func TestEventsTakeNothingFromRows(t *testing.T) {
	t.Parallel()
	f, p := visit(t, 60, "#/sessions", scheme("light"), unrefreshed)
	p.until(rows + " > 10")
	own := f.session(3) // the viewer's
	row := `[...document.querySelectorAll(".rows tbody tr")].find((row) => row.textContent.includes(` + quoted(own["user"].(map[string]any)["email"].(string)) + `))`
	p.until(row)
	before := eval[string](p, row+".innerText")
	f.publish("login", map[string]any{"session": f.poorer(3)})
	f.publish("login", map[string]any{"session": f.poorer(59)}) // which shows that both have come
	p.until("document.querySelector('.rows tbody tr:not(.spacer)').textContent.includes(" + quoted(f.user(f.session(59)["userId"].(int))["fullName"].(string)) + ")")
	assert.Equal(t, before, eval[string](p, row+".innerText"))
	eval[bool](p, "("+row+".querySelector('.col-action button').click(), true)")
	p.says("dialog[open] .warning", "signed out yourself")
	p.do(chromedp.KeyEvent(kb.Escape))
	p.until("!document.querySelector('dialog[open]')")

	p.hash("#/person/101")
	p.says(".person-facts", "@example.com")
	s := f.poorer(1)
	s["sessionId"] = "n" + strings.Repeat("0", 21)
	f.publish("login", map[string]any{"session": s})
	s["logoutAt"], s["isActive"], s["endReason"] = time.Now().UTC(), false, "logout"
	f.publish("logout", map[string]any{"session": s})
	p.until("document.querySelectorAll('.rows tbody tr.is-over').length > 6")
	p.says(".person-facts", "@example.com")
	p.clean()
}

// A list that was asked for before an end, and answers after it, takes nothing back.
func TestALateListRevivesNothing(t *testing.T) {
	t.Parallel()
	f, p := visit(t, 60, "#/sessions", scheme("light"), hurried)
	p.until(rows + " > 10")
	hold, released := make(chan struct{}), make(chan struct{})
	var asked atomic.Bool
	f.refuse(func(r *http.Request) (int, string) {
		if strings.HasSuffix(r.URL.Path, "/user-sessions/sessions") && asked.CompareAndSwap(false, true) {
			close(hold)
			<-released
		}
		return 0, ""
	})
	<-hold
	f.publish("logout", map[string]any{"session": f.over(0, "admin")})
	p.says(".is-over", "Ended by an administrator")
	before := f.count("/user-sessions/sessions?")
	close(released)
	require.Eventually(t, func() bool { return f.count("/user-sessions/sessions?") > before+2 }, patience, 20*time.Millisecond)
	p.says(".is-over", "Ended by an administrator")
	p.clean()
}

// A list of people that needs two pages to fill the screen does not shrink to one of them
// and grow again each time that it is brought up to date.
func TestPeopleDoNotComeAndGo(t *testing.T) {
	t.Parallel()
	f := newFake(t, 120)
	p := newTab(t, 1360, 2400, scheme("light"), hurried)
	p.open(f.URL+"/dashboard/#/people", "admin@example.com")
	p.says(".list-count", "81 people")
	eval[bool](p, `(window.least = 1000, new MutationObserver(() => {
		least = Math.min(least, Number(document.querySelector(".list-count").textContent.match(/\d+/)?.[0] ?? 0));
	}).observe(document.querySelector(".list-count"), {childList: true, characterData: true, subtree: true}), true)`)
	asked := f.count("/active-users")
	require.Eventually(t, func() bool { return f.count("/active-users") > asked+8 }, patience, 20*time.Millisecond)
	assert.Greater(t, eval[int](p, "least"), 60)
	p.clean()
}

// What cannot be brought up to date is not called live, whatever the reason.
func TestWhatCannotBeAskedIsNotLive(t *testing.T) {
	t.Parallel()
	f, p := visit(t, 60, "#/sessions", scheme("light"), hurried)
	p.until(rows + " > 10")
	f.refuse(refusing("/user-sessions/sessions", http.StatusBadGateway, ""))
	p.says("#connection-text", "Out of date")
	p.says("#banner", "could not")
	p.settled() // while other questions are answered
	p.says("#connection-text", "Out of date")
	f.refuse(nil)
	p.says("#connection-text", "Live")
	p.until("document.querySelector('#banner').hidden")

	f.refuse(refusing("/user-sessions/sessions", http.StatusBadGateway, ""))
	p.says("#connection-text", "Out of date")
	p.hash("#/")
	p.says("#connection-text", "Live")

	f.refuse(refusing("/user-sessions/sessions", http.StatusOK, notOurs))
	p.hash("#/sessions")
	p.says(".table-note.is-error", "could not")
	assert.NotContains(t, eval[string](p, "document.body.innerText"), "undefined")
}

// Whoever presses twice has not answered a question that they have not read.
func TestADoubleClickConfirmsNothing(t *testing.T) {
	t.Parallel()
	f, p := visit(t, 60, "#/sessions", scheme("light"), unrefreshed, before("window.clock = 1000; performance.now = () => clock;"))
	p.until(rows + " > 10")
	at := eval[[2]float64](p, `((at) => [at.x + at.width / 2, at.y + at.height / 2])(document.querySelector(".rows .col-action button").getBoundingClientRect())`)
	for range 2 {
		for _, kind := range []input.DispatchMouseEventType{input.DispatchMouseEventTypeMousePressed, input.DispatchMouseEventTypeMouseReleased} {
			require.NoError(t, with(input.DispatchMouseEvent, input.DispatchMouseEventParams{Type: kind, X: at[0], Y: at[1], Button: input.MouseButtonLeft, ClickCount: 1})(p.ctx))
		}
	}
	p.settled()
	p.says("dialog[open]", "End")
	eval[bool](p, "(clock += 1000, true)") // the time to read the question
	p.do(chromedp.Click(chromedp.CSS("dialog button[value=cancel]")))
	p.until("!document.querySelector('dialog[open]')")
	assert.Zero(t, f.count("/force-logout"))
	p.clean()
}

// An end of the viewer's own session is told by the page itself, once.
func TestOnesOwnEndIsToldOnce(t *testing.T) {
	t.Parallel()
	p := refusedEnd(t, http.StatusUnauthorized, "session_ended")
	p.says(".gate-why", "has ended")
	p.settled()
	assert.False(t, eval[bool](p, "Boolean(document.querySelector('.toast.is-error'))"))
}
