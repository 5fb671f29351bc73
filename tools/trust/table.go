package main

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/sessiontrack/sessiontrack/tools/internal/marked"
)

// These are the statuses of a check.
const (
	proved = "proved" // its tests prove it
	open   = "open"   // not proved yet, or not built
	none   = "n/a"    // it concerns something that this library does not do
)

// check is one row: what must hold, the tests that prove it, and the figure that they require.
type check struct {
	id, status, requirement string
	asvs                    []string // sections of OWASP ASVS 5.0
	groups                  []group
	args                    map[string][]string // by package
	figure                  string              // for a proved check
	why                     string              // for other checks
}

// group is the tests of one package. With race they run under the race detector.
type group struct {
	pkg   string
	race  bool
	tests []string
}

var firstLine = regexp.MustCompile(`^([SCFLP]\d\d) (proved|open|n/a) (\S.*)$`)

// parse reads checks.txt. A check begins with a line without indentation: id, status and
// requirement. The indented lines below it are "asvs SECTION…", "test FOLDER NAME…", "race FOLDER
// NAME…", "args FOLDER ARGUMENT…", "figure TEXT" or "why TEXT". Lines that begin with # are
// comments.
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
			return bad("the line belongs to no check")
		}
		c := &checks[len(checks)-1]
		word, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		fields := strings.Fields(rest)
		switch {
		case (word == "test" || word == "race") && len(fields) > 1:
			c.groups = append(c.groups, group{fields[0], word == "race", fields[1:]})
		case word == "asvs" && len(fields) > 0:
			c.asvs = fields
		case word == "args" && len(fields) > 1:
			c.args = map[string][]string{fields[0]: fields[1:]}
		case word == "figure" && rest != "":
			c.figure = rest
		case word == "why" && rest != "":
			c.why = rest
		default:
			return bad("want asvs, test, race, args, figure or why")
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

// names returns the tests of a check, with their folder if it is not the root.
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

// table returns the table of docs/checks.md, with one row per check.
func table(checks []check) string {
	var b strings.Builder
	b.WriteString("| id | what must hold | | proved by | figure, or why not |\n| --- | --- | --- | --- | --- |\n")
	counts := map[string]int{}
	for _, c := range checks {
		counts[c.status]++
		tests, groups := "", slices.Clone(c.groups)
		slices.SortStableFunc(groups, func(a, b group) int { return strings.Compare(a.pkg, b.pkg) }) // "." comes first
		for i, g := range groups {
			if i > 0 {
				tests += ", "
			}
			if g.pkg != "." {
				tests += g.pkg + ": "
			}
			tests += "`" + strings.Join(g.tests, "`, `") + "`"
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s |\n",
			c.id, cell(c.requirement), c.status, tests, cell(c.figure+c.why))
	}
	fmt.Fprintf(&b, "\n%d checks: %d proved, %d open, %d not applicable.\n",
		len(checks), counts[proved], counts[open], counts[none])
	return b.String()
}

func cell(text string) string { return strings.ReplaceAll(text, "|", `\|`) }

// byASVS maps the sections of OWASP ASVS 5.0 to checks and their tests.
func byASVS(checks []check) string {
	of := map[string][]check{}
	for _, c := range checks {
		for _, section := range c.asvs {
			of[section] = append(of[section], c)
		}
	}
	var b strings.Builder
	b.WriteString("| section | checks | first of their tests |\n| --- | --- | --- |\n")
	for _, section := range slices.SortedFunc(maps.Keys(of), bySection) {
		var ids, tests []string
		for _, c := range of[section] {
			ids = append(ids, c.id)
			if len(c.groups) > 0 {
				tests = append(tests, "`"+c.groups[0].tests[0]+"`")
			}
		}
		fmt.Fprintf(&b, "| %s | %s | %s |\n", section, strings.Join(ids, ", "), strings.Join(tests, ", "))
	}
	return b.String()
}

// bySection compares section numbers: 3.4.3 comes before 11.2.4.
func bySection(a, b string) int {
	numbers := func(s string) (n []int) {
		for part := range strings.SplitSeq(s, ".") {
			i, _ := strconv.Atoi(part)
			n = append(n, i)
		}
		return n
	}
	return slices.Compare(numbers(a), numbers(b))
}

// writeTables writes both tables into the document at path.
func writeTables(path string, checks []check) error {
	if err := marked.Replace(path, "checks", "make trust", table(checks)); err != nil {
		return err
	}
	return marked.Replace(path, "asvs", "make trust", byASVS(checks))
}
