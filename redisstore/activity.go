package redisstore

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"log/slog"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/rueidis"

	"github.com/sessiontrack/sessiontrack"
)

// Activity returns a store that keeps activity in Redis, and everything else in durable:
// touches, presence, counts and lists of who is online come from Redis; sign-ins, ends,
// fences, limits, the feed, samples and history from durable, exactly as without Redis.
//
// The store has every optional capability that durable has, and besides
// [sessiontrack.OnlineReader], [sessiontrack.Counter], [sessiontrack.Leaser],
// [sessiontrack.Pooled] and [sessiontrack.Checker]. A Tracker finds them in what Activity
// returns.
//
// All that is in Redis may be lost at any time. The durable store's activity lags behind by
// at most [ActivityOptions].Follow; what is lost counts as activity of up to that much
// later, so that a loss ends no session early. Presence comes back from the durable store,
// and is exact again when a user's next touch arrives.
//
// While Redis is away sign-ins, ends, reads and the feed go on. Touches answer
// [sessiontrack.ErrUnavailable] and are repeated by the Tracker; the durable store still gets
// one in each Follow. Counts and lists of who is online answer ErrUnavailable.
//
// The caller closes client after [sessiontrack.Tracker.Shutdown]. durable must be used
// through Activity by every replica.
func Activity(
	durable sessiontrack.Store, client rueidis.Client, opts *ActivityOptions,
) (sessiontrack.Store, error) {
	if durable == nil {
		return nil, errors.New("redisstore: Activity: durable is nil")
	}
	if client == nil {
		return nil, errors.New("redisstore: Activity: client is nil")
	}
	o, err := opts.defaulted()
	if err != nil {
		return nil, err
	}
	a := &activity{
		durable: durable, client: client, ring: ring{o.Prefix, o.Buckets},
		follow: o.Follow.Microseconds(), timeout: o.Timeout, log: o.Logger,
		clock: newClock(), owners: newOwners(o.Owners), seeding: make(chan struct{}, 1),
	}
	a.changes, _ = durable.(sessiontrack.ChangeFeed)
	a.counter, _ = durable.(sessiontrack.Counter)
	a.leaser, _ = durable.(sessiontrack.Leaser)
	return composed(a), nil
}

// activity is the part of the store that every durable store gets.
type activity struct {
	durable sessiontrack.Store
	changes sessiontrack.ChangeFeed // nil where durable is none, as are the next two
	counter sessiontrack.Counter
	leaser  sessiontrack.Leaser

	client  rueidis.Client
	ring    ring
	follow  int64 // microseconds
	timeout time.Duration
	log     *slog.Logger

	clock  *clock
	owners *owners

	away  atomic.Int64 // local time until which Redis is not asked; 0: it answers
	since atomic.Int64 // the latest time at which a bucket began without its data; 0: none
	whole atomic.Bool  // the buckets are known to have been seeded

	bringing atomic.Bool   // presence is being brought back by this process
	settled  atomic.Int64  // local time of the latest settle; 0: none
	seeding  chan struct{} // taken by the seeding in progress

	mu   sync.Mutex
	owed []sessiontrack.Session // ended sessions that Redis has not been told of
}

// The scripts of lua.
var (
	touchScript     = load("touch")
	enterScript     = load("enter")
	leaveScript     = load("leave")
	offlineScript   = load("offline")
	unwrittenScript = load("unwritten")
	writtenScript   = load("written")
	usersScript     = load("users")
	countScript     = load("count")
	presenceScript  = load("presence")
	seedScript      = load("seed")
	leaseScript     = load("lease")
)

// awayFor is how long Redis is not asked after it has failed to answer.
const awayFor = time.Second

// maxArgs bounds the sessions or users in one run of a script: nobody else is served
// meanwhile.
const maxArgs = 500

var (
	// errLost says that a bucket's data are not there.
	errLost = errors.New("redis has lost its data")
	// errAway refuses to ask a Redis that did not answer a moment ago.
	errAway = errors.New("redis did not answer a moment ago")
)

// unavailable says that the store could not carry out a call.
func unavailable(verb string, cause error) error {
	return fmt.Errorf("redisstore: %s: %w: %w", verb, sessiontrack.ErrUnavailable, cause)
}

// ask runs a script in several buckets. Where one of them fails, the error is the first.
func (a *activity) ask(ctx context.Context, s script, calls []call) ([]rueidis.RedisMessage, error) {
	if len(calls) == 0 {
		return nil, nil
	}
	if until := a.away.Load(); until != 0 && a.clock.local() < until {
		return nil, errAway
	}
	bounded, cancel := context.WithTimeout(ctx, a.timeout)
	defer cancel()
	return a.answers(ctx, s.run(bounded, a.client, calls))
}

// answers returns the answers of Redis, or the first error among them.
func (a *activity) answers(ctx context.Context, results []rueidis.RedisResult) ([]rueidis.RedisMessage, error) {
	answers := make([]rueidis.RedisMessage, len(results))
	for i, r := range results {
		m, err := r.ToMessage()
		if rueidis.IsRedisNil(err) {
			return nil, errLost
		}
		if err != nil {
			if ctx.Err() == nil {
				a.lose(err)
			}
			return nil, err
		}
		answers[i] = m
	}
	if a.away.Swap(0) != 0 {
		a.log.LogAttrs(ctx, slog.LevelInfo, "redisstore: redis answers again")
	}
	return answers, nil
}

// lose notes that Redis did not answer.
func (a *activity) lose(err error) {
	if a.away.Swap(a.clock.local()+awayFor.Microseconds()) == 0 {
		a.log.LogAttrs(context.Background(), slog.LevelWarn,
			"redisstore: redis does not answer; sessions go on, presence stands still", slog.Any("error", err))
	}
}

// everywhere makes one call for each bucket.
func (a *activity) everywhere(args []string, names ...string) []call {
	calls := make([]call, a.ring.buckets)
	for b := range calls {
		calls[b] = call{a.ring.keys(b, names...), args}
	}
	return calls
}

// member is how a session is written in Redis.
func member(id sessiontrack.SessionID, user string) string { return string(id) + user }

// handleLength is the length of a handle.
const handleLength = 22

// handleOf returns the handle in a member.
func handleOf(member string) sessiontrack.SessionID {
	return sessiontrack.SessionID(member[:min(handleLength, len(member))])
}

// cell returns where the stretch of time begins in which the durable store gets the first
// touch of a session. Stretches have the length of Follow. They begin at different times
// for different sessions, so that the durable store's work is even.
func (a *activity) cell(id sessiontrack.SessionID, at int64) int64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(id))
	phase := int64(h.Sum64() % uint64(a.follow))
	return at - (at+phase)%a.follow
}

// assumed is the latest activity that a session can have had of which the durable store
// knows nothing: the next touch after it would have been written there.
func (a *activity) assumed(id sessiontrack.SessionID, durable int64) int64 {
	return max(durable, min(a.cell(id, durable)+a.follow, a.clock.now()))
}

func micros(us int64) string { return strconv.FormatInt(us, 10) }

// learnTime asks the durable store for its time where no answer has told it yet.
func (a *activity) learnTime(ctx context.Context) error {
	if a.clock.learnt.Load() {
		return nil
	}
	_, err := a.list(ctx, sessiontrack.Query{Limit: 1})
	return err
}

// list asks the durable store for a page, and learns the time from it.
func (a *activity) list(ctx context.Context, q sessiontrack.Query) (sessiontrack.Page, error) {
	before := a.clock.local()
	page, err := a.durable.List(ctx, q)
	if err == nil {
		a.clock.learn(page.Now, before)
	}
	return page, err
}
