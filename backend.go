package sessiontrack

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/sessiontrack/sessiontrack/internal/fair"
	"github.com/sessiontrack/sessiontrack/internal/storeclock"
)

// backend is the only way to the Store. Every call goes through it, so that each call has
// a deadline, a panic of the store is contained, its errors are ones that this package
// knows, and the stamps in its answers set the clock.
type backend struct {
	store Store
	capabilities

	host    *host
	clock   *storeclock.Clock
	timeout time.Duration
	down    atomic.Bool // the latest reading of the feed failed
	busy    atomic.Bool // it found no connection: the store may be well
	places  fair.Places
}

// capabilities are what a store can do beyond Store, each nil where it cannot.
type capabilities struct {
	reader    Reader
	feed      EndedFeed
	changes   ChangeFeed
	online    OnlineReader
	sampler   Sampler
	historian Historian
	leaser    Leaser
	checker   Checker
	renewer   Renewer
	counter   Counter
	auditor   Auditor
}

// What each built-in store can do.
var (
	_ Store        = (*MemoryStore)(nil)
	_ Reader       = (*MemoryStore)(nil)
	_ EndedFeed    = (*MemoryStore)(nil)
	_ ChangeFeed   = (*MemoryStore)(nil)
	_ OnlineReader = (*MemoryStore)(nil)
	_ Counter      = (*MemoryStore)(nil)
	_ Sampler      = (*MemoryStore)(nil)
	_ Historian    = (*MemoryStore)(nil)
	_ Renewer      = (*MemoryStore)(nil)
	_ Auditor      = (*MemoryStore)(nil)

	_ Store        = (*BunStore)(nil)
	_ Reader       = (*BunStore)(nil)
	_ EndedFeed    = (*BunStore)(nil)
	_ ChangeFeed   = (*BunStore)(nil)
	_ OnlineReader = (*BunStore)(nil)
	_ Counter      = (*BunStore)(nil)
	_ Sampler      = (*BunStore)(nil)
	_ Historian    = (*BunStore)(nil)
	_ Leaser       = (*BunStore)(nil)
	_ Checker      = (*BunStore)(nil)
	_ Pooled       = (*BunStore)(nil)
	_ Renewer      = (*BunStore)(nil)
	_ Auditor      = (*BunStore)(nil)
)

const (
	// writePatience is how many StoreTimeouts a call gets that reads or writes several
	// rows: 2 s by default, which is what the feed's overlap allows a transaction.
	writePatience = 4
	// historyPatience is the timeout for the history of a year.
	historyPatience = 10 * time.Second

	// maxAsked is how many calls of the store requests may have under way. The others wait, so
	// that requests cannot take all connections of the host.
	maxAsked = 32
	// keptConnections is how many connections of a pool requests leave to the feed and to the
	// writing of activity.
	keptConnections = 2

	// maxReadAlone is how many sessions a call of read takes where the store is no Reader.
	maxReadAlone = 20
)

func (b *backend) init(store Store, timeout time.Duration, host *host, clock *storeclock.Clock) {
	b.store, b.timeout, b.host, b.clock = store, timeout, host, clock
	b.reader, _ = store.(Reader)
	b.feed, _ = store.(EndedFeed)
	b.online, _ = store.(OnlineReader)
	b.counter, _ = store.(Counter)
	b.auditor, _ = store.(Auditor)
	b.sampler, _ = store.(Sampler)
	b.historian, _ = store.(Historian)
	b.leaser, _ = store.(Leaser)
	b.checker, _ = store.(Checker)
	b.renewer, _ = store.(Renewer)
	if b.feed != nil {
		b.changes, _ = store.(ChangeFeed)
	}
	b.resize()
}

// resize fits the number of places to the connections that the store may use now.
func (b *backend) resize() {
	size := maxAsked
	if pool, ok := b.store.(Pooled); ok {
		if most := pool.MaxConnections(); most > 0 {
			size = min(size, most-keptConnections)
		}
	}
	b.places.Resize(size)
}

// askerKey is the key of a context's value that names the user who causes a call.
type askerKey struct{}

// ask makes a call that a request causes: it takes one of the places, of which one user has a
// quarter at the most. The waiting is part of the timeout. key stands for who asks where the
// context does not know the user.
func (b *backend) ask(ctx context.Context, key string, timeout time.Duration, c StoreCall,
	f func(context.Context) error, answers ...error) error {
	if user, known := ctx.Value(askerKey{}).(string); known {
		key = user
	}
	if !b.places.Try(key) {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, timeout)
		defer cancel()
		if err := b.places.Take(ctx, key); err != nil {
			b.host.count(countCrowded, 1)
			return fmt.Errorf("%w: requests already have as many calls under way as they may: %w", errBusy, err)
		}
	}
	defer b.places.Give(key)
	return b.call(ctx, timeout, c, f, answers...)
}

// away reports whether the store is known to be away. Then no request waits for it.
func (b *backend) away() bool { return b.down.Load() }

// strained reports whether the store is away or has no connection to spare. Then cached
// sessions are served without asking it.
func (b *backend) strained() bool { return b.down.Load() || b.busy.Load() }

// forgive forgets what the latest reading of the feed said of the store.
func (b *backend) forgive() {
	b.down.Store(false)
	b.busy.Store(false)
}

// errAway refuses what would wait for a store that is known to be away.
var errAway = fmt.Errorf("%w: known to be unreachable", ErrUnavailable)

// detached returns a context with the values of ctx and without its end: a client that
// goes away must not turn a call of the store into a failure.
func detached(ctx context.Context) context.Context { return context.WithoutCancel(ctx) }

// short bounds a call that concerns one row.
func (b *backend) short(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, b.timeout)
}

// long bounds a call that concerns several rows, or several calls that belong together.
func (b *backend) long(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, b.patient())
}

// patient is how long a call may take that concerns several rows.
func (b *backend) patient() time.Duration { return writePatience * b.timeout }

// call calls the store for at most a timeout, and tells the observer. The errors in answers
// are what the call may answer with; any other means that the store could not say.
func (b *backend) call(ctx context.Context, timeout time.Duration, c StoreCall, f func(context.Context) error,
	answers ...error) (err error) {
	ctx, told := b.host.observeStore(ctx, c)
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	if b.host.contain("Store", func() { err = f(ctx) }) {
		err = classified(err, answers)
	} else {
		err = fmt.Errorf("%w: the store panicked", ErrUnavailable)
	}
	told(err)
	return err
}

// classified makes every error of a store one that this package knows. An answer that the
// call cannot have says nothing: callers must not take it for one.
func classified(err error, answers []error) error {
	if err == nil {
		return nil
	}
	for _, answer := range answers {
		if errors.Is(err, answer) {
			return err
		}
	}
	for _, strange := range [...]error{ErrNotFound, ErrExists, ErrLimit, ErrEnded} {
		if errors.Is(err, strange) {
			return fmt.Errorf("%w: %v", ErrUnavailable, err)
		}
	}
	for _, kind := range [...]error{ErrUnavailable, ErrStoreFault, ErrInvalidArgument} {
		if errors.Is(err, kind) {
			return err
		}
	}
	return fmt.Errorf("%w: %w", ErrUnavailable, err)
}

// create makes a session. Its LoginAt sets the clock.
func (b *backend) create(ctx context.Context, n NewSession) (created CreateResult, err error) {
	before := b.clock.Local()
	err = b.ask(ctx, n.Session.UserID, b.patient(), StoreCall{Method: "Create"}, func(ctx context.Context) error {
		created, err = b.store.Create(ctx, n)
		return err
	}, ErrExists, ErrLimit, ErrEnded)
	if err != nil {
		return CreateResult{}, err
	}
	b.clock.Learn(created.Session.LoginAt, before, b.clock.Local())
	return created, nil
}

func (b *backend) get(ctx context.Context, id SessionID) (r Record, err error) {
	err = b.ask(ctx, string(id), b.timeout, StoreCall{Method: "Get"}, func(ctx context.Context) error {
		r, err = b.store.Get(ctx, id)
		return err
	}, ErrNotFound)
	return r, err
}

// read reads many sessions, at most readBatch of them. Those that do not come back do not exist.
func (b *backend) read(ctx context.Context, ids []SessionID) (records []Record, err error) {
	if b.reader == nil {
		return b.readOneByOne(ctx, ids)
	}
	c := StoreCall{Method: "Read", Items: len(ids)}
	err = b.call(ctx, b.patient(), c, func(ctx context.Context) error {
		records, err = b.reader.Read(ctx, ids)
		return err
	})
	return records, err
}

func (b *backend) readOneByOne(ctx context.Context, ids []SessionID) ([]Record, error) {
	records := make([]Record, 0, len(ids))
	for _, id := range ids {
		switch r, err := b.get(ctx, id); {
		case err == nil:
			records = append(records, r)
		case !errors.Is(err, ErrNotFound):
			return nil, err
		}
	}
	return records, nil
}

// readBatch is how many sessions one call of read takes: without a Reader it makes a call of
// the store for each.
func (b *backend) readBatch() int {
	if b.reader == nil {
		return maxReadAlone
	}
	return maxRead
}

func (b *backend) list(ctx context.Context, q Query) (page Page, err error) {
	err = b.ask(ctx, "", b.patient(), StoreCall{Method: "List"}, func(ctx context.Context) error {
		page, err = b.store.List(ctx, q)
		return err
	})
	return page, err
}

// count counts what a filter selects. The store must be a Counter.
func (b *backend) count(ctx context.Context, q CountQuery) (c Count, err error) {
	err = b.ask(ctx, "", historyPatience, StoreCall{Method: "Count"}, func(ctx context.Context) error {
		c, err = b.counter.Count(ctx, q)
		return err
	})
	return c, err
}

func (b *backend) touch(ctx context.Context, batch []TouchRecord, step time.Duration) (alive []SessionID, err error) {
	err = b.call(ctx, b.patient(), StoreCall{Method: "Touch", Items: len(batch)}, func(ctx context.Context) error {
		alive, err = b.store.Touch(ctx, batch, step)
		return err
	})
	return alive, err
}

func (b *backend) describe(ctx context.Context, batch []SessionUpdate) error {
	return b.call(ctx, b.patient(), StoreCall{Method: "Describe", Items: len(batch)}, func(ctx context.Context) error {
		return b.store.Describe(ctx, batch)
	})
}

// end ends sessions. The time of the call sets the clock.
func (b *backend) end(ctx context.Context, sel Selector, e Ending) (ended EndResult, err error) {
	before := b.clock.Local()
	err = b.ask(ctx, "", b.patient(), StoreCall{Method: "End"}, func(ctx context.Context) error {
		ended, err = b.store.End(ctx, sel, e)
		return err
	})
	if err != nil {
		return EndResult{}, err
	}
	b.clock.Learn(ended.At, before, b.clock.Local())
	return ended, nil
}

func (b *backend) purge(ctx context.Context, p PurgeOptions) (n int, err error) {
	err = b.call(ctx, b.patient(), StoreCall{Method: "Purge"}, func(ctx context.Context) error {
		n, err = b.store.Purge(ctx, p)
		return err
	})
	return n, err
}

// renew changes a session's secret. The store must be a Renewer.
func (b *backend) renew(ctx context.Context, r Renewal) (s Session, err error) {
	err = b.ask(ctx, string(r.ID), b.patient(), StoreCall{Method: "Renew"}, func(ctx context.Context) error {
		s, err = b.renewer.Renew(ctx, r)
		return err
	}, ErrNotFound)
	return s, err
}

// audit returns a page of the trail. The store must be an Auditor.
func (b *backend) audit(ctx context.Context, q AuditQuery) (page AuditPage, err error) {
	err = b.ask(ctx, "", b.patient(), StoreCall{Method: "Audit"}, func(ctx context.Context) error {
		page, err = b.auditor.Audit(ctx, q)
		return err
	})
	return page, err
}

// record appends a record to the trail. A store that is no Auditor has none. A failure is logged
// and counted.
func (b *backend) record(ctx context.Context, r AuditRecord) error {
	if b.auditor == nil {
		return nil
	}
	err := errAway
	if !b.away() {
		err = b.ask(ctx, "", b.patient(), StoreCall{Method: "Record"}, func(ctx context.Context) error {
			return b.auditor.Record(ctx, r)
		})
	}
	if err != nil {
		b.host.count(countAuditFailed, 1)
		b.host.logOutage(ctx, fmt.Errorf("a record of the audit trail was not written: %w", err))
	}
	return err
}

// purgeAudit deletes old records of the trail. The store must be an Auditor.
func (b *backend) purgeAudit(ctx context.Context, keep time.Duration, limit int) (n int, err error) {
	err = b.call(ctx, b.patient(), StoreCall{Method: "PurgeAudit"}, func(ctx context.Context) error {
		n, err = b.auditor.PurgeAudit(ctx, keep, limit)
		return err
	})
	return n, err
}

// check asks the store whether it can work at all. A store that is no Checker has nothing
// to say.
func (b *backend) check(ctx context.Context) error {
	if b.checker == nil {
		return nil
	}
	return b.call(ctx, b.patient(), StoreCall{Method: "Check"}, func(ctx context.Context) error {
		return b.checker.Check(ctx)
	})
}

// endedSince reads the feed of ended sessions. The time of the answer sets the clock. The
// store must be an EndedFeed.
func (b *backend) endedSince(ctx context.Context, since time.Time, limit int) (page EndedPage, err error) {
	before := b.clock.Local()
	err = b.call(ctx, b.timeout, StoreCall{Method: "EndedSince"}, func(ctx context.Context) error {
		page, err = b.feed.EndedSince(ctx, since, limit)
		return err
	})
	if err == nil {
		b.clock.Learn(page.Now, before, b.clock.Local())
	}
	return page, err
}

// changesSince reads all that events need. The time of the answer sets the clock. The
// store must be a ChangeFeed.
func (b *backend) changesSince(ctx context.Context, q ChangeQuery) (c Changes, err error) {
	before := b.clock.Local()
	err = b.call(ctx, b.patient(), StoreCall{Method: "ChangesSince"}, func(ctx context.Context) error {
		c, err = b.changes.ChangesSince(ctx, q)
		return err
	})
	if err == nil {
		b.clock.Learn(c.Now, before, b.clock.Local())
	}
	return c, err
}

// countOnline returns a number for each window. The store must be an OnlineReader.
func (b *backend) countOnline(ctx context.Context, windows []time.Duration) (counts []int, now time.Time, err error) {
	err = b.ask(ctx, "", b.patient(), StoreCall{Method: "CountOnline"}, func(ctx context.Context) error {
		counts, now, err = b.online.CountOnline(ctx, windows)
		return err
	})
	if err == nil && len(counts) != len(windows) {
		err = fmt.Errorf("%w: the store counted %d windows of %d", ErrUnavailable, len(counts), len(windows))
	}
	return counts, now, err
}

// listOnline returns a page of online users. The store must be an OnlineReader.
func (b *backend) listOnline(ctx context.Context, q OnlineQuery) (page OnlinePage, err error) {
	err = b.ask(ctx, "", b.patient(), StoreCall{Method: "ListOnline"}, func(ctx context.Context) error {
		page, err = b.online.ListOnline(ctx, q)
		return err
	})
	return page, err
}

// countStats answers a question for statistics. The store must be a Sampler.
func (b *backend) countStats(ctx context.Context, q StatsQuery) (counts StatsCounts, err error) {
	err = b.ask(ctx, "", b.patient(), StoreCall{Method: "CountStats"}, func(ctx context.Context) error {
		counts, err = b.sampler.CountStats(ctx, q)
		return err
	})
	return counts, err
}

// sample takes this minute's sample, and reports whether this call took it. The sample's
// At is zero while another call takes it. The store must be a Sampler.
func (b *backend) sample(ctx context.Context, q StatsQuery) (s Sample, taken bool, err error) {
	err = b.call(ctx, b.patient(), StoreCall{Method: "Sample"}, func(ctx context.Context) error {
		s, taken, err = b.sampler.Sample(ctx, q)
		return err
	})
	return s, taken, err
}

// rollUp adds up what began and ended. A store that is no Historian has nothing to do.
func (b *backend) rollUp(ctx context.Context, keep time.Duration) error {
	if b.historian == nil {
		return nil
	}
	return b.call(ctx, historyPatience, StoreCall{Method: "RollUp"}, func(ctx context.Context) error {
		return b.historian.RollUp(ctx, keep)
	})
}

// readHistory answers a question for history. The store must be a Historian.
func (b *backend) readHistory(ctx context.Context, q HistoryQuery) (data HistoryData, err error) {
	err = b.ask(ctx, "", historyPatience, StoreCall{Method: "ReadHistory"}, func(ctx context.Context) error {
		data, err = b.historian.ReadHistory(ctx, q)
		return err
	})
	return data, err
}

// lease reports whether this process may do a job that nobody was given within the last
// d. Over a store that is no Leaser every process may.
func (b *backend) lease(ctx context.Context, job string, d time.Duration) (mine bool, err error) {
	if b.leaser == nil {
		return true, nil
	}
	err = b.call(ctx, b.timeout, StoreCall{Method: "Lease"}, func(ctx context.Context) error {
		mine, err = b.leaser.Lease(ctx, job, d)
		return err
	})
	return err == nil && mine, err
}
