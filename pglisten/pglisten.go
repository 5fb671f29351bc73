// Package pglisten tells other replicas of an ended session within milliseconds. It
// listens to what a BunStore notifies on PostgreSQL and asks the Tracker to read its
// feed of ended sessions at once.
//
//	listener, err := pglisten.New(dsn, tracker.PollNow, nil)
//	…
//	err = listener.Start(ctx)
//	defer listener.Shutdown(context.Background())
//
// A notification carries no facts: it says only that there may be something to read. So
// a broken connection or a lost notification loses no end. The feed, which is read once
// in FeedInterval, is the guarantee, and the listener makes it faster.
//
// The Listener needs a connection of its own to the primary. A pooler that shares
// connections by transaction, such as PgBouncer with pool_mode=transaction, delivers no
// notifications. The Listener notices that when it connects: [Listener.Healthy] stays
// false and [Listener.Err] says why. A pooler that shares connections by session works.
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
	// The Listener closes what it returns. Behind a pooler it is called a second time for
	// each connection, to try out whether notifications come through. Default: connect
	// to the DSN.
	Connect func(ctx context.Context) (*pgx.Conn, error)
	// Channel is the name of the channel, at most 63 bytes. Default
	// [sessiontrack.NotifyChannel].
	Channel string
	// PingInterval is how long the connection may be silent before the Listener asks the
	// server whether it still listens. The answer may take a fifth of it, at least 1 s.
	// Default 10 s, at least 1 s.
	PingInterval time.Duration
	// Logger gets a record when the Listener stops listening and when it listens again.
	// Default [slog.Default].
	Logger *slog.Logger
}

// Listener keeps one connection of its own that listens. It calls kick after each
// notification, each time that it has begun to listen, and each time that it loses the
// connection. Its methods may be called from any goroutine.
type Listener struct {
	connect func(ctx context.Context) (*pgx.Conn, error)
	kick    func()
	channel string
	ping    time.Duration
	answer  time.Duration // how long the answer to a ping, or a connection, may take
	logger  *slog.Logger

	mu     sync.Mutex
	cancel context.CancelFunc // nil before Start and after Shutdown
	done   chan struct{}
	err    error // why it does not listen now, nil while it does
}

var (
	errNotConnected = errors.New("not connected yet")
	errStopped      = errors.New("not started")
	// errStandby refuses a server in recovery, which accepts no LISTEN.
	errStandby = errors.New("the server is a standby, which cannot listen")
	// errDeaf says that notifications do not come through, or that another server process
	// answers than the one that listens. A pooler that shares connections by transaction
	// does both.
	errDeaf = errors.New("the connection hears no notifications; connect to the server itself, not to a pooler")
)

// New returns a Listener that will connect to dsn, a URL or a list of key=value pairs.
// It calls kick, which must not block: [sessiontrack.Tracker.PollNow]. New itself does
// not connect. If opts has Connect, dsn is not used and may be empty.
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

// Start begins to listen in the background. It does not wait for the connection, so that
// an application can start while its database is away. The Listener runs until
// Shutdown, also where ctx is done before. Start fails only if the Listener runs already.
func (l *Listener) Start(ctx context.Context) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.cancel != nil {
		return errors.New("pglisten: Start: started already")
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	done := make(chan struct{})
	l.cancel, l.done, l.err = cancel, done, errNotConnected
	go func() {
		defer close(done)
		l.run(ctx)
	}()
	return nil
}

// Shutdown closes the connection and waits until that is done or ctx is. It may be
// called twice, or without Start.
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

// Healthy reports whether the Listener listens now. While it does not, the Tracker learns
// of ends from its feed alone, within FeedInterval: a warning, not an outage.
func (l *Listener) Healthy() bool { return l.Err() == nil }

// Err returns why the Listener does not listen now, or nil while it does.
func (l *Listener) Err() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.err
}

// state records why the Listener does not listen, nil while it does. It returns what was
// recorded before.
func (l *Listener) state(err error) (before error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	before, l.err = l.err, err
	return before
}
