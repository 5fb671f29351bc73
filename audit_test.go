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

// trailOf returns the trail of a tracker, newest first, without times and addresses.
func trailOf(t *testing.T, tracker *Tracker, q AuditQuery) []AuditRecord {
	t.Helper()
	q.Limit = 100
	page, err := tracker.Audit(t.Context(), q)
	require.NoError(t, err)
	require.True(t, page.Next.IsZero())
	for i := range page.Records {
		page.Records[i].At = time.Time{}
		page.Records[i].Address = page.Records[i].Address.Unmap()
	}
	return page.Records
}

// TestEveryAdminActionIsOnRecord: what was done, refused and failed, by administrators and by users
// with their own sessions, each once, on both stores (I27).
func TestEveryAdminActionIsOnRecord(t *testing.T) {
	t.Parallel()
	onEachStore(t, func(t *testing.T, store Store) {
		s := newSite(t, store, siteOptions{})
		sessions := s.signInAll(t, adam, ruth, alice, bob)
		bobs, ruths := sessions[bob].ID, sessions[ruth].ID
		own := s.signIn(t, bob).ID
		_, preview := s.counted(t, "user="+alice)
		for _, test := range []struct {
			user, method, path string
			status             int
			want               AuditRecord
		}{
			{"", "POST", adminPath + "force-logout/" + string(bobs), 401, AuditRecord{Action: "force_logout", Outcome: AuditRefused, SessionID: bobs, Reason: ReasonAdmin}},
			{alice, "POST", adminPath + "force-logout/" + string(bobs), 403, AuditRecord{Action: "force_logout", Outcome: AuditRefused, Actor: alice, SessionID: bobs, Reason: ReasonAdmin}},
			{adam, "POST", adminPath + "force-logout/" + string(ruths), 403, AuditRecord{Action: "force_logout", Outcome: AuditRefused, Actor: adam, SessionID: ruths, Reason: ReasonAdmin}},
			{bob, "DELETE", onlinePath + "sessions/" + string(bobs), 200, AuditRecord{Action: "end_own", Outcome: AuditDone, Actor: bob, UserID: bob, SessionID: bobs, Reason: ReasonUser, Count: 1}},
			{adam, "POST", adminPath + "force-logout/" + string(bobs), 200, AuditRecord{Action: "force_logout", Outcome: AuditDone, Actor: adam, UserID: bob, SessionID: bobs, Reason: ReasonAdmin}},
			{adam, "POST", adminPath + "force-logout/" + string(own), 200, AuditRecord{Action: "force_logout", Outcome: AuditDone, Actor: adam, UserID: bob, SessionID: own, Reason: ReasonAdmin, Count: 1}},
			{adam, "POST", adminPath + "force-logout/AAAAAAAAAAAAAAAAAAAAAA", 404, AuditRecord{Action: "force_logout", Outcome: AuditFailed, Actor: adam, SessionID: "AAAAAAAAAAAAAAAAAAAAAA", Reason: ReasonAdmin}},
			{alice, "POST", onlinePath + "sessions/end-others", 200, AuditRecord{Action: "end_others", Outcome: AuditDone, Actor: alice, UserID: alice, Reason: ReasonUser}},
			{adam, "POST", adminPath + "force-logout-user/" + bob, 200, AuditRecord{Action: "force_logout_user", Outcome: AuditDone, Actor: adam, UserID: bob, Reason: ReasonAdmin}},
			{adam, "POST", adminPath + "cleanup-expired", 200, AuditRecord{Action: "cleanup", Outcome: AuditDone, Actor: adam}},
			{adam, "POST", onlinePath + "cleanup", 200, AuditRecord{Action: "cleanup", Outcome: AuditDone, Actor: adam}},
			{adam, "GET", adminPath + "sessions/export.csv?user=" + bob, 200, AuditRecord{Action: "export_sessions", Outcome: AuditDone, Actor: adam, Filter: "user=2"}},
			{adam, "GET", adminPath + "sessions/export.csv?user=" + bob + "&x=1", 400, AuditRecord{Action: "export_sessions", Outcome: AuditFailed, Actor: adam}},
		} {
			before := len(trailOf(t, s.Tracker, AuditQuery{}))
			require.Equal(t, test.status, s.as(test.user, test.method, test.path).Code, test.path)
			trail := trailOf(t, s.Tracker, AuditQuery{})
			require.Len(t, trail, before+1, "one record for %s", test.path)
			test.want.Address = trail[0].Address
			assert.Equal(t, test.want, trail[0], test.path)
			assert.True(t, trail[0].Address.IsValid())
		}
		s.bulk(t, adam, `{"preview":"`+preview+`"}`)
		trail := trailOf(t, s.Tracker, AuditQuery{Action: actionEndMany})
		require.Len(t, trail, 1, "one record a call")
		assert.Equal(t, 1, trail[0].Count)
		assert.Equal(t, "user=1", trail[0].Filter)
	})
}

// TestABulkEndIsOneRecord: sessions end in portions, and the record has all of them.
func TestABulkEndIsOneRecord(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, NewMemoryStore(), siteOptions{})
		s.signInAll(t, adam)
		for range 2*leastStep + 1 {
			s.signIn(t, alice)
		}
		_, preview := s.counted(t, "user="+alice)
		s.bulk(t, adam, `{"preview":"`+preview+`"}`)
		trail := trailOf(t, s.Tracker, AuditQuery{})
		require.Len(t, trail, 1)
		assert.Equal(t, 2*leastStep+1, trail[0].Count)
		// A second time there is nothing to end, and that is on record, too.
		s.bulk(t, adam, `{"preview":"`+preview+`"}`)
		trail = trailOf(t, s.Tracker, AuditQuery{})
		require.Len(t, trail, 2)
		assert.Zero(t, trail[0].Count)
	})
}

// silentStore cannot write its trail.
type silentStore struct{ *MemoryStore }

func (s silentStore) Record(context.Context, AuditRecord) error { return ErrUnavailable }

// TestWhatIsNotRecordedIsNotAcknowledged: an action whose record cannot be written answers 503. A
// refusal stays a refusal, and a step-up stays one.
func TestWhatIsNotRecordedIsNotAcknowledged(t *testing.T) {
	t.Parallel()
	s := newSite(t, silentStore{NewMemoryStore()}, siteOptions{})
	s.signInAll(t, adam, alice)
	assert.Equal(t, 503, s.as(adam, "POST", adminPath+"cleanup-expired").Code)
	assert.Equal(t, outcomeFailed, s.audited()[0].Outcome)
	assert.Equal(t, 503, s.as(adam, "GET", adminPath+"sessions/export.csv").Code)
	assert.Equal(t, 403, s.as(alice, "POST", adminPath+"cleanup-expired").Code)
	assert.Positive(t, s.Counters()["audit.failed"])
	r := httptest.NewRequest(http.MethodPost, "/", nil)
	r.Header.Set("x-session-id", s.tokens[alice].Reveal())
	_, _, err := s.StepUp(httptest.NewRecorder(), r, "pwd")
	assert.NoError(t, err)
}

// TestStepUpsAndImpersonationsAreOnRecord: with who acted, in an impersonation the administrator.
func TestStepUpsAndImpersonationsAreOnRecord(t *testing.T) {
	t.Parallel()
	tracker, err := New(NewMemoryStore(), &Options{SessionAlone: true})
	require.NoError(t, err)
	r := httptest.NewRequest(http.MethodPost, "/", nil)
	acted, token, err := tracker.LoginWith(httptest.NewRecorder(), r, "user-1", LoginOptions{ActedBy: "admin-1"})
	require.NoError(t, err)
	r.Header.Set("x-session-id", token.Reveal())
	_, _, err = tracker.StepUp(httptest.NewRecorder(), r, "pwd")
	require.NoError(t, err)
	_, _, err = tracker.Login(httptest.NewRecorder(), httptest.NewRequest(http.MethodPost, "/", nil), "user-2")
	require.NoError(t, err)
	trail := trailOf(t, tracker, AuditQuery{Actor: "admin-1"})
	require.Len(t, trail, 2)
	assert.Equal(t, "step_up", trail[0].Action)
	assert.Equal(t, "impersonate", trail[1].Action)
	assert.Equal(t, acted.ID, trail[1].SessionID)
	assert.Equal(t, "user-1", trail[1].UserID)
	assert.Len(t, trailOf(t, tracker, AuditQuery{}), 2, "a plain sign-in is none")
}

// TestTheTrailIsPurged: the cleanup keeps records for AuditRetention, and for ever where that is
// negative.
func TestTheTrailIsPurged(t *testing.T) {
	t.Parallel()
	for keep, left := range map[time.Duration]int{time.Hour: 0, 3 * time.Hour: 1, -1: 1} {
		synctest.Test(t, func(t *testing.T) {
			store := NewMemoryStore()
			tracker, err := New(store, &Options{AuditRetention: keep, Retention: -1})
			require.NoError(t, err)
			require.NoError(t, store.Record(t.Context(), AuditRecord{Action: "cleanup", Outcome: AuditDone}))
			time.Sleep(2 * time.Hour)
			_, err = tracker.Cleanup(t.Context())
			require.NoError(t, err)
			assert.Len(t, trailOf(t, tracker, AuditQuery{}), left, keep)
		})
	}
}

// TestTheTrailInMemoryIsBounded: the oldest records go first.
func TestTheTrailInMemoryIsBounded(t *testing.T) {
	t.Parallel()
	s := NewMemoryStore()
	for i := range maxAuditInMemory + 10 {
		s.append(AuditRecord{Action: "cleanup", Outcome: AuditDone, Count: i}, s.now())
	}
	require.Len(t, s.records, maxAuditInMemory)
	assert.Equal(t, 10, s.records[0].Count)
}

// TestAStoreWithoutATrail: actions work, and nobody takes the absence for an empty trail.
func TestAStoreWithoutATrail(t *testing.T) {
	t.Parallel()
	s := newSite(t, plainStore{NewMemoryStore()}, siteOptions{})
	s.signInAll(t, adam, alice)
	require.Equal(t, 200, s.as(adam, "POST", adminPath+"force-logout-user/"+alice).Code)
	assert.Equal(t, 500, s.as(adam, "GET", adminPath+"audit").Code)
	_, err := s.Audit(t.Context(), AuditQuery{})
	require.ErrorIs(t, err, ErrStoreFault)
	_, err = s.End(t.Context(), User(alice), Ending{Reason: ReasonAdmin, Audit: &AuditRecord{Action: "host", Outcome: AuditDone}})
	assert.ErrorIs(t, err, ErrInvalidArgument)
}

// TestAHostRecordsItsOwnEnds: Ending.Audit is the host's, with Matching too.
func TestAHostRecordsItsOwnEnds(t *testing.T) {
	t.Parallel()
	s := newSite(t, NewMemoryStore(), siteOptions{})
	s.signInAll(t, alice, bob)
	r := AuditRecord{Action: "fired", Outcome: AuditDone, Actor: "hr", UserID: alice}
	_, err := s.End(t.Context(), User(alice), Ending{Reason: ReasonAdmin, Audit: &r})
	require.NoError(t, err)
	_, err = s.End(t.Context(), Matching(Filter{Users: []string{bob}}), Ending{Reason: ReasonAdmin, Audit: &r})
	require.NoError(t, err)
	trail := trailOf(t, s.Tracker, AuditQuery{Action: "fired"})
	require.Len(t, trail, 2)
	assert.Equal(t, 1, trail[0].Count)
	assert.Equal(t, 1, trail[1].Count)
}

// TestTheTrailIsAppendOnly: also against others who may write the table. Personal data may be
// blanked, and records go after their retention.
func TestTheTrailIsAppendOnly(t *testing.T) {
	t.Parallel()
	s, ctx := newBunStore(t), t.Context()
	r := AuditRecord{Action: "cleanup", Outcome: AuditDone, Actor: "admin-1", UserID: "user-1", Filter: "tenant=a"}
	require.NoError(t, s.Record(ctx, r))
	for _, statement := range []string{
		"UPDATE session_audit SET actor = 'somebody else'", "UPDATE session_audit SET at = now()",
		"UPDATE session_audit SET action = ''", "UPDATE session_audit SET count = 0, id = DEFAULT",
		"DELETE FROM session_audit", "TRUNCATE session_audit",
	} {
		_, err := s.db.ExecContext(ctx, statement)
		require.ErrorContains(t, err, "append-only", statement)
	}
	_, err := s.db.ExecContext(ctx, "UPDATE session_audit SET actor = '', user_id = '', filter = '', ip_address = ''")
	require.NoError(t, err)
	page, err := s.Audit(ctx, AuditQuery{Limit: 1})
	require.NoError(t, err)
	assert.Empty(t, page.Records[0].Actor+page.Records[0].UserID+page.Records[0].Filter)
	n, err := s.PurgeAudit(ctx, 0, 10)
	require.NoError(t, err)
	assert.Equal(t, 1, n)
}

// TestTheTrailIsReadByIndex: a page of a large trail reads no more than it shows.
func TestTheTrailIsReadByIndex(t *testing.T) {
	t.Parallel()
	s, ctx := newBunStore(t), t.Context()
	_, err := s.db.ExecContext(ctx, `INSERT INTO session_audit (at, action, outcome, actor, user_id, session_id, reason, count, filter, ip_address)
		SELECT now() - i * interval '1 second', 'force_logout', 'done', 'admin-' || i % 100, 'user-' || i % 1000, '', 'admin', 1, '', ''
		FROM generate_series(1, 20000) AS i`)
	require.NoError(t, err)
	_, err = s.db.ExecContext(ctx, "VACUUM ANALYZE session_audit")
	require.NoError(t, err)
	hook := watch(s)
	for _, q := range []AuditQuery{
		{}, {Actor: "admin-1"}, {User: "user-1"}, {From: time.Now().Add(-time.Hour)}, {To: time.Now().Add(-time.Hour)},
		{After: Cursor{At: time.Now().Add(-time.Hour), Serial: 1}},
		{Actor: "admin-1", After: Cursor{At: time.Now().Add(-time.Hour), Serial: 1}},
	} {
		q.Limit = 20
		for _, statement := range statementsOf(t, s, hook, func(ctx context.Context) error {
			_, err := s.Audit(ctx, q)
			return err
		}) {
			blocks, plan := blocksOf(t, s, statement)
			assert.Less(t, blocks, 150, plan)
		}
	}
}
