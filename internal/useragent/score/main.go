// Command score holds the classifier against labelled sets and prints a table.
//
//	score [-errors N] [-labels] set.jsonl …
//
// A set has one JSON object a line: the agent "ua", what it is ("type"), and where
// known its share of traffic ("weight"), its client hints ("client_hints") and the
// label that it should have ("label"). The types are the library's, and "human" for a
// person's browser of a kind that nobody stated.
package main

import (
	"bufio"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/sessiontrack/sessiontrack/internal/useragent"
)

func main() {
	errors := flag.Int("errors", 0, "print so many wrong answers of each kind")
	flag.Parse()
	if flag.NArg() == 0 {
		fmt.Fprintln(os.Stderr, "usage: score [-errors N] set.jsonl ...")
		os.Exit(2)
	}
	if err := run(os.Stdout, flag.Args(), *errors); err != nil {
		fmt.Fprintln(os.Stderr, "score:", err)
		os.Exit(1)
	}
}

// columnNames are shares in percent but for the counts of agents, bots, people and labels.
var columnNames = []string{
	"set", "agents", "right", "by weight", "desktop", "mobile", "tablet", "tablet prec.", "tv", "other kinds",
	"bots", "found", "people", "taken for bots", "labels", "µs",
}

func run(out io.Writer, paths []string, errors int) error {
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(table, strings.Join(columnNames, "\t")+"\t")
	var wrong []string
	for _, path := range paths {
		rows, err := read(path)
		if err != nil {
			return err
		}
		t := score(rows, errors)
		fmt.Fprintf(table, "%s\t%s\t\n", strings.TrimSuffix(filepath.Base(path), ".jsonl"), t.columns())
		for _, line := range t.wrong {
			wrong = append(wrong, filepath.Base(path)+"\t"+line)
		}
	}
	if err := table.Flush(); err != nil {
		return err
	}
	for _, line := range wrong {
		fmt.Fprintln(out, line)
	}
	return nil
}

// A row is a line of a set.
type row struct {
	UA     string            `json:"ua"`
	Type   string            `json:"type"`
	Weight float64           `json:"weight"`
	Hints  map[string]string `json:"client_hints"`
	Label  string            `json:"label"`
}

func read(path string) (rows []row, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<24)
	for n := 1; lines.Scan(); n++ {
		r := row{Weight: 1}
		if err := json.Unmarshal(lines.Bytes(), &r); err != nil {
			return nil, fmt.Errorf("%s:%d: %w", path, n, err)
		}
		rows = append(rows, r)
	}
	return rows, lines.Err()
}

// A tally is what came of one set: counts by label and answer, and by weight.
type tally struct {
	counts, weights map[[2]string]float64
	labels, good    int
	each            time.Duration
	wrong           []string
}

func score(rows []row, errors int) tally {
	t := tally{counts: map[[2]string]float64{}, weights: map[[2]string]float64{}}
	var names useragent.Classifier
	shown := map[[2]string]int{}
	for _, r := range rows {
		h := http.Header{}
		for name, value := range r.Hints {
			h.Set(name, value)
		}
		start := time.Now()
		agent, hints := useragent.Clean(r.UA), useragent.Hints(h)
		is := useragent.Type(agent, hints)
		t.each += time.Since(start)
		pair := [2]string{r.Type, is}
		t.counts[pair]++
		t.weights[pair] += r.Weight
		if shown[pair]++; isWrong(r.Type, is) && shown[pair] <= errors {
			t.wrong = append(t.wrong, r.Type+" → "+is+"\t"+agent)
		}
		if r.Label != "" {
			t.labels++
			if got := names.Describe(agent, hints).Label(); got == r.Label {
				t.good++
			} else if errors > 0 {
				t.wrong = append(t.wrong, "label "+got+", want "+r.Label+"\t"+agent)
			}
		}
	}
	t.each /= time.Duration(max(1, len(rows)))
	return t
}

func isWrong(label, answer string) bool {
	switch label {
	case "human":
		return answer == useragent.Bot
	case useragent.Unknown:
		return false
	}
	return label != answer
}

func (t tally) columns() string {
	three := []string{useragent.Desktop, useragent.Mobile, useragent.Tablet}
	rest := []string{useragent.Console, useragent.Wearable, useragent.Other}
	var people, taken, all, given float64
	for pair, n := range t.counts {
		all += n
		if pair[0] != useragent.Bot && pair[0] != useragent.Unknown {
			people += n
			if pair[1] == useragent.Bot {
				taken += n
			}
		}
		if pair[1] == useragent.Tablet && pair[0] != useragent.Unknown && pair[0] != "human" {
			given += n
		}
	}
	labels := "-"
	if t.labels > 0 {
		labels = fmt.Sprintf("%d/%d", t.good, t.labels)
	}
	columns := []string{
		fmt.Sprintf("%.0f", all), share(t.counts, three...), share(t.weights, three...),
		share(t.counts, three[0]), share(t.counts, three[1]), share(t.counts, three[2]),
		percent(t.counts[[2]string{useragent.Tablet, useragent.Tablet}], given),
		share(t.counts, useragent.TV), share(t.counts, rest...),
		fmt.Sprintf("%.0f", sum(t.counts, useragent.Bot)), share(t.counts, useragent.Bot),
		fmt.Sprintf("%.0f", people), percent(taken, people), labels,
		fmt.Sprintf("%.1f", float64(t.each.Nanoseconds())/1000),
	}
	return strings.Join(columns, "\t")
}

// share is how much of what has one of these labels was told so.
func share(counts map[[2]string]float64, labels ...string) string {
	var right float64
	for _, label := range labels {
		right += counts[[2]string{label, label}]
	}
	return percent(right, sum(counts, labels...))
}

func sum(counts map[[2]string]float64, labels ...string) (all float64) {
	for pair, n := range counts {
		if slices.Contains(labels, pair[0]) {
			all += n
		}
	}
	return all
}

func percent(part, all float64) string {
	if all == 0 {
		return "-"
	}
	return fmt.Sprintf("%.3f", 100*part/all)
}
