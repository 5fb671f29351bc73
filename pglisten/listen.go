package pglisten

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/jackc/pgx/v5"
)

const (
	minBackOff = 100 * time.Millisecond
	maxBackOff = 10 * time.Second
	// closeTimeout bounds a polite goodbye to a server that may not be there.
	closeTimeout = time.Second
)

// run connects and listens, again and again, until ctx is done.
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
		l.kick() // what was notified since the connection broke is lost
		if listened {
			wait = minBackOff
		}
		pause(ctx, wait/2+rand.N(wait/2+1)) // replicas must not come back all at once
		wait = min(2*wait, maxBackOff)
	}
	l.state(errStopped)
}

// session is the life of one connection. It returns why it ended, and whether it
// came to listen.
func (l *Listener) session(ctx context.Context) (listened bool, err error) {
	conn, err := l.open(ctx)
	if err != nil {
		return false, err
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
		defer cancel()
		_ = conn.Close(ctx)
	}()
	if l.state(nil) != nil {
		l.logger.LogAttrs(ctx, slog.LevelInfo, "pglisten: listening")
	}
	l.kick() // ends before the LISTEN was acknowledged were notified to nobody
	for {
		if err := l.wait(ctx, conn); err != nil {
			return true, err
		}
	}
}

// open connects and returns once the LISTEN is acknowledged.
func (l *Listener) open(ctx context.Context) (*pgx.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, l.answer)
	defer cancel()
	conn, err := l.connect(ctx)
	if err != nil {
		return nil, err
	}
	if _, err = conn.Exec(ctx, "LISTEN "+pgx.Identifier{l.channel}.Sanitize(), pgx.QueryExecModeSimpleProtocol); err == nil {
		err = l.check(ctx, conn)
	}
	if err != nil {
		_ = conn.Close(ctx)
		return nil, err
	}
	return conn, nil
}

// wait kicks once a notification has come, whatever it says. After a silence it asks
// the server: a connection whose other end has vanished without a word would be
// silent for ever.
func (l *Listener) wait(ctx context.Context, conn *pgx.Conn) error {
	silence, cancel := context.WithTimeout(ctx, l.ping)
	_, err := conn.WaitForNotification(silence)
	cancel()
	switch {
	case err == nil:
		l.kick()
		return nil
	case ctx.Err() != nil:
		return ctx.Err()
	case silence.Err() == nil || conn.IsClosed():
		return err
	}
	answer, cancel := context.WithTimeout(ctx, l.answer)
	defer cancel()
	return l.check(answer, conn)
}

// check asks whether the server is one that can notify, and whether this session
// listens.
func (l *Listener) check(ctx context.Context, conn *pgx.Conn) error {
	var standby, listening bool
	err := conn.QueryRow(ctx, "SELECT pg_is_in_recovery(), EXISTS (SELECT FROM pg_listening_channels() AS c WHERE c = $1)",
		pgx.QueryExecModeSimpleProtocol, l.channel).Scan(&standby, &listening)
	switch {
	case err != nil:
		return err
	case standby:
		return errStandby
	case !listening:
		return errDeaf
	}
	return nil
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
