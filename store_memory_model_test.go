package sessiontrack

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Long random histories in virtual time: after each stretch the indexes agree
// with the rows, and every list is what sorting all rows would give.
func TestMemoryStoreAgainstSortingEverything(t *testing.T) {
	t.Parallel()
	for seed := range uint64(8) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				h := &memoryHistory{s: NewMemoryStore(), r: rand.New(rand.NewPCG(seed, 7))}
				h.s.maxEnded = 60
				for i := range 1_500 {
					h.step(t)
					if i%150 == 0 {
						checkMemory(t, h.s)
						h.checkLists(t)
					}
				}
				checkMemory(t, h.s)
				h.checkLists(t)
			})
		})
	}
}

type memoryHistory struct {
	s    *MemoryStore
	r    *rand.Rand
	made []SessionID
}

func (h *memoryHistory) user() string { return fmt.Sprint("user-", h.r.IntN(12)) }

func (h *memoryHistory) some() SessionID {
	if len(h.made) == 0 {
		return newHandle().id()
	}
	return h.made[h.r.IntN(len(h.made))]
}

// step does one thing at random. What it must do is storetest's; here only the
// state behind it matters.
func (h *memoryHistory) step(t *testing.T) {
	ctx := t.Context()
	time.Sleep(time.Duration(h.r.IntN(3)) * time.Second)
	switch h.r.IntN(10) {
	case 0, 1, 2:
		made := memoryCreate(t, h.s, h.user(), func(n *NewSession) {
			n.Lifetime, n.Limit, n.Replaces = time.Duration(h.r.IntN(2))*time.Hour, h.r.IntN(2)*10, h.some()
			if h.r.IntN(4) > 0 {
				n.Replaces = ""
			}
			if h.r.IntN(2) == 0 {
				derived(time.Now().Add(time.Duration(h.r.IntN(1800)) * time.Second))(n)
			}
		})
		h.made = append(h.made, made.ID)
	case 3, 4, 5:
		batch := make([]TouchRecord, h.r.IntN(20))
		for i := range batch {
			batch[i] = TouchRecord{ID: h.some(), At: time.Now().Add(time.Duration(h.r.IntN(120)-60) * time.Second)}
		}
		_, err := h.s.Touch(ctx, batch, time.Duration(h.r.IntN(2))*30*time.Second)
		require.NoError(t, err)
	case 6:
		memoryEnd(t, h.s, IDs(h.some(), h.some()))
	case 7:
		sels := []Selector{Idle(20 * time.Minute), Expired(), User(h.user()).Except(h.some()), Idle(time.Minute).Walk(h.r.Int64N(500), 10)}
		memoryEnd(t, h.s, sels[h.r.IntN(len(sels))])
	case 8:
		_, err := h.s.Purge(ctx, PurgeOptions{Retention: time.Duration(h.r.IntN(30)) * time.Minute, KeepEnded: time.Hour, Limit: 1 + h.r.IntN(20)})
		require.NoError(t, err)
	case 9:
		require.NoError(t, h.s.Describe(ctx, []SessionUpdate{{ID: h.some(), Device: &Device{Type: DeviceTV}}}))
	}
}

func (h *memoryHistory) checkLists(t *testing.T) {
	t.Helper()
	var rows []*memoryRow
	for _, row := range h.s.rows {
		rows = append(rows, row)
	}
	now, idle := h.s.now(), 10*time.Minute
	for _, device := range []DeviceType{"", DeviceTV} {
		want := slices.DeleteFunc(slices.Clone(rows), func(r *memoryRow) bool {
			return r.Ended() || !r.active(now, idle) || device != "" && r.Device.Type != device
		})
		slices.SortFunc(want, func(a, b *memoryRow) int {
			return cmp.Or(cmp.Compare(b.user.seen, a.user.seen), cmp.Compare(a.UserID, b.UserID), cmp.Compare(b.Serial, a.Serial))
		})
		assert.Equal(t, idsOf(want), h.read(t, Query{IdleTimeout: idle, Filter: Filter{Device: device}}))
	}
	user := h.user()
	want := slices.DeleteFunc(rows, func(r *memoryRow) bool { return r.UserID != user })
	slices.SortFunc(want, func(a, b *memoryRow) int {
		return cmp.Or(b.LoginAt.Compare(a.LoginAt), cmp.Compare(b.Serial, a.Serial))
	})
	assert.Equal(t, idsOf(want), h.read(t, Query{UserID: user}))
	h.checkFeed(t)
}

// checkFeed holds the feed against rows and tombstones.
func (h *memoryHistory) checkFeed(t *testing.T) {
	t.Helper()
	var ended []Session
	for _, row := range h.s.rows {
		if row.Ended() {
			ended = append(ended, row.Session)
		}
	}
	for key, tomb := range h.s.ended.tombs {
		ended = append(ended, tomb.session(key))
	}
	slices.SortFunc(ended, func(a, b Session) int {
		return cmp.Or(a.LogoutAt.Compare(b.LogoutAt), cmp.Compare(a.Serial, b.Serial))
	})
	var want []EndedSession
	for _, s := range ended {
		want = append(want, endedSession(s))
	}
	page, err := h.s.EndedSince(t.Context(), time.Unix(1, 0), 100_000)
	require.NoError(t, err)
	assert.Equal(t, want, page.Ended)
}

func (h *memoryHistory) read(t *testing.T, q Query) (all []SessionID) {
	t.Helper()
	q.Limit = 1 + h.r.IntN(9)
	for {
		page, err := h.s.List(t.Context(), q)
		require.NoError(t, err)
		for _, s := range page.Sessions {
			all = append(all, s.ID)
		}
		if q.After = page.Next; q.After.IsZero() {
			return all
		}
	}
}

func idsOf(rows []*memoryRow) (all []SessionID) {
	for _, row := range rows {
		all = append(all, row.ID)
	}
	return all
}
