package pgtest

import (
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"
)

// poolerScript runs PgBouncer until its standard input closes, which the kernel does when
// the test binary ends, however it ends.
const poolerScript = `
trap '' INT TERM HUP
"$1" -q "$2/pgbouncer.ini" >"$2/log" 2>&1 </dev/null &
cat >/dev/null
kill -KILL $!
rm -rf "$2"
`

// poolerConfig has one database, whose user every client is taken for.
const poolerConfig = `[databases]
postgres = host=%s port=%d user=postgres dbname=postgres
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = %d
unix_socket_dir =
auth_type = any
pool_mode = %s
default_pool_size = 4
`

// Pooler is a PgBouncer in front of a [Cluster].
type Pooler struct{ port int }

// NewPooler starts a PgBouncer that shares the cluster's connections by mode: "session"
// or "transaction". It is gone when the test ends. It needs Debian's package pgbouncer:
// the test is skipped where that is missing, and fails under CI.
func (c *Cluster) NewPooler(mode string) *Pooler {
	c.t.Helper()
	bin, err := findPooler()
	if err != nil {
		if os.Getenv("CI") != "" {
			c.t.Fatalf("pgtest: %v", err)
		}
		c.t.Skipf("needs PgBouncer: %v; install it (make setup)", err)
	}
	p, err := c.startPooler(bin, mode)
	if err != nil {
		c.t.Fatalf("pgtest: PgBouncer: %v", err)
	}
	return p
}

// DSN names the cluster's database as reached through the pooler.
func (p *Pooler) DSN() string {
	return fmt.Sprintf("postgres://postgres@%s/postgres?sslmode=disable", p.addr())
}

func (p *Pooler) addr() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(p.port)) }

func (c *Cluster) startPooler(bin, mode string) (*Pooler, error) {
	folder, err := os.MkdirTemp(tempRoot, "stpb")
	if err != nil {
		return nil, err
	}
	c.t.Cleanup(func() { _ = os.RemoveAll(folder) })
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	config := fmt.Sprintf(poolerConfig, c.s.folder, c.s.port, port, mode)
	if err := os.WriteFile(filepath.Join(folder, "pgbouncer.ini"), []byte(config), 0o644); err != nil {
		return nil, err
	}
	if err := giveAway(folder); err != nil {
		return nil, err
	}
	cmd := c.s.command("/bin/sh", "-c", poolerScript, "pooler", bin, folder)
	lifeline, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	p := &Pooler{port: port}
	c.t.Cleanup(func() { stopPooler(c.t, lifeline, cmd) })
	return p, p.awaitReady(folder)
}

func stopPooler(t testing.TB, lifeline io.Closer, cmd *exec.Cmd) {
	_ = lifeline.Close()
	if err := cmd.Wait(); err != nil {
		t.Logf("pgtest: PgBouncer: %v", err)
	}
}

// awaitReady polls until the pooler accepts connections.
func (p *Pooler) awaitReady(folder string) error {
	for deadline := time.Now().Add(startTimeout); ; time.Sleep(pollInterval) {
		conn, err := net.Dial("tcp", p.addr())
		if err == nil {
			return conn.Close()
		}
		if time.Now().After(deadline) {
			log, _ := os.ReadFile(filepath.Join(folder, "log"))
			return fmt.Errorf("it does not answer: %w; %s", err, log)
		}
	}
}

// findPooler returns the program, which Debian installs where only root's PATH leads.
func findPooler() (string, error) {
	path, err := exec.LookPath("pgbouncer")
	if err == nil {
		return path, nil
	}
	if executable("/usr/sbin", "pgbouncer") {
		return "/usr/sbin/pgbouncer", nil
	}
	return "", err
}
