package sqlite

import (
	"database/sql"
	"net/netip"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sessiontrack/sessiontrack"
)

// TestPlansUseIndexes: no statement of a request, the feed or a page reads a whole table,
// and no page sorts more than one user's rows. Plans do not depend on how many rows there
// are: the schema has no statistics.
func TestPlansUseIndexes(t *testing.T) {
	t.Parallel()
	store, err := Open(filepath.Join(t.TempDir(), "sessions.db"), nil)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, store.Close()) })
	require.NoError(t, store.Migrate(t.Context()))

	list := func(q sessiontrack.Query) string {
		q.Limit = 50
		f, _ := q.Selection()
		c, err := newConditions(t.Context(), store.read, f, q.IdleTimeout, 1)
		require.NoError(t, err)
		return listQuery(&q, c, 1).String()
	}
	byLogin := func(f sessiontrack.Filter) sessiontrack.Query {
		return sessiontrack.Query{Filter: f, Sort: sessiontrack.SortLogin}
	}
	after := sessiontrack.Cursor{At: time.UnixMicro(5), UserID: "u", Serial: 7}
	const byIDs = "IN (SELECT value FROM json_each('[1]'))"
	for name, c := range map[string]struct {
		query string
		sorts bool
	}{
		"get":                               {query: "SELECT 1 FROM user_sessions WHERE session_id = 'x'"},
		"touch":                             {query: touchSQL},
		"presence":                          {query: presenceSQL},
		"ended since":                       {query: "SELECT session_id FROM user_sessions WHERE logout_at > 1 ORDER BY logout_at, id LIMIT 1"},
		"begun since":                       {query: "SELECT session_id FROM user_sessions AS s WHERE s.login_at > 1 ORDER BY s.login_at, s.id LIMIT 1"},
		"count online":                      {query: "SELECT count(*) FROM user_presence WHERE last_activity > 1"},
		"moved":                             {query: sinceSQL},
		"due":                               {query: dueSQL},
		"forget":                            {query: forgetSQL},
		"unfence":                           {query: unfenceSQL},
		"active of a user":                  {query: "SELECT id FROM user_sessions WHERE user_id = 'u' AND logout_at IS NULL ORDER BY login_at, id", sorts: true},
		"end by ids":                        {query: "UPDATE user_sessions SET logout_at = 1 WHERE id " + byIDs},
		"list of a user":                    {query: list(sessiontrack.Query{UserID: "u"})},
		"its next page":                     {query: list(sessiontrack.Query{UserID: "u", After: after})},
		"list by activity":                  {query: list(sessiontrack.Query{})},
		"its next page too":                 {query: list(sessiontrack.Query{After: after, Within: time.Hour, IdleTimeout: time.Hour})},
		"list by address":                   {query: list(sessiontrack.Query{Filter: sessiontrack.Filter{Address: netip.MustParsePrefix("192.0.2.1/32")}}), sorts: true},
		"logins of a tenant, active":        {query: list(byLogin(sessiontrack.Filter{Tenant: "a", State: sessiontrack.StateActive}))},
		"logins of a tenant, ended":         {query: list(byLogin(sessiontrack.Filter{Tenant: "a", State: sessiontrack.StateEnded}))},
		"logins of a client, active":        {query: list(byLogin(sessiontrack.Filter{Client: "a", State: sessiontrack.StateActive}))},
		"logins of a client, ended":         {query: list(byLogin(sessiontrack.Filter{Client: "a", State: sessiontrack.StateEnded}))},
		"logins of a administrator, active": {query: list(byLogin(sessiontrack.Filter{ActedBy: "a", State: sessiontrack.StateActive}))},
		"logins of a administrator, ended":  {query: list(byLogin(sessiontrack.Filter{ActedBy: "a", State: sessiontrack.StateEnded}))},
		"logins of a device, active":        {query: list(byLogin(sessiontrack.Filter{Device: sessiontrack.DeviceTV, State: sessiontrack.StateActive}))},
		"logins of a device, ended":         {query: list(byLogin(sessiontrack.Filter{Device: sessiontrack.DeviceTV, State: sessiontrack.StateEnded}))},
		"logins of a browser, active":       {query: list(byLogin(sessiontrack.Filter{Browser: "a", State: sessiontrack.StateActive}))},
		"logins of a browser, ended":        {query: list(byLogin(sessiontrack.Filter{Browser: "a", State: sessiontrack.StateEnded}))},
		"logins of a system, active":        {query: list(byLogin(sessiontrack.Filter{OS: "a", State: sessiontrack.StateActive}))},
		"logins of a system, ended":         {query: list(byLogin(sessiontrack.Filter{OS: "a", State: sessiontrack.StateEnded}))},
		"logins of a country, active":       {query: list(byLogin(sessiontrack.Filter{Country: "ID", State: sessiontrack.StateActive}))},
		"logins of a country, ended":        {query: list(byLogin(sessiontrack.Filter{Country: "ID", State: sessiontrack.StateEnded}))},
		"logins, any":                       {query: list(byLogin(sessiontrack.Filter{State: sessiontrack.StateAny})), sorts: true},
		"logins, active":                    {query: list(byLogin(sessiontrack.Filter{}))},
		"logins, ended":                     {query: list(byLogin(sessiontrack.Filter{State: sessiontrack.StateEnded}))},
		"logins of a network":               {query: list(byLogin(sessiontrack.Filter{Address: netip.MustParsePrefix("192.0.2.1/32")})), sorts: true},
		"list by device":                    {query: list(sessiontrack.Query{Filter: sessiontrack.Filter{Device: sessiontrack.DeviceTV}}), sorts: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			plan := planOf(t, store, c.query)
			for _, table := range []string{"user_sessions", "user_presence", "user_fences", "s", "p"} {
				for line := range strings.Lines(plan) {
					line = strings.TrimSpace(line)
					assert.False(t, line == "SCAN "+table, "reads all of %s:\n%s", table, plan)
				}
			}
			if !c.sorts {
				assert.NotContains(t, strings.ReplaceAll(plan, "TEMP B-TREE FOR LAST TERM OF ORDER BY", ""), "B-TREE FOR ORDER BY", plan)
			}
		})
	}
}

func planOf(t *testing.T, store *Store, query string) string {
	t.Helper()
	arguments := make([]any, parameters(query))
	for i := range arguments {
		arguments[i] = 1
	}
	var plan strings.Builder
	err := each(t.Context(), store.read, func(rows *sql.Rows) error {
		var id, parent, unused int
		var detail string
		err := rows.Scan(&id, &parent, &unused, &detail)
		plan.WriteString(detail + "\n")
		return err
	}, "EXPLAIN QUERY PLAN "+query, arguments...)
	require.NoError(t, err, query)
	return plan.String()
}

var numbered = regexp.MustCompile(`\?([0-9]+)`)

// parameters counts the arguments of a statement, numbered ones or plain ones.
func parameters(query string) (n int) {
	for _, match := range numbered.FindAllStringSubmatch(query, -1) {
		n = max(n, int(match[1][0]-'0'))
	}
	if n == 0 {
		n = strings.Count(query, "?")
	}
	return n
}
