package trust

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const root = "../.."

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.FromSlash(path))
	require.NoError(t, err)
	return string(text)
}

var (
	row  = regexp.MustCompile(`(?m)^([SCFLP]\d\d) (proved|open|n/a) (.+)$`)
	test = regexp.MustCompile(`(?m)^    (test|race) (\S+) (.+)$`)

	shownRow = regexp.MustCompile(`(?m)^\| ([SCFLP]\d\d) \| (.+?) \| (proved|open|n/a) \|`)
)

// TestEveryCheckIsListed: every check of each family is listed exactly once.
func TestEveryCheckIsListed(t *testing.T) {
	t.Parallel()
	listed := map[string]int{}
	for _, match := range row.FindAllStringSubmatch(read(t, "checks.txt"), -1) {
		listed[match[1]]++
	}
	want := map[string]int{}
	for family, n := range map[string]int{"S": 33, "C": 16, "F": 17, "L": 8, "P": 6} {
		for i := range n {
			want[fmt.Sprintf("%s%02d", family, i+1)] = 1
		}
	}
	assert.Equal(t, want, listed)
}

// TestEveryNamedTestExists: a check that names a renamed or removed test fails. Cases of storetest
// are found by their names in its source.
func TestEveryNamedTestExists(t *testing.T) {
	t.Parallel()
	suite := read(t, root+"/storetest/storetest.go")
	cases, err := filepath.Glob(root + "/storetest/*.go")
	require.NoError(t, err)
	for _, file := range cases {
		suite += read(t, file)
	}
	declared := map[string]map[string]bool{}
	named := 0
	for _, match := range test.FindAllStringSubmatch(read(t, "checks.txt"), -1) {
		folder := match[2]
		if declared[folder] == nil {
			declared[folder] = testsOf(t, filepath.Join(root, folder))
		}
		for _, name := range strings.Fields(match[3]) {
			named++
			top, sub, _ := strings.Cut(name, "/")
			assert.True(t, declared[folder][top], "%s has no %s", folder, top)
			if sub != "" {
				assert.Contains(t, suite, strconv.Quote(strings.ReplaceAll(sub, "_", " ")), "%s has no such case", name)
			}
		}
	}
	assert.Greater(t, named, 100)
}

func testsOf(t *testing.T, folder string) map[string]bool {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(folder, "*_test.go"))
	require.NoError(t, err)
	require.NotEmpty(t, files, folder)
	names := map[string]bool{}
	for _, name := range files {
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		require.NoError(t, err)
		for _, d := range file.Decls {
			if f, ok := d.(*ast.FuncDecl); ok && f.Recv == nil {
				names[f.Name.Name] = true
			}
		}
	}
	return names
}

// TestDocumentShowsTheList: the table in docs/checks.md equals checks.txt.
func TestDocumentShowsTheList(t *testing.T) {
	t.Parallel()
	shown := map[string]string{}
	for _, match := range shownRow.FindAllStringSubmatch(read(t, root+"/docs/checks.md"), -1) {
		shown[match[1]] = match[3] + " " + match[2]
	}
	want := map[string]string{}
	for _, match := range row.FindAllStringSubmatch(read(t, "checks.txt"), -1) {
		want[match[1]] = match[2] + " " + match[3]
	}
	assert.Equal(t, want, shown, "make trust ARGS=-list")
}

// floors are the oldest versions without a flaw that concerns this library.
var floors = map[string]string{
	"go":                     "1.25.1", // http.CrossOriginProtection bypass: CVE-2025-47910
	"github.com/uptrace/bun": "v1.3.0", // older: a negative argument begins a comment
	"github.com/uptrace/bun/dialect/pgdialect": "v1.3.0",
	"github.com/jackc/pgx/v5":                  "v5.9.2",
	"github.com/golang-jwt/jwt/v5":             "v5.3.1", // below 5.2.2: CVE-2025-30204
	"github.com/coder/websocket":               "v1.8.15",
	"github.com/ua-parser/uap-go":              "v0.0.0-20260529044130",
	"github.com/oschwald/geoip2-golang/v2":     "v2.5.0",
}

// TestRequirementsAreAtOrAboveTheirFloors reads the go.mod of every module (docs/checks.md S33,
// ASVS 15.2.1).
func TestRequirementsAreAtOrAboveTheirFloors(t *testing.T) {
	t.Parallel()
	modules, err := filepath.Glob(root + "/*/go.mod")
	require.NoError(t, err)
	deeper, err := filepath.Glob(root + "/*/*/go.mod")
	require.NoError(t, err)
	required := regexp.MustCompile(`(?m)^(?:require )?\s*(\S+) (v?\d\S*)`)
	met := map[string]bool{}
	for _, file := range append(append(modules, deeper...), root+"/go.mod") {
		for _, match := range required.FindAllStringSubmatch(read(t, file), -1) {
			if floor := floors[match[1]]; floor != "" {
				met[match[1]] = true
				assert.True(t, atLeast(match[2], floor), "%s requires %s %s, below %s", file, match[1], match[2], floor)
			}
		}
	}
	assert.Len(t, met, len(floors), "every floor belongs to a required module")
}

var numbers = regexp.MustCompile(`\d+`)

// atLeast compares versions number by number, and pseudo-versions by their time.
func atLeast(version, floor string) bool {
	have := numbers.FindAllString(strings.SplitN(version, "+", 2)[0], 5)
	for i, want := range numbers.FindAllString(floor, 5) {
		if i >= len(have) {
			return false
		}
		h, errH := strconv.ParseInt(have[i], 10, 64)
		w, errW := strconv.ParseInt(want, 10, 64)
		if errH != nil || errW != nil || h != w {
			return errH == nil && errW == nil && h > w
		}
	}
	return true
}

func TestVersionsAreCompared(t *testing.T) {
	t.Parallel()
	for _, versions := range [][2]string{
		{"v1.10.0", "v1.9.9"}, {"v5.12.0", "v5.9.2"}, {"1.26.0", "1.25.1"},
		{"v0.0.0-20260601000000-aaaa", "v0.0.0-20260529044130"},
	} {
		assert.True(t, atLeast(versions[0], versions[1]), versions)
		assert.True(t, atLeast(versions[1], versions[1]), versions)
		assert.False(t, atLeast(versions[1], versions[0]), versions)
	}
}

// TestModulesAreVerified: the modules match their checksums.
func TestModulesAreVerified(t *testing.T) {
	t.Parallel()
	cmd := exec.CommandContext(t.Context(), "go", "mod", "verify")
	cmd.Dir = root
	cmd.Env = append(os.Environ(), "GOWORK=off", "GOFLAGS=-mod=readonly")
	output, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", output)
	assert.Contains(t, string(output), "all modules verified")
}
