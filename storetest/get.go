package storetest

import (
	"context"
	"strings"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sessiontrack/sessiontrack"
)

var getCases = []testCase{
	{"get/an unknown handle is not found", "absence has its own error, and it is not a failure", func(c *check) {
		c.create("user-1")
		_, err := c.store.Get(c.Context(), newID())
		require.ErrorIs(c, err, sessiontrack.ErrNotFound)
		require.NotErrorIs(c, err, sessiontrack.ErrUnavailable)
	}},
	{"get/a malformed handle is not found",
		"hostile text in a path must read as 404, never as an error of the database (S29, SQLSTATE 22021)", func(c *check) {
			s := c.create("user-1")
			for _, id := range []string{
				"", "x", "a\x00b", "\xff\xfe", "' OR 1=1 --", "%", strings.Repeat("_", 22), strings.Repeat("a", 1<<16),
				string(s.ID) + " ", string(s.ID) + "\n", string(s.ID) + "." + strings.Repeat("A", 43),
				strings.ToUpper(string(s.ID)) + "!",
			} {
				_, err := c.store.Get(c.Context(), sessiontrack.SessionID(id))
				require.ErrorIs(c, err, sessiontrack.ErrNotFound, "%.40q", id)
			}
			c.alive(s.ID, true)
		}},
	{"get/reads an ended session", "the owner of a session gets the reason of its end (S15)", func(c *check) {
		s := c.create("user-1", full)
		ended := c.end(sessiontrack.IDs(s.ID))
		require.Len(c, ended.Sessions, 1)
		c.same(ended.Sessions[0], c.get(s.ID).Session, "what End returned")
	}},
	{"get/an over context is not an absence",
		"a check of count == 0 before err made an outage read as \"not signed in\" (I18)", func(c *check) {
			s := c.create("user-1")
			for _, id := range []sessiontrack.SessionID{s.ID, newID()} {
				_, err := c.store.Get(c.cancelled(), id)
				c.unavailable(err)
			}
			ctx, cancel := context.WithDeadline(c.Context(), time.Now().Add(-time.Second))
			defer cancel()
			_, err := c.store.Get(ctx, s.ID)
			c.unavailable(err)
			assert.Equal(c, s, c.get(s.ID).Session, "the next call is answered")
		}},
	{"get/answers belong to the caller", "a caller could change a store that returns its own memory", func(c *check) {
		s := c.create("user-1", full)
		page := c.list(sessiontrack.Query{UserID: "user-1"})
		page.Sessions[0].UserID, page.Sessions[0].LogoutAt = "x", page.Now
		got := c.get(s.ID)
		got.UserID = "y"
		c.same(s, c.get(s.ID).Session, "the row")
	}},
}
