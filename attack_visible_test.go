package sessiontrack

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestCursorsNameNobodyHidden: where Visible narrows a list, a page's cursor names no user whom the
// viewer may not see, wherever the page ends. The list still has each visible user once.
func TestCursorsNameNobodyHidden(t *testing.T) {
	t.Parallel()
	onEachStore(t, func(t *testing.T, store Store) {
		seen := map[string]bool{}
		s := newSite(t, store, siteOptions{online: &UserOptions{Visible: func(_ context.Context, _ string,
			ids []string) ([]string, error) {
			return slices.DeleteFunc(slices.Clone(ids), func(id string) bool { return !seen[id] }), nil
		}}})
		var latestFirst []string
		for i := range 1150 { // more than one answer looks through
			id := strconv.Itoa(1000 + i)
			s.signIn(t, id)
			latestFirst = append([]string{id}, latestFirst...)
		}
		for _, places := range [][]int{{}, {0}, {3, 8}, {0, 500, 1100}, {1005, 1149}, {98, 99, 100, 101, 102}} {
			clear(seen)
			want := []any{}
			for _, place := range places {
				seen[latestFirst[place]] = true
				id, _ := strconv.Atoi(latestFirst[place])
				want = append(want, float64(id))
			}
			for _, limit := range []int{1, 2, 3, 100} {
				assert.Equal(t, want, walk(t, s, seen, limit), "places %v, limit %d", places, limit)
			}
		}
	})
}

// walk reads a narrowed list to its end.
func walk(t *testing.T, s *site, seen map[string]bool, limit int) []any {
	t.Helper()
	got, next := []any{}, ""
	for range 20 {
		body := s.json(t, "1000", "GET", fmt.Sprintf("%susers?limit=%d%s", onlinePath, limit, next))
		got = append(got, field(rows(t, body, "online_users"), "user_id")...)
		text, more := body["next"].(string)
		if !more {
			return got
		}
		cursor, err := ParseCursor(text)
		require.NoError(t, err)
		require.True(t, cursor.UserID == "" || seen[cursor.UserID], "the cursor names %s", cursor.UserID)
		next = "&cursor=" + text
	}
	require.Fail(t, "the list has no end")
	return nil
}

// TestCursorsOfOneMoment: several users have the same latest activity, to the microsecond. That
// happens when a clock was ahead and a batch was clamped to the store's time.
func TestCursorsOfOneMoment(t *testing.T) {
	t.Parallel()
	at := fromMicros(1_800_000_000_000_000)
	user := func(id string) OnlineUser { return OnlineUser{UserID: id} }
	for name, row := range map[string]struct {
		after, next Cursor
		shown       []OnlineUser
		want        Cursor
	}{
		"the last one is shown": {next: Cursor{At: at, UserID: "m"}, shown: []OnlineUser{user("m")},
			want: Cursor{At: at, UserID: "m"}},
		"one before is shown": {next: Cursor{At: at, UserID: "m"}, shown: []OnlineUser{user("c")},
			want: Cursor{At: at, UserID: "c"}},
		"the shown user comes later": {next: Cursor{At: at, UserID: "m"}, shown: []OnlineUser{user("x")},
			want: Cursor{At: at}},
		"nobody is shown": {next: Cursor{At: at, UserID: "m"}, want: Cursor{At: at}},
		"nobody, and the list began there": {after: Cursor{At: at, UserID: "c"}, next: Cursor{At: at, UserID: "m"},
			want: Cursor{At: at.Add(-1000)}},
		"somebody, and the list began there": {after: Cursor{At: at, UserID: "c"}, next: Cursor{At: at, UserID: "m"},
			shown: []OnlineUser{user("d")}, want: Cursor{At: at, UserID: "d"}},
		"nobody, and the list began before": {after: Cursor{At: at.Add(1000), UserID: "c"},
			next: Cursor{At: at, UserID: "m"}, want: Cursor{At: at}},
		"the list is over": {after: Cursor{At: at}},
	} {
		assert.Equal(t, row.want, maskCursor(row.after, row.next, row.shown), name)
	}
}
