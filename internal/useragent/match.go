package useragent

import (
	"fmt"
	"strings"
	"sync"
)

// A wordList is the compiled form of knownWords: every word hangs in the
// bucket of its first two bytes, so that one pass over a user agent looks at
// each position once and allocates nothing.
type wordList struct {
	buckets [wordBuckets][]word
	begins  [wordBegins / 64]uint64 // a bit for each three bytes that a word may begin with
}

const (
	wordBuckets = 1 << 11
	wordBegins  = 1 << 14
)

// A word is one spelling that tells something about a device. Its text is in
// the small language that knownWords describes.
type word struct {
	text               string // lower case; '#', '@' and '_' are wildcards
	trait              trait
	atStart, atEnd     bool // of the whole agent
	wordStart, wordEnd bool // no letter or digit beside it
	modelOnly          bool // counts only inside the model's name
}

var compiledWords = sync.OnceValue(func() *wordList {
	list := new(wordList)
	for _, row := range knownWords {
		for text := range strings.FieldsSeq(row.words) {
			list.add(text, row)
		}
	}
	return list
})

func (l *wordList) add(text string, row wordRow) {
	w := word{text: text, trait: row.trait, modelOnly: row.modelOnly}
	w.text, w.atStart = cutMark(w.text, '^', strings.CutPrefix)
	w.text, w.wordStart = cutMark(w.text, '<', strings.CutPrefix)
	w.text, w.atEnd = cutMark(w.text, '$', strings.CutSuffix)
	w.text, w.wordEnd = cutMark(w.text, '>', strings.CutSuffix)
	if len(w.text) < 2 || w.text != strings.ToLower(w.text) {
		panic(fmt.Sprintf("sessiontrack: device word %q is not two or more bytes in lower case", text))
	}
	for _, first := range []byte(spellings(w.text[0])) {
		for _, second := range []byte(spellings(w.text[1])) {
			b := wordBucket(first, second)
			l.buckets[b] = append(l.buckets[b], w)
			l.noteBegin(w.text, first, second)
		}
	}
}

// noteBegin enters the first three bytes of a word; any third one where it has but two.
func (l *wordList) noteBegin(text string, first, second byte) {
	if len(text) == 2 {
		for third := range 256 {
			at := wordBegin(first, second, byte(third))
			l.begins[at/64] |= 1 << (at % 64)
		}
		return
	}
	for _, third := range []byte(spellings(text[2])) {
		at := wordBegin(first, second, third)
		l.begins[at/64] |= 1 << (at % 64)
	}
}

// spellings returns the bytes that c of a word's text stands for.
func spellings(c byte) string {
	switch c {
	case '#':
		return "0123456789"
	case '@':
		return "abcdefghijklmnopqrstuvwxyz"
	case '_':
		return " -_"
	}
	return string(c)
}

func cutMark(text string, mark byte, cut func(string, string) (string, bool)) (string, bool) {
	return cut(text, string(mark))
}

func wordBucket(a, b byte) int { return (int(a)*37 + int(b)) & (wordBuckets - 1) }

func wordBegin(a, b, c byte) int { return ((int(a)*61+int(b))*67 + int(c)) & (wordBegins - 1) }

// scan returns the traits of all words in s, which is in lower case. What lies
// in [modelFrom, modelTo) is the model's name. An innocent word hides whatever
// is inside it: "cubot" is no bot.
func (l *wordList) scan(s []byte, modelFrom, modelTo int) trait {
	var found trait
	for i := 0; i+1 < len(s); i++ {
		third := byte(0)
		if i+2 < len(s) {
			third = s[i+2]
		}
		if at := wordBegin(s[i], s[i+1], third); l.begins[at/64]&(1<<(at%64)) == 0 {
			continue
		}
		for k := range l.buckets[wordBucket(s[i], s[i+1])] {
			w := &l.buckets[wordBucket(s[i], s[i+1])][k]
			if found&w.trait != 0 && w.trait != isInnocent {
				continue
			}
			inModel := modelFrom <= i && i+len(w.text) <= modelTo
			if inModel && w.trait&notInModel != 0 || !inModel && w.modelOnly {
				continue
			}
			if !w.matches(s, i) {
				continue
			}
			if w.trait == isInnocent {
				i += len(w.text) - 1
				break
			}
			found |= w.trait
		}
	}
	return found
}

func (w *word) matches(s []byte, i int) bool {
	end := i + len(w.text)
	switch {
	case end > len(s),
		w.atStart && i != 0,
		w.atEnd && end != len(s),
		w.wordStart && i > 0 && isAlnum(s[i-1]),
		w.wordEnd && end < len(s) && isAlnum(s[end]):
		return false
	}
	for k := range len(w.text) {
		if !wildcard(w.text[k], s[i+k]) {
			return false
		}
	}
	return true
}

func wildcard(pattern, c byte) bool {
	switch pattern {
	case '#':
		return isDigit(c)
	case '@':
		return isLetter(c)
	case '_':
		return c == ' ' || c == '-' || c == '_'
	}
	return pattern == c
}

func isDigit(c byte) bool  { return '0' <= c && c <= '9' }
func isLetter(c byte) bool { return 'a' <= c && c <= 'z' }
func isAlnum(c byte) bool  { return isDigit(c) || isLetter(c) }

// lowerASCII writes s to dst in lower case, as much as fits.
func lowerASCII(dst []byte, s string) []byte {
	n := min(len(dst), len(s))
	for i := range n {
		c := s[i]
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		dst[i] = c
	}
	return dst[:n]
}
