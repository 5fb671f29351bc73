package storetest

import (
	"encoding/binary"
	"fmt"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sessiontrack/sessiontrack"
)

func (c *check) count(windows ...time.Duration) []int {
	c.Helper()
	counts, now, err := capability[sessiontrack.OnlineReader](c).CountOnline(c.Context(), windows)
	require.NoError(c, err, "CountOnline")
	c.whole(now, "the time of CountOnline")
	return counts
}

func (c *check) online(q sessiontrack.OnlineQuery) sessiontrack.OnlinePage {
	c.Helper()
	if q.Limit == 0 {
		q.Limit = 100
	}
	if q.Window == 0 {
		q.Window = time.Hour
	}
	page, err := capability[sessiontrack.OnlineReader](c).ListOnline(c.Context(), q)
	require.NoError(c, err, "ListOnline")
	c.whole(page.Now, "the time of ListOnline")
	return page
}

func names(users []sessiontrack.OnlineUser) []string {
	out := make([]string, len(users))
	for i, u := range users {
		out[i] = u.UserID
	}
	return out
}

var onlineCases = []testCase{
	{"online/a user counts once", "the number of sessions and replicas does not matter", func(c *check) {
		c.crowd(3, 2)
		c.create("user-x", derived(time.Time{}))
		assert.Equal(c, []int{4, 4, 4}, c.count(time.Hour, 2*time.Hour, 3*time.Hour))
		assert.Empty(c, c.count())
	}},
	{"online/windows look back from now", "the sets are nested (I23)", func(c *check) {
		assert.Equal(c, []int{0}, c.count(time.Hour))
		s := c.create("user-1")
		c.pass(s.LastActivity.Add(2 * time.Millisecond))
		assert.Equal(c, []int{0, 1}, c.count(time.Millisecond, time.Hour))
		c.touch(c.now(), s.ID)
		c.pass(c.get(s.ID).LastActivity.Add(2 * time.Millisecond))
		assert.Equal(c, []int{1, 0}, c.count(time.Hour, time.Millisecond), "in the order asked")
	}},
	{"online/offline at once", "a user whose last session ended is offline at once, however it ended", func(c *check) {
		a, b := c.create("user-1"), c.create("user-1")
		c.end(sessiontrack.IDs(a.ID))
		assert.Equal(c, []int{1}, c.count(time.Hour), "one session is left")
		c.end(sessiontrack.IDs(b.ID))
		assert.Equal(c, []int{0}, c.count(time.Hour))
		left := c.create("user-1")
		c.create("user-2", replaces(left.ID))
		assert.Equal(c, []int{1}, c.count(time.Hour), "replaced by a session of another user")
		c.end(sessiontrack.User("user-2"))
		assert.Equal(c, []int{0}, c.count(time.Hour))
	}},
	{"online/a late touch does not bring a user back", "a flush that lost the race must not leave presence behind",
		func(c *check) {
			s := c.create("user-1")
			c.end(sessiontrack.IDs(s.ID))
			c.touch(c.now(), s.ID)
			c.describe(sessiontrack.SessionUpdate{ID: s.ID, Device: &sessiontrack.Device{Type: sessiontrack.DeviceTV}})
			assert.Equal(c, []int{0}, c.count(time.Hour))
		}},
	{"online/a future touch does not keep a user online",
		"presence is clamped too: a skewed replica made users online for hours (F12)", func(c *check) {
			s := c.create("user-1")
			c.touch(c.now().Add(time.Hour), s.ID)
			c.pass(c.get(s.ID).LastActivity.Add(2 * time.Millisecond))
			assert.Equal(c, []int{0, 1}, c.count(time.Millisecond, time.Hour))
		}},
	{"online/lists by latest activity", "latest first, then by id, with the number of sessions", func(c *check) {
		a, b, d := c.create("user-c"), c.create("user-b"), c.create("user-a")
		gone := c.create("user-c")
		c.end(sessiontrack.IDs(gone.ID))
		c.create("user-c")
		c.pass(c.now())
		now := c.now()
		c.touch(now, b.ID, d.ID)
		page := c.online(sessiontrack.OnlineQuery{})
		require.Equal(c, []string{"user-a", "user-b", "user-c"}, names(page.Users))
		assert.Equal(c, []int{1, 1, 2}, []int{page.Users[0].Sessions, page.Users[1].Sessions, page.Users[2].Sessions})
		assert.Equal(c, now, page.Users[0].LastActivity)
		assert.True(c, page.Users[2].LastActivity.After(a.LastActivity), "the latest of the user's sessions")
		assert.True(c, page.Next.IsZero())
	}},
	{"online/lists a window", "users whose activity is older are not on the list", func(c *check) {
		s := c.create("user-1")
		c.pass(s.LastActivity.Add(2 * time.Millisecond))
		assert.Empty(c, c.online(sessiontrack.OnlineQuery{Window: time.Millisecond}).Users)
		assert.Len(c, c.online(sessiontrack.OnlineQuery{Window: time.Hour}).Users, 1)
		c.end(sessiontrack.IDs(s.ID))
		assert.Empty(c, c.online(sessiontrack.OnlineQuery{Window: time.Hour}).Users)
	}},
	{"online/pages while users move", "each user once, and no user without activity is missed", func(c *check) {
		all := c.crowd(10, 1)
		seen, q := map[string]int{}, sessiontrack.OnlineQuery{Limit: 2}
		for i := range 50 {
			page := c.online(q)
			for _, u := range page.Users {
				seen[u.UserID]++
			}
			if page.Next.IsZero() {
				break
			}
			q.After = page.Next
			c.pass(c.now())
			c.touch(c.now(), all[5+i%5])
		}
		for user, n := range seen {
			assert.Equal(c, 1, n, user)
		}
		for i := range 5 {
			assert.Contains(c, seen, fmt.Sprintf("user-%02d", i))
		}
	}},
	{"online/bounds", "an unbounded page and an empty window are mistakes", func(c *check) {
		lister := capability[sessiontrack.OnlineReader](c)
		for _, n := range []int{-1, 0, 101} {
			_, err := lister.ListOnline(c.Context(), sessiontrack.OnlineQuery{Window: time.Hour, Limit: n})
			require.Error(c, err, "Limit %d", n)
		}
	}},
	{"online/an over context", "an outage must not read as \"no user is online\"", func(c *check) {
		c.create("user-1")
		_, _, err := capability[sessiontrack.OnlineReader](c).CountOnline(c.cancelled(), []time.Duration{time.Hour})
		c.unavailable(err)
		_, err = capability[sessiontrack.OnlineReader](c).ListOnline(c.cancelled(),
			sessiontrack.OnlineQuery{Window: time.Hour, Limit: 1})
		c.unavailable(err)
	}},
}

var statsQuery = sessiontrack.StatsQuery{Windows: [3]time.Duration{5 * time.Minute, 15 * time.Minute, time.Hour},
	IdleTimeout: time.Hour, Zone: time.UTC}

func (c *check) stats(q sessiontrack.StatsQuery) sessiontrack.StatsCounts {
	c.Helper()
	counts, err := capability[sessiontrack.Sampler](c).CountStats(c.Context(), q)
	require.NoError(c, err, "CountStats")
	c.whole(counts.Now, "the time of CountStats")
	return counts
}

func (c *check) sample() (sessiontrack.Sample, bool) {
	c.Helper()
	sample, took, err := capability[sessiontrack.Sampler](c).Sample(c.Context(), statsQuery)
	require.NoError(c, err, "Sample")
	return sample, took
}

var statsCases = []testCase{
	{"stats/before the first sample", "sessions are counted, and there is no peak yet: null, not zero at midnight",
		func(c *check) {
			c.crowd(3, 2)
			expired := c.create("user-x", lifetime(time.Microsecond))
			c.pass(expired.ExpiresAt)
			c.end(sessiontrack.IDs(c.create("user-y").ID))
			got := c.stats(statsQuery)
			assert.Equal(c, [3]int{4, 4, 4}, got.Online)
			assert.Equal(c, 6, got.Sessions, "not ended, inside both limits")
			assert.Zero(c, got.Peak)
		}},
	{"stats/idle sessions are not active", "the total counts sessions within both time limits", func(c *check) {
		s := c.create("user-1")
		c.pass(s.LastActivity.Add(2 * time.Millisecond))
		q := statsQuery
		q.IdleTimeout = time.Millisecond
		assert.Zero(c, c.stats(q).Sessions)
		q.IdleTimeout = 0
		assert.Equal(c, 1, c.stats(q).Sessions, "zero is no bound")
	}},
	{"sample/one a minute", "the first replica takes the sample; the others get the same one", func(c *check) {
		c.crowd(2, 2)
		first, took := c.sample()
		require.True(c, took)
		want := sessiontrack.Sample{At: first.At, VeryActive: 2, Online: 2, RecentlyActive: 2, Sessions: 4}
		want.Devices.Add(sessiontrack.DeviceUnknown, 4)
		assert.Equal(c, want, first)
		assert.True(c, first.At.Equal(first.At.Truncate(time.Minute)), "at a full minute")
		assert.Equal(c, time.UTC, first.At.Location())
		second, took := c.sample()
		assert.Equal(c, !second.At.Equal(first.At), took, "the next minute's, at most")
	}},
	{"sample/users that the caller has counted",
		"a store may keep presence elsewhere; the sample is the peak and the history", func(c *check) {
			sampler := capability[sessiontrack.Sampler](c)
			c.crowd(3, 1)
			q := statsQuery
			q.Online = &[3]int{2, 5, 7}
			sample, took, err := sampler.Sample(c.Context(), q)
			require.NoError(c, err)
			require.True(c, took)
			assert.Equal(c, 3, sample.Sessions, "sessions are counted by the store")
			assert.Equal(c, [3]int{2, 5, 7}, [3]int{sample.VeryActive, sample.Online, sample.RecentlyActive})
		}},
	{"sample/replicas at once", "two samples of one minute would count a peak twice", func(c *check) {
		sampler := capability[sessiontrack.Sampler](c)
		took := make([]string, 8)
		together(len(took), func(i int) {
			sample, ok, err := sampler.Sample(c.Context(), statsQuery)
			if assert.NoError(c, err) && ok {
				took[i] = sample.At.String()
			}
		})
		seen := map[string]int{}
		for _, at := range took {
			if at != "" {
				seen[at]++
			}
		}
		assert.NotEmpty(c, seen)
		for at, n := range seen {
			assert.Equal(c, 1, n, at)
		}
	}},
	{"stats/after a sample", "the sample's exact count, plus begun and minus ended sessions since then", func(c *check) {
		capability[sessiontrack.Sampler](c)
		all := c.crowd(2, 2)
		_, took := c.sample()
		require.True(c, took)
		c.crowd(3, 1)
		c.end(sessiontrack.IDs(all[0]))
		got := c.stats(statsQuery)
		assert.Equal(c, 4+3-1, got.Sessions)
		assert.Equal(c, [3]int{3, 3, 3}, got.Online, "online is counted each time")
		c.endAs(sessiontrack.IDs(all[1]), sessiontrack.Ending{Reason: sessiontrack.ReasonIdle})
		assert.Equal(c, 4+3-1, c.stats(statsQuery).Sessions, "a lapsed session was not active when the cleanup ended it")
	}},
	{"stats/never below zero", "ends of sessions that the sample did not count", func(c *check) {
		capability[sessiontrack.Sampler](c)
		s := c.create("user-1", lifetime(time.Microsecond))
		c.pass(s.ExpiresAt)
		_, took := c.sample()
		require.True(c, took)
		c.end(sessiontrack.IDs(s.ID))
		assert.Zero(c, c.stats(statsQuery).Sessions)
	}},
	{"stats/the peak of today", "the sample with the most online users since midnight", func(c *check) {
		capability[sessiontrack.Sampler](c)
		c.crowd(3, 1)
		sample, _ := c.sample()
		for _, zone := range []*time.Location{time.UTC, nil, time.FixedZone("+05:45", 5*3600+45*60)} {
			q := statsQuery
			q.Zone = zone
			got := c.stats(q)
			if got.Peak.At.IsZero() { // midnight has passed meanwhile
				local := got.Now
				if zone != nil {
					local = local.In(zone)
				}
				assert.NotEqual(c, sample.At.In(local.Location()).YearDay(), local.YearDay())
				continue
			}
			assert.Equal(c, sample, got.Peak)
		}
	}},
	{"stats/the peak of a day without a midnight", "where clocks skip midnight, 23:30 of the day before counted as today",
		func(c *check) {
			c.crowd(3, 1)
			sample, took := c.sample()
			require.True(c, took)
			// The zone's clocks go from 00:00 to 01:00 between the sample and now.
			c.pass(sample.At.Add(time.Second))
			q := statsQuery
			q.Zone = skipsMidnight(c, c.now().Truncate(time.Second))
			assert.Zero(c, c.stats(q).Peak, "the sample belongs to the day before")
			q.Zone = skipsMidnight(c, sample.At)
			assert.Equal(c, sample, c.stats(q).Peak, "the sample is the first of the day")
		}},
	{"stats/an over context", "no figure is better than zero", func(c *check) {
		_, err := capability[sessiontrack.Sampler](c).CountStats(c.cancelled(), statsQuery)
		c.unavailable(err)
		_, took, err := capability[sessiontrack.Sampler](c).Sample(c.cancelled(), statsQuery)
		c.unavailable(err)
		assert.False(c, took)
	}},
}

// skipsMidnight returns a zone whose clocks go from 00:00 to 01:00 at a time, in the format of RFC
// 9636, version 1.
func skipsMidnight(c *check, at time.Time) *time.Location {
	c.Helper()
	before := int32(-(at.Unix() % 86400))
	data := append([]byte("TZif"), make([]byte, 16)...)
	for _, n := range []uint32{0, 0, 0, 1, 2, 4} { // one change, two offsets, four bytes of names
		data = binary.BigEndian.AppendUint32(data, n)
	}
	data = append(binary.BigEndian.AppendUint32(data, uint32(at.Unix())), 1)
	for _, offset := range []int32{before, before + 3600} {
		data = append(binary.BigEndian.AppendUint32(data, uint32(offset)), 0, 0)
	}
	zone, err := time.LoadLocationFromTZData("skips midnight", append(data, "LMT\x00"...))
	require.NoError(c, err)
	return zone
}
