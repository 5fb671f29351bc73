package stream

import (
	"context"
	"net/http"
	"strconv"

	"github.com/coder/websocket"
)

// WebSocket writes each event as one text frame.
type WebSocket struct {
	ctx  context.Context
	conn *websocket.Conn
}

// NewWebSocket takes over the connection, after the caller has decided that pages of the
// request's origin may open it. A request that is no proper handshake is answered here,
// and the error says so. The context ends when the client leaves. The caller calls
// CloseNow at last.
func NewWebSocket(w http.ResponseWriter, r *http.Request) (*WebSocket, context.Context, error) {
	conn, err := websocket.Accept(w, r, &websocket.AcceptOptions{
		InsecureSkipVerify: true, // the caller has looked at the origin
	})
	if err != nil {
		return nil, nil, err
	}
	ctx := conn.CloseRead(r.Context()) // a client has nothing to say
	return &WebSocket{ctx, conn}, ctx, nil
}

// Event sends an event. Id and kind are in the data too.
func (s *WebSocket) Event(_, _ string, data []byte) error {
	ctx, cancel := context.WithTimeout(s.ctx, Patience)
	defer cancel()
	return s.conn.Write(ctx, websocket.MessageText, data)
}

// Notice sends a frame with the kind as its type, as events have it.
func (s *WebSocket) Notice(kind string, data []byte) error {
	frame := append([]byte(`{"type":`), strconv.AppendQuote(nil, kind)...)
	return s.Event("", kind, append(append(frame, ','), data[1:]...))
}

// statusSessionEnded is the code of a private use (RFC 6455 §7.4.2), after HTTP's 401.
const statusSessionEnded websocket.StatusCode = 4401

// Ended sends a close frame with a code of its own, and the reason behind the word.
func (s *WebSocket) Ended(reason string) {
	word := sessionEnded
	if reason != "" {
		word += " " + reason
	}
	_ = s.conn.Close(statusSessionEnded, word)
}

// Flush does nothing: Event sends at once.
func (s *WebSocket) Flush() error { return nil }

// Beat sends a ping and waits for its pong.
func (s *WebSocket) Beat() error {
	ctx, cancel := context.WithTimeout(s.ctx, Patience)
	defer cancel()
	return s.conn.Ping(ctx)
}

// Close sends a close frame with the word.
func (s *WebSocket) Close(end End, word string) {
	code := websocket.StatusPolicyViolation
	switch end {
	case GoingAway:
		code = websocket.StatusGoingAway
	case TryLater:
		code = websocket.StatusTryAgainLater
	case Refused:
	}
	_ = s.conn.Close(code, word)
}

// CloseNow drops the connection.
func (s *WebSocket) CloseNow() { _ = s.conn.CloseNow() }
