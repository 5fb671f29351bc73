// Trust runs the tests that prove the checks of internal/trust/checks.txt and prints them as a
// table. Each package runs once, with every test that a check names. With SESSIONTRACK_LONG=1 the
// tests that have a long form run in it.
//
//	make trust                     all of them
//	make trust ARGS='-only S04'    one check, or several: S04,P01
//	make trust ARGS=-list          runs no test: prints the table and its size
//
// make adds -update, which always writes the tables into docs/checks.md.
package main

import (
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
	update := flag.Bool("update", false, "write the tables into docs/checks.md")
	list := flag.Bool("list", false, "run nothing")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Stdout, settings{root: *root, only: *only, update: *update, list: *list}); err != nil {
		fmt.Fprintln(os.Stderr, "trust:", err)
		stop()
		os.Exit(1)
	}
}

type settings struct {
	root, only   string
	update, list bool
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
		if err := writeTables(filepath.Join(s.root, "docs", "checks.md"), checks); err != nil {
			return err
		}
	}
	if s.only != "" {
		ids := strings.Split(s.only, ",")
		checks = slices.DeleteFunc(checks, func(c check) bool { return !slices.Contains(ids, c.id) })
		if len(checks) == 0 {
			return fmt.Errorf("-only has %s: want ids of checks", s.only)
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

// suite is a package with or without the race detector. Its tests run in one go test.
type suite struct {
	pkg  string
	race bool
}

// outcomes holds the results of tests by suite and name ("pass", "fail" or "skip"), and the figures
// that they logged, by check.
type outcomes struct {
	results map[suite]map[string]string
	figures map[string][]string
}

// report prints a line per check, and the totals.
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

// verdict is "pass" if each test of a check passed, "fail" if one failed or did not run, and "skip"
// if one was skipped.
func (o *outcomes) verdict(c check) string {
	worst := "pass"
	for _, group := range c.groups {
		for _, name := range group.tests {
			switch result := o.results[suite{group.pkg, group.race}][name]; result {
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

// plan is the tests of a suite, and extra arguments for go test.
type plan struct {
	suite
	tests, args []string
}

// plans returns the suites that the checks need, in order.
func plans(checks []check) (all []*plan) {
	for _, c := range checks {
		for _, g := range c.groups {
			of := suite{g.pkg, g.race}
			i := slices.IndexFunc(all, func(p *plan) bool { return p.suite == of })
			if i < 0 {
				i, all = len(all), append(all, &plan{suite: of})
			}
			for _, name := range g.tests {
				if top, _, _ := strings.Cut(name, "/"); !slices.Contains(all[i].tests, top) {
					all[i].tests = append(all[i].tests, top)
				}
			}
			for _, arg := range c.args[g.pkg] {
				if !slices.Contains(all[i].args, arg) {
					all[i].args = append(all[i].args, arg)
				}
			}
		}
	}
	return all
}

// runTests runs the suites, one after the other.
func runTests(ctx context.Context, out io.Writer, s settings, checks []check) (*outcomes, error) {
	found := &outcomes{map[suite]map[string]string{}, map[string][]string{}}
	for _, p := range plans(checks) {
		began := time.Now()
		results, err := found.runSuite(ctx, s, p)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", p.pkg, err)
		}
		found.results[p.suite] = results
		fmt.Fprintf(out, "== %s: %d tests in %.0f s\n", p.pkg, len(p.tests), time.Since(began).Seconds())
	}
	return found, nil
}

// event is a line of go test -json.
type event struct{ Action, Test, Output string }

var figureLine = regexp.MustCompile(`figure ([A-Z]\d\d): (.*)`)

// runSuite runs a suite in the module of its package.
func (o *outcomes) runSuite(ctx context.Context, s settings, p *plan) (map[string]string, error) {
	args := []string{"test", "-json", "-count=1", "-timeout=3h", "-run", "^(" + strings.Join(p.tests, "|") + ")$"}
	if p.race {
		args = append(args, "-race", "-cpu=1,2,4")
	}
	cmd := exec.CommandContext(ctx, "go", append(append(args, "."), p.args...)...)
	cmd.Dir, cmd.Stderr = filepath.Join(s.root, p.pkg), os.Stderr
	cmd.Env = append(os.Environ(), "GOWORK=off")
	pipe, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	results := o.read(pipe)
	err = cmd.Wait()
	var exit *exec.ExitError
	switch {
	case err != nil && !errors.As(err, &exit):
		return nil, err
	case err != nil && len(results) == 0:
		return nil, errors.New("does not build, or ran nothing")
	}
	return results, ctx.Err()
}

// read parses the output of go test: results and figures. It also returns the output of failed
// tests. If a test runs more than once, the worst result counts.
func (o *outcomes) read(pipe io.Reader) map[string]string {
	results, said := map[string]string{}, map[string]string{}
	lines := json.NewDecoder(pipe)
	for {
		var e event
		if lines.Decode(&e) != nil {
			_, _ = io.Copy(io.Discard, pipe)
			return results
		}
		switch e.Action {
		case "pass", "fail", "skip":
			if results[e.Test] != "fail" {
				results[e.Test] = e.Action
			}
			if e.Action == "fail" {
				fmt.Fprint(os.Stderr, said[e.Test])
			}
			delete(said, e.Test)
		case "output":
			if len(said[e.Test]) < 20_000 {
				said[e.Test] += e.Output
			}
			if match := figureLine.FindStringSubmatch(strings.TrimSpace(e.Output)); match != nil {
				o.figures[match[1]] = append(o.figures[match[1]], match[2])
			}
		}
	}
}
