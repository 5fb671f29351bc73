package storetest

import (
	"errors"
	"sync"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sessiontrack/sessiontrack"
)

// issued makes the session a derived one whose credential was issued at that time.
func issued(at time.Time) change {
	return func(n *sessiontrack.NewSession) {
		derived(time.Time{})(n)
		n.IssuedAt = at
	}
}

// fencedFor asserts that err is the fence's refusal, with its reason.
func (c *check) fencedFor(err error, reason sessiontrack.EndReason, why string) {
	c.Helper()
	var ended *sessiontrack.EndedError
	require.ErrorAs(c, err, &ended, why)
	assert.Equal(c, reason, ended.Reason)
}

var fenceCases = []testCase{
	{"fence/refuses what was issued before and comes later",
		"a stolen token that has not been used yet must not outlive \"log out everywhere\"", func(c *check) {
			before := c.now().Add(-time.Minute)
			_, err := c.store.End(c.Context(), sessiontrack.User("user-1"),
				sessiontrack.Ending{Reason: sessiontrack.ReasonPassword})
			require.NoError(c, err)
			n := newSession("user-1", issued(before))
			_, err = c.store.Create(c.Context(), n)
			c.fencedFor(err, sessiontrack.ReasonPassword, "issued before the fence, with no session to end")
			_, err = c.store.Get(c.Context(), n.Session.ID)
			assert.ErrorIs(c, err, sessiontrack.ErrNotFound, "nothing is inserted")
			_, err = c.store.Create(c.Context(), newSession("user-1", issued(c.now().Truncate(time.Second).Add(-time.Second))))
			c.fencedFor(err, sessiontrack.ReasonPassword, "issued within the seconds before")
			_, err = c.store.Create(c.Context(), newSession("user-1", issued(time.Unix(0, 0))))
			c.fencedFor(err, sessiontrack.ReasonPassword, "a credential without iat counts as issued before everything")
		}},
	{"fence/accepts what was issued later", "a sign-in after \"log out everywhere\" must work (C10)", func(c *check) {
		ended, err := c.store.End(c.Context(), sessiontrack.User("user-1"),
			sessiontrack.Ending{Reason: sessiontrack.ReasonAdmin})
		require.NoError(c, err)
		same := ended.At.Truncate(time.Second)
		_, err = c.store.Create(c.Context(), newSession("user-1", issued(same)))
		c.fencedFor(err, sessiontrack.ReasonAdmin, "iat has whole seconds, so the fence's own second counts as before")
		_, err = c.store.Create(c.Context(), newSession("user-1", issued(same.Add(time.Second))))
		require.NoError(c, err, "the next second")
		_, err = c.store.Create(c.Context(), newSession("user-1"))
		require.NoError(c, err, "a sign-in without iat is not fenced")
		_, err = c.store.Create(c.Context(), newSession("user-2", issued(same)))
		require.NoError(c, err, "another user's credential")
	}},
	{"fence/is raised with exceptions too", "\"log out the others\" also covers credentials that were never used",
		func(c *check) {
			kept := c.create("user-1", issued(c.now().Add(-time.Minute)))
			_, err := c.store.End(c.Context(), sessiontrack.User("user-1").Except(kept.ID),
				sessiontrack.Ending{Reason: sessiontrack.ReasonUser})
			require.NoError(c, err)
			assert.False(c, c.get(kept.ID).Ended(), "a session that exists is judged by its own row")
			_, err = c.store.Create(c.Context(), newSession("user-1", issued(c.now().Add(-time.Minute))))
			c.fencedFor(err, sessiontrack.ReasonUser, "never used, and issued before")
		}},
	{"fence/is not raised by ids", "ending one session says nothing about the user's others", func(c *check) {
		one := c.create("user-1")
		_, err := c.store.End(c.Context(), sessiontrack.IDs(one.ID), sessiontrack.Ending{Reason: sessiontrack.ReasonUser})
		require.NoError(c, err)
		_, err = c.store.Create(c.Context(), newSession("user-1", issued(c.now().Add(-time.Minute))))
		require.NoError(c, err)
	}},
	{"fence/a known session comes before it",
		"two replicas that create one derived session at once must agree that it exists", func(c *check) {
			n := newSession("user-1", issued(c.now().Add(-time.Minute)))
			_, err := c.store.Create(c.Context(), n)
			require.NoError(c, err)
			_, err = c.store.End(c.Context(), sessiontrack.User("user-1"), sessiontrack.Ending{Reason: sessiontrack.ReasonUser})
			require.NoError(c, err)
			_, err = c.store.Create(c.Context(), n)
			assert.ErrorIs(c, err, sessiontrack.ErrExists)
		}},
	{"fence/holds against creations at the same time",
		"a creation that passes between the fence and the UPDATE survives \"log out everywhere\" (I16)", func(c *check) {
			for range 20 {
				old := c.now().Add(-time.Minute)
				user := string(newID())
				created := make([]sessiontrack.Session, 8)
				var group sync.WaitGroup
				start := make(chan struct{})
				for i := range created {
					group.Go(func() {
						<-start
						got, err := c.store.Create(c.Context(), newSession(user, issued(old)))
						if err == nil {
							created[i] = got.Session
						} else if !errors.Is(err, sessiontrack.ErrEnded) {
							c.Errorf("create: %v", err)
						}
					})
				}
				group.Go(func() {
					<-start
					if _, err := c.store.End(c.Context(), sessiontrack.User(user),
						sessiontrack.Ending{Reason: sessiontrack.ReasonUser}); err != nil {
						c.Errorf("end: %v", err)
					}
				})
				close(start)
				group.Wait()
				for _, s := range created {
					if s.ID != "" {
						assert.True(c, c.get(s.ID).Ended(), "created before the fence, so the fence ended it")
					}
				}
			}
		}},
	{"fence/is forgotten after KeepEnded", "a row for each user who ever signed out everywhere must not stay for ever",
		func(c *check) {
			_, err := c.store.End(c.Context(), sessiontrack.User("user-1"), sessiontrack.Ending{Reason: sessiontrack.ReasonUser})
			require.NoError(c, err)
			before := c.now().Add(-time.Minute)
			purge := sessiontrack.PurgeOptions{Retention: time.Hour, KeepEnded: time.Hour, Limit: 100}
			_, err = c.store.Purge(c.Context(), purge)
			require.NoError(c, err)
			n := newSession("user-1", issued(before))
			_, err = c.store.Create(c.Context(), n)
			c.fencedFor(err, sessiontrack.ReasonUser, "within KeepEnded")
			purge.Retention, purge.KeepEnded = time.Microsecond, time.Microsecond
			deadline := time.Now().Add(patience)
			for {
				_, err = c.store.Purge(c.Context(), purge)
				require.NoError(c, err)
				if _, err = c.store.Create(c.Context(), n); err == nil || time.Now().After(deadline) {
					break
				}
			}
			require.NoError(c, err)
		}},
}
