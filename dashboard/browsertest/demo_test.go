package browsertest

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// demo is the demo's own program, with a wire to it that can be cut.
type demo struct {
	t    *testing.T
	base string           // where it is
	wire *httptest.Server // through which the page reaches it
	cut  atomic.Bool
}

var demoBinary = sync.OnceValues(func() (string, error) {
	folder, err := os.MkdirTemp("", "dashboard-demo-")
	if err != nil {
		return "", err
	}
	binary := filepath.Join(folder, "demo")
	build := exec.Command("go", "build", "-o", binary, "./examples/demo")
	build.Dir = filepath.Join("..", "..")
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build: %w\n%s", err, out)
	}
	return binary, nil
})

func startDemo(t *testing.T, args ...string) *demo {
	t.Helper()
	binary, err := demoBinary()
	require.NoError(t, err)
	command := exec.Command(binary, append([]string{"-addr", "127.0.0.1:0", "-fast"}, args...)...)
	out, err := command.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, command.Start())
	t.Cleanup(func() {
		_ = command.Process.Signal(syscall.SIGTERM)
		_ = command.Wait()
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	require.NoError(t, err)
	go func() { _, _ = io.Copy(io.Discard, out) }()
	address := strings.TrimSpace(strings.TrimPrefix(line, "demo: serving on "))
	target, err := url.Parse(address)
	require.NoError(t, err, line)

	d := &demo{t: t, base: address}
	proxy := &httputil.ReverseProxy{
		Rewrite:       func(r *httputil.ProxyRequest) { r.SetURL(target) },
		FlushInterval: -1,
		ErrorHandler:  func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) },
	}
	d.wire = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if d.cut.Load() {
			panic(http.ErrAbortHandler)
		}
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(func() {
		d.wire.CloseClientConnections()
		d.wire.Close()
	})
	return d
}

// lose cuts the wire, open streams included.
func (d *demo) lose() {
	d.cut.Store(true)
	d.wire.CloseClientConnections()
}

func (d *demo) regain() { d.cut.Store(false) }

// Where a proxy cuts a prefix, the page and all that it asks for stay below it.
func TestBehindAProxyThatCutsAPrefix(t *testing.T) {
	t.Parallel()
	d := startDemo(t)
	target, err := url.Parse(d.base)
	require.NoError(t, err)
	below := httputil.NewSingleHostReverseProxy(target)
	below.FlushInterval = -1
	mux := http.NewServeMux()
	mux.Handle("/app/", http.StripPrefix("/app", below))
	proxy := httptest.NewServer(mux)
	t.Cleanup(func() {
		proxy.CloseClientConnections()
		proxy.Close()
	})
	p := newTab(t, 1360, 900)
	p.open(proxy.URL+"/app/dashboard", "admin@example.com")
	p.says(".is-sessions .tile-value", "1")
	require.Equal(t, "/app/dashboard/", eval[string](p, "location.pathname"))
	p.clean()
}

// visitor is somebody with an account, and a browser of their own.
type visitor struct {
	d         *demo
	token, id string
}

const (
	iPhone  = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.5 Mobile/15E148 Safari/604.1"
	firefox = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
)

func (d *demo) signIn(email, agent string) *visitor {
	d.t.Helper()
	body, _ := json.Marshal(map[string]string{"email": email, "password": "demo"})
	r, err := http.NewRequest(http.MethodPost, d.base+"/login", bytes.NewReader(body))
	require.NoError(d.t, err)
	r.Header.Set("User-Agent", agent)
	answer, err := http.DefaultClient.Do(r)
	require.NoError(d.t, err)
	defer answer.Body.Close()
	require.Equal(d.t, http.StatusOK, answer.StatusCode)
	var given struct {
		Token     struct{ Token string }
		SessionID string
	}
	require.NoError(d.t, json.NewDecoder(answer.Body).Decode(&given))
	return &visitor{d, given.Token.Token, given.SessionID}
}

// me asks for the visitor's own page, and returns the status, and why it was refused.
func (v *visitor) me() (int, string) {
	v.d.t.Helper()
	r, err := http.NewRequest(http.MethodGet, v.d.base+"/api/me", nil)
	require.NoError(v.d.t, err)
	r.Header.Set("Authorization", "Bearer "+v.token)
	r.Header.Set("x-session-id", v.id)
	answer, err := http.DefaultClient.Do(r)
	require.NoError(v.d.t, err)
	defer answer.Body.Close()
	var problem struct{ Code, Reason string }
	_ = json.NewDecoder(answer.Body).Decode(&problem)
	return answer.StatusCode, strings.Trim(problem.Code+" "+problem.Reason, " ")
}

func (v *visitor) refusedAs(want string) {
	v.d.t.Helper()
	require.Eventually(v.d.t, func() bool {
		status, why := v.me()
		return status == http.StatusUnauthorized && why == want
	}, 10*time.Second, 50*time.Millisecond)
}

// The page against the demo, from signing in to being signed out.
func TestDemo(t *testing.T) {
	t.Parallel()
	d := startDemo(t)
	p := newTab(t, 1360, 900, scheme("light"))
	p.open(d.wire.URL+"/dashboard/", "")
	p.typeIn("#email", "admin@example.com")
	p.typeIn("#password", "wrong")
	p.click("button", "Sign in")
	p.says(".gate-error", "wrong")
	p.open(d.wire.URL+"/dashboard/", "admin@example.com")

	// Somebody signs in, and is there without a reload.
	phone := d.signIn("user7@example.com", iPhone)
	p.says(".feed-list", "signed in")
	p.says(".is-online .tile-value", "2")
	p.hash("#/people")
	p.says(".rows", "user7@example.com")
	desktop := d.signIn("user7@example.com", firefox)
	other := d.signIn("user8@example.com", firefox)
	p.says(".rows", "Hadi Tanaka") // events carry no e-mail
	p.says(".rows", "+1 more")

	p.hash("#/sessions")
	p.until(rows + " === 4")
	eval[bool](p, `((s) => { s.value = "mobile"; s.dispatchEvent(new Event("change")); return true; })(document.querySelector("#filter-device"))`)
	p.until(rows + " === 1")
	p.says(".rows", "Safari")
	eval[bool](p, `((s) => { s.value = ""; s.dispatchEvent(new Event("change")); return true; })(document.querySelector("#filter-device"))`)
	p.until(rows + " === 4")
	p.typeIn("#search", "user7@")
	p.until(rows + " === 2")

	// One of a person's sessions, and then all.
	p.click(".rows .name", "")
	p.says(".person-facts", "signed in with 2 sessions")
	p.click(".rows .col-action button", "Safari")
	p.says("dialog[open]", "user7@example.com")
	p.says("dialog[open]", "Safari")
	p.shoot("demo-confirm")
	p.click("dialog button", "End")
	p.says(".toast", "ended")
	phone.refusedAs("session_ended admin")
	p.says(".rows", "Ended by an administrator")
	status, _ := desktop.me()
	assert.Equal(t, http.StatusOK, status)
	p.click(".button.is-danger", "End all sessions")
	p.says("dialog[open]", "1 session")
	p.click("dialog .is-danger", "End all sessions")
	p.says(".toast", "2 sessions ended") // with the one before
	desktop.refusedAs("session_ended admin")
	p.says(".person-facts", "signed in with 0 sessions")
	status, _ = other.me()
	assert.Equal(t, http.StatusOK, status)

	// The page's own session ends elsewhere: it says so.
	root := d.signIn("root@example.com", firefox)
	root.post("/api/user-sessions/force-logout-user/1")
	p.says(".gate-why", "Ended by an administrator")
	p.clean()
}

func (v *visitor) post(path string) {
	v.d.t.Helper()
	r, err := http.NewRequest(http.MethodPost, v.d.base+path, nil)
	require.NoError(v.d.t, err)
	r.Header.Set("Authorization", "Bearer "+v.token)
	answer, err := http.DefaultClient.Do(r)
	require.NoError(v.d.t, err)
	defer answer.Body.Close()
	text, _ := io.ReadAll(answer.Body)
	require.Equal(v.d.t, http.StatusOK, answer.StatusCode, string(text))
}

func TestTheConnectionIsLostAndRegained(t *testing.T) {
	t.Parallel()
	d := startDemo(t)
	p := newTab(t, 1360, 900, scheme("light"))
	p.open(d.wire.URL+"/dashboard/", "admin@example.com")
	d.signIn("user3@example.com", firefox)
	p.says(".feed-list", "signed in")

	d.lose()
	p.says("#connection-text", "Connection lost")
	p.says("#banner", "out of date")
	p.shoot("lost")
	d.signIn("user4@example.com", firefox)
	d.regain()
	p.click("#banner-retry", "Try now")
	p.says("#connection-text", "Live")
	p.until("document.querySelector('#banner').hidden")
	p.says(".toast", "The connection is back.")
	// What happened in between is told: the stream goes on where it was.
	p.until("[...document.querySelectorAll('.feed-item.is-login')].length >= 2")
	p.clean()
}

func TestSimulatedUsersAppear(t *testing.T) {
	t.Parallel()
	d := startDemo(t, "-simulate", "30", "-trusted-proxies", "127.0.0.0/8")
	p := newTab(t, 1360, 900, scheme("light"))
	p.open(d.wire.URL+"/dashboard/#/people", "admin@example.com")
	p.says(".rows", "sim")
	p.until(rows + " > 3")
	p.says("td.col-place", "Indonesia")
	const people = "parseInt(document.querySelector('.list-count').textContent)"
	if before := eval[int](p, people); before < 25 { // else nearly everybody has arrived already
		p.until(fmt.Sprintf("%s > %d", people, before))
	}
	p.hash("#/")
	p.says(".feed-list", "signed in")
	p.says(".is-online .tile-value", "1")
	p.until("document.querySelector('.u-over')") // the first samples are drawn
	p.says(".heat-panel", "hours in UTC")
	const pressed = "document.querySelector('.choice [aria-pressed=true]').textContent"
	for _, note := range []string{"day", "week", "hour"} {
		p.click(".choice button", strings.ToUpper(note[:1])+note[1:])
		p.until(pressed + " === " + quoted(strings.ToUpper(note[:1])+note[1:]))
		// In the first minute nothing is added up yet, and the latest sessions are told.
		p.until(fmt.Sprintf("[...document.querySelectorAll('.panel-note')].some((e) => /sign-ins of the last %s|the latest/.test(e.textContent))", note))
		p.until("document.querySelector('.plot').ariaLabel.includes('highest')")
	}
	p.shootAll("demo-overview")
	p.clean()
}

func TestOnlyAdministratorsLook(t *testing.T) {
	t.Parallel()
	d := startDemo(t)
	p := newTab(t, 1360, 900, scheme("light"))
	p.open(d.wire.URL+"/dashboard/", "")
	p.typeIn("#email", "user1@example.com")
	p.typeIn("#password", "demo")
	p.click("button", "Sign in")
	p.says(".gate", "This page is for administrators")
	p.shoot("forbidden")
	p.click(".gate button", "Sign out")
	p.says(".gate", "Sign in to see sessions")
	p.clean()
}
