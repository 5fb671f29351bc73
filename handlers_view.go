package sessiontrack

import (
	"context"
	"time"
)

// sessionView is a session in a list: its one JSON form, with what only the handlers
// know.
type sessionView struct {
	sessionJSON
	// EndedBy stands in for sessionJSON's: a user id is written as the host wants it.
	EndedBy any `json:"endedBy"`
	// Online says that the session is active and was used within the online window.
	Online bool `json:"online"`
	// Current marks the caller's own session.
	Current bool `json:"current"`
}

// adminSessionView is a session as administrators see it.
type adminSessionView struct {
	sessionView
	User userView `json:"user"`
}

// userView is a session's user, for administrators. What the directory does not tell is
// null.
type userView struct {
	ID       any     `json:"id"`
	Email    *string `json:"email"`
	FullName *string `json:"fullName"`
}

func (f *family) sessionView(s Session, c *call, window time.Duration) sessionView {
	active := f.t.WithinLimits(s)
	v := sessionView{
		sessionJSON: s.toJSON(f.t.host.jsonUserID(s.UserID), active),
		Online:      active && f.t.clock.Now()-micros(s.LastActivity) < window.Microseconds(),
		Current:     s.ID == c.caller.entry.handle.id(),
	}
	if s.EndedBy != "" {
		v.EndedBy = f.t.host.jsonUserID(s.EndedBy)
	}
	return v
}

// adminViews asks the directory once for all of a page's users.
func (f *family) adminViews(sessions []Session, c *call, window time.Duration) []adminSessionView {
	known := f.t.host.users(c.r.Context(), userIDs(sessions))
	views := make([]adminSessionView, len(sessions))
	for i, s := range sessions {
		user := known[s.UserID]
		views[i] = adminSessionView{
			sessionView: f.sessionView(s, c, window),
			User:        userView{f.t.host.jsonUserID(s.UserID), textOrNil(user.Email), textOrNil(user.fullName())},
		}
	}
	return views
}

// userIDs are the users of a page, each once; those of erased sessions are blank and
// left out.
func userIDs(sessions []Session) []string {
	ids, seen := make([]string, 0, len(sessions)), make(map[string]struct{}, len(sessions))
	for _, s := range sessions {
		if _, twice := seen[s.UserID]; twice || s.UserID == "" {
			continue
		}
		seen[s.UserID] = struct{}{}
		ids = append(ids, s.UserID)
	}
	return ids
}

// onlineUserView is a user in the list of who is online. It has no e-mail and no
// address: everybody who is signed in may read it.
type onlineUserView struct {
	UserID       any       `json:"user_id"`
	Username     *string   `json:"username"`
	DisplayName  *string   `json:"display_name"`
	AvatarURL    *string   `json:"avatar_url"`
	LastSeen     time.Time `json:"last_seen"`
	SessionCount int       `json:"session_count"`
	Status       string    `json:"status"`
}

func (h *userHandler) userViews(ctx context.Context, page OnlinePage) []onlineUserView {
	ids := make([]string, len(page.Users))
	for i, u := range page.Users {
		ids[i] = u.UserID
	}
	known := h.t.host.users(ctx, ids)
	views := make([]onlineUserView, len(page.Users))
	for i, u := range page.Users {
		user := known[u.UserID]
		views[i] = onlineUserView{
			UserID:   h.t.host.jsonUserID(u.UserID),
			Username: textOrNil(user.Username), DisplayName: textOrNil(user.displayName()), AvatarURL: textOrNil(user.AvatarURL),
			LastSeen: u.LastActivity, SessionCount: u.Sessions, Status: h.status(page.Now.Sub(u.LastActivity)),
		}
	}
	return views
}

// status is the word for how long ago a user was last seen.
func (h *userHandler) status(ago time.Duration) string {
	return statusOf(ago, h.opts.VeryActive, h.opts.Online, h.opts.RecentlyActive)
}

func statusOf(ago, veryActive, online, recentlyActive time.Duration) string {
	switch {
	case ago < veryActive:
		return "very_active"
	case ago < online:
		return "online"
	case ago < recentlyActive:
		return "recently_active"
	}
	return "offline"
}

func textOrNil(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}
