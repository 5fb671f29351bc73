package main

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sessiontrack/sessiontrack/internal/pgtest"
)

// nginxBinary finds nginx. Where it is missing the test is skipped, and fails when CI is set.
func nginxBinary(t *testing.T) string {
	t.Helper()
	for _, name := range []string{"nginx", "/usr/sbin/nginx"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	if os.Getenv("CI") != "" {
		t.Fatal("nginx is missing: run make setup")
	}
	t.Skip("nginx is missing: run make setup")
	return ""
}

// startNginx runs nginx in front of two demos, by the file of examples/deploy with other
// addresses. The answer has the address of nginx as base.
func startNginx(t *testing.T, here, there *demo) *demo {
	t.Helper()
	binary := nginxBinary(t)
	free, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	address := free.Addr().String()
	require.NoError(t, free.Close())
	file, err := os.ReadFile("../deploy/nginx.conf")
	require.NoError(t, err)
	folder := t.TempDir()
	config := strings.NewReplacer(
		"app1:8080", strings.TrimPrefix(here.base, "http://"), "app2:8080", strings.TrimPrefix(there.base, "http://"),
		"listen 8080", "listen "+address, "events {}", "daemon off;\npid nginx.pid;\nevents {}",
		"http {", "http {\naccess_log off;\nclient_body_temp_path "+folder+"/body;\nproxy_temp_path "+folder+"/proxy;\n"+
			"fastcgi_temp_path "+folder+"/f;\nuwsgi_temp_path "+folder+"/u;\nscgi_temp_path "+folder+"/s;\n",
	).Replace(string(file))
	path := filepath.Join(folder, "nginx.conf")
	require.NoError(t, os.WriteFile(path, []byte(config), 0o600))
	cmd := exec.Command(binary, "-p", folder, "-c", path, "-e", filepath.Join(folder, "error.log"))
	stderr := new(buffer)
	cmd.Stderr = stderr
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGQUIT)
		_ = cmd.Wait()
	})
	front := &demo{t: t, base: "http://" + address, stdout: new(buffer), stderr: stderr}
	eventually(t, time.Minute, "nginx listens", func() bool {
		conn, err := net.Dial("tcp", address)
		if err == nil {
			_ = conn.Close()
		}
		return err == nil
	})
	return front
}

// TestBehindNginx holds examples/deploy/nginx.conf and docs/production.md: two replicas, one of them
// restarted under requests.
func TestBehindNginx(t *testing.T) {
	t.Parallel()
	dsn := pgtest.DSN(t)
	args := []string{"-fast", "-trusted-proxies", "127.0.0.0/8"}
	here, there := replicas(t, dsn, args...)
	front := startNginx(t, here, there)
	require.Equal(t, http.StatusOK, front.get("/healthz").status)
	assert.Equal(t, http.StatusNotFound, front.get("/metrics").status, "not for the world")

	admin, user := front.signIn("admin"), front.signIn("user1", with("X-Forwarded-For", "198.51.100.7"))
	assert.Equal(t, "198.51.100.7", front.get("/api/me", as(user)).field("session", "ipAddress"),
		"the client, and neither nginx nor the network between")
	sameOrigin := with("Origin", front.base)
	assert.Equal(t, http.StatusOK, front.do(http.MethodPost, "/api/v1/online/sessions/end-others", "", as(user), sameOrigin).status,
		"nginx passes the host on, so a page's own requests are not cross-origin")

	// An event arrives at once, though nginx is between.
	events := followEvents(t, front, admin)
	events.waitFor(t, "snapshot")
	front.signIn("user2")
	events.waitFor(t, "login")

	// A restart of one replica is seen by nobody.
	here.stop()
	for i := range 20 {
		require.Equal(t, http.StatusOK, front.get("/api/me", as(user)).status, "request %d while one replica is down", i)
	}
	front.do(http.MethodPost, "/api/user-sessions/force-logout/"+user.handle, "", as(admin))
	requireEnded(t, front.get("/api/me", as(user)), "admin")
}

// eventReader reads the names of events from a stream.
type eventReader struct{ names chan string }

func followEvents(t *testing.T, d *demo, c caller) *eventReader {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, d.base+"/api/v1/online/events", nil)
	require.NoError(t, err)
	as(c)(request)
	request.Header.Set("Accept", "text/event-stream")
	response, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(request)
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, response.StatusCode)
	reader := &eventReader{names: make(chan string, 1000)}
	go func() {
		defer response.Body.Close()
		lines := bufio.NewScanner(response.Body)
		lines.Buffer(nil, 1<<20)
		for lines.Scan() {
			if name, ok := strings.CutPrefix(lines.Text(), "event: "); ok {
				reader.names <- name
			}
		}
		close(reader.names)
	}()
	return reader
}

func (e *eventReader) waitFor(t *testing.T, want string) {
	t.Helper()
	limit := time.After(time.Minute)
	for seen := ""; ; {
		select {
		case name, open := <-e.names:
			if name == want {
				return
			}
			require.True(t, open, "the stream ended after %s", seen)
			seen = fmt.Sprint(seen, " ", name)
		case <-limit:
			require.FailNow(t, "no event "+want, "seen:%s", seen)
		}
	}
}
