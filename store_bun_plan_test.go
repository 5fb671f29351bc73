package sessiontrack

import (
	"context"
	"maps"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// explain returns the plan of a statement.
func explain(t *testing.T, s *BunStore, statement string) string {
	t.Helper()
	var lines []string
	require.NoError(t, s.db.NewRaw("EXPLAIN "+statement).Scan(t.Context(), &lines))
	return strings.Join(lines, "\n")
}

// TestBunStoreReadsByIndex asks the planner about the very statements that the
// store sends, on tables of some size: what a request, an administrator's page or
// the feed reads must not walk through a table.
func TestBunStoreReadsByIndex(t *testing.T) {
	t.Parallel()
	s := newBunStore(t)
	readsByIndex(t, s, fill(t, s, 60_000, 50_000))
}

// readsByIndex asks the planner about every kind of read.
func readsByIndex(t *testing.T, s *BunStore, ids []SessionID) {
	t.Helper()
	hook := watch(s)
	windows := [3]time.Duration{5 * time.Minute, 15 * time.Minute, time.Hour}
	ctx := t.Context()
	page, err := s.List(ctx, Query{Limit: 50})
	require.NoError(t, err)
	online, err := s.ListOnline(ctx, OnlineQuery{Window: time.Hour, Limit: 50})
	require.NoError(t, err)
	_, _, err = s.Sample(ctx, StatsQuery{Windows: windows})
	require.NoError(t, err)
	hook.take()

	for name, call := range readsOf(s, ids[0], page.Next, online.Next) {
		t.Run(name, func(t *testing.T) {
			hook.take()
			require.NoError(t, call(t.Context()))
			sent := hook.take()
			require.NotEmpty(t, sent)
			for _, statement := range sent {
				plan := explain(t, s, statement)
				hook.take()
				assert.NotContains(t, plan, "Seq Scan on user_", "%s\n%s", statement, plan)
			}
		})
	}
}

// readsOf returns a call of every kind of read.
func readsOf(s *BunStore, id SessionID, nextPage, nextUsers Cursor) map[string]func(context.Context) error {
	windows := [3]time.Duration{5 * time.Minute, 15 * time.Minute, time.Hour}
	list := func(q Query) func(context.Context) error {
		q.Limit = 50
		return func(ctx context.Context) error { _, err := s.List(ctx, q); return err }
	}
	return map[string]func(context.Context) error{
		"get":                 func(ctx context.Context) error { _, err := s.Get(ctx, id); return err },
		"read":                func(ctx context.Context) error { _, err := s.Read(ctx, []SessionID{id, newHandle().id()}); return err },
		"list, first page":    list(Query{IdleTimeout: 24 * time.Hour}),
		"list, next page":     list(Query{After: nextPage}),
		"list, lately active": list(Query{Within: 15 * time.Minute}),
		"list, by address":    list(Query{Filter: Filter{Address: netip.MustParsePrefix("192.0.8.8/32")}}),
		"list, by device":     list(Query{Filter: Filter{Device: DeviceTV}}),
		"list, of users":      list(Query{Filter: Filter{Users: []string{"user1", "user2"}}}),
		"list, of a user":     list(Query{UserID: "user1", Live: true, Within: time.Hour}),
		"list, a user's next": list(Query{UserID: "user1", After: Cursor{At: time.Now(), Serial: 9}}),
		"feed": func(ctx context.Context) error {
			_, err := s.EndedSince(ctx, time.Now().Add(-time.Minute), 10_000)
			return err
		},
		"count online": func(ctx context.Context) error {
			_, _, err := s.CountOnline(ctx, windows[:])
			return err
		},
		"list online": func(ctx context.Context) error {
			_, err := s.ListOnline(ctx, OnlineQuery{Window: time.Hour, Limit: 50})
			return err
		},
		"list online, next": func(ctx context.Context) error {
			_, err := s.ListOnline(ctx, OnlineQuery{Window: time.Hour, Limit: 50, After: nextUsers})
			return err
		},
		"stats": func(ctx context.Context) error {
			_, err := s.CountStats(ctx, StatsQuery{Windows: windows})
			return err
		},
	}
}

// filtersOf returns a filter of each fact alone.
func filtersOf() map[string]Filter {
	return map[string]Filter{
		"nothing": {}, "tenant": {Tenant: "acme"}, "client": {Client: "ios"}, "acted by": {ActedBy: "7"},
		"device": {Device: DeviceTV}, "browser": {Browser: "Firefox"}, "os": {OS: "Android"}, "country": {Country: "ID"},
		"address": {Address: netip.MustParsePrefix("192.0.8.8/32")}, "derived": {Derived: true},
		"login": {LoginAfter: time.Now().Add(-time.Hour), LoginBefore: time.Now()},
		"idle":  {IdleFor: time.Hour}, "seen": {SeenWithin: time.Hour}, "fresh": {FreshBefore: time.Now()},
		"users": {Users: []string{"user1", "user2"}}, "reason": {State: StateEnded, Reasons: []EndReason{"admin", "idle"}},
		"network": {Address: netip.MustParsePrefix("192.0.8.0/24")},
	}
}

// and returns both filters in one.
func (f Filter) and(g Filter) Filter {
	values, err := url.ParseQuery(f.String())
	if err != nil {
		return Filter{}
	}
	more, _ := url.ParseQuery(g.String())
	maps.Copy(values, more)
	both, _ := ParseFilter(values.Encode())
	return both
}

// TestBunStoreFiltersByIndex asks the planner about a page of each filter, of each pair of them and
// of each state: none walks through a table, and a page by one fact sorts no more than its branches.
func TestBunStoreFiltersByIndex(t *testing.T) {
	t.Parallel()
	s := newBunStore(t)
	fill(t, s, 60_000, 50_000)
	_, err := s.db.ExecContext(t.Context(), `UPDATE user_sessions SET browser = 'Firefox', os = 'Android', country_code = 'ID',
		tenant = 'acme', client = 'ios', acted_by = '7', device_type = 'tv', derived = true, ip_address = '192.0.8.8'
		WHERE id % 50 = 0 AND logout_at IS NULL`)
	require.NoError(t, err)
	_, err = s.db.ExecContext(t.Context(), "VACUUM ANALYZE user_sessions, user_presence")
	require.NoError(t, err)
	hook := watch(s)
	after := Cursor{At: time.Now().Add(-time.Minute), Serial: 30_000}
	ask := func(f Filter, sorts bool, c Cursor) {
		hook.take()
		_, err := s.List(t.Context(), Query{Filter: f, Sort: SortLogin, IdleTimeout: 24 * time.Hour, Limit: 50, After: c})
		require.NoError(t, err)
		plan := explain(t, s, hook.take()[0])
		assert.NotContains(t, plan, "Seq Scan on user_sessions", f.String())
		if !sorts {
			for line := range strings.Lines(plan) {
				assert.False(t, strings.HasPrefix(strings.TrimSpace(line), "->  Sort"), "%s\n%s", f.String(), plan)
			}
		}
	}
	filters := filtersOf()
	for name, f := range filters {
		for _, state := range []State{StateActive, StateEnded, StateAny} {
			if f.State = state; name == "reason" {
				f.State = StateEnded
			}
			sorts := name == "network" || name == "users" // the rows of a prefix, and of each of the users
			ask(f, sorts, Cursor{})
			ask(f, sorts, after)
		}
		for other, g := range filters {
			if name < other {
				ask(f.and(g), true, after)
			}
		}
	}
}

// TestBunStoreWritesByIndex looks at the statements that work on batches.
func TestBunStoreWritesByIndex(t *testing.T) {
	t.Parallel()
	s := newBunStore(t)
	ids := fill(t, s, 60_000, 50_000)
	hook := watch(s)
	batch := make([]TouchRecord, 100)
	for i := range batch {
		batch[i] = TouchRecord{ID: ids[i*20], At: time.Now()}
	}
	for name, call := range map[string]func(context.Context) error{
		"touch": func(ctx context.Context) error { _, err := s.Touch(ctx, batch, time.Second); return err },
		"describe": func(ctx context.Context) error {
			return s.Describe(ctx, []SessionUpdate{{ID: ids[0], Device: &Device{}}, {ID: ids[1], Device: &Device{}}})
		},
		"end": func(ctx context.Context) error {
			_, err := s.End(ctx, IDs(ids[len(ids)-1], ids[len(ids)-2]), Ending{Reason: ReasonAdmin})
			return err
		},
		"end a user's": func(ctx context.Context) error {
			_, err := s.End(ctx, User("user7"), Ending{Reason: ReasonAdmin})
			return err
		},
		"end a provider's": func(ctx context.Context) error {
			_, err := s.End(ctx, Provider("https://idp.example", "a"), Ending{Reason: ReasonProvider})
			return err
		},
		"end, a walk": func(ctx context.Context) error {
			_, err := s.End(ctx, Idle(time.Hour).Walk(10_000, 500), Ending{Reason: ReasonIdle})
			return err
		},
		"create": func(ctx context.Context) error {
			_, err := s.Create(ctx, NewSession{
				Session: Session{ID: newHandle().id(), UserID: "user9"}, Limit: 1, Replaces: ids[100],
			})
			return err
		},
		"purge": func(ctx context.Context) error {
			_, err := s.Purge(ctx, PurgeOptions{Retention: 11 * time.Hour, Limit: 100})
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			hook.take()
			require.NoError(t, call(t.Context()))
			for _, statement := range hook.take() {
				verb, _, _ := strings.Cut(statement, " ")
				if verb == "BEGIN" || verb == "COMMIT" || strings.Contains(statement, "set_config") {
					continue
				}
				plan := explain(t, s, statement)
				hook.take()
				assert.NotContains(t, plan, "Seq Scan on user_", "%s\n%s", statement, plan)
			}
		})
	}
}

// TestBunStoreFindsAUserWhoHasMost: whether such a user has a live session left is found
// by index, behind however many that have ended.
func TestBunStoreFindsAUserWhoHasMost(t *testing.T) {
	t.Parallel()
	s := newBunStore(t)
	fill(t, s, 30_000, 1)
	for _, statement := range statementsOf(t, s, watch(s), func(ctx context.Context) error {
		ended, err := s.End(ctx, Idle(time.Second).Walk(0, 500), Ending{Reason: ReasonIdle})
		assert.NotEmpty(t, ended.Sessions)
		return err
	}) {
		assert.NotContains(t, explain(t, s, statement), "Seq Scan on user_sessions", statement)
	}
}

// TestBunStorePurgeSkipsWhatIsRemembered: rows that are remembered for credentials which
// are good for years cost a purge nothing, whether that end is known or not, and fences
// go some at a time.
func TestBunStorePurgeSkipsWhatIsRemembered(t *testing.T) {
	t.Parallel()
	s, ctx := newBunStore(t), t.Context()
	_, err := s.db.ExecContext(ctx, `INSERT INTO user_sessions (user_id, session_id, derived, logout_at, end_reason, credential_until, updated_at)
		SELECT '', 'remembered-' || i, true, now() - interval '2 days', 'admin',
			CASE i % 10 WHEN 0 THEN now() - interval '1 hour' WHEN 1 THEN NULL ELSE now() + interval '1 year' END, now()
		FROM generate_series(1, 20000) AS i`)
	require.NoError(t, err)
	_, err = s.db.ExecContext(ctx, `INSERT INTO user_fences SELECT 'user' || i, now() - interval '4 days', 'admin' FROM generate_series(1, 2001) AS i`)
	require.NoError(t, err)
	_, err = s.db.ExecContext(ctx, "VACUUM ANALYZE user_sessions, user_fences")
	require.NoError(t, err)
	p := PurgeOptions{Retention: 24 * time.Hour, KeepEnded: 72 * time.Hour, Limit: 100}
	hook := watch(s)
	purge := func(ctx context.Context) error { _, err := s.Purge(ctx, p); return err }
	for _, statement := range statementsOf(t, s, hook, purge) {
		if strings.Contains(statement, "user_sessions") {
			blocks, plan := blocksOf(t, s, statement)
			assert.Less(t, blocks, 1000, plan) // 100 rows, their index entries and a little
		}
	}
	left := func(query string) (n int) {
		require.NoError(t, s.db.NewRaw(query).Scan(ctx, &n))
		return n
	}
	assert.Equal(t, 1, left("SELECT count(*) FROM user_fences"), "2,000 at a time")
	p.Limit = 10_000
	n, err := s.Purge(ctx, p)
	require.NoError(t, err)
	assert.Equal(t, 2_000-100, n, "whose credential has ended")
	p.KeepEnded = 36 * time.Hour
	n, err = s.Purge(ctx, p)
	require.NoError(t, err)
	assert.Equal(t, 2_000, n, "whose credential's end is not known")
	assert.Equal(t, 16_000, left("SELECT count(*) FROM user_sessions"))
	assert.Zero(t, left("SELECT count(*) FROM user_fences"))
}
