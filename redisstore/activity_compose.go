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

// The sets of the durable store's capabilities, without [sessiontrack.Renewer].
type (
	changingAndTelling struct {
		*activity
		changePart
		historyPart
	}
	changingAndSampling struct {
		*activity
		changePart
		samplePart
	}
	changing struct {
		*activity
		changePart
	}
	endingAndTelling struct {
		*activity
		endedPart
		historyPart
	}
	endingAndSampling struct {
		*activity
		endedPart
		samplePart
	}
	ending struct {
		*activity
		endedPart
	}
	telling struct {
		*activity
		historyPart
	}
	sampling struct {
		*activity
		samplePart
	}
)

// composed gives the store the capabilities of the durable one. A capability is found by
// type assertion, so each set of them is a type. The trail of an [sessiontrack.Auditor] is there if
// the durable store has all the others, as every store of this module does.
func composed(a *activity) sessiontrack.Store {
	feed, _ := a.durable.(sessiontrack.EndedFeed)
	sampler, _ := a.durable.(sessiontrack.Sampler)
	historian, _ := a.durable.(sessiontrack.Historian)
	renewer, _ := a.durable.(sessiontrack.Renewer)
	ended, changed := endedPart{a, feed}, changePart{endedPart{a, feed}, a.changes}
	sampled, told := samplePart{a, sampler}, historyPart{samplePart{a, sampler}, historian}
	renewed := renewPart{a, renewer}
	switch {
	case a.changes != nil && historian != nil:
		v := changingAndTelling{a, changed, told}
		auditor, _ := a.durable.(sessiontrack.Auditor)
		switch {
		case renewer == nil:
			return v
		case auditor != nil:
			return struct {
				changingAndTelling
				renewPart
				sessiontrack.Auditor // the trail is the durable store's
			}{v, renewed, auditor}
		}
		return struct {
			changingAndTelling
			renewPart
		}{v, renewed}
	case a.changes != nil && sampler != nil:
		v := changingAndSampling{a, changed, sampled}
		if renewer == nil {
			return v
		}
		return struct {
			changingAndSampling
			renewPart
		}{v, renewed}
	case a.changes != nil:
		v := changing{a, changed}
		if renewer == nil {
			return v
		}
		return struct {
			changing
			renewPart
		}{v, renewed}
	case feed != nil && historian != nil:
		v := endingAndTelling{a, ended, told}
		if renewer == nil {
			return v
		}
		return struct {
			endingAndTelling
			renewPart
		}{v, renewed}
	case feed != nil && sampler != nil:
		v := endingAndSampling{a, ended, sampled}
		if renewer == nil {
			return v
		}
		return struct {
			endingAndSampling
			renewPart
		}{v, renewed}
	case feed != nil:
		v := ending{a, ended}
		if renewer == nil {
			return v
		}
		return struct {
			ending
			renewPart
		}{v, renewed}
	case historian != nil:
		v := telling{a, told}
		if renewer == nil {
			return v
		}
		return struct {
			telling
			renewPart
		}{v, renewed}
	case sampler != nil:
		v := sampling{a, sampled}
		if renewer == nil {
			return v
		}
		return struct {
			sampling
			renewPart
		}{v, renewed}
	case renewer != nil:
		return struct {
			*activity
			renewPart
		}{a, renewed}
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

// renewPart changes secrets, which are the durable store's.
type renewPart struct {
	of      *activity
	renewer sessiontrack.Renewer
}

// Renew implements [sessiontrack.Renewer].
func (p renewPart) Renew(ctx context.Context, r sessiontrack.Renewal) (sessiontrack.Session, error) {
	s, err := p.renewer.Renew(ctx, r)
	if err == nil {
		p.of.overlay(ctx, []*sessiontrack.Session{&s})
	}
	return s, err
}
