package sessiontrack

import (
	"errors"
	"net/http"
	"strconv"
	"time"
)

// sse writes Server-Sent Events (WHATWG HTML §9.2).
type sse struct {
	w       http.ResponseWriter
	control *http.ResponseController
	buffer  []byte
}

// overSSE answers with Server-Sent Events.
func (s *eventStream) overSSE() error {
	h := s.c.w.Header()
	h.Set("Content-Type", "text/event-stream; charset=utf-8")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Accel-Buffering", "no") // or nginx would keep events back
	h.Set("X-Content-Type-Options", "nosniff")
	w := &sse{w: s.c.w, control: http.NewResponseController(s.c.w)}
	// Clients of a server that restarts come back at different moments.
	w.buffer = append(w.buffer, "retry: "+strconv.Itoa(1000+time.Now().Nanosecond()/1000%4000)+"\n\n"...)
	s.c.w.WriteHeader(http.StatusOK)
	if w.flush() == nil {
		s.pump(s.c.r.Context(), w)
	}
	return nil
}

func (w *sse) event(e *Event, data []byte) error {
	w.buffer = append(w.buffer, "id: "...)
	w.buffer = append(w.buffer, e.ID...)
	w.buffer = append(w.buffer, "\nevent: "...)
	w.buffer = append(w.buffer, e.Type...)
	w.buffer = append(w.buffer, "\ndata: "...)
	w.buffer = append(w.buffer, data...) // JSON has no line breaks
	w.buffer = append(w.buffer, "\n\n"...)
	return nil
}

func (w *sse) beat() error {
	w.buffer = append(w.buffer, ":\n\n"...)
	return w.flush()
}

// flush sends what has been gathered, within streamPatience. The deadline is taken
// back, because HTTP/2 ends a stream whose deadline passes while nothing is written.
func (w *sse) flush() error {
	if err := w.deadline(time.Now().Add(streamPatience)); err != nil {
		return err
	}
	_, err := w.w.Write(w.buffer)
	if w.buffer = w.buffer[:0]; err == nil {
		err = w.control.Flush()
	}
	if err != nil {
		return err
	}
	return w.deadline(time.Time{})
}

// deadline bounds writes where the ResponseWriter can do that.
func (w *sse) deadline(at time.Time) error {
	if err := w.control.SetWriteDeadline(at); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return err
	}
	return nil
}

func (w *sse) over(why *streamOver) {
	if why != nil {
		w.buffer = append(w.buffer, ": closed "+why.word+"\n\n"...)
		_ = w.flush()
	}
}
