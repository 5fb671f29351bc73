package storetest

import (
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sessiontrack/sessiontrack"
)

// rounds is how often a race runs: often enough to see a bug, and fast enough for a store over a
// network.
const rounds = 15

var raceCases = []testCase{
	{"race/one handle is made once", "two requests with one new JWT make one derived session, not two (I2)",
		func(c *check) {
			for range rounds {
				n := newSession("user-1", derived(time.Time{}))
				var won atomic.Int32
				together(8, func(int) {
					_, err := c.store.Create(c.Context(), n)
					if err == nil {
						won.Add(1)
					} else {
						assert.ErrorIs(c, err, sessiontrack.ErrExists)
					}
				})
				require.Equal(c, int32(1), won.Load())
			}
			assert.Len(c, c.list(sessiontrack.Query{UserID: "user-1"}).Sessions, rounds)
		}},
	{"race/a denied limit holds", "limit 1 and four logins at once gave four sessions (Spring Security #3121, C06)",
		func(c *check) {
			for _, most := range []int{1, 2, 5} {
				var won, denied atomic.Int32
				together(16, func(int) {
					_, err := c.store.Create(c.Context(), newSession("user-1", limit(most, sessiontrack.DenyNew)))
					switch {
					case err == nil:
						won.Add(1)
					case assert.ErrorIs(c, err, sessiontrack.ErrLimit):
						denied.Add(1)
					}
				})
				require.Equal(c, [2]int32{int32(most), int32(16 - most)}, [2]int32{won.Load(), denied.Load()}, "limit %d", most)
				c.end(sessiontrack.User("user-1"))
			}
		}},
	{"race/an evicting limit holds at every moment",
		"insert-then-evict shows more sessions than the limit for a moment (C06, I10, I24)", func(c *check) {
			for _, most := range []int{1, 3} {
				var mu sync.Mutex
				var made, ended []sessiontrack.SessionID
				var stop atomic.Bool
				var watch sync.WaitGroup
				watch.Go(func() {
					for !stop.Load() {
						page, err := c.store.List(c.Context(), sessiontrack.Query{UserID: "user-1", Live: true, Limit: 100})
						if !assert.NoError(c, err) || !assert.LessOrEqual(c, len(page.Sessions), most, "live at one moment") {
							return
						}
					}
				})
				together(16, func(int) {
					created, err := c.store.Create(c.Context(), newSession("user-1", limit(most, sessiontrack.EndOldest)))
					if assert.NoError(c, err) {
						mu.Lock()
						made, ended = append(made, created.Session.ID), append(ended, ids(created.Ended)...)
						mu.Unlock()
					}
				})
				stop.Store(true)
				watch.Wait()
				live := ids(c.list(sessiontrack.Query{UserID: "user-1", Live: true}).Sessions)
				require.Len(c, live, most)
				require.ElementsMatch(c, made, append(live, ended...), "every eviction is reported exactly once (I15)")
				c.end(sessiontrack.User("user-1"))
			}
		}},
	{"race/an end is reported once", "16 callers on one session: one transition, one event (C09, I14)", func(c *check) {
		for range rounds {
			s := c.create("user-1")
			var told atomic.Int32
			together(16, func(i int) {
				sel := sessiontrack.IDs(s.ID)
				if i%2 == 0 {
					sel = sessiontrack.User("user-1")
				}
				ended, err := c.store.End(c.Context(), sel, byAdmin)
				assert.NoError(c, err)
				told.Add(int32(len(ended.Sessions)))
			})
			require.Equal(c, int32(1), told.Load())
		}
	}},
	{"race/replacing ends once", "two logins with one old cookie", func(c *check) {
		for range rounds {
			old := c.create("user-1")
			var told atomic.Int32
			together(4, func(int) {
				created, err := c.store.Create(c.Context(), newSession("user-2", replaces(old.ID)))
				assert.NoError(c, err)
				told.Add(int32(len(created.Ended)))
			})
			require.Equal(c, int32(1), told.Load())
		}
	}},
	{"race/touches against an end", "a late touch never revives or alters an ended session (C02)", func(c *check) {
		for range rounds {
			s := c.create("user-1")
			start := c.now()
			var ended atomic.Pointer[sessiontrack.Session]
			together(6, func(i int) {
				if i == 0 {
					got, err := c.store.End(c.Context(), sessiontrack.IDs(s.ID), byAdmin)
					if assert.NoError(c, err) && assert.Len(c, got.Sessions, 1) {
						ended.Store(&got.Sessions[0])
					}
					return
				}
				for range 5 {
					_, err := c.store.Touch(c.Context(), []sessiontrack.TouchRecord{{ID: s.ID, At: start.Add(time.Hour)}}, 0)
					assert.NoError(c, err)
					assert.NoError(c, c.store.Describe(c.Context(),
						[]sessiontrack.SessionUpdate{{ID: s.ID, Device: &sessiontrack.Device{Type: sessiontrack.DeviceTV}}}))
				}
			})
			require.NotNil(c, ended.Load())
			c.same(*ended.Load(), c.get(s.ID).Session, "as it was when it ended")
			require.Empty(c, c.list(sessiontrack.Query{}).Sessions)
		}
		if _, ok := c.store.(sessiontrack.OnlineReader); ok {
			assert.Equal(c, []int{0}, c.count(time.Hour), "no user is left online")
		}
	}},
	{"race/flushes that overlap do not deadlock",
		"two flushers over the same rows in opposite order: 9 of 24 batches died (C07)", func(c *check) {
			all := c.crowd(20, 2)
			c.pass(c.now())
			at := c.now()
			together(4, func(i int) {
				for round := range 5 {
					batch := make([]sessiontrack.TouchRecord, len(all))
					for j, id := range all {
						if i%2 == 1 {
							j = len(all) - 1 - j
						}
						batch[j] = sessiontrack.TouchRecord{ID: id, At: at.Add(-time.Duration(i+round) * time.Microsecond)}
					}
					alive, err := c.store.Touch(c.Context(), batch, 0)
					assert.NoError(c, err)
					assert.Len(c, alive, len(all))
				}
			})
			for _, id := range all {
				require.Equal(c, at, c.get(id).LastActivity, "no touch is lost")
			}
		}},
	{"race/cleanup spares what is touched",
		"0 wrong expiries: a session ended as idle was idle in its stored row (C05, I9)", func(c *check) {
			for round := range rounds {
				c.idleRace(time.Duration(round%4+1) * time.Millisecond)
			}
		}},
	{"race/cleaners share the work", "each session ends once and the counts add up (C08)", func(c *check) {
		all := c.crowd(5, 8)
		c.pass(c.get(all[len(all)-1]).LastActivity.Add(time.Millisecond))
		var mu sync.Mutex
		var ended []sessiontrack.SessionID
		together(4, func(int) {
			for after := int64(0); ; {
				got, err := c.store.End(c.Context(), sessiontrack.Idle(time.Millisecond).Walk(after, 7),
					sessiontrack.Ending{Reason: sessiontrack.ReasonIdle})
				if !assert.NoError(c, err) {
					return
				}
				mu.Lock()
				ended = append(ended, ids(got.Sessions)...)
				mu.Unlock()
				if after = got.Next; after == 0 {
					return
				}
			}
		})
		// The first walk may skip rows that another cleaner had locked. No session ends twice.
		ended = append(ended, ids(c.walk(sessiontrack.Idle(time.Millisecond), 100))...)
		assert.ElementsMatch(c, all, ended)
	}},
	{"race/purgers share the work", "the callers' counts add up to the changed rows (I15)", func(c *check) {
		c.crowd(1, 30)
		c.pass(c.end(sessiontrack.User("user-00")).At)
		var sum atomic.Int32
		together(4, func(int) {
			for range 10 {
				n, err := c.store.Purge(c.Context(), sessiontrack.PurgeOptions{Limit: 4})
				assert.NoError(c, err)
				sum.Add(int32(n))
			}
		})
		assert.Equal(c, 30, int(sum.Load())+c.purge(0, 0))
		assert.Empty(c, c.list(sessiontrack.Query{UserID: "user-00"}).Sessions)
	}},
	{"race/logins against log-out-all", "a login is ended or alive, never alive and reported as ended (C10, I16)",
		func(c *check) {
			for range rounds {
				before := c.create("user-1")
				var mu sync.Mutex
				made, ended := []sessiontrack.SessionID{before.ID}, []sessiontrack.SessionID{}
				together(5, func(i int) {
					if i == 0 {
						got, err := c.store.End(c.Context(), sessiontrack.User("user-1"), byAdmin)
						assert.NoError(c, err)
						mu.Lock()
						ended = ids(got.Sessions)
						mu.Unlock()
						return
					}
					created, err := c.store.Create(c.Context(), newSession("user-1"))
					if assert.NoError(c, err) {
						mu.Lock()
						made = append(made, created.Session.ID)
						mu.Unlock()
					}
				})
				live := ids(c.list(sessiontrack.Query{UserID: "user-1", Live: true}).Sessions)
				require.Contains(c, ended, before.ID, "a session from before the call is ended")
				require.ElementsMatch(c, made, append(live, ended...))
				c.alive(c.create("user-1").ID, true)
				c.end(sessiontrack.User("user-1"))
			}
		}},
	{"race/presence follows the last session",
		"concurrent End and Create of one user: online exactly while a session lives", func(c *check) {
			capability[sessiontrack.OnlineReader](c)
			for range rounds {
				old := c.create("user-1")
				together(3, func(i int) {
					var err error
					switch i {
					case 0:
						_, err = c.store.End(c.Context(), sessiontrack.IDs(old.ID), byAdmin)
					case 1:
						_, err = c.store.Create(c.Context(), newSession("user-1"))
					default:
						_, err = c.store.Touch(c.Context(), []sessiontrack.TouchRecord{{ID: old.ID, At: old.LoginAt.Add(time.Hour)}}, 0)
					}
					assert.NoError(c, err)
				})
				require.Equal(c, []int{1}, c.count(time.Hour), "the new session lives")
				together(2, func(i int) {
					if i == 0 {
						_, err := c.store.End(c.Context(), sessiontrack.User("user-1"), byAdmin)
						assert.NoError(c, err)
						return
					}
					_, err := c.store.Create(c.Context(), newSession("user-1", limit(1, sessiontrack.DenyNew)))
					assert.True(c, err == nil || errors.Is(err, sessiontrack.ErrLimit), err)
				})
				live := len(c.list(sessiontrack.Query{UserID: "user-1", Live: true}).Sessions)
				require.Equal(c, []int{live}, c.count(time.Hour))
				c.end(sessiontrack.User("user-1"))
				require.Equal(c, []int{0}, c.count(time.Hour))
			}
		}},
}

// idleRace touches a session at intervals of about the idle time while a cleaner ends idle
// sessions. It stops when the session has ended, or after some tries.
func (c *check) idleRace(interval time.Duration) {
	c.Helper()
	const idle = 2 * time.Millisecond
	s := c.create("user-1")
	var acknowledged int64
	var ended []sessiontrack.Session
	var done atomic.Bool
	together(2, func(i int) {
		if i == 0 {
			for ; !done.Load(); time.Sleep(interval) {
				page, err := c.store.List(c.Context(), sessiontrack.Query{Limit: 1})
				assert.NoError(c, err)
				alive, err := c.store.Touch(c.Context(), []sessiontrack.TouchRecord{{ID: s.ID, At: page.Now}}, 0)
				assert.NoError(c, err)
				if len(alive) == 1 {
					acknowledged = page.Now.UnixMicro()
				}
			}
			return
		}
		defer done.Store(true)
		for try := 0; try < 10 && len(ended) == 0; try++ {
			got, err := c.store.End(c.Context(), sessiontrack.Idle(idle), sessiontrack.Ending{Reason: sessiontrack.ReasonIdle})
			assert.NoError(c, err)
			ended = got.Sessions
			time.Sleep(idle / 4)
		}
	})
	for _, e := range ended {
		require.GreaterOrEqual(c, e.LogoutAt.Sub(e.LastActivity), idle, "it was idle when it ended")
		require.LessOrEqual(c, acknowledged, e.LastActivity.UnixMicro(), "no acknowledged touch was overlooked")
	}
	c.end(sessiontrack.User("user-1"))
}
