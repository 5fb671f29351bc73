package sessiontrack

import (
	"context"
	"errors"
	"net/http"
	"time"
)

// AdminOptions configures [Tracker.AdminHandler]. The zero value and nil mean the defaults.
type AdminOptions struct {
	// Prefix is where the handler is mounted: a path that begins and ends with a
	// slash. It is cut from a request's path where it is there; a path without it is
	// taken as stripped already. Name the whole path behind http.StripPrefix too: the
	// middleware audits by it the attempts that it refuses itself. Default
	// "/api/user-sessions/".
	Prefix string
	// Roles are the roles that may use the handler, compared exactly. Default "admin" and
	// "superadmin". An empty list that is not nil admits nobody.
	Roles []string
	// SuperRoles protect the users who have one of them: a caller without such a role may not end
	// their sessions. It needs Options.Roles. Default "superadmin". An empty list that is not nil
	// protects nobody.
	SuperRoles []string
	// Online is the window in which a session shows as online after its latest activity. Default
	// Options.Online.
	Online time.Duration
}

// adminHandler is the admin family.
type adminHandler struct {
	family
	opts AdminOptions
}

// AdminHandler returns the handler of the admin family. It lists all users' sessions and ends them:
//
//	GET  active-users               ?FILTER &limit= &cursor= &within=
//	GET  sessions                   ?FILTER &limit= &cursor= &sort=login|activity
//	GET  sessions/count             ?FILTER
//	GET  sessions/export.csv        ?FILTER
//	GET  sessions/{sessionId}
//	POST sessions/end               {"preview"} or {"ids"}, and "reason"
//	GET  user/{userId}/sessions     ?limit= &cursor= &ended=true
//	POST force-logout/{sessionId}
//	POST force-logout-user/{userId}
//	POST cleanup-expired
//	GET  audit                      ?actor= &user= &action= &from= &to= &cursor= &limit=
//
// FILTER stands for the parameters of [ParseFilter] and q: a user id or address exactly, or a name
// where the directory can search.
//
// It works with and without the middleware. For each request it reads the caller's session from the
// store and asks Options.Roles for the roles, so that a caller who was signed out or demoted
// elsewhere is refused at once (OWASP ASVS 8.3.2). Without Options.Roles it uses the credential's
// roles. If no Identifier brings roles either, it refuses everyone and logs that.
//
// Each attempt at a POST, also a refused or failed one, causes one log record and one call of
// Observer.AdminAction, and one record of the trail if the store is an [Auditor]. What it cannot
// record there it does not acknowledge: the answer is 503. If an administrator ends all sessions of
// their own user, the session in use ends too.
//
// Invalid options are a mistake in the program: AdminHandler panics and names the field, as
// [http.ServeMux.Handle] does.
func (t *Tracker) AdminHandler(o *AdminOptions) http.Handler {
	h := &adminHandler{}
	if o != nil {
		h.opts = *o
	}
	h.opts.Roles = mustRoles("AdminOptions.Roles", h.opts.Roles, "admin", "superadmin")
	h.opts.SuperRoles = mustRoles("AdminOptions.SuperRoles", h.opts.SuperRoles, "superadmin")
	if h.opts.Online == 0 {
		h.opts.Online = t.opts.Online
	}
	mustHold("AdminOptions", []need{
		{h.opts.Online > 0 && h.opts.Online <= 24*time.Hour, "Online", h.opts.Online, "more than 0 and at most 24h0m0s"},
	})
	h.family = family{
		t:         t,
		prefix:    mustPrefix("AdminOptions.Prefix", h.opts.Prefix, "/api/user-sessions/"),
		authorize: func(c *call) error { return h.needRole(c, h.opts.Roles) },
		endpoints: h.routes(),
	}
	for i := range h.endpoints {
		h.endpoints[i].fresh = true
	}
	h.register()
	if t.opts.Roles == nil && t.opts.Identifier == nil {
		t.opts.Logger.LogAttrs(context.Background(), warn, "sessiontrack: AdminHandler: Options has neither Roles "+
			"nor an Identifier, so nobody has a role and all are refused")
	}
	return h
}

// routes are the paths of the admin family.
func (h *adminHandler) routes() []endpoint {
	return []endpoint{
		{
			method: http.MethodGet, path: []string{"active-users"},
			query: append([]string{"limit", "cursor", "within", "q"}, filterParameters...), serve: h.activeUsers,
		},
		{
			method: http.MethodGet, path: []string{"sessions"},
			query: append([]string{"limit", "cursor", "sort", "q"}, filterParameters...), serve: h.sessions,
		},
		{
			method: http.MethodGet, path: []string{"sessions", "count"},
			query: append([]string{"q"}, filterParameters...), serve: h.count,
		},
		{
			method: http.MethodGet, path: []string{"sessions", "export.csv"},
			query: append([]string{"q"}, filterParameters...), serve: h.exportCSV, action: actionExport,
		},
		{
			method: http.MethodPost, path: []string{"sessions", "end"},
			serve: h.endMany, action: actionEndMany, reason: ReasonAdmin,
		},
		{method: http.MethodGet, path: []string{"sessions", anyID}, serve: h.session},
		{
			method: http.MethodGet, path: []string{"user", anyID, "sessions"},
			query: []string{"limit", "cursor", "ended"}, serve: h.userSessions,
		},
		{
			method: http.MethodPost, path: []string{"force-logout", anyID},
			serve: h.forceLogout, action: actionForceLogout, reason: ReasonAdmin,
		},
		{
			method: http.MethodPost, path: []string{"force-logout-user", anyID},
			serve: h.forceLogoutUser, action: actionForceLogoutUser, reason: ReasonAdmin,
		},
		{method: http.MethodPost, path: []string{"cleanup-expired"}, serve: h.cleanup, action: actionCleanup},
		{
			method: http.MethodGet, path: []string{"audit"},
			query: []string{"actor", "user", "action", "from", "to", "cursor", "limit"}, serve: h.trail,
		},
	}
}

// adminAnswer is the admin family's envelope.
type adminAnswer struct {
	Success bool   `json:"success"`
	Message string `json:"message,omitempty"`
	Data    any    `json:"data"`
	Next    string `json:"next,omitempty"`
	// Protected says that the caller may not end the sessions of the user whose list this is.
	Protected bool `json:"protected,omitempty"`
}

type endedCount struct {
	Ended int `json:"ended"`
}

type cleanedCount struct {
	Cleaned int `json:"cleaned"`
}

func (h *adminHandler) userSessions(c *call) (any, error) {
	p := parametersOf(c)
	q := Query{UserID: c.id, Live: !p.Flag("ended"), Limit: p.limit(50), After: p.cursor()}
	if err := p.Err(); err != nil {
		return nil, err
	}
	page, err := h.t.list(c.r.Context(), q)
	if err != nil {
		return nil, err
	}
	answer := h.answerPage(c, page)
	// Roles that cannot be asked protect nobody here: the list is not about them.
	answer.Protected = len(page.Sessions) > 0 && errors.Is(h.maySignOut(c, c.id), errForbidden)
	return answer, nil
}

func (h *adminHandler) page(c *call, q Query) (any, error) {
	page, err := h.t.list(c.r.Context(), q)
	if err != nil {
		return nil, err
	}
	return h.answerPage(c, page), nil
}

func (h *adminHandler) answerPage(c *call, page Page) adminAnswer {
	return adminAnswer{Success: true, Data: h.adminViews(page.Sessions, c, h.opts.Online), Next: page.Next.String()}
}

func (h *adminHandler) forceLogout(c *call) (any, error) {
	ctx := c.r.Context()
	s, err := h.t.gate.stored(ctx, SessionID(c.id)) // anything but a handle is not found
	if err != nil {
		return nil, err
	}
	if err := h.maySignOut(c, s.UserID); err != nil {
		return nil, err
	}
	c.target = s.UserID
	ended, err := h.endAudited(c, IDs(s.ID), h.ending(c), h.record(c, AuditDone))
	if err != nil {
		return nil, err
	}
	message := "The session has been ended."
	if c.action.Ended = len(ended.Sessions); c.action.Ended > 0 {
		s = ended.Sessions[0]
	} else {
		message, c.action.Outcome = "The session had ended before.", outcomeAlreadyEnded
		if s, err = h.t.gate.stored(ctx, s.ID); err != nil {
			return nil, err
		}
	}
	return adminAnswer{Success: true, Message: message, Data: h.adminViews([]Session{s}, c, h.opts.Online)[0]}, nil
}

func (h *adminHandler) forceLogoutUser(c *call) (any, error) {
	reach, err := h.reaches(c)
	if err != nil {
		return nil, err
	}
	if reach {
		ended, err := h.endAudited(c, User(c.id), h.ending(c), h.record(c, AuditDone))
		if err != nil {
			return nil, err
		}
		c.action.Ended = len(ended.Sessions)
	}
	message := "The user's sessions have been ended."
	if c.action.Ended == 0 {
		message = "The user had no session to end."
	}
	return adminAnswer{Success: true, Message: message, Data: endedCount{c.action.Ended}}, nil
}

// reaches reports whether a user's sessions may be ended, or why they may not. A user who never had
// a session is signed out too: credentials that were never used are refused from then on. But the
// host's Roles need not know every id that a path can contain, so its error about an unknown id is
// no reason for a 503.
func (h *adminHandler) reaches(c *call) (bool, error) {
	page, err := h.t.list(c.r.Context(), Query{UserID: c.id, Limit: 1})
	if err != nil {
		return false, err
	}
	err = h.maySignOut(c, c.id)
	if len(page.Sessions) == 0 && errors.Is(err, ErrUnavailable) {
		return false, nil
	}
	return err == nil, err
}

// maySignOut refuses to end the sessions of a protected user if the caller has no SuperRole (OWASP
// ASVS 8.1.1). The owner of a session never changes, so the decision still holds when the session
// ends.
func (h *adminHandler) maySignOut(c *call, userID string) error {
	if h.t.opts.Roles == nil || len(h.opts.SuperRoles) == 0 || userID == "" {
		return nil
	}
	target, err := h.t.host.rolesOf(c.r.Context(), userID)
	if err != nil || !anyOf(target, h.opts.SuperRoles) {
		return err
	}
	return h.needRole(c, h.opts.SuperRoles)
}

func (h *adminHandler) ending(c *call) Ending {
	return Ending{Reason: c.endpoint.reason, Actor: c.caller.entry.user}
}

func (h *adminHandler) cleanup(c *call) (any, error) {
	cleaned, err := h.t.janitor.cleanup(c.r.Context(), func() {})
	c.action.Ended = cleaned
	if err != nil {
		return nil, err
	}
	return adminAnswer{Success: true, Message: "Sessions past their limits have been ended.", Data: cleanedCount{cleaned}},
		nil
}
