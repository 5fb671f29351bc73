package storetest

import (
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sessiontrack/sessiontrack"
)

// overlap is how far back a reader of the feed reads again. It is longer than any transaction that
// ends sessions.
const overlap = 3 * time.Second

func (c *check) since(since time.Time, limit int) sessiontrack.EndedPage {
	c.Helper()
	page, err := capability[sessiontrack.EndedFeed](c).EndedSince(c.Context(), since, limit)
	require.NoError(c, err, "EndedSince")
	return page
}

// told returns the sessions of a page in its order.
func told(page sessiontrack.EndedPage) []sessiontrack.SessionID {
	out := make([]sessiontrack.SessionID, len(page.Ended))
	for i, s := range page.Ended {
		out[i] = s.ID
	}
	return out
}

var feedCases = []testCase{
	{"feed/zero asks for the time", "how a replica begins, without reading the past", func(c *check) {
		c.end(sessiontrack.IDs(c.create("user-1").ID))
		page := c.since(time.Time{}, 10)
		assert.Empty(c, page.Ended)
		assert.False(c, page.More)
		c.whole(page.Now, "Now")
	}},
	{"feed/reports who, when and why", "the Tracker drops the session from its cache and sends the event", func(c *check) {
		start := c.since(time.Time{}, 1).Now
		s := c.create("user-1", full)
		c.create("user-2")
		c.end(sessiontrack.IDs(s.ID))
		page := c.since(start, 10)
		require.Len(c, page.Ended, 1, "the page has no live sessions")
		got, want := page.Ended[0], c.get(s.ID).Session
		assert.Equal(c, sessiontrack.EndedSession{
			ID: want.ID, LogoutAt: want.LogoutAt, EndReason: want.EndReason, EndedBy: want.EndedBy,
		}, got)
		assert.False(c, page.More)
	}},
	{"feed/an end after its Now is in the next answer",
		"a feed that loses an end lets the session live on at other replicas (I3, F04)", func(c *check) {
			since := c.since(time.Time{}, 1).Now
			for range 100 {
				s := c.create("user-1")
				require.Len(c, c.end(sessiontrack.IDs(s.ID)).Sessions, 1)
				page := c.since(since, 10)
				require.Contains(c, told(page), s.ID, "the end is in the answer")
				require.False(c, page.Now.Before(since), "the clock does not go back")
				since = page.Now
			}
		}},
	{"feed/reports ends of every kind", "limits, replacements and expiry end sessions too", func(c *check) {
		start := c.since(time.Time{}, 1).Now
		replaced := c.create("user-1", derived(time.Time{}))
		over := c.created("user-1", replaces(replaced.ID)).Session
		c.create("user-1", limit(1, sessiontrack.EndOldest))
		expired := c.create("user-2", lifetime(time.Microsecond))
		c.pass(expired.ExpiresAt)
		c.endAs(sessiontrack.Expired(), sessiontrack.Ending{Reason: sessiontrack.ReasonLifetime})
		assert.Equal(c, []sessiontrack.SessionID{replaced.ID, over.ID, expired.ID}, told(c.since(start, 10)))
	}},
	{"feed/by time and serial, bounded", "the reader empties its cache when a page is full", func(c *check) {
		start := c.since(time.Time{}, 1).Now
		all := c.crowd(1, 6)
		first := c.end(sessiontrack.IDs(all[4], all[1])).At
		c.end(sessiontrack.User("user-00"))
		want := []sessiontrack.SessionID{all[1], all[4], all[0], all[2], all[3], all[5]}
		page := c.since(start, 4)
		assert.Equal(c, want[:4], told(page))
		assert.True(c, page.More)
		page = c.since(start, 6)
		assert.Equal(c, want, told(page))
		assert.False(c, page.More, "a page of exactly the limit can be the last")
		later := c.since(first.Add(-time.Microsecond), 100).Ended
		assert.NotEmpty(c, later)
	}},
	{"feed/reading again returns the same", "the overlap is read twice; a feed that consumes its rows loses ends",
		func(c *check) {
			start := c.since(time.Time{}, 1).Now
			s := c.create("user-1")
			c.end(sessiontrack.IDs(s.ID))
			for range 3 {
				assert.Equal(c, []sessiontrack.SessionID{s.ID}, told(c.since(start, 10)))
			}
			assert.Empty(c, c.since(c.get(s.ID).LogoutAt, 10).Ended, "later than, not at")
		}},
	{"feed/no end is lost under load", "ends that commit while the feed is read (D1): the overlap finds them",
		func(c *check) {
			feed := capability[sessiontrack.EndedFeed](c)
			all := c.crowd(4, 15)
			since := c.since(time.Time{}, 1).Now
			seen := map[sessiontrack.SessionID]bool{}
			read := func() {
				page, err := feed.EndedSince(c.Context(), since.Add(-overlap), 1000)
				if assert.NoError(c, err) {
					for _, s := range page.Ended {
						seen[s.ID] = true
					}
					since = page.Now
				}
			}
			together(5, func(i int) {
				if i == 4 {
					for range 20 {
						read()
					}
					return
				}
				for at := i; at < len(all); at += 4 {
					_, err := c.store.End(c.Context(), sessiontrack.IDs(all[at]), byAdmin)
					assert.NoError(c, err)
				}
			})
			read()
			assert.Len(c, seen, len(all))
		}},
	{"feed/the limit is bounded", "a limit of zero would say \"more\" for ever", func(c *check) {
		for _, n := range []int{0, -1} {
			_, err := capability[sessiontrack.EndedFeed](c).EndedSince(c.Context(), c.now(), n)
			require.Error(c, err, "limit %d", n)
		}
	}},
	{"feed/an over context", "a failed read must not renew freshness (I17)", func(c *check) {
		_, err := capability[sessiontrack.EndedFeed](c).EndedSince(c.cancelled(), c.now(), 10)
		c.unavailable(err)
	}},
}
