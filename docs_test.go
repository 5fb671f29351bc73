package sessiontrack

import (
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func document(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	require.NoError(t, err)
	return string(text)
}

// matches returns the first group of every match, sorted, each once.
func matches(pattern, text string) []string {
	var found []string
	for _, match := range regexp.MustCompile(pattern).FindAllStringSubmatch(text, -1) {
		found = append(found, match[1])
	}
	slices.Sort(found)
	return slices.Compact(found)
}

// routesOfFamilies returns the routes of both families, such as "GET /users/{id}", and the
// parameters that each knows, sorted.
func routesOfFamilies(t *testing.T) map[string][]string {
	t.Helper()
	tracker, err := New(NewMemoryStore(), nil)
	require.NoError(t, err)
	routes := map[string][]string{}
	for _, f := range []family{tracker.AdminHandler(nil).(*adminHandler).family, tracker.UserHandler(nil).(*userHandler).family} {
		for _, e := range f.endpoints {
			routes[e.method+" "+f.prefix+strings.Join(e.path, "/")] = slices.Sorted(slices.Values(e.query))
		}
	}
	return routes
}

// TestDocsListEveryRoute holds docs/http.md to the handlers: every route has a heading there, and
// every heading is a route. The demo's page of paths lists every route, too.
func TestDocsListEveryRoute(t *testing.T) {
	t.Parallel()
	routes := slices.Sorted(maps.Keys(routesOfFamilies(t)))
	for _, route := range routes {
		want := regexp.QuoteMeta(route) + "<"
		want = strings.ReplaceAll(want, regexp.QuoteMeta(anyID), `\{\w+\}`)
		assert.Regexp(t, want, document(t, "examples/demo/web/docs.html"))
	}
	headings := matches("(?m)^### `([A-Z]+ /.*)`$", document(t, "docs/http.md"))
	for i := range headings {
		headings[i] = regexp.MustCompile(`\{[a-zA-Z]+\}`).ReplaceAllString(headings[i], anyID)
	}
	assert.Equal(t, routes, headings)
}

// codesOfProblems returns the codes of all errors, sorted.
func codesOfProblems(t *testing.T) []string {
	t.Helper()
	source := document(t, "refuse.go") + document(t, "internal/problem/problem.go")
	codes := matches(`\bNew\(http\.Status\w+, "(\w+)"`, source)
	require.Contains(t, codes, "session_ended")
	return codes
}

// TestDocsListEveryCode holds the documents to the codes of errors: docs/http.md explains each,
// README and doc.go name each.
func TestDocsListEveryCode(t *testing.T) {
	t.Parallel()
	codes := codesOfProblems(t)
	explained := matches("(?m)^\\| \\d{3} \\| `(\\w+)` \\|", document(t, "docs/http.md"))
	assert.Equal(t, codes, explained)
	for _, name := range []string{"README.md", "doc.go"} {
		for _, code := range codes {
			assert.Contains(t, document(t, name), code, name)
		}
	}
}

// TestDocsExplainEveryField: a field that an answer has stands in docs/http.md.
func TestDocsExplainEveryField(t *testing.T) {
	t.Parallel()
	page := document(t, "docs/http.md")
	files, err := filepath.Glob("testdata/http/*.golden")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, file := range files {
		for _, name := range matches(`"(\w+)": `, document(t, file)) {
			assert.Regexp(t, "[`\".]"+name+"[`\"]", page, file)
		}
	}
}

// texts returns the tree's files of the given endings, by their slash-separated path.
func texts(t *testing.T, endings ...string) map[string]string {
	t.Helper()
	found := map[string]string{}
	err := filepath.WalkDir(".", func(path string, entry os.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && (entry.Name() == "testdata" || len(path) > 1 && strings.HasPrefix(entry.Name(), ".")):
			return filepath.SkipDir
		case !entry.IsDir() && slices.Contains(endings, filepath.Ext(path)):
			found[filepath.ToSlash(path)] = document(t, path)
		}
		return nil
	})
	require.NoError(t, err)
	return found
}

// TestDocsDefineWhatIsCited: whoever reads "I17" or "docs/postgresql.md" in the tree finds it.
func TestDocsDefineWhatIsCited(t *testing.T) {
	t.Parallel()
	defined := matches(`(?m)^\| (I\d+) \|`, document(t, "docs/invariants.md"))
	require.Subset(t, defined, []string{"I1", "I24", "I30"})
	for path, text := range texts(t, ".go", ".md", ".txt", ".sh", ".js", ".sql") {
		if strings.HasPrefix(path, "internal/useragent/") {
			continue // names of models are no citations
		}
		for _, id := range matches(`\b(I\d\d?)\b`, text) {
			assert.Contains(t, defined, id, path)
		}
		for _, name := range matches(`([\w.][\w./-]*\.md)\b`, text) {
			here := filepath.Join(filepath.Dir(path), name)
			_, inRoot := os.Stat(name)
			_, beside := os.Stat(here)
			_, inDocs := os.Stat(filepath.Join("docs", name))
			assert.True(t, inRoot == nil || beside == nil || inDocs == nil, "%s cites %s", path, name)
		}
	}
}

// TestDocsNameWhatExists: the documents name tests, functions, cases of storetest and files that
// are there.
func TestDocsNameWhatExists(t *testing.T) {
	t.Parallel()
	tests, files, cases, functions := map[string]bool{}, map[string]bool{}, map[string]bool{}, map[string]bool{}
	for path, text := range texts(t, ".go", ".sql", ".txt", ".sh", ".mod") {
		files[path], files[filepath.Base(path)] = true, true
		for _, name := range matches(`func (?:\([^)]*\) )?(\w+)[\[(]`, text) {
			functions[name], tests[name] = true, strings.HasPrefix(name, "Test")
		}
		if strings.HasPrefix(path, "storetest/") {
			for _, name := range matches(`\{\s*"(\w+/[^"]+)",\s`, text) {
				cases[name] = true
			}
		}
	}
	for path, text := range texts(t, ".md") {
		for _, name := range matches("`(Test\\w+)[`/]", text) {
			assert.True(t, tests[name], "%s names %s", path, name)
		}
		for _, name := range matches("`([\\w./-]+\\.(?:go|sql|txt|sh))`", text) {
			assert.True(t, files[name], "%s names %s", path, name)
		}
		for _, name := range matches("`(?:\\w+\\.)*(\\w+)\\(\\)`", text) {
			assert.True(t, functions[name], "%s names the function %s", path, name)
		}
		for _, list := range matches("storetest ((?:`[^`]+`(?:, )?)+)", text) {
			for _, name := range matches("`([^`]+)`", list) {
				assert.True(t, cases[name], "%s names the case %s of storetest", path, name)
			}
		}
	}
}

// TestReadmeQuickStart: the README's first two blocks of code are what example_test.go compiles,
// and the first of them stays short.
func TestReadmeQuickStart(t *testing.T) {
	t.Parallel()
	example, readme := document(t, "example_test.go"), document(t, "README.md")
	for name, most := range map[string]int{"quick start": 20, "production": 20} {
		_, code, found := strings.Cut(example, "\t// README: "+name+"\n")
		require.True(t, found, name)
		code, _, _ = strings.Cut(code, "\t// README: end\n")
		code = strings.TrimSpace(strings.ReplaceAll("\n"+code, "\n\t", "\n"))
		assert.LessOrEqual(t, strings.Count(code, "\n")+1, most, name)
		_, block, found := strings.Cut(readme, "<!-- "+name+": TestReadmeQuickStart holds it to example_test.go -->\n\n```go\n")
		require.True(t, found, name)
		block, _, _ = strings.Cut(block, "\n```\n")
		assert.Equal(t, code, block, name)
	}
}
