package useragent

import (
	_ "embed"
	"strings"
)

// modelTable is models.txt: which models are no phones. One line a model, sorted,
// "key<space>kind".
//
//go:embed models.txt
var modelTable string

// nameTable is names.txt: the names that people know models by. One line a model,
// sorted, "key<space>brand<tab>name"; only labels read it. It lies in the program as
// it is and is searched in place: who makes no labels never touches it.
//
//go:embed names.txt
var nameTable string

// findLine searches the sorted lines of table for the one that begins with key and a
// space, and returns what follows. Comments ("#") stand before all keys.
func findLine(table string, key []byte) (value string, ok bool) {
	lo, hi := 0, len(table)
	for lo < hi {
		mid := lo + (hi-lo)/2
		start := strings.LastIndexByte(table[:mid], '\n') + 1
		end := start + strings.IndexByte(table[start:], '\n')
		line := table[start:end]
		at := strings.IndexByte(line, ' ')
		switch {
		case at < 0 || line[0] == '#' || line[:at] < string(key):
			lo = end + 1
		case line[:at] == string(key):
			return line[at+1:], true
		default:
			hi = start
		}
	}
	return "", false
}

// marketName returns the maker and the name of the model with this code, such as
// Samsung and "Galaxy S23 Ultra" for SM-S918B.
func marketName(code string) (maker, name string, ok bool) {
	var folded, buf [maxModelKey + 1]byte
	key := modelKey(buf[:0:maxModelKey], lowerASCII(folded[:], code))
	if len(key) < 3 {
		return "", "", false
	}
	value, ok := findLine(nameTable, key)
	for cut := 0; !ok && cut <= 3 && len(key)-cut >= 5; cut++ {
		value, ok = findLine(nameTable, append(key[:len(key)-cut:len(key)-cut], '*'))
	}
	if !ok {
		return "", "", false
	}
	maker, name, _ = strings.Cut(value, "\t")
	return maker, name, true
}
