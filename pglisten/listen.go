package pglisten

import (
	"context"
	crand "crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/jackc/pgx/v5"
)

const (
	minBackOff = 100 * time.Millisecond
	maxBackOff = 10 * time.Second
	// closeTimeout bounds how long the server is told that a connection ends.
	closeTimeout = time.Second
	// hearTimeout is how long the notification that a connection begins with may take.
	hearTimeout = time.Second
	// proofChannel carries those notifications. A connection listens to it only while it
	// begins, so that they wake no other replica.
	proofChannel = "pglisten_proof"
)

// simple has a statement sent in one message, which works through a pooler.
const simple = pgx.QueryExecModeSimpleProtocol

// run connects and listens until ctx is done. It reconnects after each failure.
func (l *Listener) run(ctx context.Context) {
	wait := minBackOff
	for ctx.Err() == nil {
		listened, err := l.session(ctx)
		if ctx.Err() != nil {
			break
		}
		if before := l.state(err); before == nil || errors.Is(before, errNotConnected) {
			l.logger.LogAttrs(ctx, slog.LevelWarn,
				"pglisten: not listening; ended sessions are learnt from the feed meanwhile", slog.Any("error", err))
		}
		l.kick() // notifications since the connection broke are lost
		if listened {
			wait = minBackOff
		}
		pause(ctx, wait/2+rand.N(wait/2+1)) // replicas must not reconnect all at once
		wait = min(2*wait, maxBackOff)
	}
	l.state(errStopped)
}

// connection is one connection to the server.
type connection struct {
	*pgx.Conn
	backend uint32 // the server process that the LISTEN went to
}

// direct reports whether the server process that answers is the one that was announced
// when the connection began. A pooler announces a process of its own making.
func (c *connection) direct() bool { return c.backend == c.PgConn().PID() }

// session is the life of one connection. It returns why it ended, and whether it
// came to listen.
func (l *Listener) session(ctx context.Context) (listened bool, err error) {
	conn, err := l.open(ctx)
	if err != nil {
		return false, err
	}
	defer closeSoon(ctx, conn.Conn)
	if l.state(nil) != nil {
		l.logger.LogAttrs(ctx, slog.LevelInfo, "pglisten: listening")
	}
	l.kick() // an end before the LISTEN was acknowledged notified nobody
	for {
		if err := l.wait(ctx, conn); err != nil {
			return true, err
		}
	}
}

// open connects. It returns once the LISTEN is acknowledged and a notification has come
// through.
func (l *Listener) open(ctx context.Context) (*connection, error) {
	ctx, cancel := context.WithTimeout(ctx, l.answer+hearTimeout)
	defer cancel()
	conn, err := l.connect(ctx)
	if err != nil {
		return nil, err
	}
	c := &connection{Conn: conn}
	if err := l.begin(ctx, c); err != nil {
		closeSoon(ctx, conn)
		return nil, err
	}
	return c, nil
}

func (l *Listener) begin(ctx context.Context, c *connection) (err error) {
	for _, channel := range [...]string{l.channel, proofChannel} {
		if _, err := c.Exec(ctx, "LISTEN "+pgx.Identifier{channel}.Sanitize(), simple); err != nil {
			return err
		}
	}
	if c.backend, err = l.check(ctx, c); err != nil {
		return err
	}
	if err := l.hear(ctx, c); err != nil {
		return err
	}
	_, err = c.Exec(ctx, "UNLISTEN "+proofChannel, simple)
	return err
}

// hear sends a notification and waits until it comes back: a server that knows of the
// LISTEN may still have nobody to tell. Behind a pooler a second connection sends it,
// because a server process delivers its own notifications with the statement's answer,
// to whichever client sent the statement.
func (l *Listener) hear(ctx context.Context, c *connection) error {
	ctx, cancel := context.WithTimeout(ctx, hearTimeout)
	defer cancel()
	sender := c.Conn
	if !c.direct() {
		second, err := l.connect(ctx)
		if err != nil {
			return fmt.Errorf("pglisten: a second connection, to try out a pooler: %w", err)
		}
		defer closeSoon(ctx, second)
		sender = second
	}
	payload := crand.Text()
	if _, err := sender.Exec(ctx, "SELECT pg_notify($1, $2)", simple, proofChannel, payload); err != nil {
		return err
	}
	for {
		n, err := c.WaitForNotification(ctx)
		switch {
		case err != nil && ctx.Err() != nil:
			return errDeaf
		case err != nil:
			return err
		case n.Payload == payload:
			return nil
		}
	}
}

// wait kicks once a notification has come, whatever it says. After a silence it asks
// the server: a connection whose other end has vanished stays silent for ever.
func (l *Listener) wait(ctx context.Context, c *connection) error {
	silence, cancel := context.WithTimeout(ctx, l.ping)
	_, err := c.WaitForNotification(silence)
	cancel()
	switch {
	case err == nil:
		l.kick()
		return nil
	case ctx.Err() != nil:
		return ctx.Err()
	case silence.Err() == nil || c.IsClosed():
		return err
	}
	answer, cancel := context.WithTimeout(ctx, l.answer)
	defer cancel()
	backend, err := l.check(answer, c)
	if err == nil && backend != c.backend {
		return errDeaf
	}
	return err
}

// check asks whether the server can notify and whether this session listens. It returns
// the server process that answered.
func (l *Listener) check(ctx context.Context, c *connection) (backend uint32, err error) {
	var standby, listening bool
	err = c.QueryRow(ctx, "SELECT pg_backend_pid(), pg_is_in_recovery(), "+
		"EXISTS (SELECT FROM pg_listening_channels() AS c WHERE c = $1)",
		simple, l.channel).Scan(&backend, &standby, &listening)
	switch {
	case err != nil:
		return 0, err
	case standby:
		return 0, errStandby
	case !listening:
		return 0, errDeaf
	}
	return backend, nil
}

// closeSoon closes a connection to a server that may not be there.
func closeSoon(ctx context.Context, conn *pgx.Conn) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
	defer cancel()
	_ = conn.Close(ctx)
}

// pause waits for d or until ctx is done.
func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}
