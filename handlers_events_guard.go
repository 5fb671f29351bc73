package sessiontrack

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	wire "github.com/sessiontrack/sessiontrack/internal/stream"
)

// guard checks once a second whether the stream may continue. At an interval below MaxStaleness it
// asks the host for the roles. The end of the stream's own session ends ctx: see pump.
func (s *eventStream) guard(w wire.Writer) error {
	local := s.h.t.clock.Local()
	if local-s.checkedAt < guardEvery.Microseconds() {
		return nil
	}
	s.checkedAt = local
	if until := s.c.until; !until.IsZero() && !time.Now().Before(until) { // by the verifier's clock
		return overExpired
	}
	if err := s.warn(w); err != nil {
		return err
	}
	if err := s.guardRight(local); err != nil {
		return err
	}
	if s.named != nil && !s.all && local-s.visibleAt >= visibleEvery.Microseconds() {
		if s.see() != nil {
			s.watchUsers([]string{}) // no users until the host answers
		}
	}
	return nil
}

// warn announces, once, that the session will soon pass a limit. Before that it has the session
// read, because another replica may have seen later activity.
func (s *eventStream) warn(w wire.Writer) error {
	t := s.h.t
	e := t.near.newest(s.hold.entry.Load())
	s.c.caller.entry = e
	at, why, soon := t.gate.nextLimit(e)
	if at == 0 || at == s.warned || at-t.clock.Now() > soon {
		return nil
	}
	if s.warning != at {
		s.warning = at
		t.holds.ask(s.hold)
	}
	if !t.holds.answered(s.hold) {
		return nil
	}
	s.warned = at
	data, err := json.Marshal(expiringView{fromMicros(at), why})
	if err != nil {
		return err
	}
	return w.Notice("expiring", data)
}

// expiringView is the announcement of a limit.
type expiringView struct {
	At  time.Time `json:"at"`
	Why EndReason `json:"why"`
}

// guardRight asks again whether the caller may watch what the stream shows.
func (s *eventStream) guardRight(local int64) error {
	t := s.h.t
	if !s.all && s.h.opts.Authorize == nil {
		return nil // every signed-in caller may
	}
	if local-s.allowedAt < (t.opts.MaxStaleness*4/5).Microseconds()-guardEvery.Microseconds() {
		return nil
	}
	s.c.roles = nil
	err := error(nil)
	if s.all {
		var all bool
		if all, err = s.h.watchesAll(s.c); err == nil && !all {
			return overForbidden
		}
	} else if err = s.h.authorize(s.c); errors.Is(err, errForbidden) {
		return overForbidden
	}
	switch {
	case err == nil:
		s.allowedAt = local
	case local-s.allowedAt > (t.opts.MaxStaleness + t.opts.StaleGrace).Microseconds():
		return overUnavailable
	}
	return nil
}

// streamCaller is the caller of a stream, read from the store, and the moment from which
// requests with the same credential are refused, zero where there is none. Opening a stream is no
// activity: one that is opened again and again must not keep a session alive that
// nobody uses.
func (f *family) streamCaller(r *http.Request) (*tracked, time.Time, error) {
	res, err := f.t.gate.resolve(r, true)
	if err != nil {
		return nil, time.Time{}, err
	}
	until := res.until
	if !until.IsZero() {
		until = until.Add(f.t.gate.leeway())
	}
	return &tracked{Context: r.Context(), entry: res.entry, by: &f.t.door, roles: res.roles}, until, nil
}

// canStream refuses a request whose ResponseWriter cannot stream, before anything is written. An
// answer that begins well and ends at once would make clients reconnect for ever. The type of the
// ResponseWriter is logged once.
func (h *userHandler) canStream(c *call) error {
	can, protocol := reaches[http.Flusher](c.w) || reaches[flusher](c.w), "Flush"
	if isWebSocket(c.r) {
		can, protocol = reaches[http.Hijacker](c.w), "Hijack"
	}
	if can {
		return nil
	}
	name := fmt.Sprintf("%T", c.w)
	if _, told := h.unfit.LoadOrStore(name+protocol, true); !told {
		h.t.opts.Logger.LogAttrs(c.r.Context(), slog.LevelError,
			"sessiontrack: events: the ResponseWriter cannot stream; give it a method Unwrap, or mount the handler outside of "+
				"what wraps it",
			slog.String("writer", name), slog.String("lacks", protocol))
	}
	return &problemError{problemInternalError}
}

// flusher is the interface that [http.ResponseController] prefers to http.Flusher.
type flusher interface{ FlushError() error }

// reaches reports whether a ResponseWriter, or one that it wraps, implements T. It unwraps as
// [http.ResponseController] does.
func reaches[T any](w http.ResponseWriter) bool {
	for {
		if _, ok := w.(T); ok {
			return true
		}
		wrapper, ok := w.(interface{ Unwrap() http.ResponseWriter })
		if !ok {
			return false
		}
		w = wrapper.Unwrap()
	}
}
