package main

import (
	"runtime/debug"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/mod/modfile"
)

func TestOrderedPutsEachAfterWhatItNeeds(t *testing.T) {
	t.Parallel()
	modules, err := ordered([]moduleOfTree{
		{path: "c", needs: []string{"a", "b"}}, {path: "b", needs: []string{"a"}}, {path: "a"},
	})
	require.NoError(t, err)
	var paths []string
	for _, m := range modules {
		paths = append(paths, m.path)
	}
	assert.Equal(t, []string{"a", "b", "c"}, paths)
	_, err = ordered([]moduleOfTree{{path: "a", needs: []string{"b"}}, {path: "b", needs: []string{"a"}}})
	require.Error(t, err)
	_, err = ordered([]moduleOfTree{{path: "a", needs: []string{"bench"}}})
	require.Error(t, err)
}

func TestTagsOfModules(t *testing.T) {
	t.Parallel()
	assert.Equal(t, "v0.1.0", moduleOfTree{}.tag("v0.1.0"))
	assert.Equal(t, "cmd/sessiontrack/v0.1.0", moduleOfTree{folder: "cmd/sessiontrack"}.tag("v0.1.0"))
}

func TestSetVersionRequiresByVersionAndReplacesNothing(t *testing.T) {
	t.Parallel()
	before := "module " + root + "/cmd/x\n\ngo 1.26.0\n\nrequire (\n\texample.com/other v1.2.3\n\t" +
		root + " v0.0.0\n\t" + root + "/sqlite v0.0.0\n)\n\n" +
		"replace (\n\t" + root + " => ../..\n\t" + root + "/sqlite => ../../sqlite\n)\n"
	mod, err := modfile.Parse("go.mod", []byte(before), nil)
	require.NoError(t, err)
	require.NoError(t, setVersion(mod, "v0.1.0"))
	text, err := mod.Format()
	require.NoError(t, err)
	assert.Equal(t, "module "+root+"/cmd/x\n\ngo 1.26.0\n\nrequire (\n\texample.com/other v1.2.3\n\t"+
		root+" v0.1.0\n\t"+root+"/sqlite v0.1.0\n)\n", string(text))

	mod, err = modfile.Parse("go.mod", []byte("module "+root+"\n\nreplace example.com/other => ../other\n"), nil)
	require.NoError(t, err)
	assert.ErrorContains(t, setVersion(mod, "v0.1.0"), "not of the tree")
}

func TestDatedGivesTheUnreleasedItsVersion(t *testing.T) {
	t.Parallel()
	day := time.Date(2027, 1, 2, 3, 0, 0, 0, time.UTC)
	text, err := dated("# Changelog\n\n## [Unreleased]\n\n- one\n", "0.1.0", day)
	require.NoError(t, err)
	assert.Equal(t, "# Changelog\n\n## [Unreleased]\n\n## [0.1.0] - 2027-01-02\n\n- one\n", text)
	again, err := dated(text, "0.1.0", day)
	require.NoError(t, err)
	assert.Equal(t, text, again)
	_, err = dated("# Changelog\n", "0.1.0", day)
	assert.Error(t, err)
}

func TestBillListsWhatAProgramIsBuiltOf(t *testing.T) {
	t.Parallel()
	b := billOf(&debug.BuildInfo{
		GoVersion: "go1.26", Main: debug.Module{Path: root + "/cmd/sessiontrack"},
		Deps: []*debug.Module{{Path: "github.com/jackc/pgx/v5", Version: "v5.12.0", Sum: "h1:abc"}},
	}, "v0.1.0")
	assert.Equal(t, "pkg:golang/"+root+"/cmd/sessiontrack@v0.1.0", b.Metadata.Component.URL)
	require.Len(t, b.Components, 2)
	assert.Equal(t, component{
		Type: "library", Name: "github.com/jackc/pgx/v5", Version: "v5.12.0",
		URL: "pkg:golang/github.com/jackc/pgx/v5@v5.12.0", Reference: "pkg:golang/github.com/jackc/pgx/v5@v5.12.0",
		Properties: []property{{"go:h1", "h1:abc"}},
	}, b.Components[0])
	assert.Equal(t, "std", b.Components[1].Name)
}

func TestVersionsThatAreRefused(t *testing.T) {
	t.Parallel()
	for _, version := range []string{"", "0.1.0", "v0.1", "v2.0.0", "latest"} {
		assert.ErrorContains(t, run(version, t.TempDir()), "-version", version)
	}
	assert.ErrorContains(t, run("v0.1.0", t.TempDir()), "-out", "the folder exists")
}
