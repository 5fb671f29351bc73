package main

import (
	"crypto/rand"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/netip"
	"strings"

	"github.com/sessiontrack/sessiontrack"
)

// minSecret is what HMAC with SHA-256 needs (RFC 7518 §3.2), in bytes.
const minSecret = 32

// config is the command line and the environment, checked.
type config struct {
	addr         string
	store        string // "memory", "sqlite:" and a path, or a DSN
	activity     string // "", or the URL of a Redis
	simulate     int
	maxSessions  int
	limitPolicy  sessiontrack.LimitPolicy
	trusted      []netip.Prefix
	fast         bool
	secret       []byte
	randomSecret bool
}

// usageError says what is wrong with the command line or the environment.
type usageError struct{ error }

func (e *usageError) Unwrap() error { return e.error }

func parseConfig(args []string, getenv func(string) string, stderr io.Writer) (config, error) {
	var c config
	var proxies, policy string
	flags := flag.NewFlagSet("demo", flag.ContinueOnError)
	flags.SetOutput(io.Discard) // an error is told once, by its caller
	flags.StringVar(&c.addr, "addr", "127.0.0.1:8080", "`address` to listen on")
	flags.StringVar(
		&c.store,
		"store",
		"memory",
		"where sessions are kept: memory, sqlite:FILE, or a `DSN` that begins with postgres://; "+
			"the file and the tables are made at the start",
	)
	flags.StringVar(
		&c.activity,
		"activity",
		"",
		"`URL` of a Redis that keeps the activity of -store's sessions: redis://HOST:PORT, or rediss:// with TLS; "+
			"a cluster by one of its nodes",
	)
	flags.IntVar(&c.simulate, "simulate", 0, fmt.Sprintf("`number` of users to simulate, at most %d", maxSimulated))
	flags.StringVar(
		&proxies,
		"trusted-proxies",
		"",
		"`networks` of proxies whose X-Forwarded-For and Forwarded are believed: 10.0.0.0/8,192.0.2.7",
	)
	flags.IntVar(&c.maxSessions, "max-sessions", 0, "`number` of sessions that a user may have at once; 0 for any")
	flags.StringVar(&policy, "limit-policy", "oldest",
		"what a sign-in above -max-sessions does: oldest and least end the oldest or least active session, deny refuses")
	flags.BoolVar(&c.fast, "fast", false, "touch, flush, feed, presence, sample and cleanup intervals are a tenth")
	if err := flags.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			flags.SetOutput(stderr)
			flags.Usage()
			return c, err
		}
		return c, &usageError{fmt.Errorf("%w (-help lists the flags)", err)}
	}
	if flags.NArg() > 0 {
		return c, &usageError{fmt.Errorf("unexpected argument %q", flags.Arg(0))}
	}
	if err := errors.Join(c.checkLimit(policy), c.check(proxies, getenv("JWT_SECRET"))); err != nil {
		return c, &usageError{err}
	}
	return c, nil
}

// limitPolicies are the words of -limit-policy.
var limitPolicies = map[string]sessiontrack.LimitPolicy{
	"oldest": sessiontrack.EndOldest, "least": sessiontrack.EndLeastActive, "deny": sessiontrack.DenyNew,
}

func (c *config) checkLimit(policy string) error {
	var known bool
	if c.limitPolicy, known = limitPolicies[policy]; !known {
		return fmt.Errorf("-limit-policy is %q: want oldest, least or deny", policy)
	}
	if c.maxSessions < 0 {
		return fmt.Errorf("-max-sessions is %d: want 0 (any number) or more", c.maxSessions)
	}
	return nil
}

func (c *config) check(proxies, secret string) (err error) {
	if _, file := sqlitePath(c.store); !file && c.store != "memory" && !isPostgres(c.store) {
		return errors.New("-store: want memory, sqlite:FILE, or a DSN that begins with postgres://")
	}
	if c.activity != "" && !isRedis(c.activity) {
		return errors.New("-activity: want a URL that begins with redis:// or rediss://")
	}
	if c.simulate < 0 || c.simulate > maxSimulated {
		return fmt.Errorf("-simulate is %d: want 0 to %d", c.simulate, maxSimulated)
	}
	if c.trusted, err = sessiontrack.ParsePrefixes(proxies); err != nil {
		return fmt.Errorf("-trusted-proxies: %w", err)
	}
	switch {
	case secret == "":
		c.secret, c.randomSecret = make([]byte, minSecret), true
		_, _ = rand.Read(c.secret) // never fails
	case len(secret) < minSecret:
		return fmt.Errorf("JWT_SECRET has %d bytes: want at least %d, or none for a random one", len(secret), minSecret)
	default:
		c.secret = []byte(secret)
	}
	return nil
}

// storeName is for the screen: a DSN holds a password.
func (c *config) storeName() string {
	if c.activity != "" {
		return c.durableName() + "; activity in Redis"
	}
	return c.durableName()
}

func (c *config) durableName() string {
	if c.store == "memory" {
		return "memory (sessions end with this program)"
	}
	if path, file := sqlitePath(c.store); file {
		return "SQLite, " + path
	}
	return "PostgreSQL"
}

// sqlitePath returns the file of sqlite:FILE.
func sqlitePath(store string) (path string, file bool) {
	return strings.CutPrefix(store, "sqlite:")
}

func isPostgres(dsn string) bool {
	return strings.HasPrefix(dsn, "postgres://") || strings.HasPrefix(dsn, "postgresql://")
}

func isRedis(url string) bool {
	return strings.HasPrefix(url, "redis://") || strings.HasPrefix(url, "rediss://")
}
