// Package histories tests linearizability: three Trackers share one PostgreSQL, and concurrent
// clients record every answer that they get. Porcupine then searches for one order of all
// operations on a single session table that explains every answer. Reads past the cache must fit
// exactly. The cache may call a session live for MaxStaleness after its end. The package contains
// only tests.
//
//	go test ./internal/histories
//
// Planted bugs must produce histories that no order explains.
package histories
