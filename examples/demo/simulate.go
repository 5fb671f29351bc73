package main

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"sync"
	"time"
)

// perSecond bounds the requests of all simulated users together, so that a large
// -simulate makes them slower and not the machine.
const perSecond = 200

// simulation is a crowd that uses the demo as people would, over HTTP.
type simulation struct {
	base    string
	client  *http.Client
	tickets chan struct{}
	trusted []netip.Prefix
	local   bool // the demo listens where 127.0.0.0/8 can reach it

	cancel context.CancelFunc
	wait   sync.WaitGroup
}

// startSimulation lets -simulate users in. The caller stops what it returns.
func startSimulation(ctx context.Context, config config, addr net.Addr, log *slog.Logger) *simulation {
	ctx, cancel := context.WithCancel(ctx)
	s := &simulation{base: baseURL(addr), tickets: make(chan struct{}), trusted: config.trusted, cancel: cancel}
	if config.simulate == 0 {
		return s
	}
	s.client = s.newClient()
	s.wait.Go(func() { s.issueTickets(ctx) })
	for n := range config.simulate {
		for d := range devicesOf(n) {
			s.wait.Go(func() { newVisitor(s, n, d).live(ctx) })
		}
	}
	log.Info("demo: simulation started", slog.Int("users", config.simulate))
	return s
}

// stop ends the simulation and waits for its last request.
func (s *simulation) stop() {
	s.cancel()
	s.wait.Wait()
}

func (s *simulation) issueTickets(ctx context.Context) {
	ticker := time.NewTicker(time.Second / perSecond)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		select {
		case <-ctx.Done():
			return
		case s.tickets <- struct{}{}:
		}
	}
}

// sourceKey marks the address that a request is sent from.
type sourceKey struct{}

// newClient returns a client that dials from the address in a request's context. It
// keeps no connection: the next request may be somebody else's.
func (s *simulation) newClient() *http.Client {
	if u, err := url.Parse(s.base); err == nil {
		target, err := netip.ParseAddr(u.Hostname())
		s.local = err == nil && target.Is4() && target.IsLoopback()
	}
	return &http.Client{
		Timeout: 15 * time.Second,
		Transport: &http.Transport{
			DisableKeepAlives: true,
			DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
				if source, ok := ctx.Value(sourceKey{}).(netip.Addr); ok && s.local {
					from := net.Dialer{LocalAddr: net.TCPAddrFromAddrPort(netip.AddrPortFrom(source, 0))}
					if conn, err := from.DialContext(ctx, network, addr); err == nil {
						return conn, nil
					} // only Linux has all of 127.0.0.0/8
				}
				return new(net.Dialer).DialContext(ctx, network, addr)
			},
		},
	}
}

// devicesOf is how many devices a user has: three in ten have two, one in ten three.
func devicesOf(n int) int {
	switch n % 10 {
	case 0, 3, 6:
		return 2
	case 9:
		return 3
	}
	return 1
}

// agentOf is the browser of a user's device; the same in each run.
func agentOf(n, device int) agent {
	if device == 0 {
		return firstAgents[n%len(firstAgents)]
	}
	return moreAgents[(n/3+device)%len(moreAgents)]
}

// sourceOf is the loopback address that a device dials from.
func sourceOf(n, device int) netip.Addr {
	return netip.AddrFrom4([4]byte{127, byte(1 + device), byte(1 + n/250), byte(1 + n%250)})
}

// claimedOf is the address that a proxy in front would have seen: one of the networks
// that are set aside for documentation (RFC 5737, RFC 3849), so nobody's.
func claimedOf(n, device int) netip.Addr {
	networks := [][4]byte{{192, 0, 2}, {198, 51, 100}, {203, 0, 113}}
	if n%7 == 6 {
		return netip.AddrFrom16([16]byte{0x20, 0x01, 0x0d, 0xb8, 0, byte(device), byte(n >> 8), byte(n), 15: 1})
	}
	network := networks[(n/250+device)%len(networks)]
	network[3] = byte(1 + n%250)
	return netip.AddrFrom4(network)
}

// behindProxy reports whether the demo believes what that address forwards.
func (s *simulation) behindProxy(source netip.Addr) bool {
	return slices.ContainsFunc(s.trusted, func(p netip.Prefix) bool { return p.Contains(source) })
}

// between returns a duration in a range, the shorter ones more often.
func between(random *rand.Rand, low, high time.Duration) time.Duration {
	share := random.Float64()
	return low + time.Duration(share*share*float64(high-low))
}

// pause waits, and reports whether the simulation goes on.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}
