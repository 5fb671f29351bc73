package pgtest

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"sort"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
)

const (
	// tempRoot is the parent of the servers' folders. A deep or private TMPDIR does not work: some
	// systems limit a socket's path to 103 bytes, and another user must be able to reach it.
	tempRoot = "/tmp"

	startTimeout = 60 * time.Second
	stopTimeout  = 30 * time.Second
	pollInterval = 20 * time.Millisecond

	// socketPort is part of the socket's name. A server without TCP listens on no port.
	socketPort = 5432
)

// guardianScript stops a server and removes its folder when its standard input closes. The kernel
// closes that input however the test binary ends. The script first resumes the server, because a
// suspended process handles only SIGKILL.
const guardianScript = `
trap '' INT TERM HUP
cat >/dev/null
pid=$(head -n 1 "$1/data/postmaster.pid" 2>/dev/null)
if [ -n "$pid" ]; then
	kill -CONT "$pid" 2>/dev/null
	kill -QUIT "$pid" 2>/dev/null
	i=0
	while kill -0 "$pid" 2>/dev/null && [ $i -lt 50 ]; do i=$((i+1)); sleep 0.1; done
	kill -KILL "$pid" 2>/dev/null
fi
rm -rf "$1"
`

// server is one private PostgreSQL.
type server struct {
	folder   string // holds the data, the socket and the log
	bin      string // the binaries' folder
	password string // for TCP; the folder's mode protects the socket
	port     int
	tcp      bool
	settings []string
	guardian io.Closer
	process  *exec.Cmd
	exited   chan struct{} // closed when the process has exited
}

// startServer creates a database cluster and starts its server.
func startServer(tcp bool, settings ...string) (*server, error) {
	bin, err := findBinaries()
	if err != nil {
		return nil, err
	}
	folder, err := os.MkdirTemp(tempRoot, "stpg")
	if err != nil {
		return nil, err
	}
	s := &server{folder: folder, bin: bin, password: rand.Text(), port: socketPort, tcp: tcp, settings: settings}
	if err := s.create(); err != nil {
		_ = os.RemoveAll(folder)
		return nil, err
	}
	if err := s.start(); err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

// create gives the folder to the server's user, starts the guardian and runs initdb.
func (s *server) create() error {
	if err := giveAway(s.folder); err != nil {
		return err
	}
	if s.tcp {
		port, err := freePort()
		if err != nil {
			return err
		}
		s.port = port
	}
	if err := s.postGuardian(); err != nil {
		return fmt.Errorf("start the guardian: %w", err)
	}
	return s.initialise()
}

func (s *server) initialise() error {
	password := filepath.Join(s.folder, "password")
	if err := os.WriteFile(password, []byte(s.password), 0o600); err != nil {
		return err
	}
	if err := giveAway(password); err != nil {
		return err
	}
	initdb := s.command(filepath.Join(s.bin, "initdb"), "--pgdata", s.data(), "--username=postgres",
		"--auth-local=trust", "--auth-host=scram-sha-256", "--pwfile="+password,
		"--encoding=UTF8", "--locale=C", "--no-sync")
	if output, err := initdb.CombinedOutput(); err != nil {
		return fmt.Errorf("initdb: %w\n%s", err, bytes.TrimSpace(output))
	}
	return nil
}

func (s *server) data() string    { return filepath.Join(s.folder, "data") }
func (s *server) logPath() string { return filepath.Join(s.folder, "log") }

// command prepares a program that runs as the server's user. It gets its own process group, so that
// Ctrl-C in the terminal reaches only the test binary.
func (s *server) command(name string, args ...string) *exec.Cmd {
	cmd := exec.Command(name, args...)
	cmd.Dir = s.folder
	cmd.Env = append(os.Environ(), "LC_ALL=C")
	setUserAndGroup(cmd)
	return cmd
}

func (s *server) postGuardian() error {
	cmd := s.command("/bin/sh", "-c", guardianScript, "guardian", s.folder)
	lifeline, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	s.guardian = lifeline
	go func() { _ = cmd.Wait() }() // reaps the guardian, which ends by itself
	return nil
}

// start runs the server and returns when it answers.
func (s *server) start() error {
	listen := ""
	if s.tcp {
		listen = "127.0.0.1"
	}
	log, err := os.OpenFile(s.logPath(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := s.command(filepath.Join(s.bin, "postgres"), "-D", s.data(), "-k", s.folder,
		"-p", strconv.Itoa(s.port), "-c", "listen_addresses="+listen,
		"-c", "fsync=off", "-c", "synchronous_commit=off", "-c", "max_connections=200",
		"-c", "shared_buffers=64MB", "-c", "log_line_prefix=%m [%p] %e ")
	for _, setting := range s.settings {
		cmd.Args = append(cmd.Args, "-c", setting)
	}
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		return err
	}
	s.process, s.exited = cmd, make(chan struct{})
	go func(exited chan struct{}) { _ = cmd.Wait(); close(exited) }(s.exited)
	return s.awaitReady()
}

// awaitReady polls until the server answers or has exited.
func (s *server) awaitReady() error {
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	for {
		conn, err := pgx.Connect(ctx, s.dsn("postgres"))
		if err == nil {
			return conn.Close(ctx)
		}
		select {
		case <-s.exited:
			return fmt.Errorf("the server did not start: %s", s.logTail())
		case <-ctx.Done():
			return fmt.Errorf("the server does not answer: %w; %s", err, s.logTail())
		case <-time.After(pollInterval):
		}
	}
}

// stop sends the postmaster a signal and waits until it has exited.
func (s *server) stop(signal os.Signal) error {
	if s.process == nil {
		return nil
	}
	if err := s.process.Process.Signal(signal); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	select {
	case <-s.exited:
		s.process = nil
		return nil
	case <-time.After(stopTimeout):
		return fmt.Errorf("the server did not stop in %v: %s", stopTimeout, s.logTail())
	}
}

// close makes the guardian stop the server, and waits until its folder is removed.
func (s *server) close() {
	if s.guardian == nil {
		return
	}
	_ = s.guardian.Close()
	for deadline := time.Now().Add(stopTimeout); time.Now().Before(deadline); time.Sleep(pollInterval) {
		if _, err := os.Stat(s.folder); os.IsNotExist(err) {
			return
		}
	}
}

// dsn returns the DSN of a database over the server's socket.
func (s *server) dsn(database string) string {
	return (&url.URL{
		Scheme: "postgres", User: url.User("postgres"), Path: "/" + database,
		RawQuery: url.Values{"host": {s.folder}, "port": {strconv.Itoa(s.port)}, "sslmode": {"disable"}}.Encode(),
	}).String()
}

// logTail returns the end of the server's log, for error messages.
func (s *server) logTail() string {
	content, err := os.ReadFile(s.logPath())
	if err != nil {
		return err.Error()
	}
	if len(content) > 2000 {
		content = content[len(content)-2000:]
	}
	return string(bytes.TrimSpace(content))
}

// findBinaries returns the folder that has both initdb and postgres: the one in PATH, or else the
// newest of Debian's.
func findBinaries() (string, error) {
	if path, err := exec.LookPath("initdb"); err == nil && executable(filepath.Dir(path), "postgres") {
		return filepath.Dir(path), nil
	}
	folders, _ := filepath.Glob("/usr/lib/postgresql/*/bin")
	sort.Slice(folders, func(i, j int) bool { return majorOf(folders[i]) > majorOf(folders[j]) })
	for _, folder := range folders {
		if executable(folder, "initdb") && executable(folder, "postgres") {
			return folder, nil
		}
	}
	return "", errors.New("neither PATH nor /usr/lib/postgresql has initdb and postgres")
}

func majorOf(folder string) int {
	major, _ := strconv.Atoi(filepath.Base(filepath.Dir(folder)))
	return major
}

func executable(folder, name string) bool {
	info, err := os.Stat(filepath.Join(folder, name))
	return err == nil && info.Mode()&0o111 != 0
}

// freePort returns a free port of the loopback interface.
func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}
