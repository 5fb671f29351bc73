// Trust runs the tests that prove the checks of internal/trust/checks.txt and prints
// them as a table. Each package is run once, with every test that a check names.
//
//	go run -C tools ./trust              all of them
//	go run -C tools ./trust -only S04    one check, or several: S04,P01
//	go run -C tools ./trust -update      and write the table into SECURITY.md
//	go run -C tools ./trust -list        no test is run: what the table says, and its size
package main

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"
)

func main() {
	root := flag.String("root", "..", "`folder` of the tree")
	only := flag.String("only", "", "`ids` of the checks to run, separated by commas")
	update := flag.Bool("update", false, "write the table into SECURITY.md")
	list := flag.Bool("list", false, "run nothing")
	race := flag.Bool("race", false, "run the tests with the race detector")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Stdout, settings{root: *root, only: *only, update: *update, list: *list, race: *race}); err != nil {
		fmt.Fprintln(os.Stderr, "trust:", err)
		stop()
		os.Exit(1)
	}
}

type settings struct {
	root, only         string
	update, list, race bool
}

func run(ctx context.Context, out io.Writer, s settings) error {
	text, err := os.ReadFile(filepath.Join(s.root, "internal", "trust", "checks.txt"))
	if err != nil {
		return err
	}
	checks, err := parse(string(text))
	if err != nil {
		return err
	}
	if s.update {
		if err := writeTable(filepath.Join(s.root, "SECURITY.md"), checks); err != nil {
			return err
		}
	}
	if s.only != "" {
		ids := strings.Split(s.only, ",")
		checks = slices.DeleteFunc(checks, func(c check) bool { return !slices.Contains(ids, c.id) })
		if len(checks) == 0 {
			return fmt.Errorf("no check is called %s", s.only)
		}
	}
	if s.list {
		return report(out, checks, nil)
	}
	found, err := runTests(ctx, out, s, checks)
	if err != nil {
		return err
	}
	return report(out, checks, found)
}

// outcomes are what tests came to, by package and name: "pass", "fail" or "skip"; and
// the figures that they logged, by check.
type outcomes struct {
	results map[string]map[string]string
	figures map[string][]string
}

// report prints a line for each check, and the closing one.
func report(out io.Writer, checks []check, found *outcomes) error {
	counts := map[string]int{}
	for _, c := range checks {
		verdict, tests := c.status, c.names()
		if c.status == proved && found != nil {
			verdict = found.verdict(c)
		}
		counts[verdict]++
		fmt.Fprintf(out, "%-4s %-7s %s\n", c.id, strings.ToUpper(verdict), c.requirement)
		if c.status != proved {
			fmt.Fprintf(out, "             %s\n", c.why)
			continue
		}
		fmt.Fprintf(out, "             by %s\n             %s\n", tests, c.figure)
		if found != nil {
			for _, figure := range found.figures[c.id] {
				fmt.Fprintf(out, "             measured: %s\n", figure)
			}
		}
	}
	if found == nil {
		fmt.Fprintf(out, "%d proved, %d open, %d not applicable\n", counts[proved], counts[open], counts[none])
		return nil
	}
	fmt.Fprintf(out, "%d open, %d not applicable, %d skipped here\n", counts[open], counts[none], counts["skip"])
	fmt.Fprintf(out, "%d passed, %d failed\n", counts["pass"], counts["fail"])
	if counts["fail"] > 0 {
		return errors.New("not every check passed")
	}
	return nil
}

// verdict is "pass" where each of a check's tests ran and passed, "fail" where one
// failed or did not run, "skip" where one was skipped for want of something.
func (o *outcomes) verdict(c check) string {
	worst := "pass"
	for _, group := range c.groups {
		for _, name := range group.tests {
			switch result := o.results[group.pkg][name]; result {
			case "pass":
			case "skip":
				if worst == "pass" {
					worst = "skip"
				}
			default:
				return "fail"
			}
		}
	}
	return worst
}

// runTests runs each package's tests, one package after the other.
func runTests(ctx context.Context, out io.Writer, s settings, checks []check) (*outcomes, error) {
	wanted := map[string][]string{}
	for _, c := range checks {
		for _, group := range c.groups {
			for _, name := range group.tests {
				if top, _, _ := strings.Cut(name, "/"); !slices.Contains(wanted[group.pkg], top) {
					wanted[group.pkg] = append(wanted[group.pkg], top)
				}
			}
		}
	}
	found := &outcomes{map[string]map[string]string{}, map[string][]string{}}
	for _, pkg := range slices.Sorted(keys(wanted)) {
		began := time.Now()
		results, err := found.runPackage(ctx, s, pkg, wanted[pkg])
		if err != nil {
			return nil, fmt.Errorf("%s: %w", pkg, err)
		}
		found.results[pkg] = results
		fmt.Fprintf(out, "== %s: %d tests in %.0f s\n", pkg, len(wanted[pkg]), time.Since(began).Seconds())
	}
	return found, nil
}

func keys[V any](m map[string]V) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}

// event is a line of go test -json.
type event struct{ Action, Test, Output string }

var figureLine = regexp.MustCompile(`figure ([A-Z]\d\d): (.*)`)

// runPackage runs the named tests of one package, in the module that it belongs to.
func (o *outcomes) runPackage(ctx context.Context, s settings, pkg string, tests []string) (map[string]string, error) {
	args := []string{"test", "-json", "-count=1", "-timeout=30m", "-run", "^(" + strings.Join(tests, "|") + ")$"}
	if s.race {
		args = append(args, "-race")
	}
	cmd := exec.CommandContext(ctx, "go", append(args, ".")...)
	cmd.Dir, cmd.Stderr = filepath.Join(s.root, pkg), os.Stderr
	cmd.Env = append(os.Environ(), "GOWORK=off", "SESSIONTRACK_LONG=1")
	pipe, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	results, output := map[string]string{}, map[string]*strings.Builder{}
	lines := bufio.NewScanner(pipe)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		var e event
		if json.Unmarshal(lines.Bytes(), &e) != nil {
			continue
		}
		switch e.Action {
		case "pass", "fail", "skip":
			results[e.Test] = e.Action
			if e.Action == "fail" && output[e.Test] != nil {
				fmt.Fprint(os.Stderr, output[e.Test])
			}
			delete(output, e.Test)
		case "output":
			if output[e.Test] == nil {
				output[e.Test] = &strings.Builder{}
			}
			if output[e.Test].Len() < 20_000 {
				output[e.Test].WriteString(e.Output)
			}
			if match := figureLine.FindStringSubmatch(strings.TrimSpace(e.Output)); match != nil {
				o.figures[match[1]] = append(o.figures[match[1]], match[2])
			}
		}
	}
	err = cmd.Wait()
	var exit *exec.ExitError
	if err != nil && (!errors.As(err, &exit) || len(results) == 0) {
		return nil, err
	}
	return results, cmp.Or(lines.Err(), ctx.Err())
}
