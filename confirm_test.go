package sessiontrack

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// deafStore is a store whose feed never tells of an end: a COMMIT that came late, an UPDATE of the
// host's own with an old stamp, a DELETE.
type deafStore struct{ *faultStore }

func (s deafStore) EndedSince(ctx context.Context, since time.Time, limit int) (EndedPage, error) {
	page, err := s.faultStore.EndedSince(ctx, since, limit)
	page.Ended = nil
	return page, err
}

func (s deafStore) ChangesSince(ctx context.Context, q ChangeQuery) (Changes, error) {
	changes, err := s.faultStore.ChangesSince(ctx, q)
	changes.Ended = nil
	return changes, err
}

// deaf returns a started Tracker over a deafStore.
func deaf(t *testing.T, o *Options) *fixture {
	t.Helper()
	store := newFaultStore()
	tracker, err := New(deafStore{store}, o)
	require.NoError(t, err)
	f := &fixture{Tracker: tracker, store: store}
	f.handler = tracker.Middleware(f.echo())
	return f.started(t)
}

// endBehind ends or deletes a session behind the Tracker's back.
func (f *fixture) endBehind(t *testing.T, id SessionID, deleted bool) {
	t.Helper()
	_, err := f.store.End(t.Context(), IDs(id), Ending{Reason: ReasonAdmin})
	require.NoError(t, err)
	if deleted {
		n, err := f.store.Purge(t.Context(), PurgeOptions{Limit: 10})
		require.NoError(t, err)
		require.Equal(t, 1, n)
	}
}

// TestWhatTheFeedMissesIsFound is I31: an end of which the feed says nothing is found within a
// minute, whatever the session is used for.
func TestWhatTheFeedMissesIsFound(t *testing.T) {
	t.Parallel()
	passive := func(r *http.Request) bool { return r.URL.Path == "/" }
	for name, o := range map[string]*Options{
		"by the flush":   {Passive: passive},
		"by the reading": {Passive: passive, TouchInterval: 2 * time.Minute},
	} {
		for what, deleted := range map[string]bool{"ended": false, "deleted": true} {
			t.Run(name+", "+what, func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					f := deaf(t, o)
					polled, token := f.login(t, "42")
					kept, _ := f.login(t, "42")
					watched, watcher := f.login(t, "42")
					held, release := f.Hold(t.Context(), kept.ID)
					defer release()
					over := make(chan time.Time, 1)
					stream := httptest.NewRecorder()
					go func() {
						r := request("GET", "/api/v1/online/events", "Accept", "text/event-stream", headerName, watcher.Reveal())
						f.UserHandler(nil).ServeHTTP(stream, r.WithContext(t.Context()))
						over <- time.Now()
					}()
					poll := func() int { return f.get(token).Code }
					for range 30 { // all are in use for ten minutes
						time.Sleep(20 * time.Second)
						require.Equal(t, 200, poll())
					}
					synctest.Wait()
					require.NoError(t, held.Err())
					began := time.Now()
					for _, s := range []Session{polled, kept, watched} {
						f.endBehind(t, s.ID, deleted)
					}
					for poll() == 200 {
						require.Less(t, time.Since(began), time.Minute)
						time.Sleep(time.Second)
					}
					_, why := requireOver(t, held, time.Minute)
					assert.Less(t, time.Since(began), time.Minute)
					closed := <-over
					assert.Less(t, closed.Sub(began), time.Minute)
					if deleted {
						require.ErrorIs(t, why, ErrNotFound)
						assert.Contains(t, stream.Body.String(), "event: ended\ndata: {\"reason\":null}\n\n")
						assert.Contains(t, f.get(token).Body.String(), "session_invalid")
					} else {
						requireReason(t, ReasonAdmin, why)
						assert.Contains(t, stream.Body.String(), "event: ended\ndata: {\"reason\":\"admin\"}\n\n")
						assert.Contains(t, f.get(token).Body.String(), `"reason":"admin"`)
					}
					require.NoError(t, f.Shutdown(t.Context()))
				})
			})
		}
	}
}

// TestOnlyWhatIsUsedIsConfirmed: cached sessions that nobody uses cost no reading, and those that
// are used share statements.
func TestOnlyWhatIsUsedIsConfirmed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const cached, used = 5000, 2500
		f := deaf(t, &Options{
			TouchInterval: 2 * time.Minute, Passive: func(*http.Request) bool { return true }, CacheSize: 4 * cached,
		})
		tokens := make([]Token, cached)
		for i := range tokens {
			_, tokens[i] = f.login(t, "42")
		}
		gets := f.store.gets.Load()
		for range 5 {
			time.Sleep(time.Minute)
			for _, token := range tokens[:used] {
				require.Equal(t, 200, f.get(token).Code)
			}
		}
		time.Sleep(time.Minute)
		assert.Equal(t, gets, f.store.gets.Load(), "no request reads")
		assert.Positive(t, f.store.reads.Load())
		assert.LessOrEqual(t, f.store.reads.Load(), int64(5*3), "five times 2,500 sessions, a thousand in a statement")
		require.NoError(t, f.Shutdown(t.Context()))
	})
}

// TestLateReadingsAreNotWaitedFor: where the readings of many do not come through, a request reads
// its own session.
func TestLateReadingsAreNotWaitedFor(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := newFaultStore()
		tracker, err := New(unreadable{deafStore{store}}, &Options{TouchInterval: 2 * time.Minute,
			Passive: func(*http.Request) bool { return true }})
		require.NoError(t, err)
		f := &fixture{Tracker: tracker, store: store}
		f.handler = tracker.Middleware(f.echo())
		f.started(t)
		s, token := f.login(t, "42")
		kept, _ := f.login(t, "42")
		ctx, release := f.Hold(t.Context(), kept.ID)
		defer release()
		time.Sleep(time.Minute)
		require.Equal(t, 200, f.get(token).Code, "the reading is asked for")
		f.endBehind(t, s.ID, false)
		time.Sleep(10 * time.Second)
		require.Equal(t, 200, f.get(token).Code, "it has not come")
		time.Sleep(30 * time.Second)
		require.Equal(t, 401, f.get(token).Code)
		_, why := requireOver(t, ctx, time.Minute)
		require.ErrorIs(t, why, ErrUnavailable, "nothing is known of the held one")
		require.Error(t, f.Shutdown(t.Context()), "touches are left")
	})
}

// unreadable is a store that reads only one session at a time, and takes no touches.
type unreadable struct{ deafStore }

func (unreadable) Touch(context.Context, []TouchRecord, time.Duration) ([]SessionID, error) {
	return nil, ErrUnavailable
}

func (unreadable) Read(context.Context, []SessionID) ([]Record, error) { return nil, ErrUnavailable }

// TestRowsChangedByTheHostAreNoticed is I31 on PostgreSQL: the host's own SQL ends a session with a
// stamp of long ago, deletes one and truncates the table. No feed tells of any of it.
func TestRowsChangedByTheHostAreNoticed(t *testing.T) {
	t.Parallel()
	store := newBunStore(t)
	tracker, err := New(store, &Options{
		TouchInterval: time.Second, FlushInterval: 200 * time.Millisecond, PresenceStep: -1, StoreTimeout: busyMachine,
		Passive: func(*http.Request) bool { return true },
	})
	require.NoError(t, err)
	f := &fixture{Tracker: tracker}
	f.handler = tracker.Middleware(f.echo())
	f.started(t)
	for name, test := range map[string]struct {
		statement string
		cause     error
		reason    string
	}{
		"an old stamp": {`UPDATE user_sessions SET login_at = now() - interval '2 hours', end_reason = 'host',
			logout_at = now() - interval '1 hour' WHERE session_id = ?`, ErrEnded, `"reason":"host"`},
		"a deletion":  {`DELETE FROM user_sessions WHERE session_id = ?`, ErrNotFound, "session_invalid"},
		"all of them": {`TRUNCATE user_sessions -- ?`, ErrNotFound, "session_invalid"},
	} {
		session, token := f.login(t, "42")
		require.Equal(t, 200, f.get(token).Code)
		held, release := f.Hold(t.Context(), session.ID)
		_, err := store.db.ExecContext(t.Context(), test.statement, string(session.ID))
		require.NoError(t, err, name)
		began := time.Now()
		require.Eventually(t, func() bool { return f.get(token).Code == 401 }, patience, 50*time.Millisecond, name)
		assert.Contains(t, f.get(token).Body.String(), test.reason, name)
		select {
		case <-held.Done():
			require.ErrorIs(t, context.Cause(held), test.cause, name)
		case <-time.After(patience):
			require.Fail(t, "the held session has not ended", name)
		}
		t.Logf("%s: noticed within %v", name, time.Since(began))
		release()
	}
}
