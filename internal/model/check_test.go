package model

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"net/http/httptest"
	"strconv"
	"time"

	"github.com/sessiontrack/sessiontrack"
)

// question is one request.
type question struct {
	id         sessiontrack.SessionID // the session that the credential names
	header     string                 // x-session-id
	bearer     string                 // Authorization
	credential *credential
	derived    bool
	genuine    bool   // the credential proves that session
	user       string // the credential's user if the request has a header and a credential
	passive    bool
}

// question builds the request of a step.
func (m *machine) question(s step) (q question, ok bool) {
	if s.kind == opBearer {
		return m.bearer(s)
	}
	t, ok := m.token(s)
	if !ok {
		return q, false
	}
	q = question{id: t.id, header: t.secret, genuine: true, passive: s.kind == opPassive}
	switch s.kind {
	case opBoth:
		q.user = userName(s.user)
		q.bearer, q.genuine = "user="+q.user, q.user == t.user
	case opForge:
		q.header, q.genuine = m.forged(s, t), false
	}
	return q, true
}

func (m *machine) bearer(s step) (q question, ok bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.credentials) == 0 {
		return q, false
	}
	n := len(m.credentials) - 1 - s.n%len(m.credentials)
	c := m.credentials[n]
	q = question{id: c.id, bearer: strconv.Itoa(n), credential: &c, derived: true, genuine: true}
	if c.jwt != "" {
		q.bearer = c.jwt
	}
	m.seen[n] = true
	return q, true
}

// forged builds a token from data that is visible to others than its owner.
func (m *machine) forged(s step, t token) string {
	stored := sha256.Sum256([]byte(t.secret[23:]))
	if record, err := m.ledger.Get(context.Background(), t.id); err == nil {
		stored = record.SecretHash
	}
	m.mu.Lock()
	other := m.tokens[s.user%len(m.tokens)].secret[23:]
	m.mu.Unlock()
	if other == t.secret[23:] {
		other = base64.RawURLEncoding.EncodeToString(make([]byte, 32))
	}
	return string(t.id) + "." + []string{base64.RawURLEncoding.EncodeToString(stored[:]), other}[s.n%2]
}

// answer is a replica's response to a question.
type answer struct {
	replica    *replica
	began      time.Time
	event      int64
	returned   time.Time
	lastBefore time.Time // the row's activity before the request
	rowBefore  *row
	code       int
	problem    problemBody
	session    sessiontrack.Session
	tracked    bool
}

// ask sends the question through a replica's middleware and judges the answer.
func (m *machine) ask(r *replica, q question) {
	a := answer{replica: r, began: time.Now(), event: m.events.Add(1)}
	m.ledger.mu.Lock()
	if a.rowBefore = m.ledger.rows[q.id]; a.rowBefore != nil {
		a.lastBefore = a.rowBefore.LastActivity
	}
	m.ledger.mu.Unlock()
	path := "/"
	if q.passive {
		path = "/poll"
	}
	request := newRequest(path)
	if q.header != "" {
		request.Header.Set("X-Session-Id", q.header)
	}
	if q.bearer != "" {
		request.Header.Set("Authorization", "Bearer "+q.bearer)
	}
	w := httptest.NewRecorder()
	r.tracker.Middleware(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		a.session, a.tracked = sessiontrack.FromContext(r.Context())
	})).ServeHTTP(w, request)
	a.code, a.returned, a.problem = w.Code, time.Now(), parseProblem(w)
	m.judge(q, a)
}

// judge compares an answer with the model.
func (m *machine) judge(q question, a answer) {
	l := m.ledger
	l.mu.Lock()
	defer l.mu.Unlock()
	m.mu.Lock()
	defer m.mu.Unlock()
	if a.replica.crashed {
		return // the process died before it answered
	}
	row := l.rows[q.id]
	switch {
	case a.code == http.StatusOK:
		m.judgeAccepted(q, a, row)
	case a.code == http.StatusUnauthorized && a.problem.Code == "session_ended":
		m.judgeEnded(q, a, row)
	case a.code == http.StatusUnauthorized && a.problem.Code == "token_expired":
		if q.credential == nil || q.credential.expires.IsZero() || a.returned.Before(q.credential.expires) {
			l.fail("I18", "a good credential was called expired")
		}
	case a.code == http.StatusUnauthorized && a.problem.Code == "session_invalid":
		if q.genuine && (q.derived || row != nil && !row.gone) {
			l.fail("I18", "r%d called a genuine credential of %s invalid", a.replica.n, q.id)
		}
	case a.code == http.StatusForbidden && a.problem.Code == "session_limit":
		if !q.derived || m.setting.options.MaxSessions == 0 || m.setting.options.LimitPolicy != sessiontrack.DenyNew ||
			a.rowBefore != nil && !a.rowBefore.gone {
			l.fail("I10", "%s was refused for the limit", q.id)
		}
	case a.code == http.StatusServiceUnavailable:
		if a.replica.link.sound(a.began) {
			l.fail("I18", "r%d answered 503 with a sound store", a.replica.n)
		}
	default:
		l.fail("I18", "r%d answered %d %q", a.replica.n, a.code, a.problem.Code)
	}
}

// judgeAccepted checks I3, I4, I7, I8, I11, I12, I13 and I17.
func (m *machine) judgeAccepted(q question, a answer, row *row) {
	l, r, o := m.ledger, a.replica, m.setting.options
	switch {
	case !a.tracked:
		l.fail("I18", "r%d let a request with a credential pass untracked", r.n)
		return
	case !q.genuine:
		l.fail("I13", "r%d accepted a forged or foreign credential of %s", r.n, q.id)
		return
	case row == nil || a.session.ID != q.id || row.gone:
		l.fail("I12", "r%d accepted %s as %s, which the store does not have", r.n, q.id, a.session.ID)
		return
	}
	eps := r.link.eps()
	if a.session.UserID != row.UserID && !row.blanked {
		l.fail("I11", "r%d accepted %s of %q as %q", r.n, q.id, row.UserID, a.session.UserID)
	}
	if acked := row.acked[r]; acked != 0 && a.event > acked {
		l.fail("I3", "r%d accepted %s, whose end it had acknowledged", r.n, q.id)
	}
	if row.Ended() {
		bound := o.MaxStaleness
		if !r.link.sound(row.committed) {
			bound += o.StaleGrace
		}
		if since := a.began.Sub(row.committed); since >= bound {
			l.fail("I3", "r%d accepted %s %v after its end, bound %v", r.n, q.id, since, bound)
		}
	}
	if told := r.ended[row]; told != 0 && a.event > told {
		l.fail("I4", "r%d accepted %s after having called it ended", r.n, q.id)
	}
	last := row.LastActivity
	if used := r.used[row]; used.After(last) {
		last = used
	}
	if idle := a.began.Sub(last); idle >= o.IdleTimeout+eps {
		l.fail("I7", "r%d accepted %s after %v without activity", r.n, q.id, idle)
	}
	if !a.began.Before(row.ExpiresAt.Add(eps)) {
		l.fail("I8", "r%d accepted %s past its lifetime", r.n, q.id)
	}
	m.judgeTrust(q, a)
	if !q.passive {
		r.used[row] = a.returned
		r.due = append(r.due, accepted{row, a.returned})
	}
}

// judgeTrust checks I17. A replica that answers from its cache must have read the store or its feed
// within MaxStaleness, counted from the start of that read.
func (m *machine) judgeTrust(q question, a answer) {
	o, k := m.setting.options, a.replica.link
	k.mu.Lock()
	defer k.mu.Unlock()
	if !k.readDone[q.id].Before(a.began) {
		return // the replica read the store for this request
	}
	since, grace := k.pollStart, k.pollFailed
	if m.setting.feedless {
		since, grace = k.readStart[q.id], !k.readFailed.Before(a.began)
	}
	trusted := since.Add(o.MaxStaleness)
	if grace {
		trusted = trusted.Add(o.StaleGrace)
	}
	// A request that waited for a read decides at the moment at which its own read failed.
	if at := a.began; !at.Before(trusted) {
		m.ledger.fail("I17", "r%d served %s from its cache, last asked at %s", a.replica.n, q.id, stamp(since))
	}
}

// judgeEnded compares a refusal with the model: a live session is never called ended too early.
func (m *machine) judgeEnded(q question, a answer, row *row) {
	l, r, o := m.ledger, a.replica, m.setting.options
	if !q.genuine {
		l.fail("I13", "r%d revealed the end of %s to a credential that does not prove it", r.n, q.id)
		return
	}
	if row == nil || row.gone {
		m.judgeFenced(q, a)
		return
	}
	reason, eps := a.problem.Reason, r.link.eps()
	switch {
	case row.Ended() && reason == row.EndReason:
		m.answeredEnded(r, row)
	case reason == sessiontrack.ReasonLifetime && !a.returned.Before(row.ExpiresAt.Add(-eps)):
		m.answeredEnded(r, row)
	case reason == sessiontrack.ReasonIdle && a.began.Sub(a.lastBefore) >= o.IdleTimeout-eps:
	case reason == sessiontrack.ReasonIdle && !r.link.sound(a.began):
	case q.derived && (r.fenced[q.id] || a.rowBefore != row || row.again): // fenced, or ended and forgotten
	default:
		l.fail("I18", "r%d called %s ended for %q; ended %t for %q, last %s, expires %s", r.n, q.id, reason,
			row.Ended(), row.EndReason, stamp(row.LastActivity), stamp(row.ExpiresAt))
	}
}

func (m *machine) answeredEnded(r *replica, row *row) {
	if r.ended[row] == 0 {
		r.ended[row] = m.events.Add(1)
	}
}

// judgeFenced checks the refusal of a credential without a session. Either it was issued before all
// of its user's sessions ended, or this replica remembers the end of its session.
func (m *machine) judgeFenced(q question, a answer) {
	if !q.derived {
		if a.rowBefore == nil {
			m.ledger.fail("I18", "r%d called %s ended, which never was", a.replica.n, q.id)
		}
		return
	}
	issued := q.credential.issuedAt
	if a.replica.link.skew < 0 { // to this replica the issuer's clock is ahead: the leeway is taken off
		issued = issued.Add(-time.Minute)
	}
	for _, at := range m.ledger.refused {
		if !issued.Truncate(time.Second).After(at) {
			a.replica.fenced[q.id] = true
			return
		}
	}
	if a.rowBefore == nil && m.ledger.rows[q.id] == nil {
		m.ledger.fail("I16", "r%d refused a credential that no fence covers", a.replica.n)
	}
}

// check compares the store with the model after each step, and each replica's accepted requests
// with the store (I6).
func (m *machine) check() {
	m.ledger.snapshot(context.Background())
	for _, r := range m.replicas {
		m.mu.Lock()
		due := r.due
		r.due = nil
		m.mu.Unlock()
		var keep, ripe []accepted
		lag := m.setting.options.FlushInterval
		for _, d := range due {
			if time.Since(d.at) > lag && r.link.sound(d.at) {
				ripe = append(ripe, d)
			} else if r.link.sound(time.Now().Add(-lag-5*time.Second)) && time.Since(d.at) > lag {
				ripe = append(ripe, d)
			} else {
				keep = append(keep, d)
			}
		}
		m.written(r, ripe)
		m.mu.Lock()
		r.due = append(keep, r.due...)
		m.mu.Unlock()
	}
}

// written checks that the store has the activity of accepted requests, up to TouchInterval.
func (m *machine) written(r *replica, ripe []accepted) {
	m.ledger.mu.Lock()
	defer m.ledger.mu.Unlock()
	for _, d := range ripe {
		if d.row.Ended() || d.row.gone {
			continue
		}
		if floor := d.at.Add(-m.setting.options.TouchInterval - r.link.eps()); d.row.LastActivity.Before(floor) {
			m.ledger.fail("I6", "r%d accepted %s at %s, the store has %s", r.n, d.row.ID, stamp(d.at), stamp(d.row.LastActivity))
		}
	}
}
