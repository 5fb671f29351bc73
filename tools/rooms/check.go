package main

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/tools/go/packages"
)

// check holds the tree to the order of the rooms. Each problem is a line to print.
func check(rooms []room, t *tree) []string {
	at, problems := places(rooms, t.names())
	for _, p := range t.packages {
		if p != t.root {
			problems = append(problems, checkImports(rooms, at, t, p)...)
		}
	}
	for _, u := range t.uses() {
		from, known := at[u.from()]
		to, alsoKnown := at[u.to()]
		if known && alsoKnown && to > from {
			problems = append(problems, fmt.Sprintf("%s:%d (room %s) uses %s, which %s declares in the higher room %s",
				u.file, u.line, rooms[from].name, u.name, u.declarer, rooms[to].name))
		}
	}
	return append(problems, misnamed(t.names(), t.tests())...)
}

// checkImports finds imports of higher packages that a package uses no name of, and every
// import of the root by a package in internal.
func checkImports(rooms []room, at map[string]int, t *tree, p *packages.Package) (problems []string) {
	folder := t.folder(p.Types)
	for _, path := range slices.Sorted(maps.Keys(p.Imports)) {
		imported := strings.TrimPrefix(path, t.module+"/")
		to, known := at[imported]
		switch {
		case path == t.module && strings.HasPrefix(folder, "internal/"):
			problems = append(problems, folder+" imports the root: packages in internal never do")
		case known && to > at[folder]:
			problems = append(problems, fmt.Sprintf("%s (room %s) imports %s of the higher room %s",
				folder, rooms[at[folder]].name, imported, rooms[to].name))
		}
	}
	return problems
}

// families are the beginnings of the names of test files that are about no single file.
var families = []string{"attack", "cost", "docs", "example", "fixture"}

// tests are the names of the root's test files.
func (t *tree) tests() (names []string) {
	files, _ := os.ReadDir(filepath.Dir(t.root.GoFiles[0]))
	for _, file := range files {
		if strings.HasSuffix(file.Name(), "_test.go") {
			names = append(names, file.Name())
		}
	}
	return names
}

// misnamed finds test files that begin with the name of no file of the root and of no
// family.
func misnamed(files, tests []string) (problems []string) {
	for _, test := range tests {
		about := strings.TrimSuffix(test, "_test.go") + "_"
		named := slices.ContainsFunc(files, func(file string) bool {
			base, isFile := strings.CutSuffix(file, ".go")
			return isFile && strings.HasPrefix(about, base+"_")
		})
		if !named && !slices.ContainsFunc(families, func(f string) bool { return strings.HasPrefix(about, f+"_") }) {
			problems = append(problems, fmt.Sprintf("%s is named after no file: "+
				"call it after the file that it tests, or after a family: %s", test, strings.Join(families, ", ")))
		}
	}
	return problems
}
