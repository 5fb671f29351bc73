package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sessiontrack/sessiontrack/internal/pgtest"
	"github.com/sessiontrack/sessiontrack/internal/redistest"
)

const (
	testSecret = "a secret of thirty-two bytes or more"
	// breath is how often a condition is looked at.
	breath = 50 * time.Millisecond
)

var (
	buildFlags []string
	binary     string
)

// TestMain builds the demo: these tests know it from outside only.
func TestMain(m *testing.M) {
	folder, err := os.MkdirTemp("", "demo")
	if err != nil {
		panic(err)
	}
	binary = filepath.Join(folder, "demo")
	build := exec.Command("go", append(append([]string{"build"}, buildFlags...), "-o", binary, ".")...)
	if output, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build the demo: %v\n%s", err, output)
		os.Exit(1)
	}
	code := m.Run()
	_ = os.RemoveAll(folder)
	os.Exit(code)
}

// demo is a running one.
type demo struct {
	t      *testing.T
	base   string
	cmd    *exec.Cmd
	stdout *buffer
	stderr *buffer
	once   sync.Once
}

// buffer is a bytes.Buffer for two goroutines.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// startDemo runs the demo on a free port until the test ends; it must then end by
// itself, with status 0.
func startDemo(t *testing.T, args ...string) *demo {
	t.Helper()
	cmd := exec.Command(binary, append([]string{"-addr", "127.0.0.1:0"}, args...)...)
	cmd.Env = append(os.Environ(), "JWT_SECRET="+testSecret)
	d := &demo{t: t, cmd: cmd, stdout: new(buffer), stderr: new(buffer)}
	cmd.Stderr = d.stderr
	stdout, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	t.Cleanup(d.stop)
	lines := bufio.NewReader(stdout)
	first, err := lines.ReadString('\n')
	require.NoError(t, err, "%s", d.stderr)
	base, found := strings.CutPrefix(strings.TrimSpace(first), "demo: serving on ")
	require.True(t, found, first)
	d.base = base
	go func() { _, _ = io.Copy(d.stdout, lines) }()
	return d
}

// stop sends SIGTERM and expects a clean end.
func (d *demo) stop() {
	d.once.Do(func() {
		require.NoError(d.t, d.cmd.Process.Signal(syscall.SIGTERM))
		kill := time.AfterFunc(30*time.Second, func() { _ = d.cmd.Process.Kill() })
		defer kill.Stop()
		assert.NoError(d.t, d.cmd.Wait(), "%s", d.stderr)
	})
}

// caller is somebody who has signed in.
type caller struct {
	bearer string
	token  string // handle.secret
	handle string
	userID int
}

// reply is an answer that was read to its end.
type reply struct {
	status int
	header http.Header
	body   []byte
}

func (r reply) String() string { return fmt.Sprintf("%d %s", r.status, r.body) }

// field returns a value of the JSON body by its path, nil where there is none.
func (r reply) field(path ...string) any {
	var value any
	if json.Unmarshal(r.body, &value) != nil {
		return nil
	}
	for _, key := range path {
		object, _ := value.(map[string]any)
		value = object[key]
	}
	return value
}

// httpClient keeps no connection, so that a demo's end waits for none.
var httpClient = &http.Client{
	Transport:     &http.Transport{DisableKeepAlives: true},
	Timeout:       20 * time.Second,
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
}

// change alters a request before it is sent.
type change func(*http.Request)

// as sends both carriers, as the clients of the original do.
func as(c caller) change {
	return func(r *http.Request) {
		r.Header.Set("Authorization", "Bearer "+c.bearer)
		r.Header.Set("X-Session-Id", c.token)
	}
}

func byBearer(token string) change { return with("Authorization", "Bearer "+token) }

func with(name string, values ...string) change {
	return func(r *http.Request) { r.Header[name] = values }
}

// try sends a request and may fail; it belongs to any goroutine.
func (d *demo) try(ctx context.Context, method, path, body string, changes ...change) (reply, error) {
	request, err := http.NewRequestWithContext(ctx, method, d.base+path, strings.NewReader(body))
	if err != nil {
		return reply{}, err
	}
	for _, alter := range changes {
		alter(request)
	}
	response, err := httpClient.Do(request)
	if err != nil {
		return reply{}, err
	}
	defer response.Body.Close()
	content, err := io.ReadAll(response.Body)
	return reply{response.StatusCode, response.Header, content}, err
}

func (d *demo) do(method, path, body string, changes ...change) reply {
	d.t.Helper()
	r, err := d.try(d.t.Context(), method, path, body, changes...)
	require.NoError(d.t, err, "%s %s\n%s", method, path, d.stderr)
	return r
}

func (d *demo) get(path string, changes ...change) reply {
	d.t.Helper()
	return d.do(http.MethodGet, path, "", changes...)
}

func loginBody(email, password string) string {
	text, _ := json.Marshal(map[string]string{"email": email, "password": password})
	return string(text)
}

// signIn signs somebody in.
func (d *demo) signIn(name string, changes ...change) caller {
	d.t.Helper()
	r := d.do(http.MethodPost, "/login", loginBody(name+"@example.com", password), changes...)
	require.Equal(d.t, http.StatusOK, r.status, "%s", r)
	c := caller{
		bearer: r.field("token", "token").(string), token: r.field("sessionId").(string),
		userID: int(r.field("user", "id").(float64)),
	}
	c.handle, _, _ = strings.Cut(c.token, ".")
	return c
}

// eventually waits until a condition holds.
func eventually(t *testing.T, patience time.Duration, what string, condition func() bool) {
	t.Helper()
	require.Eventually(t, condition, patience, breath, what)
}

// requireProblem checks an error answer's shape.
func requireProblem(t *testing.T, r reply, status int, code string) {
	t.Helper()
	require.Equal(t, status, r.status, "%s", r)
	require.Equal(t, "application/problem+json", r.header.Get("Content-Type"))
	require.Equal(t, "no-store", r.header.Get("Cache-Control"))
	require.Equal(t, code, r.field("code"), "%s", r)
	require.EqualValues(t, status, r.field("status"))
	require.NotEmpty(t, r.field("title"))
	require.NotEmpty(t, r.field("detail"))
	switch status {
	case http.StatusUnauthorized:
		require.NotEmpty(t, r.header.Get("WWW-Authenticate"))
	case http.StatusMethodNotAllowed:
		require.NotEmpty(t, r.header.Get("Allow"))
	case http.StatusServiceUnavailable:
		require.NotEmpty(t, r.header.Get("Retry-After"))
	}
}

// onEachStore runs a test against a demo on each store.
func onEachStore(t *testing.T, test func(t *testing.T, d *demo)) {
	for name, store := range map[string]func(t *testing.T) []string{
		"memory":   func(*testing.T) []string { return []string{"memory"} },
		"postgres": func(t *testing.T) []string { return []string{pgtest.DSN(t)} },
		"sqlite":   func(t *testing.T) []string { return []string{sqliteFile(t)} },
		"redis":    func(t *testing.T) []string { return []string{"memory", "-activity", redisURL(t)} },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, startDemo(t, append([]string{"-store"}, store(t)...)...))
		})
	}
}

// sqliteFile names a file that is not there yet.
func sqliteFile(t *testing.T) string { return "sqlite:" + filepath.Join(t.TempDir(), "sessions.db") }

// redisURL names a Redis of the test's own: the demo has one prefix for all.
func redisURL(t *testing.T) string { return "redis://" + redistest.Start(t).Addr() }
