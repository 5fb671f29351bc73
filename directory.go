package sessiontrack

import (
	"context"
	"errors"
	"fmt"
	"strconv"
)

// UserInfo is what a host tells about one of its users, for lists.
type UserInfo struct {
	ID          string
	Email       string
	FullName    string
	Username    string
	DisplayName string
	AvatarURL   string
}

// UserDirectory brings users' names and pictures. An error, or a panic, means a page
// without names.
type UserDirectory interface {
	// Users answers for a whole page, by id; users that it does not know are left out.
	// It is called from many goroutines at once, and the answer waits for it.
	Users(ctx context.Context, ids []string) (map[string]UserInfo, error)
}

// UserSearcher is a [UserDirectory] that can look for people, for the admin list's
// search. Without it the search finds ids and addresses only.
type UserSearcher interface {
	// SearchUsers returns the ids of at most limit users whose name or e-mail fits.
	SearchUsers(ctx context.Context, query string, limit int) ([]string, error)
}

// users asks the directory for a page's users.
func (t *Tracker) users(ctx context.Context, ids []string) map[string]UserInfo {
	if t.opts.Directory == nil || len(ids) == 0 {
		return nil
	}
	var found map[string]UserInfo
	t.contain("Options.Directory", func() {
		var err error
		if found, err = t.opts.Directory.Users(ctx, ids); err != nil {
			t.opts.Logger.LogAttrs(ctx, warn, "sessiontrack: no names for a page", errAttr(err))
		}
	})
	return found
}

// rolesOf asks for a caller's roles anew, or takes those of the credential.
func (t *Tracker) rolesOf(ctx context.Context, caller *tracked) ([]string, error) {
	if t.opts.Roles == nil {
		return caller.roles, nil
	}
	return t.rolesOfUser(ctx, caller.entry.user)
}

// rolesOfUser asks the host. That it cannot say is an outage, never "no roles" and
// never one of the refusals that its error may wrap; ErrNotFound alone is an answer.
func (t *Tracker) rolesOfUser(ctx context.Context, userID string) (roles []string, err error) {
	if !t.contain("Options.Roles", func() { roles, err = t.opts.Roles(ctx, userID) }) {
		return nil, ErrUnavailable
	}
	switch {
	case errors.Is(err, ErrNotFound):
		return nil, nil
	case err != nil:
		return nil, hostFailed("Options.Roles", err)
	}
	return roles, nil
}

// hostFailed turns an error of the host's into an outage, whatever it wraps: that a
// function of the host failed says nothing about the caller or what they asked for.
func hostFailed(name string, err error) error {
	return fmt.Errorf("%w: %s: %v", ErrUnavailable, name, err)
}

// maxJSONNumber is the largest whole number that every reader of JSON keeps as it is.
const maxJSONNumber = 1<<53 - 1

// jsonUserID writes a user id as the host wants it: a number where
// Options.NumericUserIDs is set, the id is the canonical form of one, and no reader
// takes it for another.
func (t *Tracker) jsonUserID(id string) any {
	if t.opts.NumericUserIDs {
		n, err := strconv.ParseInt(id, 10, 64)
		if err == nil && -maxJSONNumber <= n && n <= maxJSONNumber && strconv.FormatInt(n, 10) == id {
			return n
		}
	}
	return id
}
