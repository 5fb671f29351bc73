// Package pgtest gives a test a real PostgreSQL.
//
// [DSN] and [Open] answer with a fresh, empty database, dropped when the test
// ends. It lives on the server that SESSIONTRACK_TEST_DSN names (the role must
// be allowed to create databases), else on a private server that the first
// caller in a test binary starts from the local binaries, found in PATH or in
// Debian's folders, and that all its tests share. [NewCluster] starts a server
// for one test alone: for tests that stop, freeze or crash it. [NewProxy] cuts
// or stalls connections on the way; [Cluster.NewPooler] puts PgBouncer in between.
//
// A private server listens on a Unix socket in a folder of mode 0700, keeps
// nothing safe (fsync is off) and is gone with its folder when the test binary
// is, even if that was killed: a guardian process waits for the binary's end.
// PostgreSQL refuses to run as root, so root runs it as another user.
//
// Where there is neither a server nor the binaries, tests are skipped with the
// reason; when CI is set they fail instead, so that nothing is lost silently.
package pgtest
