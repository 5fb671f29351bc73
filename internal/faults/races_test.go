package faults

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http/httptest"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	st "github.com/sessiontrack/sessiontrack"
)

// again repeats a call whose outcome is unknown, as every caller may. On a slow machine these races
// exceed the two seconds that a transaction may take.
func again(call func() error) (err error) {
	for range 10 {
		if err = call(); !errors.Is(err, st.ErrUnavailable) {
			break
		}
	}
	return err
}

// TestC02LateTouch races touches and flushes of three replicas against one end. After the end was
// acknowledged, the row no longer changes, byte for byte.
func TestC02LateTouch(t *testing.T) {
	t.Parallel()
	all := replicas(t, 3, background(st.Options{StoreTimeout: 2 * time.Second, TouchInterval: -1,
		FlushInterval: 10 * time.Millisecond, FeedInterval: 20 * time.Millisecond}))
	rounds, revived := scaled(25, 500), atomic.Int64{}
	for range rounds {
		s, token := all[0].login(t, "1")
		var over atomic.Bool
		var ended string
		together(17, func(i int) {
			r := all[i%3]
			switch {
			case i == 0:
				assert.NoError(t, again(func() error {
					_, err := r.End(t.Context(), st.IDs(s.ID), byAdmin)
					return err
				}))
				ended = rowOf(t, r.db, s.ID)
				over.Store(true)
			case i < 8: // through the middleware; the flusher writes the touch
				for !over.Load() {
					r.get(token)
					runtime.Gosched() // End waits for the network and needs a turn
				}
			default: // late touches, written at once
				for late := 0; late < 2; {
					if over.Load() {
						late++
					}
					ended := over.Load()
					alive, err := r.store.Touch(t.Context(), []st.TouchRecord{{ID: s.ID, At: time.Now().Add(time.Hour)}}, 0)
					if err != nil && !assert.ErrorIs(t, err, st.ErrUnavailable) {
						return
					}
					if ended && len(alive) > 0 {
						revived.Add(1)
					}
				}
			}
		})
		require.NotEmpty(t, ended)
		require.Equal(t, ended, rowOf(t, all[1].db, s.ID), "byte for byte")
	}
	require.Zero(t, revived.Load())
	requireNoDeadlocks(t, all[0].db)
	t.Logf("C02: 0 revivals in %d rounds of 16 touchers on 3 replicas", rounds)
}

// TestC04StampsOnlyMoveForward flushes shuffled stamps from replicas whose clocks are wrong by up
// to an hour. A trigger checks every change of a row.
func TestC04StampsOnlyMoveForward(t *testing.T) {
	t.Parallel()
	all := replicas(t, 3, background(st.Options{}))
	execute(t, all[0].db, `CREATE TABLE seen (wrong text NOT NULL)`)
	execute(t, all[0].db, `CREATE FUNCTION watch() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
		IF NEW.last_activity < OLD.last_activity THEN INSERT INTO seen VALUES ('backwards'); END IF;
		IF NEW.last_activity > clock_timestamp() THEN INSERT INTO seen VALUES ('ahead'); END IF;
		RETURN NULL; END $$`)
	execute(t, all[0].db, `CREATE TRIGGER watch AFTER UPDATE ON user_sessions FOR EACH ROW EXECUTE FUNCTION watch()`)
	const sessions = 100
	ids := backdated(t, all[0].db, sessions, 3*time.Hour, "1")
	touches := scaled(3_000, 30_000)
	latest, base := make([]time.Time, sessions), time.Now()
	var mu sync.Mutex
	together(3, func(i int) {
		random := rand.New(rand.NewPCG(4, uint64(i)))
		for range touches / 3 / sessions {
			batch := make([]st.TouchRecord, 0, sessions)
			for _, at := range random.Perm(sessions) {
				stamp := base.Add(-time.Duration(random.Int64N(int64(2 * time.Hour)))) // nanoseconds are cut, not rounded
				if random.IntN(4) == 0 {
					stamp = base.Add(time.Duration(random.Int64N(int64(time.Hour)))) // from a clock that is ahead
				}
				batch = append(batch, st.TouchRecord{ID: ids[at], At: stamp})
				mu.Lock()
				if stamp.After(latest[at]) {
					latest[at] = stamp
				}
				mu.Unlock()
			}
			_, err := all[i].store.Touch(t.Context(), batch, 0)
			assert.NoError(t, err)
		}
	})
	assert.Zero(t, one[int](t, all[0].db, "SELECT count(*) FROM seen"))
	for i, id := range ids {
		s, err := all[0].Get(t.Context(), id)
		require.NoError(t, err)
		if latest[i].Before(base) {
			require.Equal(t, latest[i].UTC().Truncate(time.Microsecond), s.LastActivity, "no touch is lost")
		} else {
			require.WithinRange(t, s.LastActivity, base, time.Now(), "clamped to the database's time")
		}
	}
	t.Logf("C04: %d touches, 0 backwards, 0 ahead of the database", touches)
}

// TestC05CleanupSparesWhatIsTouched races cleanup against touches of sessions just past their idle
// limit. The first of the two wins completely: a session is either ended or touched.
func TestC05CleanupSparesWhatIsTouched(t *testing.T) {
	t.Parallel()
	all := replicas(t, 3, background(st.Options{}))
	const idle, sessions = time.Hour, 20
	rounds, spared := scaled(25, 1_000), 0
	for range rounds {
		ids := backdated(t, all[0].db, sessions, idle+time.Second, "1")
		var ended int
		together(3, func(i int) {
			if i == 0 {
				got, err := all[0].store.End(t.Context(), st.Idle(idle), st.Ending{Reason: st.ReasonIdle})
				assert.NoError(t, err)
				ended = len(got.Sessions)
				return
			}
			for j := i - 1; j < sessions; j += 4 { // every second session
				assert.NoError(t, again(func() error {
					_, err := all[i].store.Touch(t.Context(), []st.TouchRecord{{ID: ids[j], At: time.Now()}}, 0)
					return err
				}))
			}
		})
		spared += sessions - ended
		require.GreaterOrEqual(t, ended, sessions/2, "the sessions without a touch")
		execute(t, all[0].db, "DELETE FROM user_sessions WHERE logout_at IS NULL")
	}
	wrong := one[int](t, all[0].db, "SELECT count(*) FROM user_sessions WHERE end_reason = 'idle' AND logout_at - "+
		"last_activity < interval '1 hour'")
	require.Zero(t, wrong)
	t.Logf("C05: 0 wrong in %d rounds; %d of %d touched sessions were in time", rounds, spared, rounds*sessions/2)
}

// TestC06LimitIsExact signs one user in at three replicas concurrently. A sampler checks the number
// of live sessions in as many snapshots as it can get.
func TestC06LimitIsExact(t *testing.T) {
	t.Parallel()
	rounds := scaled(3, 200)
	for _, policy := range []st.LimitPolicy{st.DenyNew, st.EndOldest} {
		for _, limit := range []int{1, 2, 5} {
			t.Run(fmt.Sprintf("policy %d limit %d", policy, limit), func(t *testing.T) {
				all := replicas(t, 3, background(st.Options{MaxSessions: limit, LimitPolicy: policy}))
				ctx, stop := context.WithCancel(t.Context())
				var most, samples atomic.Int64
				var sampler sync.WaitGroup
				sampler.Go(func() {
					for ctx.Err() == nil {
						var n int64
						err := all[0].db.QueryRowContext(context.WithoutCancel(ctx),
							"SELECT coalesce(max(n), 0) FROM (SELECT count(*) AS n FROM user_sessions WHERE logout_at IS NULL GROUP BY "+
								"user_id) AS u").Scan(&n)
						if !assert.NoError(t, err) {
							return
						}
						most.Store(max(most.Load(), n))
						samples.Add(1)
					}
				})
				var denied, late atomic.Int64
				for round := range rounds {
					user := fmt.Sprint("user", round)
					together(16, func(i int) {
						_, _, err := all[i%3].Login(httptest.NewRecorder(), request("POST", "/login"), user)
						switch {
						case errors.Is(err, st.ErrUnavailable): // on a slow machine a transaction exceeds its two seconds
							late.Add(1)
						case err != nil:
							assert.ErrorIs(t, err, st.ErrLimit)
							denied.Add(1)
						}
					})
					require.Equal(t, limit, one[int](t, all[0].db,
						"SELECT count(*) FROM user_sessions WHERE logout_at IS NULL AND user_id = $1", user))
				}
				stop()
				sampler.Wait()
				if policy == st.DenyNew {
					assert.EqualValues(t, rounds*(16-limit), denied.Load()+late.Load())
				} else {
					assert.Zero(t, denied.Load())
				}
				assert.EqualValues(t, limit, most.Load())
				requireNoDeadlocks(t, all[0].db)
				t.Logf("C06: at most %d live in %d snapshots, %d rounds, %d timeouts", most.Load(), samples.Load(), rounds,
					late.Load())
			})
		}
	}
}

// TestC07OverlappingFlushes makes three replicas write the same sessions, each in its own order.
func TestC07OverlappingFlushes(t *testing.T) {
	t.Parallel()
	all := replicas(t, 3, background(st.Options{}))
	n, batches := scaled(600, 3_000), scaled(8, 200)
	ids := backdated(t, all[0].db, n, time.Hour, "1")
	began := time.Now()
	var failed atomic.Int64
	together(3, func(i int) {
		random := rand.New(rand.NewPCG(7, uint64(i)))
		for range batches {
			batch := make([]st.TouchRecord, n)
			for at, j := range random.Perm(n) {
				batch[at] = st.TouchRecord{ID: ids[j], At: time.Now()}
			}
			alive, err := all[i].store.Touch(t.Context(), batch, 0)
			if errors.Is(err, st.ErrUnavailable) {
				failed.Add(1) // on a slow machine a transaction exceeds its two seconds
				continue
			}
			assert.NoError(t, err)
			assert.Len(t, alive, n)
		}
	})
	requireNoDeadlocks(t, all[0].db)
	assert.Zero(t, one[int](t, all[0].db, "SELECT count(*) FROM user_sessions WHERE last_activity < $1",
		began.Add(-time.Millisecond)))
	t.Logf("C07: 3 x %d batches of %d: 0 deadlocks, 0 lost touches, %d timeouts", batches, n, failed.Load())
}

// TestC08CleanupByMany runs cleanup at five replicas concurrently. Each session ends once.
func TestC08CleanupByMany(t *testing.T) {
	t.Parallel()
	var events atomic.Int64
	opts := background(st.Options{IdleTimeout: time.Hour})
	opts.Hooks.End = func(context.Context, st.Session) { events.Add(1) }
	all := replicas(t, 5, opts)
	n := scaled(2_000, 10_000)
	backdated(t, all[0].db, n, 2*time.Hour, "1")
	alive := backdated(t, all[0].db, 10, time.Minute, "2")
	counts := make([]int, len(all))
	together(len(all), func(i int) {
		var err error
		counts[i], err = all[i].Cleanup(t.Context())
		assert.NoError(t, err)
	})
	sum, dropped := 0, int64(0)
	for i, r := range all {
		sum += counts[i]
		again, err := r.Cleanup(t.Context())
		require.NoError(t, err)
		require.Zero(t, again, "a second cleanup ends nothing")
		require.NoError(t, r.Shutdown(t.Context())) // waits for the hooks
		dropped += r.Counters()["hook.dropped"]
	}
	assert.Equal(t, n, sum)
	assert.EqualValues(t, n, events.Load()+dropped, "one event each")
	assert.Equal(t, len(alive), one[int](t, all[0].db, "SELECT count(*) FROM user_sessions WHERE logout_at IS NULL"))
	t.Logf("C08: %v = %d, %d events (%d beyond the queue of hooks)", counts, sum, events.Load(), dropped)
}

// TestC09EndIsIdempotent ends one session from 16 callers on three replicas.
func TestC09EndIsIdempotent(t *testing.T) {
	t.Parallel()
	var events atomic.Int64
	opts := background(st.Options{StoreTimeout: 2 * time.Second, Roles: func(context.Context, string) ([]string, error) {
		return []string{"admin"}, nil
	}})
	opts.Hooks.End = func(context.Context, st.Session) { events.Add(1) }
	all := replicas(t, 3, opts)
	_, admin := all[0].login(t, "admin")
	rounds := scaled(15, 200)
	for round := range rounds {
		s, _ := all[round%3].login(t, "1")
		together(16, func(i int) {
			assert.NoError(t, again(func() error {
				w := httptest.NewRecorder()
				all[i%3].AdminHandler(nil).ServeHTTP(w, request("POST", "/api/user-sessions/force-logout/"+string(s.ID),
					"X-Session-Id", admin))
				if w.Code == 503 {
					return st.ErrUnavailable
				}
				assert.Equal(t, 200, w.Code, w.Body)
				return nil
			}))
		})
	}
	ended := int64(0)
	for _, r := range all {
		require.NoError(t, r.Shutdown(t.Context()))
		ended += r.Counters()["session.ended"]
	}
	assert.EqualValues(t, rounds, ended, "one transition a round")
	assert.EqualValues(t, rounds, events.Load(), "one event a round")
	t.Logf("C09: %d rounds of 16: %d transitions, %d events, all 200", rounds, ended, events.Load())
}

// TestC10EndAllIsAFence races logins against the end of all sessions of the user.
func TestC10EndAllIsAFence(t *testing.T) {
	t.Parallel()
	all := replicas(t, 3, background(st.Options{StoreTimeout: 2 * time.Second}))
	rounds := scaled(25, 500)
	for round := range rounds {
		user := fmt.Sprint("user", round)
		before, _ := all[round%3].logins(t, 3, func(int) string { return user })
		var returned sync.Map // handle → whether Login had returned before the end was requested
		var asked atomic.Bool
		together(7, func(i int) {
			if i == 0 {
				asked.Store(true)
				assert.NoError(t, again(func() error {
					_, err := all[round%3].End(t.Context(), st.User(user), byAdmin)
					return err
				}))
				return
			}
			s, _, err := all[i%3].Login(httptest.NewRecorder(), request("POST", "/login"), user)
			if err == nil || !assert.ErrorIs(t, err, st.ErrUnavailable) {
				returned.Store(s.ID, !asked.Load())
			}
		})
		late, token := all[(round+1)%3].login(t, user)
		require.Equal(t, 200, all[(round+2)%3].get(token), "a login after it lives, within the same second")
		for _, id := range before {
			s, err := all[0].Get(t.Context(), id)
			require.NoError(t, err)
			require.True(t, s.Ended(), "no earlier session survives")
		}
		returned.Range(func(id, mustEnd any) bool {
			s, err := all[0].Get(t.Context(), id.(st.SessionID))
			require.NoError(t, err)
			require.True(t, s.Ended() || !mustEnd.(bool))
			return true
		})
		s, err := all[0].Get(t.Context(), late.ID)
		require.NoError(t, err)
		require.False(t, s.Ended())
	}
	requireNoDeadlocks(t, all[0].db)
	t.Logf("C10: 0 survivors from before, %d/%d logins after it live", rounds, rounds)
}
