package sessiontrack

import (
	"context"
	"database/sql/driver"
	"errors"
	"strings"
	"time"
)

// busyMachine is what a machine may be late that does other work too. It is the
// StoreTimeout of trackers over PostgreSQL whose tests are not about time.
const busyMachine = 5 * time.Second

// patiently repeats a call that the machine was too busy for, as callers of a store do:
// a transaction gets two seconds, and one between two of its statements. A deadlock is
// another error.
func patiently(call func() error) (err error) {
	for range 10 {
		if err = call(); !tooLate(err) {
			break
		}
	}
	return err
}

func tooLate(err error) bool {
	var server interface{ SQLState() string }
	if errors.As(err, &server) {
		// query_canceled by statement_timeout, idle_in_transaction_session_timeout
		return server.SQLState() == "57014" || server.SQLState() == "25P03"
	}
	// What closed the connection is not always heard; inside a transaction the store
	// hides the sentinel from database/sql.
	closed := err != nil && strings.Contains(err.Error(), driver.ErrBadConn.Error())
	return closed || errors.Is(err, context.DeadlineExceeded)
}
