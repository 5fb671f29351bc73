package redisstore

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/redis/rueidis"

	"github.com/sessiontrack/sessiontrack"
)

const (
	// seedFor bounds the work of bringing presence back. It goes on when the call that has
	// begun it ends.
	seedFor = 10 * time.Minute
	// seedLease is how long another process leaves the work to the one that has begun it.
	seedLease = 15 * time.Second
	// seedPage is how many users one question to the durable store brings.
	seedPage = 10_000
	// seedWait is how often a process asks whether another one is done.
	seedWait = 20 * time.Millisecond
)

// errBringing says that presence is not whole yet.
var errBringing = errors.New("presence is being brought back")

// number parses a time that a script has written.
func number(text string) int64 {
	n, _ := strconv.ParseInt(text, 10, 64)
	return n
}

// seed brings presence back where buckets have none, or waits for the process that does.
// The caller holds a.seeding.
func (a *activity) seed(ctx context.Context) error {
	for {
		empty, err := a.emptyBuckets(ctx)
		if err != nil || len(empty) == 0 {
			return err
		}
		mine, err := a.leaseRedis(ctx, "seed", seedLease)
		if err != nil {
			return err
		}
		if mine {
			return a.seedBuckets(ctx, empty)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", errBringing, ctx.Err())
		case <-time.After(seedWait):
		}
	}
}

// emptyBuckets returns the buckets that have not been seeded.
func (a *activity) emptyBuckets(ctx context.Context) ([]int, error) {
	commands := make(rueidis.Commands, a.ring.buckets)
	for b := range commands {
		commands[b] = a.client.B().Hmget().Key(a.ring.key(b, "state")).Field("whole", "since").Build()
	}
	answers, err := a.do(ctx, commands)
	if err != nil {
		return nil, err
	}
	var empty []int
	for b, answer := range answers {
		fields, err := answer.AsStrSlice()
		if err != nil {
			return nil, err
		}
		if fields[0] == "" {
			empty = append(empty, b)
			continue
		}
		a.learnSince(fields[1])
	}
	return empty, nil
}

// do is ask for plain commands.
func (a *activity) do(ctx context.Context, commands rueidis.Commands) ([]rueidis.RedisMessage, error) {
	if until := a.away.Load(); until != 0 && a.clock.local() < until {
		return nil, errAway
	}
	bounded, cancel := context.WithTimeout(ctx, a.timeout)
	defer cancel()
	return a.answers(ctx, a.client.DoMulti(bounded, commands...))
}

// seedBuckets seeds buckets in the background, and waits for it until ctx is done.
func (a *activity) seedBuckets(ctx context.Context, empty []int) error {
	done := make(chan error, 1)
	a.bringing.Store(true)
	go func() {
		defer a.bringing.Store(false)
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), seedFor)
		defer cancel()
		done <- a.seedNow(ctx, empty)
	}()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return fmt.Errorf("%w: %w", errBringing, ctx.Err())
	}
}

// seedNow copies the presence of the durable store. Redis has lost activity if there are
// users: then the buckets note since when they have theirs.
func (a *activity) seedNow(ctx context.Context, empty []int) error {
	mine := make(map[int]bool, len(empty))
	for _, b := range empty {
		mine[b] = true
	}
	began := false
	begin := func(some bool) error {
		since := int64(0)
		if some {
			since = a.clock.now()
		}
		began = true
		return a.mark(ctx, empty, "since", since)
	}
	err := a.presentUsers(ctx, func(users []sessiontrack.OnlineUser) error {
		if !began {
			if err := begin(true); err != nil {
				return err
			}
		}
		return a.seedUsers(ctx, mine, users)
	})
	if err == nil && !began {
		err = begin(false)
	}
	if err == nil {
		err = a.mark(ctx, empty, "whole", 1)
	}
	return err
}

// mark sets a field of the state of buckets where it is not set.
func (a *activity) mark(ctx context.Context, buckets []int, field string, value int64) error {
	commands := make(rueidis.Commands, len(buckets))
	for i, b := range buckets {
		commands[i] = a.client.B().Hsetnx().Key(a.ring.key(b, "state")).Field(field).Value(micros(value)).Build()
	}
	if field == "since" {
		a.learnSince(micros(value))
	}
	_, err := a.do(ctx, commands)
	return err
}

// presentUsers reads the durable store's presence by pages.
func (a *activity) presentUsers(ctx context.Context, take func([]sessiontrack.OnlineUser) error) error {
	if a.changes == nil {
		return a.listedUsers(ctx, take)
	}
	q := sessiontrack.ChangeQuery{Seen: timeOf(0), Limit: seedPage}
	for {
		c, err := a.changes.ChangesSince(ctx, q)
		if err != nil || len(c.Seen) == 0 {
			return err
		}
		if err := take(c.Seen); err != nil || len(c.Seen) < seedPage {
			return err
		}
		last := c.Seen[len(c.Seen)-1]
		q.Before = sessiontrack.Cursor{At: last.LastActivity, UserID: last.UserID}
	}
}

// listedUsers is presentUsers by the sessions of a store that is no ChangeFeed.
func (a *activity) listedUsers(ctx context.Context, take func([]sessiontrack.OnlineUser) error) error {
	q := sessiontrack.Query{Live: true, Limit: 100}
	for {
		page, err := a.list(ctx, q)
		if err != nil || len(page.Sessions) == 0 {
			return err
		}
		users := make([]sessiontrack.OnlineUser, len(page.Sessions))
		for i, s := range page.Sessions {
			users[i] = sessiontrack.OnlineUser{UserID: s.UserID, LastActivity: s.LastActivity}
			if s.ActedBy != "" {
				users[i].LastActivity = timeOf(1)
			}
		}
		if err := take(users); err != nil || page.Next.IsZero() {
			return err
		}
		q.After = page.Next
	}
}

// seedUsers writes the presence of users of some buckets, and keeps the lease.
func (a *activity) seedUsers(ctx context.Context, mine map[int]bool, users []sessiontrack.OnlineUser) error {
	if _, err := a.leaseRedis(ctx, "seed", 0); err != nil {
		return err
	}
	pairs := make(map[int][]string)
	for _, u := range users {
		if b := a.ring.of(u.UserID); mine[b] {
			pairs[b] = append(pairs[b], u.UserID, micros(u.LastActivity.UnixMicro()))
		}
	}
	var calls []call
	for b, args := range pairs {
		for len(args) > 0 {
			part := args[:min(len(args), 2*maxArgs)]
			args = args[len(part):]
			calls = append(calls, call{a.ring.keys(b, "on", "off"), part})
		}
	}
	_, err := a.ask(ctx, seedScript, calls)
	return err
}

// Lease implements [sessiontrack.Leaser]: the durable store's, where it has leases.
func (a *activity) Lease(ctx context.Context, job string, d time.Duration) (bool, error) {
	if a.leaser != nil {
		return a.leaser.Lease(ctx, job, d)
	}
	if job == "" {
		return false, fmt.Errorf("redisstore: lease: %w: job is empty: want a name", sessiontrack.ErrInvalidArgument)
	}
	if err := ctx.Err(); err != nil {
		return false, unavailable("lease", err)
	}
	mine, err := a.leaseRedis(ctx, "host:"+job, d)
	if err != nil {
		return false, unavailable("lease", err)
	}
	return mine, nil
}

// leaseRedis gives a lease that is lost with Redis.
func (a *activity) leaseRedis(ctx context.Context, job string, d time.Duration) (bool, error) {
	args := []string{job, micros(d.Microseconds())}
	answers, err := a.ask(ctx, leaseScript, []call{{a.ring.keys(0, "leases"), args}})
	if err != nil {
		return false, err
	}
	if len(answers) != 1 {
		return false, errors.New("redis did not answer")
	}
	n, err := answers[0].AsInt64()
	return n == 1, err
}
