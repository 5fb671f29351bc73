// Package stream writes events to one client, as Server-Sent Events (WHATWG HTML §9.2) or
// by WebSocket (RFC 6455).
package stream

import "time"

// Patience bounds each write, so that a client which does not read holds nothing for long.
const Patience = 5 * time.Second

// End says to a client what the end of its stream means.
type End int

const (
	// Refused: the client may not watch any longer.
	Refused End = iota
	// GoingAway: the server stops; the client connects again.
	GoingAway
	// TryLater: the client connects again after a while.
	TryLater
)

// sessionEnded is the word for the end of the client's own session.
const sessionEnded = "session_ended"

// Writer is a stream's protocol. It is used by one goroutine.
type Writer interface {
	// Event writes an event or keeps it for Flush. Data is JSON without line breaks.
	Event(id, kind string, data []byte) error
	// Notice sends at once something that is no event: it has no id, and nobody resumes after it.
	// Data is a JSON object without line breaks.
	Notice(kind string, data []byte) error
	// Ended tells the client that its session has ended, and the reason, "" where it is not known.
	// Nothing is written after it.
	Ended(reason string)
	// Flush sends what has been kept.
	Flush() error
	// Beat shows that the server is there while nothing happens.
	Beat() error
	// Close tells the client in one word why the stream ends. Nothing is written after it.
	Close(end End, word string)
}
