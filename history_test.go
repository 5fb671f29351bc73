package sessiontrack

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// traffic is what happened to a site, as it was made: the oracle's only source.
type traffic struct {
	sessions []Session
	samples  []Sample
}

var (
	someBrowsers  = []string{"Firefox", "Chrome", "Safari", ""}
	someSystems   = []string{"Linux", "Windows", "iOS"}
	someCountries = []string{"ID", "NP", "DE", "US", ""}
	someDevices   = []DeviceType{DeviceDesktop, DeviceMobile, "", "fridge"}
)

// randomTraffic makes sessions over some days.
func randomTraffic(r *rand.Rand, from time.Time, days, sessions int) *traffic {
	t := &traffic{}
	for i := range sessions {
		s := Session{ID: newHandle().id(), UserID: fmt.Sprint(i % 40)}
		s.LoginAt = from.Add(time.Duration(r.Int64N(int64(days) * int64(24*time.Hour)))).Truncate(time.Microsecond)
		s.Device = Device{Type: pick(r, someDevices), Browser: pick(r, someBrowsers), OS: pick(r, someSystems), Source: "user_agent"}
		s.Location.CountryCode = pick(r, someCountries)
		lasted := time.Duration(float64(time.Second) * float64(uint64(1)<<r.IntN(17)) * (1 + r.Float64()))
		s.LastActivity = s.LoginAt.Add(lasted.Truncate(time.Microsecond))
		if s.LogoutAt, s.EndReason = s.LastActivity, ReasonLogout; r.IntN(4) == 0 {
			s.LogoutAt, s.EndReason = s.LastActivity.Add(24*time.Hour), ReasonIdle
		}
		t.sessions = append(t.sessions, s)
	}
	slices.SortFunc(t.sessions, func(a, b Session) int { return a.LoginAt.Compare(b.LoginAt) })
	return t
}

func pick[T any](r *rand.Rand, from []T) T { return from[r.IntN(len(from))] }

// oracle answers by looking at everything, minute by minute, on the zone's own clock.
type oracle struct {
	*traffic
	r        HistoryRange
	inside   map[string]bool // steps that the range touches, by their name
	from, to time.Time       // of those steps
}

func (o *oracle) name(at time.Time) string {
	layout := map[StepSize]string{StepMinute: "2006-01-02 15:04 -0700", StepHour: "2006-01-02 15 -0700", StepDay: "2006-01-02"}[o.r.Step]
	return at.In(o.r.Zone).Format(layout)
}

func newOracle(t *traffic, r HistoryRange) *oracle {
	o := &oracle{traffic: t, r: r, inside: map[string]bool{}}
	for at := r.From.Truncate(time.Minute); at.Before(r.To); at = at.Add(time.Minute) {
		o.inside[o.name(at)] = true
	}
	first := r.From.Truncate(time.Minute)
	for o.from = first; o.inside[o.name(o.from.Add(-time.Minute))]; {
		o.from = o.from.Add(-time.Minute)
	}
	for o.to = r.To.Add(-time.Nanosecond).Truncate(time.Minute); o.inside[o.name(o.to)]; {
		o.to = o.to.Add(time.Minute)
	}
	return o
}

// quarterInside reports whether a moment's quarter of an hour overlaps the steps.
func (o *oracle) quarterInside(at time.Time) bool {
	q := at.Truncate(15 * time.Minute)
	return q.Add(15*time.Minute).After(o.from) && q.Before(o.to)
}

func (o *oracle) check(t *testing.T, h *History) {
	t.Helper()
	o.checkPoints(t, h)
	o.checkPeaks(t, h)
	begun, hours, durations := map[string]map[string]int{"device": {}, "browser": {}, "os": {}, "country": {}}, [7][24]int{}, []time.Duration(nil)
	known := func(name string) string { return cmp.Or(name, "unknown") }
	for i := range o.sessions {
		s := &o.sessions[i]
		if o.quarterInside(s.LoginAt) {
			device := known(string(s.Device.Type))
			if device == "fridge" {
				device = "other"
			}
			begun["device"][device]++
			begun["browser"][known(s.Device.Browser)]++
			begun["os"][known(s.Device.OS)]++
			begun["country"][known(s.Location.CountryCode)]++
			local := s.LoginAt.In(o.r.Zone)
			hours[(local.Weekday()+6)%7][local.Hour()]++
		}
		if o.quarterInside(s.LogoutAt) {
			durations = append(durations, s.LastActivity.Sub(s.LoginAt))
		}
	}
	for kind, shares := range map[string][]NameCount{"device": h.Devices, "browser": h.Browsers, "os": h.Systems, "country": h.Countries} {
		got := map[string]int{}
		for _, share := range shares {
			got[share.Name] += share.Count
		}
		require.Equal(t, begun[kind], got, kind)
	}
	require.Equal(t, hours, h.SignIns)
	require.Equal(t, len(durations), h.Durations.Count)
	slices.Sort(durations)
	for q, got := range map[int]time.Duration{50: h.Durations.Median, 90: h.Durations.P90} {
		if len(durations) == 0 {
			require.Zero(t, got)
			continue
		}
		exact := durations[(q*len(durations)+99)/100-1]
		require.InDelta(t, durationBucket(exact), durationBucket(got), 1, "%d %%: %v for %v", q, got, exact)
	}
}

func (o *oracle) checkPoints(t *testing.T, h *History) {
	t.Helper()
	type sums struct{ n, online, peak, sessions, mobile, logins, ends int }
	want := map[string]*sums{}
	for _, s := range o.samples {
		name := o.name(s.At)
		if !o.inside[name] {
			continue
		}
		if want[name] == nil {
			want[name] = &sums{}
		}
		w := want[name]
		w.n, w.online, w.peak, w.sessions = w.n+1, w.online+s.Online, max(w.peak, s.Online), w.sessions+s.Sessions
		w.mobile += s.Devices.Of(DeviceMobile)
	}
	for _, s := range o.sessions {
		if w := want[o.name(s.LoginAt)]; w != nil {
			w.logins++
		}
		if w := want[o.name(s.LogoutAt)]; w != nil {
			w.ends++
		}
	}
	require.Len(t, h.Points, len(want))
	for i, p := range h.Points {
		if i > 0 {
			require.True(t, p.At.After(h.Points[i-1].At))
		}
		require.NotEqual(t, o.name(p.At), o.name(p.At.Add(-time.Nanosecond)), "a step's first moment")
		w := want[o.name(p.At)]
		require.NotNil(t, w, p.At)
		near := func(sum, got int) { require.InDelta(t, float64(sum)/float64(w.n), got, 0.5) }
		near(w.online, p.OnlineUsers)
		near(w.sessions, p.ActiveSessions)
		near(w.mobile, p.Devices.Of(DeviceMobile))
		require.Equal(t, [3]int{w.peak, w.logins, w.ends}, [3]int{p.PeakOnlineUsers, p.Logins, p.Ends}, o.name(p.At))
	}
}

func (o *oracle) checkPeaks(t *testing.T, h *History) {
	t.Helper()
	want := map[string]Sample{}
	for _, s := range o.samples {
		day := s.At.In(o.r.Zone).Format(time.DateOnly)
		if old, ok := want[day]; o.inside[o.name(s.At)] && (!ok || s.Online > old.Online) {
			want[day] = s
		}
	}
	require.Len(t, h.Peaks, len(want))
	for _, p := range h.Peaks {
		w := want[p.Day.Format(time.DateOnly)]
		require.Equal(t, [2]any{w.Online, w.At}, [2]any{p.Users, p.At})
	}
}

// askAtRandom holds answers about random ranges against the oracle.
func askAtRandom(t *testing.T, r *rand.Rand, tracker *Tracker, all *traffic, from time.Time, days int, zones ...string) {
	t.Helper()
	for i := range 30 {
		zone, err := time.LoadLocation(zones[i%len(zones)])
		require.NoError(t, err)
		q := HistoryRange{Zone: zone, Step: []StepSize{StepMinute, StepHour, StepDay}[r.IntN(3)]}
		q.From = from.Add(time.Duration(r.Int64N(int64(days) * int64(24*time.Hour))))
		most := int64(days) * int64(24*time.Hour)
		if q.Step == StepMinute {
			most = int64(30 * time.Hour)
		}
		q.To = q.From.Add(time.Duration(1 + r.Int64N(most)))
		h, err := tracker.History(t.Context(), q)
		require.NoError(t, err)
		newOracle(all, q).check(t, &h)
	}
}

// daylight are spans in which clocks change: forward and back, by an hour, by half of
// one, at midnight; and zones that have no whole hours.
var daylight = []struct {
	zone string
	from time.Time
}{
	{"Europe/Berlin", time.Date(2000, 3, 25, 0, 0, 0, 0, time.UTC)},
	{"America/New_York", time.Date(2000, 10, 28, 0, 0, 0, 0, time.UTC)},
	{"America/Havana", time.Date(2000, 10, 28, 0, 0, 0, 0, time.UTC)},
	{"America/Sao_Paulo", time.Date(2000, 10, 7, 0, 0, 0, 0, time.UTC)},
	{"Australia/Lord_Howe", time.Date(2000, 3, 25, 0, 0, 0, 0, time.UTC)},
}

// TestHistoryAgainstAnOracle drives a MemoryStore through days of virtual time.
func TestHistoryAgainstAnOracle(t *testing.T) {
	t.Parallel()
	for i, span := range daylight {
		t.Run(span.zone, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				r := rand.New(rand.NewPCG(7, uint64(i)))
				all := randomTraffic(r, span.from.Add(time.Hour), 3, 700)
				store := NewMemoryStore()
				all.replay(t, store, span.from.Add(9*24*time.Hour))
				tracker, err := New(store, &Options{Logger: quiet})
				require.NoError(t, err)
				askAtRandom(t, r, tracker, all, span.from, 4, span.zone, "Asia/Kathmandu", "UTC")
			})
		})
	}
}

// replay has everything happen in its time, and samples taken each minute.
func (all *traffic) replay(t *testing.T, store *MemoryStore, until time.Time) {
	t.Helper()
	time.Sleep(time.Until(all.sessions[0].LoginAt.Truncate(time.Minute)))
	type act struct {
		at time.Time
		do func()
	}
	var acts []act
	ctx := context.Background()
	for i := range all.sessions {
		s := &all.sessions[i]
		acts = append(acts, act{s.LoginAt, func() {
			created, err := store.Create(ctx, NewSession{Session: *s})
			require.NoError(t, err)
			require.Equal(t, s.LoginAt, created.Session.LoginAt)
		}}, act{s.LastActivity, func() {
			_, err := store.Touch(ctx, []TouchRecord{{ID: s.ID, At: s.LastActivity}}, 0)
			require.NoError(t, err)
		}}, act{s.LogoutAt, func() {
			ended, err := store.End(ctx, IDs(s.ID), Ending{Reason: s.EndReason})
			require.NoError(t, err)
			require.Len(t, ended.Sessions, 1)
			s.LogoutAt = ended.Sessions[0].LogoutAt
		}})
	}
	for at := all.sessions[0].LoginAt.Truncate(time.Minute).Add(17 * time.Second); at.Before(until); at = at.Add(time.Minute) {
		acts = append(acts, act{at, func() {
			sample, taken, err := store.Sample(ctx, StatsQuery{Windows: [3]time.Duration{5 * time.Minute, 15 * time.Minute, time.Hour}})
			require.NoError(t, err)
			require.True(t, taken)
			all.samples = append(all.samples, sample)
			require.NoError(t, store.RollUp(ctx, 400*24*time.Hour))
		}})
	}
	slices.SortStableFunc(acts, func(a, b act) int { return a.at.Compare(b.at) })
	for _, a := range acts {
		time.Sleep(time.Until(a.at))
		a.do()
	}
}

func TestHistoryRefusesWhatCannotBe(t *testing.T) {
	t.Parallel()
	tracker, err := New(NewMemoryStore(), nil)
	require.NoError(t, err)
	now := time.Date(2026, 5, 1, 0, 0, 0, 0, time.UTC)
	for name, q := range map[string]HistoryRange{
		"nothing":  {From: now, To: now},
		"backward": {From: now, To: now.Add(-time.Hour)},
		"step":     {From: now, To: now.Add(time.Hour), Step: "2h"},
		"points":   {From: now, To: now.Add(2001 * time.Minute), Step: StepMinute},
		"days":     {From: now.AddDate(-6, 0, 0), To: now, Step: StepDay},
	} {
		_, err := tracker.History(t.Context(), q)
		require.Error(t, err, name)
	}
	h, err := tracker.History(t.Context(), HistoryRange{From: now, To: now.Add(2000 * time.Minute), Step: StepMinute})
	require.NoError(t, err)
	require.Empty(t, h.Points)
	require.Zero(t, h.Durations)
}

// TestDurationBuckets: the bounds that a store's own statistics may use are those that
// are counted by.
func TestDurationBuckets(t *testing.T) {
	t.Parallel()
	bounds := DurationBuckets()
	require.Equal(t, time.Second, bounds[0])
	for i, bound := range bounds {
		require.Equal(t, i, durationBucket(bound-time.Microsecond), bound)
		require.Equal(t, i+1, durationBucket(bound), bound)
	}
	require.Equal(t, 1<<22*time.Second, bounds[len(bounds)-1])
}
