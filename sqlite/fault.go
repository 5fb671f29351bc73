package sqlite

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/sessiontrack/sessiontrack"
)

// failed names the verb and the kind of an error. What is none of the contract's answers means that
// the call could not be carried out: for now, or until an operator has mended something.
func failed(verb string, err error) error {
	if err == nil {
		return nil
	}
	for _, answer := range [...]error{
		sessiontrack.ErrNotFound, sessiontrack.ErrExists, sessiontrack.ErrLimit, sessiontrack.ErrEnded,
	} {
		if errors.Is(err, answer) {
			return fmt.Errorf("sqlite: %s: %w", verb, err)
		}
	}
	kind := sessiontrack.ErrUnavailable
	if isFault(err) {
		kind = sessiontrack.ErrStoreFault
	}
	return fmt.Errorf("sqlite: %s: %w: %w", verb, kind, err)
}

// faults are SQLite's texts of what repeating does not help. Each driver has its own type of errors
// and all of them have these texts. A full disk and a locked file are not among them: they pass.
var faults = []string{
	"attempt to write a readonly database",
	"database disk image is malformed",
	"file is not a database",
	"no such table",
	"no such column",
	"constraint failed",
	"has ended and cannot change", // a trigger
	"is append-only",              // a trigger
}

// isFault reports whether an error stays until an operator has mended something.
func isFault(err error) bool {
	text := err.Error()
	return errors.Is(err, ErrUnfit) ||
		slices.ContainsFunc(faults, func(fault string) bool { return strings.Contains(text, fault) })
}
