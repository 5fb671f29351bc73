package model

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"time"

	"github.com/sessiontrack/sessiontrack"
)

// act carries out the steps of clients and hosts.
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
	case opStray:
		m.stray(s)
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
	case errors.Is(err, sessiontrack.ErrLimit): // the ledger compares the refusal with the model
	case errors.Is(err, sessiontrack.ErrUnavailable) && !r.link.sound(began):
	default:
		m.problem("I18", "login at r%d: %v", r.n, err)
	}
}

// acknowledge records the ends that a replica has acknowledged. It must refuse those sessions from
// now on.
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
	request := newRequest("/logout", "X-Session-Id", t.secret)
	request.Method = http.MethodPost
	r.tracker.Logout(w, request)
	switch {
	case w.Code == http.StatusNoContent:
		m.promised(r, func(row *row) bool { return row.ID == t.id }, began)
	case w.Code == http.StatusUnauthorized: // it had ended before, or is past a limit
	case w.Code == http.StatusServiceUnavailable && !r.link.sound(began):
	default:
		m.problem("I18", "logout at r%d: %d", r.n, w.Code)
	}
}

// promised checks a successful end: every session that about selects has ended, and this replica
// must refuse it from now on.
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
	ended, err := r.tracker.End(context.Background(), sel, sessiontrack.Ending{Reason: sessiontrack.ReasonAdmin,
		Actor: "root"})
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

// stray touches a session with a time that is an hour off. The ledger checks the result.
func (m *machine) stray(s step) {
	if id, ok := m.some(s); ok {
		at := time.Now().Add(time.Hour - time.Duration(s.n%4/2)*2*time.Hour)
		_, _ = m.ledger.Touch(context.Background(), []sessiontrack.TouchRecord{{ID: id, At: at}}, 0)
	}
}

// some picks any session that was ever created, derived ones too. In half of the cases it picks the
// session of token.
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

// look reads past the cache, and compares the answer with the model.
func (m *machine) look(r *replica, s step) {
	began := time.Now()
	if s.kind == opList {
		page, err := r.tracker.List(context.Background(), sessiontrack.Query{UserID: userName(s.user), Live: true,
			Limit: 100})
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

// problemBody has the fields of a refusal that the model checks.
type problemBody struct {
	Code   string                 `json:"code"`
	Reason sessiontrack.EndReason `json:"reason"`
}

func parseProblem(w *httptest.ResponseRecorder) (p problemBody) {
	_ = json.Unmarshal(w.Body.Bytes(), &p)
	return p
}
