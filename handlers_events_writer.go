package sessiontrack

import (
	"fmt"
	"log/slog"
	"net/http"
)

// canStream refuses a request whose ResponseWriter cannot carry a stream, before anything is
// written: an answer that begins well and ends at once has clients come back for ever. The
// log names the type that stands in the way, once for each type.
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
			"sessiontrack: events: the ResponseWriter cannot stream; give it a method Unwrap, or mount the handler outside of what wraps it",
			slog.String("writer", name), slog.String("lacks", protocol))
	}
	return &problemError{problemInternalError}
}

// flusher is what [http.ResponseController] prefers to http.Flusher.
type flusher interface{ FlushError() error }

// reaches reports whether a ResponseWriter, or one that it wraps, has what T asks for. It
// looks where [http.ResponseController] does.
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
