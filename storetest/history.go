package storetest

import (
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sessiontrack/sessiontrack"
)

const year = 365 * 24 * time.Hour

func (c *check) rollUp() {
	c.Helper()
	require.NoError(c, capability[sessiontrack.Historian](c).RollUp(c.Context(), year), "RollUp")
}

// history asks for the hours around the store's time, in steps of ten minutes.
func (c *check) history() sessiontrack.HistoryData {
	c.Helper()
	reader := capability[sessiontrack.Historian](c)
	from := c.now().Truncate(time.Hour).Add(-time.Hour)
	q := sessiontrack.HistoryQuery{Days: []time.Time{from, from.Add(3 * time.Hour)}}
	for at := from; !at.After(from.Add(3 * time.Hour)); at = at.Add(10 * time.Minute) {
		q.Steps = append(q.Steps, at)
	}
	h, err := reader.ReadHistory(c.Context(), q)
	require.NoError(c, err, "ReadHistory")
	require.Len(c, h.Steps, len(q.Steps)-1)
	require.Len(c, h.Peaks, 1)
	c.whole(h.Now, "Now")
	return h
}

var historyCases = []testCase{
	{"history/samples with their devices", "a plot shows what was sampled, once", func(c *check) {
		capability[sessiontrack.Historian](c)
		for _, device := range []sessiontrack.DeviceType{"mobile", "mobile", "", "fridge"} {
			c.create("user-1", func(n *sessiontrack.NewSession) { n.Session.Device.Type = device })
		}
		sample, took := c.sample()
		require.True(c, took)
		want := sessiontrack.DeviceCounts{}
		want.Add(sessiontrack.DeviceMobile, 2)
		want.Add(sessiontrack.DeviceUnknown, 1)
		want.Add(sessiontrack.DeviceOther, 1)
		assert.Equal(c, want, sample.Devices)
		h := c.history()
		var sum sessiontrack.HistoryStep
		for _, s := range h.Steps {
			if s.Samples > 0 {
				sum = s
			}
		}
		assert.Equal(c, sessiontrack.HistoryStep{Samples: 1, DeviceSamples: 1, Online: 1, PeakOnline: 1, Sessions: 4,
			Devices: want}, sum)
		assert.Equal(c, sample, h.Peaks[0])
	}},
	{"history/the current minute is not over", "a minute that is rolled up twice, or too soon, stays wrong",
		func(c *check) {
			c.end(sessiontrack.IDs(c.create("user-1").ID))
			began, store := c.now(), capability[sessiontrack.Historian](c)
			together(4, func(int) { assert.NoError(c, store.RollUp(c.Context(), year)) })
			c.rollUp()
			logins := 0
			for _, s := range c.history().Steps {
				logins += s.Logins
			}
			if c.now().Sub(began) < 10*time.Second {
				assert.Zero(c, logins, "the logins of the last ten seconds")
			}
			assert.LessOrEqual(c, logins, 1)
		}},
	{"history/bounds", "every question is bounded", func(c *check) {
		reader := capability[sessiontrack.Historian](c)
		now := c.now()
		good := []time.Time{now, now.Add(time.Hour)}
		many := make([]time.Time, 2002)
		for i := range many {
			many[i] = now.Add(time.Duration(i) * time.Minute)
		}
		for _, q := range []sessiontrack.HistoryQuery{
			{}, {Steps: good}, {Days: good}, {Steps: good[:1], Days: good},
			{Steps: []time.Time{now, now}, Days: good}, {Steps: good, Days: []time.Time{now, now.Add(-1)}},
			{Steps: many, Days: good},
		} {
			_, err := reader.ReadHistory(c.Context(), q)
			require.Error(c, err)
		}
		_, err := reader.ReadHistory(c.cancelled(), sessiontrack.HistoryQuery{Steps: good, Days: good})
		c.unavailable(err)
		c.unavailable(capability[sessiontrack.Historian](c).RollUp(c.cancelled(), year))
		require.Error(c, capability[sessiontrack.Historian](c).RollUp(c.Context(), -1))
	}},
}
