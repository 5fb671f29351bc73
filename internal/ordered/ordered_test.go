package ordered

import (
	"cmp"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// checkList compares the list with a sorted slice: contents, bounds of chunks,
// seeking and counting.
func checkList(t *testing.T, o *List[int], want []int) {
	t.Helper()
	require.Equal(t, len(want), o.Len())
	require.Equal(t, want, slices.AppendSeq([]int{}, o.From(-1)))
	require.Equal(t, want, slices.AppendSeq([]int{}, o.All()))
	backward := slices.AppendSeq([]int{}, o.Backward())
	slices.Reverse(backward)
	require.Equal(t, want, backward)
	for _, c := range o.chunks {
		require.NotEmpty(t, c)
		require.LessOrEqual(t, len(c), chunkSize)
	}
	for _, probe := range []int{-1, 0, 500, 5_000, 60_000, 1 << 20} {
		at, _ := slices.BinarySearch(want, probe)
		require.Equal(t, at, o.CountBefore(probe))
		require.Equal(t, want[at:], slices.AppendSeq([]int{}, o.From(probe)))
		before := slices.AppendSeq([]int{}, o.Before(probe))
		slices.Reverse(before)
		require.Equal(t, want[:at], before)
	}
}

func TestListAgainstASortedSlice(t *testing.T) {
	t.Parallel()
	for name, next := range map[string]func(r *rand.Rand, i int) int{
		"at the end":   func(_ *rand.Rand, i int) int { return i },
		"at the front": func(_ *rand.Rand, i int) int { return 50_000 - i },
		"anywhere":     func(r *rand.Rand, _ int) int { return r.IntN(1 << 16) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := rand.New(rand.NewPCG(1, 2))
			list, want := New(cmp.Compare[int]), []int{}
			o := &list
			for i := range 20_000 {
				v := next(r, i)
				at, found := slices.BinarySearch(want, v)
				if !found {
					o.Insert(v)
					want = slices.Insert(want, at, v)
				}
				if i%3 == 0 {
					at := r.IntN(len(want))
					o.Remove(want[at])
					o.Remove(-5) // is not inside
					want = slices.Delete(want, at, at+1)
				}
				if i%2_500 == 0 {
					checkList(t, o, want)
				}
			}
			checkList(t, o, want)
			for len(want) > 0 {
				at := r.IntN(len(want))
				o.Remove(want[at])
				want = slices.Delete(want, at, at+1)
			}
			checkList(t, o, want)
			assert.Empty(t, o.chunks)
		})
	}
}

// Users leave old chunks one by one and come back at the other end: what stays
// behind must not hold a chunk each.
func TestListKeepsChunksFewWhileEverythingMoves(t *testing.T) {
	t.Parallel()
	o := New(cmp.Compare[int])
	const n = 50_000
	for i := range n {
		o.Insert(i)
	}
	for i := range n {
		if i%chunkSize != 0 { // one stays in each chunk
			o.Remove(i)
			o.Insert(n + i)
		}
	}
	assert.Equal(t, n, o.CountBefore(1<<30))
	assert.Less(t, len(o.chunks), 2*n/chunkSize+10)
}
