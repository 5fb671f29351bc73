// Package faults tests what sessiontrack promises under faults: databases that stop, hang, refuse
// or lie, killed processes, wrong clocks, panics in the host's functions, races between many
// replicas, and floods. It contains only tests. They use the exported API and a real PostgreSQL,
// with several Trackers each.
//
// Each test names the row of the trust table that it proves (C02, F03, L08 …) and logs the figure
// that it reached. The short form is the default. SESSIONTRACK_LONG=1 runs the long form (make
// faults). With it, SESSIONTRACK_SOAK sets the length of the soak (make soak).
package faults
