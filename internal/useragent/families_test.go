package useragent

import (
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/ua-parser/uap-go/uaparser"
)

var parsers = sync.OnceValues(func() (*families, *uaparser.Parser) {
	f, _ := newFamilies(nil)
	p, _ := uaparser.New()
	return f, p
})

// FuzzFamilies: asking only the expressions that can match gives what uap-go
// gives, unless there is so much to ask that the agent is given up.
func FuzzFamilies(f *testing.F) {
	for _, seed := range []string{chromeOnWindows, chromeOnMac, chromeOnGalaxy, safariOniOS26, googlebot, "curl/8.5.0", "\u212aindle/3.0", "MOBILE \u017fafari", "Nokia6300/2.0 Profile/MIDP-2.0"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, agent string) {
		agreeWithUAP(t, Clean(agent))
	})
}

// TestFamiliesOfHostileAgents asks the same of agents that no browser sends.
func TestFamiliesOfHostileAgents(t *testing.T) {
	t.Parallel()
	for _, agents := range hostileAgents(t) {
		for _, agent := range everyNth(agents, 25) {
			agreeWithUAP(t, Clean(agent))
		}
	}
}

func agreeWithUAP(t *testing.T, agent string) {
	t.Helper()
	ours, theirs := parsers()
	q := question{userAgent: agent, met: ours.index.scan(foldAgent(agent)), work: maxWork}
	var browser uaparser.UserAgent
	var system uaparser.Os
	var device uaparser.Device
	firstMatch(&q, ours.agents, &browser, func() bool { return browser.Family != "" })
	firstMatch(&q, ours.systems, &system, func() bool { return system.Family != "" })
	firstMatch(&q, ours.devices, &device, func() bool { return device.Family != "" })
	if q.work < 0 {
		return
	}
	want := theirs.Parse(agent)
	assert.Equal(t, want.UserAgent.Family, orOther(browser.Family), agent)
	assert.Equal(t, want.UserAgent.ToVersionString(), browser.ToVersionString(), agent)
	assert.Equal(t, want.Os.Family, orOther(system.Family), agent)
	assert.Equal(t, want.Device.Family, orOther(device.Family), agent)
	assert.Equal(t, want.Device.Model, device.Model, agent)
}

func TestRequiredLiterals(t *testing.T) {
	t.Parallel()
	for expr, want := range map[string][]string{
		`Googlebot`:         {"googlebot"},
		`(?:Foo|Bar)/(\d+)`: {"bar/", "foo/"},
		`; {0,2}SM-T\d+`:    {";  sm-t", "; sm-t", ";sm-t"},
		`[Bb]ot\b`:          {"bot"},
		`(?i)Kindle`:        {"kindle"},
		`Ab?c`:              {"abc", "ac"},
		`(?:Chrome){2}`:     {"chromechrome"},
		`.*`:                nil,
		`\d+`:               nil,
		`a|.`:               nil,
	} {
		var x literalIndex
		ids, size := x.file("", expr)
		assert.Positive(t, size, expr)
		var texts []string
		for _, bucket := range x.buckets {
			for _, l := range bucket {
				if len(ids) > 0 && l.clauses[0] == ids[0] {
					texts = append(texts, l.text)
				}
			}
		}
		assert.Equal(t, want, sortedSet(texts), expr)
	}
}

func TestFoldAgent(t *testing.T) {
	t.Parallel()
	assert.Equal(t, "kindle sé", foldAgent("\u212aINDLE \u017fé"))
	assert.Equal(t, strings.ToLower(chromeOnMac), foldAgent(chromeOnMac))
}

// TestAgentStuffedWithWordsIsGivenUp: an agent of hundreds of others' words is given up, not
// worked on.
func TestAgentStuffedWithWordsIsGivenUp(t *testing.T) {
	t.Parallel()
	f, err := newFamilies(nil)
	require.NoError(t, err)
	q := question{userAgent: strings.Repeat("x", maxAgentBytes), met: clauseSet{}, work: maxWork}
	asked := 0
	none := expression[uaparser.UserAgent]{match: func(string, *uaparser.UserAgent) { asked++ }, size: 100}
	firstMatch(&q, make([]expression[uaparser.UserAgent], 0), &uaparser.UserAgent{}, func() bool { return false })
	list := make([]expression[uaparser.UserAgent], 1000)
	for i := range list {
		list[i] = none
	}
	firstMatch(&q, list, &uaparser.UserAgent{}, func() bool { return false })
	assert.Equal(t, maxWork/(maxAgentBytes*100), asked)
	assert.NotEmpty(t, f.agents)
}
