// Package text cleans, cuts and escapes text that comes from outside.
package text

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Valid reports whether s is valid UTF-8 without control characters. PostgreSQL cannot
// store NUL, for one (SQLSTATE 22021).
func Valid(s string) bool {
	ascii := true
	for i := range len(s) {
		if s[i] < 0x20 || s[i] == 0x7F {
			return false
		}
		ascii = ascii && s[i] < utf8.RuneSelf
	}
	if ascii {
		return true
	}
	for _, r := range s {
		if unicode.IsControl(r) {
			return false
		}
	}
	return utf8.ValidString(s)
}

// Storable removes from s what some store cannot hold: invalid UTF-8 and control
// characters.
func Storable(s string) string {
	if Valid(s) {
		return s
	}
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return -1
		}
		return r
	}, strings.ToValidUTF8(s, "\uFFFD"))
}

// Cut returns at most limit bytes of s, cut between two characters.
func Cut(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	for limit > 0 && !utf8.RuneStart(s[limit]) {
		limit--
	}
	return s[:limit]
}

// Visible returns at most limit bytes of s without what is not valid UTF-8 and without
// what acts on a terminal or a page and is not seen: control (Cc) and format (Cf)
// characters. The result of a cut does not keep s in memory.
func Visible(s string, limit int) string {
	if len(s) > limit {
		s = strings.Clone(Cut(s, limit))
	}
	if isPrintableASCII(s) {
		return s
	}
	return strings.Map(func(r rune) rune {
		if r == utf8.RuneError || unicode.Is(unicode.Cc, r) || unicode.Is(unicode.Cf, r) {
			return -1
		}
		return r
	}, s)
}

func isPrintableASCII(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}

// Printable escapes the characters that begin a line, move the cursor or turn the
// direction of the text (OWASP ASVS 16.4.1). The handlers of slog escape some of them,
// and not all the same ones.
func Printable(s string) string {
	plain := func(r rune) bool { return !unicode.In(r, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp) }
	if strings.IndexFunc(s, func(r rune) bool { return !plain(r) }) < 0 {
		return s
	}
	var b strings.Builder
	for _, r := range s {
		if plain(r) {
			b.WriteRune(r)
			continue
		}
		fmt.Fprintf(&b, "\\u{%x}", r)
	}
	return b.String()
}
