// Package faults proves what sessiontrack promises while things go wrong: databases
// that stop, hang, refuse or lie, processes that are killed, clocks that disagree,
// functions of the host that panic, many replicas that race, floods. It has tests
// only, over the exported API and a real PostgreSQL, several Trackers each.
//
// Each test names the row of the trust table that it proves (C02, F03, L08 …) and
// logs the figure that it reached. Everything runs in a short form by default;
// SESSIONTRACK_LONG=1 runs the long one (make faults), and SESSIONTRACK_SOAK says how
// long the soak lasts then (make soak).
package faults
