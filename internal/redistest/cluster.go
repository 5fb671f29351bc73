package redistest

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

const (
	masters   = 3
	slots     = 16384
	readyWait = 60 * time.Second
)

// Cluster is a private cluster of three masters with replicas. The first three Nodes were
// the masters at the start. Only the test's own goroutine may call its methods.
type Cluster struct {
	t     testing.TB
	Nodes []*Server
}

// StartCluster starts a cluster with so many replicas for each master, and removes it when
// the test ends.
func StartCluster(t testing.TB, replicas int, settings ...string) *Cluster {
	t.Helper()
	requireProgram(t)
	all, err := startCluster(replicas, settings)
	if err != nil {
		t.Fatalf("redistest: %v", err)
	}
	c := &Cluster{t: t}
	for _, s := range all {
		t.Cleanup(s.remove)
		c.Nodes = append(c.Nodes, &Server{t: t, s: s})
	}
	return c
}

// Addrs are the addresses of the nodes.
func (c *Cluster) Addrs() []string {
	addrs := make([]string, len(c.Nodes))
	for i, n := range c.Nodes {
		addrs[i] = n.Addr()
	}
	return addrs
}

var sharedCluster = sync.OnceValues(func() ([]*server, error) { return startCluster(1, nil) })

// SharedCluster returns the addresses of the cluster that all tests of the binary share.
func SharedCluster(t testing.TB) []string {
	t.Helper()
	requireProgram(t)
	all, err := sharedCluster()
	if err != nil {
		t.Fatalf("redistest: %v", err)
	}
	addrs := make([]string, len(all))
	for i, s := range all {
		addrs[i] = s.addr()
	}
	return addrs
}

// startCluster starts the servers and joins them.
func startCluster(replicas int, settings []string) (all []*server, err error) {
	defer func() {
		if err != nil {
			for _, s := range all {
				s.remove()
			}
			all = nil
		}
	}()
	for range masters * (1 + replicas) {
		s, err := startNode(settings)
		if err != nil {
			return all, err
		}
		all = append(all, s)
	}
	ctx, cancel := context.WithTimeout(context.Background(), readyWait)
	defer cancel()
	return all, join(ctx, all)
}

func startNode(settings []string) (*server, error) {
	port, bus, err := freePorts()
	if err != nil {
		return nil, err
	}
	s, err := newServer(append([]string{
		"cluster-enabled yes", "cluster-config-file nodes.conf", "cluster-node-timeout 2000",
		"cluster-port " + strconv.Itoa(bus), "repl-diskless-sync-delay 0",
	}, settings...))
	if err != nil {
		return nil, err
	}
	s.port, s.bus = port, bus
	if err := s.run(); err != nil {
		s.remove()
		return nil, err
	}
	return s, nil
}

// join makes a cluster of servers that do not know each other.
func join(ctx context.Context, all []*server) error {
	names := make([]string, len(all))
	for i, s := range all {
		var err error
		if names[i], err = ask(s.addr(), "CLUSTER", "MYID"); err != nil {
			return err
		}
	}
	for i := range all {
		if err := introduce(all, i); err != nil {
			return err
		}
	}
	if err := await(ctx, func() (bool, error) { return knowAll(all) }); err != nil {
		return err
	}
	for i := masters; i < len(all); i++ {
		if _, err := ask(all[i].addr(), "CLUSTER", "REPLICATE", names[i%masters]); err != nil {
			return err
		}
	}
	return await(ctx, func() (bool, error) { return working(all) })
}

// introduce gives node i its slots and lets the first node meet it.
func introduce(all []*server, i int) error {
	s := all[i]
	_, err := ask(s.addr(), "CLUSTER", "SET-CONFIG-EPOCH", strconv.Itoa(i+1))
	if err == nil && i < masters {
		_, err = ask(s.addr(), "CLUSTER", "ADDSLOTSRANGE",
			strconv.Itoa(i*slots/masters), strconv.Itoa((i+1)*slots/masters-1))
	}
	if err == nil && i > 0 {
		_, err = ask(all[0].addr(), "CLUSTER", "MEET", "127.0.0.1", strconv.Itoa(s.port), strconv.Itoa(s.bus))
	}
	return err
}

// knowAll reports whether every node knows all others.
func knowAll(all []*server) (bool, error) {
	for _, s := range all {
		told, err := ask(s.addr(), "CLUSTER", "NODES")
		if err != nil {
			return false, err
		}
		if strings.Count(told, "connected") != len(all) || strings.Contains(told, "handshake") ||
			strings.Contains(told, "disconnected") {
			return false, nil
		}
	}
	return true, nil
}

// working reports whether every node says that the cluster serves, and every replica
// follows its master.
func working(all []*server) (bool, error) {
	for i, s := range all {
		info, err := ask(s.addr(), "CLUSTER", "INFO")
		if err != nil {
			return false, err
		}
		role, err := ask(s.addr(), "INFO", "replication")
		if err != nil {
			return false, err
		}
		if !strings.Contains(info, "cluster_state:ok") ||
			i >= masters && !strings.Contains(role, "master_link_status:up") {
			return false, nil
		}
	}
	return true, nil
}

// await asks until the answer is yes.
func await(ctx context.Context, ready func() (bool, error)) error {
	for {
		ok, err := ready()
		if ok {
			return nil
		}
		select {
		case <-ctx.Done():
			return errors.Join(errors.New("the cluster did not come up"), err)
		case <-time.After(pollInterval):
		}
	}
}
