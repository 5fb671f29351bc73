package dashboard

import (
	"encoding/json"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// What a path names does not change, so nobody asks for it twice; the page names the paths.
func TestNamesChangeWithWhatTheyName(t *testing.T) {
	t.Parallel()
	h, other := Handler(nil), Handler(&Options{Language: "de"})
	for _, path := range paths(h) {
		want := "public, max-age=31536000, immutable"
		if path == "" {
			want = "no-cache"
		}
		assert.Equal(t, want, get(t, h, "/dashboard/"+path).Header().Get("Cache-Control"), path)
	}
	assert.Equal(t, paths(h), paths(Handler(nil)))
	assert.NotEqual(t, pathOf(t, h, "js/main.js"), pathOf(t, other, "js/main.js"))
	assert.Equal(t, 404, get(t, other, "/dashboard/"+pathOf(t, h, "js/main.js")).Code)

	page := get(t, h, "/dashboard/").Body.String()
	found := regexp.MustCompile(`(?:href|src)="([^"#]+)"`).FindAllStringSubmatch(page, -1)
	require.Greater(t, len(found), 20)
	for _, match := range found {
		assert.Contains(t, paths(h), match[1])
	}
	assert.NotContains(t, page, "{assets}")
	assert.NotContains(t, page, "{preloads}")
}

// The modules of the first view are asked for at once, and each of them once.
func TestPreloadsAreComplete(t *testing.T) {
	t.Parallel()
	h := Handler(nil)
	page := get(t, h, "/dashboard/").Body.String()
	static := regexp.MustCompile(`(?m)^import .*"\.+/([^"]+)"`)
	for path, body := range sources(t) {
		preload := `<link rel="modulepreload" href="` + strings.Split(pathOf(t, h, "icon.png"), "/")[0] + "/"
		if !strings.HasPrefix(path, "js/") || !strings.Contains(page, preload+path) {
			continue
		}
		for _, match := range static.FindAllStringSubmatch(body, -1) {
			name := match[1]
			if !strings.Contains(name, "/") {
				name = "js/" + name
			}
			assert.Equal(t, 1, strings.Count(page, preload+name+`"`), "%s imports %s", path, name)
		}
	}
	assert.Contains(t, page, "js/overview.js")
	assert.NotContains(t, page, "js/person.js")
}

func TestSlim(t *testing.T) {
	t.Parallel()
	source := "" +
		"// a\n/** b */\nconst x = 1; // stays\n  /**\n   * c\n   */\n  /** @type {any} */ (y);\n  f(`//`, \"/*\");\n"
	assert.Equal(t, "\n\nconst x = 1; // stays\n\n\n\n(y);\nf(`//`, \"/*\");\n", string(slim("js/x.js", []byte(source))))
	assert.Equal(t, "\na { b: c }", string(slim("x.css", []byte("/* a\n b */\n  a { b: c }"))))
	assert.Equal(t, source, string(slim("web/uplot/x.js", []byte(source))))

	// Which is right for text that has no lines of its own.
	for path, body := range sources(t) {
		if !strings.HasPrefix(path, "js/") {
			continue
		}
		for i, line := range strings.Split(body, "\n") {
			assert.Zero(t, strings.Count(line, "`")%2, "%s:%d: a text over several lines", path, i+1)
		}
	}
	var config struct{ Messages map[string]string }
	h := Handler(nil)
	require.NoError(t, json.Unmarshal(get(t, h, "/dashboard/"+pathOf(t, h, "config.json")).Body.Bytes(), &config))
	assert.Equal(t, Messages(), config.Messages)
}
