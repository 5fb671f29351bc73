package sessiontrack

import (
	"context"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestLoginReplacesWhatItProved(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil).started(t)
	old, oldToken := f.login(t, "1")
	_, bystander := f.login(t, "1")
	renewed, token := f.login(t, "2", headerName, oldToken.Reveal())
	assert.NotEqual(t, old.ID, renewed.ID)
	assert.Contains(t, f.get(oldToken).Body.String(), `"reason":"replaced"`)
	assert.Equal(t, 200, f.get(bystander).Code)
	assert.Equal(t, 200, f.get(token).Code)
	for _, forged := range []string{newToken().Reveal(), string(bystander.ID()), string(bystander.ID()) +
		newToken().Reveal()[22:]} {
		s, _ := f.login(t, "1", headerName, forged)
		assert.NotContains(t, forged, string(s.ID), "nothing the client sent is adopted")
	}
	assert.Equal(t, 200, f.get(bystander).Code, "only what was proved is ended")
}

func TestMaxSessions(t *testing.T) {
	t.Parallel()
	evict := newFixture(t, &Options{MaxSessions: 2}).started(t)
	_, first := evict.login(t, "1")
	_, second := evict.login(t, "1")
	_, third := evict.login(t, "1")
	assert.Contains(t, evict.get(first).Body.String(), `"reason":"limit"`)
	assert.Equal(t, 200, evict.get(second).Code)
	assert.Equal(t, 200, evict.get(third).Code)

	deny := newFixture(t, &Options{MaxSessions: 1, LimitPolicy: DenyNew}).started(t)
	_, only := deny.login(t, "1")
	_, _, err := deny.Login(httptest.NewRecorder(), request("POST", "/"), "1")
	assert.ErrorIs(t, err, ErrLimit)
	_, renewed := deny.login(t, "1", headerName, only.Reveal())
	assert.Equal(t, 401, deny.get(only).Code)
	assert.Equal(t, 200, deny.get(renewed).Code, "what is replaced does not count")
}

// TestLimitCountsActivityOnItsWay: a session that the store takes for idle, but that
// another replica has just accepted, still counts: else its activity, written a moment
// later, would bring it back above the limit.
func TestLimitCountsActivityOnItsWay(t *testing.T) {
	t.Parallel()
	for policy, want := range map[LimitPolicy]error{EndOldest: nil, DenyNew: ErrLimit} {
		synctest.Test(t, func(t *testing.T) {
			store, o := newFaultStore(), &Options{IdleTimeout: time.Hour, MaxSessions: 1, LimitPolicy: policy}
			a, b := replica(t, store, o).started(t), replica(t, store, o).started(t)
			time.Sleep(1500 * time.Millisecond)
			_, token := a.login(t, "42")
			time.Sleep(time.Hour - time.Second)
			require.Equal(t, 200, a.get(token).Code)
			time.Sleep(1100 * time.Millisecond)
			_, _, err := b.Login(httptest.NewRecorder(), request("POST", "/"), "42")
			require.ErrorIs(t, err, want)
			time.Sleep(3 * time.Second)
			page, err := a.List(t.Context(), Query{UserID: "42", Live: true})
			require.NoError(t, err)
			require.Len(t, page.Sessions, 1)
			time.Sleep(time.Hour + 20*time.Second)
			b.login(t, "42") // an idle session is in nobody's way
			require.NoError(t, a.Shutdown(t.Context()))
			require.NoError(t, b.Shutdown(t.Context()))
		})
	}
}

// TestLogoutOfAnIdleSession: it is refused, and has not been ended; another process may
// hold activity of it that makes it good again.
func TestLogoutOfAnIdleSession(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, &Options{IdleTimeout: time.Hour})
		s, token := f.login(t, "1")
		time.Sleep(time.Hour)
		require.Contains(t, f.get(token).Body.String(), `"reason":"idle"`)
		w := httptest.NewRecorder()
		f.Logout(w, request("POST", "/logout", headerName, token.Reveal()))
		require.Equal(t, 204, w.Code)
		stored, err := f.Get(t.Context(), s.ID)
		require.NoError(t, err)
		require.Equal(t, ReasonLogout, stored.EndReason)
	})
}

func TestLogout(t *testing.T) {
	t.Parallel()
	f := newFixture(t, &Options{Cookie: &CookieOptions{}}).started(t)
	_, token := f.login(t, "1")
	logout := func(headers ...string) *httptest.ResponseRecorder {
		w := httptest.NewRecorder()
		f.Logout(w, request("POST", "/logout", headers...))
		return w
	}
	assert.Equal(t, 204, logout().Code, "without a session")
	w := logout(headerName, token.Reveal())
	assert.Equal(t, 204, w.Code)
	assert.Contains(t, w.Header().Get("Set-Cookie"), "Max-Age=0")
	assert.Contains(t, f.get(token).Body.String(), `"reason":"logout"`)
	w = logout("Cookie", "__Host-session="+token.Reveal())
	assert.Equal(t, 204, w.Code, "it has ended")
	assert.Contains(t, w.Header().Get("Set-Cookie"), "Max-Age=0")
	assert.Equal(t, 401, logout("Cookie", "__Host-session="+newToken().Reveal()).Code, "nothing is known to have ended")
	w = logout("Sec-Fetch-Site", "cross-site")
	assert.Equal(t, 403, w.Code, "a form of another site, without the cookie")
	assert.Empty(t, w.Header().Values("Set-Cookie"), "and the browser keeps it")
	_, again := f.login(t, "1")
	assert.Equal(t, 403, logout("Cookie", "__Host-session="+again.Reveal(), "Sec-Fetch-Site", "cross-site").Code)
	f.store.down.Store(true)
	w = logout(headerName, again.Reveal())
	assert.Equal(t, 503, w.Code, "an operation that did not happen is not acknowledged")
}

// TestEndCurrentLeavesTheAnswerToTheForm: a browser is led on, and an error has changed nothing.
func TestEndCurrentLeavesTheAnswerToTheForm(t *testing.T) {
	t.Parallel()
	f := newFixture(t, &Options{Cookie: &CookieOptions{}}).started(t)
	_, token := f.login(t, "1")
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := f.EndCurrent(w, r); err != nil {
			f.Refuse(w, r, err)
			return
		}
		http.Redirect(w, r, "/", http.StatusSeeOther)
	})
	cookie := cookieOf(token)
	w := ask(handler, "POST", "/logout", "Cookie", cookie, "Sec-Fetch-Site", "cross-site")
	assert.Equal(t, "cross_origin", codeOf(t, w))
	w = ask(handler, "GET", "/logout", "Cookie", cookie)
	assert.Equal(t, "POST", w.Header().Get("Allow"))
	assert.Equal(t, "method_not_allowed", codeOf(t, w))
	f.store.down.Store(true)
	w = ask(handler, "POST", "/logout", "Cookie", cookie)
	assert.Equal(t, "store_unavailable", codeOf(t, w))
	assert.Empty(t, w.Header().Values("Set-Cookie"))
	f.store.down.Store(false)
	assert.Equal(t, 200, f.do("GET", "/", "Cookie", cookie).Code, "none of these has ended it")

	for range 2 { // the second time it has ended
		w = ask(handler, "POST", "/logout", "Cookie", cookie)
		assert.Equal(t, http.StatusSeeOther, w.Code)
		assert.Contains(t, w.Header().Get("Set-Cookie"), "Max-Age=0")
		assert.Equal(t, "no-store", w.Header().Get("Cache-Control"))
	}
	assert.Contains(t, f.get(token).Body.String(), `"reason":"logout"`)
	assert.Equal(t, http.StatusSeeOther, ask(handler, "POST", "/logout").Code, "without a session")
}

// losingStore loses the answers to sign-ins: they commit after a while, or never.
type losingStore struct {
	*faultStore
	late time.Duration // negative: never
	lose atomic.Bool
}

func (s *losingStore) Create(ctx context.Context, n NewSession) (CreateResult, error) {
	if !s.lose.Load() {
		return s.faultStore.Create(ctx, n)
	}
	if s.late >= 0 {
		time.AfterFunc(s.late, func() { _, _ = s.faultStore.Create(context.Background(), n) })
	}
	<-ctx.Done()
	return CreateResult{}, ctx.Err()
}

// TestSignInOfUnknownOutcomeLeavesNoSession: whether it commits at once or after the answer was
// given up, its session is ended by the process that could not acknowledge it.
func TestSignInOfUnknownOutcomeLeavesNoSession(t *testing.T) {
	t.Parallel()
	for name, late := range map[string]time.Duration{"at once": 0, "late": 8 * time.Second, "much later": 20 * time.Minute} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				store := &losingStore{faultStore: newFaultStore(), late: late}
				tracker, err := New(store, &Options{MaxSessions: 3})
				require.NoError(t, err)
				start(t, tracker)
				for range 3 {
					_, _, err := tracker.Login(httptest.NewRecorder(), request("POST", "/"), "42")
					require.NoError(t, err)
				}
				store.lose.Store(true)
				for range 3 {
					_, _, err := tracker.Login(httptest.NewRecorder(), request("POST", "/"), "42")
					require.ErrorIs(t, err, ErrUnavailable)
					require.ErrorContains(t, err, "the outcome is unknown: if the session was made, it is ended once the store answers")
				}
				store.lose.Store(false)
				time.Sleep(late + 2*orphanPause)
				page, err := tracker.List(t.Context(), Query{UserID: "42", Limit: 10})
				require.NoError(t, err)
				reasons := map[EndReason]int{}
				for _, s := range page.Sessions {
					reasons[s.EndReason]++
				}
				assert.Equal(t, 3, reasons[ReasonUnacknowledged])
				assert.Equal(t, 3, reasons[ReasonLimit]+reasons[""], "those from before: evicted, or live")
				assert.Zero(t, tracker.janitor.orphans.waiting())
				assert.Zero(t, tracker.Counters()["session.unsettled"])
			})
		})
	}
}

// waiting counts the orphans that wait.
func (o *orphans) waiting() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.wait)
}

// TestOrphansWaitForTheStore: while the store is away they are kept; those that never come are
// forgotten after an hour and counted.
func TestOrphansWaitForTheStore(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const n = 5
		f := newFixture(t, nil).started(t)
		f.store.down.Store(true)
		for range n {
			_, _, err := f.Login(httptest.NewRecorder(), request("POST", "/login"), "42")
			require.ErrorIs(t, err, ErrUnavailable)
		}
		time.Sleep(10 * time.Minute)
		require.Equal(t, n, f.janitor.orphans.waiting())
		f.store.down.Store(false)
		time.Sleep(time.Hour)
		assert.Zero(t, f.janitor.orphans.waiting())
		assert.EqualValues(t, n, f.Counters()["session.unsettled"])
	})
}

func TestOrphansAreBounded(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	for range maxOrphans + 5 {
		require.ErrorIs(t, f.janitor.disown(newToken().handle, ErrUnavailable), ErrUnavailable)
	}
	require.Equal(t, maxOrphans, f.janitor.orphans.waiting())
	require.EqualValues(t, 5, f.Counters()["session.unsettled"])
}

// TestSignInThatWasNotTriedIsNoOrphan: the store was not asked, or has said no.
func TestSignInThatWasNotTriedIsNoOrphan(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	for _, err := range []error{ErrLimit, ErrStoreFault, ErrInvalidArgument, errBusy} {
		assert.Equal(t, err, f.janitor.disown(newToken().handle, err))
	}
	assert.Zero(t, f.janitor.orphans.waiting())
}

// TestProviderEndsASignInThatKeptItsID: and a sign-in by a session of the provider's that has ended
// is refused.
func TestProviderEndsASignInThatKeptItsID(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil).started(t)
	const issuer = "https://idp.example"
	with := func(sid string) (Session, Token, error) {
		return f.LoginWith(httptest.NewRecorder(), request("POST", "/"), "42", LoginOptions{ProviderID: ProviderID(issuer, sid)})
	}
	_, phone, err := with("phone")
	require.NoError(t, err)
	_, laptop, err := with("laptop")
	require.NoError(t, err)
	require.Equal(t, 200, f.get(phone).Code)
	ended, err := f.End(t.Context(), Provider(issuer, "phone"), Ending{Reason: ReasonProvider})
	require.NoError(t, err)
	require.Len(t, ended, 1)
	assert.Contains(t, f.get(phone).Body.String(), `"reason":"idp"`)
	assert.Equal(t, 200, f.get(laptop).Code)
	_, _, err = with("phone")
	var over *EndedError
	require.ErrorAs(t, err, &over)
	assert.Equal(t, ReasonProvider, over.Reason)
	_, _, err = f.LoginWith(httptest.NewRecorder(), request("POST", "/"), "42", LoginOptions{ProviderID: "phone"})
	require.ErrorIs(t, err, ErrInvalidArgument)
	require.ErrorContains(t, err, "ProviderID")
}
