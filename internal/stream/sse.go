package stream

import (
	"errors"
	"net/http"
	"strconv"
	"time"
)

// SSE writes Server-Sent Events (WHATWG HTML §9.2).
type SSE struct {
	w       http.ResponseWriter
	control *http.ResponseController
	buffer  []byte
}

// NewSSE begins the answer: 200, and a time after which the client connects again. Clients
// of a server that restarts come back at different moments within 1 to 5 seconds.
func NewSSE(w http.ResponseWriter) (*SSE, error) {
	h := w.Header()
	h.Set("Content-Type", "text/event-stream; charset=utf-8")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Accel-Buffering", "no") // or nginx would keep events back
	h.Set("X-Content-Type-Options", "nosniff")
	s := &SSE{w: w, control: http.NewResponseController(w)}
	s.buffer = append(s.buffer, "retry: "+strconv.Itoa(1000+time.Now().Nanosecond()/1000%4000)+"\n\n"...)
	w.WriteHeader(http.StatusOK)
	return s, s.Flush()
}

// Event keeps an event for Flush.
func (s *SSE) Event(id, kind string, data []byte) error {
	s.buffer = append(s.buffer, "id: "...)
	s.buffer = append(s.buffer, id...)
	s.buffer = append(s.buffer, "\nevent: "...)
	s.buffer = append(s.buffer, kind...)
	s.buffer = append(s.buffer, "\ndata: "...)
	s.buffer = append(s.buffer, data...)
	s.buffer = append(s.buffer, "\n\n"...)
	return nil
}

// Notice sends an event without an id.
func (s *SSE) Notice(kind string, data []byte) error {
	s.buffer = append(s.buffer, "event: "...)
	s.buffer = append(s.buffer, kind...)
	s.buffer = append(s.buffer, "\ndata: "...)
	s.buffer = append(s.buffer, data...)
	s.buffer = append(s.buffer, "\n\n"...)
	return s.Flush()
}

// Ended sends the event "ended" and closes.
func (s *SSE) Ended(reason string) {
	word := []byte("null")
	if reason != "" {
		word = strconv.AppendQuote(nil, reason)
	}
	if s.Notice("ended", append(append([]byte(`{"reason":`), word...), '}')) == nil {
		s.Close(Refused, sessionEnded)
	}
}

// Beat sends a comment, which clients ignore.
func (s *SSE) Beat() error {
	s.buffer = append(s.buffer, ":\n\n"...)
	return s.Flush()
}

// Flush sends what has been kept, within Patience. The deadline is taken back, because
// HTTP/2 ends a stream whose deadline passes while nothing is written.
func (s *SSE) Flush() error {
	if err := s.deadline(time.Now().Add(Patience)); err != nil {
		return err
	}
	_, err := s.w.Write(s.buffer)
	if s.buffer = s.buffer[:0]; err == nil {
		err = s.control.Flush()
	}
	if err != nil {
		return err
	}
	return s.deadline(time.Time{})
}

// deadline bounds writes where the ResponseWriter can do that.
func (s *SSE) deadline(at time.Time) error {
	if err := s.control.SetWriteDeadline(at); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return err
	}
	return nil
}

// Close sends the word as a comment. The protocol has no code for an end: the answer's
// body ends.
func (s *SSE) Close(_ End, word string) {
	s.buffer = append(s.buffer, ": closed "+word+"\n\n"...)
	_ = s.Flush()
}
