package pgtest

import (
	"database/sql"
	"net"
	"net/url"
	"strconv"
	"testing"
)

// Mode is how a server shuts down.
type Mode int

const (
	// Smart waits until all clients have disconnected.
	Smart Mode = iota
	// Fast closes connections and shuts down cleanly.
	Fast
	// Immediate aborts without a checkpoint, as a crash would: the next start recovers.
	Immediate
)

// Cluster is a private server of one test, which may stop, freeze or crash it. Its methods fail the
// test on an error, so only the test's own goroutine may call them.
type Cluster struct {
	t testing.TB
	s *server
}

// NewCluster starts a server that also listens on a free port of 127.0.0.1. The port stays the same
// after a restart. The server needs the local binaries, whatever SESSIONTRACK_TEST_DSN says. It is
// removed when the test ends. Settings such as "fsync=on" override those of a private server.
func NewCluster(t testing.TB, settings ...string) *Cluster {
	t.Helper()
	requireBinaries(t)
	s, err := startServer(true, settings...)
	if err != nil {
		t.Fatalf("pgtest: %v", err)
	}
	t.Cleanup(s.close)
	return &Cluster{t: t, s: s}
}

// DSN names the cluster's own database (postgres) over its socket.
func (c *Cluster) DSN() string { return c.s.dsn("postgres") }

// Open returns a pool over [Cluster.DSN], as [Open] does.
func (c *Cluster) Open() *sql.DB {
	c.t.Helper()
	return OpenDSN(c.t, c.DSN())
}

// Addr is the address of the cluster's TCP port, for a proxy.
func (c *Cluster) Addr() string {
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(c.s.port))
}

// DSNAt names the cluster's own database as reached through addr: [Cluster.Addr] or the address of
// a proxy. It contains the password that TCP connections need.
func (c *Cluster) DSNAt(addr string) string {
	return (&url.URL{
		Scheme: "postgres", User: url.UserPassword("postgres", c.s.password), Host: addr,
		Path: "/postgres", RawQuery: "sslmode=disable",
	}).String()
}

// Stop stops the server and returns when it has stopped. The data stay.
func (c *Cluster) Stop(mode Mode) {
	c.t.Helper()
	if err := c.s.stop(stopSignals[mode]); err != nil {
		c.t.Fatalf("pgtest: %v", err)
	}
}

// Start starts a stopped server and returns when it answers.
func (c *Cluster) Start() {
	c.t.Helper()
	if err := c.s.start(); err != nil {
		c.t.Fatalf("pgtest: %v", err)
	}
}

// Freeze suspends every process of the server (SIGSTOP). Connections stay open and nothing answers
// until [Cluster.Thaw].
func (c *Cluster) Freeze() {
	c.t.Helper()
	if err := freeze(c.s.process.Process.Pid); err != nil {
		c.t.Fatalf("pgtest: freeze: %v", err)
	}
}

// Thaw resumes a frozen server.
func (c *Cluster) Thaw() {
	c.t.Helper()
	if err := thaw(c.s.process.Process.Pid); err != nil {
		c.t.Fatalf("pgtest: thaw: %v", err)
	}
}

// LogPath is the server's log. On each line the SQLSTATE (%e) follows the process id.
func (c *Cluster) LogPath() string { return c.s.logPath() }
