package pgtest

import (
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Standby creates a standby from a base backup of this server and starts it. It streams with name
// as its application name and accepts reads until [Cluster.Promote]. It needs pg_basebackup, and
// skips the test without it.
func (c *Cluster) Standby(name string) *Cluster {
	c.t.Helper()
	tool := filepath.Join(c.s.bin, "pg_basebackup")
	if !executable(c.s.bin, "pg_basebackup") {
		var err error
		if tool, err = exec.LookPath("pg_basebackup"); err != nil {
			c.t.Skipf("needs pg_basebackup: %v", err)
		}
	}
	s, err := c.s.standby(tool, name)
	if err != nil {
		c.t.Fatalf("pgtest: standby: %v", err)
	}
	c.t.Cleanup(s.close)
	return &Cluster{t: c.t, s: s}
}

// Promote makes a standby the primary and returns when it accepts writes.
func (c *Cluster) Promote() {
	c.t.Helper()
	if _, err := c.Open().ExecContext(c.t.Context(), "SELECT pg_promote(true, 30)"); err != nil {
		c.t.Fatalf("pgtest: promote: %v", err)
	}
}

func (primary *server) standby(tool, name string) (*server, error) {
	folder, err := os.MkdirTemp(tempRoot, "stpg")
	if err != nil {
		return nil, err
	}
	s := &server{folder: folder, bin: primary.bin, password: primary.password, tcp: true}
	err = errors.Join(giveAway(folder), s.postGuardian())
	if err == nil {
		s.port, err = freePort()
	}
	if err == nil {
		err = s.copyOf(primary, tool, name)
	}
	if err == nil {
		err = s.start()
	}
	if err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

// copyOf fills the data folder from a running server and makes that server its primary. A
// replication slot keeps the log that has not been streamed yet.
func (s *server) copyOf(primary *server, tool, name string) error {
	slot := strings.ToLower("s" + rand.Text()[:12])
	connection := fmt.Sprintf("host=%s port=%d user=postgres application_name=%s", primary.folder, primary.port, name)
	backup := s.command(tool, "--dbname="+connection, "--pgdata="+s.data(),
		"--checkpoint=fast", "--wal-method=stream", "--create-slot", "--slot="+slot, "--write-recovery-conf", "--no-sync")
	if output, err := backup.CombinedOutput(); err != nil {
		return fmt.Errorf("pg_basebackup: %w: %s", err, output)
	}
	return nil
}
