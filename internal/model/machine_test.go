package model

import (
	"context"
	"fmt"
	"io"
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
	all      []*replica // also the killed and stopped replicas
	flying   sync.WaitGroup
	events   atomic.Int64 // numbers the events

	mu          sync.Mutex // guards the fields below; not held during a call of a Tracker
	tokens      []token
	credentials []credential
	seen        map[int]bool // credentials that a replica has seen
	returned    map[*row]int // number of calls of End that returned the session
	hooked      map[*row]int
}

// token is the result of a Login.
type token struct {
	id     sessiontrack.SessionID
	secret string // the complete token
	user   string
}

// replica is one run of one process.
type replica struct {
	n       int
	tracker *sessiontrack.Tracker
	link    *link
	settle  time.Duration // the time after which every replica has noticed the end of a fault
	born    time.Time

	// The machine's mu guards the fields below.
	ended   map[*row]int64 // the event of the first refusal, except for idleness
	fenced  map[sessiontrack.SessionID]bool
	used    map[*row]time.Time // the latest request that counts as activity
	due     []accepted
	crashed bool
}

// accepted is an accepted request. The store must have its activity in time.
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

// run executes a script with a bug (or none) and returns the violations.
func run(t *testing.T, s script, p plant) (problems []string) {
	synctest.Test(t, func(t *testing.T) {
		defer func() {
			if p := recover(); p != nil {
				problems = append(problems, fmt.Sprintf("panic: %v\n%s", p, debug.Stack()))
			}
		}()
		m := newMachine(s.setting, p)
		defer m.close()
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

// close closes a store that holds something open, at the end of the script.
func (m *machine) close() {
	if store, ok := m.ledger.store.(io.Closer); ok {
		if err := store.Close(); err != nil {
			panic(err)
		}
	}
}

// boot starts a process as replica n.
func (m *machine) boot(n int) {
	o := m.setting.options
	r := &replica{
		n: n, born: time.Now(), ended: make(map[*row]int64), fenced: make(map[sessiontrack.SessionID]bool),
		used: make(map[*row]time.Time),
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

// crash kills a process. Its later calls do not reach the store.
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

// restart shuts a process down cleanly and starts it again.
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

// finish ends all faults, shuts down, and runs the final checks. The bubble checks that no
// goroutine is left.
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

// hook receives the ends that a replica's Tracker reports.
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
			m.ledger.fail("I14", "event says %s %q, stored is %s %q", stamp(s.LogoutAt), s.EndReason, stamp(row.LogoutAt),
				row.EndReason)
		}
		return
	}
	m.ledger.fail("I14", "event of %s that was not ended here", s.ID)
}

// fly runs f in a goroutine, so that later steps run concurrently.
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

// delay returns a part of StoreTimeout, or slightly more than StoreTimeout.
func (m *machine) delay(s step) time.Duration {
	timeout := m.setting.options.StoreTimeout
	return []time.Duration{timeout / 5, timeout / 2, timeout * 9 / 10, timeout * 11 / 10}[s.n%4]
}
