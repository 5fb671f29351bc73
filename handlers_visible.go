package sessiontrack

import (
	"context"
	"time"
)

// maxVisiblePages bounds how many pages are looked through for one answer. A viewer
// who may see few then gets a short page, with the cursor to go on from.
const maxVisiblePages = 10

// visibleUsers is a page of those online users whom the caller may see: as many as
// were asked for, unless the list ends or the bound is met.
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
	out.Next = discreet(began, out.Next, out.Users)
	return out, nil
}

// discreet is a cursor for a list that began at after, has shown some users and goes on
// at next, that names nobody but who was shown: the store's own names the user whom it
// read last, who may be hidden from the viewer. It stands at the same moment, and before
// nobody shown: what of that moment lies behind it was hidden, and is looked at again.
func discreet(after, next Cursor, shown []OnlineUser) Cursor {
	last := ""
	if len(shown) > 0 {
		last = shown[len(shown)-1].UserID
	}
	switch {
	case next.IsZero():
	case last != "" && last <= next.UserID:
		next.UserID = last
	case last == "" && next.At.Equal(after.At):
		// More hidden users of one microsecond than are looked through at once: only the
		// moment before it leads on.
		next = Cursor{At: next.At.Add(-time.Microsecond)}
	default:
		next.UserID = ""
	}
	return next
}

// visiblePage is one page of the store's, narrowed, with no more than room users.
// Where more are visible it asks again for fewer, because only the store knows the
// cursor that belongs to a row.
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
		q.Limit = last // smaller each time: at room it fits for certain
	}
}

// visibleTo asks the host, once for all users of a page.
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
