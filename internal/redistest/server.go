package redistest

import (
	"bufio"
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// EnvProgram names the program of the server: a path, or a name in PATH.
const EnvProgram = "SESSIONTRACK_TEST_REDIS"

const (
	startTimeout = 30 * time.Second
	pollInterval = 10 * time.Millisecond
)

// guardianScript starts a server, tells its process id, and kills it when standard input
// closes. The server is the shell's child, so its id can be nobody else's before the shell
// has waited for it. Without a file "keep" the folder goes, too.
const guardianScript = `
trap '' INT TERM HUP
folder=$1
shift
"$@" >>"$folder/log" 2>&1 </dev/null &
pid=$!
echo $pid
cat >/dev/null
kill -CONT $pid 2>/dev/null
kill -KILL $pid 2>/dev/null
wait $pid 2>/dev/null
[ -e "$folder/keep" ] || rm -rf "$folder"
`

// Server is a private server of one test. Its methods fail the test on an error, so only
// the test's own goroutine may call them.
type Server struct {
	t testing.TB
	s *server
}

// Start starts a server, and removes it when the test ends. Settings such as
// "appendonly yes" are added to its configuration.
func Start(t testing.TB, settings ...string) *Server {
	t.Helper()
	requireProgram(t)
	s, err := startServer(settings)
	if err != nil {
		t.Fatalf("redistest: %v", err)
	}
	t.Cleanup(s.remove)
	return &Server{t: t, s: s}
}

// Addr is the server's address, also after a restart.
func (s *Server) Addr() string { return s.s.addr() }

// Kill kills the server as a crash would and returns when it is gone. Its folder stays.
func (s *Server) Kill() { s.s.kill() }

// Restart starts a killed server on the same address and with the same folder.
func (s *Server) Restart() {
	s.t.Helper()
	if err := s.s.run(); err != nil {
		s.t.Fatalf("redistest: %v", err)
	}
}

// Freeze suspends the server: connections stay open and nothing answers until [Server.Thaw].
func (s *Server) Freeze() {
	s.t.Helper()
	if err := freeze(s.s.pid); err != nil {
		s.t.Fatalf("redistest: freeze: %v", err)
	}
}

// Thaw resumes a frozen server.
func (s *Server) Thaw() {
	s.t.Helper()
	if err := thaw(s.s.pid); err != nil {
		s.t.Fatalf("redistest: thaw: %v", err)
	}
}

var shared = sync.OnceValues(func() (*server, error) { return startServer(nil) })

// Shared returns the address of the server that all tests of the binary share.
func Shared(t testing.TB) string {
	t.Helper()
	requireProgram(t)
	s, err := shared()
	if err != nil {
		t.Fatalf("redistest: %v", err)
	}
	return s.addr()
}

// requireProgram skips the test if no server can be started. Under CI it fails the test.
func requireProgram(t testing.TB) {
	t.Helper()
	if _, err := program(); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatalf("redistest: %v", err)
		}
		t.Skipf("needs Redis: %v; set %s or install the server (make setup)", err, EnvProgram)
	}
}

func program() (string, error) {
	return exec.LookPath(cmp.Or(os.Getenv(EnvProgram), "redis-server"))
}

// server is one process with a folder of its own.
type server struct {
	folder    string
	port, bus int // bus is the port of the cluster's own traffic
	settings  []string
	args      []string // in place of settings
	pid       int
	lifeline  io.Closer
	guardian  *exec.Cmd
}

func startServer(settings []string) (*server, error) {
	port, _, err := freePorts()
	if err != nil {
		return nil, err
	}
	s, err := newServer(settings)
	if err != nil {
		return nil, err
	}
	s.port = port
	if err := s.run(); err != nil {
		s.remove()
		return nil, err
	}
	return s, nil
}

// newServer makes the folder of a server.
func newServer(settings []string) (*server, error) {
	folder, err := os.MkdirTemp("", "strd")
	if err != nil {
		return nil, err
	}
	return &server{folder: folder, settings: settings}, nil
}

func (s *server) addr() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(s.port)) }

// config is the server's configuration as arguments.
func (s *server) config() []string {
	if s.args != nil {
		return s.args
	}
	lines := append([]string{
		"bind 127.0.0.1", "port " + strconv.Itoa(s.port), "dir " + s.folder, "protected-mode yes",
		"save ''", "appendonly no", "daemonize no",
	}, s.settings...)
	var args []string
	for _, line := range lines {
		name, value, _ := strings.Cut(line, " ")
		args = append(args, "--"+name)
		args = append(args, strings.Fields(strings.ReplaceAll(value, "''", `""`))...)
	}
	return args
}

// run starts the process and returns when it answers.
func (s *server) run() error {
	name, err := program()
	if err != nil {
		return err
	}
	_ = os.Remove(filepath.Join(s.folder, "keep"))
	args := append([]string{"-c", guardianScript, "guardian", s.folder, name}, s.config()...)
	cmd := exec.Command("/bin/sh", args...)
	ownGroup(cmd)
	in, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	s.guardian, s.lifeline = cmd, in
	told, err := bufio.NewReader(out).ReadString('\n')
	if err == nil {
		s.pid, err = strconv.Atoi(strings.TrimSpace(told))
	}
	if err != nil {
		return fmt.Errorf("the guardian did not tell the server's process id: %w", err)
	}
	return s.awaitReady()
}

func (s *server) awaitReady() error {
	var err error
	for deadline := time.Now().Add(startTimeout); time.Now().Before(deadline); time.Sleep(pollInterval) {
		if _, err = ask(s.addr(), "PING"); err == nil {
			return nil
		}
	}
	log, _ := os.ReadFile(filepath.Join(s.folder, "log"))
	return fmt.Errorf("the server does not answer: %w; %s", err, bytes.TrimSpace(log[max(0, len(log)-2000):]))
}

// kill kills the process and keeps the folder.
func (s *server) kill() {
	_ = os.WriteFile(filepath.Join(s.folder, "keep"), nil, 0o600)
	s.end()
}

// remove kills the process and removes the folder.
func (s *server) remove() {
	_ = os.Remove(filepath.Join(s.folder, "keep"))
	s.end()
	_ = os.RemoveAll(s.folder)
}

// end has the guardian kill its child, and waits for both.
func (s *server) end() {
	if s.lifeline == nil {
		return
	}
	_ = s.lifeline.Close()
	_ = s.guardian.Wait()
	s.lifeline = nil
}

// freePorts returns two free ports of the loopback interface.
func freePorts() (int, int, error) {
	a, errA := net.Listen("tcp", "127.0.0.1:0")
	b, errB := net.Listen("tcp", "127.0.0.1:0")
	if err := errors.Join(errA, errB); err != nil {
		return 0, 0, err
	}
	defer a.Close()
	defer b.Close()
	return a.Addr().(*net.TCPAddr).Port, b.Addr().(*net.TCPAddr).Port, nil
}
