package sessiontrack

import (
	"cmp"
	"context"
	"iter"
	"net/netip"
	"slices"
	"time"

	"github.com/sessiontrack/sessiontrack/internal/ordered"
	"github.com/sessiontrack/sessiontrack/internal/storeclock"
)

// memoryIndex finds the rows of a MemoryStore by the facts that a [Filter] names. Each list is in
// the order of Serial, which is that of the logins. The store's lock guards it.
type memoryIndex struct {
	lists map[memoryFact]*ordered.List[*memoryRow]
}

// memoryFact is one fact about live rows, or about ended ones.
type memoryFact struct {
	kind  factKind
	value string
	ended bool
}

type factKind uint8

const (
	factAny factKind = iota // has no value
	factDevice
	factBrowser
	factOS
	factCountry
	factTenant
	factClient
	factActedBy
	factDerived
	factAddress // the latest address, or the one at the login
	factNetwork // the network of one of the two, see networkOf
)

// networkOf is the network by which prefixes are found that are longer: 16 bits of an IPv4 address,
// 32 of an IPv6 address.
func networkOf(a netip.Addr) netip.Prefix {
	bits := 16
	if a.Is6() {
		bits = 32
	}
	network, _ := a.WithZone("").Prefix(bits)
	return network
}

// facts returns the facts of a row, each once.
func (r *memoryRow) facts() []memoryFact {
	all := make([]memoryFact, 0, 12)
	add := func(kind factKind, value string) {
		fact := memoryFact{kind, value, r.Ended()}
		if (value != "" || kind == factAny) && !slices.Contains(all, fact) {
			all = append(all, fact)
		}
	}
	add(factAny, "")
	add(factDevice, string(r.Device.Type))
	add(factBrowser, r.Device.Browser)
	add(factOS, r.Device.OS)
	add(factCountry, r.Location.CountryCode)
	add(factTenant, r.Tenant)
	add(factClient, r.Client)
	add(factActedBy, r.ActedBy)
	if r.Derived {
		add(factDerived, "true")
	}
	for _, a := range [...]netip.Addr{r.Address, r.LoginAddress} {
		if a.IsValid() {
			add(factAddress, a.String())
			add(factNetwork, networkOf(a).String())
		}
	}
	return all
}

func (x *memoryIndex) add(row *memoryRow) {
	for _, fact := range row.facts() {
		list := x.lists[fact]
		if list == nil {
			empty := ordered.New(oldestFirst)
			list = &empty
			x.lists[fact] = list
		}
		list.Insert(row)
	}
}

func (x *memoryIndex) remove(row *memoryRow) {
	for _, fact := range row.facts() {
		if list := x.lists[fact]; list != nil {
			if list.Remove(row); list.Len() == 0 {
				delete(x.lists, fact)
			}
		}
	}
}

// shortest returns the shortest list that has every live, or every ended, row that f selects; nil
// if there is none.
func (x *memoryIndex) shortest(f *Filter, ended bool) *ordered.List[*memoryRow] {
	named := []memoryFact{{factAny, "", ended}}
	add := func(kind factKind, value string) {
		if value != "" {
			named = append(named, memoryFact{kind, value, ended})
		}
	}
	add(factDevice, string(f.Device))
	add(factBrowser, f.Browser)
	add(factOS, f.OS)
	add(factCountry, f.Country)
	add(factTenant, f.Tenant)
	add(factClient, f.Client)
	add(factActedBy, f.ActedBy)
	if f.Derived {
		add(factDerived, "true")
	}
	if p := f.Address; p.IsSingleIP() {
		add(factAddress, p.Addr().String())
	} else if p.IsValid() && p.Bits() >= networkOf(p.Addr()).Bits() {
		add(factNetwork, networkOf(p.Addr()).String())
	}
	var best *ordered.List[*memoryRow]
	for i, fact := range named {
		list := x.lists[fact]
		if list == nil {
			return nil
		}
		if i == 0 || list.Len() < best.Len() {
			best = list
		}
	}
	return best
}

// memoryList answers a question about rows, with the store's lock held.
type memoryList struct {
	*MemoryStore
	filter *Filter
	idle   time.Duration // the Tracker's IdleTimeout
	now    time.Time
	asOf   time.Time // zero for now
}

// candidates returns lists of rows that together have all that f selects, each row once, the latest
// login first. A list ends in front of a cursor in the order of logins, if that is not zero.
func (l *memoryList) candidates(after Cursor) (lists []iter.Seq[*memoryRow]) {
	f := l.filter
	live, ended := f.state() != StateEnded, f.state() == StateEnded || f.state() == StateAny
	if len(f.Users) > 0 {
		for _, id := range sortedCopy(f.Users) {
			u := l.users[id]
			if u != nil && live {
				lists = append(lists, latestBefore(u.live, after))
			}
			if u != nil && ended {
				lists = append(lists, latestBefore(u.ended, after))
			}
		}
		return lists
	}
	for _, state := range [...]struct{ wanted, ended bool }{{live, false}, {ended, true}} {
		if !state.wanted {
			continue
		}
		list := l.index.shortest(f, state.ended)
		switch {
		case list == nil:
		case after.IsZero():
			lists = append(lists, list.Backward())
		default:
			probe := &memoryRow{}
			probe.Serial = after.Serial
			lists = append(lists, list.Before(probe))
		}
	}
	return lists
}

// latestBefore yields the rows of a list by Serial in front of a cursor, the latest first.
func latestBefore(list []*memoryRow, c Cursor) iter.Seq[*memoryRow] {
	if !c.IsZero() {
		at, _ := slices.BinarySearchFunc(list, c, func(row *memoryRow, c Cursor) int {
			return cmp.Or(row.LoginAt.Compare(c.At), cmp.Compare(row.Serial, c.Serial))
		})
		list = list[:at]
	}
	return func(yield func(*memoryRow) bool) {
		for _, row := range slices.Backward(list) {
			if !yield(row) {
				return
			}
		}
	}
}

// Count implements [Counter]. It is always exact.
func (s *MemoryStore) Count(ctx context.Context, q CountQuery) (Count, error) {
	if err := canceled(ctx, "count"); err != nil {
		return Count{}, err
	}
	if err := q.Check(); err != nil {
		return Count{}, err
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	c, users := Count{Exact: true, AsOf: s.now()}, map[*memoryUser]struct{}{}
	storeclock.Raise(&s.times.fed, c.AsOf.UnixMicro()) // what begins later has a later LoginAt
	l := &memoryList{s, &q.Filter, q.IdleTimeout, c.AsOf, time.Time{}}
	for _, list := range l.candidates(Cursor{}) {
		for row := range list {
			if l.selects(row) {
				c.N++
				users[row.user] = struct{}{}
			}
		}
	}
	c.Users = len(users)
	return c, nil
}

func (l *memoryList) selects(row *memoryRow) bool {
	if l.asOf.IsZero() {
		return l.filter.Matches(&row.Session, l.now, l.idle)
	}
	return !row.LoginAt.After(l.asOf) && l.filter.Matches(&row.Session, l.asOf, l.idle)
}

// byLogin returns the rows that a query selects by login, latest first, at most one more than it
// asks for.
func (l *memoryList) byLogin(q *Query) (rows []*memoryRow) {
	for _, list := range l.candidates(q.After) {
		found := 0
		for row := range list {
			if !l.selects(row) || !row.user.within(q.Within, l.now) {
				continue
			}
			rows = append(rows, row)
			if found++; found > q.Limit {
				break
			}
		}
	}
	slices.SortFunc(rows, func(a, b *memoryRow) int { return oldestFirst(b, a) })
	return rows[:min(len(rows), q.Limit+1)]
}
