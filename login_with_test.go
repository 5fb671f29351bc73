package sessiontrack

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// loginWith signs a user in with options.
func (f *fixture) loginWith(t *testing.T, user string, o LoginOptions, headers ...string) (Session, Token, *http.Cookie) {
	t.Helper()
	w := httptest.NewRecorder()
	s, token, err := f.LoginWith(w, request("POST", "/login", headers...), user, o)
	require.NoError(t, err)
	for _, c := range w.Result().Cookies() {
		return s, token, c
	}
	return s, token, nil
}

func TestLoginWithKeepsWhatTheApplicationSays(t *testing.T) {
	t.Parallel()
	onEachStore(t, func(t *testing.T, store Store) {
		f := fixtureOver(t, store, nil).started(t)
		o := LoginOptions{
			Client: "ios", Tenant: "acme", Methods: []string{"pwd", "otp"}, Remember: true,
			Lifetime: 90 * 24 * time.Hour, IdleTimeout: -1,
		}
		s, _, _ := f.loginWith(t, "42", o)
		stored, err := f.Get(t.Context(), s.ID)
		require.NoError(t, err)
		for _, got := range []Session{s, stored} {
			assert.Equal(t, []any{o.Client, o.Tenant, o.Methods, true}, []any{got.Client, got.Tenant, got.Methods, got.Remember})
			assert.Equal(t, got.LoginAt.Add(o.Lifetime), got.ExpiresAt)
			assert.Negative(t, got.IdleTimeout)
			assert.Equal(t, got.LoginAt, got.AuthenticatedAt)
		}
	})
}

// TestOwnLimitsHoldOnEveryReplica: the row decides, whatever the replica's own options are (I30).
func TestOwnLimitsHoldOnEveryReplica(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := newFaultStore()
		a := replica(t, store, &Options{IdleTimeout: time.Hour}).started(t)
		b := replica(t, store, &Options{IdleTimeout: 48 * time.Hour}).started(t)
		_, short, _ := a.loginWith(t, "1", LoginOptions{IdleTimeout: 10 * time.Minute})
		_, brief, _ := a.loginWith(t, "3", LoginOptions{Lifetime: 20 * time.Minute})
		time.Sleep(15 * time.Minute)
		for _, f := range []*fixture{a, b} {
			assert.Contains(t, f.get(short).Body.String(), `"reason":"idle"`)
		}
		time.Sleep(10 * time.Minute)
		for _, f := range []*fixture{a, b} {
			assert.Contains(t, f.get(brief).Body.String(), `"reason":"lifetime"`)
		}
	})
	synctest.Test(t, func(t *testing.T) { // not started: nothing polls through a hundred days
		store := newFaultStore()
		a, b := replica(t, store, &Options{IdleTimeout: time.Hour}), replica(t, store, &Options{IdleTimeout: 48 * time.Hour})
		_, long, _ := a.loginWith(t, "2", LoginOptions{IdleTimeout: 24 * time.Hour, Lifetime: -1})
		_, endless, _ := a.loginWith(t, "4", LoginOptions{IdleTimeout: -1, Lifetime: -1})
		time.Sleep(2 * time.Hour)
		assert.Equal(t, http.StatusOK, a.get(long).Code, "longer than the replica's own limit")
		time.Sleep(100 * 24 * time.Hour)
		for _, f := range []*fixture{b, a} {
			assert.Equal(t, http.StatusOK, f.get(endless).Code)
			assert.Contains(t, f.get(long).Body.String(), `"reason":"idle"`)
		}
	})
}

func TestRememberedCookiesLastAsLongAsTheSession(t *testing.T) {
	t.Parallel()
	f := newFixture(t, &Options{Cookie: &CookieOptions{MaxAge: time.Hour}, IdleTimeout: 2 * time.Hour})
	_, _, plain := f.loginWith(t, "1", LoginOptions{})
	_, _, remembered := f.loginWith(t, "1", LoginOptions{Remember: true})
	_, _, endless := f.loginWith(t, "1", LoginOptions{Remember: true, Lifetime: -1})
	_, _, brief := f.loginWith(t, "1", LoginOptions{Lifetime: time.Minute})
	assert.Equal(t, []int{3600, 30 * 24 * 3600, 400 * 24 * 3600, 60},
		[]int{plain.MaxAge, remembered.MaxAge, endless.MaxAge, brief.MaxAge})
}

func TestImpersonationStaysApart(t *testing.T) {
	t.Parallel()
	f := newFixture(t, &Options{MaxSessions: 1, LimitPolicy: DenyNew}).started(t)
	_, admin := f.login(t, "7")
	acted, token, _ := f.loginWith(t, "42", LoginOptions{ActedBy: "7"}, "X-Session-Id", admin.Reveal())
	assert.Equal(t, "7", acted.ActedBy)
	assert.Equal(t, http.StatusOK, f.get(admin).Code, "the administrator's own session stays")
	assert.Equal(t, http.StatusOK, f.get(token).Code)
	n, _, err := f.CountOnline(t.Context(), time.Hour)
	require.NoError(t, err)
	assert.Equal(t, 1, n, "only the administrator is online")
	f.login(t, "42")
}

func TestLimitsByTheApplication(t *testing.T) {
	t.Parallel()
	var failing error
	f := newFixture(t, &Options{Limit: func(_ context.Context, user string, o LoginOptions) (int, LimitPolicy, error) {
		if user == "free" {
			return 1, DenyNew, failing
		}
		return map[string]int{"cli": 3}[o.Client], EndLeastActive, nil
	}}).started(t)
	first, _ := f.login(t, "free")
	_, _, err := f.Login(httptest.NewRecorder(), request("POST", "/"), "free")
	var limit *LimitError
	require.ErrorIs(t, err, ErrLimit)
	require.True(t, errors.As(err, &limit))
	require.Len(t, limit.Sessions, 1, "what the person may choose from")
	assert.Equal(t, first.ID, limit.Sessions[0].ID)

	s, _, _ := f.loginWith(t, "free", LoginOptions{Ends: []SessionID{first.ID}})
	ended, err := f.Get(t.Context(), first.ID)
	require.NoError(t, err)
	assert.Equal(t, ReasonUser, ended.EndReason)
	assert.NotEqual(t, first.ID, s.ID)

	for range 3 {
		f.loginWith(t, "pro", LoginOptions{Client: "cli"})
	}
	page, err := f.List(t.Context(), Query{UserID: "pro", Live: true, Limit: 10})
	require.NoError(t, err)
	assert.Len(t, page.Sessions, 3)
	f.loginWith(t, "pro", LoginOptions{Client: "cli"})
	page, err = f.List(t.Context(), Query{UserID: "pro", Live: true, Limit: 10})
	require.NoError(t, err)
	assert.Len(t, page.Sessions, 3)

	failing = errors.New("no plan")
	_, _, err = f.Login(httptest.NewRecorder(), request("POST", "/"), "free")
	require.ErrorIs(t, err, ErrUnavailable)
	assert.NotErrorIs(t, err, ErrLimit)
}

func TestLoginOptionsNameWhatIsWrong(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	for want, o := range map[string]LoginOptions{
		"Lifetime is 30ns":    {Lifetime: 30},
		"IdleTimeout is 5s":   {IdleTimeout: 5 * time.Second},
		"Client has 65 bytes": {Client: string(make([]byte, 65))},
		"Tenant has 1 bytes":  {Tenant: "\n"},
		"Methods has 11":      {Methods: make([]string, 11)},
		`Methods has "a b"`:   {Methods: []string{"a b"}},
		"ActedBy is the user": {ActedBy: "42"},
		"ActedBy has 300":     {ActedBy: string(make([]byte, 300))},
		"Ends has 1001":       {Ends: make([]SessionID, 1001)},
	} {
		_, _, err := f.LoginWith(httptest.NewRecorder(), request("POST", "/"), "42", o)
		require.ErrorIs(t, err, ErrInvalidArgument, want)
		require.ErrorContains(t, err, want)
	}
	page, err := f.List(t.Context(), Query{UserID: "42", Limit: 10})
	require.NoError(t, err)
	assert.Empty(t, page.Sessions)
	for want, o := range map[string]Options{
		"MaxSessions":   {MaxSessions: 1, Limit: func(context.Context, string, LoginOptions) (int, LimitPolicy, error) { return 0, EndOldest, nil }},
		"Cookie.MaxAge": {Cookie: &CookieOptions{MaxAge: 48 * time.Hour}},
		"at most Life":  {Cookie: &CookieOptions{MaxAge: 31 * 24 * time.Hour}, IdleTimeout: -1},
	} {
		_, err := New(NewMemoryStore(), &o)
		require.ErrorContains(t, err, want)
	}
}
