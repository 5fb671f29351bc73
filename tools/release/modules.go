package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/mod/modfile"
)

// root is the path of the root module.
const root = "github.com/sessiontrack/sessiontrack"

// unreleased are the folders of modules that only test.
var unreleased = []string{"bench", "dashboard/browsertest", "drivers", "tools"}

// moduleOfTree is one module of the tree.
type moduleOfTree struct {
	path, folder string   // the folder below the tree, "" for the root module
	needs        []string // the paths of the tree's modules that it requires
}

// tag is the name of a version of the module in git.
func (m moduleOfTree) tag(version string) string { return path.Join(m.folder, version) }

// release is one release while it is made.
type release struct {
	version, tree, out string
	modules            []moduleOfTree // each after those that it needs
}

func (r *release) folder(m moduleOfTree) string {
	return filepath.Join(r.tree, filepath.FromSlash(m.folder))
}
func (r *release) proxy() string { return filepath.Join(r.out, "proxy") }

func (r *release) clone(source string) error {
	if _, err := output(".", nil, "git", "clone", "--quiet", "--no-tags", source, r.tree); err != nil {
		return err
	}
	revision, err := output(r.tree, nil, "git", "rev-parse", "HEAD")
	fmt.Println("  ", revision)
	return err
}

// findModules reads the go.mod files of the tree, and orders the modules by what they need.
func (r *release) findModules() error {
	files, err := output(r.tree, nil, "git", "ls-files", "go.mod", "*/go.mod")
	if err != nil {
		return err
	}
	var found []moduleOfTree
	for _, file := range strings.Fields(files) {
		folder := strings.TrimPrefix(path.Dir(file), ".")
		if strings.Contains(folder, "testdata") || slices.Contains(unreleased, folder) {
			continue
		}
		mod, err := r.readMod(folder)
		if err != nil {
			return err
		}
		if want := path.Join(root, folder); mod.Module.Mod.Path != want {
			return fmt.Errorf("%s: want the path %s, got %s", file, want, mod.Module.Mod.Path)
		}
		m := moduleOfTree{path: mod.Module.Mod.Path, folder: folder}
		for _, require := range mod.Require {
			if ours(require.Mod.Path) {
				m.needs = append(m.needs, require.Mod.Path)
			}
		}
		found = append(found, m)
	}
	r.modules, err = ordered(found)
	return err
}

func (r *release) readMod(folder string) (*modfile.File, error) {
	name := filepath.Join(r.tree, filepath.FromSlash(folder), "go.mod")
	text, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	return modfile.Parse(name, text, nil)
}

func ours(path string) bool { return path == root || strings.HasPrefix(path, root+"/") }

// ordered puts each module after those that it needs.
func ordered(modules []moduleOfTree) (done []moduleOfTree, err error) {
	has := func(path string) bool {
		return slices.ContainsFunc(done, func(m moduleOfTree) bool { return m.path == path })
	}
	for len(done) < len(modules) {
		before := len(done)
		for _, m := range modules {
			if !has(m.path) && !slices.ContainsFunc(m.needs, func(p string) bool { return !has(p) }) {
				done = append(done, m)
			}
		}
		if len(done) == before {
			return nil, errors.New("modules need each other, or one that is not released")
		}
	}
	return done, nil
}

// setVersions makes the release commit: the modules require each other by version and replace
// nothing, and the changelog has a heading. A module's sums need those that it requires in the
// proxy, so each is put there before the next one.
func (r *release) setVersions() error {
	if err := r.dateChangelog(time.Now()); err != nil {
		return err
	}
	for _, m := range r.modules {
		mod, err := r.readMod(m.folder)
		if err != nil {
			return err
		}
		if err := setVersion(mod, r.version); err != nil {
			return err
		}
		text, err := mod.Format()
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(r.folder(m), "go.mod"), text, 0o644); err != nil {
			return err
		}
		if len(m.needs) > 0 {
			if _, err := output(r.folder(m), r.environment(), "go", "mod", "tidy"); err != nil {
				return err
			}
		}
		if err := r.commit("release: " + r.version); err != nil {
			return err
		}
		if err := r.publish(m, "HEAD"); err != nil {
			return err
		}
		fmt.Println("  ", m.path, r.version)
	}
	return nil
}

// setVersion requires the tree's modules by a version, and drops the replacements.
func setVersion(mod *modfile.File, version string) error {
	for _, replace := range slices.Clone(mod.Replace) {
		if !ours(replace.Old.Path) {
			return fmt.Errorf("%s replaces %s, which is not of the tree", mod.Module.Mod.Path, replace.Old.Path)
		}
		if err := mod.DropReplace(replace.Old.Path, replace.Old.Version); err != nil {
			return err
		}
	}
	for _, require := range slices.Clone(mod.Require) {
		if ours(require.Mod.Path) {
			if err := mod.AddRequire(require.Mod.Path, version); err != nil {
				return err
			}
		}
	}
	mod.Cleanup()
	return nil
}

// dateChangelog gives what was unreleased the version and the day, unless it has them already.
func (r *release) dateChangelog(now time.Time) error {
	name := filepath.Join(r.tree, "CHANGELOG.md")
	text, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	dated, err := dated(string(text), strings.TrimPrefix(r.version, "v"), now)
	if err != nil {
		return err
	}
	return os.WriteFile(name, []byte(dated), 0o644)
}

func dated(text, version string, now time.Time) (string, error) {
	if strings.Contains(text, "\n## ["+version+"]") {
		return text, nil
	}
	const unreleased = "\n## [Unreleased]\n"
	if strings.Count(text, unreleased) != 1 {
		return "", errors.New("CHANGELOG.md: want one heading [Unreleased]")
	}
	heading := fmt.Sprintf("%s\n## [%s] - %s\n", unreleased, version, now.UTC().Format(time.DateOnly))
	return strings.Replace(text, unreleased, heading, 1), nil
}

// commit puts all changes into the one commit of the release.
func (r *release) commit(subject string) error {
	if _, err := output(r.tree, nil, "git", "add", "--all"); err != nil {
		return err
	}
	latest, err := output(r.tree, nil, "git", "log", "-1", "--format=%s")
	if err != nil {
		return err
	}
	arguments := []string{"commit", "--quiet", "--message", subject}
	if latest == subject {
		arguments = append(arguments, "--amend", "--allow-empty")
	}
	_, err = output(r.tree, nil, "git", arguments...)
	return err
}

// tag tags the release commit for every module, and publishes what the tags hold.
func (r *release) tag() error {
	for _, m := range r.modules {
		tag := m.tag(r.version)
		if _, err := output(r.tree, nil, "git", "tag", "--annotate", "--message", m.path+" "+r.version, tag); err != nil {
			return err
		}
		if err := r.publish(m, tag); err != nil {
			return err
		}
		fmt.Println("  ", tag)
	}
	return nil
}

// output runs a program and returns what it writes, without the last end of a line.
func output(folder string, environment []string, name string, arguments ...string) (string, error) {
	command := exec.Command(name, arguments...)
	command.Dir = folder
	command.Env = append(os.Environ(), environment...)
	var stdout, stderr bytes.Buffer
	command.Stdout, command.Stderr = &stdout, &stderr
	if err := command.Run(); err != nil {
		return "", fmt.Errorf("%s %s: %w\n%s%s", name, strings.Join(arguments, " "), err, &stdout, &stderr)
	}
	return strings.TrimSpace(stdout.String()), nil
}
