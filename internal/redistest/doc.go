// Package redistest gives a test a real Redis.
//
// [Shared] is the address of one server that all tests of the binary share; each test keeps
// to a prefix of its own. [SharedCluster] is the same for a cluster of three masters with a
// replica each. [Start], [StartCluster] and [StartSentinel] start servers for one test, which
// may kill, freeze and restart them. The program redis-server comes from PATH; Debian has it in the
// package of that name. SESSIONTRACK_TEST_REDIS may name another program, such as
// valkey-server.
//
// Servers listen on free ports of 127.0.0.1 and keep their data in a folder of their own. A
// guardian process is the parent of each server. It kills its child, and nothing else, when
// its standard input closes, which the kernel does however the test binary ends.
//
// Without the program tests are skipped with the reason. If CI is set they fail, so that a
// missing server is noticed.
package redistest
