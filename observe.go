package sessiontrack

import (
	"context"
	"fmt"
	"log/slog"
	"sync/atomic"

	"github.com/sessiontrack/sessiontrack/internal/text"
)

// Log keys follow OpenTelemetry's semantic conventions; a session is logged by its
// handle only.
func sessionAttr(h handle) slog.Attr { return slog.String("session.id", string(h.id())) }
func countAttr(n int) slog.Attr      { return slog.Int("count", n) }

// errAttr logs an error as it is, for handlers that look into it, but for characters
// that no terminal may act upon.
func errAttr(err error) slog.Attr {
	if message := err.Error(); text.Printable(message) != message {
		err = printableError{err}
	}
	return slog.Any("error", err)
}

type printableError struct{ error }

func (e printableError) Error() string { return text.Printable(e.error.Error()) }
func (e printableError) Unwrap() error { return e.error }

func textAttr(key, value string) slog.Attr { return slog.String(key, text.Printable(value)) }

const (
	info = slog.LevelInfo
	warn = slog.LevelWarn
)

// counter names what a Tracker counts.
type counter int

const (
	countRequests counter = iota
	countRefused
	countUnavailable
	countFailedOpen
	countUnknown
	countGuessing
	countReads
	countTouches
	countTouchDropped
	countFlushFailed
	countFeedFailed
	countDescribeDropped
	countHookDropped
	countPanics
	countLogins
	countEnded
	countPurged
	countEventDropped
	countStalled
	counters
)

var counterNames = [counters]string{
	countRequests:        "request.tracked",
	countRefused:         "request.refused",
	countUnavailable:     "request.unavailable",
	countFailedOpen:      "request.failed_open",
	countUnknown:         "request.unknown_session",
	countGuessing:        "request.guessing",
	countReads:           "store.reads",
	countTouches:         "touch.written",
	countTouchDropped:    "touch.dropped",
	countFlushFailed:     "touch.flush_failed",
	countFeedFailed:      "feed.failed",
	countDescribeDropped: "describe.dropped",
	countHookDropped:     "hook.dropped",
	countPanics:          "callback.panics",
	countLogins:          "session.logins",
	countEnded:           "session.ended",
	countPurged:          "session.purged",
	countEventDropped:    "event.dropped",
	countStalled:         "event.readers_stalled",
}

// tally counts since the Tracker was made.
type tally [counters]atomic.Int64

// count adds to a counter and tells the observer.
func (t *Tracker) count(c counter, n int) {
	if n == 0 {
		return
	}
	t.tally[c].Add(int64(n))
	if observe := t.opts.Observer.Count; observe != nil {
		t.contain(observerCount, func() { observe(counterNames[c], n) })
	}
}

// Counters returns what the Tracker has counted since it was made, by name:
//
//	request.tracked          requests that had a good session
//	request.refused          requests answered with 401 or 403 for what they carried
//	request.unavailable      requests answered with 503: the store could not say
//	request.failed_open      requests that passed in its place (Options.InsecureFailOpen)
//	request.unknown_session  credentials that name no session, or prove none
//	request.guessing         minutes with 1,000 of those
//	store.reads              reads of the store that requests caused
//	touch.written            sessions whose activity was written
//	touch.dropped            activity that found no room, or no store
//	touch.flush_failed       writes of activity that failed and are tried again
//	feed.failed              reads of the feed of ended sessions that failed
//	describe.dropped         devices and places to be looked up again later
//	hook.dropped             calls of Hooks that found no room
//	callback.panics          panics of the host's functions
//	session.logins           sessions made here, by Login or from a credential
//	session.ended            sessions ended here
//	session.purged           ended sessions deleted or blanked after their retention
//	event.dropped            events above the rate that subscriptions are told
//	event.readers_stalled    subscriptions closed because nobody read them
func (t *Tracker) Counters() map[string]int64 {
	out := make(map[string]int64, counters)
	for c, name := range counterNames {
		out[name] = t.tally[c].Load()
	}
	out[counterNames[countRequests]] = t.cache.tracked()
	return out
}

const observerCount = "Observer.Count"

// contain calls a function of the host and keeps its panic from the request.
func (t *Tracker) contain(name string, f func()) (ok bool) {
	defer func() {
		if p := recover(); p != nil {
			if name == observerCount { // which is not called about itself
				t.tally[countPanics].Add(1)
			} else {
				t.count(countPanics, 1)
			}
			t.opts.Logger.LogAttrs(context.Background(), slog.LevelError, "sessiontrack: a function of the host panicked",
				slog.String("function", name), textAttr("panic", fmt.Sprint(p)))
			ok = false
		}
	}()
	f()
	return true
}

// AdminAction is one attempt of an administrator to end sessions or to clean up,
// for audit (OWASP ASVS 16.2.1, 16.3.2).
type AdminAction struct {
	// Action is "force_logout", "force_logout_user" or "cleanup".
	Action string
	// Actor is the caller's user id, empty where nobody was signed in; ActorSession
	// is their session's handle.
	Actor        string
	ActorSession SessionID
	// TargetSession or TargetUser is what it was aimed at, empty for a cleanup or
	// where the name was not one of ours.
	TargetSession SessionID
	TargetUser    string
	// Reason is the end reason that was given, or would have been.
	Reason EndReason
	// Outcome is "done", "already_ended", "not_found", "unauthenticated",
	// "forbidden" or "failed".
	Outcome string
	// Ended is how many sessions it ended.
	Ended int
}

// audit logs an admin action and tells the observer: one record per attempt.
func (t *Tracker) audit(ctx context.Context, a AdminAction) {
	level := info
	if a.Outcome == outcomeForbidden || a.Outcome == outcomeUnauthenticated {
		level = warn
	}
	t.opts.Logger.LogAttrs(ctx, level, "sessiontrack: admin action",
		slog.String("action", a.Action), textAttr("actor.id", a.Actor), slog.String("actor.session.id", string(a.ActorSession)),
		slog.String("session.id", string(a.TargetSession)), textAttr("user.id", a.TargetUser),
		slog.String("reason", string(a.Reason)), slog.String("outcome", a.Outcome), slog.Int("ended", a.Ended))
	if observe := t.opts.Observer.AdminAction; observe != nil {
		t.contain("Observer.AdminAction", func() { observe(ctx, a) })
	}
}

// The outcomes of an AdminAction.
const (
	outcomeDone            = "done"
	outcomeAlreadyEnded    = "already_ended"
	outcomeNotFound        = "not_found"
	outcomeUnauthenticated = "unauthenticated"
	outcomeForbidden       = "forbidden"
	outcomeFailed          = "failed"
)
