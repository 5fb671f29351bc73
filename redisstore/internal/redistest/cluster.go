package redistest

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/rueidis"
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

// Client returns a client of the cluster, closed when the test ends.
func (c *Cluster) Client() rueidis.Client {
	c.t.Helper()
	addrs := make([]string, len(c.Nodes))
	for i, n := range c.Nodes {
		addrs[i] = n.Addr()
	}
	return clientOf(c.t, false, addrs...)
}

var sharedCluster = sync.OnceValues(func() ([]*server, error) { return startCluster(1, nil) })

// SharedCluster returns a client of the cluster that all tests of the binary share.
func SharedCluster(t testing.TB) rueidis.Client {
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
	return clientOf(t, false, addrs...)
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
	nodes := make([]rueidis.Client, len(all))
	names := make([]string, len(all))
	for i, s := range all {
		client, err := dial(true, s.addr())
		if err != nil {
			return err
		}
		defer client.Close()
		nodes[i] = client
		if names[i], err = ask(ctx, client, "CLUSTER", "MYID"); err != nil {
			return err
		}
	}
	for i, s := range all {
		if err := introduce(ctx, nodes, i, s); err != nil {
			return err
		}
	}
	if err := await(ctx, func() (bool, error) { return knowAll(ctx, nodes) }); err != nil {
		return err
	}
	for i := masters; i < len(all); i++ {
		if _, err := ask(ctx, nodes[i], "CLUSTER", "REPLICATE", names[i%masters]); err != nil {
			return err
		}
	}
	return await(ctx, func() (bool, error) { return working(ctx, nodes) })
}

// introduce gives node i its slots and lets the first node meet it.
func introduce(ctx context.Context, nodes []rueidis.Client, i int, s *server) error {
	_, err := ask(ctx, nodes[i], "CLUSTER", "SET-CONFIG-EPOCH", strconv.Itoa(i+1))
	if err == nil && i < masters {
		_, err = ask(ctx, nodes[i], "CLUSTER", "ADDSLOTSRANGE",
			strconv.Itoa(i*slots/masters), strconv.Itoa((i+1)*slots/masters-1))
	}
	if err == nil && i > 0 {
		_, err = ask(ctx, nodes[0], "CLUSTER", "MEET", "127.0.0.1", strconv.Itoa(s.port), strconv.Itoa(s.bus))
	}
	return err
}

// knowAll reports whether every node knows all others.
func knowAll(ctx context.Context, nodes []rueidis.Client) (bool, error) {
	for _, n := range nodes {
		told, err := ask(ctx, n, "CLUSTER", "NODES")
		if err != nil {
			return false, err
		}
		if strings.Count(told, "connected") != len(nodes) || strings.Contains(told, "handshake") ||
			strings.Contains(told, "disconnected") {
			return false, nil
		}
	}
	return true, nil
}

// working reports whether every node says that the cluster serves, and every replica
// follows its master.
func working(ctx context.Context, nodes []rueidis.Client) (bool, error) {
	for i, n := range nodes {
		info, err := ask(ctx, n, "CLUSTER", "INFO")
		if err != nil {
			return false, err
		}
		role, err := ask(ctx, n, "INFO", "replication")
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

func ask(ctx context.Context, client rueidis.Client, words ...string) (string, error) {
	answer, err := client.Do(ctx, client.B().Arbitrary(words...).Build()).ToString()
	if err != nil {
		return "", fmt.Errorf("%s: %w", strings.Join(words, " "), err)
	}
	return answer, nil
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
