package sessiontrack

import (
	"context"
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
	counterCount
)

var counterNames = [counterCount]string{
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

// counters count since the Tracker was made.
type counters [counterCount]atomic.Int64

// count adds to a counter and tells the observer.
func (h *host) count(c counter, n int) {
	if n == 0 {
		return
	}
	h.counters[c].Add(int64(n))
	if observe := h.observer.Count; observe != nil {
		h.contain(observerCount, func() { observe(counterNames[c], n) })
	}
}

const observerCount = "Observer.Count"

// counted returns the counters by name.
func (h *host) counted() map[string]int64 {
	out := make(map[string]int64, counterCount)
	for c, name := range counterNames {
		out[name] = h.counters[c].Load()
	}
	return out
}

// logOutage logs why requests get 503, once a second: an outage must not fill the log at
// the rate of the requests.
func (h *host) logOutage(ctx context.Context, err error) {
	local, last := h.clock.Local(), h.outageLogged.Load()
	if last != 0 && local-last < 1_000_000 || !h.outageLogged.CompareAndSwap(last, max(local, 1)) {
		return
	}
	h.log.LogAttrs(ctx, warn, "sessiontrack: requests cannot be answered", errAttr(err))
}

// audit logs an admin action and tells the observer: one record per attempt.
func (h *host) audit(ctx context.Context, a AdminAction) {
	level := info
	if a.Outcome == outcomeForbidden || a.Outcome == outcomeUnauthenticated {
		level = warn
	}
	h.log.LogAttrs(ctx, level, "sessiontrack: admin action",
		slog.String("action", a.Action), textAttr("actor.id", a.Actor), slog.String("actor.session.id", string(a.ActorSession)),
		slog.String("session.id", string(a.TargetSession)), textAttr("user.id", a.TargetUser),
		slog.String("reason", string(a.Reason)), slog.String("outcome", a.Outcome), slog.Int("ended", a.Ended))
	if observe := h.observer.AdminAction; observe != nil {
		h.contain("Observer.AdminAction", func() { observe(ctx, a) })
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
