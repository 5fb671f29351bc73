package storetest

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sessiontrack/sessiontrack"
)

// tb is the part of *testing.T that a case needs. It is an interface so that the suite can be
// tested itself: a broken store must fail.
type tb interface {
	require.TestingT
	Helper()
	Skipf(format string, args ...any)
	Context() context.Context
}

// check is one case on one store. Its methods fail the case if the store is wrong. Only the case's
// own goroutine may call them, unless their comment says otherwise.
type check struct {
	tb
	store sessiontrack.Store
}

// patience is how long a case waits for the store's clock.
const patience = 20 * time.Second

// capability returns the store as T, or skips the case.
func capability[T any](c *check) T {
	got, ok := c.store.(T)
	if !ok {
		c.Skipf("the store has no %s", strings.TrimPrefix(fmt.Sprintf("%T", new(T)), "*"))
	}
	return got
}

// newID mints a handle.
func newID() sessiontrack.SessionID {
	var raw [16]byte
	_, _ = rand.Read(raw[:]) // never fails
	return sessiontrack.SessionID(base64.RawURLEncoding.EncodeToString(raw[:]))
}

// change alters the session that create inserts.
type change func(n *sessiontrack.NewSession)

func newSession(user string, changes ...change) sessiontrack.NewSession {
	n := sessiontrack.NewSession{Session: sessiontrack.Session{ID: newID(), UserID: user}}
	_, _ = rand.Read(n.SecretHash[:])
	for _, f := range changes {
		f(&n)
	}
	return n
}

// derived makes the session a derived one, which has no secret. until may be zero.
func derived(until time.Time) change {
	return func(n *sessiontrack.NewSession) {
		n.Session.Derived, n.Session.CredentialUntil, n.SecretHash = true, until, [32]byte{}
	}
}

func lifetime(d time.Duration) change {
	return func(n *sessiontrack.NewSession) { n.Lifetime = d }
}

func limit(most int, policy sessiontrack.LimitPolicy) change {
	return func(n *sessiontrack.NewSession) { n.Limit, n.Policy = most, policy }
}

func replaces(id sessiontrack.SessionID) change {
	return func(n *sessiontrack.NewSession) { n.Replaces = id }
}

func (c *check) create(user string, changes ...change) sessiontrack.Session {
	c.Helper()
	return c.created(user, changes...).Session
}

func (c *check) created(user string, changes ...change) sessiontrack.CreateResult {
	c.Helper()
	created, err := c.store.Create(c.Context(), newSession(user, changes...))
	require.NoError(c, err, "Create")
	return created
}

// get returns a row that must exist.
func (c *check) get(id sessiontrack.SessionID) sessiontrack.Record {
	c.Helper()
	record, err := c.store.Get(c.Context(), id)
	require.NoError(c, err, "Get")
	return record
}

// gone asserts that no row has that handle.
func (c *check) gone(id sessiontrack.SessionID) {
	c.Helper()
	_, err := c.store.Get(c.Context(), id)
	require.ErrorIs(c, err, sessiontrack.ErrNotFound)
}

// alive asserts that a session exists, and whether it has ended.
func (c *check) alive(id sessiontrack.SessionID, want bool) {
	c.Helper()
	require.Equal(c, want, !c.get(id).Ended(), "whether the session is alive")
}

var byAdmin = sessiontrack.Ending{Reason: sessiontrack.ReasonAdmin, Actor: "admin-7"}

func (c *check) end(sel sessiontrack.Selector) sessiontrack.EndResult {
	c.Helper()
	return c.endAs(sel, byAdmin)
}

func (c *check) endAs(sel sessiontrack.Selector, e sessiontrack.Ending) sessiontrack.EndResult {
	c.Helper()
	ended, err := c.store.End(c.Context(), sel, e)
	require.NoError(c, err, "End")
	return ended
}

// touch records activity at a time. It moves presence in the smallest steps.
func (c *check) touch(at time.Time, ids ...sessiontrack.SessionID) []sessiontrack.SessionID {
	c.Helper()
	batch := make([]sessiontrack.TouchRecord, len(ids))
	for i, id := range ids {
		batch[i] = sessiontrack.TouchRecord{ID: id, At: at}
	}
	alive, err := c.store.Touch(c.Context(), batch, 0)
	require.NoError(c, err, "Touch")
	return alive
}

func (c *check) describe(facts ...sessiontrack.SessionUpdate) {
	c.Helper()
	require.NoError(c, c.store.Describe(c.Context(), facts), "Describe")
}

func (c *check) list(q sessiontrack.Query) sessiontrack.Page {
	c.Helper()
	if q.Limit == 0 {
		q.Limit = 100
	}
	page, err := c.store.List(c.Context(), q)
	require.NoError(c, err, "List")
	return page
}

// pages reads a list to its end in pages of n. It calls between, if not nil, after each page.
// Cursors go through their text form, as over HTTP.
func (c *check) pages(q sessiontrack.Query, n int, between func(page int)) (all []sessiontrack.Session) {
	c.Helper()
	q.Limit = n
	for i := range 1000 {
		page := c.list(q)
		require.LessOrEqual(c, len(page.Sessions), n, "rows of a page")
		all = append(all, page.Sessions...)
		if page.Next.IsZero() {
			return all
		}
		require.Len(c, page.Sessions, n, "a page that says it is not the last is full")
		next, err := sessiontrack.ParseCursor(page.Next.String())
		require.NoError(c, err, "a cursor survives its text form")
		q.After = next
		if between != nil {
			between(i)
		}
	}
	require.Fail(c, "the list has no end")
	return nil
}

// purge runs Purge until it is done and returns the number of changed rows.
func (c *check) purge(retention, keep time.Duration) (changed int) {
	c.Helper()
	for range 1000 {
		n, err := c.store.Purge(c.Context(), sessiontrack.PurgeOptions{Retention: retention, KeepEnded: keep, Limit: 10})
		require.NoError(c, err, "Purge")
		changed += n
		if n < 10 {
			return changed
		}
	}
	require.Fail(c, "Purge is never done")
	return changed
}

// now returns the store's time.
func (c *check) now() time.Time {
	c.Helper()
	return c.list(sessiontrack.Query{Limit: 1}).Now
}

// pass waits until the store's time is later than t.
func (c *check) pass(t time.Time) {
	c.Helper()
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(100 * time.Microsecond) {
		if c.now().After(t) {
			return
		}
	}
	require.Fail(c, "the store's clock does not move on")
}

// cancelled returns a context that has ended.
func (c *check) cancelled() context.Context {
	ctx, cancel := context.WithCancel(c.Context())
	cancel()
	return ctx
}

// unavailable asserts the error of a call that the store could not carry out.
func (c *check) unavailable(err error) {
	c.Helper()
	require.ErrorIs(c, err, sessiontrack.ErrUnavailable)
	require.NotErrorIs(c, err, sessiontrack.ErrNotFound, "a failure is not an absence")
	require.NotErrorIs(c, err, sessiontrack.ErrExists)
}

// together runs f n times concurrently, starts all calls at one barrier, and waits for them. f must
// not use the methods of check. It may assert.
func together(n int, f func(i int)) {
	var ready, done sync.WaitGroup
	start := make(chan struct{})
	for i := range n {
		ready.Add(1)
		done.Go(func() {
			ready.Done()
			<-start
			f(i)
		})
	}
	ready.Wait()
	close(start)
	done.Wait()
}

func ids(sessions []sessiontrack.Session) []sessiontrack.SessionID {
	out := make([]sessiontrack.SessionID, len(sessions))
	for i, s := range sessions {
		out[i] = s.ID
	}
	return out
}

// same asserts that two sessions are equal in every field.
func (c *check) same(want, got sessiontrack.Session, what string) {
	c.Helper()
	assert.Equal(c, want, got, what)
}

// whole asserts that a stamp is set, in UTC and in whole microseconds.
func (c *check) whole(t time.Time, what string) {
	c.Helper()
	assert.Equal(c, time.UTC, t.Location(), "%s is in UTC", what)
	assert.Zero(c, t.Nanosecond()%1000, "%s is in whole microseconds", what)
	assert.False(c, t.IsZero(), "%s is set", what)
}

// only is the prefix with one address.
func only(addr netip.Addr) netip.Prefix { return netip.PrefixFrom(addr, addr.BitLen()) }
