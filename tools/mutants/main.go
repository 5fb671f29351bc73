// Mutants removes one guard at a time from a copy of the tree and runs the tests that must then
// fail. If no test fails, no test protects the guard's promise.
//
//	make mutants                       all of them; the table is written into docs/checks.md
//	make mutants ARGS='-only clamp'
//	make mutants ARGS=-check           only checks that each guard is where the list says
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"time"

	"github.com/sessiontrack/sessiontrack/tools/internal/marked"
)

// mutant is one guard: the edits that remove it, and the tests that must fail.
type mutant struct {
	name     string
	guard    string
	file     string
	edits    []string // pairs: a text that occurs once, and its replacement
	pkg, run string
}

func main() {
	only := flag.String("only", "", "`name` of the one mutant to run")
	check := flag.Bool("check", false, "only check that each guard is where the list says")
	root := flag.String("root", "..", "`folder` of the tree")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	job := func() error { return run(ctx, *root, *only) }
	if *check {
		job = func() error { return checkAll(*root) }
	}
	if err := job(); err != nil {
		fmt.Fprintln(os.Stderr, "mutants:", err)
		stop()
		os.Exit(1)
	}
}

// checkAll checks that each guard is in its file, so that whoever moves a guard must update the
// list.
func checkAll(root string) error {
	var all []error
	for _, m := range mutants {
		if _, err := m.mutate(root); err != nil {
			all = append(all, fmt.Errorf("%s: %w", m.name, err))
		}
	}
	return errors.Join(all...)
}

func run(ctx context.Context, root, only string) error {
	survived, ran := 0, 0
	table := "| guard | who notices |\n| --- | --- |\n"
	for _, m := range mutants {
		if only != "" && m.name != only {
			continue
		}
		ran++
		began := time.Now()
		killer, err := m.try(ctx, root)
		if err != nil {
			return fmt.Errorf("%s: %w", m.name, err)
		}
		verdict := "killed by " + killer
		if killer == "" {
			survived++
			verdict = "SURVIVED"
		}
		table += "| " + m.guard + " | `" + killer + "` |\n"
		fmt.Printf("%-14s %-52s %s (%.0f s)\n", m.name, m.guard, verdict, time.Since(began).Seconds())
	}
	switch {
	case ran == 0:
		return fmt.Errorf("-only is %q: want the name of a mutant", only)
	case survived > 0:
		return fmt.Errorf("%d of %d survived", survived, ran)
	}
	fmt.Printf("%d passed, 0 failed\n", ran)
	if only != "" {
		return nil
	}
	return marked.Replace(filepath.Join(root, "docs", "checks.md"), "guards", "make mutants", table)
}

// try runs the tests twice: on the unchanged tree, where they must pass, and without the guard,
// where one must fail. It returns the first test that fails.
func (m mutant) try(ctx context.Context, root string) (string, error) {
	folder, err := os.MkdirTemp("", "mutant-")
	if err != nil {
		return "", err
	}
	defer func() { _ = os.RemoveAll(folder) }()
	if err := copyTree(root, folder); err != nil {
		return "", err
	}
	if output, err := m.test(ctx, folder); err != nil {
		return "", fmt.Errorf("the tests fail on the tree as it is:\n%s", tail(output))
	}
	if err := m.apply(folder); err != nil {
		return "", err
	}
	output, err := m.test(ctx, folder)
	var exit *exec.ExitError
	switch {
	case err == nil:
		return "", nil
	case !errors.As(err, &exit) || strings.Contains(output, "[build failed]") || strings.Contains(output,
		"[setup failed]"):
		return "", fmt.Errorf("the mutant does not build:\n%s", tail(output))
	}
	for line := range strings.Lines(output) {
		if _, name, ok := strings.Cut(line, "--- FAIL: "); ok {
			return strings.Fields(name)[0], nil
		}
	}
	return "a crash", nil
}

func (m mutant) apply(folder string) error {
	mutated, err := m.mutate(folder)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(folder, m.file), []byte(mutated), 0o644)
}

// mutate returns the file without the guard.
func (m mutant) mutate(folder string) (string, error) {
	text, err := os.ReadFile(filepath.Join(folder, m.file))
	if err != nil {
		return "", err
	}
	mutated := string(text)
	for i := 0; i < len(m.edits); i += 2 {
		from, to := m.edits[i], m.edits[i+1]
		if n := strings.Count(mutated, from); n != 1 {
			return "", fmt.Errorf("%s holds the guard %d times: want once: %q", m.file, n, from)
		}
		mutated = strings.Replace(mutated, from, to, 1)
	}
	return mutated, nil
}

func (m mutant) test(ctx context.Context, folder string) (string, error) {
	cmd := exec.CommandContext(ctx, "go", "test", "-count=1", "-timeout=5m", "-run", m.run, m.pkg)
	cmd.Dir = folder
	cmd.Env = append(os.Environ(), "GOWORK=off")
	output, err := cmd.CombinedOutput()
	return string(output), err
}

func tail(output string) string {
	return output[max(0, len(output)-4000):]
}

// copyTree copies the files of the root module. It skips git's own files and the other modules.
func copyTree(from, to string) error {
	return filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		relative, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		target := filepath.Join(to, relative)
		if d.IsDir() {
			switch relative {
			case ".git", "bin", "bench", "examples", "tools":
				return fs.SkipDir
			}
			return os.MkdirAll(target, 0o755)
		}
		if !d.Type().IsRegular() {
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(target, text, 0o644)
	})
}
