package sessiontrack

import (
	"context"
	"database/sql/driver"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"time"
)

// busyMachine is the StoreTimeout of trackers over PostgreSQL whose tests are not about
// time.
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

// askedPatiently repeats a request that the store was too late for.
func askedPatiently(ask func() *httptest.ResponseRecorder) (w *httptest.ResponseRecorder) {
	for range 10 {
		if w = ask(); w.Code != http.StatusServiceUnavailable {
			break
		}
	}
	return w
}

// patientStore writes again what a busy machine was too late with.
type patientStore struct{ *BunStore }

func (s patientStore) Create(ctx context.Context, n NewSession) (created Created, err error) {
	err = patiently(func() error { created, err = s.BunStore.Create(ctx, n); return err })
	return created, err
}

func (s patientStore) Touch(ctx context.Context, batch []Touch, step time.Duration) (alive []SessionID, err error) {
	err = patiently(func() error { alive, err = s.BunStore.Touch(ctx, batch, step); return err })
	return alive, err
}

func (s patientStore) Describe(ctx context.Context, batch []Facts) error {
	return patiently(func() error { return s.BunStore.Describe(ctx, batch) })
}

func (s patientStore) End(ctx context.Context, sel Selector, e Ending) (ended Ended, err error) {
	err = patiently(func() error { ended, err = s.BunStore.End(ctx, sel, e); return err })
	return ended, err
}
