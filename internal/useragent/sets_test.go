package useragent

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// labelledSets holds other projects' test data; what needs it skips without.
const labelledSets = "../../../shared/devices"

// answers counts the answers to one set: rows by label, then by answer.
type answers map[string]map[string]float64

func (c answers) add(label string, answer string, weight float64) {
	if c[label] == nil {
		c[label] = map[string]float64{}
	}
	c[label][answer] += weight
}

func (c answers) labelled(label string) (all float64) {
	for _, n := range c[label] {
		all += n
	}
	return all
}

func (c answers) recall(label string) float64 {
	return c[label][string(label)] / c.labelled(label)
}

// right is the share of desktops, phones and tablets that were told.
func (c answers) right() float64 {
	var right, all float64
	for _, label := range []string{"desktop", "mobile", "tablet"} {
		right += c[label][string(label)]
		all += c.labelled(label)
	}
	return right / all
}

// precision is the share of answers that were right.
func (c answers) precision(answer string) float64 {
	var all float64
	for label := range c {
		if label != "human" && label != "unknown" {
			all += c[label][answer]
		}
	}
	return c[string(answer)][answer] / all
}

// taken returns how many people there are and how many were taken for robots.
func (c answers) taken() (people, robots float64) {
	for label := range c {
		if label != "bot" && label != "unknown" {
			people += c.labelled(label)
			robots += c[label][Bot]
		}
	}
	return people, robots
}

func tallySets(t *testing.T, weigh func(labelled) float64, sets ...string) answers {
	t.Helper()
	c := answers{}
	for _, set := range sets {
		for _, row := range readLabelled(t, filepath.Join(labelledSets, set+".jsonl")) {
			c.add(row.Type, Type(Clean(row.UA), ""), weigh(row))
		}
	}
	return c
}

func each(labelled) float64 { return 1 }

func TestDeviceTypesOfLabelledSets(t *testing.T) {
	t.Parallel()
	for set, atLeast := range map[string]float64{
		"traffic_ga_a": 0.993, "browscap": 0.975, "whichbrowser": 0.94, "yauaa": 0.95, "uaparserjs_v1_device": 0.95, "bowser": 0.96, "woothee": 0.85,
	} {
		got := tallySets(t, each, set).right()
		t.Logf("%-22s %.4f of %.4f", set, got, atLeast)
		assert.GreaterOrEqual(t, got, atLeast, set)
	}
	traffic := tallySets(t, func(r labelled) float64 {
		if strings.Contains(r.UA, "Macintosh") && strings.Contains(r.UA, " Mobile/") {
			return 0 // an iPad (no Mac says Mobile), which this set calls a desktop and yauaa a phone
		}
		return r.Weight
	}, "traffic_ga_a").right()
	t.Logf("%-22s %.5f of %.5f", "traffic by its weight", traffic, 0.9995)
	assert.GreaterOrEqual(t, traffic, 0.9995)
}

func TestTabletsOfLabelledSets(t *testing.T) {
	t.Parallel()
	c := tallySets(t, each, "browscap", "whichbrowser", "yauaa")
	macro := (c.recall("desktop") + c.recall("mobile") + c.recall("tablet")) / 3
	t.Logf("tablets: recall %.4f, precision %.4f; macro mean %.4f", c.recall("tablet"), c.precision(Tablet), macro)
	assert.GreaterOrEqual(t, c.recall("tablet"), 0.88)
	assert.GreaterOrEqual(t, c.precision(Tablet), 0.88)
	assert.GreaterOrEqual(t, macro, 0.92)
}

func TestBotsOfLabelledSets(t *testing.T) {
	t.Parallel()
	for set, atLeast := range map[string]float64{"crawler_user_agents": 0.98, "crawlerdetect": 0.94, "isbot_crawlers": 0.88} {
		got := tallySets(t, each, set).recall("bot")
		t.Logf("%-22s %.4f of %.4f", set, got, atLeast)
		assert.GreaterOrEqual(t, got, atLeast, set)
	}
	for name, tt := range map[string]struct {
		sets   []string
		atMost float64
	}{
		"isbot's browsers": {[]string{"isbot_browsers"}, 0.01},
		"all other people": {[]string{"traffic_ga_a", "browscap", "whichbrowser", "yauaa", "uaparserjs_v1_device", "bowser", "woothee"}, 0.005},
	} {
		people, robots := tallySets(t, each, tt.sets...).taken()
		t.Logf("%-22s %.0f of %.0f taken for bots: %.4f", name, robots, people, robots/people)
		assert.LessOrEqual(t, robots/people, tt.atMost, name)
	}
}

func TestClientHintsOfLabelledSets(t *testing.T) {
	t.Parallel()
	plain, hinted := answers{}, answers{}
	for _, row := range readLabelled(t, filepath.Join(labelledSets, "yauaa_ch.jsonl")) {
		h := http.Header{}
		for name, value := range row.Hints {
			h.Set(name, value)
		}
		plain.add(row.Type, Type(row.UA, ""), 1)
		hinted.add(row.Type, Type(row.UA, Hints(h)), 1)
	}
	t.Logf("by agents %.4f, with hints %.4f", plain.right(), hinted.right())
	assert.GreaterOrEqual(t, hinted.right(), plain.right())
}

// TestFamiliesOfUAPCore: the names of uap-core's own tests, with the
// embedded definitions and ours, and with newer ones brought in. "Generic"
// brands and "Spider" are no brands, so the Result has none.
func TestFamiliesOfUAPCore(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		definitions               string
		browsers, systems, models float64
	}{
		"embedded": {"", 0.95, 0.99, 0.999},
		"newer":    {"uap-core-regexes.yaml", 1, 1, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f, err := newFamilies(readDefinitions(t, tt.definitions))
			require.NoError(t, err)
			agree := func(set string, same func(labelled, Result) bool) float64 {
				rows := readLabelled(t, filepath.Join(labelledSets, set+".jsonl"))
				if raceDetector { // ten times slower, and no wiser
					rows = everyNth(rows, 8)
				}
				right := 0
				for _, row := range rows {
					if same(row, f.describe(Clean(row.UA), "")) {
						right++
					}
				}
				t.Logf("%-16s %d of %d", set, right, len(rows))
				return float64(right) / float64(len(rows))
			}
			assert.GreaterOrEqual(t, agree("uapcore_ua", func(r labelled, d Result) bool { return orOther(d.Browser) == r.Browser }), tt.browsers)
			assert.GreaterOrEqual(t, agree("uapcore_os", func(r labelled, d Result) bool { return orOther(d.OS) == r.OS }), tt.systems)
			assert.GreaterOrEqual(t, agree("uapcore_device", func(r labelled, d Result) bool {
				brand, model := trueModel(r.Brand, r.Model)
				want := Result{Brand: brand, Model: model}
				if d.Type != Bot {
					completeModel(&want, codeOf(Clean(r.UA)))
				}
				return d.Brand == want.Brand && d.Model == want.Model
			}), tt.models)
		})
	}
}

func everyNth[T any](rows []T, n int) (some []T) {
	for i := 0; i < len(rows); i += n {
		some = append(some, rows[i])
	}
	return some
}

func readDefinitions(t *testing.T, name string) []byte {
	t.Helper()
	if name == "" {
		return nil
	}
	data, err := os.ReadFile(filepath.Join(labelledSets, name))
	if os.IsNotExist(err) {
		t.Skip("the newer definitions are not there")
	}
	require.NoError(t, err)
	return data
}

func orOther(family string) string {
	if family == "" {
		return "Other"
	}
	return family
}
