// Release makes a release from a clone of what is committed, and proves it from outside.
//
//	go run -C tools ./release -version v0.1.0 -out /tmp/release
//
// In the clone it gives every module the version, drops the replacements, commits and tags. It then
// serves the tags as a module proxy on the file system. From that alone, without a workspace and
// without a replacement, a program outside of the tree gets every module by its version, builds and
// runs, and the command is installed by its version. Nothing is pushed: it prints what to push.
package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/mod/semver"
)

func main() {
	version := flag.String("version", "", "the version, such as v0.1.0")
	out := flag.String("out", "", "a folder that does not exist yet: gets the clone, the proxy and the bill of materials")
	flag.Parse()
	if err := run(*version, *out); err != nil {
		fmt.Fprintf(os.Stderr, "release: %v\n", err)
		os.Exit(1)
	}
}

func run(version, out string) error {
	if semver.Canonical(version) != version || version == "" {
		return fmt.Errorf("-version: want one such as v0.1.0, got %q", version)
	}
	if semver.Major(version) != "v0" && semver.Major(version) != "v1" {
		return fmt.Errorf("-version: the paths of the modules are those of v0 and v1, got %s", version)
	}
	out, err := filepath.Abs(out)
	if err != nil {
		return err
	}
	if err := os.Mkdir(out, 0o755); err != nil {
		return fmt.Errorf("-out: %w", err)
	}
	source, err := output(".", nil, "git", "rev-parse", "--show-toplevel")
	if err != nil {
		return err
	}
	r := &release{version: version, tree: filepath.Join(out, "tree"), out: out}
	for _, step := range []struct {
		what string
		do   func() error
	}{
		{"clone what is committed", func() error { return r.clone(source) }},
		{"find the modules", r.findModules},
		{"give every module its version", r.setVersions},
		{"tag", r.tag},
		{"prove: each module by its own sums", r.proveSums},
		{"prove: a program outside of the tree", r.proveOutside},
		{"prove: go install of the command", r.proveInstall},
		{"write the bill of materials", r.writeBill},
	} {
		fmt.Println("==", step.what)
		if err := step.do(); err != nil {
			return fmt.Errorf("%s: %w", step.what, err)
		}
	}
	fmt.Printf("\n%s is proved. Push it from %s:\n\n  git push origin", version, r.tree)
	for _, m := range r.modules {
		fmt.Printf(" %s", m.tag(version))
	}
	fmt.Println()
	return nil
}
