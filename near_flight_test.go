package sessiontrack

import (
	"context"
	"net/http/httptest"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestFillDoesNotResurrect holds a read of the store up while the session is ended, by
// this replica and by another: what the read brings back must not be kept.
func TestFillDoesNotResurrect(t *testing.T) {
	t.Parallel()
	for name, here := range map[string]bool{"ended here": true, "ended elsewhere": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				store := newFaultStore()
				f, other := replica(t, store, nil).started(t), replica(t, store, nil)
				for round := range 1000 {
					s, token := other.login(t, "42")
					read, resume := make(chan struct{}), make(chan struct{})
					var once sync.Once
					store.hook(func() { once.Do(func() { close(read); <-resume }) })
					first := make(chan int)
					go func() { first <- f.get(token).Code }()
					<-read
					store.hook(nil)
					ender := other
					if here {
						ender = f
					}
					_, err := ender.End(t.Context(), IDs(s.ID), Ending{Reason: ReasonAdmin})
					require.NoError(t, err)
					if !here {
						require.NoError(t, f.near.poll(t.Context()))
					}
					if round%2 == 0 { // else nothing but the read from before the end fills the cache
						assert.Equal(t, 401, f.get(token).Code, "a request after the end does not join that read")
					}
					close(resume)
					<-first
					require.Equal(t, 401, f.get(token).Code)
					if e := f.near.cache.get(token.handle); e != nil {
						require.NotNil(t, e.ending.Load(), "a live entry was kept")
					}
				}
				require.NoError(t, f.Shutdown(t.Context()))
			})
		})
	}
}

// TestMissesShareOneRead: 32 first requests cost one read, and one client that goes
// away does not spoil it for the others.
func TestMissesShareOneRead(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := newFaultStore()
		f, other := replica(t, store, nil).started(t), replica(t, store, nil)
		_, token := other.login(t, "42")
		resume := make(chan struct{})
		store.hook(func() { <-resume })
		codes := make(chan int, 32)
		ctx, cancel := context.WithCancel(t.Context())
		go func() {
			w := httptest.NewRecorder()
			f.handler.ServeHTTP(w, request("GET", "/", headerName, token.Reveal()).WithContext(ctx))
			codes <- w.Code
		}()
		synctest.Wait()
		for range 31 {
			go func() { codes <- f.get(token).Code }()
		}
		synctest.Wait()
		cancel()
		require.Equal(t, 503, <-codes, "the one that went away")
		close(resume)
		for range 31 {
			require.Equal(t, 200, <-codes)
		}
		require.EqualValues(t, 1, store.gets.Load())
		require.NoError(t, f.Shutdown(t.Context()))
	})
}
