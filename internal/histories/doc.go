// Package histories checks what concurrent clients of three Trackers over one
// PostgreSQL were told against what a single session table could have told them. It
// holds tests only: porcupine searches for an order of all operations that explains
// every answer (linearizability). Reads past the cache must fit exactly; an answer from
// the cache that a session is good may be as old as MaxStaleness.
//
//	go test ./internal/histories
//
// Bugs that are planted on purpose must make histories that no order explains.
package histories
