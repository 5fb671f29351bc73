package redisstore

import (
	"context"
	"time"

	"github.com/sessiontrack/sessiontrack"
)

var (
	_ sessiontrack.Store        = (*activity)(nil)
	_ sessiontrack.OnlineReader = (*activity)(nil)
	_ sessiontrack.Counter      = (*activity)(nil)
	_ sessiontrack.Leaser       = (*activity)(nil)
	_ sessiontrack.Pooled       = (*activity)(nil)
	_ sessiontrack.Checker      = (*activity)(nil)
)

// composed gives the store the capabilities of the durable one. A capability is found by
// type assertion, so each set of them is a type.
func composed(a *activity) sessiontrack.Store {
	feed, _ := a.durable.(sessiontrack.EndedFeed)
	sampler, _ := a.durable.(sessiontrack.Sampler)
	historian, _ := a.durable.(sessiontrack.Historian)
	ended, changed := endedPart{a, feed}, changePart{endedPart{a, feed}, a.changes}
	sampled, told := samplePart{a, sampler}, historyPart{samplePart{a, sampler}, historian}
	switch {
	case a.changes != nil && historian != nil:
		return struct {
			*activity
			changePart
			historyPart
		}{a, changed, told}
	case a.changes != nil && sampler != nil:
		return struct {
			*activity
			changePart
			samplePart
		}{a, changed, sampled}
	case a.changes != nil:
		return struct {
			*activity
			changePart
		}{a, changed}
	case feed != nil && historian != nil:
		return struct {
			*activity
			endedPart
			historyPart
		}{a, ended, told}
	case feed != nil && sampler != nil:
		return struct {
			*activity
			endedPart
			samplePart
		}{a, ended, sampled}
	case feed != nil:
		return struct {
			*activity
			endedPart
		}{a, ended}
	case historian != nil:
		return struct {
			*activity
			historyPart
		}{a, told}
	case sampler != nil:
		return struct {
			*activity
			samplePart
		}{a, sampled}
	}
	return a
}

// MaxConnections implements [sessiontrack.Pooled]: the durable store's, 0 where it has none.
func (a *activity) MaxConnections() int {
	if pooled, ok := a.durable.(sessiontrack.Pooled); ok {
		return pooled.MaxConnections()
	}
	return 0
}

// endedPart is the feed of ends, which is the durable store's.
type endedPart struct {
	of   *activity
	feed sessiontrack.EndedFeed
}

// EndedSince implements [sessiontrack.EndedFeed].
func (p endedPart) EndedSince(ctx context.Context, since time.Time, limit int) (sessiontrack.EndedPage, error) {
	before := p.of.clock.local()
	page, err := p.feed.EndedSince(ctx, since, limit)
	if err != nil {
		return page, err
	}
	p.of.clock.learn(page.Now, before)
	ids := make([]sessiontrack.SessionID, len(page.Ended))
	for i := range page.Ended {
		ids[i] = page.Ended[i].ID
	}
	p.of.endedElsewhere(ctx, ids)
	return page, nil
}

// historyPart is the history, which is the durable store's.
type historyPart struct {
	samplePart
	historian sessiontrack.Historian
}

// RollUp implements [sessiontrack.Historian].
func (p historyPart) RollUp(ctx context.Context, keep time.Duration) error {
	return p.historian.RollUp(ctx, keep)
}

// ReadHistory implements [sessiontrack.Historian].
func (p historyPart) ReadHistory(
	ctx context.Context, q sessiontrack.HistoryQuery,
) (sessiontrack.HistoryData, error) {
	return p.historian.ReadHistory(ctx, q)
}
