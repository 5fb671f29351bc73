package main

import (
	"cmp"
	"errors"
	"fmt"
	"go/ast"
	"go/types"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/tools/go/packages"
)

// tree is the root module's packages, with their types, and without their tests.
type tree struct {
	module   string
	root     *packages.Package
	packages []*packages.Package
}

// load reads the module in a folder. An overlay replaces files: paths to contents.
func load(folder string, overlay map[string][]byte) (*tree, error) {
	found, err := packages.Load(&packages.Config{
		Mode:    packages.LoadSyntax | packages.NeedModule,
		Dir:     folder,
		Env:     append(os.Environ(), "GOWORK=off"),
		Overlay: overlay,
	}, "./...")
	if err != nil {
		return nil, err
	}
	t := &tree{packages: found}
	var all []error
	for _, p := range found {
		for _, err := range p.Errors {
			all = append(all, err)
		}
		if p.Module != nil && p.Module.Path == p.PkgPath {
			t.root, t.module = p, p.PkgPath
		}
	}
	if t.root == nil && len(all) == 0 {
		all = append(all, fmt.Errorf("%s holds no package of a module", folder))
	}
	return t, errors.Join(all...)
}

// names are the files of the root and the folders of the other packages: what has a room.
func (t *tree) names() (names []string) {
	for _, p := range t.packages {
		if p != t.root {
			names = append(names, t.folder(p.Types))
			continue
		}
		for _, file := range p.GoFiles {
			names = append(names, filepath.Base(file))
		}
	}
	slices.Sort(names)
	return names
}

// folder is where a package of the module stands: "" for one of another module.
func (t *tree) folder(p *types.Package) string {
	if folder, ours := strings.CutPrefix(p.Path(), t.module+"/"); ours {
		return folder
	}
	return ""
}

// use is a name that one file uses and another declares.
type use struct {
	file     string // the path of the file that uses it, below the root
	line     int
	name     string
	declarer string // the file that declares it, below the root
}

// from and to are who uses and who declares: a file of the root, or a package's folder.
func (u use) from() string { return placeOf(u.file) }
func (u use) to() string   { return placeOf(u.declarer) }

func placeOf(file string) string {
	if folder := path.Dir(file); folder != "." {
		return folder
	}
	return file
}

// uses are the names that cross from one place to another, each once a file.
func (t *tree) uses() []use {
	first := map[use]int{}
	for _, p := range t.packages {
		for identifier, object := range p.TypesInfo.Uses {
			if object.Pkg() == nil || !t.ours(object.Pkg()) {
				continue
			}
			if _, isImport := object.(*types.PkgName); isImport {
				continue
			}
			at := p.Fset.Position(identifier.Pos())
			declared := p.Fset.Position(object.Pos())
			u := use{
				file: t.below(p.Types, at.Filename), name: object.Name(), declarer: t.below(object.Pkg(), declared.Filename),
			}
			if line, known := first[u]; u.from() != u.to() && (!known || at.Line < line) {
				first[u] = at.Line
			}
		}
	}
	var all []use
	for u, line := range first {
		u.line = line
		all = append(all, u)
	}
	slices.SortFunc(all, func(a, b use) int {
		return cmp.Or(strings.Compare(a.file, b.file), cmp.Compare(a.line, b.line),
			strings.Compare(a.name, b.name), strings.Compare(a.declarer, b.declarer))
	})
	return all
}

func (t *tree) ours(p *types.Package) bool { return p.Path() == t.module || t.folder(p) != "" }

// below is a file's path below the root.
func (t *tree) below(p *types.Package, file string) string {
	return path.Join(t.folder(p), filepath.Base(file))
}

// circles are the sets of the root's files that use one another, directly or by way of
// others of the set; the largest first.
func (t *tree) circles() [][]string {
	next := map[string]map[string]bool{}
	for _, u := range t.uses() {
		if path.Dir(u.file) == "." && path.Dir(u.declarer) == "." {
			if next[u.file] == nil {
				next[u.file] = map[string]bool{}
			}
			next[u.file][u.declarer] = true
		}
	}
	reach := map[string]map[string]bool{}
	for file := range next {
		reach[file] = map[string]bool{}
		for ahead := []string{file}; len(ahead) > 0; ahead = ahead[1:] {
			for to := range next[ahead[0]] {
				if !reach[file][to] {
					reach[file][to] = true
					ahead = append(ahead, to)
				}
			}
		}
	}
	var all [][]string
	placed := map[string]bool{}
	for _, file := range slices.Sorted(maps.Keys(reach)) {
		if placed[file] || !reach[file][file] {
			continue
		}
		var circle []string
		for other := range reach[file] {
			if reach[other][file] {
				circle, placed[other] = append(circle, other), true
			}
		}
		slices.Sort(circle)
		all = append(all, circle)
	}
	slices.SortStableFunc(all, func(a, b []string) int { return len(b) - len(a) })
	return all
}

// named calls a function with every type that the root declares, and with its file.
func (t *tree) named(visit func(file string, named *types.Named)) {
	for _, file := range t.root.Syntax {
		name := filepath.Base(t.root.Fset.Position(file.Pos()).Filename)
		ast.Inspect(file, func(n ast.Node) bool {
			spec, ok := n.(*ast.TypeSpec)
			if !ok {
				return true
			}
			if object, ok := t.root.TypesInfo.Defs[spec.Name].(*types.TypeName); ok {
				if named, ok := object.Type().(*types.Named); ok {
					visit(name, named)
				}
			}
			return true
		})
	}
}
