package main

import (
	"fmt"
	"strings"
)

// check holds the tree to the order of the rooms. Each problem is a line to print.
func check(rooms []room, t *tree) []string {
	at, problems := places(rooms, t.names())
	for _, u := range t.uses() {
		if strings.HasPrefix(u.file, "internal/") && !strings.Contains(u.declarer, "/") {
			problems = append(problems, fmt.Sprintf("%s:%d uses %s of the root (%s): packages in internal never import the root",
				u.file, u.line, u.name, u.declarer))
			continue
		}
		from, known := at[u.from()]
		to, alsoKnown := at[u.to()]
		if known && alsoKnown && to > from {
			problems = append(problems, fmt.Sprintf("%s:%d (room %s) uses %s, which %s declares in the higher room %s",
				u.file, u.line, rooms[from].name, u.name, u.declarer, rooms[to].name))
		}
	}
	return problems
}
