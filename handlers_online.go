package sessiontrack

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"time"
)

// UserOptions configures [Tracker.UserHandler]. The zero value and nil mean the defaults.
type UserOptions struct {
	// Prefix is where the handler is mounted: a path that begins and ends with a slash. It is cut
	// from a request's path. A path without the prefix is taken as already stripped. Give the
	// whole path behind [http.StripPrefix] too: the middleware finds by it the attempts to clean
	// up that it refuses itself, and audits them. Default "/api/v1/online/".
	Prefix string
	// Visible restricts which online users a viewer sees in the list: it returns those of ids that
	// the viewer may see. It is called once per page, and not for an empty page. An error means
	// 503. Counts include all users; no other part of an answer, including cursors, names a hidden
	// user. Default: all users are visible.
	Visible func(ctx context.Context, viewer string, ids []string) ([]string, error)
	// Authorize decides for every route whether a signed-in caller may use it. An error means 503.
	// If it is set, each request reads the caller's session from the store. Default: cleanup,
	// history and all events need one of Roles, and every signed-in caller may use the others.
	Authorize func(ctx context.Context, a UserAccess) (bool, error)
	// Roles are the roles that may clean up, read the history and watch everything if Authorize is
	// nil. They are compared exactly. Default "admin" and "superadmin". An empty list that is not
	// nil admits nobody.
	Roles []string
	// Origins are other sites whose pages may open events by WebSocket:
	// "https://app.example.com". Those of Options.TrustedOrigins may too. Default: none.
	Origins []string
	// VeryActive, Online and RecentlyActive are the windows of stats and of a user's status. Each
	// is longer than the one before, and at most 24 h. Online is also the window of count and users
	// if a request names none. Defaults: those of Options.
	VeryActive, Online, RecentlyActive time.Duration
}

// UserAccess describes the call that UserOptions.Authorize decides about.
type UserAccess struct {
	// Route is "count", "users", "stats", "sessions", "end" (one of the caller's own sessions),
	// "end-others", "report", "me", "extend", "cleanup", "history", "events-all" (watch logins, logouts and figures) or
	// "events" (watch who comes online and goes offline; asked if "events-all" is refused). A
	// stream's snapshots contain the figures of stats. Later versions may add names: refuse unknown
	// ones.
	Route string
	// Session is the caller's session.
	Session Session
	// Roles are the caller's roles from Options.Roles, asked for this call. Without Options.Roles
	// they are those of the verified credential.
	Roles []string
}

// userHandler is the online family.
type userHandler struct {
	family
	opts UserOptions
	own  bool // the windows differ from Options', so stats are counted for them
	// unfit has the types of ResponseWriters that cannot stream and were logged.
	unfit sync.Map
}

// UserHandler returns the handler of the online family, for every signed-in caller:
//
//	GET    count                  ?minutes=
//	GET    users                  ?minutes= &limit= &cursor=
//	GET    stats
//	GET    sessions               the caller's own: ?state=active|ended|any &limit= &cursor=
//	DELETE sessions/{sessionId}   one of the caller's own
//	POST   sessions/end-others
//	POST   sessions/{sessionId}/report   "this was not me"
//	GET    me                     how long the caller's session lasts; no activity
//	POST   me/extend              the same, and activity
//	POST   cleanup                administrators only
//	GET    history                ?from= &to= &step=1m|1h|1d &tz=, administrators only
//	GET    events                 ?users= &last_event_id=, header Last-Event-ID
//
// Events are Server-Sent Events, or WebSocket messages with one text frame each. Administrators
// (see Roles, Authorize) watch everything. Other callers watch who comes online and goes offline:
// at most 100 users that they name and that Visible allows, or only themselves. A stream closes
// within MaxStaleness after its session has ended or its right is lost. It does not count as
// activity. Its figures use the windows of Options. Register [Tracker.EndStreams] with the HTTP
// server; otherwise its Shutdown waits for the streams.
//
// It works with and without the middleware. Routes that change something or need a role read the
// caller's session from the store. Each attempt to clean up is audited like the admin family's
// actions (see [Tracker.AdminHandler]).
//
// Invalid options are a mistake in the program: UserHandler panics and names the field.
func (t *Tracker) UserHandler(o *UserOptions) http.Handler {
	h := &userHandler{}
	if o != nil {
		h.opts = *o
	}
	h.opts.Roles = mustRoles("UserOptions.Roles", h.opts.Roles, "admin", "superadmin")
	h.mustWindows(t)
	if err := checkOrigins("UserOptions.Origins", h.opts.Origins); err != nil {
		panic(err.Error())
	}
	h.family = family{
		t:         t,
		prefix:    mustPrefix("UserOptions.Prefix", h.opts.Prefix, "/api/v1/online/"),
		authorize: h.mayUse,
		endpoints: []endpoint{
			{name: "count", method: http.MethodGet, path: []string{"count"}, query: []string{"minutes"}, serve: h.count},
			{
				name: "users", method: http.MethodGet, path: []string{"users"},
				query: []string{"minutes", "limit", "cursor"}, serve: h.users,
			},
			{name: "stats", method: http.MethodGet, path: []string{"stats"}, serve: h.stats},
			{
				name: "sessions", method: http.MethodGet, path: []string{"sessions"},
				query: []string{"state", "limit", "cursor"}, serve: h.sessions,
			},
			{
				name: "end-others", method: http.MethodPost, path: []string{"sessions", "end-others"},
				serve: h.endOthers, fresh: true,
			},
			{name: "end", method: http.MethodDelete, path: []string{"sessions", anyID}, serve: h.end, fresh: true},
			{
				name: "report", method: http.MethodPost, path: []string{"sessions", anyID, "report"},
				serve: h.report, fresh: true,
			},
			{name: "me", method: http.MethodGet, path: []string{"me"}, serve: h.me, fresh: true, passive: true},
			{name: "extend", method: http.MethodPost, path: []string{"me", "extend"}, serve: h.me, fresh: true},
			{
				name: "cleanup", method: http.MethodPost, path: []string{"cleanup"},
				serve: h.cleanup, fresh: true, admin: true, action: actionCleanup,
			},
			{
				name: "history", method: http.MethodGet, path: []string{"history"},
				query: []string{"from", "to", "step", "tz"}, serve: h.history, fresh: true, admin: true,
			},
			{
				name: "events", method: http.MethodGet, path: []string{"events"},
				query: []string{"users", "last_event_id"}, serve: h.events, stream: true,
			},
		},
		origins: slices.Clone(h.opts.Origins),
	}
	for i := range h.endpoints {
		h.endpoints[i].fresh = h.endpoints[i].fresh || h.opts.Authorize != nil
	}
	h.register()
	return h
}

// mustWindows fills the windows from Options.
func (h *userHandler) mustWindows(t *Tracker) {
	o := &h.opts
	h.own = o.VeryActive != 0 || o.Online != 0 || o.RecentlyActive != 0
	for _, w := range []struct{ own, shared *time.Duration }{
		{&o.VeryActive, &t.opts.VeryActive}, {&o.Online, &t.opts.Online}, {&o.RecentlyActive, &t.opts.RecentlyActive},
	} {
		if *w.own == 0 {
			*w.own = *w.shared
		}
	}
	mustHold("UserOptions", []need{
		{o.VeryActive > 0, "VeryActive", o.VeryActive, "more than 0"},
		{o.Online > o.VeryActive, "Online", o.Online, fmt.Sprintf("more than VeryActive (%v)", o.VeryActive)},
		{o.RecentlyActive > o.Online, "RecentlyActive", o.RecentlyActive, fmt.Sprintf("more than Online (%v)", o.Online)},
		{o.RecentlyActive <= 24*time.Hour, "RecentlyActive", o.RecentlyActive, "at most 24h0m0s"},
	})
}

// mayUse authorizes a call by Options' Authorize, or by roles.
func (h *userHandler) mayUse(c *call) error {
	if h.opts.Authorize == nil {
		if !c.endpoint.admin {
			return nil
		}
		return h.needRole(c, h.opts.Roles)
	}
	roles, err := h.rolesOf(c)
	if err != nil {
		return err
	}
	may := false
	asked := h.t.host.contain("UserOptions.Authorize", func() {
		may, err = h.opts.Authorize(c.caller, UserAccess{Route: c.endpoint.name, Session: c.caller.entry.session(),
			Roles: roles})
	})
	switch {
	case !asked:
		return ErrUnavailable
	case err != nil:
		return hostFailed("UserOptions.Authorize", err)
	case !may:
		return errForbidden
	}
	return nil
}

type countAnswer struct {
	OnlineCount      int       `json:"online_count"`
	ThresholdMinutes float64   `json:"threshold_minutes"`
	Timestamp        time.Time `json:"timestamp"`
}

func (h *userHandler) count(c *call) (any, error) {
	p := parametersOf(c)
	window := h.window(p)
	if err := p.Err(); err != nil {
		return nil, err
	}
	counts, at, err := h.t.figures.countOnline(c.r.Context(), []time.Duration{window})
	if err != nil {
		return nil, err
	}
	return countAnswer{counts[0], window.Minutes(), at}, nil
}

// maxMinutes is the largest window in a request: one day.
const maxMinutes = 24 * 60

// window returns the window of a request.
func (h *userHandler) window(p parameters) time.Duration {
	if n := p.Number("minutes", maxMinutes); n != 0 {
		return time.Duration(n) * time.Minute
	}
	return h.opts.Online
}

type usersAnswer struct {
	OnlineUsers      []onlineUserView `json:"online_users"`
	Count            int              `json:"count"`
	ThresholdMinutes float64          `json:"threshold_minutes"`
	Timestamp        time.Time        `json:"timestamp"`
	Next             string           `json:"next,omitempty"`
}

func (h *userHandler) users(c *call) (any, error) {
	p := parametersOf(c)
	q := OnlineQuery{Window: h.window(p), Limit: p.limit(50), After: p.cursor()}
	if err := p.Err(); err != nil {
		return nil, err
	}
	page, err := h.visibleUsers(c, q)
	if err != nil {
		return nil, err
	}
	views := h.userViews(c.r.Context(), page)
	return usersAnswer{views, len(views), q.Window.Minutes(), page.Now, page.Next.String()}, nil
}

type statsAnswer struct {
	Timestamp           time.Time `json:"timestamp"`
	VeryActiveUsers     int       `json:"very_active_users"`
	OnlineUsers         int       `json:"online_users"`
	RecentlyActiveUsers int       `json:"recently_active_users"`
	TotalActiveSessions int       `json:"total_active_sessions"`
	Windows             windows   `json:"windows"`
	Exact               bool      `json:"exact"`
	MaxStaleness        float64   `json:"max_staleness_seconds"`
	PeakHourToday       *int      `json:"peak_hour_today"`
	PeakUsersToday      int       `json:"peak_users_today"`
	Status              string    `json:"status"`
}

// windows are those that the figures are counted in, in minutes.
type windows struct {
	VeryActive     float64 `json:"very_active"`
	Online         float64 `json:"online"`
	RecentlyActive float64 `json:"recently_active"`
}

func windowsOf(veryActive, online, recentlyActive time.Duration) windows {
	return windows{veryActive.Minutes(), online.Minutes(), recentlyActive.Minutes()}
}

// windows are those of events, which all handlers share.
func (f *family) windows() windows {
	return windowsOf(f.t.opts.VeryActive, f.t.opts.Online, f.t.opts.RecentlyActive)
}

func (h *userHandler) stats(c *call) (any, error) {
	s, err := h.t.figures.onlineStats(c.r.Context())
	if err == nil && h.own {
		var counts []int // at least as fresh as the rest; its own time is not sent
		counts, _, err = h.t.figures.countOnline(c.r.Context(), []time.Duration{h.opts.VeryActive, h.opts.Online,
			h.opts.RecentlyActive})
		if err == nil {
			s.VeryActive, s.Online, s.RecentlyActive = counts[0], counts[1], counts[2]
		}
	}
	if err != nil {
		return nil, err
	}
	return h.statsOf(s, windowsOf(h.opts.VeryActive, h.opts.Online, h.opts.RecentlyActive)), nil
}

// figuresLate is how late activity may be in the figures: at another replica it waits to be queued
// and flushed, presence moves in steps, and an answer is shared.
func (f *family) figuresLate() time.Duration {
	o := &f.t.opts
	return o.TouchInterval + o.FlushInterval + o.PresenceStep + statsFor
}

func (f *family) statsOf(s OnlineStats, w windows) statsAnswer {
	answer := statsAnswer{
		Timestamp: s.At, VeryActiveUsers: s.VeryActive, OnlineUsers: s.Online, RecentlyActiveUsers: s.RecentlyActive,
		TotalActiveSessions: s.ActiveSessions, PeakUsersToday: s.PeakUsers, Windows: w, Status: "success",
		Exact: true, MaxStaleness: f.figuresLate().Seconds(),
	}
	if s.PeakHour >= 0 {
		answer.PeakHourToday = &s.PeakHour
	}
	return answer
}

type cleanupAnswer struct {
	CleanedSessions int       `json:"cleaned_sessions"`
	Timestamp       time.Time `json:"timestamp"`
	Status          string    `json:"status"`
}

func (h *userHandler) cleanup(c *call) (any, error) {
	cleaned, err := h.t.janitor.cleanup(c.r.Context(), func() {})
	c.action.Ended = cleaned
	if err != nil {
		return nil, err
	}
	return cleanupAnswer{cleaned, fromMicros(h.t.clock.Now()), "success"}, nil
}
