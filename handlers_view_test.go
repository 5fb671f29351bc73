package sessiontrack

import (
	"context"
	"testing"

	"github.com/stretchr/testify/assert"
)

// fixedNames is a directory that fills one field of each user.
type fixedNames map[string]UserInfo

func (d fixedNames) Users(context.Context, []string) (map[string]UserInfo, error) { return d, nil }

// TestNamesFallBack: a directory that fills one name only leaves no list without names, and
// an e-mail address stands in for no name.
func TestNamesFallBack(t *testing.T) {
	t.Parallel()
	s := newSite(t, NewMemoryStore(), siteOptions{tracker: func(o *Options) {
		o.Directory = fixedNames{
			alice: {FullName: "Alice Doe"}, bob: {DisplayName: "Bobby"}, adam: {Username: "adam7"},
			ruth: {Email: "ruth@example.com"},
		}
	}})
	for _, user := range []string{ruth, adam, bob, alice} {
		s.signIn(t, user)
	}
	want := map[any]any{1.0: "Alice Doe", 2.0: "Bobby", 7.0: "adam7", 9.0: nil}
	for _, row := range rows(t, s.json(t, alice, "GET", onlinePath+"users"), "online_users") {
		assert.Equal(t, want[row["user_id"]], row["display_name"])
	}
	for _, row := range rows(t, s.json(t, adam, "GET", adminPath+"active-users"), "data") {
		user := row["user"].(map[string]any)
		assert.Equal(t, want[user["id"]], user["fullName"])
	}
}
