package storetest

import (
	"math/rand/v2"
	"net/netip"
	"slices"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sessiontrack/sessiontrack"
)

// world makes random sessions and random filters over a few values each, so that filters hit.
type world struct {
	*rand.Rand
	*check
	ids []sessiontrack.SessionID
}

func pick[T any](w *world, from ...T) T { return from[w.IntN(len(from))] }

func (w *world) address() netip.Addr {
	return pick(w, netip.Addr{}, netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.3.1"),
		netip.MustParseAddr("198.51.100.9"), netip.MustParseAddr("2001:db8::1"), netip.MustParseAddr("2001:db8:1::1"),
		netip.MustParseAddr("::ffff:192.0.2.1"))
}

func (w *world) country() string { return pick(w, "", "ID", "DE") }
func (w *world) browser() string { return pick(w, "", "Chrome", "Firefox") }
func (w *world) os() string      { return pick(w, "", "Android", "Windows") }
func (w *world) device() sessiontrack.DeviceType {
	return pick(w, "", sessiontrack.DeviceMobile, sessiontrack.DeviceTV)
}

func (w *world) user() string {
	return pick(w, "user-1", "user-2", "user-3", "' OR true --")
}

// begin makes a session; some are described, touched or ended afterwards.
func (w *world) begin() {
	s := w.create(w.user(), func(n *sessiontrack.NewSession) {
		s := &n.Session
		s.Address, s.LoginAddress = w.address(), w.address()
		s.Device.Type, s.Device.Browser, s.Device.OS, s.Location.CountryCode = w.device(), w.browser(), w.os(), w.country()
		s.Tenant, s.Client, s.ActedBy = pick(w, "", "acme"), pick(w, "", "web", "ios"), pick(w, "", "", "admin-7")
		if w.IntN(2) == 0 {
			s.AuthenticatedAt = time.Date(2020, 1, 1+w.IntN(3), 0, 0, 0, 0, time.UTC)
		}
		if w.IntN(4) == 0 {
			s.Derived, n.SecretHash = true, [32]byte{}
		}
		n.Lifetime = pick(w, 0, time.Hour, time.Millisecond)
	})
	w.ids = append(w.ids, s.ID)
	if w.IntN(3) == 0 {
		w.describe(sessiontrack.SessionUpdate{
			ID: s.ID, Device: &sessiontrack.Device{Type: w.device(), Browser: w.browser(), OS: w.os()},
			Network: &sessiontrack.ClientNetwork{
				Address: w.address(), Location: sessiontrack.Location{CountryCode: w.country()},
			},
		})
	}
	if w.IntN(3) == 0 {
		w.touch(w.now(), pick(w, w.ids...))
	}
	if w.IntN(3) == 0 {
		w.endAs(sessiontrack.IDs(pick(w, w.ids...)), sessiontrack.Ending{
			Reason: pick(w, sessiontrack.ReasonAdmin, sessiontrack.ReasonLogout, sessiontrack.ReasonPassword),
		})
	}
}

// filter sets each field with a small probability.
func (w *world) filter(state sessiontrack.State) sessiontrack.Filter {
	f := sessiontrack.Filter{State: state}
	maybe := func(set func()) {
		if w.IntN(6) == 0 {
			set()
		}
	}
	maybe(func() { f.Users = pick(w, []string{w.user()}, []string{"user-1", "user-3", "nobody", "user-1"}) })
	maybe(func() { f.Device = w.device() })
	maybe(func() { f.Browser = w.browser() })
	maybe(func() { f.OS = w.os() })
	maybe(func() { f.Country = w.country() })
	maybe(func() { f.Derived = true })
	maybe(func() { f.Tenant = "acme" })
	maybe(func() { f.Client = pick(w, "web", "ios") })
	maybe(func() { f.ActedBy = "admin-7" })
	maybe(func() { f.FreshBefore = time.Date(2020, 1, 2, 0, 0, 0, 0, time.UTC) })
	maybe(func() {
		f.Address = netip.MustParsePrefix(pick(w, "192.0.2.1/32", "192.0.2.0/23", "0.0.0.0/0", "2001:db8::/33",
			"2001:db8::1/128", "::ffff:0:0/96"))
	})
	at := func() time.Time { return w.get(pick(w, w.ids...)).LoginAt }
	maybe(func() { f.LoginAfter = at() })
	maybe(func() { f.LoginBefore = at() })
	if !f.LoginAfter.Before(f.LoginBefore) && !f.LoginBefore.IsZero() {
		f.LoginAfter = time.Time{}
	}
	maybe(func() { f.IdleFor = pick(w, time.Millisecond, 50*time.Millisecond, time.Hour) })
	maybe(func() { f.SeenWithin = pick(w, time.Millisecond, 50*time.Millisecond, time.Hour) })
	if state == sessiontrack.StateEnded {
		maybe(func() {
			f.Reasons = pick(w, []sessiontrack.EndReason{"admin"}, []sessiontrack.EndReason{"logout", "password", "logout"})
		})
	}
	return f
}

// selects is the oracle: what a filter means, in a form that shares nothing with a store.
func selects(f *sessiontrack.Filter, s *sessiontrack.Session, at time.Time, idle time.Duration) bool {
	ended, ago, seen := !s.LogoutAt.IsZero(), at.Sub(s.LastActivity), at.Sub(s.LastSeen)
	lapsed := !s.ExpiresAt.IsZero() && !s.ExpiresAt.After(at) || idle > 0 && ago >= idle
	in := func(a netip.Addr) bool { return f.Address.Contains(a) }
	same := func(want, is string) bool { return want == "" || want == is }
	return (f.State != sessiontrack.StateActive || !ended && !lapsed) && (f.State != sessiontrack.StateEnded || ended) &&
		(f.Reasons == nil || slices.Contains(f.Reasons, s.EndReason)) &&
		(f.Users == nil || slices.Contains(f.Users, s.UserID)) &&
		same(string(f.Device), string(s.Device.Type)) && same(f.Browser, s.Device.Browser) && same(f.OS, s.Device.OS) &&
		same(f.Country, s.Location.CountryCode) && (!f.Derived || s.Derived) &&
		(!f.Address.IsValid() || in(s.Address) || in(s.LoginAddress)) &&
		(f.LoginAfter.IsZero() || !s.LoginAt.Before(f.LoginAfter)) &&
		(f.LoginBefore.IsZero() || s.LoginAt.Before(f.LoginBefore)) &&
		(f.IdleFor == 0 || ago >= f.IdleFor) && (f.SeenWithin == 0 || min(ago, seen) < f.SeenWithin) &&
		(f.FreshBefore.IsZero() || s.AuthenticatedAt.Before(f.FreshBefore)) &&
		same(f.Tenant, s.Tenant) && same(f.Client, s.Client) && same(f.ActedBy, s.ActedBy)
}

// expected returns the handles that the oracle selects, latest login first.
func (w *world) expected(f *sessiontrack.Filter, at time.Time, idle time.Duration) []sessiontrack.SessionID {
	chosen := []sessiontrack.SessionID{}
	for _, id := range slices.Backward(w.ids) {
		if s := w.get(id).Session; selects(f, &s, at, idle) {
			chosen = append(chosen, id)
		}
	}
	return chosen
}

var filterCases = []testCase{
	{"filter/list, count and end agree with an oracle",
		"a filter that means something else in the list than in the end ends the wrong sessions (I26)", func(c *check) {
			w := &world{Rand: rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 7)), check: c}
			for range 60 {
				w.begin()
			}
			for i := range 60 {
				w.agree(w.filter(pick(w, sessiontrack.StateActive, sessiontrack.StateEnded, sessiontrack.StateAny)),
					pick(w, 0, 50*time.Millisecond, time.Hour), i%8 == 0)
			}
		}},
	{"filter/a page begins where the one before ended", "an offset skips rows while others change", func(c *check) {
		w := &world{Rand: rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 8)), check: c}
		for range 40 {
			w.begin()
		}
		for range 12 {
			f := w.filter(pick(w, sessiontrack.StateEnded, sessiontrack.StateAny))
			f.IdleFor, f.SeenWithin = 0, 0
			got := ids(w.pages(sessiontrack.Query{Filter: f, Sort: sessiontrack.SortLogin}, 3, nil))
			assert.Equal(c, w.expected(&f, w.now(), 0), append([]sessiontrack.SessionID{}, got...), "%+v", f)
		}
	}},
	{"filter/an end as of a count ends nothing that began later", "a preview shows what its end then ends (I26)",
		func(c *check) {
			counter := capability[sessiontrack.Counter](c)
			old := c.create("user-1", full)
			count, err := counter.Count(c.Context(), sessiontrack.CountQuery{Limit: 10})
			require.NoError(c, err)
			late := c.create("user-2", full)
			assert.True(c, late.LoginAt.After(count.AsOf), "what begins after the answer has a later LoginAt")
			sel := sessiontrack.Matching(sessiontrack.Filter{}).AsOf(count.AsOf)
			q := sessiontrack.Query{Sort: sessiontrack.SortLogin, AsOf: count.AsOf}
			assert.Equal(c, []sessiontrack.SessionID{old.ID}, ids(c.list(q).Sessions), "a list as of the count")
			q.Sort = sessiontrack.SortActivity
			assert.Equal(c, []sessiontrack.SessionID{old.ID}, ids(c.list(q).Sessions))
			assert.Empty(c, c.end(sel.Only(late.ID)).Sessions)
			assert.Equal(c, []sessiontrack.SessionID{old.ID}, ids(c.end(sel).Sessions))
			c.alive(late.ID, true)
		}},
	{"filter/an end leaves out what no longer matches", "a session that was used meanwhile is not idle", func(c *check) {
		a, b := c.create("user-1"), c.create("user-2")
		c.pass(b.LoginAt.Add(5 * time.Millisecond))
		at := c.now()
		f := sessiontrack.Filter{IdleFor: 2 * time.Millisecond}
		c.pass(at)
		c.touch(c.now(), b.ID)
		q := sessiontrack.Query{Filter: f, Sort: sessiontrack.SortLogin, AsOf: at}
		assert.Equal(c, []sessiontrack.SessionID{a.ID}, ids(c.list(q).Sessions))
		sel := sessiontrack.Matching(f).AsOf(at).Only(a.ID, b.ID)
		assert.Equal(c, []sessiontrack.SessionID{a.ID}, ids(c.end(sel).Sessions))
		c.alive(b.ID, true)
	}},
	{"filter/what a purge has left belongs to no filter", "the rest of a session is no session", func(c *check) {
		s := c.create("user-1", derived(time.Date(2040, 1, 1, 0, 0, 0, 0, time.UTC)))
		c.end(sessiontrack.IDs(s.ID))
		c.pass(c.now())
		_, err := c.store.Purge(c.Context(), sessiontrack.PurgeOptions{Limit: 10})
		require.NoError(c, err)
		require.Empty(c, c.get(s.ID).UserID)
		for _, state := range []sessiontrack.State{sessiontrack.StateEnded, sessiontrack.StateAny} {
			q := sessiontrack.Query{Filter: sessiontrack.Filter{State: state}, Sort: sessiontrack.SortLogin}
			assert.Empty(c, c.list(q).Sessions)
		}
	}},
}

// agree holds one filter of every use to the oracle.
func (w *world) agree(f sessiontrack.Filter, idle time.Duration, end bool) {
	q := sessiontrack.Query{Filter: f, Sort: sessiontrack.SortLogin, IdleTimeout: idle, Limit: 100}
	page := w.list(q)
	if f.IdleFor+f.SeenWithin+idle == 0 || len(page.Sessions) > 0 { // the time of an empty page may be a later one
		assert.Equal(w, w.expected(&f, page.Now, idle), ids(page.Sessions), "list of %s, idle %v", f.String(), idle)
	}
	for i := range page.Sessions {
		assert.True(w, f.Matches(&page.Sessions[i], page.Now, idle), "Filter.Matches")
	}
	if f.State == sessiontrack.StateActive {
		q.Sort = sessiontrack.SortActivity
		page = w.list(q)
		got := ids(page.Sessions)
		if len(got) > 0 {
			assert.ElementsMatch(w, w.expected(&f, page.Now, idle), got, "list by activity of %s", f.String())
		}
	}
	if counter, ok := w.store.(sessiontrack.Counter); ok {
		w.counts(counter, f, idle)
	}
	if end && f.State == sessiontrack.StateActive && idle == 0 {
		at := w.now()
		want := w.expected(&f, at, 0)
		got := ids(w.end(sessiontrack.Matching(f).AsOf(at)).Sessions)
		assert.ElementsMatch(w, want, got, "end of %s", f.String())
	}
}

func (w *world) counts(counter sessiontrack.Counter, f sessiontrack.Filter, idle time.Duration) {
	count, err := counter.Count(w.Context(), sessiontrack.CountQuery{Filter: f, IdleTimeout: idle, Limit: 100})
	require.NoError(w, err, f.String())
	want, users := w.expected(&f, count.AsOf, idle), map[string]bool{}
	for _, id := range want {
		users[w.get(id).UserID] = true
	}
	assert.Equal(w, [2]int{len(want), len(users)}, [2]int{count.N, count.Users}, "count of %s", f.String())
	assert.True(w, count.Exact)
}
