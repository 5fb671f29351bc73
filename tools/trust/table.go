package main

import (
	"fmt"
	"os"
	"regexp"
	"strings"
)

// The statuses of a check.
const (
	proved = "proved" // its tests hold it
	open   = "open"   // not shown yet, or not built
	none   = "n/a"    // it is about something that this library does not do
)

// check is one row: what must hold, the tests that prove it, and the figure that they
// hold it to.
type check struct {
	id, status, requirement string
	groups                  []group
	figure                  string // of what is proved
	why                     string // of what is not
}

type group struct {
	pkg   string
	tests []string
}

var firstLine = regexp.MustCompile(`^([SCFLP]\d\d) (proved|open|n/a) (\S.*)$`)

// parse reads checks.txt. A check begins with its id, status and requirement at the
// margin; below it, indented, "test FOLDER NAME…", "figure TEXT" or "why TEXT". Lines
// that begin with # are comments.
func parse(text string) (checks []check, err error) {
	for number, line := range strings.Split(text, "\n") {
		bad := func(problem string) ([]check, error) {
			return nil, fmt.Errorf("checks.txt:%d: %s: %q", number+1, problem, line)
		}
		if strings.TrimSpace(line) == "" || line[0] == '#' {
			continue
		}
		if line[0] != ' ' && line[0] != '\t' {
			match := firstLine.FindStringSubmatch(line)
			if match == nil {
				return bad("want an id, a status and a requirement")
			}
			checks = append(checks, check{id: match[1], status: match[2], requirement: match[3]})
			continue
		}
		if len(checks) == 0 {
			return bad("no check is begun")
		}
		c := &checks[len(checks)-1]
		word, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		fields := strings.Fields(rest)
		switch {
		case word == "test" && len(fields) > 1:
			c.groups = append(c.groups, group{fields[0], fields[1:]})
		case word == "figure" && rest != "":
			c.figure = rest
		case word == "why" && rest != "":
			c.why = rest
		default:
			return bad("want test, figure or why")
		}
	}
	return checks, validate(checks)
}

func validate(checks []check) error {
	seen := map[string]bool{}
	for _, c := range checks {
		switch {
		case seen[c.id]:
			return fmt.Errorf("checks.txt: %s comes twice", c.id)
		case c.status == proved && (len(c.groups) == 0 || c.figure == "" || c.why != ""):
			return fmt.Errorf("checks.txt: %s is proved: want tests and a figure", c.id)
		case c.status != proved && (c.why == "" || c.figure != ""):
			return fmt.Errorf("checks.txt: %s is not proved: want to know why, and no figure", c.id)
		}
		seen[c.id] = true
	}
	return nil
}

// names are the tests of a check, with the folder of those that are not at the top.
func (c check) names() string {
	var all []string
	for _, g := range c.groups {
		for _, name := range g.tests {
			if g.pkg != "." {
				name = g.pkg + " " + name
			}
			all = append(all, name)
		}
	}
	return strings.Join(all, ", ")
}

const (
	tableBegins = "<!-- checks: written by go run -C tools ./trust -update -->"
	tableEnds   = "<!-- end of checks -->"
)

// table is SECURITY.md's, a row a check.
func table(checks []check) string {
	var b strings.Builder
	b.WriteString("| id | what must hold | | proved by | figure, or why not |\n| --- | --- | --- | --- | --- |\n")
	counts := map[string]int{}
	for _, c := range checks {
		counts[c.status]++
		tests := ""
		for i, g := range c.groups {
			if i > 0 {
				tests += ", "
			}
			if g.pkg != "." {
				tests += g.pkg + ": "
			}
			tests += "`" + strings.Join(g.tests, "`, `") + "`"
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s |\n", c.id, cell(c.requirement), c.status, tests, cell(c.figure+c.why))
	}
	fmt.Fprintf(&b, "\n%d checks: %d proved, %d open, %d not applicable.\n", len(checks), counts[proved], counts[open], counts[none])
	return b.String()
}

func cell(text string) string { return strings.ReplaceAll(text, "|", `\|`) }

// writeTable replaces what is between the marks.
func writeTable(path string, checks []check) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	before, rest, begins := strings.Cut(string(text), tableBegins)
	_, after, ends := strings.Cut(rest, tableEnds)
	if !begins || !ends {
		return fmt.Errorf("%s holds no %q … %q", path, tableBegins, tableEnds)
	}
	return os.WriteFile(path, []byte(before+tableBegins+"\n\n"+table(checks)+"\n"+tableEnds+after), 0o644)
}
