// Rooms holds the tree to its order. The source files of the root package, and the
// other packages of its module, form rooms, which rooms.txt lists from the lowest to the
// highest. A file uses names of its own room and of lower rooms only.
//
//	make rooms                     hold the tree to the order and to the figures
//	make rooms ARGS=-figures       print the figures too
//	make rooms ARGS=-update        write the list of rooms into docs/architecture.md
//
// Test files belong to no room. They may use everything.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

func main() {
	root := flag.String("root", "..", "`folder` of the tree")
	figures := flag.Bool("figures", false, "print the figures")
	update := flag.Bool("update", false, "write the list of rooms into docs/architecture.md")
	flag.Parse()
	if err := run(os.Stdout, *root, *figures, *update); err != nil {
		fmt.Fprintln(os.Stderr, "rooms:", err)
		os.Exit(1)
	}
}

func run(out io.Writer, root string, figures, update bool) error {
	text, err := os.ReadFile(filepath.Join(root, "tools", "rooms", "rooms.txt"))
	if err != nil {
		return err
	}
	rooms, err := parse(string(text))
	if err != nil {
		return err
	}
	tree, err := load(root, nil)
	if err != nil {
		return err
	}
	problems := append(check(rooms, tree), tree.figures().problems()...)
	page := filepath.Join(root, "docs", "architecture.md")
	if update {
		err = writeTable(page, rooms)
	} else {
		err = sameTable(page, rooms)
	}
	if err != nil {
		problems = append(problems, err.Error())
	}
	if figures {
		fmt.Fprint(out, tree.figures())
	}
	for _, problem := range problems {
		fmt.Fprintln(out, problem)
	}
	switch len(problems) {
	case 0:
		return nil
	case 1:
		return errors.New("1 problem, see above")
	}
	return fmt.Errorf("%d problems, see above", len(problems))
}
