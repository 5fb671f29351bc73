package main

import (
	"fmt"
	"go/types"
	"path/filepath"
	"slices"
	"strings"
)

// The bounds of what one person can keep in mind.
const (
	maxFiles   = 70 // source files of the root
	maxCircle  = 12 // files of the root that use one another
	maxFields  = 16 // of a type with state of its own
	maxMethods = 45 // of a type
	maxCallers = 2  // files that call a store, the stores themselves left out
)

// figures are what the tree is held to, besides the order.
type figures struct {
	files   int
	circles [][]string
	types   []size
	callers map[string][]string // files that call a store, with the methods that they call
}

// size is a type's. A record is a struct that others fill in and read: all its fields are
// exported.
type size struct {
	name            string
	fields, methods int
	record          bool
}

func (t *tree) figures() figures {
	f := figures{files: len(t.root.GoFiles), circles: t.circles(), callers: t.storeCallers()}
	t.named(func(_ string, named *types.Named) {
		s := size{name: named.Obj().Name(), methods: named.NumMethods(), record: true}
		if fields, ok := named.Underlying().(*types.Struct); ok {
			s.fields = fields.NumFields()
			for field := range fields.Fields() {
				s.record = s.record && field.Exported()
			}
		}
		f.types = append(f.types, s)
	})
	slices.SortStableFunc(f.types, func(a, b size) int { return b.fields + b.methods - a.fields - a.methods })
	return f
}

// storeCallers are the files of the root that call methods of Store, or of the interfaces
// that are declared beside it for what some stores can do, and are not a store themselves.
func (t *tree) storeCallers() map[string][]string {
	contract, methods := t.contract()
	callers := map[string][]string{}
	for selector, selection := range t.root.TypesInfo.Selections {
		file := filepath.Base(t.root.Fset.Position(selector.Pos()).Filename)
		method, isMethod := selection.Obj().(*types.Func)
		if !isMethod || strings.HasPrefix(file, "store") || !methods[method.Name()] {
			continue
		}
		receiver := method.Signature().Recv().Type()
		declares := func(i *types.Named) bool { return types.Identical(receiver, i) }
		if !slices.ContainsFunc(contract, declares) && !t.isStore(receiver) {
			continue
		}
		if !slices.Contains(callers[file], method.Name()) {
			callers[file] = append(callers[file], method.Name())
		}
	}
	for _, called := range callers {
		slices.Sort(called)
	}
	return callers
}

// contract is Store and the exported interfaces of its files, with the names of their
// methods.
func (t *tree) contract() (all []*types.Named, methods map[string]bool) {
	methods = map[string]bool{}
	t.named(func(file string, named *types.Named) {
		i, ok := named.Underlying().(*types.Interface)
		if !ok || !named.Obj().Exported() || !strings.HasPrefix(file, "store") {
			return
		}
		all = append(all, named)
		for method := range i.Methods() {
			methods[method.Name()] = true
		}
	})
	return all, methods
}

// isStore reports whether a type, or a pointer to it, is a Store.
func (t *tree) isStore(one types.Type) bool {
	store := t.root.Types.Scope().Lookup("Store")
	if store == nil {
		return false
	}
	i, ok := store.Type().Underlying().(*types.Interface)
	return ok && !types.IsInterface(one) && types.Implements(one, i)
}

// problems are the bounds that are passed, a line each.
func (f figures) problems() (all []string) {
	if f.files > maxFiles {
		all = append(all, fmt.Sprintf("the root has %d source files, and may have %d: "+
			"move what knows no session to internal", f.files, maxFiles))
	}
	if len(f.circles) > 0 && len(f.circles[0]) > maxCircle {
		all = append(all, fmt.Sprintf("%d files of the root use one another, and %d may: %s",
			len(f.circles[0]), maxCircle, strings.Join(f.circles[0], ", ")))
	}
	for _, s := range f.types {
		if !s.record && s.fields > maxFields || s.methods > maxMethods {
			all = append(all, fmt.Sprintf("%s has %d fields and %d methods, and may have %d and %d: "+
				"give parts of it a type of their own", s.name, s.fields, s.methods, maxFields, maxMethods))
		}
	}
	if len(f.callers) > maxCallers {
		all = append(all, fmt.Sprintf("%d files call a store, and %d may:\n%s", len(f.callers), maxCallers, f.listCallers()))
	}
	return all
}

func (f figures) listCallers() string {
	var lines []string
	for file, methods := range f.callers {
		lines = append(lines, fmt.Sprintf("  %s: %s\n", file, strings.Join(methods, ", ")))
	}
	slices.Sort(lines)
	return strings.Join(lines, "")
}

// String lists the figures, each beside its bound.
func (f figures) String() string {
	largest := 0
	if len(f.circles) > 0 {
		largest = len(f.circles[0])
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%d source files in the root, of %d\n", f.files, maxFiles)
	fmt.Fprintf(&b, "%d files in the largest circle of uses, of %d\n", largest, maxCircle)
	for _, circle := range f.circles {
		fmt.Fprintf(&b, "  %s\n", strings.Join(circle, ", "))
	}
	fmt.Fprintf(&b, "largest types: fields, of %d but for records, and methods, of %d\n", maxFields, maxMethods)
	for _, s := range f.types[:min(8, len(f.types))] {
		fmt.Fprintf(&b, "  %s: %d and %d\n", s.name, s.fields, s.methods)
	}
	fmt.Fprintf(&b, "%d files that call a store, of %d\n%s", len(f.callers), maxCallers, f.listCallers())
	return b.String()
}
