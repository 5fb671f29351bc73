package sessiontrack

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// reader collects a subscription's events in the background.
type reader struct {
	*Subscription
	events chan Event
	done   chan error
}

func (f *fixture) watch(t *testing.T, w SubscribeOptions) *reader {
	t.Helper()
	sub, err := f.Subscribe(t.Context(), w)
	require.NoError(t, err)
	r := &reader{sub, make(chan Event, 100_000), make(chan error, 1)}
	go func() {
		for {
			e, err := sub.Next(context.Background())
			if err != nil {
				r.done <- err
				return
			}
			r.events <- e
		}
	}()
	return r
}

// taken returns what has come so far, as "type user".
func (r *reader) taken() (told []string) {
	synctest.Wait()
	for len(r.events) > 0 {
		e := <-r.events
		switch name := string(e.Type); e.Type {
		case EventStats:
		case EventSnapshot:
			told = append(told, name+" "+string(e.Reason))
		default:
			told = append(told, name+" "+e.user())
		}
	}
	return told
}

// within returns what comes in d of virtual time.
func (r *reader) within(d time.Duration) []string {
	time.Sleep(d)
	return r.taken()
}

// replicas are two started trackers over one store.
func replicas(t *testing.T, store *faultStore, o *Options) (a, b *fixture) {
	t.Helper()
	a, b = replica(t, store, o).started(t), replica(t, store, o).started(t)
	return a, b
}

func shutDown(t *testing.T, all ...*fixture) {
	t.Helper()
	for _, f := range all {
		require.NoError(t, f.Shutdown(t.Context()))
	}
}

// TestEventsReachTheOtherReplica walks through a user's day.
func TestEventsReachTheOtherReplica(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a, b := replicas(t, newFaultStore(), nil)
		_, early := a.login(t, "7")
		time.Sleep(3 * time.Second)
		here, there := a.watch(t, SubscribeOptions{}), b.watch(t, SubscribeOptions{})
		both := func(d time.Duration, want ...string) {
			t.Helper()
			assert.Equal(t, want, here.within(d), "where it happens")
			assert.Equal(t, want, there.taken(), "at the other replica")
		}
		both(2*time.Second, "snapshot start")

		first, token := a.login(t, "42")
		both(2*time.Second, "login 42", "online 42")
		second, _ := a.login(t, "42")
		both(2*time.Second, "login 42")
		_, err := b.End(t.Context(), IDs(first.ID), Ending{Reason: ReasonUser})
		require.NoError(t, err)
		both(2*time.Second, "logout 42")
		both(15 * time.Second) // one session is left
		_, err = b.End(t.Context(), IDs(second.ID), Ending{Reason: ReasonUser})
		require.NoError(t, err)
		both(2*time.Second, "logout 42")
		both(7 * time.Second) // the grace
		both(4*time.Second, "offline 42")
		require.Equal(t, 401, a.get(token).Code)
		both(30 * time.Second)

		_, err = a.End(t.Context(), User("7"), Ending{Reason: ReasonAdmin})
		require.NoError(t, err)
		_, _ = a.login(t, "7")
		both(30*time.Second, "logout 7", "login 7") // back within the grace
		require.Equal(t, 401, a.get(early).Code)
		shutDown(t, a, b)
		require.ErrorIs(t, <-here.done, errShutDown)
		require.ErrorIs(t, <-there.done, ErrSubscriptionClosed)
	})
}

// TestOnlineFollowsPresence: a user goes offline by silence alone and comes back with
// a request, wherever that is made.
func TestOnlineFollowsPresence(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a, b := replicas(t, newFaultStore(), nil)
		_, token := a.login(t, "42")
		there := b.watch(t, SubscribeOptions{})
		require.Equal(t, []string{"snapshot start"}, there.within(14 * time.Minute)[:1])
		require.Equal(t, []string{"offline 42"}, there.within(2*time.Minute))
		require.Empty(t, there.within(time.Hour))
		require.Equal(t, 200, a.get(token).Code)
		require.Equal(t, []string{"online 42"}, there.within(10*time.Second))
		for range 100 { // hidden tab, moving train
			require.Equal(t, 200, b.get(token).Code)
			require.Empty(t, there.within(14*time.Minute))
		}
		shutDown(t, a, b)
	})
}

func TestWatchNarrows(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, nil).started(t)
		one := f.watch(t, SubscribeOptions{Users: []string{"2"}})
		none := f.watch(t, SubscribeOptions{Users: []string{}})
		online := f.watch(t, SubscribeOptions{Types: []EventType{EventOnline, EventOffline}})
		time.Sleep(time.Second)
		for user := range 4 {
			f.login(t, fmt.Sprint(user))
		}
		assert.Equal(t, []string{"snapshot start", "login 2", "online 2"}, one.within(3*time.Second))
		assert.Equal(t, []string{"snapshot start"}, none.taken())
		assert.Equal(t, []string{"snapshot start", "online 0", "online 1", "online 2", "online 3"}, online.taken())
		shutDown(t, f)
	})
}

func TestResumeGoesOnOrSaysThatThereIsAGap(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f, other := replicas(t, newFaultStore(), nil)
		f.login(t, "0")
		time.Sleep(5 * time.Second)
		first := f.watch(t, SubscribeOptions{Types: []EventType{EventLogin}})
		synctest.Wait()
		last := <-first.events
		first.Close()
		time.Sleep(time.Second)
		f.login(t, "1")
		time.Sleep(2 * time.Second) // nobody is reading

		second := f.watch(t, SubscribeOptions{Types: []EventType{EventLogin}, After: last.ID})
		require.Equal(t, []string{"login 1"}, second.taken(), "nothing is lost, and no snapshot comes")
		for _, after := range []string{"x", f.events.hub.epoch, f.events.hub.id(1 << 40), f.events.hub.id(1<<64 - 1), last.ID + "0", f.events.hub.epoch + ".+1"} {
			gap := f.watch(t, SubscribeOptions{After: after})
			require.Equal(t, []string{"snapshot gap"}, gap.taken(), after)
			gap.Close()
		}
		elsewhere := other.watch(t, SubscribeOptions{After: last.ID})
		require.Equal(t, []string{"snapshot gap"}, elsewhere.taken())
		second.Close()
		time.Sleep(2 * lingerFor)
		late := f.watch(t, SubscribeOptions{After: last.ID})
		require.Equal(t, []string{"snapshot gap"}, late.within(time.Second))
		f.login(t, "2")
		require.Equal(t, []string{"login 2", "online 2"}, late.within(2*time.Second))
		shutDown(t, f, other)
	})
}

func TestReaderThatLagsGetsASnapshot(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, nil).started(t)
		sub, err := f.Subscribe(t.Context(), SubscribeOptions{})
		require.NoError(t, err)
		e, err := sub.Next(t.Context())
		require.NoError(t, err)
		require.Equal(t, SnapshotStart, e.Reason)
		synctest.Wait()
		events := make([]Event, logSize+1)
		for i := range events {
			events[i] = Event{Type: EventOnline, User: OnlineUser{UserID: fmt.Sprint(i)}}
		}
		f.events.hub.publish(events, nil)
		began := time.Now()
		e, err = sub.Next(t.Context())
		require.NoError(t, err)
		require.Equal(t, SnapshotLagged, e.Reason)
		require.Equal(t, time.Second, time.Since(began), "at most one a second")
		require.Equal(t, f.events.hub.id(f.events.hub.next.Load()-1), e.ID)
		f.events.hub.publish(events[:logSize], nil)
		for i := range logSize {
			e, err = sub.Next(t.Context())
			require.NoError(t, err)
			require.Equal(t, fmt.Sprint(i), e.user(), "as far as the log goes back nothing is missed")
		}
		shutDown(t, f)
	})
}

func TestReadersThatStallAreClosed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, nil).started(t)
		good := f.watch(t, SubscribeOptions{})
		stalled, err := f.Subscribe(t.Context(), SubscribeOptions{})
		require.NoError(t, err)
		f.login(t, "42")
		time.Sleep(10 * time.Second)
		_, err = stalled.Next(t.Context())
		require.ErrorIs(t, err, errStalled)
		require.Equal(t, int64(1), f.Counters()["event.readers_stalled"])

		busy, err := f.Subscribe(t.Context(), SubscribeOptions{Types: []EventType{EventLogin}})
		require.NoError(t, err)
		_, err = busy.Next(t.Context())
		require.NoError(t, err)
		time.Sleep(12 * time.Second) // figures may have come; nothing else has
		shutDown(t, f)
		require.ErrorIs(t, <-good.done, errShutDown)
	})
}

func TestSubscribeRefusesUnknownTypes(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil).started(t)
	_, err := f.Subscribe(t.Context(), SubscribeOptions{Types: []EventType{EventLogin, "signin"}})
	require.ErrorContains(t, err, `SubscribeOptions.Types has "signin": want of ["login"`)
	require.NotErrorIs(t, err, ErrUnavailable, "trying again is of no use")
	sub, err := f.Subscribe(t.Context(), SubscribeOptions{Types: eventTypes[:]})
	require.NoError(t, err)
	sub.Close()
}

func TestSubscribersAreBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, &Options{MaxSubscribers: 2})
		_, err := f.Subscribe(t.Context(), SubscribeOptions{})
		require.ErrorIs(t, err, ErrUnavailable, "not started")
		f.started(t)
		ctx, cancel := context.WithCancel(t.Context())
		one, err := f.Subscribe(ctx, SubscribeOptions{})
		require.NoError(t, err)
		_, err = f.Subscribe(t.Context(), SubscribeOptions{})
		require.NoError(t, err)
		_, err = f.Subscribe(t.Context(), SubscribeOptions{})
		require.ErrorIs(t, err, errTooMany)
		cancel()
		synctest.Wait()
		_, err = one.Next(t.Context())
		require.ErrorIs(t, err, ErrSubscriptionClosed)
		three, err := f.Subscribe(t.Context(), SubscribeOptions{})
		require.NoError(t, err)
		three.Close()
		three.Close()
		shutDown(t, f)
		_, err = f.Subscribe(t.Context(), SubscribeOptions{})
		require.ErrorIs(t, err, ErrUnavailable)
		require.NoError(t, f.Start(t.Context()), "and again")
		again := f.watch(t, SubscribeOptions{})
		require.Equal(t, []string{"snapshot start"}, again.taken())
		shutDown(t, f)
	})
}

// TestChurnIsBounded: a storm of logins costs each reader no more than the budget, and
// a snapshot says that more has happened.
func TestChurnIsBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, nil).started(t)
		r := f.watch(t, SubscribeOptions{Types: []EventType{EventLogin, EventLogout, EventOnline, EventOffline}})
		require.Len(t, r.within(2*time.Second), 1)
		for i := range 5 * eventBudget {
			f.login(t, fmt.Sprint(i))
		}
		told := r.within(3 * time.Second)
		require.LessOrEqual(t, len(told), 5*eventBudget)
		require.Contains(t, told, "snapshot gap")
		require.Positive(t, f.Counters()["event.dropped"])
		r.within(20 * time.Second)
		f.login(t, "late")
		require.Equal(t, []string{"login late", "online late"}, r.within(2*time.Second))
		shutDown(t, f)
	})
}

// TestEventsOverAPlainStore: without a feed, a process tells of its own sessions.
func TestEventsOverAPlainStore(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		tracker, err := New(plainStore{NewMemoryStore()}, nil)
		require.NoError(t, err)
		f := &fixture{Tracker: tracker}
		f.started(t)
		f.login(t, "1")
		r := f.watch(t, SubscribeOptions{})
		require.Equal(t, []string{"snapshot start"}, r.within(2 * time.Second)[:1])
		s, _ := f.login(t, "42")
		require.Equal(t, []string{"login 42", "online 42"}, r.within(2*time.Second))
		_, err = f.End(t.Context(), IDs(s.ID), Ending{Reason: ReasonUser})
		require.NoError(t, err)
		require.Equal(t, []string{"logout 42", "offline 42"}, r.within(13*time.Second))
		require.Equal(t, []string{"offline 1"}, r.within(16*time.Minute))
		shutDown(t, f)
	})
}

// TestEventsSurviveAnOutage: what happened elsewhere while this process could not
// reach the store is told when it can.
func TestEventsSurviveAnOutage(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := newFaultStore()
		a := replica(t, store, nil).started(t)
		r := a.watch(t, SubscribeOptions{})
		require.Equal(t, []string{"snapshot start"}, r.within(2*time.Second))
		store.down.Store(true)
		time.Sleep(20 * time.Second)
		other := &fixture{Tracker: mustTracker(t, store.MemoryStore)}
		s, _ := other.login(t, "42")
		_, err := other.End(t.Context(), IDs(s.ID), Ending{Reason: ReasonUser})
		require.NoError(t, err)
		require.Empty(t, r.within(20*time.Second))
		store.down.Store(false)
		require.Equal(t, []string{"login 42", "logout 42"}, r.within(3*time.Second))
		shutDown(t, a)
	})
}
