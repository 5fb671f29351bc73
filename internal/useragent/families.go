package useragent

import (
	"errors"
	"fmt"
	"strings"

	"github.com/ua-parser/uap-go/uaparser"
)

// families asks uap-go's expressions, but only those that can match: each is
// filed under literals that its matches must contain. What people send then
// costs a tenth, and garbage next to nothing, where uap-go alone tries 1,200
// expressions on all of it.
type families struct {
	index   literalIndex
	agents  []expression[uaparser.UserAgent]
	systems []expression[uaparser.Os]
	devices []expression[uaparser.Device]
}

// An expression is one line of uap-core's definitions.
type expression[T any] struct {
	match   func(string, *T)
	clauses []int // what must occur
	size    int   // of the program that it compiles to, roughly
}

// maxWork bounds what is spent on one agent, in bytes of the agent times size
// of the expressions tried on it. Of all agents that were seen one in ten
// thousand needs two thirds of it; one that is stuffed with the words of
// hundreds of others stays without names rather than cost tens of milliseconds.
const maxWork = 4 << 20

// newFamilies compiles uap-core's definitions (regexes.yaml); nil stands for
// those embedded in uap-go.
func newFamilies(definitions []byte) (*families, error) {
	parser, err := compileDefinitions(definitions)
	if err != nil {
		return nil, fmt.Errorf("compile user agent definitions: %w", err)
	}
	f := new(families)
	for _, p := range parser.UA {
		clauses, size := f.index.file(p.Flags, p.Expr)
		f.agents = append(f.agents, expression[uaparser.UserAgent]{p.Match, clauses, size})
	}
	for _, p := range parser.OS {
		clauses, size := f.index.file(p.Flags, p.Expr)
		f.systems = append(f.systems, expression[uaparser.Os]{p.Match, clauses, size})
	}
	for _, p := range parser.Device {
		clauses, size := f.index.file(p.Flags, p.Expr)
		f.devices = append(f.devices, expression[uaparser.Device]{p.Match, clauses, size})
	}
	f.index.ids = nil // only for building
	return f, nil
}

// compileDefinitions turns uap-go's panic over an expression that does not
// compile into an error.
func compileDefinitions(definitions []byte) (parser *uaparser.Parser, err error) {
	defer func() {
		if r := recover(); r != nil {
			parser, err = nil, fmt.Errorf("%v", r)
		}
	}()
	if definitions == nil {
		return uaparser.New()
	}
	if parser, err = uaparser.NewFromBytes(definitions); err != nil {
		return nil, err
	}
	if len(parser.UA) == 0 || len(parser.OS) == 0 || len(parser.Device) == 0 {
		return nil, errors.New("user_agent_parsers, os_parsers and device_parsers are all needed")
	}
	return parser, nil
}

func withFlags(flags, expr string) string {
	if flags == "" {
		return expr
	}
	return "(?" + flags + ")" + expr
}

// ask returns the first match of each kind; what nothing matches stays zero.
func (f *families) ask(userAgent string) (agent uaparser.UserAgent, system uaparser.Os, device uaparser.Device) {
	q := question{userAgent: userAgent, met: f.index.scan(foldAgent(userAgent)), work: maxWork}
	firstMatch(&q, f.agents, &agent, func() bool { return agent.Family != "" })
	firstMatch(&q, f.systems, &system, func() bool { return system.Family != "" })
	firstMatch(&q, f.devices, &device, func() bool { return device.Family != "" })
	return agent, system, device
}

// A question is an agent, what it contains, and how much may still be spent on it.
type question struct {
	userAgent string
	met       clauseSet
	work      int
}

func firstMatch[T any](q *question, list []expression[T], into *T, found func() bool) {
	for i := range list {
		if !q.met.meets(list[i].clauses) {
			continue
		}
		if q.work -= len(q.userAgent) * list[i].size; q.work < 0 {
			return
		}
		if list[i].match(q.userAgent, into); found() {
			return
		}
	}
}

// foldAgent lowers ASCII letters, and the two runes outside ASCII that fold to
// ASCII letters, as regexp does where an expression ignores case.
func foldAgent(s string) string {
	lower := strings.Map(func(r rune) rune {
		switch {
		case 'A' <= r && r <= 'Z':
			return r + 'a' - 'A'
		case r == '\u212A':
			return 'k'
		case r == '\u017F':
			return 's'
		}
		return r
	}, s)
	return lower
}
