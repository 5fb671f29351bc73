// Package model proves the session's state machine. It holds tests only: random
// scripts of logins, requests, ends, faults and long sleeps run against several
// Trackers over one store, in virtual time, beside a model of what must be true;
// after each step the invariants I1 to I18 of docs/invariants.md are checked.
//
//	go test ./internal/model -rapid.checks=20000
//
// Bugs that are planted on purpose, in the store or its feed, must be found by the
// same scripts.
package model
