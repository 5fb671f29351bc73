// Package bench compares sessiontrack with similar libraries, and checks its limits on PostgreSQL.
// It contains only tests:
//
//	make bench      # the request path side by side, a table with ratios
//	make bench-db   # a million sessions on PostgreSQL, an outage under load
//	make bench-db ARGS='-store sqlite'   # a million sessions on PostgreSQL and on SQLite, side by side
//
// Contenders run in turns in one process, with the same handler and the same data, because absolute
// times vary twofold between runs and ratios vary much less. Counts are asserted. Times and their
// ratios are printed, each with its goal. Without flags, as in make test, short forms run.
package bench
