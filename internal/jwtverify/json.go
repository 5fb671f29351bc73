package jwtverify

import (
	"bytes"
	"encoding/json"
	"strconv"
	"strings"
	"unicode/utf8"
)

// members calls visit for each member of the JSON object in data, in order. It returns malformed
// for data that two readers could read differently: invalid UTF-8, a lone surrogate in a name, a
// repeated name, bytes around the object, more than limit members. It checks only the syntax of
// nested values.
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

// elements calls visit for each element of a JSON array, in order. data must be valid JSON. It
// returns false if data is not an array, or as soon as visit returns false.
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

// skipSpace, stringEnd and valueEnd walk through JSON that json.Valid has accepted. That is why
// none of them checks for the end of the data.
func skipSpace(data []byte, p int) int {
	for p < len(data) && strings.IndexByte(" \t\r\n", data[p]) >= 0 {
		p++
	}
	return p
}

// stringEnd returns the index after the string that begins at p.
func stringEnd(data []byte, p int) int {
	for p++; data[p] != '"'; p++ {
		if data[p] == '\\' {
			p++
		}
	}
	return p + 1
}

// valueEnd returns the index after the value that begins at p.
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

// text decodes a JSON string. It refuses lone surrogates: encoding/json decodes each of them to
// U+FFFD, so different names would become equal.
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

// loneSurrogate reports whether a JSON string contains one half of a surrogate pair as a \u escape.
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

// escapedUnit returns the UTF-16 code unit of the \u escape at the start of value, or -1.
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

// foldsToAny reports whether name differs from one of names only in case. It folds case as
// encoding/json does when it matches struct fields.
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
