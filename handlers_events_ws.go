package sessiontrack

import (
	"context"

	"github.com/coder/websocket"
)

// webSocket writes one text frame an event.
type webSocket struct {
	ctx  context.Context
	conn *websocket.Conn
}

// overWebSocket answers by taking over the connection. Accept answers a request that
// is no proper handshake by itself.
func (s *eventStream) overWebSocket() error {
	conn, err := websocket.Accept(s.c.w, s.c.r, &websocket.AcceptOptions{
		InsecureSkipVerify: true, // foreignSocket has looked, before anybody was asked who calls
	})
	if err != nil {
		return nil
	}
	defer func() { _ = conn.CloseNow() }()
	ctx := conn.CloseRead(s.c.r.Context()) // a client has nothing to say
	s.pump(ctx, &webSocket{ctx, conn})
	return nil
}

func (w *webSocket) event(_ *Event, data []byte) error {
	ctx, cancel := context.WithTimeout(w.ctx, streamPatience)
	defer cancel()
	return w.conn.Write(ctx, websocket.MessageText, data)
}

func (w *webSocket) flush() error { return nil }

func (w *webSocket) beat() error {
	ctx, cancel := context.WithTimeout(w.ctx, streamPatience)
	defer cancel()
	return w.conn.Ping(ctx)
}

func (w *webSocket) over(why *streamOver) {
	if why == nil {
		return
	}
	code := websocket.StatusPolicyViolation
	switch why {
	case overShutDown:
		code = websocket.StatusGoingAway
	case overStalled, overUnavailable:
		code = websocket.StatusTryAgainLater
	}
	_ = w.conn.Close(code, why.word)
}
