package browsertest

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	"github.com/stretchr/testify/require"

	"github.com/sessiontrack/sessiontrack/dashboard"
)

// patience is how long the page may take for anything, on a busy machine.
const patience = 30 * time.Second

var browser struct {
	once sync.Once
	ctx  context.Context
	stop func()
	err  error
}

func TestMain(m *testing.M) {
	code := m.Run()
	if browser.stop != nil {
		browser.stop()
	}
	os.Exit(code)
}

func findBrowser() string {
	for _, name := range []string{os.Getenv("CHROMIUM"), "chromium", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	return ""
}

func startBrowser() {
	path := findBrowser()
	if path == "" {
		browser.err = fmt.Errorf("no Chromium: install Debian's package chromium, or name one in CHROMIUM")
		return
	}
	profile, err := os.MkdirTemp("", "dashboard-browser-")
	if err != nil {
		browser.err = err
		return
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(path), chromedp.UserDataDir(profile), chromedp.DisableGPU, chromedp.NoFirstRun,
		chromedp.Flag("disable-background-networking", true), chromedp.Flag("disable-component-update", true),
		chromedp.Flag("disable-sync", true), chromedp.Flag("disable-quic", true), chromedp.Flag("lang", "en-US"),
		chromedp.Flag("force-color-profile", "srgb"), chromedp.Env("TZ=UTC"), chromedp.WSURLReadTimeout(patience),
	)
	if os.Geteuid() == 0 {
		options = append(options, chromedp.NoSandbox) // its sandbox refuses to run as root
	}
	allocator, stopAllocator := chromedp.NewExecAllocator(context.Background(), options...)
	ctx, stop := chromedp.NewContext(allocator)
	browser.stop = func() {
		stop()
		stopAllocator()
		_ = os.RemoveAll(profile)
	}
	browser.ctx, browser.err = ctx, chromedp.Do(ctx)
}

// tab is one page of a browser profile of its own.
type tab struct {
	t   *testing.T
	ctx context.Context

	mu      sync.Mutex
	trouble []string        // exceptions and dialogs
	hosts   map[string]bool // that the browser asked anything
	paths   map[network.RequestID]string
	wire    map[string]int // bytes that came, headers included, by path
}

// watchPolicy collects violations of the page's Content-Security-Policy.
const watchPolicy = `window.policyReports = [];
document.addEventListener("securitypolicyviolation", (e) => window.policyReports.push(e.violatedDirective + " " + e.blockedURI + " " + e.sample));`

// newTab skips the test where there is no browser, and fails it where CI is set.
func newTab(t *testing.T, width, height int64, set ...func(context.Context) error) *tab {
	t.Helper()
	browser.once.Do(startBrowser)
	if browser.err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal(browser.err)
		}
		t.Skip(browser.err)
	}
	ctx, cancel := chromedp.NewContext(browser.ctx, chromedp.WithNewBrowserContext())
	t.Cleanup(cancel)
	return prepare(t, ctx, width, height, set...)
}

// another opens a further tab of the same profile: its connections count with the others'.
func (p *tab) another(set ...func(context.Context) error) *tab {
	p.t.Helper()
	ctx, cancel := chromedp.NewContext(p.ctx)
	p.t.Cleanup(cancel)
	return prepare(p.t, ctx, 1360, 900, set...)
}

func prepare(t *testing.T, ctx context.Context, width, height int64, set ...func(context.Context) error) *tab {
	t.Helper()
	p := &tab{t: t, ctx: ctx, hosts: map[string]bool{}, paths: map[network.RequestID]string{}, wire: map[string]int{}}
	require.NoError(t, chromedp.Listen(ctx, p.listen))
	set = append(set,
		with(emulation.SetDeviceMetricsOverride, emulation.SetDeviceMetricsOverrideParams{Width: width, Height: height, DeviceScaleFactor: 1, Mobile: width < 600}),
		with(page.AddScriptToEvaluateOnNewDocument, page.AddScriptToEvaluateOnNewDocumentParams{Source: watchPolicy}),
	)
	for _, setting := range set {
		require.NoError(t, setting(ctx))
	}
	return p
}

// with is a command of the browser's protocol, to be carried out on a tab.
func with[P, R any](command cdp.Command[P, R], params P) func(context.Context) error {
	return func(ctx context.Context) error {
		_, err := chromedp.Call(ctx, command, params)
		return err
	}
}

// scheme sets light or dark; without motion, so that pictures are of what stays.
func scheme(name string) func(context.Context) error {
	return with(emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
		Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: name}, {Name: "prefers-reduced-motion", Value: "reduce"}},
	})
}

func (p *tab) listen(event any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch e := event.(type) {
	case *runtime.EventExceptionThrown:
		text := e.ExceptionDetails.Text
		if thrown := e.ExceptionDetails.Exception; thrown != nil {
			text += " " + thrown.Description
		}
		p.trouble = append(p.trouble, text)
	case *network.EventRequestWillBeSent:
		if u, err := url.Parse(e.Request.URL); err == nil && u.Host != "" {
			p.hosts[u.Host] = true
			p.paths[e.RequestID] = u.Path
		}
	case *network.EventLoadingFinished:
		p.wire[p.paths[e.RequestID]] += int(e.EncodedDataLength)
	case *page.EventJavascriptDialogOpening:
		p.trouble = append(p.trouble, "dialog: "+e.Message)
		go func() { _ = with(page.HandleJavaScriptDialog, page.HandleJavaScriptDialogParams{})(p.ctx) }()
	}
}

func (p *tab) do(actions ...chromedp.Action[chromedp.Void]) {
	p.t.Helper()
	require.NoError(p.t, chromedp.Do(p.ctx, actions...))
}

// eval returns what an expression, or a promise, is, as JSON has it.
func eval[T any](p *tab, expression string) T {
	p.t.Helper()
	script := "(async () => JSON.stringify((await (" + expression + ")) ?? null))()"
	text, err := chromedp.Run(p.ctx, chromedp.Evaluate[string](script, chromedp.EvalAwaitPromise))
	require.NoError(p.t, err, expression)
	var out T
	require.NoError(p.t, json.Unmarshal([]byte(text), &out), expression)
	return out
}

// until waits for an expression to be true.
func (p *tab) until(expression string) {
	p.t.Helper()
	deadline := time.Now().Add(patience)
	for {
		done, err := chromedp.Run(p.ctx, chromedp.Evaluate[bool]("Boolean("+expression+")"))
		if err == nil && done {
			return
		}
		if time.Now().After(deadline) {
			p.shoot("failed-" + strings.ReplaceAll(p.t.Name(), "/", "-"))
			require.FailNow(p.t, "never true: "+expression, "error %v; trouble %v; the focus is on %q; the page says:\n%s",
				err, p.troubles(), eval[string](p, focused), eval[string](p, "document.body.innerText"))
		}
		<-time.After(40 * time.Millisecond)
	}
}

// says waits until an element's text has a part.
func (p *tab) says(selector, part string) {
	p.t.Helper()
	p.until(fmt.Sprintf("[...document.querySelectorAll(%q)].some((e) => !e.closest('[hidden]') && e.textContent.includes(%s))", selector, quoted(part)))
}

// click presses the first element of a selector whose text or label has a part.
func (p *tab) click(selector, part string) {
	p.t.Helper()
	p.until(fmt.Sprintf(`((e) => e && (e.click(), true))([...document.querySelectorAll(%q)].find((e) => !e.disabled &&
		!e.closest("[hidden]") && ((e.getAttribute("aria-label") ?? "") + e.textContent).includes(%s)))`, selector, quoted(part)))
}

// focus gives the focus to the first element of a selector, and waits until it is there.
func (p *tab) focus(selector string) {
	p.t.Helper()
	p.until(fmt.Sprintf("((e) => e && (e.focus(), document.activeElement === e))(document.querySelector(%q))", selector))
}

// typeIn types as a keyboard would, and waits until all of it is there.
func (p *tab) typeIn(selector, text string) {
	p.t.Helper()
	p.focus(selector)
	p.do(chromedp.KeyEvent(text))
	p.until(fmt.Sprintf("document.querySelector(%q).value.endsWith(%s)", selector, quoted(text)))
}

// press presses a key, and waits until the focus is on what focused returns so.
func (p *tab) press(key, want string) {
	p.t.Helper()
	p.do(chromedp.KeyEvent(key))
	p.until(focused + " === " + quoted(want))
}

// focused is what has the focus: its label, its id, or its text.
const focused = "((e) => e.getAttribute('aria-label') || e.id || e.textContent)(document.activeElement)"

func quoted(text string) string {
	out, _ := json.Marshal(text)
	return string(out)
}

// open loads a page and signs in where it asks for an account.
func (p *tab) open(url, email string) {
	p.t.Helper()
	p.do(chromedp.Navigate(url))
	if email == "" {
		return
	}
	p.typeIn("#email", email)
	p.typeIn("#password", "demo")
	p.click("button", "Sign in")
	p.says("#connection-text", "Live")
}

// visit opens the page at a place of its own, for an administrator whom the host has
// signed in, over so many sessions. It returns when the page is live: what is published
// from then on reaches it.
func visit(t *testing.T, sessions int, place string, set ...func(context.Context) error) (*fake, *tab) {
	t.Helper()
	f := newFakeWith(t, sessions, dashboard.Options{Credentials: "/auth.js"})
	p := newTab(t, 1360, 900, set...)
	p.open(f.URL+"/dashboard/"+place, "")
	p.says("#connection-text", "Live")
	return f, p
}

func (p *tab) troubles() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]string{}, p.trouble...)
}

// clean fails the test where a script failed, a dialog opened, the policy was
// broken, another host was asked, or anything was left behind in the browser.
func (p *tab) clean() {
	p.t.Helper()
	require.Empty(p.t, p.troubles())
	p.mu.Lock()
	hosts := slices.Collect(maps.Keys(p.hosts))
	p.mu.Unlock()
	require.Equal(p.t, []string{eval[string](p, "location.host")}, hosts)
	require.Zero(p.t, eval[int](p, "localStorage.length + sessionStorage.length"))
	require.Empty(p.t, eval[[]string](p, "window.policyReports"))
}

// outputs is where pictures go: they are looked at by people.
func outputs() string {
	if folder := os.Getenv("SCREENSHOTS"); folder != "" {
		return folder
	}
	return filepath.Join(os.TempDir(), "sessiontrack-dashboard")
}

// shoot keeps a picture of what is on the screen, shootAll of the whole page.
func (p *tab) shoot(name string) { p.keep(name, chromedp.CaptureScreenshot()) }

func (p *tab) shootAll(name string) { p.keep(name, chromedp.FullScreenshot(100)) }

func (p *tab) keep(name string, take chromedp.Action[[]byte]) {
	p.t.Helper()
	picture, err := chromedp.Run(p.ctx, take)
	require.NoError(p.t, err)
	require.NoError(p.t, os.MkdirAll(outputs(), 0o755))
	require.NoError(p.t, os.WriteFile(filepath.Join(outputs(), name+".png"), picture, 0o644))
}

// pause is between two looks at what will be so.
const pause = 20 * time.Millisecond

// reload loads the page anew, as the browser's button does.
var reload = chromedp.Reload()

func key(name string) chromedp.Action[chromedp.Void] {
	return chromedp.KeyEvent(map[string]string{"ArrowDown": kb.ArrowDown, "ArrowUp": kb.ArrowUp, "ArrowLeft": kb.ArrowLeft, "Enter": kb.Enter, "Escape": kb.Escape}[name])
}
