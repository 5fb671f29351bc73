package sessiontrack

import (
	"context"
	"encoding/csv"
	"fmt"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// counted asks for a count, and returns it with its preview.
func (s *site) counted(t *testing.T, filter string) (n float64, token string) {
	t.Helper()
	data := s.json(t, adam, "GET", adminPath+"sessions/count?"+filter)["data"].(map[string]any)
	token, _ = data["preview"].(string)
	return data["count"].(float64), token
}

// bulk sends a bulk end that must be answered with 200.
func (s *site) bulk(t *testing.T, user, body string) map[string]any {
	t.Helper()
	w := s.send(user, "POST", adminPath+"sessions/end", body)
	require.Equal(t, 200, w.Code, w.Body)
	return decoded(t, w)["data"].(map[string]any)
}

// TestBulkEndEndsWhatThePreviewShowed: nothing that began after it, nothing that has ended since, and
// it says so (I26).
func TestBulkEndEndsWhatThePreviewShowed(t *testing.T) {
	t.Parallel()
	onEachStore(t, func(t *testing.T, store Store) {
		s := newSite(t, store, siteOptions{})
		first, second := s.signIn(t, alice), s.signIn(t, alice)
		s.signInAll(t, bob, adam)
		n, token := s.counted(t, "user="+alice+","+bob)
		assert.EqualValues(t, 3, n)
		late := s.signIn(t, alice)
		_, err := s.End(t.Context(), IDs(second.ID), Ending{Reason: ReasonLogout})
		require.NoError(t, err)

		body := fmt.Sprintf(`{"preview":%q,"reason":"breach"}`, token)
		assert.Equal(t, map[string]any{"ended": 2.0, "skipped": 1.0, "more": false}, s.bulk(t, adam, body))
		got, err := s.Get(t.Context(), first.ID)
		require.NoError(t, err)
		assert.Equal(t, [2]any{EndReason("breach"), adam}, [2]any{got.EndReason, got.EndedBy})
		got, err = s.Get(t.Context(), late.ID)
		require.NoError(t, err)
		assert.False(t, got.Ended(), "began after the preview")
		assert.Equal(t, map[string]any{"ended": 0.0, "skipped": 3.0, "more": false}, s.bulk(t, adam, body), "again")

		audits := s.audited()
		require.Len(t, audits, 2)
		assert.Equal(t, AdminAction{
			Action: actionEndMany, Actor: adam, ActorSession: s.tokens[adam].ID(), Reason: "breach", Outcome: outcomeDone,
			Ended: 2, Skipped: 1, Filter: "user=1%2C2",
		}, audits[0])
	})
}

// TestBulkEndSkipsWhatWasUsedMeanwhile: a session that was idle at the preview and is not any more.
func TestBulkEndSkipsWhatWasUsedMeanwhile(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, NewMemoryStore(), siteOptions{})
		s.signInAll(t, alice, bob)
		time.Sleep(2 * time.Hour)
		s.signInAll(t, adam)
		n, token := s.counted(t, "idle_for=1h")
		assert.EqualValues(t, 2, n)
		time.Sleep(time.Minute)
		require.Equal(t, 200, s.as(bob, "GET", onlinePath+"count").Code)
		time.Sleep(time.Minute)
		body := fmt.Sprintf(`{"preview":%q}`, token)
		assert.Equal(t, map[string]any{"ended": 1.0, "skipped": 1.0, "more": false}, s.bulk(t, adam, body))
		assert.Equal(t, 200, s.as(bob, "GET", onlinePath+"count").Code)
		assert.Equal(t, 401, s.as(alice, "GET", onlinePath+"count").Code)
		time.Sleep(time.Hour)
		w := s.send(adam, "POST", adminPath+"sessions/end", body)
		assert.Equal(t, "preview: it is older than an hour; count again.", requireProblem(t, w, 400, "bad_request")["detail"])
	})
}

// TestBulkEndInSteps: more says to send the same again, until all is ended.
func TestBulkEndInSteps(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, NewMemoryStore(), siteOptions{})
		s.signInAll(t, adam)
		for i := range bulkLimit + 50 {
			_, err := s.backend.store.Create(t.Context(), NewSession{Session: Session{ID: newHandle().id(), UserID: fmt.Sprint("many", i)}})
			require.NoError(t, err)
		}
		var users []string
		for i := range 3 {
			users = append(users, fmt.Sprint("many", i))
		}
		n, _ := s.counted(t, "user="+strings.Join(users, ","))
		assert.EqualValues(t, 3, n)
		n, token := s.counted(t, "login_after=2000-01-01T00:00:00Z&login_before=2100-01-01T00:00:00Z")
		assert.EqualValues(t, bulkLimit+51, n)
		body := fmt.Sprintf(`{"preview":%q}`, token)
		assert.Equal(t, map[string]any{"ended": float64(bulkLimit), "skipped": 0.0, "more": true}, s.bulk(t, adam, body))
		assert.Equal(t, map[string]any{"ended": 51.0, "skipped": 0.0, "more": false}, s.bulk(t, adam, body), "adam's own too")
	})
}

// TestMatchingEndsAllInSteps: Tracker.End takes a filter, however many sessions it selects.
func TestMatchingEndsAllInSteps(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := NewMemoryStore()
		tracker, err := New(store, nil)
		require.NoError(t, err)
		for i := range 2*bulkLimit + 7 {
			n := NewSession{Session: Session{ID: newHandle().id(), UserID: "1", Location: Location{CountryCode: []string{"ID", "DE"}[i%2]}}}
			_, err := store.Create(t.Context(), n)
			require.NoError(t, err)
		}
		ended, err := tracker.End(t.Context(), Matching(Filter{Country: "ID"}), Ending{Reason: ReasonAdmin})
		require.NoError(t, err)
		assert.Len(t, ended, bulkLimit+4)
		left, err := tracker.Count(t.Context(), Filter{})
		require.NoError(t, err)
		assert.Equal(t, bulkLimit+3, left.N)
		_, err = tracker.End(t.Context(), Matching(Filter{State: StateAny}), Ending{Reason: ReasonAdmin})
		require.ErrorIs(t, err, ErrInvalidArgument)
	})
}

// TestBulkEndByIDs: handles that are unknown or had ended are skipped, and so is what is no handle.
func TestBulkEndByIDs(t *testing.T) {
	t.Parallel()
	s := newSite(t, NewMemoryStore(), siteOptions{})
	a, b := s.signIn(t, alice), s.signIn(t, bob)
	s.signInAll(t, adam)
	_, err := s.End(t.Context(), IDs(b.ID), Ending{Reason: ReasonLogout})
	require.NoError(t, err)
	body := fmt.Sprintf(`{"ids":[%q,%q,%q,"x",%q]}`, a.ID, b.ID, newHandle().id(), a.ID)
	assert.Equal(t, map[string]any{"ended": 1.0, "skipped": 3.0, "more": false}, s.bulk(t, adam, body))
}

// TestBulkEndProtectsSuperadmins: one of their sessions among the others refuses all of them, where
// the caller is none.
func TestBulkEndProtectsSuperadmins(t *testing.T) {
	t.Parallel()
	s := newSite(t, NewMemoryStore(), siteOptions{})
	sessions := s.signInAll(t, alice, bob, adam, ruth)
	_, token := s.counted(t, "")
	for _, body := range []string{
		fmt.Sprintf(`{"preview":%q}`, token), fmt.Sprintf(`{"ids":[%q,%q]}`, sessions[alice].ID, sessions[ruth].ID),
	} {
		requireProblem(t, s.send(adam, "POST", adminPath+"sessions/end", body), 403, "forbidden")
	}
	n, _ := s.counted(t, "")
	assert.EqualValues(t, 4, n, "nothing is ended")
	for _, a := range s.audited() {
		assert.Equal(t, outcomeForbidden, a.Outcome)
		assert.Zero(t, a.Ended)
	}
	assert.EqualValues(t, 4, s.bulk(t, ruth, fmt.Sprintf(`{"preview":%q}`, token))["ended"])
}

// TestBulkEndRefusesOtherBodies: what cannot be meant ends nothing.
func TestBulkEndRefusesOtherBodies(t *testing.T) {
	t.Parallel()
	s := newSite(t, NewMemoryStore(), siteOptions{})
	s.signInAll(t, alice, adam)
	_, token := s.counted(t, "")
	for body, detail := range map[string]string{
		``:           "The body: want one JSON object",
		`[]`:         "The body: want one JSON object",
		`{"all":1}`:  "The body: want one JSON object",
		`{}`:         "The body: want either preview or ids.",
		`{"ids":[]}`: "The body: want either preview or ids.",
		fmt.Sprintf(`{"preview":%q,"ids":["x"]}`, token):     "The body: want either preview or ids.",
		fmt.Sprintf(`{"preview":%q}{}`, token):               "The body: want one JSON object and nothing",
		fmt.Sprintf(`{"preview":%q,"reason":""}`, token):     "reason: want 1 to 32",
		fmt.Sprintf(`{"preview":%q,"reason":"idle"}`, token): "reason: only the library",
		`{"preview":"x"}`: "preview: want what",
		fmt.Sprintf(`{"preview":%q}`, "eyJ9"+token):              "preview: want what",
		`{"ids":[` + strings.Repeat(`"x",`, bulkLimit) + `"x"]}`: "ids: want at most 1000.",
		`{"ids":["` + strings.Repeat("x", maxBody) + `"]}`:       "The body: want one JSON object",
	} {
		w := s.send(adam, "POST", adminPath+"sessions/end", body)
		assert.Contains(t, requireProblem(t, w, 400, "bad_request")["detail"], detail, body[:min(len(body), 60)])
	}
	requireProblem(t, s.send(alice, "POST", adminPath+"sessions/end", `{"ids":["x"]}`), 403, "forbidden")
	requireProblem(t, s.send("", "POST", adminPath+"sessions/end", `{"ids":["x"]}`), 401, "unauthenticated")
	requireProblem(t, s.as(adam, "GET", adminPath+"sessions/end"), 405, "method_not_allowed")
	n, _ := s.counted(t, "")
	assert.EqualValues(t, 2, n)
	_, token = s.counted(t, "state=any")
	assert.Empty(t, token, "only what is active can end")
}

// TestExportIsCSV: a spreadsheet takes no value for a formula, and reads as many rows as the list.
func TestExportIsCSV(t *testing.T) {
	t.Parallel()
	s := newSite(t, NewMemoryStore(), siteOptions{})
	session := s.signIn(t, alice)
	for range 101 {
		s.signIn(t, bob)
	}
	s.signInAll(t, adam)
	require.NoError(t, s.backend.store.Describe(t.Context(), []SessionUpdate{
		{ID: session.ID, Device: &Device{Type: DeviceTV, Browser: `=HYPERLINK("http://x","y")`}},
	}))
	w := s.as(adam, "GET", adminPath+"sessions/export.csv?user="+alice+","+bob)
	require.Equal(t, 200, w.Code)
	assert.Equal(t, "text/csv; charset=utf-8; header=present", w.Header().Get("Content-Type"))
	assert.Equal(t, "no-store", w.Header().Get("Cache-Control"))
	rows, err := csv.NewReader(w.Body).ReadAll()
	require.NoError(t, err)
	require.Len(t, rows, 103)
	assert.Equal(t, csvHeader, rows[0])
	last := rows[102]
	assert.Equal(t, []string{string(session.ID), alice}, last[:2])
	assert.Contains(t, strings.Join(last, "|"), `|'=HYPERLINK("http://x","y")|`)
	for _, user := range []string{"", alice} {
		assert.Contains(t, []int{401, 403}, s.as(user, "GET", adminPath+"sessions/export.csv").Code)
	}
	audits := s.audited()
	require.Len(t, audits, 3)
	assert.Equal(t, [2]string{actionExport, "user=1%2C2"}, [2]string{audits[0].Action, audits[0].Filter})
	for text, want := range map[string]string{"": "", "a=b": "a=b", "-1": "'-1", "@x": "'@x", "\tx": "'\tx", "+1": "'+1"} {
		assert.Equal(t, want, defused(text))
	}
}

// TestPreviewsAreEndedWhileOthersSignIn: over two replicas, with sign-ins all the time, a bulk end
// ends all that its preview showed and nothing that began after it (I26).
func TestPreviewsAreEndedWhileOthersSignIn(t *testing.T) {
	t.Parallel()
	onEachStore(t, func(t *testing.T, store Store) {
		ctx, stop := context.WithCancel(t.Context())
		replicas := make([]*Tracker, 2)
		var signIns sync.WaitGroup
		for i := range replicas {
			tracker, err := New(store, nil)
			require.NoError(t, err)
			replicas[i] = tracker
			signIns.Go(func() {
				tick := time.NewTicker(10 * time.Millisecond) // two replicas: 200 a second
				defer tick.Stop()
				for n := 0; ctx.Err() == nil; n++ {
					w, r := httptest.NewRecorder(), httptest.NewRequest("POST", "/login", nil)
					_, _, err := tracker.LoginWith(w, r, fmt.Sprint("user", n%50), LoginOptions{Tenant: []string{"acme", "other"}[n%2]})
					assert.NoError(t, err)
					<-tick.C
				}
			})
		}
		for i := range 20 {
			endsItsPreview(t, replicas[i%2], replicas[1-i%2], EndReason(fmt.Sprint("preview-", i)))
		}
		stop()
		signIns.Wait()
	})
}

// endsItsPreview previews the sessions of a tenant on one replica and ends them on another one.
func endsItsPreview(t *testing.T, shown, ending *Tracker, reason EndReason) {
	t.Helper()
	f := Filter{Tenant: "acme"}
	var count Count
	require.Eventually(t, func() bool {
		var err error
		count, err = shown.Count(t.Context(), f)
		return assert.NoError(t, err) && count.N > 0
	}, 20*time.Second, time.Millisecond)
	page, err := shown.List(t.Context(), Query{Filter: f, Sort: SortLogin, AsOf: count.AsOf, Limit: 100})
	require.NoError(t, err)
	require.GreaterOrEqual(t, len(page.Sessions), count.N)
	_, err = ending.End(t.Context(), Matching(f).AsOf(count.AsOf), Ending{Reason: reason})
	require.NoError(t, err)
	for _, s := range page.Sessions {
		got, err := shown.Get(t.Context(), s.ID)
		require.NoError(t, err)
		assert.True(t, got.Ended(), "previewed, and still alive")
	}
	ended, err := shown.List(t.Context(), Query{
		Filter: Filter{State: StateEnded, Reasons: []EndReason{reason}}, Sort: SortLogin, Limit: 100,
	})
	require.NoError(t, err)
	for _, s := range ended.Sessions {
		assert.Equal(t, "acme", s.Tenant)
		assert.False(t, s.LoginAt.After(count.AsOf), "ended, though it began after the preview")
	}
}
