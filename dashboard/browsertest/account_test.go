package browsertest

import (
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sessiontrack/sessiontrack"
	"github.com/sessiontrack/sessiontrack/account"
)

const devicesPath = "/account/devices/"

// devicesApp is an application with the page "Your devices", and a page of its own that watches the
// time left.
type devicesApp struct {
	*sessiontrack.Tracker
	url string
}

func newDevicesApp(t *testing.T, o account.Options, idle time.Duration) *devicesApp {
	t.Helper()
	tracker, err := sessiontrack.New(sessiontrack.NewMemoryStore(), &sessiontrack.Options{
		Cookie: &sessiontrack.CookieOptions{InsecureHTTP: true}, Logger: slog.New(slog.DiscardHandler),
		SessionOptional: sessiontrack.SkipPrefixes("/signin"), Refuse: sessiontrack.RedirectPages("/signin"),
		IdleTimeout: idle, TouchInterval: 10 * time.Millisecond, FlushInterval: 10 * time.Millisecond,
	})
	require.NoError(t, err)
	require.NoError(t, tracker.Start(t.Context()))
	o.Tracker = tracker
	mux := http.NewServeMux()
	mux.Handle(devicesPath, account.Handler(&o))
	mux.Handle("/api/v1/online/", tracker.UserHandler(nil))
	mux.HandleFunc("/signin", func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Get("user") == "" {
			w.Header().Set("Content-Type", "text/html")
			_, _ = io.WriteString(w, `<!doctype html><html lang="en"><title>Sign in</title><h1>Sign in</h1>`)
			return
		}
		if _, _, err := tracker.Login(w, r, r.URL.Query().Get("user")); err == nil {
			http.Redirect(w, r, sessiontrack.NextPath(r, devicesPath), http.StatusSeeOther)
		}
	})
	mux.HandleFunc("/app.js", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/javascript")
		_, _ = io.WriteString(w, `import { watchSession } from "/account/devices/session.js";
watchSession({ warn: 20, signIn: "/signin", stream: true });`)
	})
	mux.HandleFunc("/app", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		_, _ = io.WriteString(w, `<!doctype html><html lang="en"><title>Application</title><main><h1>Application</h1></main>
<script type="module" src="/app.js"></script>`)
	})
	server := httptest.NewServer(tracker.Middleware(mux))
	t.Cleanup(func() {
		server.Close()
		_ = tracker.Shutdown(t.Context())
	})
	return &devicesApp{tracker, server.URL}
}

const phone = "Mozilla/5.0 (Linux; Android 16; SM-S918B) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Mobile Safari/537.36"

// another makes a session of a user elsewhere.
func (a *devicesApp) another(t *testing.T, user string) sessiontrack.Session {
	t.Helper()
	r := httptest.NewRequest(http.MethodPost, "/signin", nil)
	r.Header.Set("User-Agent", phone)
	s, _, err := a.Login(httptest.NewRecorder(), r, user)
	require.NoError(t, err)
	return s
}

const (
	liveCards  = "document.querySelectorAll('.cards:not(.is-ended) .card').length"
	endedCards = "document.querySelectorAll('.cards.is-ended .card').length"
)

func TestDevicesPageIsUsedAndFollows(t *testing.T) {
	t.Parallel()
	a := newDevicesApp(t, account.Options{}, time.Hour)
	phone := a.another(t, "1")
	p := newTab(t, 1000, 900)
	p.open(a.url+"/signin?user=1", "")
	p.until(liveCards + " === 2")
	p.says(".card.is-current .badge", "This device")
	require.True(t, eval[bool](p, "document.querySelector('.card').classList.contains('is-current')"), "this one first")
	p.until("!document.querySelector('time').textContent.includes('UTC')") // the reader's zone

	p.click("button", "This was not me")
	p.says("#devices-note", "Change your password")
	p.until(liveCards + " === 1 && " + endedCards + " === 1")
	p.says(".cards.is-ended dd", "You reported it")
	got, err := a.Get(t.Context(), phone.ID)
	require.NoError(t, err)
	assert.Equal(t, sessiontrack.ReasonReported, got.EndReason)

	p.focus(".card.is-current button")
	a.another(t, "1") // appears without a reload
	eval[bool](p, "(document.dispatchEvent(new Event('visibilitychange')), true)")
	p.until(liveCards + " === 2")
	p.says("#devices-note", "Your devices have changed.")
	require.True(t, eval[bool](p, "document.activeElement.closest('.is-current') !== null"), "the focus stays")
	p.click("button", "Sign out all other devices")
	p.says("#devices-note", "All other devices were signed out.")
	p.until(liveCards + " === 1")
	p.clean()

	_, err = a.End(t.Context(), sessiontrack.User("1"), sessiontrack.Ending{Reason: sessiontrack.ReasonAdmin})
	require.NoError(t, err)
	eval[bool](p, "(document.dispatchEvent(new Event('visibilitychange')), true)")
	p.says("h1", "Sign in")
	require.Contains(t, eval[string](p, "location.search"), "reason=admin")
}

func TestAxeFindsNothingOnDevicesPage(t *testing.T) {
	t.Parallel()
	arabic := account.Options{Language: "ar"}
	for _, form := range []struct {
		name, scheme string
		width        int64
		zoom         float64
		options      account.Options
	}{
		{"light", "light", 1000, 1, account.Options{}}, {"dark", "dark", 1000, 1, account.Options{}},
		{"phone", "light", 390, 1, account.Options{}}, {"phone dark", "dark", 390, 1, account.Options{}},
		{"zoom", "light", 1000, 2, account.Options{}}, {"right to left", "dark", 390, 1, arabic},
	} {
		t.Run(form.name, func(t *testing.T) {
			t.Parallel()
			a := newDevicesApp(t, form.options, time.Hour)
			ended := a.another(t, "1")
			_, err := a.End(t.Context(), sessiontrack.IDs(ended.ID), sessiontrack.Ending{Reason: sessiontrack.ReasonIdle})
			require.NoError(t, err)
			a.another(t, "1")
			p := newTab(t, form.width, 900, scheme(form.scheme),
				with(emulation.SetPageScaleFactor, emulation.SetPageScaleFactorParams{PageScaleFactor: form.zoom}))
			p.open(a.url+"/signin?user=1", "")
			p.until(liveCards + " === 2 && " + endedCards + " === 1")
			p.accessible(form.name)
			require.True(t, eval[bool](p, "document.documentElement.scrollWidth <= innerWidth"), "nothing is cut off")
			p.shootAll("devices-" + form.name)
			p.clean()
		})
	}
}

// TestSessionWarnsExtendsAndSaysWhyItIsOver: WCAG 2.2.1, on a page of the host.
func TestSessionWarnsExtendsAndSaysWhyItIsOver(t *testing.T) {
	t.Parallel()
	a := newDevicesApp(t, account.Options{}, 25*time.Second)
	p := newTab(t, 1000, 700)
	p.open(a.url+"/signin?user=1&next=/app", "")
	p.says("h1", "Application")
	require.False(t, eval[bool](p, "document.querySelector('dialog')?.open ?? false"))
	p.says("dialog[open] h2", "You will be signed out soon")
	p.accessible("warning")
	require.Equal(t, "alertdialog", eval[string](p, "document.querySelector('dialog').getAttribute('role')"))
	p.click("dialog[open] button", "Stay signed in")
	p.until("!document.querySelector('dialog').open")

	_, err := a.End(t.Context(), sessiontrack.User("1"), sessiontrack.Ending{Reason: sessiontrack.ReasonAdmin})
	require.NoError(t, err) // the stream tells
	p.says("dialog[open] h2", "You have been signed out")
	p.says("dialog[open] p", "An administrator ended the session.")
	p.click("dialog[open] button", "Sign in again")
	p.says("h1", "Sign in")
	require.Equal(t, "/signin", eval[string](p, "location.pathname"), fmt.Sprint(p.troubles()))
}
