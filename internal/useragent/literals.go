package useragent

import (
	"regexp/syntax"
	"slices"
	"strings"
)

// A literalIndex finds, in one pass over a text, which clauses it meets. A
// clause is a set of literals of which one must occur.
type literalIndex struct {
	buckets [literalBuckets][]literal
	clauses int
	ids     map[string]int // clause by its joined literals
}

const literalBuckets = 1 << 12

type literal struct {
	text    string
	clauses []int
}

// file enters what every match of expr must contain, and returns the numbers
// of these clauses (none: any text may match) and the expression's size.
func (x *literalIndex) file(flags, expr string) (ids []int, size int) {
	tree, err := syntax.Parse(withFlags(flags, expr), syntax.Perl)
	if err != nil {
		return nil, len(expr) // for the compiler to refuse
	}
	needed := requiredLiterals(tree).asClauses()
	slices.SortStableFunc(needed, func(a, b []string) int { return shortest(b) - shortest(a) })
	for _, clause := range needed[:min(len(needed), maxClauses)] {
		ids = append(ids, x.fileClause(clause))
	}
	if size = treeSize(tree); size > backtrackLimit {
		size *= 2
	}
	return ids, size
}

// backtrackLimit is the size above which regexp takes its slower way.
const backtrackLimit = 500

// treeSize estimates how many instructions an expression compiles to.
func treeSize(re *syntax.Regexp) int {
	size := 1
	if re.Op == syntax.OpLiteral {
		size = len(re.Rune)
	}
	for _, sub := range re.Sub {
		size += treeSize(sub)
	}
	if re.Op == syntax.OpRepeat {
		size *= max(re.Min, re.Max, 1)
	}
	return size
}

func (x *literalIndex) fileClause(clause []string) int {
	name := strings.Join(clause, "\x00")
	if id, ok := x.ids[name]; ok {
		return id
	}
	if x.ids == nil {
		x.ids = map[string]int{}
	}
	id := x.clauses
	x.clauses++
	x.ids[name] = id
	for _, text := range clause {
		x.fileLiteral(text, id)
	}
	return id
}

func (x *literalIndex) fileLiteral(text string, id int) {
	bucket := &x.buckets[literalBucket(text[0], text[1])]
	for i := range *bucket {
		if l := &(*bucket)[i]; l.text == text {
			l.clauses = append(l.clauses, id)
			return
		}
	}
	*bucket = append(*bucket, literal{text, []int{id}})
}

func literalBucket(a, b byte) int { return (int(a)<<5 ^ int(b)) & (literalBuckets - 1) }

// scan returns the clauses that folded meets.
func (x *literalIndex) scan(folded string) clauseSet {
	met := make(clauseSet, (x.clauses+63)/64)
	for at := 0; at+1 < len(folded); at++ {
		for i := range x.buckets[literalBucket(folded[at], folded[at+1])] {
			l := &x.buckets[literalBucket(folded[at], folded[at+1])][i]
			if strings.HasPrefix(folded[at:], l.text) {
				for _, id := range l.clauses {
					met[id/64] |= 1 << (id % 64)
				}
			}
		}
	}
	return met
}

type clauseSet []uint64

func (s clauseSet) meets(clauses []int) bool {
	for _, id := range clauses {
		if s[id/64]&(1<<(id%64)) == 0 {
			return false
		}
	}
	return true
}

// Bounds of the sets below: larger ones filter too little to be worth it.
const (
	maxExact   = 96
	maxLength  = 256 // literals in a clause
	maxClauses = 4   // of one expression
	minLiteral = 2
)

// required is what is known about an expression's matches, folded to lower
// case: exact lists all of them (nil: too many), and each match contains one
// literal of every clause.
type required struct {
	exact   []string
	clauses [][]string
}

// best returns the single clause that says most, or nil.
func (r required) best() []string {
	var best []string
	if usable(r.exact) {
		best = r.exact
	}
	for _, clause := range r.clauses {
		if best == nil || shortest(clause) > shortest(best) {
			best = clause
		}
	}
	return best
}

func usable(set []string) bool {
	return len(set) > 0 && len(set) <= maxLength && shortest(set) >= minLiteral
}

func shortest(set []string) int {
	n := len(set[0])
	for _, s := range set[1:] {
		n = min(n, len(s))
	}
	return n
}

func requiredLiterals(re *syntax.Regexp) required {
	switch re.Op {
	case syntax.OpLiteral:
		return required{exact: []string{foldAgent(string(re.Rune))}}
	case syntax.OpCharClass:
		return required{exact: classLiterals(re.Rune)}
	case syntax.OpEmptyMatch, syntax.OpBeginLine, syntax.OpEndLine, syntax.OpBeginText, syntax.OpEndText,
		syntax.OpWordBoundary, syntax.OpNoWordBoundary:
		return required{exact: []string{""}}
	case syntax.OpCapture:
		return requiredLiterals(re.Sub[0])
	case syntax.OpPlus:
		return required{clauses: requiredLiterals(re.Sub[0]).asClauses()}
	case syntax.OpRepeat:
		return repeatLiterals(re)
	case syntax.OpQuest:
		if sub := requiredLiterals(re.Sub[0]); sub.exact != nil && len(sub.exact) < maxExact {
			return required{exact: append(slices.Clone(sub.exact), "")}
		}
	case syntax.OpAlternate:
		return alternateLiterals(re.Sub)
	case syntax.OpConcat:
		return concatLiterals(re.Sub)
	}
	return required{}
}

func (r required) asClauses() [][]string {
	if usable(r.exact) {
		return append(slices.Clone(r.clauses), r.exact)
	}
	return r.clauses
}

// repeatLiterals spells out short repetitions ("{0,2}" of a space).
func repeatLiterals(re *syntax.Regexp) required {
	sub := requiredLiterals(re.Sub[0])
	if re.Max >= 0 && re.Max <= 4 && sub.exact != nil {
		all := []string{}
		power := []string{""}
		for n := 0; ; n++ {
			if n >= re.Min {
				all = append(all, power...)
			}
			if n == re.Max || len(all) > maxExact {
				break
			}
			power = crossLiterals(power, sub.exact)
		}
		if len(all) <= maxExact {
			return required{exact: sortedSet(all)}
		}
	}
	if re.Min > 0 {
		return required{clauses: sub.asClauses()}
	}
	return required{}
}

func classLiterals(ranges []rune) []string {
	var set []string
	for i := 0; i < len(ranges); i += 2 {
		for r := ranges[i]; r <= ranges[i+1]; r++ {
			if set = append(set, foldAgent(string(r))); len(set) > maxExact {
				return nil
			}
		}
	}
	return sortedSet(set)
}

func alternateLiterals(branches []*syntax.Regexp) required {
	var exact, clause []string
	isExact, isClause := true, true
	for _, branch := range branches {
		r := requiredLiterals(branch)
		if isExact = isExact && r.exact != nil; isExact {
			exact = append(exact, r.exact...)
		}
		best := r.best()
		if isClause = isClause && best != nil; isClause {
			clause = append(clause, best...)
		}
	}
	var r required
	if exact = sortedSet(exact); isExact && len(exact) <= maxLength {
		r.exact = exact
		return r
	}
	if clause = sortedSet(clause); isClause && usable(clause) {
		r.clauses = [][]string{clause}
	}
	return r
}

// concatLiterals joins neighbours of which all matches are known, and keeps
// what the others demand.
func concatLiterals(parts []*syntax.Regexp) required {
	run := []string{""}
	whole := true
	var clauses [][]string
	for _, part := range parts {
		r := requiredLiterals(part)
		if r.exact != nil && len(run)*len(r.exact) <= maxExact {
			run = crossLiterals(run, r.exact)
			continue
		}
		whole = false
		if usable(run) {
			clauses = append(clauses, run)
		}
		clauses = append(clauses, r.asClauses()...)
		run = []string{""}
	}
	if whole {
		return required{exact: run}
	}
	if usable(run) {
		clauses = append(clauses, run)
	}
	return required{clauses: clauses}
}

func crossLiterals(left, right []string) []string {
	joined := make([]string, 0, len(left)*len(right))
	for _, l := range left {
		for _, r := range right {
			joined = append(joined, l+r)
		}
	}
	return sortedSet(joined)
}

func sortedSet(set []string) []string {
	slices.Sort(set)
	return slices.Compact(set)
}
