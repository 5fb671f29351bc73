package model

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/golang-jwt/jwt/v5"

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

// credential is what an identity provider gave to a user, independent of the store.
type credential struct {
	id       sessiontrack.SessionID // of the session derived from it
	user     string
	key      string
	issuer   string
	issuedAt time.Time
	expires  time.Time // zero: no end that could be known
	jwt      string
}

// replica is one life of one process.
type replica struct {
	n       int
	tracker *sessiontrack.Tracker
	link    *link
	cancel  context.CancelFunc
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
	ctx, cancel := context.WithCancel(context.Background())
	if err := tracker.Start(ctx); err != nil {
		panic(err)
	}
	r.tracker, r.cancel = tracker, cancel
	m.replicas[n] = r
	m.all = append(m.all, r)
}

// crash kills a process: nothing of it reaches the store any more.
func (m *machine) crash(n int) {
	r := m.replicas[n]
	r.link.set(dead, 0, 0)
	r.cancel()
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
	r.cancel()
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
		r.cancel()
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

// derive is DESIGN's derived handle, written anew.
func derive(parts ...string) sessiontrack.SessionID {
	var text []byte
	for _, part := range append([]string{"sessiontrack/1"}, parts...) {
		text = binary.BigEndian.AppendUint64(text, uint64(len(part)))
		text = append(text, part...)
	}
	sum := sha256.Sum256(text)
	return sessiontrack.SessionID(base64.RawURLEncoding.EncodeToString(sum[:16]))
}

func userName(n int) string { return "user-" + strconv.Itoa(n) }

// mint makes a credential: a key of the provider's, without an end that the library
// could know; a JWT; or one that names the user only, for an issuer of its own.
func (m *machine) mint(s step) {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := time.Now()
	c := credential{user: userName(s.user), issuedAt: now, issuer: fmt.Sprint("issuer-", len(m.credentials))}
	switch s.n % 3 {
	case 0:
		c.key = fmt.Sprint("key-", s.n)
	case 1:
		c.key, c.expires = fmt.Sprint("jti-", s.n), now.Add(m.setting.lives[s.n%len(m.setting.lives)]).Truncate(time.Second)
		c.jwt = signed(&c)
	case 2:
		c.expires = now.Add(m.setting.lives[s.n%len(m.setting.lives)])
	}
	c.id = derive(c.issuer, c.user, c.key)
	m.credentials = append(m.credentials, c)
}

var jwtSecret = []byte("a secret of tests, 32 bytes long")

func signed(c *credential) string {
	text, err := jwt.NewWithClaims(jwt.SigningMethodHS256, jwt.MapClaims{
		"iss": c.issuer, "sub": c.user, "jti": c.key, "iat": c.issuedAt.Unix(), "exp": c.expires.Unix(),
	}).SignedString(jwtSecret)
	if err != nil {
		panic(err)
	}
	return text
}

// renew makes a later credential of the same derived session.
func (m *machine) renew(s step) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.credentials) == 0 {
		return
	}
	c := m.credentials[s.n%len(m.credentials)]
	if c.jwt != "" {
		return // each is its own session
	}
	if c.issuedAt = time.Now(); !c.expires.IsZero() {
		c.expires = c.issuedAt.Add(m.setting.lives[len(m.setting.lives)-1])
	}
	m.credentials = append(m.credentials, c)
}

// lives reports whether the token that a derived session was made of is still good,
// and a replica was shown it. The machine's lock is not held.
func (m *machine) lives(id sessiontrack.SessionID, now time.Time) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	for i, c := range m.credentials {
		if c.id == id && c.jwt != "" && m.seen[i] && now.Before(c.expires) {
			return true
		}
	}
	return false
}

// identify is the host's Identifier: "Bearer N" is credential N, "Bearer user=U" names
// a user, and anything else is a JWT.
func (m *machine) identify(r *http.Request) (sessiontrack.Identity, error) {
	text, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if !ok {
		return sessiontrack.Identity{}, sessiontrack.ErrNoCredential
	}
	if user, ok := strings.CutPrefix(text, "user="); ok {
		return sessiontrack.Identity{UserID: user}, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		return m.jwt.Identify(r)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	c := m.credentials[n]
	if !c.expires.IsZero() && !time.Now().Before(c.expires) {
		return sessiontrack.Identity{}, sessiontrack.ErrExpiredCredential
	}
	return sessiontrack.Identity{UserID: c.user, Key: c.key, Issuer: c.issuer, IssuedAt: c.issuedAt, ExpiresAt: c.expires}, nil
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
		r.tracker.Kick()
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

// act does the steps of clients and hosts.
func (m *machine) act(r *replica, s step) {
	switch s.kind {
	case opRequest, opPassive, opBearer, opBoth, opForge:
		if q, ok := m.question(s); ok {
			m.fly(func() { m.ask(r, q) })
		}
	case opLogin, opReplace:
		m.fly(func() { m.login(r, s) })
	case opLogout:
		if t, ok := m.token(s); ok {
			m.fly(func() { m.logout(r, t) })
		}
	case opCleanup:
		m.fly(func() { _, _ = r.tracker.Cleanup(context.Background()) })
	case opEnd, opEndUser, opEndOthers:
		m.fly(func() { m.end(r, s) })
	}
}

func (m *machine) token(s step) (token, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.tokens) == 0 {
		return token{}, false
	}
	return m.tokens[len(m.tokens)-1-s.n%len(m.tokens)], true
}

func newRequest(path string, headers ...string) *http.Request {
	r := httptest.NewRequest(http.MethodGet, path, nil)
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	return r
}

func (m *machine) login(r *replica, s step) {
	request := newRequest("/login")
	if s.kind == opReplace {
		if t, ok := m.token(s); ok {
			request.Header.Set("X-Session-Id", t.secret)
		}
	}
	began := time.Now()
	user := userName(s.user)
	session, secret, err := r.tracker.Login(httptest.NewRecorder(), request, user)
	switch {
	case err == nil:
		m.acknowledge(r)
		m.mu.Lock()
		again := slices.ContainsFunc(m.tokens, func(t token) bool {
			return t.id == session.ID || t.secret[23:] == secret.Reveal()[23:]
		})
		m.tokens = append(m.tokens, token{session.ID, secret.Reveal(), user})
		m.mu.Unlock()
		if again {
			m.problem("I12", "login gave %s again", session.ID)
		}
	case errors.Is(err, sessiontrack.ErrLimit): // held against the model by the ledger
	case errors.Is(err, sessiontrack.ErrUnavailable) && !r.link.sound(began):
	default:
		m.problem("I18", "login at r%d: %v", r.n, err)
	}
}

// acknowledge notes the ends that a replica has been told of: it must not accept those
// sessions from now on.
func (m *machine) acknowledge(r *replica) {
	m.ledger.mu.Lock()
	defer m.ledger.mu.Unlock()
	for row := range r.link.told {
		if row.acked[r] == 0 {
			row.acked[r] = m.events.Add(1)
		}
	}
}

func (m *machine) logout(r *replica, t token) {
	began := time.Now()
	w := httptest.NewRecorder()
	r.tracker.Logout(w, newRequest("/logout", "X-Session-Id", t.secret))
	switch {
	case w.Code == http.StatusNoContent:
		m.promised(r, func(row *row) bool { return row.ID == t.id }, began)
	case w.Code == http.StatusUnauthorized: // ended before, or past a limit
	case w.Code == http.StatusServiceUnavailable && !r.link.sound(began):
	default:
		m.problem("I18", "logout at r%d: %d", r.n, w.Code)
	}
}

// promised holds a success against the model: everything that the call was about has
// ended, and this replica must know it from now on.
func (m *machine) promised(r *replica, about func(*row) bool, began time.Time) {
	m.ledger.mu.Lock()
	defer m.ledger.mu.Unlock()
	for _, row := range m.ledger.rows {
		if row.gone || !about(row) {
			continue
		}
		if !row.Ended() {
			if row.LoginAt.Before(began) {
				m.ledger.fail("I16", "%s is alive after an acknowledged end", row.ID)
			}
			continue
		}
		if row.acked[r] == 0 {
			row.acked[r] = m.events.Add(1)
		}
	}
}

func (m *machine) end(r *replica, s step) {
	user := userName(s.user)
	sel, about := sessiontrack.User(user), func(row *row) bool { return row.UserID == user }
	if s.kind != opEndUser {
		id, ok := m.some(s)
		if !ok {
			return
		}
		if s.kind == opEnd {
			sel, about = sessiontrack.IDs(id, id), func(row *row) bool { return row.ID == id }
		} else {
			sel, about = sel.Except(id), func(row *row) bool { return row.UserID == user && row.ID != id }
		}
	}
	began := time.Now()
	ended, err := r.tracker.End(context.Background(), sel, sessiontrack.Ending{Reason: sessiontrack.ByAdmin, By: "root"})
	if err != nil {
		if !errors.Is(err, sessiontrack.ErrUnavailable) || r.link.sound(began) {
			m.problem("I18", "end at r%d: %v", r.n, err)
		}
		return
	}
	m.promised(r, about, began)
	m.ledger.mu.Lock()
	defer m.ledger.mu.Unlock()
	for _, s := range ended {
		row := m.ledger.rows[s.ID]
		if row == nil || row.Serial != s.Serial && !row.gone {
			m.ledger.fail("I15", "end returned %s, which is not known", s.ID)
			continue
		}
		if m.returned[row]++; m.returned[row] > 1 {
			m.ledger.fail("I15", "%s was returned as ended now %d times", s.ID, m.returned[row])
		}
	}
}

// some is any session that was ever made, derived ones too; half of the time it is the
// one that token names.
func (m *machine) some(s step) (sessiontrack.SessionID, bool) {
	if t, ok := m.token(s); ok && s.n%2 == 0 {
		return t.id, true
	}
	m.ledger.mu.Lock()
	defer m.ledger.mu.Unlock()
	rows := m.ledger.sorted(func(*row) bool { return true })
	if len(rows) == 0 {
		return "", false
	}
	return rows[len(rows)-1-s.n%len(rows)].ID, true
}

// look reads past the cache: the answer is the model's.
func (m *machine) look(r *replica, s step) {
	began := time.Now()
	if s.kind == opList {
		page, err := r.tracker.List(context.Background(), sessiontrack.Query{UserID: userName(s.user), Live: true, Limit: 100})
		m.listed(r, s, page, err, began)
		return
	}
	id, ok := m.some(s)
	if !ok {
		return
	}
	got, err := r.tracker.Get(context.Background(), id)
	m.ledger.mu.Lock()
	defer m.ledger.mu.Unlock()
	row := m.ledger.rows[id]
	switch {
	case errors.Is(err, sessiontrack.ErrUnavailable):
		if r.link.sound(began) {
			m.ledger.fail("I18", "get at r%d: %v", r.n, err)
		}
	case errors.Is(err, sessiontrack.ErrNotFound) != row.gone && time.Now().Equal(began):
		m.ledger.fail("I18", "get of %s, gone %t: %v", id, row.gone, err)
	case err == nil && time.Now().Equal(began) && (got.Ended() != row.Ended() || got.EndReason != row.EndReason):
		m.ledger.fail("I1", "get of %s: ended %t, want %t", id, got.Ended(), row.Ended())
	}
}

func (m *machine) listed(r *replica, s step, page sessiontrack.Page, err error, began time.Time) {
	m.ledger.mu.Lock()
	defer m.ledger.mu.Unlock()
	if err != nil {
		if !errors.Is(err, sessiontrack.ErrUnavailable) || r.link.sound(began) {
			m.ledger.fail("I18", "list at r%d: %v", r.n, err)
		}
		return
	}
	if !time.Now().Equal(began) {
		return
	}
	now := page.Now.Add(-r.link.skew)
	want := m.ledger.sorted(func(row *row) bool {
		return !row.gone && !row.Ended() && row.UserID == userName(s.user) && within(row, m.setting.options.IdleTimeout, now)
	})
	if len(want) != len(page.Sessions) {
		m.ledger.fail("I2", "list has %d live sessions, want %d", len(page.Sessions), len(want))
	}
}

// problemBody is what of a refusal matters here.
type problemBody struct {
	Code   string                 `json:"code"`
	Reason sessiontrack.EndReason `json:"reason"`
}

func parseProblem(w *httptest.ResponseRecorder) (p problemBody) {
	_ = json.Unmarshal(w.Body.Bytes(), &p)
	return p
}
