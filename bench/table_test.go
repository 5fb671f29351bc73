package bench

import (
	"flag"
	"fmt"
	"os"
	"runtime"
	"slices"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sessiontrack/sessiontrack"
)

var (
	long   = flag.Bool("long", false, "run the whole comparison instead of a short form")
	rounds = flag.Int("rounds", 41, "how many turns each contender of a comparison has")
)

// turn is how long a contender runs per turn.
const turn = 15 * time.Millisecond

// row is one contender and its measurements.
type row struct {
	name, does    string
	call          func()
	nanos         []float64 // one value per turn
	allocs, bytes float64
}

// measure runs the rows in turns, so that other work of the machine affects all of them. That
// includes their garbage collections.
func measure(rows []*row, rounds int) {
	batches := make([]int, len(rows))
	for i, r := range rows {
		r.call()
		n, took := 1, time.Duration(0)
		for ; took < turn/4; n *= 2 {
			took = timed(r.call, n)
		}
		batches[i] = max(1, int(float64(n/2)*float64(turn)/float64(took)))
		r.allocs, r.bytes = spent(r.call, min(n, 1000))
	}
	for range rounds {
		for i, r := range rows {
			r.nanos = append(r.nanos, float64(timed(r.call, batches[i]))/float64(batches[i]))
		}
	}
}

func timed(f func(), n int) time.Duration {
	began := time.Now()
	for range n {
		f()
	}
	return time.Since(began)
}

// spent returns what one call allocates. It takes the minimum of several tries, because background
// goroutines allocate too.
func spent(f func(), n int) (allocs, bytes float64) {
	var before, after runtime.MemStats
	for try := range 5 {
		runtime.ReadMemStats(&before)
		timed(f, n)
		runtime.ReadMemStats(&after)
		a, b := float64(after.Mallocs-before.Mallocs)/float64(n), float64(after.TotalAlloc-before.TotalAlloc)/float64(n)
		if try == 0 || b < bytes {
			allocs, bytes = a, b
		}
	}
	return allocs, bytes
}

func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[len(sorted)/2]
}

// times returns the ratio of r's time to other's: the median over the ratios of equal turns.
func (r *row) times(other *row) float64 {
	ratios := make([]float64, len(r.nanos))
	for i := range ratios {
		ratios[i] = r.nanos[i] / other.nanos[i]
	}
	return median(ratios)
}

// atLeast and atMost print a figure beside what is wanted of it. They fail no test:
// figures of time depend on what else the machine does. Counts are asserted.
func atLeast(what string, got, want float64) { judge(what, got, "at least", want, got >= want) }

func atMost(what string, got, want float64) { judge(what, got, "at most", want, got <= want) }

func judge(what string, got float64, bound string, want float64, met bool) {
	verdict := "reached"
	if !met {
		verdict = "MISSED"
	}
	say("  %-8s %s: %.3g, wanted %s %.3g", verdict, what, got, bound, want)
}

func printRows(title string, rows []*row, base *row) {
	fmt.Printf("\n%s\n\n", title)
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "per request\tns\ttimes\tallocations\tbytes\twhat it does, and does not")
	for _, r := range rows {
		fmt.Fprintf(w, "%s\t%.0f\t%.2f\t%.0f\t%.0f\t%s\n", r.name, median(r.nanos), r.times(base), r.allocs, r.bytes, r.does)
	}
	w.Flush()
}

// TestRequestPath prints the table of the request path (goals 1 and 2).
func TestRequestPath(t *testing.T) {
	keys := signingKeys(t)
	hs := keys[0]
	tracked := []*stack{
		oursInMemory(t, "header"), oursInMemory(t, "cookie"),
		ours(t, sessiontrack.NewMemoryStore(), "verified JWT", hs.identifier(t, 0), hs),
	}
	stacks := slices.Concat([]*stack{bare(), floor()}, tracked, []*stack{scsStack(t), gorillaStack(t)})
	for _, key := range keys {
		each := ours(t, sessiontrack.NewMemoryStore(), key.algorithm+" each time", key.identifier(t, -1), key)
		each.does = "the same, without the cache of verified tokens"
		stacks = append(stacks, each)
	}
	var rows []*row
	for _, s := range stacks {
		s.prove(t)
		rows = append(rows, &row{name: s.name, does: s.does, call: s.caller(inner)})
	}
	rows = append(rows, &row{
		name: "gofiber v2.52.15 session, memory", call: fiberCaller(t),
		does: "Get and Save, on fasthttp without net/http; no list, no end from outside",
	})
	if !*long {
		measure(rows, 1)
		holdToAllocations(t, rows[2:5])
		return
	}
	holdToAllocations(t, rows[2:5])
	measure(rows, *rounds)
	base, scs, gorilla := rows[1], rows[5], rows[6]
	printRows("The request path, one cached session, one core at a time", rows, base)
	say("\ngoal 1 (asserted): 2 allocations, at most 384 bytes\ngoal 2: at most 2 times the floor; 30 times faster than " +
		"scs and gorilla")
	for _, r := range rows[2:5] {
		atMost(r.name+", against the floor", r.times(base), 2)
		atLeast("scs against "+r.name, scs.times(r), 30)
		atLeast("gorilla against "+r.name, gorilla.times(r), 30)
	}
}

// holdToAllocations asserts goal 1. It waits, because the first requests also build the user-agent
// parser, once per process, and that allocates too.
func holdToAllocations(t *testing.T, rows []*row) {
	for _, r := range rows {
		assert.Eventually(t, func() bool {
			r.allocs, r.bytes = spent(r.call, 1000)
			return r.allocs < 2.5 && r.bytes <= 384.0*1.02
		}, time.Minute, 50*time.Millisecond, "%s: 2 allocations, at most 384 bytes", r.name)
	}
}

// TestVerifiedTokens compares requests with and without the cache of verified tokens (goal 3).
func TestVerifiedTokens(t *testing.T) {
	goals := map[string]float64{"HS256": 10, "RS256": 50, "ES256": 100}
	say("\ngoal 3: the cache of verified tokens against none")
	for _, key := range signingKeys(t) {
		var rows []*row
		for _, size := range []int{0, -1} {
			identifier, r := key.identifier(t, size), newRequest()
			r.Header.Set("Authorization", "Bearer "+key.sign(t, ""))
			_, err := identifier.Identify(r)
			require.NoError(t, err)
			rows = append(rows, &row{call: func() { _, _ = identifier.Identify(r) }})
		}
		if !*long {
			measure(rows, 1)
			assert.Zero(t, int(rows[0].allocs), key.algorithm)
			continue
		}
		measure(rows, *rounds)
		what := fmt.Sprintf("%s, %.0f ns against %.0f", key.algorithm, median(rows[0].nanos), median(rows[1].nanos))
		atLeast(what, rows[1].times(rows[0]), goals[key.algorithm])
	}
}
