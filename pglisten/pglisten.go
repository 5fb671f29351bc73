// Package pglisten makes an end of a session known to other replicas within
// milliseconds: it listens to what a BunStore notifies on PostgreSQL and kicks the
// Tracker's feed of ended sessions.
//
//	listener, err := pglisten.New(dsn, tracker.PollNow, nil)
//	…
//	err = listener.Start(ctx)
//	defer listener.Shutdown(context.WithoutCancel(ctx))
//
// It carries no facts: a notification says only that there may be something to read.
// So nothing is lost where a connection breaks, a notification goes missing or a
// pooler swallows them; the feed, read once in FeedInterval, is the guarantee, and
// the listener makes it faster.
package pglisten

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/sessiontrack/sessiontrack"
)

// Options are the options of a [Listener]; nil means all defaults.
type Options struct {
	// Connect opens the connection in place of the DSN, for credentials that change.
	// The Listener closes what it returns. Default: connect to the DSN.
	Connect func(ctx context.Context) (*pgx.Conn, error)
	// Channel is what is listened to. Default [sessiontrack.NotifyChannel].
	Channel string
	// PingInterval is how long the connection may be silent before it is asked
	// whether it still lives and listens; a fifth of it, at least 1 s, is how long
	// the answer may take. Default 10 s, at least 1 s.
	PingInterval time.Duration
	// Logger is told when the connection is lost and when it is back. Default
	// [slog.Default].
	Logger *slog.Logger
}

// Listener keeps one connection of its own that listens, and calls kick after each
// notification, after each (re)connection once the server has acknowledged the
// LISTEN, and whenever the connection is lost. Its methods may be called from any
// goroutine.
type Listener struct {
	connect func(ctx context.Context) (*pgx.Conn, error)
	kick    func()
	channel string
	ping    time.Duration
	answer  time.Duration // how long a ping, or a connection, may take
	logger  *slog.Logger

	mu     sync.Mutex
	cancel context.CancelFunc // nil before Start and after Shutdown
	done   chan struct{}
	err    error // why it does not listen now, nil while it does
}

var (
	errNotConnected = errors.New("not connected yet")
	errStopped      = errors.New("not started")
	// errStandby refuses a server in recovery: LISTEN fails there, and it would
	// never be told anything.
	errStandby = errors.New("the server is a standby, which cannot listen")
	// errDeaf says that the session that answers is not the one that listens: a
	// pooler that hands out connections by transaction is in between.
	errDeaf = errors.New("the connection no longer listens; connect to the server itself, not to a pooler")
)

// New returns a Listener that connects to dsn, a URL or a list of key=value pairs,
// and calls kick, which must not block: [sessiontrack.Tracker.PollNow]. It connects to
// nothing yet. Where opts has Connect, dsn is not used and may be empty.
func New(dsn string, kick func(), opts *Options) (*Listener, error) {
	var o Options
	if opts != nil {
		o = *opts
	}
	if kick == nil {
		return nil, errors.New("pglisten: New: kick is nil")
	}
	if o.Connect == nil {
		config, err := pgx.ParseConfig(dsn)
		if err != nil {
			return nil, errors.New("pglisten: New: the DSN does not parse") // its text may hold a password
		}
		o.Connect = func(ctx context.Context) (*pgx.Conn, error) { return pgx.ConnectConfig(ctx, config.Copy()) }
	}
	if o.Channel == "" {
		o.Channel = sessiontrack.NotifyChannel
	}
	if len(o.Channel) > 63 {
		return nil, fmt.Errorf("pglisten: New: Options.Channel is %d bytes, want at most 63", len(o.Channel))
	}
	if o.PingInterval == 0 {
		o.PingInterval = 10 * time.Second
	}
	if o.PingInterval < time.Second {
		return nil, fmt.Errorf("pglisten: New: Options.PingInterval is %v, want at least 1s", o.PingInterval)
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	return &Listener{
		connect: o.Connect, kick: kick, channel: o.Channel, logger: o.Logger,
		ping: o.PingInterval, answer: max(o.PingInterval/5, time.Second), err: errStopped,
	}, nil
}

// Start begins to listen, in the background: it does not wait for the connection, so
// that an application starts although its database is away. It lasts until Shutdown,
// or until ctx is done, and fails only where it runs already.
func (l *Listener) Start(ctx context.Context) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.cancel != nil {
		return errors.New("pglisten: Start: started already")
	}
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	l.cancel, l.done, l.err = cancel, done, errNotConnected
	go func() {
		defer close(done)
		l.run(ctx)
	}()
	return nil
}

// Shutdown closes the connection and waits for that until ctx is done. It may come
// twice, or without Start.
func (l *Listener) Shutdown(ctx context.Context) error {
	l.mu.Lock()
	cancel, done := l.cancel, l.done
	l.cancel = nil
	l.mu.Unlock()
	if done == nil {
		return nil
	}
	if cancel != nil {
		cancel()
	}
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("pglisten: Shutdown: %w", ctx.Err())
	}
}

// Healthy reports whether the Listener listens now. While it does not, ends are
// learnt from the feed alone, within FeedInterval: a warning, not an outage.
func (l *Listener) Healthy() bool { return l.Err() == nil }

// Err returns why the Listener does not listen now, or nil while it does.
func (l *Listener) Err() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.err
}

// state records why it does not listen, nil when it does, and returns what held.
func (l *Listener) state(err error) (before error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	before, l.err = l.err, err
	return before
}
