package redistest

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// SentinelMaster is the name by which the sentinel of [StartSentinel] knows its master.
const SentinelMaster = "sessions"

// Sentinel is a master with one replica, and a sentinel that promotes the replica within
// some seconds when the master is gone.
type Sentinel struct {
	Master, Replica *Server
	// Addr is the sentinel's own address.
	Addr string
}

// StartSentinel starts the three servers, and removes them when the test ends.
func StartSentinel(t testing.TB) *Sentinel {
	t.Helper()
	master := Start(t)
	replica := Start(t, "replicaof 127.0.0.1 "+strconv.Itoa(master.s.port), "repl-diskless-sync-delay 0")
	s, err := newServer(nil)
	if err != nil {
		t.Fatalf("redistest: %v", err)
	}
	t.Cleanup(s.remove)
	if s.port, _, err = freePorts(); err == nil {
		err = s.watch(master.s.port)
	}
	if err == nil {
		err = s.run()
	}
	if err != nil {
		t.Fatalf("redistest: %v", err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), readyWait)
	defer cancel()
	if err := await(ctx, func() (bool, error) { return watched(s.addr(), replica.Addr()) }); err != nil {
		t.Fatalf("redistest: %v", err)
	}
	return &Sentinel{Master: master, Replica: replica, Addr: s.addr()}
}

// watch makes the server a sentinel, which keeps what it learns in its configuration file.
func (s *server) watch(master int) error {
	path := filepath.Join(s.folder, "sentinel.conf")
	text := fmt.Sprintf("port %d\nbind 127.0.0.1\ndir %s\nsentinel monitor %s 127.0.0.1 %d 1\n"+
		"sentinel down-after-milliseconds %[3]s 500\nsentinel failover-timeout %[3]s 3000\n",
		s.port, s.folder, SentinelMaster, master)
	s.args = []string{path, "--sentinel"}
	return os.WriteFile(path, []byte(text), 0o600)
}

// watched reports whether a sentinel knows the replica, and the replica follows.
func watched(sentinel, replica string) (bool, error) {
	info, err := ask(sentinel, "INFO", "sentinel")
	if err != nil {
		return false, err
	}
	role, err := ask(replica, "INFO", "replication")
	return strings.Contains(info, "slaves=1") && strings.Contains(role, "master_link_status:up"), err
}
