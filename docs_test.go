package sessiontrack

import (
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

// TestDocsListEveryRoute holds docs/http.md to the handlers: every route has a heading there, and
// every heading is a route.
func TestDocsListEveryRoute(t *testing.T) {
	t.Parallel()
	tracker, err := New(NewMemoryStore(), nil)
	require.NoError(t, err)
	var routes []string
	for _, f := range []family{tracker.AdminHandler(nil).(*adminHandler).family, tracker.UserHandler(nil).(*userHandler).family} {
		for _, e := range f.endpoints {
			routes = append(routes, e.method+" "+f.prefix+strings.Join(e.path, "/"))
		}
	}
	slices.Sort(routes)
	headings := matches("(?m)^### `([A-Z]+ /.*)`$", document(t, "docs/http.md"))
	for i := range headings {
		headings[i] = regexp.MustCompile(`\{[a-zA-Z]+\}`).ReplaceAllString(headings[i], anyID)
	}
	assert.Equal(t, routes, headings)
}

// TestDocsListEveryCode holds the documents to the codes of errors: docs/http.md explains each,
// README and doc.go name each.
func TestDocsListEveryCode(t *testing.T) {
	t.Parallel()
	codes := matches(`newProblem\(http\.Status\w+, "(\w+)"`, document(t, "problem.go"))
	require.Contains(t, codes, "session_ended")
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
