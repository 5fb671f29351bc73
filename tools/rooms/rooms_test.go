package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const houseRooms = `
ground: knows nothing
    internal/ground
contract: what a store can do
    store.go
backend: calls the store
    backend.go
Tracker: stands on top
    tracker.go
`

// What the files of the small tree hold, in short.
const (
	storeFile   = "type Store interface{ Get() int }\n\nconst Height = 1"
	backendFile = "type backend struct{ store Store }\n\nfunc (b *backend) get() int { return b.store.Get() }"
)

// house loads the small tree of testdata with some of its files replaced or added. They
// are given without their package clause.
func house(t *testing.T, files map[string]string) *tree {
	t.Helper()
	folder, err := filepath.Abs(filepath.Join("testdata", "house"))
	require.NoError(t, err)
	overlay := map[string][]byte{}
	for name, text := range files {
		where := filepath.Join(folder, name)
		overlay[where] = []byte("package " + filepath.Base(filepath.Dir(where)) + "\n\n" + text)
	}
	loaded, err := load(folder, overlay)
	require.NoError(t, err)
	return loaded
}

func problemsOf(t *testing.T, list string, files map[string]string) []string {
	t.Helper()
	rooms, err := parse(list)
	require.NoError(t, err)
	loaded := house(t, files)
	return append(check(rooms, loaded), loaded.figures().problems()...)
}

func TestATreeThatKeepsToTheRules(t *testing.T) {
	t.Parallel()
	assert.Empty(t, problemsOf(t, houseRooms, nil))
	f := house(t, nil).figures()
	assert.Equal(t, 3, f.files)
	assert.Empty(t, f.circles)
	assert.Equal(t, map[string][]string{"backend.go": {"Get"}}, f.callers)
	assert.Contains(t, f.String(), "1 files that call a store, of 2")
}

// many repeats a format with the numbers from 0 on.
func many(n int, format string) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, format, i)
	}
	return b.String()
}

func manyFiles(n int, name, format string) map[string]string {
	files := map[string]string{}
	for i := range n {
		numbers := strings.NewReplacer("$i", fmt.Sprint(i), "$next", fmt.Sprint((i+1)%n))
		files[fmt.Sprintf(name, i)] = numbers.Replace(format)
	}
	return files
}

// TestEveryRuleIsHeld plants one offence after the other.
func TestEveryRuleIsHeld(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		list  string
		files map[string]string
		want  []string
	}{
		"a use of a higher room's type": {
			files: map[string]string{"backend.go": backendFile + "\n\nvar _ Tracker\n"},
			want:  []string{"backend.go:7 (room backend) uses Tracker, which tracker.go declares in the higher room Tracker"},
		},
		"a method of a higher room's type": {
			files: map[string]string{"store.go": storeFile + "\n\nfunc (*Tracker) Low() {}\n"},
			want:  []string{"store.go:7 (room contract) uses Tracker, which tracker.go declares in the higher room Tracker"},
		},
		"a file without a room": {
			files: map[string]string{"new.go": ""},
			want:  []string{"new.go is in no room: " + remedy},
		},
		"a package without a room": {
			files: map[string]string{"internal/new/new.go": ""},
			want:  []string{"internal/new is in no room: " + remedy},
		},
		"a file in two rooms": {
			list: houseRooms + "again: once more\n    back*.go\n",
			want: []string{"rooms.txt: backend.go is in two rooms, backend and again"},
		},
		"a member that is not there": {
			list: houseRooms + "gone: no longer\n    gone.go\n",
			want: []string{"rooms.txt: room gone has gone.go, which is not in the tree"},
		},
		"an internal package that imports the root": {
			list:  houseRooms + "new: new\n    internal/new\n",
			files: map[string]string{"internal/new/new.go": "import _ \"example.org/house\""},
			want:  []string{"internal/new imports the root: packages in internal never do"},
		},
		"a package that imports a higher one": {
			list:  "low: low\n    internal/new\n" + houseRooms,
			files: map[string]string{"internal/new/new.go": "import _ \"example.org/house/internal/ground\""},
			want:  []string{"internal/new (room low) imports internal/ground of the higher room ground"},
		},
		"too many files": {
			list:  houseRooms + "more: more\n    more*.go\n",
			files: manyFiles(maxFiles-2, "more%d.go", ""),
			want:  []string{fmt.Sprintf("the root has %d source files, and may have %d: ", maxFiles+1, maxFiles)},
		},
		"a circle that is too large": {
			list:  houseRooms + "circle: round\n    circle*.go\n",
			files: manyFiles(maxCircle+1, "circle%02d.go", "func circle$i() { circle$next() }"),
			want:  []string{"13 files of the root use one another, and 12 may: circle00.go, circle01.go"},
		},
		"too many fields": {
			files: map[string]string{"tracker.go": "type Tracker struct{\n" + many(maxFields+1, "\tf%d int\n") + "}\n"},
			want:  []string{"Tracker has 17 fields and 0 methods, and may have 16 and 45: give parts of it a type of their own"},
		},
		"fields of a record, as many as there are": {
			files: map[string]string{"tracker.go": "type Tracker struct{\n" + many(maxFields+1, "\tF%d int\n") + "}\n"},
		},
		"too many methods": {
			files: map[string]string{"tracker.go": "type Tracker struct{}\n" + many(maxMethods+1, "func (Tracker) m%d() {}\n")},
			want:  []string{"Tracker has 0 fields and 46 methods, and may have 16 and 45: give parts of it a type of their own"},
		},
		"too many callers of the store": {
			list:  houseRooms + "calls: calls\n    call*.go\n",
			files: manyFiles(maxCallers, "call%d.go", "func call$i(s Store) func() int { return s.Get }"),
			want:  []string{"3 files call a store, and 2 may:\n  backend.go: Get\n  call0.go: Get\n  call1.go: Get\n"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			list := test.list
			if list == "" {
				list = houseRooms
			}
			found := problemsOf(t, list, test.files)
			require.Len(t, found, len(test.want), "%q", found)
			for i, want := range test.want {
				assert.True(t, strings.HasPrefix(found[i], want), "%q, want %q", found[i], want)
			}
		})
	}
}

// TestAnUpwardUseInThisTree plants one in the tree itself: the lowest file of the root
// uses the Tracker.
func TestAnUpwardUseInThisTree(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("rooms.txt")
	require.NoError(t, err)
	rooms, err := parse(string(text))
	require.NoError(t, err)
	root, err := filepath.Abs(filepath.Join("..", ".."))
	require.NoError(t, err)
	errorsFile := filepath.Join(root, "errors.go")
	source, err := os.ReadFile(errorsFile)
	require.NoError(t, err)
	planted := fmt.Appendf(source, "\nfunc planted(t *Tracker) { _ = t.Shutdown }\n")
	loaded, err := load(root, map[string][]byte{errorsFile: planted})
	require.NoError(t, err)
	found := strings.Join(check(rooms, loaded), "\n")
	for _, name := range []string{"Shutdown", "Tracker"} {
		assert.Regexp(t, `(?m)^errors\.go:\d+ \(room \w+\) uses `+name+`, which tracker\.go declares in`, found)
	}
}

func TestListsThatCannotBeRead(t *testing.T) {
	t.Parallel()
	for _, list := range []string{"    session.go\n", "room without a sentence\n    session.go\n", "room: \n"} {
		_, err := parse(list)
		assert.ErrorContains(t, err, "rooms.txt:1: ", list)
	}
}

// TestTheDocumentShowsTheRooms: a list that has changed is written, and missed until then.
func TestTheDocumentShowsTheRooms(t *testing.T) {
	t.Parallel()
	rooms, err := parse(houseRooms)
	require.NoError(t, err)
	page := filepath.Join(t.TempDir(), "architecture.md")
	marks := "# Rooms\n\n<!-- rooms: written by make rooms ARGS=-update -->\n<!-- end of rooms -->\n"
	require.NoError(t, os.WriteFile(page, []byte(marks), 0o600))
	require.ErrorContains(t, sameTable(page, rooms), "make rooms ARGS=-update")
	require.NoError(t, writeTable(page, rooms))
	require.NoError(t, sameTable(page, rooms))
	require.NoError(t, writeTable(page, rooms), "it may be written again")
	require.Error(t, sameTable(page, rooms[1:]))
}

// TestFilesOfTestsAreNamedAfterWhatTheyTest, or after a family.
func TestFilesOfTestsAreNamedAfterWhatTheyTest(t *testing.T) {
	t.Parallel()
	found := misnamed([]string{"store.go", "store_bun.go", "internal/text"}, []string{
		"store_test.go", "store_bun_touch_test.go", "attack_sql_test.go", "fixture_test.go",
		"storehouse_test.go", "text_test.go",
	})
	require.Len(t, found, 2)
	assert.Contains(t, found[0], "storehouse_test.go is named after no file: ")
	assert.Contains(t, found[1], "text_test.go is named after no file: ")
}
