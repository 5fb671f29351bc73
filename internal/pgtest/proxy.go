package pgtest

import (
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
)

// Proxy forwards TCP connections to a server and can break them: cut them, refuse new ones, or drop
// the server's answers. Its methods are safe for concurrent use.
type Proxy struct {
	listener net.Listener
	target   atomic.Pointer[string]
	refuse   atomic.Bool
	swallow  atomic.Bool

	mu     sync.Mutex
	open   map[net.Conn]struct{}
	closed bool
	wait   sync.WaitGroup
}

// NewProxy listens on a free port of 127.0.0.1 and forwards to target
// ([Cluster.Addr]) until the test ends.
func NewProxy(t testing.TB, target string) *Proxy {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatalf("pgtest: %v", err)
	}
	p := &Proxy{listener: listener, open: make(map[net.Conn]struct{})}
	p.Retarget(target)
	p.wait.Add(1)
	go p.accept()
	t.Cleanup(p.close)
	return p
}

// Addr is the address of the proxy.
func (p *Proxy) Addr() string { return p.listener.Addr().String() }

// Retarget sends new connections to another server, as a changed DNS name does.
func (p *Proxy) Retarget(target string) { p.target.Store(&target) }

// Refuse makes the proxy close each new connection at once while on.
func (p *Proxy) Refuse(on bool) { p.refuse.Store(on) }

// Swallow makes the proxy drop the server's answers. Requests still reach the server, as when a
// network fails in one direction. Dropped answers are lost, so call [Proxy.Cut] after it.
func (p *Proxy) Swallow(on bool) { p.swallow.Store(on) }

// Cut closes every open connection.
func (p *Proxy) Cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for conn := range p.open {
		_ = conn.Close()
	}
}

func (p *Proxy) close() {
	_ = p.listener.Close()
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	p.Cut()
	p.wait.Wait()
}

func (p *Proxy) accept() {
	defer p.wait.Done()
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		if p.refuse.Load() || !p.keep(client) {
			_ = client.Close()
			continue
		}
		p.wait.Add(1)
		go p.serve(client)
	}
}

// keep registers a connection. It returns false after the proxy has closed.
func (p *Proxy) keep(conn net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return false
	}
	p.open[conn] = struct{}{}
	return true
}

func (p *Proxy) drop(conn net.Conn) {
	_ = conn.Close()
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.open, conn)
}

func (p *Proxy) serve(client net.Conn) {
	defer p.wait.Done()
	defer p.drop(client)
	server, err := net.Dial("tcp", *p.target.Load())
	if err != nil {
		return
	}
	defer p.drop(server)
	if !p.keep(server) {
		return
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = io.Copy(server, client)
		_ = server.Close()
	}()
	_, _ = io.Copy(answers{p, client}, server)
	_ = client.Close()
	<-done
}

// answers forwards the server's answers to the client, or drops them.
type answers struct {
	p *Proxy
	w io.Writer
}

func (a answers) Write(b []byte) (int, error) {
	if a.p.swallow.Load() {
		return len(b), nil
	}
	return a.w.Write(b)
}
