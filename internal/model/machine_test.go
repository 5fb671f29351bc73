package model

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sessiontrack/sessiontrack"
)

// machine runs one script.
type machine struct {
	ledger   *ledger
	setting  setting
	plant    plant
	jwt      *sessiontrack.JWTIdentifier
	replicas [replicas]*replica
	all      []*replica // those that were killed or shut down, too
	flying   sync.WaitGroup
	events   atomic.Int64 // numbers what happens

	mu          sync.Mutex // guards what follows; never held during a call of a Tracker
	tokens      []token
	credentials []credential
	seen        map[int]bool // credentials that a replica was shown
	returned    map[*row]int // how many calls of End returned it
	hooked      map[*row]int
}

// token is what a client was given by Login.
type token struct {
	id     sessiontrack.SessionID
	secret string // the whole of it
	user   string
}

// replica is one life of one process.
type replica struct {
	n       int
	tracker *sessiontrack.Tracker
	link    *link
	settle  time.Duration // until a fault that is over has been noticed everywhere
	born    time.Time

	// guarded by the machine's mu
	ended   map[*row]int64 // the event of answering so, other than for idleness
	fenced  map[sessiontrack.SessionID]bool
	used    map[*row]time.Time // latest counted request
	due     []accepted
	crashed bool
}

// accepted is a request whose activity must be in the store in time.
type accepted struct {
	row *row
	at  time.Time
}

func newMachine(s setting, p plant) *machine {
	store := memory()
	if p.store != nil {
		store = p.store()
	}
	m := &machine{
		setting: s, plant: p, ledger: newLedger(store, s.options),
		seen: make(map[int]bool), returned: make(map[*row]int), hooked: make(map[*row]int),
	}
	m.ledger.tokens = m.lives
	identifier, err := sessiontrack.NewJWTIdentifier(sessiontrack.JWTOptions{Secret: jwtSecret, CacheSize: 64})
	if err != nil {
		panic(err)
	}
	m.jwt = identifier
	return m
}

// run executes a script, with a bug planted or without, and returns the violations that
// it shows.
func run(t *testing.T, s script, p plant) (problems []string) {
	synctest.Test(t, func(t *testing.T) {
		defer func() {
			if p := recover(); p != nil {
				problems = append(problems, fmt.Sprintf("panic: %v\n%s", p, debug.Stack()))
			}
		}()
		m := newMachine(s.setting, p)
		for n := range m.replicas {
			m.boot(n)
		}
		for i, step := range s.steps {
			m.do(step)
			synctest.Wait()
			m.check()
			if len(m.ledger.found()) > 0 {
				m.problem("step", "%d: %v", i, step)
				break
			}
		}
		m.finish()
		problems = m.ledger.found()
	})
	return problems
}

// boot starts a process in the place of replica n.
func (m *machine) boot(n int) {
	o := m.setting.options
	r := &replica{
		n: n, born: time.Now(), ended: make(map[*row]int64), fenced: make(map[sessiontrack.SessionID]bool), used: make(map[*row]time.Time),
	}
	r.settle = o.FeedInterval + 5*o.StoreTimeout
	r.link = newLink(m.ledger, r, time.Duration(n-1)*m.setting.skew)
	r.link.pollStart = time.Now()
	if m.plant.link != nil {
		m.plant.link(r.link)
	}
	o.Logger = slog.New(slog.DiscardHandler)
	o.Identifier, o.SessionAlone = sessiontrack.IdentifierFunc(m.identify), true
	o.Passive = func(r *http.Request) bool { return r.URL.Path == "/poll" }
	o.Hooks.End = func(_ context.Context, s sessiontrack.Session) { m.hook(r, s) }
	var store sessiontrack.Store = r.link
	if m.setting.feedless {
		store = feedless{r.link}
	}
	tracker, err := sessiontrack.New(store, &o)
	if err != nil {
		panic(err)
	}
	if err := tracker.Start(context.Background()); err != nil {
		panic(err)
	}
	r.tracker = tracker
	m.replicas[n] = r
	m.all = append(m.all, r)
}

// crash kills a process: nothing of it reaches the store any more.
func (m *machine) crash(n int) {
	r := m.replicas[n]
	r.link.set(dead, 0, 0)
	gone, cancel := context.WithCancel(context.Background())
	cancel()
	_ = r.tracker.Shutdown(gone) // it ends the goroutines and waits for nothing
	m.mu.Lock()
	r.crashed, r.due = true, nil
	m.mu.Unlock()
	m.boot(n)
}

// restart shuts a process down in good order.
func (m *machine) restart(n int) {
	r := m.replicas[n]
	sound := r.link.sound(r.born)
	ctx, cancel := context.WithTimeout(context.Background(), time.Hour)
	defer cancel()
	err := r.tracker.Shutdown(ctx)
	m.mu.Lock()
	due := r.due
	r.due = nil
	m.mu.Unlock()
	if err == nil {
		m.written(r, due)
	} else if sound {
		m.problem("F08", "shutdown of r%d: %v", n, err)
	}
	m.boot(n)
}

// finish heals everything, shuts down, and checks what must hold then. That no
// goroutine is left is checked by the bubble.
func (m *machine) finish() {
	for _, r := range m.replicas {
		r.link.set(healthy, 0, 0)
	}
	m.flying.Wait()
	time.Sleep(m.setting.options.MaxStaleness + 10*time.Second)
	for _, r := range m.replicas {
		if err := r.tracker.Shutdown(context.Background()); err != nil {
			m.problem("F08", "shutdown: %v", err)
		}
		m.written(r, r.due)
	}
	m.ledger.snapshot(context.Background())
	m.ledger.mu.Lock()
	defer m.ledger.mu.Unlock()
	for _, r := range m.all {
		for row := range r.link.told {
			if !r.crashed && m.hooked[row] != 1 {
				m.ledger.fail("I14", "%d terminal events of %s", m.hooked[row], row.ID)
			}
		}
	}
}

func (m *machine) problem(invariant, format string, args ...any) {
	m.ledger.mu.Lock()
	defer m.ledger.mu.Unlock()
	m.ledger.fail(invariant, format, args...)
}

// hook is told of ends by a replica's Tracker.
func (m *machine) hook(r *replica, s sessiontrack.Session) {
	m.ledger.mu.Lock()
	defer m.ledger.mu.Unlock()
	m.mu.Lock()
	defer m.mu.Unlock()
	for row := range r.link.told {
		if row.ID != s.ID || row.Serial != s.Serial {
			continue
		}
		if m.hooked[row]++; m.hooked[row] > 1 {
			m.ledger.fail("I14", "terminal event of %s came %d times", s.ID, m.hooked[row])
		}
		if s.EndReason != row.EndReason || !s.LogoutAt.Add(-r.link.skew).Equal(row.LogoutAt) {
			m.ledger.fail("I14", "event says %s %q, stored is %s %q", stamp(s.LogoutAt), s.EndReason, stamp(row.LogoutAt), row.EndReason)
		}
		return
	}
	m.ledger.fail("I14", "event of %s that was not ended here", s.ID)
}

// fly does what may take time in a goroutine of its own, so that other steps go on.
func (m *machine) fly(f func()) { m.flying.Go(f) }

// do carries out one step.
func (m *machine) do(s step) {
	r := m.replicas[s.replica]
	switch s.kind {
	case opSleep:
		time.Sleep(s.sleep)
	case opMint:
		m.mint(s)
	case opRenew:
		m.renew(s)
	case opKick:
		r.tracker.PollNow()
	case opCut:
		r.link.set(cut, 0, 0)
	case opLose:
		r.link.set(lost, 0, 0)
	case opHang:
		r.link.set(hanging, 0, 0)
	case opSlowReads:
		r.link.set(healthy, m.delay(s), 0)
	case opSlowAll:
		r.link.set(healthy, m.delay(s), m.delay(s))
	case opHeal:
		r.link.set(healthy, 0, 0)
	case opCrash:
		m.crash(s.replica)
	case opRestart:
		m.restart(s.replica)
	case opGet, opList:
		m.fly(func() { m.look(r, s) })
	default:
		m.act(r, s)
	}
}

// delay is a part of StoreTimeout, or a little more than all of it.
func (m *machine) delay(s step) time.Duration {
	timeout := m.setting.options.StoreTimeout
	return []time.Duration{timeout / 5, timeout / 2, timeout * 9 / 10, timeout * 11 / 10}[s.n%4]
}
