package storetest

import (
	"context"
	"slices"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sessiontrack/sessiontrack"
)

var readCases = []testCase{
	{"read/answers as Get does", "what a Tracker has not heard of for a minute is read anew, many at once (I31)",
		func(c *check) {
			reader := capability[sessiontrack.Reader](c)
			live, ended := c.create("user-1", full), c.create("user-2", full)
			derivedOne := c.create("user-2", derived(time.Time{}))
			c.end(sessiontrack.IDs(ended.ID))
			records, err := reader.Read(c.Context(), []sessiontrack.SessionID{
				ended.ID, live.ID, newID(), live.ID, "", "a\x00b", "\xff", "' OR 1=1 --", derivedOne.ID,
			})
			require.NoError(c, err)
			require.Len(c, records, 3, "each once, and nothing for a handle that no session has")
			for _, s := range []sessiontrack.Session{live, ended, derivedOne} {
				i := slices.IndexFunc(records, func(r sessiontrack.Record) bool { return r.ID == s.ID })
				require.GreaterOrEqual(c, i, 0, "a session is missing")
				got, want := records[i], c.get(s.ID)
				c.same(want.Session, got.Session, "as Get reads it")
				assert.Equal(c, want.SecretHash, got.SecretHash)
			}
		}},
	{"read/takes a thousand", "a process that holds a hundred thousand sessions reads them in a hundred statements",
		func(c *check) {
			reader := capability[sessiontrack.Reader](c)
			s := c.create("user-1")
			ids := []sessiontrack.SessionID{s.ID}
			for len(ids) < 1000 {
				ids = append(ids, newID())
			}
			records, err := reader.Read(c.Context(), ids)
			require.NoError(c, err)
			require.Len(c, records, 1)
			_, err = reader.Read(c.Context(), append(ids, newID()))
			require.Error(c, err, "more than a thousand")
			require.NotErrorIs(c, err, sessiontrack.ErrUnavailable, "a mistake of the caller")
			records, err = reader.Read(c.Context(), nil)
			require.NoError(c, err)
			require.Empty(c, records)
		}},
	{"read/an over context is not an absence", "a session that is left out counts as gone (I18)", func(c *check) {
		reader := capability[sessiontrack.Reader](c)
		s := c.create("user-1")
		_, err := reader.Read(c.cancelled(), []sessiontrack.SessionID{s.ID})
		c.unavailable(err)
		ctx, cancel := context.WithDeadline(c.Context(), time.Now().Add(-time.Second))
		defer cancel()
		_, err = reader.Read(ctx, []sessiontrack.SessionID{newID(), s.ID})
		c.unavailable(err)
	}},
}
