package faults

import (
	"context"
	"net/http"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	st "github.com/sessiontrack/sessiontrack"
)

// otherClock wraps a store for a process whose clock differs from the store's clock. It shifts
// every time that crosses the Store interface. The wrapped store keeps the true time.
type otherClock struct {
	*st.MemoryStore
	ahead atomic.Int64 // nanoseconds by which the process is ahead of the store
}

func (o *otherClock) in(t time.Time) time.Time { return moved(t, time.Duration(o.ahead.Load())) }

func (o *otherClock) out(s st.Session) st.Session {
	d := -time.Duration(o.ahead.Load())
	for _, at := range []*time.Time{&s.LoginAt, &s.LastActivity, &s.ExpiresAt, &s.LogoutAt, &s.CredentialUntil} {
		*at = moved(*at, d)
	}
	return s
}

func moved(t time.Time, d time.Duration) time.Time {
	if t.IsZero() {
		return t
	}
	return t.Add(d)
}

func (o *otherClock) all(sessions []st.Session) []st.Session {
	for i := range sessions {
		sessions[i] = o.out(sessions[i])
	}
	return sessions
}

func (o *otherClock) Create(ctx context.Context, n st.NewSession) (st.CreateResult, error) {
	c, err := o.MemoryStore.Create(ctx, n)
	c.Session, c.Ended = o.out(c.Session), o.all(c.Ended)
	return c, err
}

func (o *otherClock) Get(ctx context.Context, id st.SessionID) (st.Record, error) {
	r, err := o.MemoryStore.Get(ctx, id)
	r.Session = o.out(r.Session)
	return r, err
}

func (o *otherClock) Touch(ctx context.Context, batch []st.TouchRecord, step time.Duration) ([]st.SessionID, error) {
	for i := range batch {
		batch[i].At = o.in(batch[i].At)
	}
	return o.MemoryStore.Touch(ctx, batch, step)
}

func (o *otherClock) End(ctx context.Context, sel st.Selector, e st.Ending) (st.EndResult, error) {
	ended, err := o.MemoryStore.End(ctx, sel, e)
	ended.Sessions, ended.At = o.all(ended.Sessions), moved(ended.At, -time.Duration(o.ahead.Load()))
	return ended, err
}

func (o *otherClock) EndedSince(ctx context.Context, since time.Time, limit int) (st.EndedPage, error) {
	page, err := o.MemoryStore.EndedSince(ctx, o.in(since), limit)
	behind := -time.Duration(o.ahead.Load())
	for i := range page.Ended {
		page.Ended[i].LogoutAt = moved(page.Ended[i].LogoutAt, behind)
	}
	page.Now = moved(page.Now, behind)
	return page, err
}

// TestF12Clocks runs replicas that are an hour ahead, an hour behind and right. In its second case
// each replica's estimate of the store's time jumps by two hours. Every replica ends sessions at
// their limits by the store's clock, neither early nor late.
//
// Nothing is cached in the jumping case. The test moves the store's whole time as the process sees
// it; a jump of the process's own clock does not move what the process has cached.
func TestF12Clocks(t *testing.T) {
	t.Parallel()
	for name, jumping := range map[string]bool{"steady": false, "jumping": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) { runClocks(t, jumping) })
		})
	}
}

func runClocks(t *testing.T, jumping bool) {
	const idle, lifetime = 30 * time.Minute, 3 * time.Hour
	memory := st.NewMemoryStore()
	var clocks []*otherClock
	var all []*replica
	for _, ahead := range []time.Duration{0, time.Hour, -time.Hour} {
		o := &otherClock{MemoryStore: memory}
		o.ahead.Store(int64(ahead))
		opts := st.Options{IdleTimeout: idle, Lifetime: lifetime, TouchInterval: -1, CleanupInterval: time.Minute}
		if jumping {
			opts.CacheSize = -1
		}
		r := over(t, o, opts)
		require.NoError(t, r.Start(t.Context()))
		clocks, all = append(clocks, o), append(all, r)
	}
	for round := range 6 {
		s, token := all[round%3].login(t, "1")
		for use := range 4 {
			last := all[(round+use)%3]
			time.Sleep(idle - 10*time.Second)
			require.Equal(t, http.StatusOK, last.get(token), "round %d, use %d", round, use)
			used := time.Now()
			time.Sleep(3 * time.Second) // the touch is written
			if jumping {
				for _, o := range clocks[1:] {
					o.ahead.Store(-o.ahead.Load())
				}
				time.Sleep(2 * time.Second) // one poll of the feed brings the store's time
			}
			record, err := memory.Get(t.Context(), s.ID)
			require.NoError(t, err)
			require.WithinDuration(t, used, record.Session.LastActivity, time.Second, "stored by the store's clock")
		}
		time.Sleep(idle - time.Since(got(t, memory, s.ID).LastActivity) - time.Second)
		for i, r := range all {
			seen, err := r.Get(t.Context(), s.ID)
			require.NoError(t, err)
			assert.True(t, r.WithinLimits(seen), "round %d, replica %d: not early", round, i)
		}
		time.Sleep(2 * time.Second)
		for i, r := range all {
			assert.Equal(t, http.StatusUnauthorized, r.get(token), "round %d, replica %d: not late", round, i)
		}
	}
	for _, r := range all {
		require.NoError(t, r.Shutdown(t.Context()))
	}
	t.Log("F12: clocks 1 h ahead, 1 h behind and jumping; idle ends within 1 s, stamps within 1 s of the store's time")
}

func got(t *testing.T, store *st.MemoryStore, id st.SessionID) st.Session {
	t.Helper()
	r, err := store.Get(t.Context(), id)
	require.NoError(t, err)
	return r.Session
}
