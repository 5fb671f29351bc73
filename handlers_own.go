package sessiontrack

import (
	"cmp"
	"context"
	"time"

	"github.com/sessiontrack/sessiontrack/internal/storeclock"
)

const (
	// ownEndedFor is how long one's own list shows a session that has ended.
	ownEndedFor = 90 * 24 * time.Hour
	// maxOwnReads bounds how many pages of the store one answer looks through.
	maxOwnReads = 10
)

// ownView is a session as its user sees it. EndedBy is "you", "administrator" or "system": which
// administrator it was is not the user's to know.
func (h *userHandler) ownView(s Session, c *call) sessionView {
	v := h.sessionView(s, c, h.opts.Online)
	if s.Ended() {
		v.EndedBy = endedByWhom(s)
	}
	return v
}

// endedByWhom tells a user who ended their session.
func endedByWhom(s Session) string {
	switch {
	case s.EndedBy == s.UserID && s.UserID != "":
		return "you"
	case s.EndedBy != "", s.EndReason == ReasonAdmin:
		return "administrator"
	case s.EndReason == ReasonLogout, s.EndReason == ReasonUser, s.EndReason == ReasonReported:
		return "you"
	}
	return "system"
}

type sessionsAnswer struct {
	Sessions  []sessionView `json:"sessions"`
	Count     int           `json:"count"`
	Timestamp time.Time     `json:"timestamp"`
	Next      string        `json:"next,omitempty"`
}

func (h *userHandler) sessions(c *call) (any, error) {
	p := parametersOf(c)
	state := cmp.Or(State(p.OneOf("state", string(StateActive), string(StateEnded), string(StateAny))), StateActive)
	q := Query{
		UserID: c.caller.entry.user, Filter: Filter{State: state}, Live: state == StateActive,
		Limit: p.limit(maxPage), After: p.cursor(),
	}
	if err := p.Err(); err != nil {
		return nil, err
	}
	page, err := h.ownPage(c, q)
	if err != nil {
		return nil, err
	}
	views := make([]sessionView, len(page.Sessions))
	for i, s := range page.Sessions {
		views[i] = h.ownView(s, c)
	}
	return sessionsAnswer{views, len(views), page.Now, page.Next.String()}, nil
}

// ownPage reads until a page is full. Each reading asks for what is missing, so that the store's
// cursor stands behind the last row that is shown.
func (h *userHandler) ownPage(c *call, q Query) (Page, error) {
	var out Page
	want := q.Limit
	for range maxOwnReads {
		page, err := h.t.list(c.r.Context(), q)
		if err != nil {
			return Page{}, err
		}
		for _, s := range page.Sessions {
			if !s.Ended() || page.Now.Sub(s.LogoutAt) <= ownEndedFor {
				out.Sessions = append(out.Sessions, s)
			}
		}
		out.Now, out.Next = page.Now, page.Next
		if len(out.Sessions) == want || page.Next.IsZero() {
			break
		}
		q.After, q.Limit = page.Next, want-len(out.Sessions)
	}
	return out, nil
}

// end ends one of the caller's own sessions.
func (h *userHandler) end(c *call) (any, error) {
	s, err := h.ownSession(c)
	if err != nil {
		return nil, err
	}
	e := Ending{Reason: ReasonUser, Actor: s.UserID}
	current := s.ID == c.caller.entry.handle.id()
	if current {
		e.Reason = ReasonLogout
	}
	answer, err := h.endOwn(c, actionEndOwn, IDs(s.ID), e)
	if err == nil && current {
		h.t.door.cookies.clear(c.w)
	}
	return answer, err
}

func (h *userHandler) endOthers(c *call) (any, error) {
	user := c.caller.entry.user
	others := User(user).Except(c.caller.entry.handle.id())
	return h.endOwn(c, actionEndOthers, others, Ending{Reason: ReasonUser, Actor: user})
}

func (h *userHandler) endOwn(c *call, action string, sel Selector, e Ending) (any, error) {
	ended, err := h.endAudited(c, sel, e, h.ownRecord(c, action, e.Reason))
	if err != nil {
		return nil, err
	}
	return endedCount{len(ended.Sessions)}, nil
}

// ownSession reads the session that the path names. Another user's session gets the same answer as
// one that does not exist (OWASP ASVS 8.2.2).
func (h *userHandler) ownSession(c *call) (Session, error) {
	s, err := h.t.gate.stored(c.r.Context(), SessionID(c.id))
	if err != nil {
		return Session{}, err
	}
	if s.UserID != c.caller.entry.user {
		return Session{}, ErrNotFound
	}
	return s, nil
}

// report ends a session that the caller says is not theirs, and tells the host.
func (h *userHandler) report(c *call) (any, error) {
	s, err := h.ownSession(c)
	if err != nil {
		return nil, err
	}
	e := Ending{Reason: ReasonReported, Actor: s.UserID}
	ended, err := h.endAudited(c, IDs(s.ID), e, h.ownRecord(c, actionReport, e.Reason))
	if err != nil {
		return nil, err
	}
	if s.ID == c.caller.entry.handle.id() {
		h.t.door.cookies.clear(c.w)
	}
	if len(ended.Sessions) > 0 {
		s = ended.Sessions[0]
	}
	if len(ended.Sessions) > 0 || s.EndReason != ReasonReported {
		h.t.reported(c.r.Context(), s)
	}
	return endedCount{len(ended.Sessions)}, nil
}

// reported calls the hook.
func (t *Tracker) reported(ctx context.Context, s Session) {
	if hook := t.opts.Hooks.Reported; hook != nil {
		t.host.hook(ctx, "Hooks.Reported", func(ctx context.Context) { hook(ctx, s) })
	}
}

// meAnswer says how long the caller's session lasts. A limit that there is not is null.
type meAnswer struct {
	Session       sessionView `json:"session"`
	Now           time.Time   `json:"now"`
	IdleExpiresAt *time.Time  `json:"idleExpiresAt"`
	ExpiresAt     *time.Time  `json:"expiresAt"`
}

// me answers for GET me, which is no activity, and for POST me/extend, which is. The caller was
// read from the store. Activity that this process has not written yet counts, whichever copy of the
// entry has it.
func (h *userHandler) me(c *call) (any, error) {
	e := c.caller.entry
	if known := h.t.door.knows(c.r); known != nil {
		storeclock.Raise(&e.last, known.entry.last.Load())
	}
	if cached := h.t.near.cache.get(e.handle); cached != nil {
		storeclock.Raise(&e.last, cached.last.Load())
		storeclock.Raise(&cached.last, e.last.Load())
	}
	s := e.session()
	answer := meAnswer{Session: h.ownView(s, c), Now: fromMicros(h.t.clock.Now()), ExpiresAt: timeOrNil(s.ExpiresAt)}
	answer.IdleExpiresAt = answer.Session.IdleExpiresAt
	return answer, nil
}
