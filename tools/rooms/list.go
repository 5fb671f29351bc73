package main

import (
	"fmt"
	"os"
	"path"
	"slices"
	"strings"

	"github.com/sessiontrack/sessiontrack/tools/internal/marked"
)

// room is a part of the tree with a place in the order.
type room struct {
	name, does string
	// members are files of the root package ("session.go", "handlers_*.go") and folders
	// of other packages ("internal/handle").
	members []string
}

// parse reads rooms.txt. A room begins at the margin with its name, a colon and a sentence.
// Its members stand below, indented. Lines that begin with # are comments.
func parse(text string) (rooms []room, err error) {
	for number, line := range strings.Split(text, "\n") {
		if strings.TrimSpace(line) == "" || line[0] == '#' {
			continue
		}
		if line[0] == ' ' || line[0] == '\t' {
			if len(rooms) == 0 {
				return nil, fmt.Errorf("rooms.txt:%d: members of no room: %q", number+1, line)
			}
			r := &rooms[len(rooms)-1]
			r.members = append(r.members, strings.Fields(line)...)
			continue
		}
		name, does, found := strings.Cut(line, ": ")
		if !found || strings.TrimSpace(does) == "" {
			return nil, fmt.Errorf("rooms.txt:%d: want a name, a colon and what the room does: %q", number+1, line)
		}
		rooms = append(rooms, room{name: name, does: does})
	}
	return rooms, nil
}

// matches reports whether a member names a file of the root, or the folder of a package.
func matches(member, name string) bool {
	matched, err := path.Match(member, name)
	return err == nil && matched
}

const remedy = "add it to tools/rooms/rooms.txt, to the room that it is part of, or to a new one above all that it uses"

// places maps every file of the root and every other package to its room, by the room's
// number. What it cannot place is a problem, and so is a member that names nothing.
func places(rooms []room, names []string) (at map[string]int, problems []string) {
	at = map[string]int{}
	for i, r := range rooms {
		for _, member := range r.members {
			if !slices.ContainsFunc(names, func(name string) bool { return matches(member, name) }) {
				problems = append(problems,
					fmt.Sprintf("rooms.txt: room %s has %s, which is not in the tree", r.name, member))
			}
		}
		for _, name := range names {
			if !slices.ContainsFunc(r.members, func(member string) bool { return matches(member, name) }) {
				continue
			}
			if other, taken := at[name]; taken {
				problems = append(problems,
					fmt.Sprintf("rooms.txt: %s is in two rooms, %s and %s", name, rooms[other].name, r.name))
				continue
			}
			at[name] = i
		}
	}
	for _, name := range names {
		if _, placed := at[name]; !placed {
			problems = append(problems, name+" is in no room: "+remedy)
		}
	}
	return at, problems
}

// table is the list of rooms as docs/architecture.md shows it, lowest first.
func table(rooms []room) string {
	var b strings.Builder
	b.WriteString("| room | files and packages | what it does |\n|---|---|---|\n")
	for _, r := range rooms {
		fmt.Fprintf(&b, "| %s | `%s` | %s |\n", r.name, strings.Join(r.members, "`, `"), r.does)
	}
	return b.String()
}

func writeTable(page string, rooms []room) error {
	return marked.Replace(page, "rooms", "make rooms ARGS=-update", table(rooms))
}

// sameTable fails where the page does not show the rooms as they are.
func sameTable(page string, rooms []room) error {
	text, err := os.ReadFile(page)
	if err != nil {
		return err
	}
	if !strings.Contains(string(text), "\n\n"+table(rooms)+"\n") {
		return fmt.Errorf("%s does not show rooms.txt: make rooms ARGS=-update", page)
	}
	return nil
}
