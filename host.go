package sessiontrack

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/sessiontrack/sessiontrack/internal/lifecycle"
	"github.com/sessiontrack/sessiontrack/internal/storeclock"
	"github.com/sessiontrack/sessiontrack/internal/text"
)

// host is the only way to the functions of the application: it calls them, contains their
// panics, counts, and logs.
type host struct {
	log       *slog.Logger
	observer  Observer
	hooks     Hooks
	directory UserDirectory
	roles     func(ctx context.Context, userID string) ([]string, error)
	limits    func(ctx context.Context, userID string, o LoginOptions) (int, LimitPolicy, error)
	clientIP  ClientIP
	locator   Locator
	numericID bool // user ids are JSON numbers where they can be

	life  *lifecycle.Runner
	clock *storeclock.Clock

	counters     counters
	calls        chan func(context.Context) // of hooks, in turn
	outageLogged atomic.Int64
	notices      notices
}

func (h *host) init(o *Options, life *lifecycle.Runner, clock *storeclock.Clock) {
	h.log, h.observer, h.hooks, h.directory, h.roles = o.Logger, o.Observer, o.Hooks, o.Directory, o.Roles
	h.limits = o.Limit
	h.clientIP, h.locator, h.numericID = o.ClientIP, o.Locator, o.NumericUserIDs
	h.life, h.clock = life, clock
	h.notices.trustsNobody = trustsNobody(o.ClientIP)
	h.calls = make(chan func(context.Context), hookQueue)
}

// contain calls a function of the host and keeps its panic from the caller. It reports
// whether the function returned.
func (h *host) contain(name string, f func()) (ok bool) {
	defer func() {
		if p := recover(); p != nil {
			if name == observerCount { // a panic of Count is not counted through Count
				h.counters[countPanics].Add(1)
			} else {
				h.count(countPanics, 1)
			}
			h.log.LogAttrs(context.Background(), slog.LevelError, "sessiontrack: a function of the host panicked",
				slog.String("function", name), textAttr("panic", fmt.Sprint(p)))
			ok = false
		}
	}()
	f()
	return true
}

// asks asks one of the host's questions about a request. No function, and one that panics,
// say no.
func (h *host) asks(question func(*http.Request) bool, r *http.Request) bool {
	return question != nil && h.ask(question, r)
}

func (h *host) ask(question func(*http.Request) bool, r *http.Request) (yes bool) {
	defer func() {
		if p := recover(); p != nil {
			if p == http.ErrAbortHandler {
				panic(p)
			}
			h.count(countPanics, 1)
			yes = false
		}
	}()
	return question(r)
}

// hookQueue bounds the calls of hooks that wait. What does not fit is dropped and counted.
const hookQueue = 1024

// hookKey marks the context of a hook's call.
type hookKey struct{}

// inHook reports whether ctx comes from a hook: Shutdown must not wait for the goroutine
// that calls it.
func inHook(ctx context.Context) bool { return ctx.Value(hookKey{}) != nil }

// hook has one of the host's hooks called: in turn, in the background, so that a slow one
// delays no request. Before Start there is no background, and it is called in place.
func (h *host) hook(ctx context.Context, name string, call func(context.Context)) {
	run := h.life.Begin()
	if run == nil {
		h.contain(name, func() { call(context.WithoutCancel(ctx)) })
		return
	}
	defer run.Done()
	select {
	case h.calls <- func(ctx context.Context) { h.contain(name, func() { call(ctx) }) }:
	default:
		h.count(countHookDropped, 1)
	}
}

// runHooks calls hooks one after the other until ctx is done, and then those that wait.
func (h *host) runHooks(ctx context.Context) {
	called := context.WithValue(context.WithoutCancel(ctx), hookKey{}, true)
	for {
		select {
		case call := <-h.calls:
			call(called)
		case <-ctx.Done():
			h.drainHooks(ctx)
			return
		}
	}
}

// drainHooks calls the hooks that wait. It is also the last that a run does: a request
// that Shutdown waits for may have added one after the loop has returned.
func (h *host) drainHooks(ctx context.Context) {
	called := context.WithValue(context.WithoutCancel(ctx), hookKey{}, true)
	for {
		select {
		case call := <-h.calls:
			call(called)
		default:
			return
		}
	}
}

// address asks for the client's address and where it was found.
func (h *host) address(r *http.Request) (found ClientAddress) {
	h.contain("Options.ClientIP", func() { found = h.clientIP.ClientAddress(r) })
	return found
}

// locateTimeout bounds one call of the host's Locator.
const locateTimeout = 2 * time.Second

// locate asks where a public address is. Its answer is untrusted text.
func (h *host) locate(ctx context.Context, address netip.Addr) (place Location) {
	if !isPublic(address) {
		return Location{}
	}
	ctx, cancel := context.WithTimeout(ctx, locateTimeout)
	defer cancel()
	h.contain("Options.Locator", func() {
		if found, err := h.locator.Locate(ctx, address); err == nil {
			place = cleanLocation(found)
		}
	})
	return place
}

// rolesOf asks for a user's roles. ErrNotFound says that there is no such user, who then
// has no roles; any other error is an outage, whatever it wraps.
func (h *host) rolesOf(ctx context.Context, userID string) (roles []string, err error) {
	if !h.contain("Options.Roles", func() { roles, err = h.roles(ctx, userID) }) {
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

// limit asks how many sessions the user may have, where the host decides that.
func (h *host) limit(ctx context.Context, n *NewSession, o LoginOptions) (err error) {
	if h.limits == nil {
		return nil
	}
	if !h.contain("Options.Limit", func() { n.Limit, n.Policy, err = h.limits(ctx, n.Session.UserID, o) }) {
		return ErrUnavailable
	}
	if err == nil && (n.Limit < 0 || !n.Policy.valid()) {
		err = fmt.Errorf("the answer is %d, policy %d: want 0 (any number) or more and a known policy", n.Limit, n.Policy)
	}
	if err != nil {
		return hostFailed("Options.Limit", err)
	}
	return nil
}

// hostFailed turns an error of the host's into an outage, whatever it wraps: the failure
// of a function of the host says nothing about the caller or what they asked for.
func hostFailed(name string, err error) error {
	return fmt.Errorf("%w: %s: %v", ErrUnavailable, name, err)
}

// maxPlaceName bounds each name of a location, in bytes.
const maxPlaceName = 100

// cleanLocation cleans the host's texts, which are untrusted.
func cleanLocation(l Location) Location {
	for _, field := range [...]*string{&l.CountryCode, &l.Country, &l.Region, &l.City} {
		if *field = text.Visible(*field, maxPlaceName+1); len(*field) > maxPlaceName {
			*field = ""
		}
	}
	return l
}

// users asks the directory for a page's users.
func (h *host) users(ctx context.Context, ids []string) map[string]UserInfo {
	if h.directory == nil || len(ids) == 0 {
		return nil
	}
	var found map[string]UserInfo
	h.contain("Options.Directory", func() {
		var err error
		if found, err = h.directory.Users(ctx, ids); err != nil {
			h.log.LogAttrs(ctx, warn, "sessiontrack: no names for a page", errAttr(err))
		}
	})
	return found
}

// maxJSONNumber is the largest whole number that every JSON parser reads exactly.
const maxJSONNumber = 1<<53 - 1

// jsonUserID returns a user id for JSON. It is a number if Options.NumericUserIDs is set and the id
// is the canonical decimal form of a number up to maxJSONNumber.
func (h *host) jsonUserID(id string) any {
	if h.numericID {
		n, err := strconv.ParseInt(id, 10, 64)
		if err == nil && -maxJSONNumber <= n && n <= maxJSONNumber && strconv.FormatInt(n, 10) == id {
			return n
		}
	}
	return id
}

// maxFound is the largest number of users that a search by name returns.
const maxFound = 100

// searchUsers asks the directory for users with a name, if it can search. A failure is an error and
// never an empty result.
func (h *host) searchUsers(ctx context.Context, text string) (ids []string, err error) {
	searcher, ok := h.directory.(UserSearcher)
	if !ok {
		return nil, nil
	}
	if !h.contain("Options.Directory", func() { ids, err = searcher.SearchUsers(ctx, text, maxFound) }) {
		return nil, ErrUnavailable
	}
	if err != nil {
		return nil, hostFailed("Options.Directory", err)
	}
	ids = slices.DeleteFunc(slices.Clone(ids), func(id string) bool { return !validUserID(id) })
	return ids[:min(len(ids), maxFound)], nil
}
