package storetest

import (
	"context"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/sessiontrack/sessiontrack"
)

// These interfaces are parts of capabilities. A Tracker uses a capability only if the store has all
// of it; it treats a store with a part like a store without it.
type (
	counter = interface {
		CountOnline(context.Context, []time.Duration) ([]int, time.Time, error)
	}
	lister = interface {
		ListOnline(context.Context, sessiontrack.OnlineQuery) (sessiontrack.OnlinePage, error)
	}
	adder = interface {
		CountStats(context.Context, sessiontrack.StatsQuery) (sessiontrack.StatsCounts, error)
	}
	sampler = interface {
		Sample(context.Context, sessiontrack.StatsQuery) (sessiontrack.Sample, bool, error)
	}
	recorder = interface {
		RollUp(context.Context, time.Duration) error
	}
	reader = interface {
		ReadHistory(context.Context, sessiontrack.HistoryQuery) (sessiontrack.HistoryData, error)
	}
	changes = interface {
		ChangesSince(context.Context, sessiontrack.ChangeQuery) (sessiontrack.Changes, error)
	}
)

// whole asserts that a store with a part of a capability has all of it.
func whole[Part, All any](c *check, part string) {
	c.Helper()
	_, some := c.store.(Part)
	_, all := c.store.(All)
	assert.Equal(c, some, all, "the store has %s: does it have the whole of %T", part, new(All))
}

var capabilityCases = []testCase{
	{"capability/online users are counted and listed",
		"a list of who is counted elsewhere does not add up", func(c *check) {
			whole[counter, sessiontrack.OnlineReader](c, "CountOnline")
			whole[lister, sessiontrack.OnlineReader](c, "ListOnline")
		}},
	{"capability/statistics come with samples",
		"either half alone told a peak of 0 for ever", func(c *check) {
			whole[adder, sessiontrack.Sampler](c, "CountStats")
			whole[sampler, sessiontrack.Sampler](c, "Sample")
		}},
	{"capability/history is written and read",
		"what nobody adds up, or nobody samples, reads as a time without users", func(c *check) {
			whole[recorder, sessiontrack.Historian](c, "RollUp")
			whole[reader, sessiontrack.Historian](c, "ReadHistory")
		}},
	{"capability/changes come with the feed of ends",
		"a Tracker that nobody watches asks the feed of ends", func(c *check) {
			whole[changes, sessiontrack.ChangeFeed](c, "ChangesSince")
		}},
}
