// Apicheck compares the exported API of every module with that of another revision. Where they
// differ, CHANGELOG.md must differ, too: whoever uses the library learns of each change.
//
//	go run -C tools ./apicheck -base origin/main
//
// It prints each difference, and whether programs that compile today still will.
package main

import (
	"errors"
	"flag"
	"fmt"
	"go/types"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/exp/apidiff"
	"golang.org/x/tools/go/packages"
)

func main() {
	base := flag.String("base", "origin/main", "the revision to compare with")
	flag.Parse()
	if err := run(*base); err != nil {
		fmt.Fprintf(os.Stderr, "apicheck: %v\n", err)
		os.Exit(1)
	}
}

func run(base string) error {
	tree, err := git(".", "rev-parse", "--show-toplevel")
	if err != nil {
		return err
	}
	folder, err := os.MkdirTemp("", "apicheck")
	if err != nil {
		return err
	}
	defer os.RemoveAll(folder)
	before := filepath.Join(folder, "base")
	if _, err := git(tree, "worktree", "add", "--quiet", "--detach", before, base); err != nil {
		return err
	}
	defer git(tree, "worktree", "remove", "--force", before)
	differences, err := compare(before, tree)
	if err != nil {
		return err
	}
	for _, difference := range differences {
		fmt.Println(difference)
	}
	if len(differences) == 0 {
		fmt.Println("the exported API has not changed")
		return nil
	}
	return changelogTells(before, tree)
}

// changelogTells fails unless a line was added to the changelog.
func changelogTells(before, after string) error {
	var lines [2][]string
	for i, tree := range []string{before, after} {
		text, err := os.ReadFile(filepath.Join(tree, "CHANGELOG.md"))
		if err != nil {
			return err
		}
		lines[i] = strings.Split(string(text), "\n")
	}
	for _, line := range lines[1] {
		if strings.TrimSpace(line) != "" && !slices.Contains(lines[0], line) {
			return nil
		}
	}
	return errors.New("the exported API has changed and CHANGELOG.md has no new line: say what has changed")
}

// compare returns the differences of the exported API of two trees, module by module.
func compare(before, after string) (differences []string, err error) {
	old, err := loadTree(before)
	if err != nil {
		return nil, err
	}
	new, err := loadTree(after)
	if err != nil {
		return nil, err
	}
	for _, path := range slices.Sorted(maps.Keys(old)) {
		if new[path] == nil {
			differences = append(differences, path+": removed (incompatible)")
			continue
		}
		for _, change := range apidiff.Changes(old[path], new[path]).Changes {
			kind := "incompatible"
			if change.Compatible {
				kind = "compatible"
			}
			differences = append(differences, fmt.Sprintf("%s: %s (%s)", path, change.Message, kind))
		}
	}
	for _, path := range slices.Sorted(maps.Keys(new)) {
		if old[path] == nil {
			differences = append(differences, path+": added (compatible)")
		}
	}
	return differences, nil
}

// loadTree returns the packages of every module of a tree that programs outside of it can import.
func loadTree(tree string) (map[string]*types.Package, error) {
	found := map[string]*types.Package{}
	err := filepath.WalkDir(tree, func(path string, entry os.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && (entry.Name() == "testdata" || entry.Name() == "tools" || strings.HasPrefix(entry.Name(), ".")):
			return filepath.SkipDir
		case entry.Name() == "go.mod":
			return loadModule(filepath.Dir(path), found)
		}
		return nil
	})
	return found, err
}

func loadModule(folder string, found map[string]*types.Package) error {
	loaded, err := packages.Load(&packages.Config{
		Mode: packages.LoadTypes | packages.NeedModule | packages.NeedImports | packages.NeedDeps,
		Dir:  folder,
		Env:  append(os.Environ(), "GOWORK=off"),
	}, "./...")
	if err != nil {
		return err
	}
	for _, p := range loaded {
		if len(p.Errors) > 0 {
			return p.Errors[0]
		}
		internal := strings.Contains(p.PkgPath+"/", "/internal/")
		if p.Name != "main" && !internal {
			found[p.PkgPath] = p.Types
		}
	}
	return nil
}

func git(folder string, arguments ...string) (string, error) {
	command := exec.Command("git", arguments...)
	command.Dir = folder
	out, err := command.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("git %s: %w\n%s", strings.Join(arguments, " "), err, out)
	}
	return strings.TrimSpace(string(out)), nil
}
