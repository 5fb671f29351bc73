package postgres

import "errors"

var (
	// ErrStandby refuses a server in recovery: what the primary has acknowledged may not
	// have reached it.
	ErrStandby = errors.New("the server is a standby")

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
