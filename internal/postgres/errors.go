package postgres

import (
	"errors"
	"fmt"
)

var (
	// ErrStandby refuses a server in recovery: what the primary has acknowledged may not
	// have reached it.
	ErrStandby = errors.New("the server is a standby")

	// ErrPoolBusy says that no connection came free in time: all are in use.
	ErrPoolBusy = errors.New("every connection of the pool is in use")

	// errReadOnly refuses a server on which nobody could sign in or out.
	errReadOnly = errors.New("transactions are read only: " +
		"the server is a standby, or default_transaction_read_only is on")
)

// readOnlyTransaction is the SQLSTATE of a write that met a server which only reads: after
// a fail-over, the one that was the primary.
const readOnlyTransaction = "25006"

// wrongServer reports whether an error says that the connection leads to a server that is
// not, or not any more, the primary.
func wrongServer(err error) bool {
	return errors.Is(err, ErrStandby) || errors.Is(err, errReadOnly) || sqlState(err) == readOnlyTransaction
}

// fault is a fault that stays until somebody mends it: asking again does not help.
type fault struct{ error }

func (f fault) Unwrap() error { return f.error }

func faultf(format string, args ...any) error { return fault{fmt.Errorf(format, args...)} }

// IsFault reports whether an error stays until somebody mends the database: a setting,
// table, column or right that is missing, row level security that hides the rows, or a
// rule of the host's (a foreign key, a constraint, a trigger) that refuses a row of ours.
func IsFault(err error) bool {
	if errors.As(err, new(fault)) {
		return true
	}
	state := sqlState(err)
	if len(state) != 5 {
		return false
	}
	switch state[:2] {
	case "22", // data that the column does not take
		"23", // integrity constraints: 23503 is a foreign key
		"42", // undefined tables, columns and functions, missing rights, row level security
		"44", // the check option of a view
		"P0": // raised by a trigger
		return true
	}
	return state == "3F000" // no such schema
}

// sqlState returns the SQLSTATE that the server answered with, or "". Drivers of two
// kinds tell it: pgx and lib/pq by a method, Bun's own by a field.
func sqlState(err error) string {
	var state interface{ SQLState() string }
	if errors.As(err, &state) {
		return state.SQLState()
	}
	var fields interface{ Field(byte) string }
	if errors.As(err, &fields) {
		return fields.Field('C')
	}
	return ""
}
