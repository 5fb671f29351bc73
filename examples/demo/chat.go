package main

import (
	"context"
	"errors"
	"net/http"

	"github.com/coder/websocket"

	"github.com/sessiontrack/sessiontrack"
)

// statusSessionEnded is the close code of the library's own streams, too.
const statusSessionEnded websocket.StatusCode = 4401

// chat is a WebSocket that echoes. It is held: its user is online while it is open, and it closes
// with the reason when the session ends on any replica. A message is activity.
func (a *application) chat(w http.ResponseWriter, r *http.Request) {
	session, _ := sessiontrack.FromContext(r.Context())
	conn, err := websocket.Accept(w, r, nil) // refuses pages of other sites
	if err != nil {
		return // it has answered
	}
	defer conn.CloseNow()
	conn.SetReadLimit(maxBody)
	ctx := context.WithoutCancel(r.Context())
	held, release := a.tracker.Hold(ctx, session.ID)
	defer release()
	defer context.AfterFunc(held, func() { closeChat(conn, context.Cause(held)) })()
	for {
		kind, message, err := conn.Read(ctx)
		if err != nil {
			return
		}
		if err := a.tracker.Touch(ctx, session.ID); errors.Is(err, sessiontrack.ErrEnded) {
			<-held.Done()
			continue // the next read fails with the close
		}
		if conn.Write(ctx, kind, message) != nil {
			return
		}
	}
}

// closeChat tells the client why.
func closeChat(conn *websocket.Conn, cause error) {
	var ended *sessiontrack.EndedError
	if errors.As(cause, &ended) {
		_ = conn.Close(statusSessionEnded, "session_ended "+string(ended.Reason))
		return
	}
	_ = conn.Close(websocket.StatusTryAgainLater, "")
}
