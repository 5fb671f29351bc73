package sessiontrack

import (
	"context"
	"time"
)

// sessionView is the JSON form of a session in a list, with fields that only the handlers know.
type sessionView struct {
	sessionJSON
	// EndedBy replaces sessionJSON's: the user id has the form of jsonUserID.
	EndedBy any `json:"endedBy"`
	// Online says that the session is active and was used within the online window.
	Online bool `json:"online"`
	// Current marks the caller's own session.
	Current bool `json:"current"`
}

// adminSessionView is a session as administrators see it.
type adminSessionView struct {
	sessionView
	// EndedByName is the directory's name for who ended it.
	EndedByName *string  `json:"endedByName"`
	User        userView `json:"user"`
}

// userView is a session's user, for administrators. What the directory does not tell is
// null.
type userView struct {
	ID         any     `json:"id"`
	Email      *string `json:"email"`
	FullName   *string `json:"fullName"`
	PictureURL *string `json:"pictureUrl"`
}

func (f *family) userView(id string, u UserInfo) userView {
	return userView{f.t.host.jsonUserID(id), textOrNil(u.Email), textOrNil(u.fullName()), textOrNil(u.AvatarURL)}
}

func (f *family) sessionView(s Session, c *call, window time.Duration) sessionView {
	active := f.t.WithinLimits(s)
	v := sessionView{
		sessionJSON: s.toJSON(f.t.host.jsonUserID, active, f.t.opts.IdleTimeout),
		Online:      active && f.t.clock.Now()-micros(s.LastActivity) < window.Microseconds(),
		Current:     s.ID == c.caller.entry.handle.id(),
	}
	if s.EndedBy != "" {
		v.EndedBy = f.t.host.jsonUserID(s.EndedBy)
	}
	return v
}

// adminViews asks the directory once for all of a page's users, those included who ended
// sessions.
func (f *family) adminViews(sessions []Session, c *call, window time.Duration) []adminSessionView {
	known := f.t.host.users(c.r.Context(), userIDs(sessions))
	views := make([]adminSessionView, len(sessions))
	for i, s := range sessions {
		user := known[s.UserID]
		views[i] = adminSessionView{
			sessionView: f.sessionView(s, c, window),
			EndedByName: textOrNil(known[s.EndedBy].fullName()),
			User:        f.userView(s.UserID, user),
		}
	}
	return views
}

// userIDs are the users of a page, owners and those who ended sessions, each once. Those
// of erased sessions are blank and left out.
func userIDs(sessions []Session) []string {
	ids, seen := make([]string, 0, len(sessions)), make(map[string]struct{}, len(sessions))
	for _, s := range sessions {
		for _, id := range [...]string{s.UserID, s.EndedBy} {
			if _, twice := seen[id]; twice || id == "" {
				continue
			}
			seen[id] = struct{}{}
			ids = append(ids, id)
		}
	}
	return ids
}

// onlineUserView is a user in the list of online users. It has no e-mail and no address, because
// every signed-in caller may read it.
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

// status returns the word for the time since a user's latest activity.
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

// maxVisiblePages bounds how many pages one answer looks through. A viewer who may see few users
// then gets a short page with a cursor to continue from.
const maxVisiblePages = 10

// visibleUsers returns a page of the online users whom the caller may see. It has as many users as
// the request asks for, unless the list ends or maxVisiblePages is reached.
func (h *userHandler) visibleUsers(c *call, q OnlineQuery) (OnlinePage, error) {
	if h.opts.Visible == nil {
		return h.t.figures.onlineUsers(c.r.Context(), q)
	}
	var out OnlinePage
	want, began := q.Limit, q.After
	for range maxVisiblePages {
		page, err := h.visiblePage(c, q, want-len(out.Users))
		if err != nil {
			return OnlinePage{}, err
		}
		out.Users = append(out.Users, page.Users...)
		out.Now, out.Next = page.Now, page.Next
		if len(out.Users) == want || page.Next.IsZero() {
			break
		}
		q.After, q.Limit = page.Next, maxPage
	}
	out.Next = maskCursor(began, out.Next, out.Users)
	return out, nil
}

// maskCursor returns a place to go on from that contains only ids which the viewer has
// seen. The store's own cursor names the user whom it read last, who may be hidden. The
// masked one stands at the same moment and behind everybody shown: hidden users of that
// moment are looked at again.
func maskCursor(after, next Cursor, shown []OnlineUser) Cursor {
	last := ""
	if len(shown) > 0 {
		last = shown[len(shown)-1].UserID
	}
	switch {
	case next.IsZero():
	case last != "" && last <= next.UserID:
		next.UserID = last
	case last == "" && next.At.Equal(after.At):
		// There are more hidden users at this microsecond than one answer looks through. The only
		// way on is the microsecond before.
		next = Cursor{At: next.At.Add(-time.Microsecond)}
	default:
		next.UserID = ""
	}
	return next
}

// visiblePage reads one page of the store and keeps the visible users, at most room. If more are
// visible it reads a smaller page, because only the store knows the cursor of a row.
func (h *userHandler) visiblePage(c *call, q OnlineQuery, room int) (OnlinePage, error) {
	var visible map[string]struct{}
	for {
		page, err := h.t.figures.onlineUsers(c.r.Context(), q)
		if err != nil {
			return OnlinePage{}, err
		}
		if visible == nil {
			if visible, err = h.visibleTo(c.caller, c.caller.entry.user, page.Users); err != nil {
				return OnlinePage{}, err
			}
		}
		kept, last := make([]OnlineUser, 0, len(page.Users)), 0
		for i, u := range page.Users {
			if _, ok := visible[u.UserID]; !ok {
				continue
			}
			if kept = append(kept, u); len(kept) == room {
				last = i + 1
			}
		}
		if len(kept) <= room {
			page.Users = kept
			return page, nil
		}
		q.Limit = last // it gets smaller each time; at room it fits
	}
}

// visibleTo calls the host's Visible once for all users of a page.
func (h *userHandler) visibleTo(ctx context.Context, viewer string, users []OnlineUser) (map[string]struct{}, error) {
	visible := make(map[string]struct{}, len(users))
	if len(users) == 0 {
		return visible, nil
	}
	ids := make([]string, len(users))
	for i, u := range users {
		ids[i] = u.UserID
	}
	var err error
	if !h.t.host.contain("UserOptions.Visible", func() { ids, err = h.opts.Visible(ctx, viewer, ids) }) {
		return nil, ErrUnavailable
	}
	if err != nil {
		return nil, hostFailed("UserOptions.Visible", err)
	}
	for _, id := range ids {
		visible[id] = struct{}{}
	}
	return visible, nil
}
