package storetest

import (
	"net/netip"
	"strings"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sessiontrack/sessiontrack"
)

// auditRecord is a record with every field.
func auditRecord(actor, user string) sessiontrack.AuditRecord {
	return sessiontrack.AuditRecord{
		Action: "force_logout", Outcome: sessiontrack.AuditRefused, Actor: actor, UserID: user,
		SessionID: newSession(user).Session.ID, Reason: sessiontrack.ReasonAdmin, Count: 3, Filter: "tenant=a&state=active",
		Address: netip.MustParseAddr("2001:db8::1"),
	}
}

// trail returns the whole trail that a query selects, page by page, without the times.
func (c *check) trail(q sessiontrack.AuditQuery) (all []sessiontrack.AuditRecord) {
	c.Helper()
	store := capability[sessiontrack.Auditor](c)
	if q.Limit == 0 {
		q.Limit = 100
	}
	for {
		page, err := store.Audit(c.Context(), q)
		require.NoError(c, err)
		require.LessOrEqual(c, len(page.Records), q.Limit)
		for _, r := range page.Records {
			require.False(c, r.At.IsZero())
			r.At = time.Time{}
			all = append(all, r)
		}
		if page.Next.IsZero() {
			return all
		}
		require.Len(c, page.Records, q.Limit, "only the last page is short")
		q.After = page.Next
	}
}

func (c *check) record(records ...sessiontrack.AuditRecord) {
	c.Helper()
	store := capability[sessiontrack.Auditor](c)
	for _, r := range records {
		require.NoError(c, store.Record(c.Context(), r))
	}
}

var auditCases = []testCase{
	{"audit/keeps every field", "a trail without the address, or without who did it, answers nothing", func(c *check) {
		full := auditRecord("admin-1", "user-1")
		least := sessiontrack.AuditRecord{Action: "cleanup", Outcome: sessiontrack.AuditDone}
		before := c.now()
		c.record(full, least)
		assert.Equal(c, []sessiontrack.AuditRecord{least, full}, c.trail(sessiontrack.AuditQuery{}), "newest first")
		page, err := capability[sessiontrack.Auditor](c).Audit(c.Context(), sessiontrack.AuditQuery{Limit: 1})
		require.NoError(c, err)
		assert.False(c, page.Records[0].At.Before(before), "At is the store's time")
		assert.Equal(c, time.UTC, page.Records[0].At.Location())
	}},
	{"audit/pages bring each record once", "a cursor by time alone loses records of one microsecond", func(c *check) {
		var want []sessiontrack.AuditRecord
		for i := range 7 {
			r := auditRecord("admin-1", "user-1")
			r.Count = i
			c.record(r)
			want = append([]sessiontrack.AuditRecord{r}, want...)
		}
		for _, limit := range []int{1, 2, 3, 7} {
			assert.Equal(c, want, c.trail(sessiontrack.AuditQuery{Limit: limit}), "pages of %d", limit)
		}
	}},
	{"audit/narrows by actor, user, action and time", "who ended my session? what did they do that day?", func(c *check) {
		a, b := auditRecord("admin-1", "user-1"), auditRecord("admin-2", "user-1")
		other := auditRecord("admin-1", "user-2")
		other.Action = "step_up"
		c.record(a, b, other)
		for q, want := range map[*sessiontrack.AuditQuery][]sessiontrack.AuditRecord{
			{Actor: "admin-1"}:  {other, a},
			{User: "user-1"}:    {b, a},
			{Action: "step_up"}: {other},
			{Actor: "admin-1", User: "user-1", Action: "none"}: nil,
			{Actor: "ADMIN-1"}: nil,
		} {
			assert.Equal(c, want, c.trail(*q), "%+v", q)
		}
		page, err := capability[sessiontrack.Auditor](c).Audit(c.Context(), sessiontrack.AuditQuery{Limit: 100})
		require.NoError(c, err)
		last := page.Records[0].At
		assert.Empty(c, c.trail(sessiontrack.AuditQuery{From: last.Add(time.Microsecond)}))
		assert.Contains(c, c.trail(sessiontrack.AuditQuery{From: last}), other, "from From on")
		assert.NotContains(c, c.trail(sessiontrack.AuditQuery{To: last}), other, "before To")
		assert.Len(c, c.trail(sessiontrack.AuditQuery{To: last.Add(time.Microsecond)}), 3)
	}},
	{"audit/an end writes its record", "an acknowledged end without a record cannot be explained (I27)", func(c *check) {
		r := auditRecord("admin-1", "user-1")
		c.trail(sessiontrack.AuditQuery{}) // skips a store without a trail
		c.create("user-1")
		c.create("user-1")
		e := sessiontrack.Ending{Reason: sessiontrack.ReasonAdmin, Actor: "admin-1", Audit: &r}
		ended, err := c.store.End(c.Context(), sessiontrack.User("user-1"), e)
		require.NoError(c, err)
		require.Len(c, ended.Sessions, 2)
		assert.Equal(c, 3, r.Count, "the caller's record stays as it is")
		again, err := c.store.End(c.Context(), sessiontrack.User("user-1"), e)
		require.NoError(c, err)
		require.Empty(c, again.Sessions)
		with := r
		with.Count += 2
		assert.Equal(c, []sessiontrack.AuditRecord{r, with}, c.trail(sessiontrack.AuditQuery{}),
			"the count of the call is added, and an end of nothing is recorded too")
	}},
	{"audit/an end that is refused writes none", "a record of what was not done accuses somebody", func(c *check) {
		r := auditRecord("admin-1", "user-1")
		c.trail(sessiontrack.AuditQuery{})
		s := c.create("user-1")
		_, err := c.store.End(c.Context(), sessiontrack.IDs(s.ID), sessiontrack.Ending{Reason: "No Reason", Audit: &r})
		require.Error(c, err)
		r.Action = "Force Logout"
		_, err = c.store.End(c.Context(), sessiontrack.IDs(s.ID), sessiontrack.Ending{Reason: sessiontrack.ReasonAdmin, Audit: &r})
		require.ErrorIs(c, err, sessiontrack.ErrInvalidArgument)
		c.alive(s.ID, true)
		assert.Empty(c, c.trail(sessiontrack.AuditQuery{}))
	}},
	{"audit/the purge deletes what is past its retention", "a trail for ever is personal data for ever", func(c *check) {
		store, a, b := capability[sessiontrack.Auditor](c), auditRecord("admin-1", "user-1"), auditRecord("admin-2", "user-2")
		c.record(a, b)
		n, err := store.PurgeAudit(c.Context(), time.Hour, 100)
		require.NoError(c, err)
		assert.Zero(c, n, "within the retention")
		c.pass(c.now())
		n, err = store.PurgeAudit(c.Context(), 0, 1)
		require.NoError(c, err)
		assert.Equal(c, 1, n, "no more than the limit")
		assert.Equal(c, []sessiontrack.AuditRecord{b}, c.trail(sessiontrack.AuditQuery{}), "the oldest goes first")
		n, err = store.PurgeAudit(c.Context(), 0, 100)
		require.NoError(c, err)
		assert.Equal(c, 1, n)
		assert.Empty(c, c.trail(sessiontrack.AuditQuery{}))
	}},
	{"audit/wrong arguments are refused", "a bound that one store has and another has not is found in production",
		func(c *check) {
			store := capability[sessiontrack.Auditor](c)
			for name, change := range map[string]func(r *sessiontrack.AuditRecord){
				"Action":    func(r *sessiontrack.AuditRecord) { r.Action = "" },
				"Outcome":   func(r *sessiontrack.AuditRecord) { r.Outcome = "maybe" },
				"Actor":     func(r *sessiontrack.AuditRecord) { r.Actor = "a\x00b" },
				"User":      func(r *sessiontrack.AuditRecord) { r.UserID = strings.Repeat("a", 256) },
				"SessionID": func(r *sessiontrack.AuditRecord) { r.SessionID = "short" },
				"Reason":    func(r *sessiontrack.AuditRecord) { r.Reason = "No" },
				"Count":     func(r *sessiontrack.AuditRecord) { r.Count = -1 },
				"Filter":    func(r *sessiontrack.AuditRecord) { r.Filter = "\x00" },
			} {
				r := auditRecord("admin-1", "user-1")
				change(&r)
				err := store.Record(c.Context(), r)
				require.ErrorIs(c, err, sessiontrack.ErrInvalidArgument, name)
				assert.ErrorContains(c, err, name)
			}
			at := time.Date(2026, 1, 2, 0, 0, 0, 0, time.UTC)
			for name, q := range map[string]sessiontrack.AuditQuery{
				"Limit": {Limit: 101}, "Actor": {Limit: 1, Actor: "\x00"}, "Action": {Limit: 1, Action: "No"},
				"To": {Limit: 1, From: at, To: at},
			} {
				_, err := store.Audit(c.Context(), q)
				require.ErrorIs(c, err, sessiontrack.ErrInvalidArgument, name)
				assert.ErrorContains(c, err, name)
			}
			_, err := store.PurgeAudit(c.Context(), -1, 1)
			require.ErrorIs(c, err, sessiontrack.ErrInvalidArgument)
			_, err = store.PurgeAudit(c.Context(), 0, 0)
			require.ErrorIs(c, err, sessiontrack.ErrInvalidArgument)
		}},
}
