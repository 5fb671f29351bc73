package sessiontrack

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// withToken is a request that carries a token.
func withToken(token Token) *http.Request {
	r := httptest.NewRequest(http.MethodPost, "/", nil)
	r.Header.Set("X-Session-Id", token.Reveal())
	return r
}

func TestStepUpChangesTheSecret(t *testing.T) {
	t.Parallel()
	onEachStore(t, func(t *testing.T, store Store) {
		f := fixtureOver(t, store, nil).started(t)
		s, old := f.login(t, "42")
		w := httptest.NewRecorder()
		renewed, token, err := f.StepUp(w, withToken(old), "pwd", "otp")
		require.NoError(t, err)
		assert.Equal(t, s.ID, renewed.ID, "the handle stays")
		assert.Equal(t, s.LoginAt, renewed.LoginAt, "the age stays")
		assert.Equal(t, []string{"pwd", "otp"}, renewed.Methods)
		assert.False(t, renewed.AuthenticatedAt.Before(s.AuthenticatedAt))
		assert.Equal(t, "no-store", w.Header().Get("Cache-Control"))

		assert.Equal(t, http.StatusUnauthorized, f.get(old).Code, "the old secret is refused at once")
		assert.Equal(t, http.StatusOK, f.get(token).Code)
		_, _, err = f.StepUp(httptest.NewRecorder(), withToken(old), "pwd")
		require.ErrorIs(t, err, ErrInvalidCredential)
	})
}

// TestStepUpReachesOtherReplicas: many requests with either secret, on three replicas. None with the
// new one is refused, and none with the old one is accepted once MaxStaleness has passed (I25).
func TestStepUpReachesOtherReplicas(t *testing.T) {
	t.Parallel()
	store := NewMemoryStore()
	replicas := make([]*fixture, 3)
	for i := range replicas {
		replicas[i] = fixtureOver(t, store, nil).started(t)
	}
	_, old := replicas[0].login(t, "42")
	for _, f := range replicas {
		require.Equal(t, http.StatusOK, f.get(old).Code, "every replica caches the old secret")
	}
	_, token, err := replicas[0].StepUp(httptest.NewRecorder(), withToken(old), "pwd")
	require.NoError(t, err)
	var wrong atomic.Int64
	var group sync.WaitGroup
	for i := range 50 {
		group.Go(func() {
			f := replicas[i%len(replicas)]
			f.get(old)
			if f.get(token).Code != http.StatusOK {
				wrong.Add(1)
			}
		})
	}
	group.Wait()
	assert.Zero(t, wrong.Load(), "requests with the new secret that were refused")
	for _, f := range replicas {
		require.Eventually(t, func() bool { return f.get(old).Code == http.StatusUnauthorized }, time.Minute, 10*time.Millisecond)
		assert.Equal(t, http.StatusOK, f.get(token).Code)
	}
}

func TestStepUpRefusesWhatCannotBe(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	_, token := f.login(t, "42")
	_, _, err := f.StepUp(httptest.NewRecorder(), withToken(token), "two words")
	require.ErrorIs(t, err, ErrInvalidArgument)
	require.ErrorContains(t, err, "Methods")
	_, _, err = f.StepUp(httptest.NewRecorder(), httptest.NewRequest(http.MethodPost, "/", nil))
	require.ErrorIs(t, err, ErrNoCredential)
	_, err = f.End(t.Context(), User("42"), Ending{Reason: ReasonPassword})
	require.NoError(t, err)
	_, _, err = f.StepUp(httptest.NewRecorder(), withToken(token))
	var ended *EndedError
	require.True(t, errors.As(err, &ended), "%v", err)
	assert.Equal(t, ReasonPassword, ended.Reason)
}

func TestRequireFreshAsksForAStepUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, nil).started(t)
		secret := f.Middleware(f.RequireFresh(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}), 5*time.Minute))
		ask := func(token Token) *httptest.ResponseRecorder {
			w := httptest.NewRecorder()
			secret.ServeHTTP(w, withToken(token))
			return w
		}
		_, token := f.login(t, "42")
		assert.Equal(t, http.StatusOK, ask(token).Code)
		time.Sleep(5*time.Minute + time.Second)
		w := ask(token)
		assert.Equal(t, http.StatusUnauthorized, w.Code)
		assert.Contains(t, w.Body.String(), `"stale_authentication"`)
		assert.Equal(t, `Bearer error="insufficient_user_authentication", max_age="300"`, w.Header().Get("WWW-Authenticate"))
		assert.Equal(t, http.StatusOK, f.get(token).Code, "other pages work")
		_, token, err := f.StepUp(httptest.NewRecorder(), withToken(token), "pwd")
		require.NoError(t, err)
		assert.Equal(t, http.StatusOK, ask(token).Code)
	})
	assert.PanicsWithValue(t, "sessiontrack: RequireFresh: maxAge is 5ns: want at least 1s", func() {
		newFixture(t, nil).RequireFresh(http.NotFoundHandler(), 5)
	})
}
