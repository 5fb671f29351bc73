package useragent

import (
	"math/rand/v2"
	"runtime"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// maxDescribe is the longest that describing any user agent may take once the
// definitions are compiled.
const maxDescribe = 5 * time.Millisecond

// TestDescribeIsNeverSlow tries what makes expressions slow. Each agent counts
// with the fastest of a few runs: the machine may be busy, the work is the same.
func TestDescribeIsNeverSlow(t *testing.T) {
	if raceDetector {
		t.Skip("the race detector makes everything ten times slower")
	}
	c, err := New(nil)
	require.NoError(t, err)
	e := c.ready()
	for name, agents := range hostileAgents(t) {
		var worst time.Duration
		var slowest string
		for _, agent := range agents {
			agent = Clean(agent)
			if took := fastest(25, maxDescribe*3/5, func() { e.families.describe(agent, "") }); took > worst {
				worst, slowest = took, agent
			}
		}
		t.Logf("%-10s %4d agents, slowest %v", name, len(agents), worst)
		assert.LessOrEqual(t, worst, maxDescribe, "%s: %q", name, slowest)
	}
}

// fastest runs f until it is fast enough, at most n times.
func fastest(n int, enough time.Duration, f func()) time.Duration {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	best := time.Hour
	for range n {
		start := cpuTime()
		f()
		if best = min(best, cpuTime()-start); best < enough {
			break
		}
	}
	return best
}

func hostileAgents(t *testing.T) map[string][]string {
	random := rand.New(rand.NewPCG(1, 2))
	all := map[string][]string{"scripts": scriptAgents(), "long": {strings.Repeat("Mozilla/5.0 (", 70_000), strings.Repeat("a", 900<<10), strings.Repeat("\u202e", 300<<10)}}
	for range 300 {
		bytes := make([]byte, maxAgentBytes)
		for i := range bytes {
			bytes[i] = byte(random.IntN(256))
		}
		all["bytes"] = append(all["bytes"], string(bytes))
	}
	words := vocabulary()
	for range 600 {
		var b strings.Builder
		for b.Len() < maxAgentBytes {
			b.WriteString(words[random.IntN(len(words))])
			b.WriteString([]string{" ", "; ", "/1.2 ", ") ", " ("}[random.IntN(5)])
		}
		all["words"] = append(all["words"], b.String())
	}
	for _, text := range []string{"Build", "; Build", "Android ", "Mobile ", "bot", "; ", "1.", "Mozilla/5.0 (Linux; Android 9; ", "A-", ";LG", "Windows NT ", "iPhone OS 1_", "/1.2.3.4 "} {
		all["repeated"] = append(all["repeated"], strings.Repeat(text, maxAgentBytes/len(text)+1), "Mozilla/5.0 (Linux; Android 9; "+strings.Repeat(text, maxAgentBytes/len(text)+1))
	}
	return all
}

// vocabulary are the words that uap-core's expressions look for.
func vocabulary() []string {
	f, err := newFamilies(nil)
	if err != nil {
		return nil
	}
	var words []string
	for _, bucket := range f.index.buckets {
		for _, l := range bucket {
			words = append(words, strings.ToUpper(l.text[:1])+l.text[1:], l.text)
		}
	}
	return words
}

// scriptAgents are agents in each of 40 scripts.
func scriptAgents() []string {
	var agents []string
	for name, script := range unicode.Scripts {
		if len(agents) == 80 {
			break
		}
		var b strings.Builder
		for _, r := range script.R16 {
			for c := rune(r.Lo); c <= rune(r.Hi) && b.Len() < 2*maxAgentBytes; c += rune(r.Stride) {
				b.WriteRune(c)
			}
		}
		if b.Len() > 20 {
			agents = append(agents, b.String(), "Mozilla/5.0 (Linux; Android 9; "+name+") "+b.String())
		}
	}
	return agents
}
