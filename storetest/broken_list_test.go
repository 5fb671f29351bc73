package storetest

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/sessiontrack/sessiontrack"
)

type (
	ctxT   = context.Context
	memory = sessiontrack.MemoryStore
	store  = sessiontrack.Store
)

func onTouch(f func(p *patched, ctx ctxT, batch []sessiontrack.TouchRecord,
	step time.Duration) ([]sessiontrack.SessionID, error)) func(*memory) store {
	return func(m *memory) store { return touching{newPatched(m), f} }
}

func onDescribe(f func(p *patched, f sessiontrack.SessionUpdate)) func(*memory) store {
	return func(m *memory) store { return describing{newPatched(m), f} }
}

func onCreate(f func(p *patched, ctx ctxT, n sessiontrack.NewSession) (sessiontrack.CreateResult,
	error)) func(*memory) store {
	return func(m *memory) store { return creating{newPatched(m), f} }
}

func onEnd(f func(p *patched, ctx ctxT, sel sessiontrack.Selector, e sessiontrack.Ending) (sessiontrack.EndResult,
	error)) func(*memory) store {
	return func(m *memory) store { return ending{newPatched(m), f} }
}

func onList(f func(p *patched, ctx ctxT, q sessiontrack.Query) (sessiontrack.Page, error)) func(*memory) store {
	return func(m *memory) store { return listing{newPatched(m), f} }
}

// revive makes an ended row read as a live row.
func revive(r *sessiontrack.Record) {
	r.LogoutAt, r.EndReason, r.EndedBy = time.Time{}, "", ""
}

// insertUnlimited is Create without its limit.
func insertUnlimited(p *patched, ctx ctxT, n sessiontrack.NewSession) (sessiontrack.CreateResult, error) {
	n.Limit = 0
	return p.MemoryStore.Create(ctx, n)
}

// liveOf returns a user's live sessions, latest first.
func liveOf(p *patched, ctx ctxT, user string) []sessiontrack.Session {
	page, _ := p.MemoryStore.List(ctx, sessiontrack.Query{UserID: user, Live: true, Limit: 100})
	return page.Sessions
}

// brokenStores lists the bugs, and the cases that must find each of them.
var brokenStores = map[string]brokenStore{
	"a touch that revives": {[]string{"touch/late does not revive", "race/touches against an end"},
		onTouch(func(p *patched, ctx ctxT, batch []sessiontrack.TouchRecord, step time.Duration) ([]sessiontrack.SessionID,
			error) {
			for _, t := range batch {
				p.patch(t.ID, revive)
			}
			return p.MemoryStore.Touch(ctx, batch, step)
		})},
	"a touch that inserts": {[]string{"touch/of an unknown handle makes no row", "purge/what is deleted stays deleted"},
		onTouch(func(p *patched, ctx ctxT, batch []sessiontrack.TouchRecord, step time.Duration) ([]sessiontrack.SessionID,
			error) {
			for _, t := range batch {
				n := newSession("upserted")
				n.Session.ID = t.ID
				_, _ = p.MemoryStore.Create(ctx, n)
			}
			return p.MemoryStore.Touch(ctx, batch, step)
		})},
	"a touch that is not clamped": {[]string{"touch/never passes the store's time"},
		onTouch(func(p *patched, ctx ctxT, batch []sessiontrack.TouchRecord, step time.Duration) ([]sessiontrack.SessionID,
			error) {
			for _, t := range batch {
				p.patch(t.ID, func(r *sessiontrack.Record) {
					if t.At.After(r.LastActivity) {
						r.LastActivity = t.At
					}
				})
			}
			return p.MemoryStore.Touch(ctx, batch, step)
		})},
	"a touch that sets whatever comes": {[]string{"touch/never moves it back", "touch/the later of two counts"},
		onTouch(func(p *patched, ctx ctxT, batch []sessiontrack.TouchRecord, step time.Duration) ([]sessiontrack.SessionID,
			error) {
			for _, t := range batch {
				p.patch(t.ID, func(r *sessiontrack.Record) { r.LastActivity = t.At })
			}
			return p.MemoryStore.Touch(ctx, batch, step)
		})},
	"a touch that loses its batch to one bad handle": {[]string{"touch/poisoned handles do not lose the batch"},
		onTouch(func(p *patched, ctx ctxT, batch []sessiontrack.TouchRecord, step time.Duration) ([]sessiontrack.SessionID,
			error) {
			for _, t := range batch {
				if strings.Contains(string(t.ID), "\x00") || !utf8.ValidString(string(t.ID)) {
					return nil, sessiontrack.ErrUnavailable
				}
			}
			return p.MemoryStore.Touch(ctx, batch, step)
		})},
	"a touch that says everything lives": {[]string{"touch/late does not revive",
		"touch/skips ended sessions and keeps the rest"},
		onTouch(func(p *patched, ctx ctxT, batch []sessiontrack.TouchRecord,
			step time.Duration) (all []sessiontrack.SessionID, err error) {
			for _, t := range batch {
				all = append(all, t.ID)
			}
			_, err = p.MemoryStore.Touch(ctx, batch, step)
			return all, err
		})},
	"a touch that goes by the serial": {[]string{"touch/a wrong serial selects nothing"},
		onTouch(func(p *patched, ctx ctxT, batch []sessiontrack.TouchRecord, step time.Duration) ([]sessiontrack.SessionID,
			error) {
			all, _ := p.MemoryStore.List(ctx, sessiontrack.Query{Limit: 100})
			batch = slices.Clone(batch)
			for i, t := range batch {
				for _, s := range all.Sessions {
					if s.Serial == t.Serial {
						batch[i].ID = s.ID
					}
				}
			}
			return p.MemoryStore.Touch(ctx, batch, step)
		})},
	"presence without steps": {[]string{"touch/moves presence in steps only"},
		onTouch(func(p *patched, ctx ctxT, batch []sessiontrack.TouchRecord, _ time.Duration) ([]sessiontrack.SessionID,
			error) {
			return p.MemoryStore.Touch(ctx, batch, 0)
		})},
	"a description that revives": {[]string{"describe/skips what has ended"},
		onDescribe(func(p *patched, f sessiontrack.SessionUpdate) { p.patch(f.ID, revive) })},
	"a description that moves the credential's end back": {[]string{"describe/the credential's end moves forward only"},
		onDescribe(func(p *patched, f sessiontrack.SessionUpdate) {
			p.patch(f.ID, func(r *sessiontrack.Record) { r.CredentialUntil = f.CredentialUntil })
		})},
	"a description that blanks absent facts": {[]string{"describe/leaves absent facts alone"},
		onDescribe(func(p *patched, f sessiontrack.SessionUpdate) {
			if f.Network == nil {
				p.patch(f.ID, func(r *sessiontrack.Record) { r.Location = sessiontrack.Location{} })
			}
		})},
	"a create that overwrites": {[]string{"create/a taken handle is refused",
		"create/the handle of an ended session is refused", "race/one handle is made once"},
		onCreate(func(p *patched, ctx ctxT, n sessiontrack.NewSession) (sessiontrack.CreateResult, error) {
			created, err := p.MemoryStore.Create(ctx, n)
			if errors.Is(err, sessiontrack.ErrExists) {
				p.patch(n.Session.ID, func(r *sessiontrack.Record) { revive(r); r.UserID = n.Session.UserID })
				return sessiontrack.CreateResult{Session: n.Session}, nil
			}
			return created, err
		})},
	"a create that ends before it fails": {[]string{"create/failing leaves nothing behind"},
		onCreate(func(p *patched, ctx ctxT, n sessiontrack.NewSession) (sessiontrack.CreateResult, error) {
			if n.Replaces != "" {
				_, _ = p.MemoryStore.End(ctx, sessiontrack.IDs(n.Replaces),
					sessiontrack.Ending{Reason: sessiontrack.ReasonReplacement})
			}
			return p.MemoryStore.Create(ctx, n)
		})},
	"a create that stamps by another clock": {[]string{"create/stamps by its own clock"},
		onCreate(func(p *patched, ctx ctxT, n sessiontrack.NewSession) (sessiontrack.CreateResult, error) {
			created, err := p.MemoryStore.Create(ctx, n)
			created.Session.LoginAt = created.Session.LoginAt.Add(time.Hour)
			return created, err
		})},
	"a limit checked before the lock": {[]string{"race/a denied limit holds"},
		onCreate(func(p *patched, ctx ctxT, n sessiontrack.NewSession) (sessiontrack.CreateResult, error) {
			if n.Limit > 0 && n.Policy == sessiontrack.DenyNew && len(liveOf(p, ctx, n.Session.UserID)) >= n.Limit {
				return sessiontrack.CreateResult{}, sessiontrack.ErrLimit
			}
			time.Sleep(time.Millisecond) // the round trip between the two statements
			return insertUnlimited(p, ctx, n)
		})},
	"insert first, evict afterwards": {[]string{"race/an evicting limit holds at every moment"},
		onCreate(func(p *patched, ctx ctxT, n sessiontrack.NewSession) (sessiontrack.CreateResult, error) {
			created, err := insertUnlimited(p, ctx, n)
			time.Sleep(time.Millisecond)
			if live := liveOf(p, ctx, n.Session.UserID); err == nil && n.Limit > 0 && len(live) > n.Limit {
				ended, _ := p.MemoryStore.End(ctx, sessiontrack.IDs(ids(live[n.Limit:])...),
					sessiontrack.Ending{Reason: sessiontrack.ReasonLimit})
				created.Ended = ended.Sessions
			}
			return created, err
		})},
	"a limit that counts lapsed sessions": {[]string{"limit/idle sessions do not count"},
		onCreate(func(p *patched, ctx ctxT, n sessiontrack.NewSession) (sessiontrack.CreateResult, error) {
			n.IdleTimeout = 0
			return p.MemoryStore.Create(ctx, n)
		})},
	"an end that is reported again": {[]string{"end/again reports nothing", "race/an end is reported once"},
		onEnd(func(p *patched, ctx ctxT, sel sessiontrack.Selector, e sessiontrack.Ending) (sessiontrack.EndResult, error) {
			ended, err := p.MemoryStore.End(ctx, sel, e)
			c, _ := sel.Criteria()
			for _, id := range c.IDs {
				if r, err := p.Get(ctx, id); err == nil && len(ended.Sessions) == 0 {
					ended.Sessions = append(ended.Sessions, r.Session)
				}
			}
			return ended, err
		})},
	"an end that is moved by the next": {[]string{"end/again reports nothing"},
		onEnd(func(p *patched, ctx ctxT, sel sessiontrack.Selector, e sessiontrack.Ending) (sessiontrack.EndResult, error) {
			c, _ := sel.Criteria()
			for _, id := range c.IDs {
				p.patch(id, func(r *sessiontrack.Record) { r.EndReason = e.Reason })
			}
			return p.MemoryStore.End(ctx, sel, e)
		})},
	"an end without its exceptions": {[]string{"end/all of a user's but some", "walk/works for a user's sessions"},
		onEnd(func(p *patched, ctx ctxT, sel sessiontrack.Selector, e sessiontrack.Ending) (sessiontrack.EndResult, error) {
			if c, err := sel.Criteria(); err == nil && c.UserID != "" {
				sel = sessiontrack.User(c.UserID).Walk(c.After, c.Walk)
			}
			return p.MemoryStore.End(ctx, sel, e)
		})},
	"an end of ids without their owner": {[]string{"end/of the named ones a user's own"},
		onEnd(func(p *patched, ctx ctxT, sel sessiontrack.Selector, e sessiontrack.Ending) (sessiontrack.EndResult, error) {
			if c, err := sel.Criteria(); err == nil && c.Owner != "" {
				sel = sessiontrack.IDs(c.IDs...).Walk(c.After, c.Walk)
			}
			return p.MemoryStore.End(ctx, sel, e)
		})},
	"an end of users with similar ids": {[]string{"end/ids of users are exact"},
		onEnd(func(p *patched, ctx ctxT, sel sessiontrack.Selector, e sessiontrack.Ending) (sessiontrack.EndResult, error) {
			ended, err := p.MemoryStore.End(ctx, sel, e)
			if c, err := sel.Criteria(); err == nil && c.UserID != "" { // like a collation that ignores case
				more, _ := p.MemoryStore.End(ctx, sessiontrack.User(strings.ToUpper(c.UserID)), e)
				ended.Sessions = append(ended.Sessions, more.Sessions...)
			}
			return ended, err
		})},
	"a cleanup that looks first and ends later": {[]string{"race/cleanup spares what is touched"},
		onEnd(func(p *patched, ctx ctxT, sel sessiontrack.Selector, e sessiontrack.Ending) (sessiontrack.EndResult, error) {
			c, err := sel.Criteria()
			if err != nil || c.IdleFor == 0 {
				return p.MemoryStore.End(ctx, sel, e)
			}
			page, _ := p.MemoryStore.List(ctx, sessiontrack.Query{UserID: "user-1", Live: true, Limit: 100})
			time.Sleep(2 * time.Millisecond) // the round trip between the two statements
			var idle []sessiontrack.SessionID
			for _, s := range page.Sessions {
				if page.Now.Sub(s.LastActivity) >= c.IdleFor {
					idle = append(idle, s.ID)
				}
			}
			if len(idle) == 0 {
				return sessiontrack.EndResult{}, nil
			}
			return p.MemoryStore.End(ctx, sessiontrack.IDs(idle...), e)
		})},
	"a walk that begins again": {[]string{"walk/begins behind its start", "walk/reaches every row once"},
		onEnd(func(p *patched, ctx ctxT, sel sessiontrack.Selector, e sessiontrack.Ending) (sessiontrack.EndResult, error) {
			if c, err := sel.Criteria(); err == nil && c.Walk > 0 {
				sel = sel.Walk(0, c.Walk)
			}
			return p.MemoryStore.End(ctx, sel, e)
		})},
	"a cursor that repeats its row": {[]string{"page/a user's sessions, each once", "page/all sessions, each once"},
		onList(func(p *patched, ctx ctxT, q sessiontrack.Query) (sessiontrack.Page, error) {
			if !q.After.IsZero() {
				q.After.Serial++
			}
			return p.MemoryStore.List(ctx, q)
		})},
	"pages by offset": {[]string{"page/rows that move are not repeated", "page/rows that end are not missed around"},
		onList(func(p *patched, ctx ctxT, q sessiontrack.Query) (sessiontrack.Page, error) {
			if q.Limit < 1 || q.Limit > 100 {
				return p.MemoryStore.List(ctx, q)
			}
			all := q
			all.Limit, all.After = 100, sessiontrack.Cursor{}
			page, err := p.MemoryStore.List(ctx, all)
			from := min(int(q.After.Serial), len(page.Sessions))
			to := min(from+q.Limit, len(page.Sessions))
			if page.Next = (sessiontrack.Cursor{}); to < len(page.Sessions) {
				page.Next = sessiontrack.Cursor{At: page.Now, Serial: int64(to)}
			}
			page.Sessions = page.Sessions[from:to]
			return page, err
		})},
	"a list of the lapsed": {[]string{"list/live leaves out what has lapsed"},
		onList(func(p *patched, ctx ctxT, q sessiontrack.Query) (sessiontrack.Page, error) {
			q.IdleTimeout = 0
			return p.MemoryStore.List(ctx, q)
		})},
	"a list in the order of the names": {[]string{"list/several users", "touch/moves its user to the front"},
		onList(func(p *patched, ctx ctxT, q sessiontrack.Query) (sessiontrack.Page, error) {
			page, err := p.MemoryStore.List(ctx, q)
			slices.SortStableFunc(page.Sessions, func(a, b sessiontrack.Session) int {
				return strings.Compare(b.UserID, a.UserID)
			})
			if len(q.Filter.Users) > 0 {
				slices.Reverse(page.Sessions)
			}
			return page, err
		})},
	"a feed that consumes": {[]string{"feed/reading again returns the same"},
		func(m *memory) store {
			return &feeding{patched: newPatched(m), told: map[sessiontrack.SessionID]bool{}}
		}},
	"a feed that forgets": {[]string{"feed/an end after its Now is in the next answer"},
		func(m *memory) store { return &feeding{patched: newPatched(m), late: 10 * time.Millisecond} }},
	"presence left behind": {[]string{"online/offline at once", "race/presence follows the last session",
		"online/a late touch does not bring a user back"},
		func(m *memory) store { return &lingering{patched: newPatched(m), seen: map[string]bool{}} }},
	"an outage read as an absence": {[]string{"get/an over context is not an absence"},
		func(m *memory) store { return absent{newPatched(m)} }},
	"an outage that reads as many absences": {[]string{"read/an over context is not an absence"},
		func(m *memory) store { return forgetting{newPatched(m)} }},
	"many at once, without what has ended": {[]string{"read/answers as Get does"},
		func(m *memory) store { return readingLive{newPatched(m)} }},
	"a purge that forgets a living credential": {[]string{"purge/remembers a derived session until its credential ends",
		"purge/remembers an endless credential for KeepEnded"},
		func(m *memory) store { return purging{newPatched(m)} }},
	"a sample for each replica": {[]string{"sample/replicas at once"},
		func(m *memory) store { return sampling{newPatched(m)} }},
	"users counted and not listed": {[]string{"capability/online users are counted and listed"},
		func(m *memory) store {
			return struct {
				store
				counter
			}{m, m}
		}},
	"users listed and not counted": {[]string{"capability/online users are counted and listed"},
		func(m *memory) store {
			return struct {
				store
				lister
			}{m, m}
		}},
	"statistics without samples": {[]string{"capability/statistics come with samples"},
		func(m *memory) store {
			return struct {
				store
				adder
			}{m, m}
		}},
	"samples without statistics": {[]string{"capability/statistics come with samples"},
		func(m *memory) store {
			return struct {
				store
				sampler
			}{m, m}
		}},
	"history without reading": {[]string{"capability/history is written and read"},
		func(m *memory) store {
			return struct {
				store
				sessiontrack.Sampler
				recorder
			}{m, m, m}
		}},
	"history without writing": {[]string{"capability/history is written and read"},
		func(m *memory) store {
			return struct {
				store
				sessiontrack.Sampler
				reader
			}{m, m, m}
		}},
	"history without samples": {[]string{"capability/history is written and read"},
		func(m *memory) store {
			return struct {
				store
				recorder
				reader
			}{m, m, m}
		}},
	"changes without the feed of ends": {[]string{"capability/changes come with the feed of ends"},
		func(m *memory) store {
			return struct {
				store
				changes
			}{m, m}
		}},
}
