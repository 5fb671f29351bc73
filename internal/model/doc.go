// Package model tests the session's state machine. Random scripts of logins, requests, ends, faults
// and long sleeps run against several Trackers over one store, in virtual time. A model runs beside
// them. After each step the tests check the invariants I1 to I18 of docs/invariants.md. The package
// contains only tests.
//
//	go test ./internal/model -rapid.checks=20000
//
// The same scripts must find bugs that are planted in the store or its feed.
package model
