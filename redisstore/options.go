package redisstore

import (
	"fmt"
	"log/slog"
	"strings"
	"time"
)

// ActivityOptions configure [Activity]. The zero value, or nil, gives the defaults.
type ActivityOptions struct {
	// Prefix begins every key. Default "sessiontrack". At most 64 bytes, without '{' and '}'.
	// Two applications on one Redis need two prefixes.
	Prefix string
	// Buckets is over how many hash slots users are spread. Default 64, 1 to 4,096. All
	// replicas need the same number. Another number begins with no activity, as after a
	// loss of Redis.
	Buckets int
	// Follow bounds how far the durable store's activity may lag behind Redis. Default 5 min,
	// 1 s to 1 h. It is how exact activity still is when all of Redis is lost. A session in
	// use costs the durable store one touch in that time, and one when its use pauses. Limits
	// of idleness below 2 × Follow + 10 s are held exactly too, but cost the durable store
	// more.
	Follow time.Duration
	// Timeout bounds each exchange with Redis. Default 250 ms, 10 ms to 10 s. A call that
	// Redis does not answer in this time goes on without it where that is safe.
	Timeout time.Duration
	// Owners is how many sessions a process knows the user of without asking. Default
	// 100,000, at about 150 bytes each; at least 1,000. It should be as large as
	// [sessiontrack.Options.CacheSize].
	Owners int
	// Logger is told when Redis is away, back, or has lost its data. Default [slog.Default].
	Logger *slog.Logger
}

const (
	defaultPrefix  = "sessiontrack"
	defaultBuckets = 64
	defaultFollow  = 5 * time.Minute
	defaultTimeout = 250 * time.Millisecond
	defaultOwners  = 100_000

	maxPrefix  = 64
	maxBuckets = 4096
	minOwners  = 1000
)

func (o *ActivityOptions) defaulted() (ActivityOptions, error) {
	var c ActivityOptions
	if o != nil {
		c = *o
	}
	setDefault(&c.Prefix, defaultPrefix)
	setDefault(&c.Buckets, defaultBuckets)
	setDefault(&c.Follow, defaultFollow)
	setDefault(&c.Timeout, defaultTimeout)
	setDefault(&c.Owners, defaultOwners)
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	if err := checkRing(c.Prefix, c.Buckets); err != nil {
		return c, err
	}
	if c.Follow < time.Second || c.Follow > time.Hour {
		return c, fmt.Errorf("redisstore: Follow is %v: want 1s to 1h0m0s", c.Follow)
	}
	if c.Timeout < 10*time.Millisecond || c.Timeout > 10*time.Second {
		return c, fmt.Errorf("redisstore: Timeout is %v: want 10ms to 10s", c.Timeout)
	}
	if c.Owners < minOwners {
		return c, fmt.Errorf("redisstore: Owners is %d: want at least %d", c.Owners, minOwners)
	}
	return c, nil
}

func checkRing(prefix string, buckets int) error {
	if len(prefix) > maxPrefix || strings.ContainsAny(prefix, "{}") {
		return fmt.Errorf("redisstore: Prefix is %q: want at most %d bytes without '{' and '}'", prefix, maxPrefix)
	}
	if buckets < 1 || buckets > maxBuckets {
		return fmt.Errorf("redisstore: Buckets is %d: want 1 to %d", buckets, maxBuckets)
	}
	return nil
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}
