package useragent

import (
	"runtime/debug"
	"strings"
	"time"
)

// TablesVersion counts the changes of our own rules, words and tables, and TablesDate
// says when they were last changed. A label may change with either.
const (
	TablesVersion = 3
	TablesDate    = "2026-11-26"
	// NamesUntil is the date of the newest model that the tables know by name.
	NamesUntil = "2025-09"
)

// definitionsModule holds the embedded definitions.
const definitionsModule = "github.com/ua-parser/uap-go"

// DefinitionsVersion returns the version of the embedded definitions and its date; both
// are blank in a program that was built without modules.
func DefinitionsVersion() (version, date string) {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "", ""
	}
	for _, module := range info.Deps {
		if module.Path == definitionsModule {
			return module.Version, pseudoDate(module.Version)
		}
	}
	return "", ""
}

// pseudoDate reads the date of a pseudo-version: v0.0.0-20260529044130-17c35e68e58c.
func pseudoDate(version string) string {
	parts := strings.Split(version, "-")
	if len(parts) < 3 {
		return ""
	}
	stamp := parts[len(parts)-2]
	at, err := time.Parse("20060102150405", stamp[strings.LastIndexByte(stamp, '.')+1:])
	if err != nil {
		return ""
	}
	return at.Format(time.DateOnly)
}

// Tables returns how many models the tables hold: those whose kind they tell, and those
// whose name.
func Tables() (kinds, names int) { return lines(modelTable), lines(nameTable) }

// lines counts the lines of a table that are no comments.
func lines(table string) (n int) {
	for line := range strings.Lines(table) {
		if line[0] != '#' {
			n++
		}
	}
	return n
}
