// Package pgtest gives a test a real PostgreSQL.
//
// [DSN] and [Open] return a fresh, empty database, which is dropped when the test ends. The
// database is on the server that SESSIONTRACK_TEST_DSN names; its role must be allowed to create
// databases. Without that variable it is on a private server. The first caller in a test binary
// starts it, and all tests of the binary share it. The binaries come from PATH or from Debian's
// folders. [NewCluster] starts a server for one test that stops, freezes or crashes it. [NewProxy]
// cuts or stalls connections to a server. [Cluster.NewPooler] puts PgBouncer in front of one.
//
// A private server listens on a Unix socket in a folder of mode 0700. Its data do not survive a
// crash (fsync is off). A guardian process removes the server and its folder when the test binary
// ends, even if it was killed. PostgreSQL refuses to run as root, so root runs it as another user.
//
// Without a server and without binaries tests are skipped with the reason. If CI is set they fail,
// so that a missing server is noticed.
package pgtest
