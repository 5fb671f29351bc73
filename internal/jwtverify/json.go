package jwtverify

import (
	"bytes"
	"encoding/json"
	"strconv"
	"strings"
	"unicode/utf8"
)

// members calls visit for each member of the JSON object that data is, in order. It refuses with malformed what two
// readers could read differently: invalid UTF-8, lone surrogates in a name, a name that comes twice, anything around the
// object, more than limit members. Nested values are checked for syntax only.
func members(data []byte, limit int, malformed error, visit func(name string, value []byte) error) error {
	if !utf8.Valid(data) || !json.Valid(data) {
		return malformed
	}
	p := skipSpace(data, 0)
	if data[p] != '{' {
		return malformed
	}
	var seen []string
	for p = skipSpace(data, p+1); data[p] != '}'; {
		end := stringEnd(data, p)
		name, ok := text(data[p:end])
		if !ok || len(seen) == limit || contains(seen, name) {
			return malformed
		}
		seen = append(seen, name)
		p = skipSpace(data, skipSpace(data, end)+1) // past the colon
		end = valueEnd(data, p)
		if err := visit(name, data[p:end]); err != nil {
			return err
		}
		if p = skipSpace(data, end); data[p] == ',' {
			p = skipSpace(data, p+1)
		}
	}
	return nil
}

// elements calls visit for each element of the JSON array that valid JSON data is; false if it is none, or visit said so.
func elements(data []byte, visit func(value []byte) bool) bool {
	if len(data) == 0 || data[0] != '[' {
		return false
	}
	for p := skipSpace(data, 1); data[p] != ']'; {
		end := valueEnd(data, p)
		if !visit(data[p:end]) {
			return false
		}
		if p = skipSpace(data, end); data[p] == ',' {
			p = skipSpace(data, p+1)
		}
	}
	return true
}

// skipSpace, stringEnd and valueEnd walk JSON that json.Valid has accepted, which is why none of them looks for its end.
func skipSpace(data []byte, p int) int {
	for p < len(data) && strings.IndexByte(" \t\r\n", data[p]) >= 0 {
		p++
	}
	return p
}

// stringEnd returns where the string that begins at p has ended.
func stringEnd(data []byte, p int) int {
	for p++; data[p] != '"'; p++ {
		if data[p] == '\\' {
			p++
		}
	}
	return p + 1
}

// valueEnd returns where the value that begins at p has ended.
func valueEnd(data []byte, p int) int {
	depth := 0
	for ; p < len(data); p++ {
		switch data[p] {
		case '"':
			if p = stringEnd(data, p) - 1; depth == 0 {
				return p + 1
			}
		case '{', '[':
			depth++
		case '}', ']':
			if depth == 0 {
				return p
			}
			if depth--; depth == 0 {
				return p + 1
			}
		case ',', ' ', '\t', '\r', '\n':
			if depth == 0 {
				return p
			}
		}
	}
	return p
}

// text returns the string that a JSON value is. A lone surrogate is not one: encoding/json would make U+FFFD of each, and
// different names equal.
func text(value []byte) (string, bool) {
	if len(value) < 2 || value[0] != '"' {
		return "", false
	}
	if bytes.IndexByte(value, '\\') < 0 {
		return string(value[1 : len(value)-1]), true
	}
	if loneSurrogate(value) {
		return "", false
	}
	var s string
	err := json.Unmarshal(value, &s)
	return s, err == nil
}

// loneSurrogate reports whether a JSON string has half of a pair of \u escapes.
func loneSurrogate(value []byte) bool {
	for p := 0; p < len(value); p++ {
		if value[p] != '\\' {
			continue
		}
		unit := escapedUnit(value[p:])
		switch {
		case unit < 0:
			p++
		case unit >= 0xd800 && unit < 0xdc00:
			if low := escapedUnit(value[p+6:]); low < 0xdc00 || low > 0xdfff {
				return true
			}
			p += 11
		case unit >= 0xdc00 && unit <= 0xdfff:
			return true
		default:
			p += 5
		}
	}
	return false
}

// escapedUnit returns the UTF-16 code unit of the \u escape that value begins with, or -1.
func escapedUnit(value []byte) int64 {
	if len(value) < 6 || value[0] != '\\' || value[1] != 'u' {
		return -1
	}
	unit, err := strconv.ParseInt(string(value[2:6]), 16, 32)
	if err != nil {
		return -1
	}
	return unit
}

// foldsToAny reports whether name equals one of names in some other case, by the folding that encoding/json matches the
// fields of structs with.
func foldsToAny(name string, names []string) bool {
	for _, known := range names {
		if name != known && strings.EqualFold(name, known) {
			return true
		}
	}
	return false
}

func contains(list []string, s string) bool {
	for _, have := range list {
		if have == s {
			return true
		}
	}
	return false
}
