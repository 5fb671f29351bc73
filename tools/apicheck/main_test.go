package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// tree writes files below a new folder: names and contents.
func tree(t *testing.T, files ...string) string {
	t.Helper()
	folder := t.TempDir()
	for i := 0; i < len(files); i += 2 {
		name := filepath.Join(folder, files[i])
		require.NoError(t, os.MkdirAll(filepath.Dir(name), 0o755))
		require.NoError(t, os.WriteFile(name, []byte(files[i+1]), 0o600))
	}
	return folder
}

const mod = "module example.com/a\n\ngo 1.25\n"

func TestCompareFindsWhatHasChanged(t *testing.T) {
	t.Parallel()
	before := tree(t, "go.mod", mod,
		"a.go", "package a\n\nfunc Kept() {}\nfunc Changed(int) {}\nfunc Gone() {}\nfunc hidden() {}\n",
		"old/old.go", "package old\n", "internal/x/x.go", "package x\n\nfunc X() {}\n",
		"nested/go.mod", "module example.com/a/nested\n\ngo 1.25\n", "nested/n.go", "package nested\n")
	after := tree(t, "go.mod", mod,
		"a.go", "package a\n\nfunc Kept() {}\nfunc Changed(string) {}\nfunc Added() {}\nfunc other() {}\n",
		"new/new.go", "package new\n", "internal/x/x.go", "package x\n",
		"nested/go.mod", "module example.com/a/nested\n\ngo 1.25\n", "nested/n.go", "package nested\n\nconst N = 1\n")
	differences, err := compare(before, after)
	require.NoError(t, err)
	assert.ElementsMatch(t, []string{
		"example.com/a: Changed: changed from func(int) to func(string) (incompatible)",
		"example.com/a: Gone: removed (incompatible)",
		"example.com/a: Added: added (compatible)",
		"example.com/a/old: removed (incompatible)",
		"example.com/a/new: added (compatible)",
		"example.com/a/nested: N: added (compatible)",
	}, differences)
	differences, err = compare(before, before)
	require.NoError(t, err)
	assert.Empty(t, differences)
}

func TestCompareFailsOnATreeThatDoesNotCompile(t *testing.T) {
	t.Parallel()
	good := tree(t, "go.mod", mod, "a.go", "package a\n")
	bad := tree(t, "go.mod", mod, "a.go", "package a\n\nvar A = b\n")
	_, err := compare(good, bad)
	assert.ErrorContains(t, err, "undefined: b")
}

func TestChangelogTells(t *testing.T) {
	t.Parallel()
	before := tree(t, "CHANGELOG.md", "# Changelog\n\n- one\n- two\n")
	assert.NoError(t, changelogTells(before, tree(t, "CHANGELOG.md", "# Changelog\n\n- one\n- two\n- three\n")))
	for name, text := range map[string]string{
		"the same": "# Changelog\n\n- one\n- two\n", "a line less": "# Changelog\n\n- one\n",
		"a blank line": "# Changelog\n\n\n- one\n- two\n",
	} {
		assert.ErrorContains(t, changelogTells(before, tree(t, "CHANGELOG.md", text)), "no new line", name)
	}
}
