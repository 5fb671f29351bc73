// Package bench holds sessiontrack against its relatives, and against the limits that
// it promises, on PostgreSQL. It has tests only:
//
//	make bench      # the request path side by side, a table with ratios
//	make bench-db   # a million sessions on PostgreSQL, an outage under load
//
// What is compared runs in one process, in turns, over the same handler and the same
// data, because absolute times move twofold between runs and ratios much less. Counts
// are asserted; times and their ratios are printed, each beside what is wanted of it.
// Without flags, as in make test, short forms run.
package bench
