package sessiontrack

import (
	"context"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sessiontrack/sessiontrack/internal/issuers"
	"github.com/sessiontrack/sessiontrack/internal/text"
)

// sessionAttr logs a session by its handle. Log keys follow OpenTelemetry's semantic conventions.
func sessionAttr(h handle) slog.Attr { return slog.String("session.id", string(h.id())) }
func countAttr(n int) slog.Attr      { return slog.Int("count", n) }

// errAttr logs an error as a value, so that log handlers can inspect it, but without characters
// that a terminal interprets.
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

// counter is the index of one of the Tracker's counters.
type counter int

const (
	countRequests counter = iota
	countRefused
	countUnavailable
	countFailedOpen
	countUnknown
	countGuessing
	countIssuerAhead
	countReads
	countTouches
	countTouchDropped
	countFlushFailed
	countFeedFailed
	countPoolBusy
	countCrowded
	countDescribeDropped
	countHookDropped
	countPanics
	countLogins
	countEnded
	countPurged
	countUnsettled
	countAuditFailed
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
	countIssuerAhead:     "request.issuer_ahead",
	countReads:           "store.reads",
	countTouches:         "touch.written",
	countTouchDropped:    "touch.dropped",
	countFlushFailed:     "touch.flush_failed",
	countFeedFailed:      "feed.failed",
	countPoolBusy:        "feed.no_connection",
	countCrowded:         "store.crowded",
	countDescribeDropped: "describe.dropped",
	countHookDropped:     "hook.dropped",
	countPanics:          "callback.panics",
	countLogins:          "session.logins",
	countEnded:           "session.ended",
	countPurged:          "session.purged",
	countUnsettled:       "session.unsettled",
	countAuditFailed:     "audit.failed",
	countEventDropped:    "event.dropped",
	countStalled:         "event.readers_stalled",
}

// counters count since the Tracker was made.
type counters [counterCount]atomic.Int64

// count adds to a counter and calls the observer.
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

// observeStore tells the observer of a call of the store. It returns the context for the
// call, and the function that takes the call's error.
func (h *host) observeStore(ctx context.Context, c StoreCall) (context.Context, func(error)) {
	const name = "Observer.Store"
	within, done := ctx, func(error) {}
	h.contain(name, func() { within, done = h.observer.toldStore(ctx, c) })
	return within, func(err error) { h.contain(name, func() { done(err) }) }
}

// endLearnt tells the observer how late this process has learnt of an end.
func (h *host) endLearnt(late time.Duration) {
	if observe := h.observer.EndLearnt; observe != nil {
		h.contain("Observer.EndLearnt", func() { observe(max(late, 0)) })
	}
}

// counted returns the counters by name.
func (h *host) counted() map[string]int64 {
	out := make(map[string]int64, counterCount)
	for c, name := range counterNames {
		out[name] = h.counters[c].Load()
	}
	return out
}

// logOutage logs why requests get 503, at most once a second: an outage must not fill the log at
// the rate of the requests.
func (h *host) logOutage(ctx context.Context, err error) {
	local, last := h.clock.Local(), h.outageLogged.Load()
	if last != 0 && local-last < 1_000_000 || !h.outageLogged.CompareAndSwap(last, max(local, 1)) {
		return
	}
	h.log.LogAttrs(ctx, warn, "sessiontrack: requests cannot be answered", errAttr(err))
}

// audit logs an admin action and calls the observer: one record per attempt.
func (h *host) audit(ctx context.Context, a AdminAction) {
	level := info
	if a.Outcome == outcomeForbidden || a.Outcome == outcomeUnauthenticated {
		level = warn
	}
	h.log.LogAttrs(ctx, level, "sessiontrack: admin action",
		slog.String("action", a.Action), textAttr("actor.id", a.Actor), slog.String("actor.session.id",
			string(a.ActorSession)),
		slog.String("session.id", string(a.TargetSession)), textAttr("user.id", a.TargetUser),
		slog.String("reason", string(a.Reason)), slog.String("outcome", a.Outcome), slog.Int("ended", a.Ended),
		textAttr("filter", a.Filter))
	if observe := h.observer.AdminAction; observe != nil {
		h.contain("Observer.AdminAction", func() { observe(ctx, a) })
	}
}

// These are the outcomes of an AdminAction.
const (
	outcomeDone            = "done"
	outcomeAlreadyEnded    = "already_ended"
	outcomeNotFound        = "not_found"
	outcomeUnauthenticated = "unauthenticated"
	outcomeForbidden       = "forbidden"
	outcomeFailed          = "failed"
)

// notices are lines in the log about settings that do not fit the requests that come. Each
// is written once, or once in a while.
type notices struct {
	trustsNobody bool // no header of a proxy is believed

	forwarded     sync.Once
	plainCookie   sync.Once
	unkeyed       issuers.Unkeyed
	crossOriginAt atomic.Int64 // local time of the last one, 0 for none
	clockAhead    atomic.Bool  // that the store's clock is ahead has been told
}

// noticeClock tells once when the store's clock steps forward, and once when it is believed again.
func (h *host) noticeClock(ctx context.Context, ahead time.Duration) {
	if h.notices.clockAhead.Load() == (ahead > 0) {
		return
	}
	h.notices.clockAhead.Store(ahead > 0)
	if ahead == 0 {
		h.log.LogAttrs(ctx, info, "sessiontrack: the store's clock is believed again")
		return
	}
	h.log.LogAttrs(ctx, warn, "sessiontrack: the store's clock has stepped forward against this machine's; sessions are "+
		"judged by the time before, and no cleanup runs, until that is confirmed: by this machine's clock, or in 10 minutes",
		slog.Duration("ahead", ahead))
}

// noticeForwarded warns once where a proxy seems to stand in front and none is trusted: the
// address of every session is then the proxy's.
func (h *host) noticeForwarded(r *http.Request) {
	if !h.notices.trustsNobody {
		return
	}
	for _, name := range [...]string{"X-Forwarded-For", "Forwarded", "X-Real-Ip"} {
		if len(r.Header[name]) == 0 {
			continue
		}
		h.notices.forwarded.Do(func() {
			h.log.LogAttrs(r.Context(), warn, "sessiontrack: requests carry a forwarding header and "+
				"Options.ClientIP trusts nobody: behind a proxy every session has the proxy's address; name the proxies with "+
				"TrustedProxies",
				slog.String("header", name), textAttr("peer", r.RemoteAddr))
		})
		return
	}
}

// noticePlainCookie warns once where a cookie that is Secure goes out over plain HTTP:
// browsers drop it without a word (RFC 6265bis §5.7). A proxy in front that ends TLS is known
// by its header or by the page's origin.
func (h *host) noticePlainCookie(r *http.Request) {
	if r.TLS != nil || strings.HasPrefix(r.Header.Get("Origin"), "https://") {
		return
	}
	proto := r.Header.Get("X-Forwarded-Proto") + " " + r.Header.Get("Forwarded")
	if strings.Contains(strings.ToLower(proto), "https") {
		return
	}
	h.notices.plainCookie.Do(func() {
		h.log.LogAttrs(r.Context(), warn, "sessiontrack: a Secure cookie was sent over plain HTTP: "+
			"unless a proxy in front ends TLS, browsers drop it; for development without TLS set CookieOptions.InsecureHTTP",
			textAttr("host", r.Host))
	})
}

// noticeUnkeyed warns once where a user gets session after session from tokens of their own: it may
// be one client that refreshes its token.
func (h *host) noticeUnkeyed(ctx context.Context, user string) {
	if h.notices.unkeyed.Add(user, time.Duration(h.clock.Local())*time.Microsecond) {
		h.log.LogAttrs(ctx, warn, "sessiontrack: a user got a third session within an hour from tokens that name nothing "+
			"longer than themselves: refreshed tokens may count as devices; see JWTOptions.KeyClaim, SessionClaim and "+
			"IssuerSessions", textAttr("user.id", user))
	}
}

// crossOriginPause is the least between two lines about requests from other sites.
const crossOriginPause = int64(time.Minute / time.Microsecond)

// noticeCrossOrigin names the origin of a request that was refused as another site's, and
// the option that would allow it: at most once a minute.
func (h *host) noticeCrossOrigin(r *http.Request) {
	local, last := h.clock.Local(), h.notices.crossOriginAt.Load()
	if last != 0 && local-last < crossOriginPause || !h.notices.crossOriginAt.CompareAndSwap(last, max(local, 1)) {
		return
	}
	option := "Options.TrustedOrigins"
	if isWebSocket(r) {
		option += " or UserOptions.Origins"
	}
	h.log.LogAttrs(r.Context(), warn,
		"sessiontrack: a request from another site was refused; to allow its origin, name it",
		textAttr("origin", r.Header.Get("Origin")), slog.String("option", option), textAttr("host", r.Host),
		textAttr("sec-fetch-site", r.Header.Get("Sec-Fetch-Site")), textAttr("path", r.URL.Path))
}

func isWebSocket(r *http.Request) bool {
	upgrade := r.Header["Upgrade"]
	return len(upgrade) > 0 && strings.EqualFold(upgrade[0], "websocket")
}
